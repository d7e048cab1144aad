"""Conformal half widths keep their promise and say when they cannot."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.uncertainty import SizeInterval, TooFewExamsError, calibrate_by_size, conformal_half_width


def test_half_width_is_the_ranked_error() -> None:
    errors = [float(i) * (-1) ** i for i in range(1, 40)]  # 39 errors: rank ceil(40 * 0.95) = 38
    assert conformal_half_width(errors, 0.95) == 38.0


@pytest.mark.parametrize("count", [0, 1, 18])
def test_too_few_exams_are_refused(count: int) -> None:
    with pytest.raises(TooFewExamsError):
        conformal_half_width([1.0] * count, 0.95)


def test_coverage_on_new_draws() -> None:
    rng = np.random.default_rng(5)
    covered = []
    for _ in range(400):
        half = conformal_half_width(list(rng.normal(0, 2, 60)), 0.95)
        covered.append(np.mean(np.abs(rng.normal(0, 2, 200)) <= half))
    assert np.mean(covered) == pytest.approx(0.95, abs=0.01)
    assert np.mean(covered) >= 0.945


def test_classes_by_size_have_their_own_width() -> None:
    predicted = [100.0] * 40 + [300.0] * 40
    errors = [0.5] * 40 + [4.0] * 40
    interval = calibrate_by_size(predicted, errors, [200.0], 0.95)
    assert interval.half_widths_mm == (0.5, 4.0)
    assert interval.counts == (40, 40)
    assert interval.around(150.0).low == 149.5
    assert interval.around(250.04).low == 246.0
    assert interval.around(250.04).high == 254.1


@given(st.floats(40, 400))
def test_rounding_is_outward(hc_mm: float) -> None:
    interval = SizeInterval(0.95, (200.0,), (1.234, 3.456), (40, 40)).around(hc_mm)
    half = 1.234 if hc_mm < 200.0 else 3.456
    assert interval.low <= hc_mm - half + 1e-9
    assert interval.high >= hc_mm + half - 1e-9
    assert interval.high - interval.low <= 2 * half + 0.2 + 1e-9


def test_json_round_trip_and_refusal() -> None:
    interval = SizeInterval(0.95, (170.0, 200.0), (1.0, 2.0, 3.0), (40, 39, 39))
    assert SizeInterval.from_json(interval.to_json()) == interval
    with pytest.raises(ValueError, match="one half width"):
        SizeInterval.from_json({**interval.to_json(), "counts": [1]})
