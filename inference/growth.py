"""HC for gestational age: growth standards as data, and what an age that does not come from HC says about a head.

Without such an age nothing is said: a percentile of HC at the age by the same HC would always be near 50.

* INTERGROWTH-21st: Papageorghiou et al. 2014, Lancet 384:869-879; mean and SD in mm of the exact age, 14 to 40 weeks.
* Hadlock et al. 1984, Radiology 152:497-501 (PS3.16 CID 12015, LOINC 33173-6): the mean as -11.48 + 1.56 GA -
  0.0002548 GA^3 cm, which is within 0.1 cm of every row of the paper's table from 12 to 40 weeks; another rounding in
  circulation (1.562) is not. Sources give the SD as 1.0 cm or, with the other rounding, 0.956 cm; 1.0 cm is used and
  makes z-scores 4 % smaller. It stands until a clinician has signed it off against the paper. Used from 14 weeks, where
  the paper's fetuses begin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist
from types import MappingProxyType

from inference.dating import DAYS_PER_WEEK
from inference.domain import (
    AgeSource,
    Examination,
    Finding,
    GestationalAge,
    Growth,
    IndependentAge,
    IntervalDays,
    Measurement,
    OperatorHc,
    Reason,
    Remark,
    SizeForAge,
    Standing,
)
from inference.formula import FractionalPolynomial, Term


@dataclass(frozen=True, slots=True)
class SizeCheck:
    """The mean that others printed for an age, and how far from it rounding may lie."""

    weeks: float
    mean_mm: float
    tolerance_mm: float


@dataclass(frozen=True, slots=True)
class Standard:
    """HC in mm by exact weeks: normal with this mean and SD, within `range_days` (ends included)."""

    name: str
    title: str
    citation: str
    mean_mm: FractionalPolynomial
    sd_mm: FractionalPolynomial
    range_days: IntervalDays
    checks: tuple[SizeCheck, ...]

    def covers(self, days: int) -> bool:
        return self.range_days.low <= days <= self.range_days.high

    def z_score(self, hc_mm: float, days: int) -> float:
        """How many SD the head lies above the mean; no range check."""
        weeks = days / DAYS_PER_WEEK
        return (hc_mm - self.mean_mm(weeks)) / self.sd_mm(weeks)

    def percentile_mm(self, percentile: float, weeks: float) -> float:
        """The HC that so many percent of heads of this age stay below (0 < percentile < 100); no range check."""
        return self.mean_mm(weeks) + NormalDist().inv_cdf(percentile / 100.0) * self.sd_mm(weeks)


INTERGROWTH_2014 = Standard(
    name="intergrowth-2014",
    title="INTERGROWTH-21st 2014",
    citation="Papageorghiou AT et al. Lancet 2014;384:869-879 (INTERGROWTH-21st, HC)",
    mean_mm=FractionalPolynomial((Term(-28.2849), Term(1.69267, 2), Term(-0.397485, 2, 1))),
    sd_mm=FractionalPolynomial((Term(1.98735), Term(0.0136772, 3), Term(-0.00726264, 3, 1), Term(0.000976253, 3, 2))),
    range_days=IntervalDays(14 * DAYS_PER_WEEK, 40 * DAYS_PER_WEEK),
    # the 50th percentiles of the project's own table
    checks=(
        SizeCheck(14.0, 97.9, 0.051),
        SizeCheck(20.0, 172.5, 0.051),
        SizeCheck(28.0, 260.4, 0.051),
        SizeCheck(36.0, 319.4, 0.051),
        SizeCheck(40.0, 333.9, 0.051),
    ),
)
HADLOCK_1984 = Standard(
    name="hadlock-1984",
    title="Hadlock 1984",
    citation="Hadlock FP et al. Radiology 1984;152:497-501 (HC by age)",
    mean_mm=FractionalPolynomial((Term(-114.8), Term(15.6, 1), Term(-0.002548, 3))),
    sd_mm=FractionalPolynomial((Term(10.0),)),
    range_days=IntervalDays(14 * DAYS_PER_WEEK, 40 * DAYS_PER_WEEK),
    # rows of the paper's table, in cm to 0.1
    checks=(
        SizeCheck(14.0, 97.0, 0.51),
        SizeCheck(20.0, 177.0, 0.51),
        SizeCheck(27.0, 256.0, 0.51),
        SizeCheck(40.0, 346.0, 0.51),
    ),
)
STANDARDS: Mapping[str, Standard] = MappingProxyType({s.name: s for s in (INTERGROWTH_2014, HADLOCK_1984)})


@dataclass(frozen=True, slots=True)
class RedatingRow:
    """From an age by last menstrual date on, ultrasound overrules it where they differ by more than so many days."""

    from_days: int
    more_than_days: int


BY_LAST_MENSTRUAL_DATE = (AgeSource.LAST_MENSTRUAL_DATE, AgeSource.REPORTED_LMP)

REDATING_CITATION = "ACOG Committee Opinion No. 700, Obstet Gynecol 2017;129:e150-e154"
REDATING = (
    RedatingRow(14 * DAYS_PER_WEEK, 7),
    RedatingRow(16 * DAYS_PER_WEEK, 10),
    RedatingRow(22 * DAYS_PER_WEEK, 14),
    RedatingRow(28 * DAYS_PER_WEEK, 21),
)
"""The rows for biometry (BPD, HC, AC and FL together); the earlier ones are for crown-rump length and no head's."""


