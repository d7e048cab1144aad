"""Random views of one training image, drawn straight from the source pixels onto the network's grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.domain import EllipseMm, EllipsePx, Luminance
from inference.measure import fit_ellipse_mm, inside_distance_px, outline_px
from inference.preprocess import Grid, plan
from inference.training.augmentation_range import PLAIN, AugmentationRange
from inference.training.degradation import degrade
from inference.training.overprint import overprint

OUTLINE_POINTS = 64
FAR_OUTSIDE = -1e4


@dataclass(frozen=True, slots=True)
class Sample:
    """Picture and targets, float32 [rows, columns] each: grey 0..255, head 0..1, weight of the outline.

    `distance`: signed distance to the outline in grid pixels, positive inside; FAR_OUTSIDE where there is no head.
    """

    grey: NDArray[np.float32]
    target: NDArray[np.float32]
    weight: NDArray[np.float32]
    distance: NDArray[np.float32]


def view(
    image: Luminance,
    ellipse: EllipsePx | None,
    grid: Grid,
    rng: np.random.Generator,
    span: AugmentationRange = PLAIN,
) -> Sample:
    """One augmented view. `ellipse` None means that there is no head to find."""
    matrix = _random_affine(image.shape, grid, rng, span)
    shrink = math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
    sigma = max(0.0, 0.5 / shrink * rng.uniform(0.55, 1.1)) if shrink < 1 else 0.0
    source = cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0.3 else image
    warped = cv2.warpAffine(source, matrix, (grid.columns, grid.rows), flags=cv2.INTER_LINEAR)
    grey = degrade(warped.astype(np.float32), rng, span)
    if ellipse is None:
        distance = np.full((grid.rows, grid.columns), FAR_OUTSIDE, np.float32)
    else:
        distance = inside_distance_px(map_ellipse(ellipse, matrix), grid.rows, grid.columns)
    return Sample(overprint(grey, distance > 0, rng, span), *targets(distance), distance)


def targets(distance: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Soft mask (0.5 on the outline, a ramp of one pixel) and weight (5 on the outline, 1 far away)."""
    target = np.clip(0.5 + distance, 0.0, 1.0).astype(np.float32)
    weight = (1.0 + 4.0 * np.exp(-((distance / 4.0) ** 2))).astype(np.float32)
    return target, weight


def map_ellipse(ellipse: EllipsePx, matrix: NDArray[np.float64]) -> EllipsePx:
    """The ellipse under an affine map [2, 3] of pixel centres."""
    points = outline_px(ellipse, OUTLINE_POINTS) @ matrix[:, :2].T + matrix[:, 2]
    fitted: EllipseMm = fit_ellipse_mm(points)
    return EllipsePx(
        fitted.center_x_mm, fitted.center_y_mm, fitted.semi_major_mm, fitted.semi_minor_mm, fitted.angle_deg
    )


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
