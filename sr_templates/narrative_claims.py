"""The numbers of a narrative, each with its unit, and what each of them is said of.

A number is said of what was named last before it in its sentence, with nothing between the two but linking words; a
range belongs to what it stands with. Whatever cannot be read so is refused: nothing here guesses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from enum import StrEnum

from inference.dating import DAYS_PER_WEEK
from sr_templates.language import DECIMAL_MARK, Language
from sr_templates.narrative_vocabulary import COVERED, NAMED, VOCABULARIES, Subject


class Kind(StrEnum):
    """What a number counts."""

    MM = "mm"
    DAYS = "days"
    PERCENT = "percent"
    PERCENTILE = "percentile"
    BARE = "bare"
    """Without a unit: a percentile, a z-score, or the lower end of a range whose upper end has it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A number as the text has it; `exact` days for ages, else as many decimals as were written."""

    kind: Kind
    value: Decimal
    begin: int
    end: int


Facts = Mapping[tuple[Subject, Kind], tuple[Decimal, ...]]
"""One value, or the lower and the upper end of a range."""

Said = tuple[Subject, Kind]

NUMBER = "#"
"""Stands for each character of a number and its unit where only words matter."""

_DAYS = r"days?|Tage?n?"
_WEEKS = r"weeks?|Wochen?"
_AGE = (
    rf"(?P<weeks>\d+)(?:\s*\+\s*|\s*(?:w|{_WEEKS})\s*(?:,|and|und)?\s*)(?P<rest>\d+)(?!\d)"
    rf"(?:\s*(?:d\b|SSW\b|(?:{_DAYS})\b))?"
)
_VALUE = r"(?P<value>(?:(?<![\d\w])[-–])?\d+(?:[.,]\d+)*)(?P<ordinal>st|nd|rd|th)?"
_UNIT = (
    r"(?:\.?[\s-]*(?P<unit>mm|cm|millimetres?|Millimeter|%|percent|Prozent"
    rf"|{_DAYS}|{_WEEKS}|percentile|Perzentile)(?!\w))?"
)
_TOKEN = re.compile(rf"{_AGE}|{_VALUE}{_UNIT}")
_COVERAGE = re.compile(
    r"(?P<value>\d+(?:[.,]\d+)?)\s*-?(?:%|percent|Prozent)[\s-]*(?:prediction |Vorhersage)?[Ii]ntervall?"
)
_SENTENCE_END = re.compile(r"(?<=[^\d\s][.;])\s+|(?<=\d[.;])\s+(?=(?!Perzentil)[A-ZÄÖÜ])|\n+")
_WORD = re.compile(r"[^\W\d_]+")
_SIGN = re.compile(r"[-–+]")
_RESTATES = re.compile(r"\s*\(\s*")

_KINDS = {
    "mm": Kind.MM, "millimetre": Kind.MM, "millimetres": Kind.MM, "Millimeter": Kind.MM,
    "%": Kind.PERCENT, "percent": Kind.PERCENT, "Prozent": Kind.PERCENT,
    "day": Kind.DAYS, "days": Kind.DAYS, "Tag": Kind.DAYS, "Tage": Kind.DAYS, "Tagen": Kind.DAYS,
    "percentile": Kind.PERCENTILE, "Perzentile": Kind.PERCENTILE,
}  # fmt: skip

_RANGE_OF = {
    Subject.HC: Subject.HC_RANGE,
    Subject.HC_RANGE: Subject.HC_RANGE,
    Subject.AGE: Subject.AGE_RANGE,
    Subject.AGE_RANGE: Subject.AGE_RANGE,
}
_RANGES = frozenset(_RANGE_OF.values())
_OTHERS = frozenset({Subject.BPD, Subject.OFD, Subject.INDEX, Subject.AGE, Subject.AGE_RANGE})
"""What a percentile or z-score without an owner of its own would be taken to belong to."""

_GOES_ON = frozenset(
    {
        (Subject.HC, Subject.HC_RANGE),
        (Subject.AGE, Subject.AGE_RANGE),
        (Subject.HC, Subject.PERCENTILE),
        (Subject.HC, Subject.Z),
    }
)
"""Names that may follow each other without a number between; any other name would be left without its own."""


def sentences(text: str) -> list[str]:
    """The text at its full stops, semicolons and line ends; a stop inside a number or an ordinal is none."""
    return _SENTENCE_END.split(text)


def words_of(sentence: str) -> list[str]:
    """Every word that is neither part of a number nor of a name, in lower case."""
    rest = re.sub(r"['’]s(?!\w)", "", NAMED.sub(" ", _without_numbers(sentence)))
    return [word.lower() for word in _WORD.findall(rest)]


def subjects_of(sentence: str) -> frozenset[Subject]:
    """Everything that the sentence names; a percentile also where it is the unit of a number."""
    return frozenset(_subject(found) for found in NAMED.finditer(sentence))


def without_coverage(sentence: str, coverage: float | None, language: Language) -> str | None:
    """The sentence with "95" of "95 % interval" as `~`; None where it is another share."""
    for found in _COVERAGE.finditer(sentence):
        value = _decimal(found.group("value"), language)
        if coverage is None or value is None or value != Decimal(f"{coverage * 100:g}"):
            return None
        begin, end = found.span("value")
        sentence = f"{sentence[:begin]}{COVERED * (end - begin)}{sentence[end:]}"
    return sentence


@dataclass(slots=True)
class Reading:
    """Sentences read one after the other; each must be true to the facts."""

    facts: Facts
    language: Language
    said: set[Said] = field(default_factory=set)
    _last: Subject | None = None
    """What the last number was said of: a range in the next sentence belongs to it."""

    def takes(self, sentence: str) -> bool:
        """Whether every number of the sentence is a fact, said of its own subject with its own unit."""
        claims = _claims(sentence, self.language)
        if claims is None:
            return False
        rest = _without_numbers(sentence)
        names = [*NAMED.finditer(rest)]
        return self._numbers(rest, names, claims) if claims else self._names_alone(names)

    def _names_alone(self, names: list[re.Match[str]]) -> bool:
        """A range without its numbers could say that something lies in it."""
        if {Subject.AGE, Subject.INDEPENDENT} <= {_subject(found) for found in names}:
            return False  # one could be said to come from the other
        for found in names:
            subject = _subject(found)
            if subject in (Subject.RANGE, *_RANGES):
                return False
            self._last = self._last if subject is Subject.BY_HC else subject
        return True

    def _numbers(self, rest: str, names: list[re.Match[str]], claims: list[Claim]) -> bool:
        """In reading order: a name waits for its number, a number goes to the name that waits."""
        waiting: Subject | None = None
        waits_from, number, read_to = 0, 0, 0
        while names or number < len(claims):
            if names and (number == len(claims) or names[0].start() < claims[number].begin):
                found = names.pop(0)
                named = self._named(found, waiting)
                if named is None:
                    return False
                if named is not Subject.BY_HC:
                    waiting, waits_from = named, found.end()
                elif waiting is not None:
                    waits_from = found.end()
                continue
            claim = claims[number]
            following = claims[number + 1] if number + 1 < len(claims) else None
            if waiting is None:
                if self._last is None or not _RESTATES.fullmatch(rest[read_to : claim.begin]):
                    return False
                waiting = self._last
            elif not self._linked(rest[waits_from : claim.begin], waiting):
                return False
            used = self._state(waiting, claim, following, rest)
            if used == 0:
                return False
            number += used
            read_to, waiting = claims[number - 1].end, None
        return waiting is None

    def _named(self, found: re.Match[str], waiting: Subject | None) -> Subject | None:
        """What the name stands for here; None where it would leave another without a number, or has no owner."""
        subject = _subject(found)
        owner = waiting or self._last
        if subject is Subject.BY_HC:
            return subject if owner in (Subject.AGE, Subject.AGE_RANGE) else None
        if subject is Subject.RANGE:
            subject = Subject.RANGE if owner is None else _RANGE_OF.get(owner, Subject.RANGE)
        if subject is Subject.RANGE or (COVERED in found.group() and subject is not Subject.HC_RANGE):
            return None
        if subject in (Subject.PERCENTILE, Subject.Z):
            of_hc = found["rank_of_hc"] or found["z_of_hc"]
            if not of_hc and owner in _OTHERS:
                return None
        if waiting is not None and waiting is not subject and (waiting, subject) not in _GOES_ON:
            return None
        return subject

    def _linked(self, between: str, subject: Subject) -> bool:
        vocabulary = VOCABULARIES[self.language]
        links = vocabulary.links | vocabulary.ends if subject in _RANGES else vocabulary.links
        return not _SIGN.search(between) and {word.lower() for word in _WORD.findall(between)} <= links

    def _state(self, subject: Subject, claim: Claim, following: Claim | None, rest: str) -> int:
        """How many numbers state a fact of the subject: none, one, or the two of a range."""
        if subject in _RANGES:
            return self._state_range(subject, claim, following, rest)
        if subject is Subject.HC and claim.kind is Kind.PERCENTILE:
            subject = Subject.PERCENTILE
        known = self.facts.get((subject, claim.kind))
        if known is None or not _says(claim, known[0]):
            return 0
        self._say(subject, claim.kind)
        return 1

    def _state_range(self, subject: Subject, low: Claim, high: Claim | None, rest: str) -> int:
        if high is None or low.kind not in (Kind.BARE, high.kind):
            return 0
        joint = VOCABULARIES[self.language].joint.fullmatch(rest[low.end : high.begin])
        if joint is None or self.facts.get((subject, high.kind)) != (low.value, high.value):
            return 0
        self._say(subject, high.kind)
        return 2

    def _say(self, subject: Subject, kind: Kind) -> None:
        self._last = subject
        self.said.add((subject, kind))


def _subject(found: re.Match[str]) -> Subject:
    return next(subject for subject in Subject if found[subject] is not None)


def _without_numbers(sentence: str) -> str:
    return _TOKEN.sub(lambda found: NUMBER * len(found.group()), sentence)


def _claims(sentence: str, language: Language) -> list[Claim] | None:
    """Every number of a sentence; None where one cannot be read or a digit is left over."""
    claims: list[Claim | None] = [_claim(found, language) for found in _TOKEN.finditer(sentence)]
    read = [claim for claim in claims if claim is not None]
    left = any(character.isdigit() for character in _without_numbers(sentence))
    return None if left or len(read) != len(claims) else read


def _claim(found: re.Match[str], language: Language) -> Claim | None:
    if found["weeks"] is not None:
        weeks, rest = int(found["weeks"]), int(found["rest"])
        days = Decimal(weeks * DAYS_PER_WEEK + rest)
        return None if rest >= DAYS_PER_WEEK else Claim(Kind.DAYS, days, *found.span())
    value, unit = _decimal(found["value"], language), found["unit"]
    kind = Kind.BARE if unit is None else _KINDS.get(unit)
    if value is None or (found["ordinal"] and kind is not Kind.PERCENTILE):
        return None
    if unit == "cm":
        # whole centimetres are no reading of a millimetre
        return Claim(Kind.MM, value.scaleb(1), *found.span()) if value.as_tuple().exponent != 0 else None
    if kind is None:  # weeks
        days = value * DAYS_PER_WEEK
        return Claim(Kind.DAYS, days, *found.span()) if value == value.to_integral_value() else None
    return Claim(kind, value, *found.span())


def _decimal(written: str, language: Language) -> Decimal | None:
    """A number with at most one decimal mark, that of the language."""
    mark = DECIMAL_MARK[language]
    other = "," if mark == "." else "."
    if other in written or written.count(mark) > 1:
        return None
    return Decimal(written.replace(mark, ".").replace("–", "-"))


def _says(claim: Claim, value: Decimal) -> bool:
    """Whether the number is the value, or a length or share rounded to the decimals that were written."""
    if claim.kind not in (Kind.MM, Kind.PERCENT):
        return claim.value == value
    to = Decimal(1).scaleb(min(0, int(claim.value.as_tuple().exponent)))
    return claim.value in (value.quantize(to, ROUND_HALF_EVEN), value.quantize(to, ROUND_HALF_UP))
