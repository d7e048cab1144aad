"""Pages as poppler renders them, against stored ones: the text exactly, the picture within a tolerance.

After a wanted change: `python -m tests.integration.test_page_references` writes them anew; look at what it wrote.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from inference.domain import Measurement
from sr_templates.language import Language
from sr_templates.page import draw_page
from sr_templates.report import Further, Narrative, PageSize
from tests.reports import explanation, frames, measurement, multiframe_source, picture, report, source, with_lmp

STORED = Path(__file__).parent / "pages"
DOTS_PER_INCH = "40"
BLOCK = 8
"""Pixels a side over which a page is compared: letters of another poppler differ in their grey, not in their place."""

MOST_DIFFERENT = 24.0
"""Of 255, between the means of a block; a line of text that moved by itself makes 40 and more."""


def run(*command: str) -> str:
    """Standard output of a program that must succeed."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _cine_head(head: Measurement) -> Measurement:
    return replace(head, frame=15)


def _cine(language: Language) -> bytes:
    head = _cine_head(with_lmp(measurement(), 150))
    header = multiframe_source(60, SOPInstanceUID="1.2.3.4.6")
    facts = report(header, measurement=head, language=language)
    return draw_page(facts, picture(), further=Further(explanation(head), frames(head)))


def _arabic() -> bytes:
    header = source(SpecificCharacterSet="ISO_IR 192", PatientName="مُحَمَّد^فاطمة (أم علي)", StudyDescription="שרה לוי 12")
    told = Narrative("The HC is 197.1 mm.", "The examiner judges plane, fetus and meaning.", "some-model-1")
    return draw_page(report(header, narrative=told, page_size=PageSize.LETTER), picture())


PAGES: dict[str, Callable[[], bytes]] = {
    "english": lambda: draw_page(report(), picture()),
    "german-cine": lambda: _cine(Language.GERMAN),
    "arabic-name-letter": _arabic,
}


DIRECTION_MARKS = dict.fromkeys(range(0x202A, 0x202F))
"""Poppler's own, not the page's."""


def text_of(pdf: Path) -> str:
    """One line of the page a line, runs of white space as one space."""
    text = run("pdftotext", "-layout", str(pdf), "-").translate(DIRECTION_MARKS)
    lines = text.replace("\f", "\n").splitlines()
    return "\n".join(" ".join(line.split()) for line in lines if line.strip()) + "\n"


def pictures_of(pdf: Path, folder: Path) -> list[Path]:
    """Each page as a small grey picture."""
    run("pdftoppm", "-r", DOTS_PER_INCH, "-gray", "-png", str(pdf), str(folder / pdf.stem))
    return sorted(folder.glob(f"{pdf.stem}-*.png"))


def grey(path: Path) -> NDArray[np.float64]:
    """The pixels of a page, 0..255, [rows, columns]."""
    return np.asarray(Image.open(path).convert("L"), np.float64)


def blocks(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of blocks, [rows / BLOCK, columns / BLOCK]."""
    rows, columns = (side // BLOCK for side in pixels.shape)
    whole = pixels[: rows * BLOCK, : columns * BLOCK]
    means: NDArray[np.float64] = whole.reshape(rows, BLOCK, columns, BLOCK).mean((1, 3))
    return means


def write(case: str, folder: Path) -> Path:
    pdf = folder / f"{case}.pdf"
    pdf.write_bytes(PAGES[case]())
    return pdf


@pytest.mark.peer("pdftotext")
@pytest.mark.parametrize("case", PAGES)
def test_the_text_is_the_stored_one(case: str, tmp_path: Path) -> None:
    assert text_of(write(case, tmp_path)) == (STORED / f"{case}.txt").read_text(encoding="utf-8")


@pytest.mark.peer("pdftoppm")
@pytest.mark.parametrize("case", PAGES)
def test_the_picture_is_the_stored_one(case: str, tmp_path: Path) -> None:
    drawn, stored = pictures_of(write(case, tmp_path), tmp_path), sorted(STORED.glob(f"{case}-?.png"))
    assert [page.name for page in drawn] == [page.name for page in stored]
    for now, then in zip(drawn, stored, strict=True):
        assert np.abs(blocks(grey(now)) - blocks(grey(then))).max() <= MOST_DIFFERENT


def test_a_line_that_moved_would_be_seen() -> None:
    pixels = grey(STORED / "english-1.png")
    assert np.abs(blocks(pixels) - blocks(np.roll(pixels, 7, axis=0))).max() > 2 * MOST_DIFFERENT  # a line of notes


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        for name in PAGES if len(sys.argv) == 1 else sys.argv[1:]:
            made = write(name, Path(temporary))
            (STORED / f"{name}.txt").write_text(text_of(made), encoding="utf-8")
            for old in STORED.glob(f"{name}-?.png"):
                old.unlink()
            for page in pictures_of(made, Path(temporary)):
                Image.open(page).convert("L").quantize(16).save(STORED / page.name, optimize=True)  # speckle is heavy
