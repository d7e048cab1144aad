"""Maps over the frame: the colour says the value and lies in the region alone; where a map is 0 the frame is seen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from inference.domain import EllipsePx, Explanation, RegionPx
from sr_templates import wording
from sr_templates.heat import DENSEST, DEVIATION_TOP, Heat, _lines, colors, draw_attention, draw_deviation
from sr_templates.panel import place_panel
from sr_templates.report import Picture, ReportInput
from tests.reports import REGION, explanation, measurement, picture, report

Draw = Callable[[ReportInput, Picture, Explanation], Picture]
ROWS, COLUMNS = 600, 800
HEAD = measurement(region=RegionPx(180, 90, 779, 559), ellipse=EllipsePx(560.0, 360.0, 180.0, 140.0, 30.0))
FACTS = report(measurement=HEAD)
GREY = np.full((ROWS, COLUMNS, 3), 80, np.uint8)

NOTES = wording.deviation_notes(explanation())


def flat(attention: float, deviation: float) -> Explanation:
    shape = (HEAD.region.rows, HEAD.region.columns)
    return explanation(
        HEAD,
        attention=np.full(shape, attention, np.float32),
        deviation=np.full(shape, deviation, np.float32),
    )


@pytest.mark.parametrize("draw", [draw_attention, draw_deviation])
def test_where_a_map_is_nought_the_frame_is_as_it_was(draw: Draw) -> None:
    drawn = draw(FACTS, GREY, flat(0.0, 0.0))
    assert tuple(drawn[360, 560]) == (80, 80, 80)
    assert tuple(drawn[550, 200]) == (80, 80, 80)


@pytest.mark.parametrize("draw", [draw_attention, draw_deviation])
def test_no_colour_leaves_the_region(draw: Draw) -> None:
    drawn = draw(FACTS, GREY, flat(1.0, 0.5))
    box = HEAD.region
    outside = np.ones((ROWS, COLUMNS), bool)
    outside[box.min_row : box.max_row + 1, box.min_column : box.max_column + 1] = False
    outside[:, : COLUMNS // 2] &= np.arange(ROWS)[:, None] > ROWS // 2  # the panel stands above on the left
    assert (drawn[outside] == 80).all()
    corner = drawn[box.max_row, box.min_column], drawn[box.max_row, box.max_column]
    assert all(tuple(pixel) != (80, 80, 80) for pixel in corner)


@pytest.mark.parametrize("value", [0.4, 0.7, 1.0])
def test_the_colour_is_that_of_the_scale(value: float) -> None:
    expected = (1 - DENSEST) * 80 + DENSEST * colors()[round(value * 255)].astype(float)
    for drawn in (
        draw_attention(FACTS, GREY, flat(value, 0.0)),
        draw_deviation(FACTS, GREY, flat(0.0, value * DEVIATION_TOP)),
    ):
        assert drawn[360, 560] == pytest.approx(expected, abs=1.5)


def test_more_than_the_scale_has_is_its_top() -> None:
    at_top, beyond = (draw_deviation(FACTS, GREY, flat(0.0, d)) for d in (DEVIATION_TOP, 0.5))
    assert np.array_equal(at_top, beyond)


def test_the_scale_of_colours_grows_lighter_all_the_way() -> None:
    """So it reads the same without red, green or any colour; the weights are those of Rec. 709 luma."""
    luma = colors().astype(float) @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(luma) > -1.0).all()
    assert luma[-1] - luma[0] > 180


def test_the_bar_shows_the_scale_from_end_to_end() -> None:
    black = np.zeros((ROWS, COLUMNS, 3), np.uint8)
    drawn = draw_attention(FACTS, black, flat(0.0, 0.0))
    for end in (colors()[0], colors()[-1]):
        assert (np.abs(drawn.astype(int) - end).max(axis=2) <= 6).sum() >= 5


def test_the_panel_says_what_is_seen_and_whose_it_is() -> None:
    heat = Heat(explanation().deviation, wording.DEVIATION_TITLE, ("0", "1", "2"), NOTES)
    text = [line.text for line in _lines(report(), heat)]
    assert wording.RESEARCH_MARK in text
    assert wording.DEVIATION_TITLE in text
    assert "over 6 answers to this one image" in text
    assert "HC 197.1 mm" in text


@pytest.mark.parametrize("shape", [(600, 800), (768, 1024), (1080, 1920)])
def test_the_panel_is_legible_and_small_at_usual_sizes(shape: tuple[int, int]) -> None:
    heat = Heat(explanation().deviation, wording.DEVIATION_TITLE, ("0", "0.1", "0.2"), NOTES)
    panel, _ = place_panel(_lines(report(), heat), np.zeros((*shape, 3), np.uint8), measurement())
    assert panel.base_px >= 11
    assert panel.width <= shape[1] * 0.4
    assert panel.height <= shape[0] * 0.4


@pytest.mark.parametrize("draw", [draw_attention, draw_deviation])
def test_shape_and_source_stay_and_the_same_facts_give_the_same_pixels(draw: Draw) -> None:
    pixels = picture()
    before = pixels.copy()
    drawn = draw(report(), pixels, explanation())
    assert drawn.shape == pixels.shape
    assert drawn.dtype == np.uint8
    assert np.array_equal(pixels, before)
    assert np.array_equal(drawn, draw(report(), pixels, explanation()))


def test_doubt_is_seen_at_the_outline_and_not_in_the_middle() -> None:
    drawn = draw_deviation(FACTS, GREY, explanation(HEAD))
    changed = np.abs(drawn.astype(int) - 80).max(axis=2)
    assert changed[360, 560] == 0
    end = 560 + round(180 * np.cos(np.radians(30))), 360 + round(180 * np.sin(np.radians(30)))
    assert changed[end[1] - 2 : end[1] + 3, end[0] - 2 : end[0] + 3].min() > 20


@pytest.mark.parametrize("shape", [(1, 1), (16, 2000), (64, 64)])
def test_tiny_pictures_do_not_break_it(shape: tuple[int, int]) -> None:
    box = RegionPx(0, 0, shape[1] - 1, shape[0] - 1)
    head = measurement(region=box)
    drawn = draw_attention(report(measurement=head), np.zeros((*shape, 3), np.uint8), explanation(head))
    assert drawn.shape == (*shape, 3)


def test_maps_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=f"{REGION.rows} rows"):
        explanation(attention=np.zeros((3, 4), np.float32))


def test_of_a_cine_the_panel_says_that_frames_differ() -> None:
    assert wording.deviation_notes(explanation(frames=14))[1] == "over 14 frames, each laid on this head"
    assert wording.deviation_notes(explanation())[1] == "over 6 answers to this one image"
