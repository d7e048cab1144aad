"""Doubts are relative, grow with what they are about, and are as large as the head where it is lost."""

import numpy as np
import pytest

from inference.domain import EllipsePx
from inference.evidence import LOST, gather_evidence
from inference.measure import inside_distance_px
from inference.preprocess import Letterbox
from inference.segment import Probability, Segmentation

HEAD = EllipsePx(190.3, 128.6, 90, 70, 33)
HERE = Letterbox(1.0, 1.0, 0, 0)


def soft(ellipse: EllipsePx, ramp_px: float = 1.0) -> Probability:
    return np.clip(0.5 + inside_distance_px(ellipse, 256, 384) / ramp_px, 0, 1).astype(np.float32)


def larger(factor: float) -> Probability:
    return soft(EllipsePx(190.3, 128.6, 90 * factor, 70 * factor, 33), 4.0)


def test_a_network_asked_once_has_no_spread() -> None:
    assert gather_evidence(Segmentation(soft(HEAD), HERE), 0.5, 0.0).relative_spread == 0.0


@pytest.mark.parametrize("power", [0.0, 2.0])
def test_spread_is_that_of_the_logarithm_of_hc(power: float) -> None:
    passes = tuple(larger(1.0 + d) for d in (-0.02, 0.02))
    evidence = gather_evidence(Segmentation(larger(1.0), HERE, passes), 0.5, power)
    assert evidence.relative_spread == pytest.approx(np.std(np.log([0.98, 1.0, 1.02])), rel=0.03)


def test_a_vague_outline_is_blurred_and_moves_with_the_level() -> None:
    sharp, vague = (gather_evidence(Segmentation(soft(HEAD, ramp), HERE), 0.5, 0.0) for ramp in (3.0, 12.0))
    assert vague.relative_blur == pytest.approx(4 * sharp.relative_blur, rel=0.05)
    assert vague.relative_level_spread == pytest.approx(4 * sharp.relative_level_spread, rel=0.1)


def test_doubts_do_not_depend_on_the_size_of_the_grid() -> None:
    small = EllipsePx(95, 64, 45, 35, 33)
    half = np.clip(0.5 + inside_distance_px(small, 128, 192) / 3.0, 0, 1).astype(np.float32)
    one, other = (gather_evidence(Segmentation(p, HERE), 0.5, 0.0) for p in (soft(HEAD, 6.0), half))
    assert one.relative_blur == pytest.approx(other.relative_blur, rel=0.1)
    assert one.relative_level_spread == pytest.approx(other.relative_level_spread, rel=0.1)


def test_a_pass_that_loses_the_head_is_the_largest_doubt() -> None:
    nothing = np.zeros((256, 384), np.float32)
    assert gather_evidence(Segmentation(soft(HEAD), HERE, (nothing,)), 0.5, 0.0).relative_spread == LOST


def test_a_head_that_is_gone_at_the_upper_level_is_the_largest_doubt() -> None:
    faint = soft(HEAD, 4.0) * np.float32(0.6)
    assert gather_evidence(Segmentation(faint, HERE), 0.5, 0.0).relative_level_spread == LOST
