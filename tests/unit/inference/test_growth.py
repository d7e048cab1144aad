"""Percentiles against published tables, ranges kept, and what an independent age says about the age by HC."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.dating import EQUATIONS, HADLOCK_1984, INTERGROWTH_2016
from inference.domain import (
    Abstention,
    AgeSource,
    CalibrationSource,
    Examination,
    Growth,
    IndependentAge,
    IntervalMm,
    Measurement,
    ModelIdentity,
    Reason,
    Remark,
)
from inference.growth import (
    INTERGROWTH_2014,
    REDATING,
    STANDARDS,
    SizeCheck,
    Standard,
    compare,
    growth_of,
    redating_threshold_days,
    size_for_age,
)
from tests.reports import measurement

CHECKS = [(standard, check) for standard in STANDARDS.values() for check in standard.checks]
NOTHING = Abstention(1, None, None, CalibrationSource.NONE, Reason.NO_HEAD_FOUND, "", None, None)


def named(value: object) -> str | None:
    return value.name if isinstance(value, Standard) else f"{value.weeks:g}" if isinstance(value, SizeCheck) else None


def by_lmp(days: int) -> IndependentAge:
    return IndependentAge(days, AgeSource.LAST_MENSTRUAL_DATE)


def examination(*findings: Measurement | Abstention) -> Examination:
    return Examination(findings, len(findings) - 1, (1,), ModelIdentity("m", "ab" * 32), 0.1)


def compared(head: Measurement, independent: IndependentAge | Reason) -> Measurement:
    (finding,) = compare(examination(head), independent).findings
    assert isinstance(finding, Measurement)
    return finding


@pytest.mark.parametrize(("standard", "check"), CHECKS, ids=named)
def test_the_mean_is_the_printed_one(standard: Standard, check: SizeCheck) -> None:
    assert standard.mean_mm(check.weeks) == pytest.approx(check.mean_mm, abs=check.tolerance_mm)


HADLOCK_TABLE_CM = (
    *(6.8, 7.5, 8.2, 8.9, 9.7, 10.4, 11.0, 11.7, 12.4, 13.1, 13.8, 14.4, 15.1, 15.8, 16.4, 17.0, 17.7, 18.3, 18.9),
    *(19.5, 20.1, 20.7, 21.3, 21.9, 22.4, 23.0, 23.5, 24.1, 24.6, 25.1, 25.6, 26.1, 26.6, 27.1, 27.5, 28.0, 28.4),
    *(28.8, 29.3, 29.7, 30.1, 30.4, 30.8, 31.2, 31.5, 31.8, 32.2, 32.5, 32.8, 33.0, 33.3, 33.5, 33.8, 34.0, 34.2),
    *(34.4, 34.6),
)
"""Predicted HC from 12 to 40 weeks by half weeks, as reprinted from Hadlock 1984 (medicalalgorithms.com)."""


def test_hadlocks_mean_follows_the_whole_table_and_the_other_rounding_does_not() -> None:
    ages = [12.0 + row / 2 for row in range(len(HADLOCK_TABLE_CM))]
    assert ages[-1] == 40.0
    mean = STANDARDS["hadlock-1984"].mean_mm
    errors_cm = [mean(age) / 10 - hc_cm for age, hc_cm in zip(ages, HADLOCK_TABLE_CM, strict=True)]
    assert max(map(abs, errors_cm)) < 0.1
    assert max(error + 0.002 * age for error, age in zip(errors_cm, ages, strict=True)) > 0.15  # 1.562 for 1.56


@pytest.mark.parametrize(
    ("weeks", "third", "ninety_seventh"),
    [(14, 87.4, 108.4), (20, 158.5, 186.5), (28, 243.6, 277.2), (36, 299.2, 339.6), (40, 309.6, 358.3)],
)
def test_the_3rd_and_97th_percentiles_of_intergrowths_own_table(
    weeks: int, third: float, ninety_seventh: float
) -> None:
    for hc_mm, percentile in ((third, 3.0), (ninety_seventh, 97.0)):
        at = size_for_age(measurement(hc_mm=hc_mm), weeks * 7, INTERGROWTH_2014).at
        assert at is not None
        assert at.percentile == pytest.approx(percentile, abs=0.11)  # 0.05 mm is 0.06 of a percentile at 14 weeks


@pytest.mark.parametrize(
    ("hc_mm", "weeks", "z_score", "percentile"),
    [(160.0, 20, -1.68, 4.7), (260.0, 28, -0.04, 48.4), (300.0, 36, -1.80, 3.6)],
)
def test_z_scores_and_percentiles(hc_mm: float, weeks: int, z_score: float, percentile: float) -> None:
    at = size_for_age(measurement(hc_mm=hc_mm), weeks * 7, INTERGROWTH_2014).at
    assert at is not None
    assert (at.z_score, at.percentile) == (z_score, percentile)


@pytest.mark.parametrize("standard", STANDARDS.values(), ids=named)
@pytest.mark.parametrize(("days", "there"), [(97, False), (98, True), (280, True), (281, False)])
def test_outside_the_standards_range_there_is_a_reason_and_no_value(standard: Standard, days: int, there: bool) -> None:
    size = size_for_age(measurement(), days, standard)
    assert (size.at is not None, size.low is not None, size.high is not None) == (there, there, there)
    assert size.reason is (None if there else Reason.OUTSIDE_STANDARD_RANGE)


@given(st.sampled_from(list(STANDARDS.values())), st.integers(98, 280), st.floats(60.0, 390.0), st.floats(0.5, 9.0))
def test_the_ends_of_hcs_interval_stand_on_either_side(
    standard: Standard, days: int, hc_mm: float, half: float
) -> None:
    size = size_for_age(measurement(hc_mm=hc_mm, hc_interval=IntervalMm(hc_mm - half, hc_mm + half)), days, standard)
    assert size.low is not None
    assert size.at is not None
    assert size.high is not None
    assert size.low.z_score < size.at.z_score < size.high.z_score
    assert 0.0 <= size.low.percentile <= size.at.percentile <= size.high.percentile <= 100.0


def test_without_an_interval_of_hc_there_is_none_of_the_percentile() -> None:
    size = size_for_age(measurement(hc_interval=None), 140, INTERGROWTH_2014)
    assert size.at is not None
    assert (size.low, size.high) == (None, None)


def test_the_head_at_its_own_age_is_no_percentile() -> None:
    """That would be circular: without an independent age there is a reason."""
    head = measurement()
    assert head.growth is Reason.NO_INDEPENDENT_AGE
    told = compared(head, Reason.UNREADABLE_INDEPENDENT_AGE)
    assert told.growth is Reason.UNREADABLE_INDEPENDENT_AGE
    assert told.warnings == head.warnings


def test_every_measured_head_of_an_examination_is_compared_and_nothing_else_changes() -> None:
    looked = examination(NOTHING, measurement(), measurement(hc_mm=180.0))
    made = compare(looked, by_lmp(150))
    assert made.findings[0] is NOTHING
    assert all(isinstance(f, Measurement) and isinstance(f.growth, Growth) for f in made.findings[1:])
    assert (made.chosen, made.model, made.seconds) == (looked.chosen, looked.model, looked.seconds)


def test_difference_counts_from_the_independent_age() -> None:
    head = measurement()  # 153 days by HC
    assert growth_of(head, by_lmp(150)).difference_days == 3
    assert growth_of(head, by_lmp(160)).difference_days == -7


@pytest.mark.parametrize(("days", "outside"), [(142, True), (143, False), (164, False), (165, True)])
def test_the_equations_band_includes_its_ends(days: int, outside: bool) -> None:
    head = measurement()
    assert head.age.equation_band is not None
    assert (head.age.equation_band.low, head.age.equation_band.high) == (143, 164)
    told = compared(head, by_lmp(days))
    assert isinstance(told.growth, Growth)
    assert told.growth.outside_two_sd is outside
    assert (Remark.OUTSIDE_TWO_SD in told.warnings) is outside


@pytest.mark.parametrize(
    ("days", "threshold"),
    [(97, None), (98, 7), (111, 7), (112, 10), (153, 10), (154, 14), (195, 14), (196, 21), (300, 21)],
)
def test_redating_thresholds_go_by_the_age_by_last_menstrual_date(days: int, threshold: int | None) -> None:
    assert redating_threshold_days(by_lmp(days)) == threshold


@pytest.mark.parametrize(("days", "beyond"), [(143, False), (142, True), (163, False), (167, False), (168, True)])
def test_a_difference_of_exactly_the_threshold_is_not_beyond_it(days: int, beyond: bool) -> None:
    """153 days by HC; the threshold is 10 days up to 21w 6d and 14 days from 22w 0d."""
    told = compared(measurement(), by_lmp(days))
    assert isinstance(told.growth, Growth)
    assert told.growth.beyond_redating_threshold is beyond
    assert (Remark.BEYOND_REDATING_THRESHOLD in told.warnings) is beyond


def test_thresholds_grow_with_age() -> None:
    assert [row.from_days for row in REDATING] == sorted({row.from_days for row in REDATING})
    assert [row.more_than_days for row in REDATING] == sorted(row.more_than_days for row in REDATING)


def test_without_a_band_nobody_says_whether_the_age_lies_outside() -> None:
    growth = growth_of(measurement(INTERGROWTH_2016), by_lmp(150))
    assert growth.outside_two_sd is None
    assert growth.beyond_redating_threshold is not None


def test_without_an_age_by_hc_the_size_is_told_all_the_same() -> None:
    growth = growth_of(measurement(HADLOCK_1984, hc_mm=365.0), by_lmp(280))
    assert (growth.difference_days, growth.outside_two_sd, growth.beyond_redating_threshold) == (None, None, None)
    assert all(size.at is not None for size in growth.sizes)


@given(st.integers(28, 315), st.floats(41.0, 399.0), st.sampled_from(list(EQUATIONS.values())))
def test_whatever_the_age_every_standard_answers(days: int, hc_mm: float, equation: object) -> None:
    growth = growth_of(measurement(equation, hc_mm=round(hc_mm, 1)), by_lmp(days))  # type: ignore[arg-type]
    assert [size.standard for size in growth.sizes] == list(STANDARDS)
    assert all((size.at is None) == (size.reason is not None) for size in growth.sizes)
