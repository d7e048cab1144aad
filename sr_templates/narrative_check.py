"""Whether a text that a language model wrote may stand on the page: each number in it has to be one of the measurement.

Each number is read with its unit and belongs to what was named last before it in its sentence, so that a true number
in the wrong place is found too. Whoever is in doubt here says no: the template says the same and is always right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from enum import StrEnum

from inference.dating import DAYS_PER_WEEK
from inference.domain import Growth, Measurement
from sr_templates import wording
from sr_templates.language import DECIMAL_MARK, Language
from sr_templates.narrative import equation_short, first_size
from sr_templates.narrative_vocabulary import (
    ALLOWED,
    FORBIDDEN,
    NAMED,
    NUMBER_WORDS,
    ONLY_WITH_A_NUMBER,
    OWN_WORDS,
    PLAIN,
    TRIMESTER,
    TRIMESTERS,
    Subject,
)
from sr_templates.report import Narrative

MOST_CHARACTERS = 700
"""Of one paragraph."""


class Fault(StrEnum):
    """Why a text does not get onto the page."""

    NOT_TWO_PARAGRAPHS = "not_two_paragraphs"
    TOO_LONG = "too_long"
    STRANGE_CHARACTERS = "strange_characters"
    OTHER_LANGUAGE = "other_language"
    FORBIDDEN_WORD = "forbidden_word"
    WRONG_NUMBER = "wrong_number"
    NUMBER_IN_WORDS = "number_in_words"
    WRONG_TRIMESTER = "wrong_trimester"
    NOT_MEASURED = "not_measured"
    NUMBER_MISSING = "number_missing"


class Kind(StrEnum):
    """What a number counts."""

    MM = "mm"
    DAYS = "days"
    PERCENT = "percent"
    PERCENTILE = "percentile"
    BARE = "bare"


_DAYS = r"days?|Tage?n?"
_WEEKS = r"weeks?|Wochen?"
_AGE = (
    rf"(?P<weeks>\d+)(?:\s*\+\s*|\s*(?:w|{_WEEKS})\s*(?:,|and|und)?\s*)(?P<rest>\d+)(?!\d)"
    rf"(?:\s*(?:d\b|(?:{_DAYS})\b))?"
)
_VALUE = r"(?P<value>(?:(?<![\d\w])[-–])?\d+(?:[.,]\d+)*)(?:st|nd|rd|th)?"
_UNIT = (
    r"(?:[\s-]*(?P<unit>mm|cm|millimetres?|Millimeter|%|percent|Prozent"
    rf"|{_DAYS}|{_WEEKS}|percentile|Perzentile)(?!\w))?"
)
_TOKEN = re.compile(rf"{_AGE}|{_VALUE}\.?{_UNIT}")
_COVERAGE = re.compile(
    r"(?P<value>\d+(?:[.,]\d+)?)\s*-?(?:%|percent|Prozent)[\s-]*(?:prediction |confidence )?[Ii]ntervall?"
)
_SENTENCE_END = re.compile(r"(?<=[^\d\s][.;])\s+|(?<=\d[.;])\s+(?=(?!Perzentil)[A-ZÄÖÜ])|\n+")

_KINDS = {
    "mm": Kind.MM, "millimetre": Kind.MM, "millimetres": Kind.MM, "Millimeter": Kind.MM,
    "%": Kind.PERCENT, "percent": Kind.PERCENT, "Prozent": Kind.PERCENT,
    "day": Kind.DAYS, "days": Kind.DAYS, "Tag": Kind.DAYS, "Tage": Kind.DAYS, "Tagen": Kind.DAYS,
    "percentile": Kind.PERCENTILE, "Perzentile": Kind.PERCENTILE,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Claim:
    """A number as the text has it; `exact` days for ages, else as many decimals as were written."""

    kind: Kind
    value: Decimal
    begin: int


Facts = Mapping[tuple[Subject, Kind], tuple[Decimal, ...]]


def checked(text: str, measurement: Measurement, coverage: float | None, language: Language) -> Narrative | Fault:
    """The text as two paragraphs, or the first thing that keeps it off the page."""
    text = text.translate(PLAIN)
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip())]
    fault = _form_fault(text, paragraphs, language)
    if fault is not None:
        return fault
    facts = facts_of(measurement)
    plain = _without_names("\n".join(paragraphs), measurement)
    fault = _words_fault(plain, measurement, facts) or _numbers_fault(plain, facts, coverage, language)
    return fault or Narrative(*paragraphs)


def facts_of(measurement: Measurement) -> Facts:
    """What may be said of what: as the page writes it, to the last decimal."""
    facts: dict[tuple[Subject, Kind], tuple[Decimal, ...]] = {
        (Subject.HC, Kind.MM): (_mm(measurement.hc_mm),),
        (Subject.BPD, Kind.MM): (_mm(measurement.bpd_mm),),
        (Subject.OFD, Kind.MM): (_mm(measurement.ofd_mm),),
        (Subject.INDEX, Kind.PERCENT): (_mm(measurement.cephalic_index_percent),),
    }
    if measurement.hc_interval is not None:
        facts[Subject.RANGE, Kind.MM] = (_mm(measurement.hc_interval.low), _mm(measurement.hc_interval.high))
    age = measurement.age
    widest = age.interval or age.equation_band
    if age.days is not None:
        facts[Subject.AGE, Kind.DAYS] = (Decimal(age.days),)
        if widest is not None:
            facts[Subject.RANGE, Kind.DAYS] = (Decimal(widest.low), Decimal(widest.high))
    return {**facts, **_growth_facts(measurement)}


def _growth_facts(measurement: Measurement) -> Facts:
    growth, size = measurement.growth, first_size(measurement)
    if not isinstance(growth, Growth) or size is None or size.at is None:
        return {}
    facts = {
        (Subject.INDEPENDENT, Kind.DAYS): (Decimal(growth.independent.days),),
        (Subject.Z, Kind.BARE): (Decimal(wording.z_score(size.at.z_score)),),
    }
    if wording.is_rank(size.at):
        rank = (Decimal(wording.percentile(size.at)),)
        facts[Subject.PERCENTILE, Kind.BARE] = facts[Subject.PERCENTILE, Kind.PERCENTILE] = rank
    return facts


def _mm(value: float) -> Decimal:
    return Decimal(wording.tenths(value))


def _form_fault(text: str, paragraphs: list[str], language: Language) -> Fault | None:
    if not ALLOWED.fullmatch(text):
        return Fault.STRANGE_CHARACTERS
    if len(paragraphs) != 2:
        return Fault.NOT_TWO_PARAGRAPHS
    if max(map(len, paragraphs)) > MOST_CHARACTERS:
        return Fault.TOO_LONG
    return None if all(OWN_WORDS[language].search(part) for part in paragraphs) else Fault.OTHER_LANGUAGE


def _without_names(text: str, measurement: Measurement) -> str:
    """Without the numbers that belong to the names of equation and standard; their places stay filled."""
    size = first_size(measurement)
    names = [equation_short(measurement), "2 SD", *([] if size is None else [wording.standard_name(size)])]
    for name in names:
        text = re.sub(re.escape(name), lambda found: "_" * len(found.group()), text)
    return text


def _words_fault(text: str, measurement: Measurement, facts: Facts) -> Fault | None:
    if FORBIDDEN.search(text):
        return Fault.FORBIDDEN_WORD
    if NUMBER_WORDS.search(text):
        return Fault.NUMBER_IN_WORDS
    for named in TRIMESTER.finditer(text):
        if TRIMESTERS[named.group(1).lower()] is not measurement.age.trimester:
            return Fault.WRONG_TRIMESTER
    known = {subject for subject, _ in facts}
    said = {Subject(str(found.lastgroup)) for found in NAMED.finditer(text)}
    return Fault.NOT_MEASURED if any(s in said and s not in known for s in ONLY_WITH_A_NUMBER) else None


def _numbers_fault(text: str, facts: Facts, coverage: float | None, language: Language) -> Fault | None:
    said: set[tuple[Subject, Kind, Decimal]] = set()
    for sentence in _SENTENCE_END.split(text):
        rest = _without_coverage(sentence, coverage, language)
        claims = None if rest is None else _claims(rest, language)
        if rest is None or claims is None:
            return Fault.WRONG_NUMBER
        last: dict[Kind, Decimal] = {}
        for claim in claims:
            held = _held_by(claim, rest, facts)
            if held is None or (held[0] is Subject.RANGE and last.get(held[1], held[2]) > held[2]):
                return Fault.WRONG_NUMBER
            if held[0] is Subject.RANGE:
                last[held[1]] = held[2]
            said.add(held)
    needed = (Subject.HC, Subject.AGE, Subject.RANGE)
    wanted = {
        (subject, kind, value) for (subject, kind), values in facts.items() if subject in needed for value in values
    }
    return None if wanted <= said else Fault.NUMBER_MISSING


def _without_coverage(sentence: str, coverage: float | None, language: Language) -> str | None:
    """The sentence with "95 %" of "95 % interval" blanked; None where it is another share."""
    for found in _COVERAGE.finditer(sentence):
        value = _decimal(found.group("value"), language)
        if coverage is None or value is None or value != Decimal(f"{coverage * 100:g}"):
            return None
        begin, end = found.span("value")
        sentence = f"{sentence[:begin]}{'_' * (end - begin)}{sentence[end:]}"
    return sentence


def _claims(sentence: str, language: Language) -> list[Claim] | None:
    """Every number of a sentence; None where one cannot be read or a digit is left over."""
    claims: list[Claim | None] = [_claim(found, language) for found in _TOKEN.finditer(sentence)]
    read = [claim for claim in claims if claim is not None]
    left = any(character.isdigit() for character in _TOKEN.sub("", sentence))
    return None if left or len(read) != len(claims) else read


def _claim(found: re.Match[str], language: Language) -> Claim | None:
    if found["weeks"] is not None:
        weeks, rest = int(found["weeks"]), int(found["rest"])
        days = Decimal(weeks * DAYS_PER_WEEK + rest)
        return None if rest >= DAYS_PER_WEEK else Claim(Kind.DAYS, days, found.start())
    value, unit = _decimal(found["value"], language), found["unit"]
    if value is None:
        return None
    if unit == "cm":
        # whole centimetres are no reading of a millimetre
        return Claim(Kind.MM, value.scaleb(1), found.start()) if value.as_tuple().exponent != 0 else None
    if unit in ("week", "weeks", "Woche", "Wochen"):
        days = value * DAYS_PER_WEEK
        return Claim(Kind.DAYS, days, found.start()) if value == value.to_integral_value() else None
    return Claim(Kind.BARE if unit is None else _KINDS[unit], value, found.start())


def _decimal(written: str, language: Language) -> Decimal | None:
    """A number with at most one decimal mark, that of the language."""
    mark = DECIMAL_MARK[language]
    other = "," if mark == "." else "."
    if other in written or written.count(mark) > 1:
        return None
    return Decimal(written.replace(mark, ".").replace("–", "-"))


def _held_by(claim: Claim, sentence: str, facts: Facts) -> tuple[Subject, Kind, Decimal] | None:
    """The fact that the claim states: of what was named last before it and has numbers of this kind."""
    for subject in _named_before(sentence, claim.begin):
        kinds = [claim.kind] if claim.kind is not Kind.BARE else list(Kind)
        values = {kind: facts[subject, kind] for kind in kinds if (subject, kind) in facts}
        if values:
            exact = subject is Subject.RANGE or claim.kind in (Kind.BARE, Kind.DAYS)
            for kind, known in values.items():
                for value in known:
                    if _says(claim.value, value, exact):
                        return subject, kind, value
            return None
    if claim.kind is Kind.PERCENTILE:  # "the 83.3rd percentile": its name comes after it
        known = facts.get((Subject.PERCENTILE, claim.kind), ())
        return next(((Subject.PERCENTILE, claim.kind, value) for value in known if claim.value == value), None)
    return None


def _named_before(sentence: str, begin: int) -> Iterator[Subject]:
    """Nearest first."""
    yield from (Subject(str(found.lastgroup)) for found in reversed([*NAMED.finditer(sentence, 0, begin)]))


def _says(written: Decimal, value: Decimal, exact: bool) -> bool:
    """Whether `written` is the value, or the value rounded to the decimals that were written."""
    if exact:
        return written == value
    to = Decimal(1).scaleb(min(0, int(written.as_tuple().exponent)))
    return written in (value.quantize(to, ROUND_HALF_EVEN), value.quantize(to, ROUND_HALF_UP))
