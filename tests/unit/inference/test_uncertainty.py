"""An interval is a scale times a quantile, rounded outward."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.uncertainty import LEAST, NO_EVIDENCE, ConformalInterval, Evidence, Scale

DOUBTS = st.floats(0, 0.2)


@given(st.floats(40, 400), DOUBTS, DOUBTS, DOUBTS)
def test_rounding_is_outward(hc_mm: float, spread: float, level_spread: float, blur: float) -> None:
    evidence = Evidence(spread, level_spread, blur)
    made = ConformalInterval(0.95, Scale(-3.0, 0.8, 0.2, 0.1, 0.05), (200.0,), (1.234, 3.456), (40, 40))
    half = (1.234 if hc_mm < 200.0 else 3.456) * made.scale.of(hc_mm, evidence)
    interval = made.around(hc_mm, evidence)
    assert interval.low <= hc_mm - half + 1e-9
    assert interval.high >= hc_mm + half - 1e-9
    assert interval.high - interval.low <= 2 * half + 0.2 + 1e-9


def test_a_scale_is_a_product_of_powers() -> None:
    scale = Scale(intercept=math.log(0.02), hc=1.0, spread=0.5)
    assert scale.of(200.0, Evidence(0.01 - LEAST, 0.3, 0.4)) == pytest.approx(0.02 * 200.0 * 0.1)
    assert Scale().of(200.0, NO_EVIDENCE) == 1.0


@given(DOUBTS, DOUBTS)
def test_more_doubt_is_never_a_narrower_interval(one: float, other: float) -> None:
    less, more = sorted((one, other))
    scale = Scale(0.0, 0.5, 0.3, 0.2, 0.1)
    assert scale.of(180.0, Evidence(less, less, less)) <= scale.of(180.0, Evidence(more, more, more))


def test_json_round_trip_and_refusal() -> None:
    interval = ConformalInterval(0.95, Scale(hc=0.5), (170.0, 200.0), (1.0, 2.0, 3.0), (40, 39, 39))
    assert ConformalInterval.from_json(interval.to_json()) == interval
    with pytest.raises(ValueError, match="one quantile"):
        ConformalInterval.from_json({**interval.to_json(), "counts": [1]})
