"""Gestational age from head circumference: equations as data, ranges kept, nothing clipped.

Sources: Hadlock et al. 1984, Radiology 152:497-501 (equation and +/- 2 SD by age; the SD bands as printed in a
manufacturer's table of that paper). `reference-system` is the polynomial of an open reference implementation; it reads
4 to 7 days below the published table and is offered for comparison only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from inference.domain import GestationalAge, IntervalDays, IntervalMm, Reason, Remark, Trimester

DAYS_PER_WEEK = 7
FIRST_TRIMESTER_ENDS_DAYS = 14 * DAYS_PER_WEEK
SECOND_TRIMESTER_ENDS_DAYS = 28 * DAYS_PER_WEEK


@dataclass(frozen=True, slots=True)
class SpreadBand:
    """Two standard deviations, in weeks, from an age (inclusive) up to the next band."""

    from_weeks: float
    two_sd_weeks: float


@dataclass(frozen=True, slots=True)
class Equation:
    """GA in weeks as a polynomial of HC in cm; `coefficients` from the constant upward."""

    name: str
    citation: str
    coefficients: tuple[float, ...]
    lowest_hc_mm: float
    highest_hc_mm: float
    spread: tuple[SpreadBand, ...]

    def weeks(self, hc_mm: float) -> float:
        """GA in exact weeks; no range check."""
        hc_cm = hc_mm / 10.0
        return math.fsum(c * hc_cm**power for power, c in enumerate(self.coefficients))

    def two_sd_weeks(self, weeks: float) -> float | None:
        """The equation's own spread at an age, or None where none was published."""
        bands = [band.two_sd_weeks for band in self.spread if weeks >= band.from_weeks]
        return bands[-1] if bands else None


HADLOCK_1984 = Equation(
    name="hadlock-1984",
    citation="Hadlock FP et al. Radiology 1984;152:497-501 (HC)",
    coefficients=(8.96, 0.540, 0.0, 0.0003),
    lowest_hc_mm=68.0,
    highest_hc_mm=360.0,
    spread=(
        SpreadBand(12.0, 1.19),
        SpreadBand(18.0, 1.48),
        SpreadBand(24.0, 2.06),
        SpreadBand(30.0, 2.98),
        SpreadBand(36.0, 3.20),
    ),
)
REFERENCE_SYSTEM = Equation(
    name="reference-system",
    citation="polynomial of an open reference implementation; not a published equation",
    coefficients=(8.96, 0.540, -0.0040, 0.000399),
    lowest_hc_mm=68.0,
    highest_hc_mm=360.0,
    spread=(),
)
EQUATIONS: Mapping[str, Equation] = MappingProxyType({e.name: e for e in (HADLOCK_1984, REFERENCE_SYSTEM)})


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
    if not equation.lowest_hc_mm <= hc_mm <= equation.highest_hc_mm:
        return GestationalAge(equation.name, None, None, None, None, Reason.OUTSIDE_EQUATION_RANGE)
    weeks = equation.weeks(hc_mm)
    days = round_half_up(weeks * DAYS_PER_WEEK)
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
    if age.trimester is Trimester.FIRST or hc_mm < EQUATIONS[age.equation].lowest_hc_mm:
        remarks.append(Remark.CRL_PREFERRED)
    if age.equation == REFERENCE_SYSTEM.name:
        remarks.append(Remark.REFERENCE_SYSTEM_EQUATION)
    return tuple(remarks)