def compare(examination: Examination, independent: IndependentAge | Reason) -> Examination:
    """The examination with every measured head held against an age that does not come from it, or with the reason."""
    return replace(examination, findings=tuple(_compared(finding, independent) for finding in examination.findings))


def beside_operator(examination: Examination, operator: OperatorHc | None) -> Examination:
    """The examination with the sonographer's HC beside every measured head."""
    return replace(
        examination,
        findings=tuple(
            replace(finding, operator=operator) if isinstance(finding, Measurement) else finding
            for finding in examination.findings
        ),
    )


def _compared(finding: Finding, independent: IndependentAge | Reason) -> Finding:
    if not isinstance(finding, Measurement):
        return finding
    if isinstance(independent, Reason):
        return replace(finding, growth=independent)
    growth = growth_of(finding, independent)
    return replace(finding, growth=growth, warnings=(*finding.warnings, *_remarks(growth)))


def growth_of(measurement: Measurement, independent: IndependentAge) -> Growth:
    """Size for age by every standard, and how the age by HC agrees with the independent one."""
    age, days = measurement.age, independent.days
    return Growth(
        independent=independent,
        sizes=tuple(size_for_age(measurement, days, standard) for standard in STANDARDS.values()),
        difference_days=None if age.days is None else age.days - days,
        outside_two_sd=_outside_two_sd(age, days),
        redating_threshold_days=redating_threshold_days(independent),
    )


def size_for_age(measurement: Measurement, days: int, standard: Standard) -> SizeForAge:
    """HC as it is reported (rounded to 0.1 mm), and the ends of its interval, in one standard."""
    if not standard.covers(days):
        return SizeForAge(standard.name, None, None, None, Reason.OUTSIDE_STANDARD_RANGE)
    interval = measurement.hc_interval
    return SizeForAge(
        standard=standard.name,
        at=_standing(standard, measurement.hc_mm, days),
        low=None if interval is None else _standing(standard, interval.low, days),
        high=None if interval is None else _standing(standard, interval.high, days),
        reason=None,
    )


def redating_threshold_days(independent: IndependentAge) -> int | None:
    """The threshold of `REDATING_CITATION`; None for another source than the last menstrual date, or below its rows."""
    if independent.source not in BY_LAST_MENSTRUAL_DATE:
        return None
    rows = [row.more_than_days for row in REDATING if independent.days >= row.from_days]
    return rows[-1] if rows else None


def _standing(standard: Standard, hc_mm: float, days: int) -> Standing:
    z = standard.z_score(hc_mm, days)
    return Standing(round(z, 2) + 0.0, round(100.0 * NormalDist().cdf(z), 1))  # + 0.0: no z-score of "-0.00"


def _outside_two_sd(age: GestationalAge, days: int) -> bool | None:
    band = age.equation_band
    return None if band is None else not band.low <= days <= band.high


def _remarks(growth: Growth) -> tuple[Remark, ...]:
    found = []
    if growth.outside_two_sd:
        found.append(Remark.OUTSIDE_TWO_SD)
    if growth.beyond_redating_threshold:
        found.append(Remark.BEYOND_REDATING_THRESHOLD)
    return tuple(found)
