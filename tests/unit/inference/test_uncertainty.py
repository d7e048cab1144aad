"""An interval is a scale times a quantile, rounded outward."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.dating import HADLOCK_1984, date_by_hc
from inference.domain import IntervalMm
from inference.uncertainty import LEAST, ConformalInterval, Doubts, Evidence, Scale

SHARE = st.floats(0, 0.2)


@given(st.floats(40, 400), SHARE, SHARE, SHARE)
def test_rounding_is_outward(hc_mm: float, spread: float, level_spread: float, weak_echo: float) -> None:
    doubts = Doubts(hc_mm, Evidence(spread, level_spread, 0.01), weak_echo)
    made = ConformalInterval(0.95, Scale(-3.0, 0.8, 0.2, 0.1, 0.05, 0.5), (200.0,), (1.234, 3.456), (40, 40))
    half = (1.234 if hc_mm < 200.0 else 3.456) * made.scale.of(doubts)
    interval = made.around(doubts)
    assert interval.low <= hc_mm - half + 1e-9
    assert interval.high >= hc_mm + half - 1e-9
    assert interval.high - interval.low <= 2 * half + 0.2 + 1e-9


def test_a_scale_is_a_product_of_powers() -> None:
    scale = Scale(intercept=math.log(0.02), hc=1.0, spread=0.5, weak_echo=2.0)
    doubts = Doubts(200.0, Evidence(0.01 - LEAST, 0.3, 0.4), 0.25)
    assert scale.of(doubts) == pytest.approx(0.02 * 200.0 * 0.1 * math.exp(0.5))
    assert Scale().of(doubts) == 1.0


@given(SHARE, SHARE)
def test_more_doubt_is_never_a_narrower_interval(one: float, other: float) -> None:
    less, more = sorted((one, other))
    scale = Scale(0.0, 0.5, 0.3, 0.2, 0.1, 0.4)
    narrow, wide = (scale.of(Doubts(180.0, Evidence(d, d, d), d)) for d in (less, more))
    assert narrow <= wide


def test_json_round_trip_and_refusal() -> None:
    interval = ConformalInterval(0.95, Scale(hc=0.5), (170.0, 200.0), (1.0, 2.0, 3.0), (40, 39, 39))
    assert ConformalInterval.from_json(interval.to_json()) == interval
    with pytest.raises(ValueError, match="one quantile"):
        ConformalInterval.from_json({**interval.to_json(), "counts": [1]})
    with pytest.raises(ValueError, match="finite"):
        ConformalInterval.from_json({**interval.to_json(), "quantiles": [1.0, math.nan, 3.0]})
    with pytest.raises(ValueError, match="ascend"):
        ConformalInterval.from_json({**interval.to_json(), "edges_mm": [200.0, 170.0]})


def test_an_interval_wider_than_the_head_still_has_an_age() -> None:
    wide = ConformalInterval(0.95, Scale(), (), (90.0,), (40,)).around(Doubts(80.0, Evidence(1.0, 1.0, 1.0), 1.0))
    assert wide == IntervalMm(0.1, 170.0)
    assert date_by_hc(80.0, wide, HADLOCK_1984).interval is not None
