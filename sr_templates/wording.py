"""The words and numbers that SR, PDF and overlay share, each written once so that they cannot disagree. ASCII only.

Numbers arrive rounded in `Measurement`; here they only become text. What is written here is English; the page says it
in another language through `words`.
"""

from __future__ import annotations

from inference.dating import DAYS_PER_WEEK, EQUATIONS
from inference.domain import (
    ADVICE_TEXT,
    REASON_TEXT,
    REMARK_TEXT,
    Abstention,
    AgeSource,
    CalibrationSource,
    Consensus,
    Explanation,
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
from sr_templates.language import ENGLISH, Words, message
from sr_templates.report import ReportInput
from sr_templates.uids import SOFTWARE_NAME

AI_NOT_VERIFIED = message("AI generated, not verified by a clinician.")
RESEARCH_USE = message("For research use only. Not a medical device; not for diagnosis or treatment.")
RESEARCH_MARK = "AI - research use"
SCANNED_MARK = "Scale of the scanned film or paper"
ATTENTION_TITLE = message("What the network saw for a head")
ATTENTION_NOTES = ("GradCAM++, share of its largest value", "Not a sign that HC is right")
CONSENSUS_CAPTION = "Weight in the consensus on HC; a sure frame near it is chosen"
DEVIATION_TITLE = message("Where the outline is in doubt")
INTERVAL_COVERS = message(
    "The HC interval says how far HC may be from an expert's HC on this same image,"
    " for machines like those of the training data."
)
INTERVAL_DOES_NOT_COVER = message(
    "It does not cover the choice of plane, other scanners or settings, or differences between examiners."
)
NO_INTERVAL_SHORT = message("no calibrated interval")
NO_INTERVAL = message("This model has no calibrated interval; the error of HC is not stated.")
BPD_IS_OUTER = message(
    "BPD and OFD are the axes of the outer outline (outer to outer); BPD in charts is often outer to inner and smaller."
)
AGE_RANGE = message("The range joins the equation's own 2 SD with the HC interval (root sum square).")
BPD_OUTER = "Outer to outer: the short axis of the outer outline; BPD in charts is often outer to inner and smaller."
OFD_OUTER = "Outer to outer: the long axis of the outer outline."
CINE_AGREES = message(
    "Frame {frame} speaks for the cine: {agreeing} of {examined} examined frames agree on an HC of {hc} (standard"
    " deviation {deviation}). Reliability {reliability}: the share of the examined frames whose interval holds it."
)
CINE_WHY = message("Most frames without a number: {reason}")
NOT_MEASURED = "The AI looked at this image and gives no measurement."
SUBJECT_NOT_ASSIGNED = "not assigned"
TRACKING_IDENTIFIER = "Fetal head 1"

AGE_WITHOUT_RANGE = message("spread not known: no range")
GROWTH_RESTS_ON_THE_AGE = message(
    "Percentiles and z-scores rest on the independent age as it was sent; nobody checked it here."
    " Their ranges are those of HC's interval alone."
)

EQUATION_TEXT = {
    "hadlock-1984": message("Hadlock 1984 (HC)"),
    "intergrowth-2016": message("INTERGROWTH-21st 2016 (HC)"),
    "reference-system": message("reference system (HC), not Hadlock"),
}
TELLS_A_SIZE = frozenset({Reason.REGIONS_DISAGREE, Reason.TWO_SIZES, Reason.IMPLAUSIBLE_SIZE, Reason.IMPLAUSIBLE_SHAPE})
"""Reasons whose detail has the very number that is withheld: the answer to who runs the node has it, no report."""

DISCORDANCE = (Remark.OUTSIDE_TWO_SD, Remark.BEYOND_REDATING_THRESHOLD)
AGE_SOURCE_TEXT = {
    AgeSource.LAST_MENSTRUAL_DATE: message("last menstrual date"),
    AgeSource.REPORTED_LMP: message("last menstrual date of the machine's report"),
    AgeSource.REPORTED_EDD: message("date of delivery of the machine's report"),
}
CALIBRATION_TEXT = {
    CalibrationSource.ULTRASOUND_REGION: message("ultrasound region"),
    CalibrationSource.PIXEL_SPACING: message("pixel spacing attribute"),
    CalibrationSource.NOMINAL_SCANNED_PIXEL_SPACING: message("nominal scanned pixel spacing"),
    CalibrationSource.GIVEN: message("given by the user"),
    CalibrationSource.NONE: message("none"),
}
TRIMESTER_TEXT = {
    Trimester.FIRST: message("first"),
    Trimester.SECOND: message("second"),
    Trimester.THIRD: message("third"),
}


def tenths(value: float, words: Words = ENGLISH) -> str:
    """`176.4`: lengths in mm and the cephalic index in percent, as `Measurement` rounded them."""
    return words.fixed(value, 1)


def millimetres(value: float, words: Words = ENGLISH) -> str:
    """`176.4 mm`."""
    return f"{tenths(value, words)} mm"


def percent(value: float, words: Words = ENGLISH) -> str:
    """`78.3 %`."""
    return f"{tenths(value, words)} %"


def weeks_and_days(days: int, words: Words = ENGLISH) -> str:
    """`20w 3d`; no language lets the days reach seven."""
    weeks, rest = divmod(days, DAYS_PER_WEEK)
    return words("{weeks}w {days}d", weeks=weeks, days=rest)


def hc_range(measurement: Measurement, words: Words = ENGLISH) -> str | None:
    """`174.1 to 178.7 mm`, or None without a calibrated interval."""
    interval = measurement.hc_interval
    if interval is None:
        return None
    return words("{low} to {high}", low=tenths(interval.low, words), high=millimetres(interval.high, words))


def interval_name(coverage: float | None, words: Words = ENGLISH) -> str:
    """`95 % interval`."""
    if coverage is None:
        return words("interval")
    return words("{percent} % interval", percent=words.shortest(coverage * 100))


def days_range(interval: IntervalDays, words: Words = ENGLISH) -> str:
    """`19w 1d to 21w 5d`."""
    low, high = weeks_and_days(interval.low, words), weeks_and_days(interval.high, words)
    return words("{low} to {high}", low=low, high=high)


def whole_age(days: int, words: Words = ENGLISH) -> str:
    """`20w 3d (143 days)`."""
    return f"{weeks_and_days(days, words)} {in_days(days, words)}"


def in_days(days: int, words: Words = ENGLISH) -> str:
    """`(143 days)`."""
    return words("({days} days)", days=days)


def age_or_reason(age: GestationalAge, words: Words = ENGLISH) -> str:
    """`20w 3d (143 days)`, or why there is none."""
    if age.days is not None:
        return whole_age(age.days, words)
    if age.reason is Reason.OUTSIDE_EQUATION_RANGE and age.equation in EQUATIONS:
        used = EQUATIONS[age.equation].range_mm
        return words(
            "HC lies outside {low} to {high} mm, where the equation is used; there is no age.",
            low=words.shortest(used.low),
            high=words.shortest(used.high),
        )
    return words("none") if age.reason is None else words(REASON_TEXT[age.reason])


def age_range(age: GestationalAge, words: Words = ENGLISH) -> str | None:
    """The range of the age: joined with HC's interval where there is one, else the equation's own."""
    widest = age.interval or age.equation_band
    return None if widest is None else days_range(widest, words)


def age_range_note(age: GestationalAge, words: Words = ENGLISH) -> str | None:
    """What a range without HC's interval leaves out, or that there is none."""
    if age.interval_reason is Reason.EQUATION_WITHOUT_SPREAD:
        return words(AGE_WITHOUT_RANGE)
    return words("2 SD of the equation alone") if age.interval is None and age.equation_band is not None else None


def equation_name(age: GestationalAge, words: Words = ENGLISH) -> str:
    return words(EQUATION_TEXT.get(age.equation, age.equation))


def equation_citation(age: GestationalAge) -> str:
    """Where the equation comes from; empty for one that `inference.dating` does not know."""
    known = EQUATIONS.get(age.equation)
    return "" if known is None else known.citation


def independent_age(age: IndependentAge, words: Words = ENGLISH) -> str:
    """`20w 1d (141 days) by last menstrual date`."""
    return words("{age} by {source}", age=whole_age(age.days, words), source=words(AGE_SOURCE_TEXT[age.source]))


def z_score(value: float, words: Words = ENGLISH) -> str:
    """`-1.68`."""
    return words.fixed(value, 2)


def is_rank(standing: Standing) -> bool:
    """Whether the percentile may stand as a number: one that rounds to 0 or 100 is neither."""
    return 0.0 < standing.percentile < 100.0


def percentile(standing: Standing, words: Words = ENGLISH) -> str:
    """`4.7`; a percentile that rounds to 0 or 100 is neither."""
    if standing.percentile <= 0.0:
        return words("below {percentile}", percentile=tenths(0.1, words))
    if standing.percentile >= 100.0:
        return words("above {percentile}", percentile=tenths(99.9, words))
    return tenths(standing.percentile, words)


def size_for_age(size: SizeForAge, words: Words = ENGLISH) -> str:
    """`percentile 4.7 (1.9 to 9.8), z -1.68 (-2.08 to -1.29)`, or why there is none."""
    if size.at is None:
        return words("none") if size.reason is None else _no_size(size, words)
    rank, z = percentile(size.at, words), z_score(size.at.z_score, words)
    if size.low is not None and size.high is not None:
        low, high = percentile(size.low, words), percentile(size.high, words)
        if (low, high) != (rank, rank):  # "below 0.1" from end to end
            rank = words("{value} ({low} to {high})", value=rank, low=low, high=high)
        ends = z_score(size.low.z_score, words), z_score(size.high.z_score, words)
        z = words("{value} ({low} to {high})", value=z, low=ends[0], high=ends[1])
    return words("percentile {rank}, z {z}", rank=rank, z=z)


def _no_size(size: SizeForAge, words: Words) -> str:
    if size.reason is Reason.OUTSIDE_STANDARD_RANGE:
        return words("none; the standard is for {range}", range=days_range(STANDARDS[size.standard].range_days, words))
    return words("none") if size.reason is None else words(REASON_TEXT[size.reason])


def standard_name(size: SizeForAge) -> str:
    return STANDARDS[size.standard].title


def chart_title(standard: Standard, words: Words = ENGLISH) -> str:
    """`HC by age, percentiles of INTERGROWTH-21st 2014`."""
    return words("HC by age, percentiles of {standard}", standard=standard.title)


def ordinal(number: int, words: Words = ENGLISH) -> str:
    """`3rd`, `97th`: the name of a percentile's curve."""
    if number % 100 not in (11, 12, 13):
        if number % 10 == 1:
            return words("{number}st", number=number)
        if number % 10 == 2:
            return words("{number}nd", number=number)
        if number % 10 == 3:
            return words("{number}rd", number=number)
    return words("{number}th", number=number)


def difference(growth: Growth, words: Words = ENGLISH) -> str | None:
    """`age by HC 3 days more`; None where there is no age by HC."""
    days = growth.difference_days
    if days is None:
        return None
    if days == 0:
        return words("age by HC the same")
    if abs(days) == 1:
        return words("age by HC 1 day more") if days > 0 else words("age by HC 1 day less")
    if days > 0:
        return words("age by HC {days} days more", days=days)
    return words("age by HC {days} days less", days=-days)


def no_growth(reason: Reason, words: Words = ENGLISH) -> str:
    """One sentence for why there is no percentile."""
    return f"{words('No percentile or z-score.')} {words(REASON_TEXT[reason])}"


def deviation_notes(explanation: Explanation) -> tuple[str, ...]:
    """What the map of deviations shows, in two lines."""
    over = f"{explanation.answers} answers to this one image"
    if explanation.frames:
        over = f"{explanation.frames} frames, each laid on this head"
    return ("Standard deviation of head probability", f"over {over}")


def growth_lines(measurement: Measurement, words: Words = ENGLISH) -> tuple[str, ...]:
    """The independent age and the size for it, or why there is none, one sentence each."""
    growth = measurement.growth
    if isinstance(growth, Reason):
        return (no_growth(growth, words),)
    apart = difference(growth, words)
    age = words("Gestational age {age}", age=independent_age(growth.independent, words))
    first = f"{age}{'' if apart is None else f'; {apart}'}."
    return (first, *(f"{standard_name(size)}: {size_for_age(size, words)}." for size in growth.sizes))


def signed(value: float, words: Words = ENGLISH) -> str:
    """`+2.1`, `-0.4`, `0.0`."""
    return ("+" if value > 0 else "") + tenths(value, words)


def operator_lines(measurement: Measurement, words: Words = ENGLISH) -> tuple[str, ...]:
    """The sonographer's HC and how far ours lies from it, one sentence; empty where none is known."""
    operator, apart, percent_apart = measurement.operator, measurement.difference_mm, measurement.difference_percent
    if operator is None or apart is None or percent_apart is None:
        return ()
    return (
        words(
            "HC by the operator {hc} (machine's report, perhaps from another image);"
            " AI - operator {mm} mm ({percent} %).",
            hc=millimetres(operator.hc_mm, words),
            mm=signed(apart, words),
            percent=signed(percent_apart, words),
        ),
    )


def growth_notes(measurement: Measurement, words: Words = ENGLISH) -> tuple[str, ...]:
    """What percentiles rest on; empty without any."""
    growth = measurement.growth
    said = isinstance(growth, Growth) and any(size.at is not None for size in growth.sizes)
    return (words(GROWTH_RESTS_ON_THE_AGE),) if said else ()


def discordance(measurement: Measurement, words: Words = ENGLISH) -> tuple[str, ...]:
    """The remarks that the two ages call for; they stand among `remarks` too."""
    return tuple(words(REMARK_TEXT[w]) for w in DISCORDANCE if w in measurement.warnings)


def spacing(value: PixelSpacingMm, words: Words = ENGLISH) -> str:
    """`0.1230 x 0.1230 mm`, row then column as in Pixel Spacing (0028,0030)."""
    return f"{words.fixed(value.row, 4)} x {words.fixed(value.column, 4)} mm"


def scale(measurement: Measurement, words: Words = ENGLISH) -> str:
    """Where the millimetres come from: `pixel spacing attribute (FIDUCIAL), 0.1230 x 0.1230 mm per pixel`."""
    detail = f" ({measurement.calibration_detail})" if measurement.calibration_detail else ""
    source = f"{words(CALIBRATION_TEXT[measurement.calibration_source])}{detail}"
    per_pixel = words("{spacing} per pixel (row x column)", spacing=spacing(measurement.spacing_mm, words))
    return f"{source}, {per_pixel}"


def quality(measurement: Measurement, words: Words = ENGLISH) -> str:
    """`0.985`: overlap (Dice) of the segmented head and the fitted ellipse."""
    return words.fixed(measurement.quality, 3)


def method(report: ReportInput) -> str:
    """Model and software in one line."""
    return f"{report.model.name}, {SOFTWARE_NAME} {report.equipment.software_version}"


def coverage_notes(measurement: Measurement, words: Words = ENGLISH) -> tuple[str, ...]:
    """What the interval says and what it does not."""
    if measurement.hc_interval is None:
        return (words(NO_INTERVAL),)
    return words(INTERVAL_COVERS), words(INTERVAL_DOES_NOT_COVER)


def remarks(measurement: Measurement, words: Words = ENGLISH) -> tuple[str, ...]:
    """The measurement's warnings as sentences; plane and redating are always said."""
    said = [Remark.PLANE_NOT_VERIFIED, Remark.DO_NOT_REDATE, *measurement.warnings]
    silent = {Remark.INTERVAL_NOT_CALIBRATED}  # `coverage_notes` says it
    if measurement.age.days is None:
        silent.add(Remark.REFERENCE_SYSTEM_EQUATION)  # there is no age that could come from it
    return tuple(words(REMARK_TEXT[w]) for w in dict.fromkeys(said) if w not in silent)


def cine_lines(together: Consensus | None, words: Words = ENGLISH) -> tuple[str, ...]:
    """What the frames of a cine say together, and whether to take it again and why; nothing of a still."""
    if together is None:
        return ()
    said = words(
        CINE_AGREES,
        frame=together.freeze_frame,
        agreeing=len(together.frames_used),
        examined=len(together.weights),
        hc=millimetres(together.hc_mm, words),
        deviation=millimetres(together.deviation_mm, words),
        reliability=words.fixed(together.reliability, 2),
    )
    advice = () if together.advice is None else (words(ADVICE_TEXT[together.advice]),)
    why = () if together.why is None else (words(CINE_WHY, reason=words(REASON_TEXT[together.why])),)
    return (" ".join((said, *advice, *why)),)


def comments(report: ReportInput) -> tuple[str, ...]:
    """Every sentence that belongs to the measurement, in reading order."""
    return (AI_NOT_VERIFIED, *_reading(report), BPD_IS_OUTER, *_grounds(report.measurement), RESEARCH_USE)


def abstention_comments(looked: Abstention) -> tuple[str, ...]:
    """Why there is no number, in reading order."""
    told = looked.detail.isascii() and looked.reason not in TELLS_A_SIZE  # it may quote the header
    detail = f" {looked.detail}" if looked.detail and told else ""
    return (f"{NOT_MEASURED} {REASON_TEXT[looked.reason]}{detail}", AI_NOT_VERIFIED, RESEARCH_USE)


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
        *operator_lines(measurement),
        *growth_lines(measurement),
        *growth_notes(measurement),
        *cine_lines(report.together),
        *remarks(measurement),
    )


def _grounds(measurement: Measurement) -> tuple[str, ...]:
    """What the measurement rests on."""
    return (
        f"Quality {quality(measurement)} (overlap of segmented head and fitted ellipse, Dice).",
        f"Scale: {scale(measurement)}.",
    )
