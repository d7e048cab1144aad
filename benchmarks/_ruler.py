"""A reader for the burned-in depth ruler: the experiment behind docs/decisions/0015. No part of the product uses it.

Ticks are thin bright marks, one above the other, at equal distances: 10 mm on most screens, 5 or 2 mm where the depth
is small. What is read is their distance in pixels; which step they stand for is only known up to the usual steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.domain import Luminance

Rows = NDArray[np.float64]

STEPS_MM = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
TOLERANCE = 0.05

LOWEST_CONTRAST = 40  # grey levels above what is left when lines thinner than OPENING_ROWS are taken away
OPENING_ROWS = 9
THICKEST_TICK_ROWS = 7
LONGEST_TICK_COLUMNS = 24
LOWEST_FILL = 0.6  # share of its box that a tick or a dot fills; letters fill less

BESIDE_ROWS = 3
BESIDE_COLUMNS = 6

FEWEST_TICKS = 5
FEWEST_SEEN = 0.75  # share of the places between first and last tick where one is seen
MOST_STRAYS = 0.34  # other marks of the column between first and last tick, per tick
SHORTEST_SPAN = 0.25  # of the rows of the frame
SMALLEST_STEP_PX = 6.0
OFF_PLACE_PX = 1.0  # ticks stand on whole pixels
MOST_JITTER_PX = 0.5  # root mean square
FULLEST_COLUMN = 100  # marks; more is texture
REACHES = (2, 4, 8, 16, 32, 64, 128)  # ticks to either side


@dataclass(frozen=True, slots=True)
class Ruler:
    """`tick_px`: rows from tick to tick; `ticks` seen on `places` from first to last; `strays` stand between places."""

    tick_px: float
    ticks: int
    places: int
    column: int
    strays: int

    @property
    def score(self) -> int:
        """A tick speaks for the ruler; a missing one, or a mark between two, speaks against it twice as loud."""
        return self.ticks - 2 * (self.places - self.ticks) - 2 * self.strays


@dataclass(frozen=True, slots=True)
class Verdict:
    """A ruler beside a calibration. `ratio`: tick distance in mm over the nearest usual step."""

    tick_mm: float
    step_mm: float

    @property
    def ratio(self) -> float:
        return self.tick_mm / self.step_mm

    @property
    def agrees(self) -> bool:
        return abs(self.ratio - 1.0) <= TOLERANCE


def compare(tick_px: float, row_mm: float) -> Verdict:
    """Set the tick distance against the usual steps; a factor of 2, 2.5 or 5 between two of them cannot be seen."""
    tick_mm = tick_px * row_mm
    return Verdict(tick_mm, min(STEPS_MM, key=lambda step: abs(math.log(tick_mm / step))))


def read_ruler(luminance: Luminance) -> Ruler | None:
    """The vertical ruler of a frame, or None. `luminance`: the whole frame, uint8 [rows, columns]."""
    boxes, centres = _marks(luminance)
    left, width = boxes[:, 0], boxes[:, 2]
    found: list[Ruler] = []
    for edge in (left, left + width - 1, np.round(centres[:, 0]).astype(np.int64)):
        for column, rows in _aligned(edge, centres[:, 1]):
            ruler = _regular(rows, column)
            if ruler and (ruler.places - 1) * ruler.tick_px >= SHORTEST_SPAN * luminance.shape[0]:
                found.append(ruler)
    return max(found, key=lambda ruler: (ruler.score, ruler.tick_px), default=None)


def _marks(luminance: Luminance) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Bright marks thin along rows: boxes [marks, (left, top, width, height, area)], centres [marks, (column, row)]."""
    line = np.ones((OPENING_ROWS, 1), np.uint8)
    thin = cv2.morphologyEx(luminance, cv2.MORPH_TOPHAT, line) >= LOWEST_CONTRAST
    _, _, stats, middles = cv2.connectedComponentsWithStats(thin.astype(np.uint8))
    boxes: NDArray[np.int64] = stats[1:].astype(np.int64)  # the first is what lies between the marks
    centres: NDArray[np.float64] = middles[1:].astype(np.float64)
    width, height, area = boxes[:, 2], boxes[:, 3], boxes[:, 4]
    tick_like = (height <= THICKEST_TICK_ROWS) & (width <= LONGEST_TICK_COLUMNS)
    tick_like &= (area >= 2) & (area >= LOWEST_FILL * width * height)
    boxes, centres = boxes[tick_like], centres[tick_like]
    free = _free_at_one_side(luminance, boxes)
    return boxes[free], centres[free]


