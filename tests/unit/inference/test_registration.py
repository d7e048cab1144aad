"""Motion is no doubt: what a head does between frames leaves nothing, what an outline does, its mark."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.domain import EllipsePx
from inference.measure import inside_distance_px, outline_px
from inference.registration import SeenHead, between, boundary_deviation

SHAPE = (120, 160)
HEAD = EllipsePx(80.0, 60.0, 40.0, 30.0, 25.0)
ELLIPSES = st.builds(
    EllipsePx, st.floats(70.0, 90.0), st.floats(52.0, 68.0), st.floats(36.0, 44.0), st.floats(26.0, 34.0),
    st.floats(0.0, 179.9),
)  # fmt: skip


def seen(ellipse: EllipsePx, softness: float = 4.0) -> SeenHead:
    probability = np.clip(0.5 + inside_distance_px(ellipse, *SHAPE) / softness, 0.0, 1.0)
    return SeenHead(probability.astype(np.float32), ellipse)


@settings(deadline=None, max_examples=25)
@given(st.lists(ELLIPSES, min_size=1, max_size=4))
def test_a_head_that_only_moves_leaves_no_deviation(ellipses: list[EllipsePx]) -> None:
    deviation = boundary_deviation((seen(ellipse) for ellipse in ellipses), HEAD)
    assert deviation.shape == SHAPE
    assert deviation.max() < 0.08  # two interpolations of a ramp of four pixels


def test_the_same_head_without_registration_would_deviate() -> None:
    heads = [seen(HEAD), seen(EllipsePx(86.0, 60.0, 40.0, 30.0, 25.0))]
    assert np.std([head.probability for head in heads], axis=0).max() > 0.45


def test_a_bulge_in_one_frame_is_seen_where_it_is() -> None:
    bulged = seen(HEAD)
    bulged.probability[20:34, 70:90] = 1.0
    deviation = boundary_deviation([seen(HEAD), seen(HEAD), bulged], HEAD)
    assert deviation[25, 80] > 0.3
    assert deviation[60, 80] < 1e-3
    assert deviation[100, 20] == 0.0


@given(ELLIPSES, ELLIPSES)
def test_the_map_takes_one_ellipse_onto_the_other(ellipse: EllipsePx, onto: EllipsePx) -> None:
    affine = between(ellipse, onto)
    moved = outline_px(ellipse, 16) @ affine[:, :2].T + affine[:, 2]
    there = outline_px(onto, 16)
    nearest = np.linalg.norm(moved[:, None] - there[None], axis=2).min(axis=1)
    assert nearest.max() < 1e-6


def test_an_axis_has_no_direction() -> None:
    """From 178 to 2 degrees is a turn of 4, not of 176: a head that tips over the horizontal does not roll over."""
    affine = between(EllipsePx(0, 0, 2, 1, 178.0), EllipsePx(0, 0, 2, 1, 2.0))
    assert affine[:, :2] == pytest.approx(
        np.array([[np.cos(r := np.radians(4.0)), -np.sin(r)], [np.sin(r), np.cos(r)]])
    )


def test_without_a_head_there_is_nothing_to_tell() -> None:
    with pytest.raises(ValueError, match="at least one head"):
        boundary_deviation([], HEAD)
