"""Bars in the order of the frames, as high as their weight; the chosen one and the present one are marked."""

from __future__ import annotations

import numpy as np
import pytest

from sr_templates import drawing
from sr_templates.strip import BAR_COLOR, NO_BAR_COLOR, Strip, draw_strip, strip_rows

SHAPE = (600, 800)
ATTENTION = Strip((0.1, 0.6, None, 0.3), "Attention", 0.0, 1.0)


def bars(drawn: np.ndarray, color: tuple[int, int, int]) -> tuple[list[float], list[int]]:
    """Middles and heights of the bars of a colour, left to right."""
    mask = (drawn == color).all(axis=2)
    columns = np.flatnonzero(mask.sum(axis=0) > 1)
    groups = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1) if len(columns) else []
    return [float(group.mean()) for group in groups], [int(mask[:, group[0]].sum()) for group in groups]


def test_the_higher_the_weight_the_higher_the_bar() -> None:
    drawn = draw_strip(ATTENTION, SHAPE, current=0, chosen=1)
    assert drawn.shape == (strip_rows(600), 800, 3)
    places, heights = bars(drawn, BAR_COLOR)
    chosen_places, chosen_heights = bars(drawn, drawing.OUTLINE_COLOR)
    without, _ = bars(drawn, NO_BAR_COLOR)
    assert len(places) == 2
    assert heights[1] == pytest.approx(3 * heights[0], abs=3)
    assert chosen_heights[0] == pytest.approx(2 * heights[1], abs=3)
    assert places[0] < chosen_places[0] < without[0] < places[1]


def test_the_triangle_stands_below_the_frame_that_is_shown() -> None:
    strips = [draw_strip(ATTENTION, SHAPE, current, chosen=1) for current in range(4)]
    middles = [np.flatnonzero((strip == 255).all(axis=2).any(axis=0)).mean() for strip in strips]
    steps = np.diff(middles)
    assert steps.min() > 100
    assert steps == pytest.approx(steps.mean(), abs=1.5)


@pytest.mark.parametrize("shape", [(1, 1), (64, 64), (300, 400), (600, 800), (1080, 1920)])
@pytest.mark.parametrize("frames", [2, 512])
def test_any_size_and_length_can_be_drawn(shape: tuple[int, int], frames: int) -> None:
    drawn = draw_strip(Strip((0.5,) * frames, "Attention", 0.0, 1.0), shape, frames - 1, 0)
    assert drawn.shape == (strip_rows(shape[0]), shape[1], 3)


def test_it_is_written_on_unless_it_is_too_narrow() -> None:
    wide, narrow = (draw_strip(ATTENTION, (600, columns), 0, 1) for columns in (800, 30))
    assert wide[-12:].any()
    assert not narrow[-12:].any()


@pytest.mark.parametrize("weights", [(1.2,), (-0.1, 0.5)])
def test_weights_beyond_the_scale_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"outside 0\.0 to 1\.0"):
        Strip(weights, "Attention", 0.0, 1.0)
    with pytest.raises(ValueError, match="no length"):
        Strip((), "Attention", 1.0, 1.0)
