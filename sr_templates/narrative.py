"""A measurement in two paragraphs, findings and interpretation, and the numbers that a language model may use.

The template is what is said unless somebody switches a language model on; both fill the same place on the page.
"""

from __future__ import annotations

from inference.domain import Growth, Measurement, SizeForAge
from sr_templates import wording
from sr_templates.language import Words, message
from sr_templates.report import Narrative, ReportInput

LIMITS = message(
    "All numbers come from one image that software outlined and that nobody has checked. Whether the plane is right,"
    " which fetus it shows and what the numbers mean is for the examiner to judge."
)


def from_template(report: ReportInput) -> Narrative:
    """The same sentences for the same numbers, in the page's language."""
    measurement, words = report.measurement, report.words
    findings = (*_size(measurement, report.interval_coverage, words), _age(measurement, words))
    interpretation = (*_rank(measurement, words), words(LIMITS))
    return Narrative(" ".join(findings), " ".join(interpretation))


def told_numbers(measurement: Measurement, coverage: float | None, words: Words) -> dict[str, str]:
    """All that a language model is told: names and numbers as the page writes them, nothing of the source's header."""
    age = measurement.age
    told = {"HC": wording.millimetres(measurement.hc_mm, words)}
    hc_range = wording.hc_range(measurement, words)
    if hc_range is not None:
        told[f"HC {wording.interval_name(coverage, words)}"] = hc_range
    told["BPD (outer to outer)"] = wording.millimetres(measurement.bpd_mm, words)
    told["OFD (outer to outer)"] = wording.millimetres(measurement.ofd_mm, words)
    told["cephalic index"] = wording.percent(measurement.cephalic_index_percent, words)
    if age.days is not None:
        told["gestational age by HC"] = wording.weeks_and_days(age.days, words)
        told["equation"] = equation_short(measurement)
    age_range = wording.age_range(age, words)
    if age.days is not None and age_range is not None:
        told["range of the gestational age"] = age_range
    if age.days is not None and age.trimester is not None:
        told["trimester"] = words(wording.TRIMESTER_TEXT[age.trimester])
    return {**told, **_told_growth(measurement, words)}


def equation_short(measurement: Measurement) -> str:
    """`Hadlock 1984`."""
    return wording.EQUATION_TEXT.get(measurement.age.equation, measurement.age.equation).removesuffix(" (HC)")


def first_size(measurement: Measurement) -> SizeForAge | None:
    """The standing that the chart shows; None without one."""
    growth = measurement.growth
    if not isinstance(growth, Growth) or not growth.sizes or growth.sizes[0].at is None:
        return None
    return growth.sizes[0]


def _told_growth(measurement: Measurement, words: Words) -> dict[str, str]:
    growth, size = measurement.growth, first_size(measurement)
    if not isinstance(growth, Growth) or size is None or size.at is None:
        return {}
    told = {
        "independent age": wording.weeks_and_days(growth.independent.days, words),
        "growth standard": wording.standard_name(size),
    }
    if wording.is_rank(size.at):
        told["percentile of HC"] = wording.percentile(size.at, words)
    told["z-score of HC"] = wording.z_score(size.at.z_score, words)
    return told


def _size(measurement: Measurement, coverage: float | None, words: Words) -> tuple[str, str]:
    hc, hc_range = wording.millimetres(measurement.hc_mm, words), wording.hc_range(measurement, words)
    if hc_range is None:
        first = words("The head circumference (HC) is {hc}; its error is not known.", hc=hc)
    else:
        name = wording.interval_name(coverage, words)
        first = words("The head circumference (HC) is {hc} ({interval} {range}).", hc=hc, interval=name, range=hc_range)
    second = words(
        "BPD is {bpd} and OFD {ofd}, both outer to outer; the cephalic index is {index}.",
        bpd=wording.millimetres(measurement.bpd_mm, words),
        ofd=wording.millimetres(measurement.ofd_mm, words),
        index=wording.percent(measurement.cephalic_index_percent, words),
    )
    return first, second


def _age(measurement: Measurement, words: Words) -> str:
    age = measurement.age
    if age.days is None:
        return f"{words('There is no gestational age.')} {wording.age_or_reason(age, words)}"
    said = {"age": wording.weeks_and_days(age.days, words), "equation": wording.equation_name(age, words)}
    age_range = wording.age_range(age, words)
    if age_range is None:
        return words("The gestational age by {equation} is {age}; its range is not known.", **said)
    return words("The gestational age by {equation} is {age}, range {range}.", **said, range=age_range)


def _rank(measurement: Measurement, words: Words) -> tuple[str, ...]:
    """Size at the independent age, and that the two ages disagree, where there is one."""
    growth, size = measurement.growth, first_size(measurement)
    if not isinstance(growth, Growth):
        return ()
    lines = []
    if size is not None:
        lines.append(
            words(
                "At the gestational age of {age} this HC has {size} by {standard}.",
                age=wording.independent_age(growth.independent, words),
                size=wording.size_for_age(size, words),
                standard=wording.standard_name(size),
            )
        )
    if wording.discordance(measurement, words):
        lines.append(words("The two ages disagree."))
    return tuple(lines)
