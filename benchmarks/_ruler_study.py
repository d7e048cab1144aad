"""The figures of docs/decisions/0015: `python -m benchmarks._ruler_study --challenge FOLDER [OBJECT_OR_FOLDER...]`.

Do rulers of real screens agree with the calibration in their header? What is found where there is none: in HC18's
pictures, and in lists of measurements, whose dots and dashes stand as regularly as ticks? What becomes of rulers drawn
into HC18's pictures, whose step is known? Exams of HC18 are parted in two halves by a hash of their number; the figures
that are stated come from the second (`--half 2`).
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks._ruler import Ruler, compare, read_ruler
from dicom_node.decode import read_instance
from dicom_node.errors import InstanceRefused
from dicom_node.filewalk import files_below
from inference.domain import Luminance, Region

TABLES = {"training_set": "training_set_pixel_size_and_HC.csv", "test_set": "test_set_pixel_size.csv"}
SALT = "ruler-study-v1"
FACTORS = (0.5, 0.8, 0.9, 1.0, 1.1, 1.25, 2.0)
LISTED = ("BPD", "HC", "AC", "FL", "OFD", "TAD", "TCD", "CM")
LISTS = 1000
DEEP_MM = 100.0  # pictures that show less get a ruler of 5 mm instead of 10 mm

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of HC18; `exam` counts within its set."""

    path: Path
    exam: str
    pixel_mm: float

    @property
    def half(self) -> int:
        return 1 + hashlib.sha256(f"{SALT}:{self.exam}".encode()).digest()[0] % 2

    def luminance(self) -> Luminance:
        return np.asarray(cv2.imread(str(self.path), cv2.IMREAD_GRAYSCALE), np.uint8)


@dataclass(frozen=True, slots=True)
class Style:
    """How a screen draws its ruler: every tick, every `major_every`-th longer one, and where; lengths in pixels."""

    name: str
    columns: int
    rows: int
    major_columns: int
    major_every: int
    grey: int
    from_right: int | None
    """Columns between ruler and right edge; None: at the left edge."""
    hidden: float = 0.0
    """Share of the ticks that something else covers."""


# after the screens among pydicom's files: Philips (dashes), SonoSite (dots), Aloka (green dashes over the image)
STYLES = (
    Style("dashes", 7, 3, 7, 5, 255, 2),
    Style("dots", 2, 2, 4, 5, 200, 34),
    Style("over the image", 4, 2, 8, 5, 150, None),
    Style("over the image, a fifth hidden", 4, 2, 8, 5, 150, None, hidden=0.2),
)


def read_pictures(folder: Path) -> Iterator[Picture]:
    """Training and test pictures of the challenge's folder; those named in a table but missing are passed over."""
    for subfolder, table in TABLES.items():
        with (folder / table).open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                path = folder / subfolder / row["filename"]
                if path.is_file():
                    exam = f"{subfolder}:{row['filename'].split('_')[0]}"
                    yield Picture(path, exam, float(row["pixel size(mm)"]))


def draw(luminance: Luminance, style: Style, tick_px: float, seed: int) -> Luminance:
    """The picture with a ruler from top to bottom, ticks on whole pixels; `seed`: where it begins, what is hidden."""
    rng = np.random.default_rng(seed)
    picture = luminance.copy()
    rows, columns = picture.shape
    for place, row in enumerate(np.arange(rng.uniform(0.0, tick_px), rows - style.rows, tick_px)):
        if rng.random() < style.hidden:
            continue
        length = style.major_columns if place % style.major_every == 0 else style.columns
        left = 2 if style.from_right is None else columns - style.from_right - length
        top = round(float(row))
        picture[top : top + style.rows, left : left + length] = style.grey
    return picture


