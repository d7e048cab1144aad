"""Ages against published rows, ranges kept, one rounding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.dating import (
    EQUATIONS,
    HADLOCK_1984,
    INTERGROWTH_2016,
    REFERENCE_SYSTEM,
    AgeCheck,
    Equation,
    date_by_hc,
    dating_warnings,
    round_half_up,
)
from inference.domain import IntervalMm, Reason, Remark, Trimester

CHECKS = [(equation, check) for equation in EQUATIONS.values() for check in equation.checks]
WITHOUT_SPREAD = [equation for equation in EQUATIONS.values() if not equation.spread]


def named(value: object) -> str | None:
    return value.name if isinstance(value, Equation) else f"{value.hc_mm:g}" if isinstance(value, AgeCheck) else None


@pytest.mark.parametrize(("equation", "check"), CHECKS, ids=named)
def test_what_others_printed_for_it(equation: Equation, check: AgeCheck) -> None:
    assert equation.weeks(check.hc_mm) == pytest.approx(check.weeks, abs=check.tolerance_weeks)


def test_every_equation_can_be_checked_and_cited() -> None:
    assert all(len(equation.checks) >= 3 and equation.citation and equation.title for equation in EQUATIONS.values())


@pytest.mark.parametrize(("hc_mm", "days"), [(140, 121), (250, 190), (340, 274)])
def test_whole_days(hc_mm: float, days: int) -> None:
    assert date_by_hc(hc_mm, None, HADLOCK_1984).days == days


@pytest.mark.parametrize(("hc_mm", "days"), [(100, 99), (140, 122), (230, 176)])
def test_whole_days_by_intergrowth(hc_mm: float, days: int) -> None:
    assert date_by_hc(hc_mm, None, INTERGROWTH_2016).days == days


@pytest.mark.parametrize("equation", WITHOUT_SPREAD, ids=named)
@pytest.mark.parametrize("interval", [IntervalMm(147.0, 153.0), None], ids=["interval", "none"])
def test_without_a_spread_the_age_has_no_interval_and_says_why(equation: Equation, interval: IntervalMm | None) -> None:
    age = date_by_hc(150.0, interval, equation)
    assert age.days is not None
    assert (age.equation_band, age.interval) == (None, None)
    assert age.interval_reason is Reason.EQUATION_WITHOUT_SPREAD


def test_only_the_reference_systems_age_carries_its_remark() -> None:
    remarked = [
        equation
        for equation in EQUATIONS.values()
        if Remark.REFERENCE_SYSTEM_EQUATION in dating_warnings(150.0, date_by_hc(150.0, None, equation))
    ]
    assert remarked == [REFERENCE_SYSTEM]


def test_the_range_of_intergrowth_is_98_to_181_days() -> None:
    ends = INTERGROWTH_2016.range_mm
    beyond = round(ends.low - 0.1, 1), round(ends.high + 0.1, 1)
    assert [INTERGROWTH_2016.days(hc_mm) for hc_mm in (beyond[0], ends.low, ends.high, beyond[1])] == [97, 98, 181, 182]
    assert [date_by_hc(hc_mm, None, INTERGROWTH_2016).days for hc_mm in beyond] == [None, None]


@pytest.mark.parametrize("equation", EQUATIONS.values(), ids=named)
@pytest.mark.parametrize("hc_mm", [67.9, 360.1, 0.0, 9999.0])
def test_outside_the_published_range_there_is_no_age(hc_mm: float, equation: Equation) -> None:
    age = date_by_hc(hc_mm, None, equation)
    assert age.days is None
    assert age.interval_reason is Reason.OUTSIDE_EQUATION_RANGE
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
    assert age.interval_reason is Reason.NOT_CALIBRATED_YET


@given(st.floats(68.0, 360.0))
def test_every_hc_in_range_has_an_ordered_age(hc_mm: float) -> None:
    age = date_by_hc(hc_mm, IntervalMm(hc_mm - 4, hc_mm + 4), HADLOCK_1984)
    assert age.days is not None
    assert age.interval is not None
    assert age.equation_band is not None
    assert age.interval.low <= age.equation_band.low < age.days < age.equation_band.high <= age.interval.high
    assert age.interval_reason is None


@given(st.sampled_from(list(EQUATIONS.values())), st.data())
def test_a_larger_head_is_never_younger(equation: Equation, data: st.DataObject) -> None:
    heads = st.floats(equation.range_mm.low, equation.range_mm.high)
    smaller, larger = sorted((data.draw(heads), data.draw(heads)))
    assert equation.days(smaller) <= equation.days(larger)


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
