"""Geometry: what goes in as an ellipse comes out as that ellipse, in whatever pixels."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ellipe

from inference.domain import EllipseMm, EllipsePx, PixelSpacingMm
from inference.measure import (
    DegenerateFitError,
    circumference_mm,
    fit_ellipse_mm,
    inside_distance_px,
    outline_px,
    relative_residual,
    shift,
    to_millimetres,
    to_pixels,
)

ellipses_mm = st.builds(
    lambda x, y, major, ratio, angle: EllipseMm(x, y, major, major * ratio, angle),
    st.floats(-200, 200),
    st.floats(-200, 200),
    st.floats(5, 80),
    st.floats(0.5, 0.98),
    st.floats(0, 179.9),
)
spacings = st.builds(PixelSpacingMm, st.floats(0.05, 0.6), st.floats(0.05, 0.6))


def angle_between(one: float, other: float) -> float:
    difference = abs(one - other) % 180.0
    return min(difference, 180.0 - difference)


@given(ellipses_mm, spacings)
def test_fit_in_unequal_pixels_gives_back_the_ellipse_in_millimetres(
    ellipse: EllipseMm, spacing: PixelSpacingMm
) -> None:
    points_px = outline_px(to_pixels(ellipse, spacing), 90)
    fitted = fit_ellipse_mm(points_px * np.array([spacing.column, spacing.row]))
    assert fitted.center_x_mm == pytest.approx(ellipse.center_x_mm, abs=1e-4)
    assert fitted.center_y_mm == pytest.approx(ellipse.center_y_mm, abs=1e-4)
    assert fitted.semi_major_mm == pytest.approx(ellipse.semi_major_mm, rel=1e-6)
    assert fitted.semi_minor_mm == pytest.approx(ellipse.semi_minor_mm, rel=1e-6)
    assert angle_between(fitted.angle_deg, ellipse.angle_deg) < 0.01
    assert circumference_mm(fitted) == pytest.approx(circumference_mm(ellipse), rel=1e-6)


@given(ellipses_mm, spacings)
def test_pixels_and_back(ellipse: EllipseMm, spacing: PixelSpacingMm) -> None:
    back = to_millimetres(to_pixels(ellipse, spacing), spacing)
    assert back.semi_major_mm == pytest.approx(ellipse.semi_major_mm, rel=1e-9)
    assert back.semi_minor_mm == pytest.approx(ellipse.semi_minor_mm, rel=1e-9)
    assert angle_between(back.angle_deg, ellipse.angle_deg) < 1e-4


def test_a_part_of_the_outline_is_enough() -> None:
    ellipse = EllipseMm(10, 20, 50, 40, 30)
    points = outline_px(EllipsePx(10, 20, 50, 40, 30), 360)[40:260]
    assert fit_ellipse_mm(points).semi_major_mm == pytest.approx(ellipse.semi_major_mm, rel=1e-6)


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((0, 2)),
        np.ones((20, 2)),
        np.stack([np.arange(20.0), np.arange(20.0)], axis=1),
        np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]]),
    ],
    ids=["none", "one place", "a line", "three"],
)
def test_points_without_an_ellipse_are_refused(points: np.ndarray) -> None:
    with pytest.raises(DegenerateFitError):
        fit_ellipse_mm(points)


@pytest.mark.parametrize(("bpd", "ofd", "expected"), [(80, 102, 286.930), (50, 64, 179.747), (90, 115, 323.212)])
def test_circumference_check_values(bpd: float, ofd: float, expected: float) -> None:
    assert circumference_mm(EllipseMm(0, 0, ofd / 2, bpd / 2, 0)) == pytest.approx(expected, abs=0.0006)


@given(st.floats(10, 80), st.floats(0.5, 1.0))
def test_circumference_is_the_elliptic_integral(major: float, ratio: float) -> None:
    exact = 4.0 * major * ellipe(1.0 - ratio**2)
    assert circumference_mm(EllipseMm(0, 0, major, major * ratio, 0)) == pytest.approx(exact, rel=1e-8)


def test_angle_runs_from_column_toward_row() -> None:
    tip = outline_px(EllipsePx(0, 0, 10, 5, 90), 4)[0]
    assert tip == pytest.approx([0.0, 10.0], abs=1e-9)


def test_distance_is_positive_inside_and_exact_on_the_axes() -> None:
    distance = inside_distance_px(EllipsePx(20, 15, 10, 5, 0), 31, 41)
    assert distance[15, 30] == pytest.approx(0.0, abs=1e-5)
    assert distance[15, 29] == pytest.approx(1.0, abs=0.1)
    assert distance[15, 31] == pytest.approx(-1.0, abs=0.1)
    assert distance[15, 20] > 0
    assert distance.shape == (31, 41)


def test_area_of_the_inside_is_the_ellipse() -> None:
    ellipse = EllipsePx(100.3, 80.7, 70, 50, 33)
    soft = np.clip(0.5 + inside_distance_px(ellipse, 160, 200), 0, 1)
    assert soft.sum() == pytest.approx(math.pi * 70 * 50, rel=5e-4)


def test_shift_moves_the_centre_only() -> None:
    assert shift(EllipsePx(1, 2, 30, 20, 45), 10, 20) == EllipsePx(11, 22, 30, 20, 45)


def test_equal_weights_change_nothing_and_a_point_without_weight_does_not_count() -> None:
    truth = EllipseMm(3.0, -2.0, 50.0, 39.0, 20.0)
    points = outline_px(EllipsePx(3.0, -2.0, 50.0, 39.0, 20.0), 60)
    assert circumference_mm(fit_ellipse_mm(points, np.full(60, 7.0))) == pytest.approx(
        circumference_mm(truth), rel=1e-9
    )
    points[5] += 20.0
    weights = np.ones(60)
    weights[5] = 1e-9
    assert circumference_mm(fit_ellipse_mm(points, weights)) == pytest.approx(circumference_mm(truth), rel=1e-6)
    assert circumference_mm(fit_ellipse_mm(points)) != pytest.approx(circumference_mm(truth), rel=1e-3)


def test_the_residual_is_the_share_of_the_radius_by_which_points_leave_the_ellipse() -> None:
    ellipse = EllipseMm(50.0, 40.0, 30.0, 24.0, 35.0)
    on_it = outline_px(EllipsePx(50.0, 40.0, 30.0, 24.0, 35.0), 90)
    assert relative_residual(ellipse, on_it) == pytest.approx(0.0, abs=1e-9)
    outside = outline_px(EllipsePx(50.0, 40.0, 30.5, 24.5, 35.0), 90)
    assert relative_residual(ellipse, outside) == pytest.approx(0.5 / np.sqrt(30.0 * 24.0), rel=0.05)
