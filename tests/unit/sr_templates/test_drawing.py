"""The diameters that are drawn are the ones that are measured, whatever the shape of a pixel."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.domain import EllipseMm, EllipsePx, PixelSpacingMm
from inference.measure import to_pixels
from sr_templates.drawing import Point, axes_px


def length_mm(ends: tuple[Point, Point], spacing: PixelSpacingMm) -> float:
    (c0, r0), (c1, r1) = ends
    return math.hypot((c1 - c0) * spacing.column, (r1 - r0) * spacing.row)


@given(
    st.floats(20, 120),
    st.floats(0.6, 0.98),
    st.floats(0, 179.9),
    st.floats(0.05, 0.5),
    st.floats(0.5, 2.0),
)
def test_axes_have_the_measured_lengths_and_are_perpendicular_in_millimetres(
    semi_major: float, ratio: float, angle: float, row_spacing: float, aspect: float
) -> None:
    spacing = PixelSpacingMm(row_spacing, row_spacing * aspect)
    head = EllipseMm(50.0, 40.0, semi_major, semi_major * ratio, angle)
    axes = axes_px(to_pixels(head, spacing), spacing)
    assert length_mm(axes.ofd, spacing) == pytest.approx(2 * semi_major, rel=1e-6)
    assert length_mm(axes.bpd, spacing) == pytest.approx(2 * semi_major * ratio, rel=1e-6)
    (a, b), (c, d) = axes.ofd, axes.bpd
    along = ((b[0] - a[0]) * spacing.column, (b[1] - a[1]) * spacing.row)
    across = ((d[0] - c[0]) * spacing.column, (d[1] - c[1]) * spacing.row)
    cosine = (along[0] * across[0] + along[1] * across[1]) / (math.hypot(*along) * math.hypot(*across))
    assert cosine == pytest.approx(0.0, abs=1e-6)


def test_axes_of_a_known_ellipse() -> None:
    axes = axes_px(EllipsePx(100.0, 80.0, 30.0, 20.0, 0.0), PixelSpacingMm(0.2, 0.2))
    assert axes.ofd[0] == pytest.approx((70.0, 80.0))
    assert axes.ofd[1] == pytest.approx((130.0, 80.0))
    assert sorted(axes.bpd, key=lambda p: p[1])[0] == pytest.approx((100.0, 60.0))
