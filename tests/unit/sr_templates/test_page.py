"""The page repeats itself byte for byte and never spills, whatever the names are and whatever the paper is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from inference.domain import PixelSpacingMm, Remark
from sr_templates.language import Language
from sr_templates.page import FLOOR, PICTURE_HEIGHT, PICTURE_WIDTH, SIGN_OFF_HEIGHT, _picture_box, draw_page
from sr_templates.report import Further, Narrative, PageSize, ReportInput
from sr_templates.sheet import MARGIN, SIZES, Sheet, Style
from sr_templates.typeface import text_width
from tests.reports import explanation, frames, measurement, picture, report, source, with_lmp


def test_same_facts_same_bytes() -> None:
    facts = report()
    assert draw_page(facts, picture()) == draw_page(facts, picture())


def test_it_is_one_page_with_embedded_fonts() -> None:
    content = draw_page(report(), picture())
    assert content.startswith(b"%PDF-")
    assert content.count(b"/Type /Page\n") == 1
    assert content.count(b"/FontFile2") == 2
    assert b"Helvetica" not in content  # the canvas would name it unasked, and it is not embedded


def test_what_has_no_room_goes_on_a_second_page() -> None:
    head = measurement(hc_mm=80.0)
    everything = dataclasses.replace(head, warnings=tuple(Remark))
    assert draw_page(report(measurement=head), picture()).count(b"/Type /Page\n") == 1
    assert draw_page(report(measurement=everything), picture()).count(b"/Type /Page\n") == 2


@dataclasses.dataclass(frozen=True)
class Written:
    """A line of text: page, ends and baseline in points, size."""

    page: int
    left: float
    right: float
    y: float
    size: float
    text: str

    def covers(self, other: Written) -> bool:
        """Whether two lines' letters touch: from the baseline to the height of small letters."""
        beside = self.right <= other.left + 0.01 or other.right <= self.left + 0.01
        apart = self.y + 0.55 * self.size <= other.y or other.y + 0.55 * other.size <= self.y
        return self.page == other.page and not beside and not apart


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[Written]:
    """Every line of text that a page is given from now on."""
    found: list[Written] = []
    page = 0
    text, turn = Sheet.text, Sheet.turn

    def noted(sheet: Sheet, x: float, y: float, value: str, style: Style) -> float:
        found.append(Written(page, x, x + text_width(value, style.font, style.size), y, style.size, value))
        return text(sheet, x, y, value, style)

    def turned(sheet: Sheet) -> None:
        nonlocal page
        page += 1
        turn(sheet)

    monkeypatch.setattr(Sheet, "text", noted)
    monkeypatch.setattr(Sheet, "turn", turned)
    return found


LONG = {
    "wide": "W" * 64,
    "words": "Wunderbarowitsch " * 3 + "Maria-Magdala",
    "cyrillic": "Щ" * 64,
    "ideographic": "山" * 64,
    "arabic": "محمد عبد الرحمن " * 4,
    "pointed": "שָׁלוֹם" * 9,
    "both ways": "Doe محمد (שרה) 12 " * 3,
    "unknown": "नमस्ते" * 10,
}


def worst(letters: str, size: PageSize, language: Language = Language.ENGLISH) -> ReportInput:
    """All that a header can bring, everything remarked, a chart and a discordance."""
    names = dict.fromkeys(("PatientID", "IssuerOfPatientID", "StudyDescription", "Manufacturer"), letters)
    head = dataclasses.replace(
        with_lmp(measurement(), 175), warnings=tuple(Remark), calibration_detail="depth marks " * 30
    )
    header = source(SpecificCharacterSet="ISO_IR 192", PatientName=letters, ManufacturerModelName=letters, **names)
    told = Narrative("A word or more. " * 43, "Wunderbarowitsch. " * 38, "m" * 80)
    return report(header, measurement=head, page_size=size, language=language, narrative=told)


@pytest.mark.parametrize("size", PageSize)
@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("letters", LONG.values(), ids=LONG)
def test_no_line_leaves_the_page_or_touches_another(
    letters: str, language: Language, size: PageSize, lines: list[Written]
) -> None:
    facts = worst(letters, size, language)
    draw_page(facts, picture(), further=Further(explanation(facts.measurement), frames(facts.measurement)))
    assert {line.page for line in lines} == {0, 1, 2}
    for line in lines:
        assert line.left >= MARGIN - 0.01, line
        assert line.right <= SIZES[size][0] - MARGIN + 0.01, line
        assert line.y >= FLOOR - 0.01 or line.y == MARGIN, line
    crossed = [(a.text, b.text) for i, a in enumerate(lines) for b in lines[i + 1 :] if a.covers(b)]
    assert not crossed


