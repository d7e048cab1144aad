"""Gestational age from head circumference: equations as data, ranges kept, nothing clipped.

Each equation has its citation, the range in which it is used, its spread where one is known here, and values that
others printed for it (`checks`), which the tests hold it to. docs/dating.md shows them all.

* Hadlock et al. 1984, Radiology 152:497-501: equation and +/- 2 SD by age; the bands as printed in a manufacturer's
  table of that paper.
* Papageorghiou et al. 2016, Ultrasound Obstet Gynecol 48:719-726 (INTERGROWTH-21st): the form for HC alone, as in the
  project's own calculator, for ages of 98 to 181 days as in the R package gigs. Its spread is not known here, so that
  there is no band and no interval: HC's interval alone would promise far too much.
* `reference-system`: the polynomial of an open reference implementation; it reads 4 to 7 days below Hadlock's published
  table and is offered for comparison only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from inference.domain import GestationalAge, IntervalDays, IntervalMm, Reason, Remark, Trimester
from inference.formula import FractionalPolynomial, Term

DAYS_PER_WEEK = 7
MM_PER_CM = 10.0
FIRST_TRIMESTER_ENDS_DAYS = 14 * DAYS_PER_WEEK
SECOND_TRIMESTER_ENDS_DAYS = 28 * DAYS_PER_WEEK


class AgeFormula(Protocol):
    """HC to age, in whatever units a paper gives it."""

    def weeks(self, hc_mm: float) -> float:
        """GA in exact weeks for an HC above 0; no range check."""


@dataclass(frozen=True, slots=True)
class WeeksOfCentimetres:
    """GA in weeks = f(HC in cm)."""

    f: FractionalPolynomial

    def weeks(self, hc_mm: float) -> float:
        return self.f(hc_mm / MM_PER_CM)


@dataclass(frozen=True, slots=True)
class LogDaysOfMillimetres:
    """ln(GA in days) = f(HC in mm)."""

    f: FractionalPolynomial

    def weeks(self, hc_mm: float) -> float:
        return math.exp(self.f(hc_mm)) / DAYS_PER_WEEK


@dataclass(frozen=True, slots=True)
class SpreadBand:
    """Two standard deviations, in weeks, from an age (inclusive) up to the next band."""

    from_weeks: float
    two_sd_weeks: float


@dataclass(frozen=True, slots=True)
class AgeCheck:
    """A value that others printed for an equation, and how far from it rounding may lie."""

    hc_mm: float
    weeks: float
    tolerance_weeks: float


@dataclass(frozen=True, slots=True)
class Equation:
    """One way from HC to age, used where HC lies within `range_mm` (ends included)."""

    name: str
    title: str
    citation: str
    formula: AgeFormula
    range_mm: IntervalMm
    spread: tuple[SpreadBand, ...]
    checks: tuple[AgeCheck, ...]

    def weeks(self, hc_mm: float) -> float:
        """GA in exact weeks for an HC above 0; no range check."""
        return self.formula.weeks(hc_mm)

    def days(self, hc_mm: float) -> int:
        """GA in whole days, rounded once; no range check."""
        return round_half_up(self.weeks(hc_mm) * DAYS_PER_WEEK)

    def two_sd_weeks(self, weeks: float) -> float | None:
        """The equation's own spread at an age, or None where none is known here."""
        bands = [band.two_sd_weeks for band in self.spread if weeks >= band.from_weeks]
        return bands[-1] if bands else None

    def covers(self, hc_mm: float) -> bool:
        """Whether the equation is used for such a head."""
        return self.range_mm.low <= hc_mm <= self.range_mm.high


