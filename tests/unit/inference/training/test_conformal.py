"""Conformal intervals keep their promise, are wider where the image is worse, and say when they cannot be made."""

import numpy as np
import pytest

from inference.training.conformal import Judged, TooFewExamsError, calibrate, conformal_quantile, fit_scale
from inference.uncertainty import NO_EVIDENCE, Doubts, Evidence


def simulated(count: int, seed: int) -> list[Judged]:
    """Errors whose spread grows with size and with the spread of the passes; the other doubts are noise."""
    rng = np.random.default_rng(seed)
    judged = []
    for _ in range(count):
        hc, spread, level, blur = rng.uniform(70, 320), *np.exp(rng.normal(-5, 0.7, 3))
        error = rng.laplace(0, 0.01 * hc * (spread / 0.007) ** 0.6)
        judged.append(Judged(Doubts(hc, Evidence(spread, level, blur), rng.uniform(0, 0.5)), error))
    return judged


def plain(hc_mm: float) -> Doubts:
    return Doubts(hc_mm, NO_EVIDENCE, 0.0)


def test_the_quantile_is_the_ranked_score() -> None:
    scores = [float(i) for i in range(1, 40)]  # 39 scores: rank ceil(40 * 0.95) = 38
    assert conformal_quantile(scores[::-1], 0.95) == 38.0


@pytest.mark.parametrize("count", [0, 1, 18])
def test_too_few_exams_are_refused(count: int) -> None:
    with pytest.raises(TooFewExamsError):
        conformal_quantile([1.0] * count, 0.95)


def test_the_scale_follows_what_matters_and_leaves_the_rest() -> None:
    scale = fit_scale(simulated(2000, 1))
    assert scale.hc == pytest.approx(1.0, abs=0.15)
    assert scale.spread == pytest.approx(0.6, abs=0.1)
    assert abs(scale.level_spread) < 0.08
    assert abs(scale.blur) < 0.08
    assert abs(scale.weak_echo) < 0.25


def test_no_doubt_makes_an_interval_narrower() -> None:
    """Blur that goes with the other doubts and errs a little less than they say must not be held against them."""
    rng = np.random.default_rng(5)
    judged = []
    for _ in range(1000):
        level = float(np.exp(rng.normal(-4, 0.5)))
        blur = level * float(np.exp(rng.normal(0, 0.1)))
        error = rng.laplace(0, 300.0 * level**2 / blur)
        judged.append(Judged(Doubts(180.0, Evidence(0.004, level, blur), 1.0 - 20.0 * blur), error))
    scale = fit_scale(judged)
    assert scale.level_spread > 0.5
    assert min(scale.spread, scale.level_spread, scale.blur, scale.weak_echo) == 0.0


def test_a_doubt_that_never_varies_has_no_power() -> None:
    judged = [Judged(plain(hc), error) for hc, error in zip(range(80, 280), [1.0, -2.0] * 100, strict=True)]
    scale = fit_scale(judged)
    assert (scale.spread, scale.level_spread, scale.blur, scale.weak_echo) == (0.0, 0.0, 0.0, 0.0)


def test_coverage_on_new_images_overall_and_by_size() -> None:
    interval = calibrate(simulated(900, 2), (150.0, 240.0), 0.95)
    new = simulated(6000, 3)
    held = np.array([abs(j.error_mm) <= interval.half_width_mm(j.doubts) for j in new])
    assert held.mean() == pytest.approx(0.95, abs=0.02)
    size = np.digitize([j.doubts.hc_mm for j in new], [150.0, 240.0])
    assert all(0.92 <= held[size == third].mean() <= 0.98 for third in range(3))


def test_classes_by_size_have_their_own_width() -> None:
    judged = [Judged(plain(100.0), 0.5)] * 40 + [Judged(plain(300.0), -4.0)] * 40
    interval = calibrate(judged, [200.0], 0.95)
    assert interval.counts == (40, 40)
    assert interval.half_width_mm(plain(100.0)) == pytest.approx(0.5, abs=1e-3)
    assert interval.half_width_mm(plain(300.0)) == pytest.approx(4.0, abs=1e-3)
