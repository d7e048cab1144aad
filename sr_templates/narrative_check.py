"""Whether a text that a language model wrote may stand on the page: known words, and the measurement's own numbers.

Every word must be one that the language's vocabulary lists, and every number one of the measurement, with its unit and
under its own name. Whoever is in doubt here says no: the template says the same and is always right.
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum

from inference.domain import Growth, Measurement
from sr_templates import wording
from sr_templates.language import Language, Words
from sr_templates.narrative import equation_short, first_size
from sr_templates.narrative_claims import Facts, Kind, Reading, sentences, subjects_of, without_coverage, words_of
from sr_templates.narrative_vocabulary import (
    ALLOWED,
    EQUATION,
    NOT_KNOWN,
    ONLY_WITH_A_NUMBER,
    OWN_WORDS,
    PLAIN,
    STANDARD,
    TRIMESTER,
    TRIMESTERS,
    VOCABULARIES,
    Subject,
)
from sr_templates.report import Narrative

MOST_CHARACTERS = 700
"""Of one paragraph."""

NEEDED = (Subject.HC, Subject.AGE, Subject.HC_RANGE, Subject.AGE_RANGE)

AGES = frozenset({Subject.AGE, Subject.AGE_RANGE})
RANKS = frozenset({Subject.PERCENTILE, Subject.Z})
OTHER_SIZES = frozenset({Subject.BPD, Subject.OFD, Subject.INDEX})
NOT_BY_EQUATION = RANKS | OTHER_SIZES | {Subject.INDEPENDENT}
NOT_BY_STANDARD = AGES | OTHER_SIZES


class Fault(StrEnum):
    """Why a text does not get onto the page."""

    NOT_TWO_PARAGRAPHS = "not_two_paragraphs"
    TOO_LONG = "too_long"
    STRANGE_CHARACTERS = "strange_characters"
    OTHER_LANGUAGE = "other_language"
    UNKNOWN_WORD = "unknown_word"
    WRONG_SOURCE = "wrong_source"
    WRONG_NUMBER = "wrong_number"
    WRONG_TRIMESTER = "wrong_trimester"
    NOT_MEASURED = "not_measured"
    NUMBER_MISSING = "number_missing"


def checked(text: str, measurement: Measurement, coverage: float | None, language: Language) -> Narrative | Fault:
    """The text as two paragraphs, or the first thing that keeps it off the page."""
    text = text.translate(PLAIN)
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip())]
    fault = _form_fault(text, paragraphs, language)
    if fault is not None:
        return fault
    if any(TRIMESTERS[said[1].lower()] is not measurement.age.trimester for said in TRIMESTER.finditer(text)):
        return Fault.WRONG_TRIMESTER
    facts = facts_of(measurement)
    plain = _without_sayings("\n".join(paragraphs), measurement, facts, language)
    parts = [without_coverage(part, coverage, language) for part in sentences(plain)]
    known = [part for part in parts if part is not None]
    fault = _words_fault(known, facts, language)
    if fault is None and len(known) < len(parts):
        fault = Fault.WRONG_NUMBER
    return fault or _numbers_fault(known, facts, language) or Narrative(*paragraphs)


def facts_of(measurement: Measurement) -> Facts:
    """What may be said of what: as the page writes it, to the last decimal."""
    facts: dict[tuple[Subject, Kind], tuple[Decimal, ...]] = {
        (Subject.HC, Kind.MM): (_mm(measurement.hc_mm),),
        (Subject.BPD, Kind.MM): (_mm(measurement.bpd_mm),),
        (Subject.OFD, Kind.MM): (_mm(measurement.ofd_mm),),
        (Subject.INDEX, Kind.PERCENT): (_mm(measurement.cephalic_index_percent),),
    }
    if measurement.hc_interval is not None:
        facts[Subject.HC_RANGE, Kind.MM] = (_mm(measurement.hc_interval.low), _mm(measurement.hc_interval.high))
    age = measurement.age
    widest = age.interval or age.equation_band
    if age.days is not None:
        facts[Subject.AGE, Kind.DAYS] = (Decimal(age.days),)
        if widest is not None:
            facts[Subject.AGE_RANGE, Kind.DAYS] = (Decimal(widest.low), Decimal(widest.high))
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


def _without_sayings(text: str, measurement: Measurement, facts: Facts, language: Language) -> str:
    """With `_` for names of equation and standard, a true trimester, and what may be said word for word."""
    vocabulary, size, known = VOCABULARIES[language], first_size(measurement), {subject for subject, _ in facts}
    names = dict.fromkeys(
        (wording.equation_name(measurement.age, Words(language)), equation_short(measurement)), EQUATION
    )
    if size is not None:
        title = wording.standard_name(size)
        names[title] = "_" if title in names else STANDARD  # one name for both says nothing wrong of either
    for name, mark in names.items():
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", mark * len(name), text)
    unknown = [said for subject, said in NOT_KNOWN[language].items() if subject not in known]
    for saying in sorted((*vocabulary.sayings, *unknown), key=len, reverse=True):
        text = re.sub(rf"\b{re.escape(saying)}\b", _blank, text, flags=re.IGNORECASE)
    return vocabulary.source.sub(_blank, TRIMESTER.sub(_blank, text))


def _blank(found: re.Match[str]) -> str:
    """As many of its own mark as it has characters, so that places stay what they are."""
    mark = next((mark for mark in (EQUATION, STANDARD) if mark in found.group()), "_")
    return mark * len(found.group())


def _words_fault(parts: list[str], facts: Facts, language: Language) -> Fault | None:
    vocabulary = VOCABULARIES[language]
    for part in parts:
        numbers = any(character.isdigit() for character in part)
        if not set(words_of(part)) <= (vocabulary.with_numbers if numbers else vocabulary.without_numbers):
            return Fault.UNKNOWN_WORD
    if any(_is_misattributed(part) for part in parts):
        return Fault.WRONG_SOURCE
    known = {subject for subject, _ in facts}
    said = set[Subject]().union(*map(subjects_of, parts))
    return Fault.NOT_MEASURED if any(s in said and s not in known for s in ONLY_WITH_A_NUMBER) else None


def _is_misattributed(part: str) -> bool:
    """An equation is for the age by HC, a growth standard for percentile and z-score; one sentence has not both."""
    subjects, numbers = subjects_of(part), any(character.isdigit() for character in part)
    ages, ranks = bool(subjects & AGES), bool(subjects & RANKS)
    by_equation = EQUATION in part and (bool(subjects & NOT_BY_EQUATION) or (numbers and not ages))
    by_standard = STANDARD in part and (bool(subjects & NOT_BY_STANDARD) or (numbers and not ranks))
    return by_equation or by_standard


def _numbers_fault(parts: list[str], facts: Facts, language: Language) -> Fault | None:
    reading = Reading(facts, language)
    if not all(reading.takes(part) for part in parts):
        return Fault.WRONG_NUMBER
    wanted = {(subject, kind) for subject, kind in facts if subject in NEEDED}
    return None if wanted <= reading.said else Fault.NUMBER_MISSING
