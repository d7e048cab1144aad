"""The words and numbers that SR, PDF and overlay share, each written once so that they cannot disagree. ASCII only.

Numbers arrive rounded in `Measurement`; here they only become text.
"""

from __future__ import annotations

from inference.dating import DAYS_PER_WEEK, EQUATIONS
from inference.domain import (
    REASON_TEXT,
    REMARK_TEXT,
    AgeSource,
    CalibrationSource,
    GestationalAge,
    Growth,
    IndependentAge,
    IntervalDays,
    Measurement,
    PixelSpacingMm,
    Reason,
    Remark,
    SizeForAge,
    Standing,
    Trimester,
)
from inference.growth import STANDARDS, Standard
from sr_templates.report import ReportInput
from sr_templates.uids import SOFTWARE_NAME

AI_NOT_VERIFIED = "AI generated, not verified by a clinician."
RESEARCH_USE = "For research use only. Not a medical device; not for diagnosis or treatment."
RESEARCH_MARK = "AI - research use"
SCANNED_MARK = "Scale of the scanned film or paper"
ATTENTION_TITLE = "What the network saw for a head"
ATTENTION_NOTES = ("GradCAM++, share of its largest value", "Not a sign that HC is right")
DEVIATION_TITLE = "Where the outline is in doubt"
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
BPD_OUTER = "Outer to outer: the short axis of the outer outline; BPD in charts is often outer to inner and smaller."
OFD_OUTER = "Outer to outer: the long axis of the outer outline."
SUBJECT_NOT_ASSIGNED = "not assigned"
TRACKING_IDENTIFIER = "Fetal head 1"

AGE_WITHOUT_RANGE = "spread not known: no range"
GROWTH_RESTS_ON_THE_AGE = (
    "Percentiles and z-scores rest on the independent age as the image header has it; nobody checked it here."
    " Their ranges are those of HC's interval alone."
)

EQUATION_TEXT = {
    "hadlock-1984": "Hadlock 1984 (HC)",
    "intergrowth-2016": "INTERGROWTH-21st 2016 (HC)",
    "reference-system": "reference system (HC), not Hadlock",
}
DISCORDANCE = (Remark.OUTSIDE_TWO_SD, Remark.BEYOND_REDATING_THRESHOLD)
AGE_SOURCE_TEXT = {AgeSource.LAST_MENSTRUAL_DATE: "last menstrual date"}
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


def whole_age(days: int) -> str:
    """`20w 3d (143 days)`."""
    return f"{weeks_and_days(days)} ({days} days)"


def age_or_reason(age: GestationalAge) -> str:
    """`20w 3d (143 days)`, or why there is none."""
    if age.days is not None:
        return whole_age(age.days)
    if age.reason is Reason.OUTSIDE_EQUATION_RANGE and age.equation in EQUATIONS:
        used = EQUATIONS[age.equation].range_mm
        return f"HC lies outside {used.low:g} to {used.high:g} mm, where the equation is used; there is no age."
    return "none" if age.reason is None else REASON_TEXT[age.reason]


def age_range(age: GestationalAge) -> str | None:
    """The range of the age: joined with HC's interval where there is one, else the equation's own."""
    widest = age.interval or age.equation_band
    return None if widest is None else days_range(widest)


def age_range_note(age: GestationalAge) -> str | None:
    """What a range without HC's interval leaves out, or that there is none."""
    if age.interval_reason is Reason.EQUATION_WITHOUT_SPREAD:
        return AGE_WITHOUT_RANGE
    return "2 SD of the equation alone" if age.interval is None and age.equation_band is not None else None


def equation_name(age: GestationalAge) -> str:
    return EQUATION_TEXT.get(age.equation, age.equation)


def equation_citation(age: GestationalAge) -> str:
    """Where the equation comes from; empty for one that `inference.dating` does not know."""
    known = EQUATIONS.get(age.equation)
    return "" if known is None else known.citation


def independent_age(age: IndependentAge) -> str:
    """`20w 1d (141 days) by last menstrual date`."""
    return f"{whole_age(age.days)} by {AGE_SOURCE_TEXT[age.source]}"


def z_score(value: float) -> str:
    """`-1.68`."""
    return f"{value:.2f}"


def is_rank(standing: Standing) -> bool:
    """Whether the percentile may stand as a number: one that rounds to 0 or 100 is neither."""
    return 0.0 < standing.percentile < 100.0


def percentile(standing: Standing) -> str:
    """`4.7`; a percentile that rounds to 0 or 100 is neither."""
    if standing.percentile <= 0.0:
        return "below 0.1"
    return "above 99.9" if standing.percentile >= 100.0 else tenths(standing.percentile)


