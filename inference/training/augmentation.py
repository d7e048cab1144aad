"""Random views of one training image, drawn straight from the source pixels onto the network's grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.domain import EllipsePx, Luminance
from inference.measure import inside_distance_px, map_ellipse
from inference.preprocess import Grid, plan
from inference.training.augmentation_range import PLAIN, AugmentationRange
from inference.training.degradation import degrade
from inference.training.overprint import overprint

FAR_OUTSIDE = -1e4
WEIGHT_ON_OUTLINE = 5.0
WEIGHT_REACH_PX = 4.0

Truth = EllipsePx | Luminance | None
"""Where the head is: its ellipse, a soft mask 0..255 [rows, columns] of the source, or nowhere."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Picture and targets, float32 [rows, columns] each: grey 0..255, head 0..1, weight of the outline."""

    grey: NDArray[np.float32]
    target: NDArray[np.float32]
    weight: NDArray[np.float32]


def view(
    image: Luminance, truth: Truth, grid: Grid, rng: np.random.Generator, span: AugmentationRange = PLAIN
) -> Sample:
    """One augmented view."""
    matrix = _random_affine(image.shape, grid, rng, span)
    shrink = math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
    sigma = max(0.0, 0.5 / shrink * rng.uniform(0.55, 1.1)) if shrink < 1 else 0.0
    warped = _warped(image, matrix, grid, sigma)
    grey = degrade(warped, rng, span)
    target, weight = _moved(truth, matrix, grid, sigma)
    return Sample(overprint(grey, target > 0.5, rng, span), target, weight)


def _warped(image: Luminance, matrix: NDArray[np.float64], grid: Grid, sigma: float) -> NDArray[np.float32]:
    """A source image on the grid, smoothed by `sigma` source pixels first, so that a smaller one does not alias."""
    source = cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0.3 else image
    warped = cv2.warpAffine(source, matrix, (grid.columns, grid.rows), flags=cv2.INTER_LINEAR)
    return warped.astype(np.float32, copy=False)


def _moved(
    truth: Truth, matrix: NDArray[np.float64], grid: Grid, sigma: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Target and weight of a truth under the affine map of its picture."""
    if truth is None:
        return targets(np.full((grid.rows, grid.columns), FAR_OUTSIDE, np.float32))
    if isinstance(truth, EllipsePx):
        return targets(inside_distance_px(map_ellipse(truth, matrix), grid.rows, grid.columns))
    mask = _warped(truth, matrix, grid, sigma) / np.float32(255.0)
    return mask, outline_weight(mask_distance_px(mask))


def targets(distance: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Soft mask (0.5 on the outline, a ramp of one pixel) and weight; `distance` in pixels, positive inside."""
    return np.clip(0.5 + distance, 0.0, 1.0).astype(np.float32), outline_weight(distance)


def outline_weight(distance: NDArray[np.float32]) -> NDArray[np.float32]:
    """WEIGHT_ON_OUTLINE on the outline, 1 far away; `distance` in pixels."""
    near = np.exp(-((distance / WEIGHT_REACH_PX) ** 2))
    weight: NDArray[np.float32] = (1.0 + (WEIGHT_ON_OUTLINE - 1.0) * near).astype(np.float32)
    return weight


def mask_distance_px(mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """Signed distance to the 0.5 level of a mask 0..1 by distance transform, positive inside, half a pixel exact."""
    inside = (mask > 0.5).astype(np.uint8)
    if inside.all() or not inside.any():
        return np.full(mask.shape, -FAR_OUTSIDE if inside.all() else FAR_OUTSIDE, np.float32)
    within, without = (cv2.distanceTransform(part, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for part in (inside, 1 - inside))
    return np.where(inside > 0, within - 0.5, 0.5 - without).astype(np.float32)


def letterbox_affine(rows: int, columns: int, grid: Grid) -> NDArray[np.float64]:
    """The letterbox of inference as a homogeneous map [3, 3] of pixel centres, source to grid."""
    box = plan(rows, columns, None, grid)
    return np.array(
        [
            [box.column_scale, 0.0, 0.5 * box.column_scale - 0.5 + box.column_pad],
            [0.0, box.row_scale, 0.5 * box.row_scale - 0.5 + box.row_pad],
            [0.0, 0.0, 1.0],
        ]
    )


def _random_affine(
    shape: tuple[int, ...], grid: Grid, rng: np.random.Generator, span: AugmentationRange
) -> NDArray[np.float64]:
    """Source pixels to grid pixels, [2, 3]: the letterbox of inference, then flip, aspect, scale, turn, shift."""
    base = letterbox_affine(shape[0], shape[1], grid)
    turn = math.radians(float(np.clip(rng.normal(0.0, span.turn_deg / 2.0), -span.turn_deg, span.turn_deg)))
    scale = math.exp(rng.uniform(-span.scale, span.scale))
    stretch = math.exp(rng.uniform(-span.aspect, span.aspect))
    flip_x = -1.0 if rng.random() < 0.5 else 1.0
    flip_y = -1.0 if rng.random() < 0.15 else 1.0
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    linear = rotation @ np.diag([flip_x * scale * stretch, flip_y * scale / stretch])
    centre = np.array([(grid.columns - 1) / 2.0, (grid.rows - 1) / 2.0])
    move = np.array([rng.uniform(-1, 1) * span.shift * grid.columns, rng.uniform(-1, 1) * span.shift * grid.rows])
    jitter = np.eye(3)
    jitter[:2, :2] = linear
    jitter[:2, 2] = centre - linear @ centre + move
    combined: NDArray[np.float64] = (jitter @ base)[:2]
    return combined
