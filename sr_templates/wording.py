"""The words and numbers that SR, PDF and overlay share, each written once so that they cannot disagree. ASCII only.

Numbers arrive rounded in `Measurement`; here they only become text.
"""

from __future__ import annotations

from inference.dating import DAYS_PER_WEEK, EQUATIONS
from inference.domain import (
    REASON_TEXT,
    REMARK_TEXT,
    CalibrationSource,
    GestationalAge,
    IntervalDays,
    Measurement,
    PixelSpacingMm,
    Remark,
    Trimester,
)
from sr_templates.report import ReportInput
from sr_templates.uids import SOFTWARE_NAME

AI_NOT_VERIFIED = "AI generated, not verified by a clinician."
RESEARCH_USE = "For research use only. Not a medical device; not for diagnosis or treatment."
RESEARCH_MARK = "AI - research use"
SCANNED_MARK = "Scale of the scanned film or paper"
INTERVAL_COVERS = (
    "The HC interval says how far HC may be from an expert's HC on this same image,"
    " for machines like those of the training data."
)
INTERVAL_DOES_NOT_COVER = (
    "It does not cover the choice of plane, other scanners or settings, or differences between examiners."
)
NO_INTERVAL_SHORT = "no calibrated interval"
NO_INTERVAL = "This model has no calibrated interval; the error of HC is not stated."
BPD_IS_OUTER = (
    "BPD and OFD are the axes of the outer outline (outer to outer); BPD in charts is often outer to inner and smaller."
)
AGE_RANGE = "The range joins the equation's own 2 SD with the HC interval (root sum square)."
SUBJECT_NOT_ASSIGNED = "not assigned"
TRACKING_IDENTIFIER = "Fetal head 1"

EQUATION_TEXT = {"hadlock-1984": "Hadlock 1984 (HC)", "reference-system": "reference system (HC), not Hadlock"}
CALIBRATION_TEXT = {
    CalibrationSource.ULTRASOUND_REGION: "ultrasound region",
    CalibrationSource.PIXEL_SPACING: "pixel spacing attribute",
    CalibrationSource.NOMINAL_SCANNED_PIXEL_SPACING: "nominal scanned pixel spacing",
    CalibrationSource.GIVEN: "given by the user",
    CalibrationSource.NONE: "none",
}
TRIMESTER_TEXT = {Trimester.FIRST: "first", Trimester.SECOND: "second", Trimester.THIRD: "third"}


def tenths(value: float) -> str:
    """`176.4`: lengths in mm and the cephalic index in percent, as `Measurement` rounded them."""
    return f"{value:.1f}"


def millimetres(value: float) -> str:
    """`176.4 mm`."""
    return f"{tenths(value)} mm"


def percent(value: float) -> str:
    """`78.3 %`."""
    return f"{tenths(value)} %"


def weeks_and_days(days: int) -> str:
    """`20w 3d`."""
    weeks, rest = divmod(days, DAYS_PER_WEEK)
    return f"{weeks}w {rest}d"


def hc_range(measurement: Measurement) -> str | None:
    """`174.1 to 178.7 mm`, or None without a calibrated interval."""
    interval = measurement.hc_interval
    return None if interval is None else f"{tenths(interval.low)} to {millimetres(interval.high)}"


def interval_name(coverage: float | None) -> str:
    """`95 % interval`."""
    return "interval" if coverage is None else f"{coverage * 100:g} % interval"


def days_range(interval: IntervalDays) -> str:
    """`19w 1d to 21w 5d`."""
    return f"{weeks_and_days(interval.low)} to {weeks_and_days(interval.high)}"


def age_or_reason(age: GestationalAge) -> str:
    """`20w 3d (143 days)`, or why there is none."""
    if age.days is not None:
        return f"{weeks_and_days(age.days)} ({age.days} days)"
    return "none" if age.reason is None else REASON_TEXT[age.reason]


def age_range(age: GestationalAge) -> str | None:
    """The range of the age: joined with HC's interval where there is one, else the equation's own."""
    widest = age.interval or age.equation_band
    return None if widest is None else days_range(widest)


def age_range_note(age: GestationalAge) -> str | None:
    """What a range without HC's interval leaves out."""
    return "2 SD of the equation alone" if age.interval is None and age.equation_band is not None else None


def equation_name(age: GestationalAge) -> str:
    return EQUATION_TEXT.get(age.equation, age.equation)


def equation_citation(age: GestationalAge) -> str:
    """Where the equation comes from; empty for one that `inference.dating` does not know."""
    known = EQUATIONS.get(age.equation)
    return "" if known is None else known.citation


def spacing(value: PixelSpacingMm) -> str:
    """`0.1230 x 0.1230 mm`, row then column as in Pixel Spacing (0028,0030)."""
    return f"{value.row:.4f} x {value.column:.4f} mm"


def scale(measurement: Measurement) -> str:
    """Where the millimetres come from: `pixel spacing attribute (FIDUCIAL), 0.1230 x 0.1230 mm per pixel`."""
    detail = f" ({measurement.calibration_detail})" if measurement.calibration_detail else ""
    source = CALIBRATION_TEXT[measurement.calibration_source]
    return f"{source}{detail}, {spacing(measurement.spacing_mm)} per pixel (row x column)"


def quality(measurement: Measurement) -> str:
    """`0.985`: overlap (Dice) of the segmented head and the fitted ellipse."""
    return f"{measurement.quality:.3f}"


def method(report: ReportInput) -> str:
    """Model and software in one line."""
    return f"{report.model.name}, {SOFTWARE_NAME} {report.equipment.software_version}"


def coverage_notes(measurement: Measurement) -> tuple[str, ...]:
    """What the interval says and what it does not."""
    if measurement.hc_interval is None:
        return (NO_INTERVAL,)
    return (INTERVAL_COVERS, INTERVAL_DOES_NOT_COVER)


def remarks(measurement: Measurement) -> tuple[str, ...]:
    """The measurement's warnings as sentences; plane and redating are always said."""
    said = [Remark.PLANE_NOT_VERIFIED, Remark.DO_NOT_REDATE, *measurement.warnings]
    silent = {Remark.INTERVAL_NOT_CALIBRATED}  # `coverage_notes` says it
    if measurement.age.days is None:
        silent.add(Remark.REFERENCE_SYSTEM_EQUATION)  # there is no age that could come from it
    return tuple(REMARK_TEXT[w] for w in dict.fromkeys(said) if w not in silent)


def comments(report: ReportInput) -> tuple[str, ...]:
    """Every sentence that belongs to the measurement, in reading order."""
    measurement = report.measurement
    age = measurement.age
    lines = [AI_NOT_VERIFIED]
    if age.days is None:
        lines.append(f"No gestational age: {age_or_reason(age)}")
    elif age.interval is not None:
        lines.append(f"Gestational age range {age_range(age)}. {AGE_RANGE}")
    if measurement.hc_interval is not None:
        lines.append(f"HC {interval_name(report.interval_coverage)}: {hc_range(measurement)}.")
    lines += [*coverage_notes(measurement), *remarks(measurement), BPD_IS_OUTER]
    lines.append(f"Quality {quality(measurement)} (overlap of segmented head and fitted ellipse, Dice).")
    lines.append(f"Scale: {scale(measurement)}.")
    lines.append(RESEARCH_USE)
    return tuple(lines)