def size_for_age(size: SizeForAge) -> str:
    """`percentile 4.7 (1.9 to 9.8), z -1.68 (-2.08 to -1.29)`, or why there is none."""
    if size.at is None:
        return "none" if size.reason is None else _no_size(size)
    rank, z = percentile(size.at), z_score(size.at.z_score)
    if size.low is not None and size.high is not None:
        ends = percentile(size.low), percentile(size.high)
        if ends != (rank, rank):  # "below 0.1" from end to end
            rank = f"{rank} ({ends[0]} to {ends[1]})"
        z = f"{z} ({z_score(size.low.z_score)} to {z_score(size.high.z_score)})"
    return f"percentile {rank}, z {z}"


def _no_size(size: SizeForAge) -> str:
    if size.reason is Reason.OUTSIDE_STANDARD_RANGE:
        return f"none; the standard is for {days_range(STANDARDS[size.standard].range_days)}"
    return "none" if size.reason is None else REASON_TEXT[size.reason]


def standard_name(size: SizeForAge) -> str:
    return STANDARDS[size.standard].title


def chart_title(standard: Standard) -> str:
    """`HC by age, percentiles of INTERGROWTH-21st 2014`."""
    return f"HC by age, percentiles of {standard.title}"


def ordinal(number: int) -> str:
    """`3rd`, `97th`."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in (11, 12, 13) else "th"
    return f"{number}{ending}"


def difference(growth: Growth) -> str | None:
    """`age by HC 3 days more`; None where there is no age by HC."""
    days = growth.difference_days
    if days is None:
        return None
    if days == 0:
        return "age by HC the same"
    return f"age by HC {abs(days)} {'day' if abs(days) == 1 else 'days'} {'more' if days > 0 else 'less'}"


def no_growth(reason: Reason) -> str:
    """One sentence for why there is no percentile."""
    return f"No percentile or z-score. {REASON_TEXT[reason]}"


def deviation_notes(answers: int) -> tuple[str, ...]:
    """What the map of deviations shows, in two lines."""
    return ("Standard deviation of head probability", f"over {answers} answers to this one image")


def growth_lines(measurement: Measurement) -> tuple[str, ...]:
    """The independent age and the size for it, or why there is none, one sentence each."""
    growth = measurement.growth
    if isinstance(growth, Reason):
        return (no_growth(growth),)
    apart = difference(growth)
    first = f"Gestational age {independent_age(growth.independent)}{'' if apart is None else f'; {apart}'}."
    return (first, *(f"{standard_name(size)}: {size_for_age(size)}." for size in growth.sizes))


def growth_notes(measurement: Measurement) -> tuple[str, ...]:
    """What percentiles rest on; empty without any."""
    growth = measurement.growth
    said = isinstance(growth, Growth) and any(size.at is not None for size in growth.sizes)
    return (GROWTH_RESTS_ON_THE_AGE,) if said else ()


def discordance(measurement: Measurement) -> tuple[str, ...]:
    """The remarks that the two ages call for; they stand among `remarks` too."""
    return tuple(REMARK_TEXT[w] for w in DISCORDANCE if w in measurement.warnings)


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
    return (AI_NOT_VERIFIED, *_reading(report), BPD_IS_OUTER, *_grounds(report.measurement), RESEARCH_USE)


def hc_comments(report: ReportInput) -> tuple[str, ...]:
    """The sentences that are about HC and its age, where the others stand elsewhere."""
    return (*_reading(report), *_grounds(report.measurement))


def _reading(report: ReportInput) -> tuple[str, ...]:
    """How HC and age are to be read."""
    measurement = report.measurement
    age = measurement.age
    lines = []
    if age.days is None:
        lines.append(f"No gestational age: {age_or_reason(age)}")
    elif age.interval is not None:
        lines.append(f"Gestational age range {age_range(age)}. {AGE_RANGE}")
    elif age.interval_reason is Reason.EQUATION_WITHOUT_SPREAD:
        lines.append(REASON_TEXT[Reason.EQUATION_WITHOUT_SPREAD])
    if measurement.hc_interval is not None:
        lines.append(f"HC {interval_name(report.interval_coverage)}: {hc_range(measurement)}.")
    return (
        *lines,
        *coverage_notes(measurement),
        *growth_lines(measurement),
        *growth_notes(measurement),
        *remarks(measurement),
    )


def _grounds(measurement: Measurement) -> tuple[str, ...]:
    """What the measurement rests on."""
    return (
        f"Quality {quality(measurement)} (overlap of segmented head and fitted ellipse, Dice).",
        f"Scale: {scale(measurement)}.",
    )