def measurement_list(seed: int) -> Luminance:
    """A black screen, uint8 [768, 1024], with 8 to 15 lines like "BPD 45.31 mm  20w1d" at equal distances."""
    rng = np.random.default_rng(seed)
    screen = np.zeros((768, 1024), np.uint8)
    scale = rng.uniform(0.45, 0.7)
    pitch = int(rng.uniform(45.0, 75.0) * scale)
    left, top = int(rng.integers(5, 500)), int(rng.integers(40, 120))
    font = cv2.FONT_HERSHEY_DUPLEX if seed % 2 else cv2.FONT_HERSHEY_SIMPLEX
    for line in range(int(rng.integers(8, 16))):
        name = LISTED[line % len(LISTED)]
        text = f"{name} {rng.uniform(1.0, 300.0):.2f} mm - {rng.integers(12, 40)}w{rng.integers(0, 7)}d"
        cv2.putText(screen, text, (left, top + line * pitch), font, scale, 230, 1, cv2.LINE_AA)
    return screen


def untouched(pictures: Sequence[Picture]) -> Row:
    """What is found where no ruler is: each find is a wrong one, and most would warn."""
    seconds: list[float] = []
    warnings = finds = 0
    for picture in pictures:
        luminance = picture.luminance()
        began = time.perf_counter()
        ruler = read_ruler(luminance)
        seconds.append(time.perf_counter() - began)
        finds += ruler is not None
        warnings += ruler is not None and not compare(ruler.tick_px, picture.pixel_mm).agrees
    return {
        "pictures": len(pictures),
        "found": finds,
        "warned": warnings,
        "median_ms": round(float(np.median(seconds)) * 1e3, 1),
        "p95_ms": round(float(np.percentile(seconds, 95)) * 1e3, 1),
    }


def drawn(pictures: Sequence[Picture], style: Style) -> Row:
    """Found, and warned about by the factor that the calibration is wrong by, with a ruler drawn into each picture."""
    found = 0
    warned: Counter[float] = Counter()
    for seed, picture in enumerate(pictures):
        luminance = picture.luminance()
        step_mm = 10.0 if luminance.shape[0] * picture.pixel_mm > DEEP_MM else 5.0
        ruler = read_ruler(draw(luminance, style, step_mm / picture.pixel_mm, seed))
        if ruler is not None:
            found += 1
            warned.update(f for f in FACTORS if not compare(ruler.tick_px, f * picture.pixel_mm).agrees)
    return {"style": style.name, "pictures": len(pictures), "found": found, "warned": {f: warned[f] for f in FACTORS}}


def screens(paths: Iterable[Path]) -> Iterator[Row]:
    """One row per ultrasound object that decodes: its ruler beside the calibration of each region."""
    for path in files_below(list(paths)):
        try:
            decoded = read_instance(path)
            frame = next(decoded.frames([1]))
        except (InstanceRefused, OSError):
            continue
        ruler = read_ruler(frame.luminance)
        yield {
            "file": path.name,
            "rows": decoded.rows,
            "columns": decoded.columns,
            "tick_px": None if ruler is None else round(ruler.tick_px, 2),
            "regions": [_beside(ruler, region) for region in frame.regions],
        }


def _beside(ruler: Ruler | None, region: Region) -> Row:
    if region.spacing_mm is None:
        return {"row_mm": None, "tick_mm": None}
    row_mm = region.spacing_mm.row
    return {
        "row_mm": round(row_mm, 4),
        "tick_mm": None if ruler is None else round(compare(ruler.tick_px, row_mm).tick_mm, 2),
        "warns_at": [] if ruler is None else [f for f in FACTORS if not compare(ruler.tick_px, f * row_mm).agrees],
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks._ruler_study", description=__doc__)
    parser.add_argument("objects", nargs="*", type=Path, help="DICOM objects, or folders of them")
    parser.add_argument("--challenge", type=Path, help="the unpacked HC18 folder")
    parser.add_argument("--half", type=int, choices=(1, 2), default=1, help="which half of HC18's exams")
    options = parser.parse_args()
    for row in screens(options.objects):
        print(json.dumps(row))
    print(json.dumps({"lists": LISTS, "found": sum(read_ruler(measurement_list(i)) is not None for i in range(LISTS))}))
    if options.challenge:
        pictures = [picture for picture in read_pictures(options.challenge) if picture.half == options.half]
        print(json.dumps({"exams": len({p.exam for p in pictures}), **untouched(pictures)}))
        for style in STYLES:
            print(json.dumps(drawn(pictures, style)))


if __name__ == "__main__":
    main()