@pytest.mark.parametrize("size", PageSize)
@pytest.mark.parametrize("letters", [LONG["wide"], LONG["ideographic"], LONG["cyrillic"]])
def test_a_name_of_64_characters_is_there_in_full(letters: str, size: PageSize, lines: list[Written]) -> None:
    draw_page(report(source(SpecificCharacterSet="ISO_IR 192", PatientName=letters), page_size=size), picture())
    assert sum(line.text.count(letters[0]) for line in lines if set(line.text) == {letters[0]}) == 64


@pytest.mark.parametrize("letter", ["ש", "م", "ا"])
def test_a_right_to_left_name_of_64_characters_is_there_in_full(letter: str, lines: list[Written]) -> None:
    draw_page(report(source(SpecificCharacterSet="ISO_IR 192", PatientName=letter * 64)), picture())
    assert sum(line.text.count(letter) for line in lines if set(line.text) == {letter}) == 64


@pytest.mark.parametrize("size", PageSize)
def test_there_is_one_line_to_sign_on_and_it_is_on_the_last_page(size: PageSize, lines: list[Written]) -> None:
    draw_page(worst("Doe", size), picture())
    (signed,) = [line for line in lines if line.text == "Signature"]
    assert signed.page == max(line.page for line in lines)
    below = [line for line in lines if line.page == signed.page and line.y < FLOOR + SIGN_OFF_HEIGHT]
    assert {line.text for line in below if line.y > MARGIN} == {"Reviewed by", "Signature", "Date"}


@pytest.mark.parametrize("size", PageSize)
def test_the_paper_is_the_one_asked_for(size: PageSize) -> None:
    width, height = {PageSize.A4: (595.2756, 841.8898), PageSize.LETTER: (612, 792)}[size]
    content = draw_page(report(page_size=size), picture())
    assert f"/MediaBox [ 0 0 {width} {height} ]".encode() in content


def test_pages_are_counted(lines: list[Written]) -> None:
    draw_page(report(), picture())
    assert lines[-1].text == "page 1 of 1"
    lines.clear()
    draw_page(report(measurement=with_lmp(measurement(), 150)), picture())
    assert [line.text for line in lines if line.y == MARGIN and line.text.startswith("page")] == [
        "page 1, more follows",
        "page 2 of 2",
    ]


def test_the_page_says_who_worded_it(lines: list[Written]) -> None:
    draw_page(report(), picture())
    assert "fixed sentences from these numbers" in [line.text for line in lines]
    lines.clear()
    draw_page(report(narrative=Narrative("HC is 197.1 mm.", "The rest is yours.", "some-model")), picture())
    said = [line.text for line in lines]
    assert {"HC is 197.1 mm.", "The rest is yours."} <= set(said)
    assert "written by some-model; its numbers were checked by software" in said


def test_the_file_names_no_patient_outside_its_page() -> None:
    content = draw_page(report(source(PatientName="Doe^Jane")), picture())
    assert b"Doe" not in content  # page streams are compressed; titles and keywords are not


@pytest.mark.parametrize(
    "name",
    [
        "",
        "^^^^",
        "=",
        "A" * 32 + "^" + "B" * 31,
        "=" + "山" * 32 + "^" + "田" * 31,
        "Иванова^Анна",
        "\ufffd\u200f",
        "שרה^לוי",
    ],
)
def test_any_name_is_drawn(name: str) -> None:
    assert draw_page(report(source(PatientName=name)), picture()).startswith(b"%PDF-")


@pytest.mark.parametrize("spacing", [PixelSpacingMm(0.5, 0.5), PixelSpacingMm(0.2, 0.6), PixelSpacingMm(0.6, 0.2)])
def test_the_picture_keeps_the_proportions_of_millimetres(spacing: PixelSpacingMm) -> None:
    facts = report(measurement=measurement(spacing_mm=spacing))
    box, region = _picture_box(facts, 600.0), facts.measurement.region
    assert box.width / box.height == pytest.approx(region.columns * spacing.column / (region.rows * spacing.row))
    assert box.width <= PICTURE_WIDTH + 1e-9
    assert box.height <= PICTURE_HEIGHT + 1e-9
    assert box.left + box.width <= min(width for width, _ in SIZES.values()) - MARGIN


def test_the_picture_is_not_altered() -> None:
    pixels = picture()
    before = pixels.copy()
    draw_page(report(), pixels)
    assert np.array_equal(pixels, before)
