"""What is drawn lies where the ellipse is, leaves the head in sight and never leaves the picture."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from inference.domain import CalibrationSource, EllipsePx
from inference.measure import outline_px
from sr_templates import drawing, wording
from sr_templates.overlay import draw_overlay, panel_lines
from sr_templates.panel import FONT_SHARE, place_panel
from tests.reports import ELLIPSE, measurement, picture, report

ROWS, COLUMNS = 768, 1024
BIG = EllipsePx(500.0, 380.0, 250.0, 190.0, 25.0)


def test_the_outline_is_drawn_where_the_ellipse_is() -> None:
    drawn = draw_overlay(report(measurement=measurement(ellipse=BIG)), np.zeros((ROWS, COLUMNS, 3), np.uint8))
    columns, rows = np.round(outline_px(BIG, 360)).astype(int).T
    distance = np.abs(drawn[rows, columns].astype(int) - drawing.OUTLINE_COLOR).max(axis=1)
    assert np.mean(distance < 60) > 0.97  # a pixel under an axis' end or at half cover may differ


def test_nothing_is_drawn_inside_the_head_but_the_axes() -> None:
    drawn = draw_overlay(report(measurement=measurement(ellipse=BIG)), np.zeros((ROWS, COLUMNS, 3), np.uint8))
    inner = dataclasses.replace(BIG, semi_major_px=200.0, semi_minor_px=150.0, angle_deg=BIG.angle_deg)
    columns, rows = np.round(outline_px(inner, 720)).astype(int).T
    touched = (drawn[rows, columns] > 0).any(axis=1)
    assert touched.mean() < 0.05


def test_shape_and_source_stay() -> None:
    pixels = picture()
    before = pixels.copy()
    drawn = draw_overlay(report(), pixels)
    assert drawn.shape == pixels.shape
    assert drawn.dtype == np.uint8
    assert np.array_equal(pixels, before)
    assert not np.array_equal(drawn, before)


def test_same_facts_same_pixels() -> None:
    assert np.array_equal(draw_overlay(report(), picture()), draw_overlay(report(), picture()))


@pytest.mark.parametrize("corner", [(200.0, 180.0), (824.0, 180.0), (200.0, 590.0), (824.0, 590.0)])
def test_the_panel_avoids_the_head(corner: tuple[float, float]) -> None:
    ellipse = EllipsePx(*corner, 160.0, 130.0, 10.0)
    facts = report(measurement=measurement(ellipse=ellipse))
    pixels = np.zeros((ROWS, COLUMNS, 3), np.uint8)
    panel, (left, top) = place_panel(panel_lines(facts), pixels, facts.measurement)
    columns, rows = outline_px(ellipse, 180).T
    hidden = (columns >= left) & (columns <= left + panel.width) & (rows >= top) & (rows <= top + panel.height)
    assert not hidden.any()


def test_letters_shrink_before_they_hide_a_large_head() -> None:
    facts = report(measurement=measurement(ellipse=EllipsePx(400.0, 270.0, 240.0, 190.0, 0.0)))
    small, large = np.zeros((540, 800, 3), np.uint8), np.zeros((ROWS, COLUMNS, 3), np.uint8)
    panel, (left, top) = place_panel(panel_lines(facts), small, facts.measurement)
    columns, rows = outline_px(facts.measurement.ellipse, 180).T
    hidden = (columns >= left) & (columns <= left + panel.width) & (rows >= top) & (rows <= top + panel.height)
    assert not hidden.any()
    assert panel.base_px < 540 * FONT_SHARE - 0.5
    assert place_panel(panel_lines(facts), large, facts.measurement)[0].base_px == round(ROWS * FONT_SHARE)


def test_the_panel_avoids_interface_text() -> None:
    facts = report(measurement=measurement(ellipse=EllipsePx(512.0, 384.0, 160.0, 130.0, 10.0)))
    pixels = np.zeros((ROWS, COLUMNS, 3), np.uint8)
    _, plain = place_panel(panel_lines(facts), pixels, facts.measurement)
    pixels[plain[1] + 10 : plain[1] + 30, plain[0] + 10 : plain[0] + 190 : 3] = 255
    panel, (left, top) = place_panel(panel_lines(facts), pixels, facts.measurement)
    assert not (pixels[top : top + panel.height, left : left + panel.width] == 255).any()


@pytest.mark.parametrize("shape", [(600, 800), (ROWS, COLUMNS), (1080, 1920)])
def test_a_viewers_own_text_does_not_lie_over_the_panel(shape: tuple[int, int]) -> None:
    """OHIF 3.13 writes 74 points high into the top and 52 into the bottom of a window 742 high, beside a black bar."""
    rows, columns = shape
    ellipse = EllipsePx(columns * 0.6, rows * 0.5, rows * 0.25, rows * 0.2, 10.0)
    facts = report(measurement=measurement(ellipse=ellipse))
    panel, (_, top) = place_panel(panel_lines(facts), np.zeros((*shape, 3), np.uint8), facts.measurement)
    bar = (742 - min(742 / rows, 954 / columns) * rows) / 2  # of the same window, 954 wide
    points = (742 - 2 * bar) / rows
    assert bar + (top + panel.padding) * points > 74
    assert bar + (rows - top - panel.height + panel.padding) * points > 52


def test_a_head_matters_more_than_a_viewers_text() -> None:
    facts = report(measurement=measurement(ellipse=EllipsePx(512.0, 510.0, 480.0, 290.0, 0.0)))
    panel, (_, top) = place_panel(panel_lines(facts), np.zeros((ROWS, COLUMNS, 3), np.uint8), facts.measurement)
    assert top == panel.padding


def test_in_a_small_picture_what_others_say_too_gives_way_to_the_head() -> None:
    shape = rows, columns = 300, 400
    ellipse = EllipsePx(columns * 0.5, rows * 0.55, rows * 0.27, rows * 0.21, 130.0)
    facts = report(measurement=measurement(ellipse=ellipse))
    panel, corner = place_panel(panel_lines(facts), np.zeros((*shape, 3), np.uint8), facts.measurement)
    around = outline_px(ellipse, 180) - np.array(corner)
    assert not ((around >= 0) & (around <= (panel.width, panel.height))).all(axis=1).any()
    text = [line.text for line in panel.lines]
    assert panel.base_px >= 9
    assert text[0] == wording.RESEARCH_MARK
    assert {"HC 197.1 mm", "95 % interval 194.6 to 199.6 mm", "GA 21w 6d", "Not verified by a clinician"} <= {*text}
    assert not any("outer to outer" in line for line in text)


@pytest.mark.parametrize("shape", [(600, 800), (768, 1024), (1080, 1920)])
def test_letters_are_legible_at_usual_sizes(shape: tuple[int, int]) -> None:
    panel, _ = place_panel(panel_lines(report()), np.zeros((*shape, 3), np.uint8), measurement())
    assert panel.base_px >= 11
    assert panel.width <= shape[1] * 0.4
    assert panel.height <= shape[0] * 0.4


@pytest.mark.parametrize("shape", [(1, 1), (16, 2000), (2000, 16), (64, 64)])
def test_tiny_pictures_do_not_break_it(shape: tuple[int, int]) -> None:
    assert draw_overlay(report(), np.zeros((*shape, 3), np.uint8)).shape == (*shape, 3)


def test_the_panel_says_what_the_measurement_says() -> None:
    text = [line.text for line in panel_lines(report())]
    assert text[0] == "AI - research use"
    assert "HC 197.1 mm" in text
    assert "95 % interval 194.6 to 199.6 mm" in text
    assert "GA 21w 6d" in text
    assert "Hadlock 1984 (HC)" in text


def test_without_an_age_the_panel_says_none() -> None:
    text = [line.text for line in panel_lines(report(measurement=measurement(hc_mm=400.0)))]
    assert "GA none" in text
    assert not any("Hadlock" in line for line in text)


def test_colours_can_be_told_apart_without_red_and_green() -> None:
    """Blue minus yellow separates all three even where red and green are one."""
    opponent = sorted(c[2] - (c[0] + c[1]) / 2 for c in (drawing.OUTLINE_COLOR, drawing.BPD_COLOR, drawing.OFD_COLOR))
    lightness = sorted(sum(c) for c in (drawing.OUTLINE_COLOR, drawing.OFD_COLOR))
    assert opponent[-1] - opponent[0] > 150
    assert lightness[1] - lightness[0] > 100


def test_the_default_ellipse_lies_in_the_default_picture() -> None:
    columns, rows = outline_px(ELLIPSE, 90).T
    assert columns.min() > 0
    assert rows.min() > 0


def test_the_panel_says_where_the_scale_is_not_the_machines_own() -> None:
    scanned = measurement(calibration_source=CalibrationSource.NOMINAL_SCANNED_PIXEL_SPACING)
    assert wording.SCANNED_MARK in [line.text for line in panel_lines(report(measurement=scanned))]
    assert wording.SCANNED_MARK not in [line.text for line in panel_lines(report())]
