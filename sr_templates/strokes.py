"""Lines on a picture, anti-aliased, over a dark casing so that they show on bright bone; in place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from sr_templates.drawing import Color, Point
from sr_templates.report import Picture

_SHIFT = 4  # OpenCV's fixed point: sixteenths of a pixel
_CASING: Color = (0, 0, 0)


def line_width(picture: Picture) -> int:
    """In pixels: 2 at 600 rows."""
    rows: int = picture.shape[0]
    return max(1, round(rows / 330))


def draw_closed(picture: Picture, points: NDArray[np.float64], color: Color) -> None:
    """A closed curve through points [n, 2] (column, row)."""
    _line(picture, points, color, closed=True)


def draw_dashed(picture: Picture, ends: tuple[Point, Point], color: Color, pattern: tuple[float, float]) -> None:
    """`pattern`: dash and gap in multiples of the line width; half as much again for the casing between them."""
    width = line_width(picture)
    for piece in _pieces(ends, (pattern[0] * width * 1.5, pattern[1] * width * 1.5)):
        _line(picture, np.array(piece), color, closed=False)


def draw_thin(picture: Picture, points: NDArray[np.float64], color: Color) -> None:
    """A closed curve through points [n, 2] (column, row), half as wide and without casing: what is below stays seen."""
    width = max(1, line_width(picture) // 2)
    cv2.polylines(picture, [_fixed(points)], True, color, width, cv2.LINE_AA, _SHIFT)


def draw_frame(picture: Picture, color: Color) -> None:
    """A frame along the picture's own edges."""
    rows, columns = picture.shape[:2]
    cv2.rectangle(picture, (0, 0), (columns - 1, rows - 1), color, 2 * line_width(picture))


def _line(picture: Picture, points: NDArray[np.float64], color: Color, closed: bool) -> None:
    width, fixed = line_width(picture), [_fixed(points)]
    cv2.polylines(picture, fixed, closed, _CASING, width + 2, cv2.LINE_AA, _SHIFT)
    cv2.polylines(picture, fixed, closed, color, width, cv2.LINE_AA, _SHIFT)


def _pieces(ends: tuple[Point, Point], dash: tuple[float, float]) -> Iterator[Sequence[Point]]:
    """The strokes of a dashed line; dash and gap in pixels."""
    start, stop = np.array(ends[0]), np.array(ends[1])
    length = float(np.hypot(*(stop - start)))
    if length <= 0:
        return
    for at in np.arange(0.0, length, sum(dash)):
        first = start + (stop - start) * (at / length)
        last = start + (stop - start) * (min(at + dash[0], length) / length)
        yield tuple(first), tuple(last)


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """OpenCV's sub-pixel coordinates; like ours, they count from the first pixel's centre."""
    return np.round(points * (1 << _SHIFT)).astype(np.int32)
