"""How far the frames of a cine differ about the outline, once the motion of the head is taken out.

Each frame's head probability is moved by the affine map that takes its ellipse onto that of the frame that speaks. What
is left to differ is the outline's own doubt; a head that only moves, turns or grows leaves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.domain import EllipsePx, Map

Affine = NDArray[np.float64]
"""A map of pixel centres, [2, 3]."""


@dataclass(frozen=True, slots=True)
class SeenHead:
    """Head probability of one frame, 0..1, float32 [rows, columns], and the ellipse in its pixels."""

    probability: Map
    ellipse: EllipsePx


def boundary_deviation(heads: Iterable[SeenHead], onto: EllipsePx) -> Map:
    """Standard deviation of the registered probabilities at each pixel, 0..0.5, float32 [rows, columns].

    One pass, one map at a time (Welford 1962): a long cine takes no more memory than a short one.

    Raises:
        ValueError: there is no head.
    """
    count, mean, squares = 0, np.zeros((1, 1)), np.zeros((1, 1))
    for head in heads:
        moved = _registered(head, onto).astype(np.float64)
        count += 1
        step = moved - mean
        mean = mean + step / count
        squares = squares + step * (moved - mean)
    if not count:
        raise ValueError("a deviation needs at least one head")
    deviation: Map = np.sqrt(squares / count).astype(np.float32)
    return deviation


def between(ellipse: EllipsePx, onto: EllipsePx) -> Affine:
    """The affine map that takes one ellipse onto another, turning it by less than a quarter."""
    turn = (onto.angle_deg - ellipse.angle_deg + 90.0) % 180.0 - 90.0  # an axis has no direction
    stretch = np.diag([onto.semi_major_px / ellipse.semi_major_px, onto.semi_minor_px / ellipse.semi_minor_px])
    linear = _rotation(ellipse.angle_deg + turn) @ stretch @ _rotation(ellipse.angle_deg).T
    centre = np.array([ellipse.center_col_px, ellipse.center_row_px])
    shift = np.array([onto.center_col_px, onto.center_row_px]) - linear @ centre
    return np.column_stack([linear, shift])


def _registered(head: SeenHead, onto: EllipsePx) -> Map:
    rows, columns = head.probability.shape
    moved = cv2.warpAffine(head.probability, between(head.ellipse, onto), (columns, rows), flags=cv2.INTER_LINEAR)
    return np.asarray(moved, np.float32)


def _rotation(angle_deg: float) -> NDArray[np.float64]:
    turn = math.radians(angle_deg)
    return np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
