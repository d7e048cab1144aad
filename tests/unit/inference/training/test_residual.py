"""What is left of the error, on rows whose parts are known."""

from dataclasses import replace

import numpy as np
import pytest

from inference.training.residual import axes, between_and_within, repeats, residual
from tests.unit.inference.training.rows import rows


def test_shares_of_the_error() -> None:
    found = residual(rows([6.0, 2.0, -2.0, 10.0]), ["000_HC"])
    assert found["tail"] == {"n": 2, "share_of_images": 0.5, "share_of_error": 0.8}
    assert found["doubtful_outlines"]["share_of_error"] == pytest.approx(0.3)
    assert found["worst_twentieth"]["n"] == 1
    assert sum(part["share_of_error"] for part in found["trimester"]) == pytest.approx(1.0, abs=1e-3)
    assert found["exams"] is None
    assert found["repeats"] is None


def test_spread_between_and_within_exams_is_told_apart() -> None:
    """300 exams of three images: the exam shifts the error by 2 mm (SD), the image by 1 mm."""
    rng = np.random.default_rng(7)
    shifts = np.repeat(rng.normal(0.0, 2.0, 300), 3) + rng.normal(0.0, 1.0, 900)
    some = [replace(r, exam=str(k // 3), hc_forced_mm=r.hc_true_mm + e)
            for k, (r, e) in enumerate(zip(rows([0.0] * 900), shifts, strict=True))]  # fmt: skip
    found = between_and_within(some)
    assert found is not None
    assert (found["exams"], found["images"]) == (300, 900)
    assert found["sd_between_exams_mm"] == pytest.approx(2.0, rel=0.15)
    assert found["sd_within_exam_mm"] == pytest.approx(1.0, rel=0.1)


def test_pairs_of_one_exam() -> None:
    one, other, alone = rows([1.0, -2.0, 5.0], (100.0, 108.0))
    found = repeats([one, replace(other, exam=one.exam), alone])
    assert found is not None
    assert found["pairs"] == 1
    assert found["expert_mm"] == pytest.approx(4.0)
    assert found["ours_mm"] == pytest.approx(1.0)
    assert found["errors_mm"] == pytest.approx(3.0)


def test_errors_of_the_axes() -> None:
    found = axes(rows([3.0, -3.0, 6.0, 0.0]))
    assert found is not None
    assert found["long"]["mae_mm"] == pytest.approx(1.0)
    assert found["long"]["bias_mm"] == pytest.approx(0.5)
    assert found["short"]["mae_mm"] == 0.0
    assert axes([replace(r, expert=None) for r in rows([1.0, 2.0])]) is None
