"""Ages against published rows, ranges kept, one rounding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.dating import EQUATIONS, HADLOCK_1984, REFERENCE_SYSTEM, date_by_hc, dating_warnings, round_half_up
from inference.domain import IntervalMm, Reason, Remark, Trimester


@pytest.mark.parametrize(
    ("hc_cm", "weeks"), [(6.8, 12.7263), (15.1, 18.1469), (22.4, 24.4278), (30.1, 33.3953), (36.0, 42.3968)]
)
def test_hadlock_1984_against_the_manufacturers_table(hc_cm: float, weeks: float) -> None:
    assert HADLOCK_1984.weeks(hc_cm * 10) == pytest.approx(weeks, abs=0.0006)


@pytest.mark.parametrize(("hc_mm", "days"), [(140, 121), (250, 190), (340, 274)])
def test_whole_days(hc_mm: float, days: int) -> None:
    assert date_by_hc(hc_mm, None, HADLOCK_1984).days == days


@pytest.mark.parametrize(("hc_mm", "weeks"), [(140, 16.831), (250, 26.194), (340, 38.378)])
def test_reference_system_is_another_equation(hc_mm: float, weeks: float) -> None:
    assert REFERENCE_SYSTEM.weeks(hc_mm) == pytest.approx(weeks, abs=0.0006)
    age = date_by_hc(hc_mm, IntervalMm(hc_mm - 3, hc_mm + 3), REFERENCE_SYSTEM)
    assert age.equation_band is None
    assert age.interval is None
    assert Remark.REFERENCE_SYSTEM_EQUATION in dating_warnings(hc_mm, age)


@pytest.mark.parametrize("hc_mm", [67.9, 360.1, 0.0, 9999.0])
def test_outside_the_published_range_there_is_no_age(hc_mm: float) -> None:
    age = date_by_hc(hc_mm, None, HADLOCK_1984)
    assert age.days is None
    assert age.reason is Reason.OUTSIDE_EQUATION_RANGE
    assert age.trimester is None
    assert age.equation_band is None


@pytest.mark.parametrize("hc_mm", [68.0, 360.0])
def test_the_range_includes_its_ends(hc_mm: float) -> None:
    assert date_by_hc(hc_mm, None, HADLOCK_1984).days is not None


@pytest.mark.parametrize(
    ("weeks", "two_sd"),
    [(12.0, 1.19), (17.999, 1.19), (18.0, 1.48), (24.0, 2.06), (30.0, 2.98), (35.99, 2.98), (36.0, 3.20), (42.3, 3.20)],
)
def test_band_lower_bound_is_inclusive(weeks: float, two_sd: float) -> None:
    assert HADLOCK_1984.two_sd_weeks(weeks) == two_sd


def test_interval_joins_band_and_hc_by_root_sum_square() -> None:
    age = date_by_hc(250.0, IntervalMm(245.0, 255.0), HADLOCK_1984)
    weeks, below = HADLOCK_1984.weeks(250.0), HADLOCK_1984.weeks(250.0) - HADLOCK_1984.weeks(245.0)
    assert age.interval is not None
    assert age.equation_band is not None
    assert age.interval.low == round_half_up((weeks - (2.06**2 + below**2) ** 0.5) * 7)
    assert age.equation_band.low == round_half_up((weeks - 2.06) * 7)
    assert age.interval.low <= age.equation_band.low < 190 < age.equation_band.high <= age.interval.high


def test_without_an_hc_interval_there_is_no_joined_interval() -> None:
    age = date_by_hc(250.0, None, HADLOCK_1984)
    assert age.interval is None
    assert age.equation_band is not None


@given(st.floats(68.0, 360.0))
def test_every_hc_in_range_has_an_ordered_age(hc_mm: float) -> None:
    age = date_by_hc(hc_mm, IntervalMm(hc_mm - 4, hc_mm + 4), HADLOCK_1984)
    assert age.days is not None
    assert age.interval is not None
    assert age.equation_band is not None
    assert age.interval.low <= age.equation_band.low < age.days < age.equation_band.high <= age.interval.high


@pytest.mark.parametrize(
    ("hc_mm", "trimester"),
    [(80.0, Trimester.FIRST), (100.0, Trimester.SECOND), (250.0, Trimester.SECOND), (262.0, Trimester.THIRD)],
)
def test_trimester_and_crl_remark(hc_mm: float, trimester: Trimester) -> None:
    age = date_by_hc(hc_mm, None, HADLOCK_1984)
    assert age.trimester is trimester
    assert (Remark.CRL_PREFERRED in dating_warnings(hc_mm, age)) == (trimester is Trimester.FIRST)
    assert Remark.DO_NOT_REDATE in dating_warnings(hc_mm, age)


def test_a_head_too_small_for_the_equation_gets_the_crl_remark_too() -> None:
    assert Remark.CRL_PREFERRED in dating_warnings(60.0, date_by_hc(60.0, None, HADLOCK_1984))
    assert Remark.CRL_PREFERRED not in dating_warnings(380.0, date_by_hc(380.0, None, HADLOCK_1984))


def test_halves_round_up() -> None:
    assert [round_half_up(v) for v in (0.5, 1.5, 2.5, 2.4999)] == [1, 2, 3, 2]


def test_equations_are_found_by_their_own_name() -> None:
    assert all(EQUATIONS[name].name == name for name in EQUATIONS)
