"""Synthetic clips: the truth moves with the picture, a seed is a clip, and damage changes nothing but its frames."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.domain import EllipsePx, Luminance, PixelSpacingMm
from inference.measure import fit_ellipse_mm, inside_distance_px
from inference.synthetic_cine import (
    DEGRADED,
    NO_HEAD,
    CineError,
    Condition,
    Still,
    Sweep,
    affine_of,
    degradations,
    hc_deviation_mm,
    move,
    ornstein_uhlenbeck,
    reference_hc_mm,
    synthesise,
)

ROWS, COLUMNS = 150, 210
HEAD = EllipsePx(104.0, 77.0, 52.0, 40.0, 20.0)
SPACING = PixelSpacingMm(0.9, 0.8)
WITHOUT_NOISE = Sweep(frames=6, frame_time_s=0.2, diffuse=0.0, attenuation_db_cm=0.0, tgc_db=0.0)
"""Moves only, so that what is seen can be held against what is said."""


def _disc() -> Luminance:
    """A head as bright as can be, on grey, with an edge of one pixel."""
    inside = np.clip(inside_distance_px(HEAD, ROWS, COLUMNS) + 0.5, 0.0, 1.0)
    return (60.0 + 160.0 * inside).astype(np.uint8)


def _textured() -> Luminance:
    noise = np.random.default_rng(3).integers(20, 120, (ROWS, COLUMNS)).astype(np.uint8)
    return cv2.max(noise, (_disc() * 0.7).astype(np.uint8))


STILL = Still(_disc(), HEAD, SPACING)
TEXTURED = Still(_textured(), HEAD, SPACING)


def _seen(picture: Luminance) -> EllipsePx:
    """The ellipse through the points where the grey crosses the middle of head and ground."""
    import contourpy

    lines = contourpy.contour_generator(z=picture.astype(np.float64)).lines(140.0)
    found = fit_ellipse_mm(np.asarray(max(lines, key=len), np.float64))
    return EllipsePx(*(getattr(found, name) for name in found.__slots__))


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000))
def test_the_truth_of_every_frame_is_the_outline_that_its_picture_shows(seed: int) -> None:
    for frame in synthesise(STILL, WITHOUT_NOISE, seed):
        assert frame.ellipse is not None
        seen = _seen(frame.luminance)
        for name, tolerance in (("center_col_px", 0.15), ("center_row_px", 0.15), ("semi_major_px", 0.2)):
            assert getattr(seen, name) == pytest.approx(getattr(frame.ellipse, name), abs=tolerance)
        assert seen.semi_minor_px == pytest.approx(frame.ellipse.semi_minor_px, abs=0.2)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000))
def test_the_cross_section_never_leaves_its_limits(seed: int) -> None:
    motion = move(replace(WITHOUT_NOISE, plane=0.05, scale=0.0), np.random.default_rng(seed))
    for ratios in (motion.major, motion.minor):
        assert np.all(np.abs(ratios - 1.0) <= 0.025 + 1e-12)


def test_truth_varies_in_time_and_its_deviation_is_told() -> None:
    values = [frame.hc_mm for frame in synthesise(STILL, replace(WITHOUT_NOISE, frames=60), 5) if frame.hc_mm]
    deviation = hc_deviation_mm(values)
    assert len(values) == 60
    assert deviation == pytest.approx(np.std(values))
    assert 0.002 < deviation / reference_hc_mm(STILL) < 0.02
    assert hc_deviation_mm([]) is None


def test_a_sweep_that_does_not_move_is_the_still() -> None:
    at_rest = replace(WITHOUT_NOISE, shift_mm=0.0, turn_deg=0.0, scale=0.0, plane=0.0)
    for frame in synthesise(STILL, at_rest, 1):
        assert np.array_equal(frame.luminance, STILL.luminance)
        assert frame.hc_mm == pytest.approx(reference_hc_mm(STILL), rel=1e-6)


def test_shifts_are_in_millimetres_of_either_axis() -> None:
    """The pixels are not square: the same shift is more columns than rows."""
    motion = move(replace(WITHOUT_NOISE, turn_deg=0.0, scale=0.0, plane=0.0), np.random.default_rng(2))
    affine = affine_of(STILL, motion, 3)
    assert affine[0, 2] == pytest.approx(motion.right_mm[3] / SPACING.column)
    assert affine[1, 2] == pytest.approx(motion.down_mm[3] / SPACING.row)
    assert affine[:, :2] == pytest.approx(np.eye(2))


@given(st.integers(0, 1000), st.floats(0.0, 1.0), st.integers(1, 40))
def test_exactly_the_asked_share_is_spoilt(seed: int, share: float, frames: int) -> None:
    spoilt = degradations(Sweep(frames=frames, degraded=share), np.random.default_rng(seed))
    assert sum(condition is not Condition.CLEAR for condition in spoilt) == round(share * frames)


def test_the_same_seed_is_the_same_clip_and_another_is_another() -> None:
    sweep = Sweep(frames=5, degraded=0.5)
    first, again, other = ([frame.luminance for frame in synthesise(TEXTURED, sweep, seed)] for seed in (7, 7, 8))
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert not any(np.array_equal(one, two) for one, two in zip(first, other, strict=True))


def test_damage_leaves_motion_and_clear_frames_alone() -> None:
    clean = list(synthesise(TEXTURED, Sweep(frames=12), 4))
    spoilt = list(synthesise(TEXTURED, Sweep(frames=12, degraded=0.5), 4))
    for one, other in zip(clean, spoilt, strict=True):
        assert np.array_equal(one.affine, other.affine)
        assert np.array_equal(one.luminance, other.luminance) == (other.condition is Condition.CLEAR)


@pytest.mark.parametrize("condition", DEGRADED)
def test_each_damage_is_seen_and_only_some_take_the_head_away(condition: Condition) -> None:
    sweep = Sweep(frames=4, degraded=1.0, conditions=(condition,))
    clean = synthesise(TEXTURED, replace(sweep, degraded=0.0), 9)
    for frame, whole in zip(synthesise(TEXTURED, sweep, 9), clean, strict=True):
        assert frame.condition is condition
        assert (frame.ellipse is None) == (frame.hc_mm is None) == (condition in NO_HEAD)
        assert np.abs(frame.luminance.astype(int) - whole.luminance).mean() > 1.0


def test_black_stays_black_whatever_the_gain() -> None:
    dark = Still(np.where(inside_distance_px(HEAD, ROWS, COLUMNS) > -20.0, TEXTURED.luminance, 0), HEAD, SPACING)
    loud = Sweep(frames=3, tgc_db=20.0, shift_mm=0.0, turn_deg=0.0, scale=0.0, plane=0.0)
    for frame in synthesise(dark, loud, 2):
        assert not frame.luminance[dark.luminance == 0].any()


def test_speckle_of_neighbouring_frames_is_alike_and_of_far_ones_is_not() -> None:
    at_rest = Sweep(frames=40, shift_mm=0.0, turn_deg=0.0, scale=0.0, plane=0.0, attenuation_db_cm=0.0, tgc_db=0.0)
    flat = Still(np.full((ROWS, COLUMNS), 128, np.uint8), HEAD, PixelSpacingMm(0.2, 0.2))
    levels = np.stack([frame.luminance.astype(float).ravel() for frame in synthesise(flat, at_rest, 6)])
    levels -= levels.mean(axis=1, keepdims=True)

    def alike(lag: int) -> float:
        pairs = zip(levels[:-lag], levels[lag:], strict=True)
        return float(np.mean([one @ other / np.sqrt((one @ one) * (other @ other)) for one, other in pairs]))

    assert alike(1) > 0.5  # exp(-0.05 s / 0.1 s) = 0.61
    assert abs(alike(20)) < 0.1


def test_the_process_is_stationary_and_returns() -> None:
    rng = np.random.default_rng(0)
    paths = np.stack([ornstein_uhlenbeck(rng, 20, 2.0, 0.5) for _ in range(4000)])
    assert paths.std(axis=0) == pytest.approx(np.full(20, 2.0), rel=0.06)
    correlation = np.mean(paths[:, 0] * paths[:, 2]) / 4.0
    assert correlation == pytest.approx(np.exp(-1.0), abs=0.05)


@pytest.mark.parametrize(
    "wrong", [{"frames": 0}, {"degraded": 1.5}, {"conditions": ()}, {"conditions": (Condition.CLEAR,)}]
)
def test_a_sweep_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(CineError):
        Sweep(**wrong)
