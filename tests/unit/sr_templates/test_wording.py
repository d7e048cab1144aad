"""Numbers become text once; every sentence is ASCII so that any character set can carry it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.dating import EQUATIONS, INTERGROWTH_2016, REFERENCE_SYSTEM
from inference.domain import (
    REASON_TEXT,
    REMARK_TEXT,
    AgeSource,
    CalibrationSource,
    Measurement,
    PixelSpacingMm,
    Reason,
    Remark,
    Standing,
    Trimester,
)
from sr_templates import wording
from tests.reports import measurement, report, with_lmp


@pytest.mark.parametrize(("days", "text"), [(0, "0w 0d"), (6, "0w 6d"), (7, "1w 0d"), (146, "20w 6d"), (147, "21w 0d")])
def test_days_never_reach_seven(days: int, text: str) -> None:
    assert wording.weeks_and_days(days) == text


@given(st.integers(0, 400))
def test_weeks_and_days_say_the_same_number(days: int) -> None:
    weeks, rest = wording.weeks_and_days(days).removesuffix("d").split("w ")
    assert int(weeks) * 7 + int(rest) == days
    assert int(rest) < 7


def test_lengths() -> None:
    assert wording.millimetres(176.4) == "176.4 mm"
    assert wording.millimetres(200.0) == "200.0 mm"
    assert wording.percent(78.6) == "78.6 %"
    assert wording.spacing(PixelSpacingMm(0.1, 0.25)) == "0.1000 x 0.2500 mm"


def test_interval_is_named_with_its_promise() -> None:
    assert wording.interval_name(0.95) == "95 % interval"
    assert wording.interval_name(0.9) == "90 % interval"
    assert wording.interval_name(None) == "interval"


def test_without_an_interval_the_text_says_so_once() -> None:
    head = measurement(hc_interval=None)
    assert wording.hc_range(head) is None
    comments = wording.comments(report(measurement=head))
    assert wording.NO_INTERVAL in comments
    assert wording.INTERVAL_COVERS not in comments
    assert REMARK_TEXT[Remark.INTERVAL_NOT_CALIBRATED] not in comments


def test_age_without_hc_interval_names_the_equation_s_own_band() -> None:
    age = measurement(hc_interval=None).age
    assert age.equation_band is not None
    assert wording.age_range(age) == wording.days_range(age.equation_band)
    assert wording.age_range_note(age) == "2 SD of the equation alone"
    assert wording.age_range_note(measurement().age) is None


def test_an_age_without_days_gives_its_reason() -> None:
    age = measurement(hc_mm=400.0).age
    assert wording.age_or_reason(age) == "HC lies outside 68 to 360 mm, where the equation is used; there is no age."
    assert wording.age_range(age) is None


def test_early_heads_carry_the_crl_remark_and_all_carry_the_others() -> None:
    assert REMARK_TEXT[Remark.CRL_PREFERRED] in wording.remarks(measurement(hc_mm=80.0))
    assert REMARK_TEXT[Remark.CRL_PREFERRED] not in wording.remarks(measurement(hc_mm=200.0))
    bare = wording.remarks(measurement(warnings=()))
    assert bare == (REMARK_TEXT[Remark.PLANE_NOT_VERIFIED], REMARK_TEXT[Remark.DO_NOT_REDATE])


def test_colour_over_the_head_is_said_in_every_report() -> None:
    head = measurement(warnings=(Remark.COLOUR_OVER_HEAD,))
    assert REMARK_TEXT[Remark.COLOUR_OVER_HEAD] in wording.comments(report(measurement=head))


def test_the_reference_system_is_never_called_hadlock_1984() -> None:
    age = measurement(REFERENCE_SYSTEM).age
    assert "not Hadlock" in wording.equation_name(age)
    assert REMARK_TEXT[Remark.REFERENCE_SYSTEM_EQUATION] in wording.remarks(measurement(REFERENCE_SYSTEM))
    without_age = measurement(REFERENCE_SYSTEM, hc_mm=400.0)
    assert REMARK_TEXT[Remark.REFERENCE_SYSTEM_EQUATION] not in wording.remarks(without_age)


@pytest.mark.parametrize("hc_mm", [80.0, 197.1, 400.0])
@pytest.mark.parametrize("equation", EQUATIONS.values(), ids=lambda e: e.name)
def test_every_sentence_is_ascii(hc_mm: float, equation: object) -> None:
    for interval in ({}, {"hc_interval": None}):
        for line in wording.comments(report(measurement=measurement(equation, hc_mm=hc_mm, **interval))):  # type: ignore[arg-type]
            assert line.isascii()
            assert len(line) <= 1024
            assert "\\" not in line


def lines(head: Measurement) -> tuple[str, ...]:
    """What is said of size for age, and below it in the notes."""
    return (*wording.growth_lines(head), *wording.growth_notes(head))


def test_size_for_age_is_told_with_its_range() -> None:
    assert lines(with_lmp(measurement(), 150)) == (
        "Gestational age 21w 3d (150 days) by last menstrual date; age by HC 3 days more.",
        "INTERGROWTH-21st 2014: percentile 83.3 (74.0 to 90.1), z 0.97 (0.64 to 1.29).",
        "Hadlock 1984: percentile 60.6 (50.7 to 69.8), z 0.27 (0.02 to 0.52).",
        wording.GROWTH_RESTS_ON_THE_AGE,
    )


def test_without_an_interval_of_hc_the_percentile_has_no_range() -> None:
    assert "INTERGROWTH-21st 2014: percentile 83.3, z 0.97." in lines(with_lmp(measurement(hc_interval=None), 150))


def test_a_percentile_never_reads_0_or_100() -> None:
    assert "INTERGROWTH-21st 2014: percentile below 0.1, z -3.88 (-4.18 to -3.59)." in lines(
        with_lmp(measurement(), 175)
    )
    assert wording.percentile(Standing(9.0, 100.0)) == "above 99.9"
    assert wording.percentile(Standing(0.0, 50.0)) == "50.0"


def test_outside_a_standard_its_range_is_told_and_nothing_rests_on_it() -> None:
    said = lines(with_lmp(measurement(), 290))
    assert said[1:] == (
        "INTERGROWTH-21st 2014: none; the standard is for 14w 0d to 40w 0d.",
        "Hadlock 1984: none; the standard is for 14w 0d to 40w 0d.",
    )


@pytest.mark.parametrize(
    "reason", [Reason.NO_INDEPENDENT_AGE, Reason.DATES_DISAGREE, Reason.IMPLAUSIBLE_INDEPENDENT_AGE]
)
def test_without_an_independent_age_one_sentence_says_why(reason: Reason) -> None:
    assert lines(measurement(growth=reason)) == (f"No percentile or z-score. {REASON_TEXT[reason]}",)
    assert lines(measurement(growth=reason))[0] in wording.comments(report(measurement=measurement(growth=reason)))


@pytest.mark.parametrize(
    ("days", "text"), [(150, "3 days more"), (152, "1 day more"), (153, "the same"), (154, "1 day less")]
)
def test_the_difference_counts_from_the_independent_age(days: int, text: str) -> None:
    assert lines(with_lmp(measurement(), days))[0].endswith(f"by last menstrual date; age by HC {text}.")


def test_without_an_age_by_hc_there_is_no_difference() -> None:
    said = lines(with_lmp(measurement(hc_mm=365.0), 280))
    assert said[0] == "Gestational age 40w 0d (280 days) by last menstrual date."


def test_discordant_ages_are_remarked_and_never_acted_on() -> None:
    head, agreeing = with_lmp(measurement(), 175), with_lmp(measurement(), 150)
    said = wording.discordance(head)
    assert said == (REMARK_TEXT[Remark.OUTSIDE_TWO_SD], REMARK_TEXT[Remark.BEYOND_REDATING_THRESHOLD])
    assert set(said) <= set(wording.comments(report(measurement=head)))
    assert REMARK_TEXT[Remark.DO_NOT_REDATE] in wording.remarks(head)
    assert (head.age, head.hc_mm) == (agreeing.age, agreeing.hc_mm)
    assert wording.discordance(agreeing) == ()


def test_an_equation_without_a_spread_says_so() -> None:
    head = measurement(INTERGROWTH_2016)
    assert wording.age_range(head.age) is None
    assert wording.age_range_note(head.age) == wording.AGE_WITHOUT_RANGE
    assert REASON_TEXT[Reason.EQUATION_WITHOUT_SPREAD] in wording.comments(report(measurement=head))


def test_each_equation_names_its_own_range() -> None:
    age = measurement(INTERGROWTH_2016, hc_mm=300.0).age
    assert (
        wording.age_or_reason(age) == "HC lies outside 96.8 to 238.3 mm, where the equation is used; there is no age."
    )


def test_every_value_of_the_vocabularies_has_words() -> None:
    assert set(wording.CALIBRATION_TEXT) == set(CalibrationSource)
    assert set(wording.TRIMESTER_TEXT) == set(Trimester)
    assert set(wording.EQUATION_TEXT) == set(EQUATIONS)
    assert set(wording.AGE_SOURCE_TEXT) == set(AgeSource)


def test_the_scale_names_its_source_and_what_that_says_of_itself() -> None:
    head = measurement(calibration_source=CalibrationSource.PIXEL_SPACING, calibration_detail="FIDUCIAL")
    assert wording.scale(head) == "pixel spacing attribute (FIDUCIAL), 0.5000 x 0.5000 mm per pixel (row x column)"
    assert wording.scale(measurement()).startswith("ultrasound region, 0.5000 x")
