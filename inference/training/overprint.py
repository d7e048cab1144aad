"""What a machine lays around and over the picture: the field of view, burned-in text, measuring crosses.

All of it stands at random places, so that nothing about the head can be learned from it.
"""

from __future__ import annotations

import string
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.training.augmentation_range import AugmentationRange

Grey = NDArray[np.float32]
Mask = NDArray[np.bool_]

SMALLEST_HEAD_SHARE = 0.97
"""A field of view that cuts more of the head than this leaves is no picture that anybody would measure."""
TRIES = 4
LETTERS = string.ascii_letters + string.digits + ".:/-+ "
HERSHEY_HEIGHT_PX = 22.0
"""Of a capital letter at scale 1 of OpenCV's Hershey font."""


def overprint(grey: Grey, head: Mask, rng: np.random.Generator, span: AugmentationRange) -> Grey:
    """Field of view, then ink, on grey levels 0..255 [rows, columns]; `head`: bool, where the head is."""
    for chance, draw in ((span.sector, _sector), (span.crop, _frame)):
        if chance > 0 and rng.random() < chance:
            grey = grey * _field_of_view(draw, head, rng)
    for chance, write in ((span.text, _text), (span.calipers, _calipers)):
        if chance > 0 and rng.random() < chance:
            ink = np.zeros(grey.shape, np.uint8)
            write(ink, rng)
            cover = ink.astype(np.float32) * np.float32(rng.uniform(0.7, 1.0) / 255.0)
            grey = grey * (1 - cover) + cover * np.float32(rng.uniform(150.0, 255.0))
    return grey.astype(np.float32)


def _field_of_view(
    draw: Callable[[tuple[int, ...], np.random.Generator], Mask], head: Mask, rng: np.random.Generator
) -> Mask:
    """One that keeps the head; everything, if none of TRIES does."""
    for _ in range(TRIES):
        seen = draw(head.shape, rng)
        if np.sum(seen & head) >= SMALLEST_HEAD_SHARE * np.sum(head):
            return seen
    return np.ones(head.shape, np.bool_)


def _sector(shape: tuple[int, ...], rng: np.random.Generator) -> Mask:
    """The fan of a curved array whose face lies at the top edge."""
    rows, columns = shape
    row, column = np.mgrid[0:rows, 0:columns].astype(np.float32)
    above = float(rng.uniform(0.15, 0.6)) * rows
    near, far = above + rng.uniform(-0.03, 0.10) * rows, above + rng.uniform(0.85, 1.15) * rows
    down, across = row + above, column - float(rng.uniform(0.42, 0.58)) * columns
    radius = np.hypot(down, across)
    half_angle = np.radians(rng.uniform(28.0, 45.0))
    fan: Mask = (radius > near) & (radius < far) & (np.abs(np.arctan2(across, down)) < half_angle)
    return fan


def _frame(shape: tuple[int, ...], rng: np.random.Generator) -> Mask:
    """A rectangle with up to a quarter of each side cut away."""
    rows, columns = shape
    top, bottom = (int(rng.uniform(0.0, 0.25) * rows) for _ in range(2))
    left, right = (int(rng.uniform(0.0, 0.25) * columns) for _ in range(2))
    seen = np.zeros(shape, np.bool_)
    seen[top : rows - bottom, left : columns - right] = True
    return seen


def _text(ink: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """One to three blocks of one to four lines, mostly near a corner, as machines print them."""
    rows, columns = ink.shape
    height = float(rng.uniform(0.025, 0.05)) * rows
    for _ in range(int(rng.integers(1, 4))):
        near_corner = rng.random() < 0.7
        left = rng.choice([0.02, 0.75]) if near_corner else rng.uniform(0.0, 0.8)
        top = rng.choice([0.05, 0.75]) if near_corner else rng.uniform(0.0, 0.9)
        for line in range(int(rng.integers(1, 5))):
            letters = "".join(rng.choice(list(LETTERS), int(rng.integers(2, 13))))
            place = (int(left * columns), int(top * rows + 1.5 * height * (line + 1)))
            font = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_PLAIN]))
            cv2.putText(ink, letters, place, font, height / HERSHEY_HEIGHT_PX, 255, 1, cv2.LINE_AA)


def _calipers(ink: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """One to three pairs of crosses, some joined by a dotted line."""
    rows, columns = ink.shape
    for _ in range(int(rng.integers(1, 4))):
        ends = rng.uniform(0.08, 0.92, (2, 2)) * (columns, rows)
        marker = int(rng.choice([cv2.MARKER_CROSS, cv2.MARKER_TILTED_CROSS]))
        size = max(3, int(rng.uniform(0.02, 0.05) * rows))
        for column, row in ends:
            cv2.drawMarker(ink, (int(column), int(row)), 255, marker, size, 1, cv2.LINE_AA)
        if rng.random() < 0.5:
            dots = int(np.hypot(*(ends[1] - ends[0])) / rng.uniform(3.0, 8.0)) + 2
            along = np.linspace(ends[0], ends[1], dots).astype(np.intp)
            ink[along[:, 1], along[:, 0]] = 255
