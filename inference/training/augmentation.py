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


@dataclass(frozen=True, slots=True)
class AugmentationRange:
    """How far a view may stray; turns in degrees, shifts as a share of the grid, chances 0..1, the rest natural logs.

    `depth_gain`: log gain between top and bottom, as a badly set time-gain compensation has. `side_fade`: chance that
    the picture fades out towards one side or both, as the lateral ends of a late head do.
    """

    turn_deg: float = 25.0
    scale: float = 0.22
    aspect: float = 0.10
    shift: float = 0.07
    gamma: float = 0.45
    gain: float = 0.3
    gain_field: float = 0.3
    shadow: float = 0.25
    depth_gain: float = 0.0
    side_fade: float = 0.0


PLAIN = AugmentationRange()


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
    grey = _degrade(warped.astype(np.float32), rng, span)
    if ellipse is None:
        nothing = np.zeros((grid.rows, grid.columns), np.float32)
        return Sample(grey, nothing, np.ones_like(nothing), np.full_like(nothing, FAR_OUTSIDE))
    distance = inside_distance_px(map_ellipse(ellipse, matrix), grid.rows, grid.columns)
    return Sample(grey, *targets(distance), distance)


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


def _field(rng: np.random.Generator, shape: tuple[int, ...], cells: int) -> NDArray[np.float32]:
    """Smooth random field, roughly standard normal, [rows, columns]."""
    small = rng.standard_normal((cells, cells)).astype(np.float32)
    grown: NDArray[np.float32] = np.asarray(
        cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float32
    )
    return grown


def _degrade(grey: NDArray[np.float32], rng: np.random.Generator, span: AugmentationRange) -> NDArray[np.float32]:
    """Gain, gamma, gain field, depth gain, fading sides, shadow, speckle, blur and boxes on grey levels 0..255."""
    unit = grey / np.float32(255.0)
    unit = unit ** np.float32(math.exp(rng.uniform(-span.gamma, span.gamma)))
    unit = unit * np.float32(math.exp(rng.uniform(-span.gain, span.gain)))
    if rng.random() < 0.5:
        unit = unit * np.exp(np.float32(rng.uniform(0.05, span.gain_field)) * _field(rng, unit.shape, 4))
    if span.depth_gain > 0:
        slope = rng.uniform(-span.depth_gain, span.depth_gain)
        unit = unit * np.exp(slope * np.linspace(-0.5, 0.5, unit.shape[0], dtype=np.float32))[:, None]
    if span.side_fade > 0 and rng.random() < span.side_fade:
        unit = unit * _fading_sides(rng, unit.shape[1])
    if rng.random() < span.shadow:
        unit = unit * _shadow(rng, unit.shape)
    if rng.random() < 0.4:
        sigma = np.float32(rng.uniform(0.01, 0.08))
        real = unit * (1 + 2 * sigma * rng.standard_normal(unit.shape, np.float32))
        real += sigma * rng.standard_normal(unit.shape, np.float32)
        unit = np.hypot(real, sigma * rng.standard_normal(unit.shape, np.float32))
    if rng.random() < 0.3:
        unit = np.asarray(cv2.GaussianBlur(unit, (0, 0), float(rng.uniform(0.4, 1.3))), np.float32)
    if rng.random() < 0.3:
        unit = _boxes(unit, rng)
    clipped: NDArray[np.float32] = np.clip(unit * 255.0, 0.0, 255.0).astype(np.float32)
    return clipped


def _shadow(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A darker wedge below a random point, as an acoustic shadow is, [rows, columns]."""
    row, column = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    top, middle = rng.uniform(-0.2, 0.6) * shape[0], rng.uniform(0.05, 0.95) * shape[1]
    width = rng.uniform(0.02, 0.10) * shape[1] * (1 + np.maximum(row - top, 0) / shape[0])
    lean = rng.uniform(-0.5, 0.5)
    inside = np.exp(-(((column - middle - lean * (row - top)) / width) ** 2)) * (row > top)
    out: NDArray[np.float32] = (1.0 - np.float32(rng.uniform(0.4, 0.95)) * inside).astype(np.float32)
    return out


def _fading_sides(rng: np.random.Generator, columns: int) -> NDArray[np.float32]:
    """Gain that falls to a few per cent towards the left, the right or both, [1, columns]."""
    place = np.linspace(0.0, 1.0, columns, dtype=np.float32)
    gain = np.ones_like(place)
    left, right = ((True, False), (False, True), (True, True))[int(rng.integers(0, 3))]
    for from_side, chosen in ((place, left), (1.0 - place, right)):
        if chosen:
            ramp = 1.0 / (1.0 + np.exp(-(from_side - rng.uniform(0.10, 0.38)) / rng.uniform(0.01, 0.06)))
            gain = gain * (1.0 - rng.uniform(0.5, 0.97) * (1.0 - ramp))
    out: NDArray[np.float32] = gain.astype(np.float32)[None, :]
    return out


def _boxes(unit: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """One to four small boxes of constant grey, as burned-in text and menus are."""
    out = unit.copy()
    for _ in range(int(rng.integers(1, 5))):
        height, width = int(rng.integers(4, 30)), int(rng.integers(6, 60))
        top, left = int(rng.integers(0, unit.shape[0])), int(rng.integers(0, unit.shape[1]))
        out[top : top + height, left : left + width] = rng.choice([0.0, rng.uniform(0.0, 1.0)])
    return out
