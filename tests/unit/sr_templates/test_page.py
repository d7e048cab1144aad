"""The page keeps to one sheet, repeats itself byte for byte and never spills, whatever the names are."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from inference.domain import PixelSpacingMm, Remark
from sr_templates.page import MARGIN, PAGE_WIDTH, PICTURE_HEIGHT, PICTURE_WIDTH, _picture_box, draw_page
from tests.reports import measurement, picture, report, source, with_lmp


def test_same_facts_same_bytes() -> None:
    facts = report()
    assert draw_page(facts, picture()) == draw_page(facts, picture())


def test_it_is_one_page_with_embedded_fonts() -> None:
    content = draw_page(report(), picture())
    assert content.startswith(b"%PDF-")
    assert content.count(b"/Type /Page\n") == 1
    assert content.count(b"/FontFile2") == 2


def test_what_has_no_room_goes_on_a_second_page() -> None:
    head = with_lmp(measurement(hc_mm=80.0), 120)
    everything = dataclasses.replace(head, warnings=tuple(Remark))
    assert draw_page(report(measurement=head), picture()).count(b"/Type /Page\n") == 1
    assert draw_page(report(measurement=everything), picture()).count(b"/Type /Page\n") == 2


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
    assert box.left + box.width <= PAGE_WIDTH - MARGIN


def test_the_picture_is_not_altered() -> None:
    pixels = picture()
    before = pixels.copy()
    draw_page(report(), pixels)
    assert np.array_equal(pixels, before)
