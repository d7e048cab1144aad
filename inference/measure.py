"""Probability map to ellipse to millimetres.

The contour is the 0.5 level of the probability with sub-pixel interpolation; the ellipse is a direct least-squares
fit in millimetre space, so that unequal row and column spacing needs no correction afterwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.domain import EllipseMm, EllipsePx, PixelSpacingMm

Points = NDArray[np.float64]
"""Points [n, 2], (x, y): column first."""

_MAPPED_POINTS = 64
"""Of an outline that is moved."""


class DegenerateFitError(ValueError):
    """The points do not determine an ellipse."""


@dataclass(frozen=True, slots=True)
class _Conic:
    """A x^2 + B xy + C y^2 + D x + E y + F = 0 with B^2 - 4AC < 0."""

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float


def fit_ellipse_mm(points_mm: Points, weights: NDArray[np.float64] | None = None) -> EllipseMm:
    """Direct least-squares ellipse through points [n, 2] in mm (x, y); `weights` [n], positive, of their squares.

    Numerically stable form of Halir & Flusser 1998 ("Numerically stable direct least squares fitting of ellipses"),
    on points centred and scaled to unit spread.

    Raises:
        DegenerateFitError: fewer than 6 points, or points on a line.
    """
    if points_mm.ndim != 2 or points_mm.shape[1] != 2 or len(points_mm) < 6:
        raise DegenerateFitError("an ellipse needs at least six points [n, 2]")
    centre = points_mm.mean(axis=0)
    scale = float(np.sqrt(((points_mm - centre) ** 2).sum(axis=1).mean()))
    if not math.isfinite(scale) or scale <= 0:
        raise DegenerateFitError("the points coincide")
    x, y = ((points_mm - centre) / scale).T
    quadratic = np.stack([x * x, x * y, y * y], axis=1)  # [n, 3]
    linear = np.stack([x, y, np.ones_like(x)], axis=1)  # [n, 3]
    if weights is not None:
        roots = np.sqrt(weights / weights.mean())[:, None]
        quadratic, linear = quadratic * roots, linear * roots
    s1, s2, s3 = quadratic.T @ quadratic, quadratic.T @ linear, linear.T @ linear
    try:
        reduce = -np.linalg.solve(s3, s2.T)
    except np.linalg.LinAlgError as error:
        raise DegenerateFitError("the points lie on a line") from error
    m = s1 + s2 @ reduce
    constrained = np.stack([m[2] / 2.0, -m[1], m[0] / 2.0])
    _, vectors = np.linalg.eig(constrained)
    vectors = np.real(vectors)
    condition = 4.0 * vectors[0] * vectors[2] - vectors[1] ** 2
    if not np.any(condition > 0):
        raise DegenerateFitError("no ellipse fits the points")
    v = vectors[:, int(np.argmax(condition))]
    w = reduce @ v
    unit = _ellipse_of(_Conic(*map(float, (*v, *w))))
    return EllipseMm(
        unit.center_x_mm * scale + float(centre[0]),
        unit.center_y_mm * scale + float(centre[1]),
        unit.semi_major_mm * scale,
        unit.semi_minor_mm * scale,
        unit.angle_deg,
    )


def _ellipse_of(conic: _Conic) -> EllipseMm:
    """Centre, semi-axes and angle of a conic that is an ellipse."""
    form = np.array([[conic.a, conic.b / 2.0], [conic.b / 2.0, conic.c]])
    centre = np.linalg.solve(2.0 * form, -np.array([conic.d, conic.e]))
    level = float(centre @ form @ centre - conic.f)
    values, vectors = np.linalg.eigh(form / level)
    if not np.all(np.isfinite(values)) or np.any(values <= 0):
        raise DegenerateFitError("no ellipse fits the points")
    semi = 1.0 / np.sqrt(values)  # ascending eigenvalues: descending semi-axes
    angle = math.degrees(math.atan2(vectors[1, 0], vectors[0, 0])) % 180.0
    return EllipseMm(float(centre[0]), float(centre[1]), float(semi[0]), float(semi[1]), angle)


def relative_residual(ellipse: EllipseMm, points_mm: Points) -> float:
    """Root mean square distance of points [n, 2] (x, y) from the ellipse, as a share of its mean radius.

    To first order in the distance, as in `inside_distance_px`.
    """
    turn = math.radians(ellipse.angle_deg)
    x, y = points_mm[:, 0] - ellipse.center_x_mm, points_mm[:, 1] - ellipse.center_y_mm
    u = (x * math.cos(turn) + y * math.sin(turn)) / ellipse.semi_major_mm
    v = (-x * math.sin(turn) + y * math.cos(turn)) / ellipse.semi_minor_mm
    radius = np.maximum(np.hypot(u, v), 1e-6)
    slope = np.hypot(u / ellipse.semi_major_mm, v / ellipse.semi_minor_mm) / radius
    mean_radius = math.sqrt(ellipse.semi_major_mm * ellipse.semi_minor_mm)
    return float(np.sqrt(np.mean(((1.0 - radius) / slope) ** 2)) / mean_radius)


def to_pixels(ellipse: EllipseMm, spacing: PixelSpacingMm) -> EllipsePx:
    """The same curve in pixels; with unequal spacing its axes are recomputed, not scaled."""
    turned = _stretch(ellipse, 1.0 / spacing.column, 1.0 / spacing.row)
    return EllipsePx(
        turned.center_x_mm, turned.center_y_mm, turned.semi_major_mm, turned.semi_minor_mm, turned.angle_deg
    )


def to_millimetres(ellipse: EllipsePx, spacing: PixelSpacingMm) -> EllipseMm:
    """The same curve in millimetres."""
    unscaled = EllipseMm(
        ellipse.center_col_px, ellipse.center_row_px, ellipse.semi_major_px, ellipse.semi_minor_px, ellipse.angle_deg
    )
    return _stretch(unscaled, spacing.column, spacing.row)


def _stretch(ellipse: EllipseMm, x_factor: float, y_factor: float) -> EllipseMm:
    """Scale the plane by (x_factor, y_factor); the image of an ellipse is an ellipse."""
    turn = math.radians(ellipse.angle_deg)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    shape = np.diag([x_factor, y_factor]) @ rotation @ np.diag([ellipse.semi_major_mm, ellipse.semi_minor_mm])
    left, semi, _ = np.linalg.svd(shape)
    angle = math.degrees(math.atan2(left[1, 0], left[0, 0])) % 180.0
    return EllipseMm(
        ellipse.center_x_mm * x_factor, ellipse.center_y_mm * y_factor, float(semi[0]), float(semi[1]), angle
    )


def shift(ellipse: EllipsePx, columns: float, rows: float) -> EllipsePx:
    """The ellipse moved by whole or part pixels, e.g. from region to frame coordinates."""
    return EllipsePx(
        ellipse.center_col_px + columns,
        ellipse.center_row_px + rows,
        ellipse.semi_major_px,
        ellipse.semi_minor_px,
        ellipse.angle_deg,
    )


def circumference_mm(ellipse: EllipseMm) -> float:
    """Perimeter by Ramanujan's second approximation (1914); relative error below 1e-10 for any head."""
    a, b = ellipse.semi_major_mm, ellipse.semi_minor_mm
    h = ((a - b) / (a + b)) ** 2
    return math.pi * (a + b) * (1.0 + 3.0 * h / (10.0 + math.sqrt(4.0 - 3.0 * h)))