def _free_at_one_side(luminance: Luminance, boxes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """False for a dash or a decimal point within a line of text, [marks]: it has neighbours at both sides."""
    top, left = boxes[:, 1], boxes[:, 0]
    right, middle = left + boxes[:, 2] - 1, top + boxes[:, 3] // 2
    brightest = cv2.dilate(luminance, np.ones((2 * BESIDE_ROWS + 1, 2 * BESIDE_COLUMNS + 1), np.uint8))
    away = BESIDE_COLUMNS + 2  # the window begins a pixel beyond the mark
    brightest = np.pad(brightest, ((0, 0), (away, away)))  # nothing lies beyond the frame
    faint = luminance[middle, (left + right) // 2] // 2
    free: NDArray[np.bool_] = (brightest[middle, left] < faint) | (brightest[middle, right + 2 * away] < faint)
    return free


def _aligned(edge: NDArray[np.int64], rows: Rows) -> Iterator[tuple[int, Rows]]:
    """Columns with enough marks at the same place to within a pixel, and the rows of these marks in rising order."""
    order = np.argsort(edge, kind="stable")
    edge, rows = edge[order], rows[order]
    for column in np.unique(edge):
        first, last = np.searchsorted(edge, (column - 1, column + 2))
        if FEWEST_TICKS <= last - first <= FULLEST_COLUMN:
            yield int(column), np.sort(rows[first:last])


def _regular(rows: Rows, column: int) -> Ruler | None:
    """The best regular series among the rows. A series starts where two gaps in succession are alike."""
    gaps = np.diff(rows)
    alike = (np.abs(np.diff(gaps)) <= 2 * OFF_PLACE_PX) & (gaps[1:] >= SMALLEST_STEP_PX)
    starts = {round(float(gaps[i : i + 2].mean())): int(i) for i in np.flatnonzero(alike)}
    series = (_series(rows, i, float(gaps[i : i + 2].mean()), column) for i in starts.values())
    return max((s for s in series if s), key=lambda s: (s.score, s.tick_px), default=None)


def _series(rows: Rows, start: int, step: float, column: int) -> Ruler | None:
    """Grow a series from three ticks at `start`: fit step and offset to the ticks near it, then to those twice as far.

    Reaching for all at once, an error of the step would count distant ticks to the wrong places.
    """
    offset = float(rows[start])
    for reach in REACHES:
        places = np.round((rows - offset) / step)
        on_place = (np.abs(rows - offset - places * step) <= OFF_PLACE_PX) & (np.abs(places) <= reach)
        if np.unique(places[on_place]).size < 2:
            return None
        known, seen_at = places[on_place], rows[on_place]
        step = float(((known - known.mean()) * seen_at).sum() / ((known - known.mean()) ** 2).sum())
        offset = float(seen_at.mean() - step * known.mean())
    jitter = math.sqrt(float(np.mean((rows - offset - places * step)[on_place] ** 2)))
    seen = np.unique(places[on_place])
    within = (places >= seen[0]) & (places <= seen[-1])
    ruler = Ruler(step, seen.size, int(seen[-1] - seen[0]) + 1, column, int((within & ~on_place).sum()))
    return ruler if jitter <= MOST_JITTER_PX and _is_convincing(ruler) else None


def _is_convincing(ruler: Ruler) -> bool:
    return (
        ruler.ticks >= FEWEST_TICKS
        and ruler.ticks >= FEWEST_SEEN * ruler.places
        and ruler.strays <= MOST_STRAYS * ruler.ticks
        and ruler.tick_px >= SMALLEST_STEP_PX
    )