HADLOCK_1984 = Equation(
    name="hadlock-1984",
    title="Hadlock 1984",
    citation="Hadlock FP et al. Radiology 1984;152:497-501 (HC)",
    formula=WeeksOfCentimetres(FractionalPolynomial((Term(8.96), Term(0.540, 1), Term(0.0003, 3)))),
    range_mm=IntervalMm(68.0, 360.0),
    spread=(
        SpreadBand(12.0, 1.19),
        SpreadBand(18.0, 1.48),
        SpreadBand(24.0, 2.06),
        SpreadBand(30.0, 2.98),
        SpreadBand(36.0, 3.20),
    ),
    # rows of a manufacturer's table "GA by HC - Hadlock 1984"
    checks=(
        AgeCheck(68.0, 12.7263, 0.0006),
        AgeCheck(151.0, 18.1469, 0.0006),
        AgeCheck(224.0, 24.4278, 0.0006),
        AgeCheck(301.0, 33.3953, 0.0006),
        AgeCheck(360.0, 42.3968, 0.0006),
    ),
)
INTERGROWTH_2016 = Equation(
    name="intergrowth-2016",
    title="INTERGROWTH-21st 2016",
    citation="Papageorghiou AT et al. Ultrasound Obstet Gynecol 2016;48:719-726 (INTERGROWTH-21st, HC alone)",
    formula=LogDaysOfMillimetres(FractionalPolynomial((Term(0.05970, 0, 2), Term(6.409e-9, 3), Term(3.3258)))),
    range_mm=IntervalMm(96.8, 238.3),  # 98 to 181 whole days, as HC by the equation itself
    spread=(),
    # the project's calculator in days; the last two lie beyond the range and check the formula only
    checks=(
        AgeCheck(100.0, 99.32 / DAYS_PER_WEEK, 0.005 / DAYS_PER_WEEK),
        AgeCheck(140.0, 121.66 / DAYS_PER_WEEK, 0.005 / DAYS_PER_WEEK),
        AgeCheck(250.0, 189.80 / DAYS_PER_WEEK, 0.005 / DAYS_PER_WEEK),
        AgeCheck(340.0, 272.08 / DAYS_PER_WEEK, 0.005 / DAYS_PER_WEEK),
    ),
)
REFERENCE_SYSTEM = Equation(
    name="reference-system",
    title="reference system",
    citation="polynomial of an open reference implementation; not a published equation",
    formula=WeeksOfCentimetres(FractionalPolynomial((Term(8.96), Term(0.540, 1), Term(-0.0040, 2), Term(0.000399, 3)))),
    range_mm=IntervalMm(68.0, 360.0),
    spread=(),
    # what that implementation answers
    checks=(
        AgeCheck(140.0, 16.831, 0.0006),
        AgeCheck(250.0, 26.194, 0.0006),
        AgeCheck(340.0, 38.378, 0.0006),
    ),
)
EQUATIONS: Mapping[str, Equation] = MappingProxyType(
    {e.name: e for e in (HADLOCK_1984, INTERGROWTH_2016, REFERENCE_SYSTEM)}
)


def round_half_up(value: float) -> int:
    """Nearest whole number, halves away from zero for the positive values used here."""
    return math.floor(value + 0.5)


def trimester_of(days: int) -> Trimester:
    """First below 14 weeks, second below 28 weeks, third from then on."""
    if days < FIRST_TRIMESTER_ENDS_DAYS:
        return Trimester.FIRST
    return Trimester.SECOND if days < SECOND_TRIMESTER_ENDS_DAYS else Trimester.THIRD


def date_by_hc(hc_mm: float, hc_interval: IntervalMm | None, equation: Equation) -> GestationalAge:
    """Age for a head circumference as it is reported (rounded to 0.1 mm), so that a reader can redo the sum."""
    if not equation.covers(hc_mm):
        return GestationalAge(equation.name, None, None, None, None, Reason.OUTSIDE_EQUATION_RANGE)
    weeks, days = equation.weeks(hc_mm), equation.days(hc_mm)
    two_sd = equation.two_sd_weeks(weeks)
    band = None if two_sd is None else _days_around(weeks, two_sd, two_sd)
    interval = None
    if two_sd is not None and hc_interval is not None:
        below = math.hypot(two_sd, weeks - equation.weeks(hc_interval.low))
        above = math.hypot(two_sd, equation.weeks(hc_interval.high) - weeks)
        interval = _days_around(weeks, below, above)
    return GestationalAge(equation.name, days, band, interval, trimester_of(days), None)


def _days_around(weeks: float, below: float, above: float) -> IntervalDays:
    return IntervalDays(round_half_up((weeks - below) * DAYS_PER_WEEK), round_half_up((weeks + above) * DAYS_PER_WEEK))


def dating_warnings(hc_mm: float, age: GestationalAge) -> tuple[Remark, ...]:
    """Remarks that HC and age call for. A head too small for the equation belongs to the first trimester too."""
    remarks = [Remark.DO_NOT_REDATE]
    if age.trimester is Trimester.FIRST or hc_mm < EQUATIONS[age.equation].range_mm.low:
        remarks.append(Remark.CRL_PREFERRED)
    if age.equation == REFERENCE_SYSTEM.name:
        remarks.append(Remark.REFERENCE_SYSTEM_EQUATION)
    return tuple(remarks)
