"""The two maps on the page: over the right pixels, with the colours of their scale, saying what they are not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.domain import PixelSpacingMm
from sr_templates import photograph, reasons
from sr_templates.heat import DENSEST, DEVIATION_TOP, colors
from sr_templates.language import Language
from sr_templates.page import draw_page
from sr_templates.report import Further, PageSize
from sr_templates.sheet import Sheet, Style
from tests.reports import REGION, explanation, measurement, picture, report

WHY = Further(explanation())


def drawn_pictures(monkeypatch: pytest.MonkeyPatch) -> list[NDArray[np.uint8]]:
    """Every photograph that the page is given from now on."""
    found: list[NDArray[np.uint8]] = []
    original = photograph.jpeg
    monkeypatch.setattr(photograph, "jpeg", lambda crop: found.append(crop.copy()) or original(crop))
    return found


def test_each_map_lies_over_the_measured_region(monkeypatch: pytest.MonkeyPatch) -> None:
    found = drawn_pictures(monkeypatch)
    draw_page(report(), picture(), further=WHY)
    plain, attention, doubt = found
    assert {crop.shape for crop in found} == {(REGION.rows, REGION.columns, 3)}
    why = explanation()
    for drawn, values in ((attention, why.attention), (doubt, why.deviation / DEVIATION_TOP)):
        assert np.array_equal(drawn[values == 0], plain[values == 0])  # where nothing is said the tissue is as it was
        row, column = np.unravel_index(int(values.argmax()), values.shape)
        expected = plain[row, column] * (1 - DENSEST) + colors()[round(float(min(values.max(), 1.0)) * 255)] * DENSEST
        assert np.abs(drawn[row, column] - expected).max() <= 1.0


def test_the_page_is_the_same_without_an_explanation(monkeypatch: pytest.MonkeyPatch) -> None:
    found = drawn_pictures(monkeypatch)
    assert draw_page(report(), picture()) == draw_page(report(), picture(), further=Further())
    assert len(found) == 2


@pytest.mark.parametrize("language", Language)
def test_each_picture_says_what_it_is_not(language: Language, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    text = Sheet.text

    def noted(sheet: Sheet, x: float, y: float, value: str, style: Style) -> float:
        said.append(value)
        return text(sheet, x, y, value, style)

    monkeypatch.setattr(Sheet, "text", noted)
    draw_page(report(language=language), picture(), further=WHY)
    whole = " ".join(said)
    parts = {
        Language.ENGLISH: (
            "no sign that HC or the plane is right",
            "not how far HC is off",
            "6 answers",
            "0.25 or more",
        ),
        Language.GERMAN: ("Kein Zeichen dafür", "nicht, wie weit der KU abweicht", "6 Antworten", "0,25 und mehr"),
    }
    assert [part for part in parts[language] if part not in whole] == []


@pytest.mark.parametrize("spacing", [PixelSpacingMm(0.5, 0.5), PixelSpacingMm(0.2, 0.9), PixelSpacingMm(0.9, 0.1)])
def test_pictures_keep_the_proportions_of_millimetres_and_fit(spacing: PixelSpacingMm) -> None:
    facts = report(measurement=measurement(spacing_mm=spacing))
    sheet = Sheet(PageSize.A4)
    for column in reasons._columns(sheet):
        box = reasons._box(facts, column, 500.0)
        assert box.width / box.height == pytest.approx(photograph.aspect(facts.measurement))
        assert box.width <= column.width + 1e-9
        assert box.height <= reasons.MOST_HEIGHT + 1e-9
    assert reasons.height(sheet, facts, explanation(facts.measurement)) < 240.0