def outline_px(ellipse: EllipsePx, count: int) -> Points:
    """`count` points on the ellipse, [count, 2] as (column, row), not closed."""
    t = np.linspace(0.0, 2.0 * np.pi, count, endpoint=False)
    turn = math.radians(ellipse.angle_deg)
    along = ellipse.semi_major_px * np.cos(t)
    across = ellipse.semi_minor_px * np.sin(t)
    column = ellipse.center_col_px + along * math.cos(turn) - across * math.sin(turn)
    row = ellipse.center_row_px + along * math.sin(turn) + across * math.cos(turn)
    return np.stack([column, row], axis=1)


def map_ellipse(ellipse: EllipsePx, matrix: NDArray[np.float64]) -> EllipsePx:
    """The ellipse under an affine map [2, 3] of pixel centres."""
    points = outline_px(ellipse, _MAPPED_POINTS) @ matrix[:, :2].T + matrix[:, 2]
    fitted: EllipseMm = fit_ellipse_mm(points)
    return EllipsePx(
        fitted.center_x_mm, fitted.center_y_mm, fitted.semi_major_mm, fitted.semi_minor_mm, fitted.angle_deg
    )


def inside_distance_px(ellipse: EllipsePx, rows: int, columns: int) -> NDArray[np.float32]:
    """First-order signed distance to the outline at every pixel centre, [rows, columns], positive inside.

    F / |grad F| with F = 1 - |q| in the ellipse's own unit circle: exact on the outline, which is where it is used.
    """
    turn = math.radians(ellipse.angle_deg)
    column, row = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
    x, y = column - np.float32(ellipse.center_col_px), row - np.float32(ellipse.center_row_px)
    u = (x * np.float32(math.cos(turn)) + y * np.float32(math.sin(turn))) / np.float32(ellipse.semi_major_px)
    v = (-x * np.float32(math.sin(turn)) + y * np.float32(math.cos(turn))) / np.float32(ellipse.semi_minor_px)
    radius = np.maximum(np.hypot(u, v), np.float32(1e-6))
    slope = np.hypot(u / np.float32(ellipse.semi_major_px), v / np.float32(ellipse.semi_minor_px)) / radius
    distance: NDArray[np.float32] = ((1.0 - radius) / np.maximum(slope, np.float32(1e-9))).astype(np.float32)
    return distance
