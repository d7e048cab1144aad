"""The words that a narrative may use, in English and German: names of numbers, sayings, and what joins them.

An allow list: a text with any other word is refused. What may be said beside numbers is little, and it has no word of
judgement, advice, comparison or negation; a list of what may not be said would never be complete.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from inference.domain import Trimester
from sr_templates.language import Language


class Subject(StrEnum):
    """What a number can be said of."""

    HC = "hc"
    BPD = "bpd"
    OFD = "ofd"
    INDEX = "index"
    AGE = "age"
    INDEPENDENT = "independent"
    PERCENTILE = "percentile"
    Z = "z"
    HC_RANGE = "hc_range"
    AGE_RANGE = "age_range"
    RANGE = "range"
    """Whose it is says what was named before it."""
    BY_HC = "by_hc"
    """HC as the source of an age, not itself."""


_HC = r"(?:HC|head circumference|KU|Kopfumfangs?)"
_AGE = r"(?:gestational age|age|Gestationsalters?|Schwangerschaftsalters?|Alters?)"
_OF = r"(?: of| for) (?:the |this )?| des "
_OF_HC = rf"(?:(?:{_OF}){_HC})"
_RANGE = (
    r"(?:~+[\s-]*(?:%|percent|Prozent)[\s-]*)?(?:prediction |Vorhersage)?"
    r"(?:[Ii]ntervals?|[Ii]ntervalle?s?|[Rr]ange|Bereichs?|Spanne)"
)

NAMES: Mapping[Subject, str] = {
    Subject.INDEPENDENT: r"[Ii]ndependent (?:gestational )?age"
    r"|[Uu]nabhängige[sn]? (?:Gestationsalters?|Schwangerschaftsalters?|Alters?)",
    Subject.BY_HC: rf"(?:by|from|nach|aus|anhand)(?: (?:the|this|der|dem|des|diesem|dieses))? {_HC}",
    Subject.AGE: rf"[Gg]estational age|GA|{_AGE}",
    Subject.HC: r"HC|[Hh]ead circumference|Kopfumfangs?|KU",
    Subject.BPD: r"BPD|BIP|[Bb]iparietal diameter|biparietaler? Durchmesser",
    Subject.OFD: r"OFD|FOD|[Oo]ccipito-?frontal diameter|(?:fronto-?okzipital|okzipito-?frontal)er? Durchmesser",
    Subject.INDEX: r"[Cc]ephalic index|Kopfindex|CI",
    Subject.PERCENTILE: rf"(?:(?:[Pp]er)?[Cc]entile|Perzentile)(?P<rank_of_hc>{_OF_HC})?",
    Subject.Z: rf"(?:[Zz]-(?:[Ss]core|value|Werts?)|z)(?P<z_of_hc>{_OF_HC})?",
    Subject.HC_RANGE: rf"{_RANGE}{_OF_HC}",
    Subject.AGE_RANGE: rf"{_RANGE}(?:{_OF}){_AGE}",
    Subject.RANGE: _RANGE,
}
"""In the order in which they are tried where several begin at the same place; upper and lower case count."""

ONLY_WITH_A_NUMBER = (Subject.AGE, Subject.INDEPENDENT, Subject.PERCENTILE, Subject.Z)
"""Not even to be mentioned where there is none: the reason would be a guess."""

NAMED = re.compile("|".join(rf"(?P<{subject}>(?<!\w)(?:{pattern})(?!\w))" for subject, pattern in NAMES.items()))
"""In a text whose share of an interval is written as `~`; see `narrative_claims`."""

COVERED = "~"
EQUATION = "="
STANDARD = "&"
"""Each stands for every character of what it names; no text may have them."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What one language may say beside names and numbers; words in lower case."""

    links: frozenset[str]
    """Between a name and its number."""

    ends: frozenset[str]
    """Between the name of a range and its first number, besides `links`."""

    beside: frozenset[str]
    """Elsewhere in a sentence with numbers, besides `links` and `ends`."""

    statements: frozenset[str]
    """In a sentence without numbers, besides all of these."""

    sayings: tuple[str, ...]
    """Word for word: what would be dangerous in other words, such as a negation."""

    joint: re.Pattern[str]
    """Between the two numbers of a range."""

    source: re.Pattern[str]
    """Around the name of an equation or standard, which stands there as `EQUATION` or `STANDARD`."""

    @property
    def with_numbers(self) -> frozenset[str]:
        return self.links | self.ends | self.beside

    @property
    def without_numbers(self) -> frozenset[str]:
        return self.with_numbers | self.statements


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _left_to(whom: Iterable[str], sayings: Iterable[str]) -> tuple[str, ...]:
    """People may only be named for what they have yet to do: else "outlined by the examiner" could be said."""
    return tuple(saying.format(who=who) for who in whom for saying in sayings)


VOCABULARIES: Mapping[Language, Vocabulary] = {
    Language.ENGLISH: Vocabulary(
        links=_words("is was of at the a an this has measures with on lies"),
        ends=_words("from between"),
        beside=_words("and both outer to in its which it that by"),
        statements=_words(
            "all these those they them their numbers number values measurement measurements image picture ultrasound"
            " software algorithm automated automatic automatically outlined outline are were have been rest rests come"
            " comes based derived computed calculated using for only or what as meaning plane fetus fetal head skull"
            " remain remains equation given each"
        ),
        sayings=(
            "one image", "one ultrasound image", "a single image", "a single ultrasound image",
            "nobody has seen", "nobody has seen yet", "nobody has checked", "nobody has checked yet",
            "has not been checked", "has not yet been checked", "have not been checked", "have not yet been checked",
            "not checked by anybody", "not been seen by anybody", "not yet been seen by anybody",
            "whether the plane is right", "which fetus it shows", "what the numbers mean", "what these numbers mean",
            "equation used", "growth standard",
            *_left_to(
                ("the examiner", "the clinician"),
                ("for {who} to judge", "for {who} to assess", "for {who} to interpret", "{who} judges",
                 "to be judged by {who}", "to be assessed by {who}", "to be interpreted by {who}", "a matter for {who}",
                 "interpretation rests with {who}", "interpretation remains with {who}"),
            ),
        ),
        joint=re.compile(r"\s*(?:to|and|–|-)\s*"),
        source=re.compile(
            r"(?:\b(?:by|using|with|according to) (?:the )?)?(?:\b(?:equation(?: of)?|growth standard) )?[=&_]+"
            r"(?: equation| growth standard| standard)?"
        ),
    ),
    Language.GERMAN: Vocabulary(
        links=_words(
            "beträgt ist war liegt misst bei von der die das den dem des ein eine einen einem einer auf mit hat"
        ),
        ends=_words("reicht zwischen im"),
        beside=_words("und beide außen in sein seine seinem zum bis"),
        statements=_words(
            "alle diese dieser dieses diesem zahlen zahl werte messung messungen bild ultraschallbild ultraschall"
            " software algorithmus automatisch automatische umrandet umrandete sind wurde wurden worden haben beruhen"
            " beruht stammen stammt kommen kommt berechnet gemessen aus nach für nur oder was als deutung bedeutung"
            " ebene fetus fetalen kopf kopfes schädel schädels bleibt bleiben formel jede jeder jedes"
        ),
        sayings=(
            "einem einzigen Bild", "einem einzigen Ultraschallbild",
            "von niemandem geprüft", "noch von niemandem geprüft", "von niemandem gesehen",
            "noch von niemandem gesehen", "niemand geprüft hat", "noch niemand geprüft hat", "niemand gesehen hat",
            "noch niemand gesehen hat", "nicht geprüft", "noch nicht geprüft", "ob die Ebene stimmt",
            "welchen Fetus es zeigt", "welchen Fetus sie zeigt", "was die Zahlen bedeuten", "was diese Zahlen bedeuten",
            "verwendete Formel", "verwendeten Formel", "ärztlich zu beurteilen",
            *_left_to(
                ("die untersuchende Person", "der Untersucher", "der Arzt", "die Ärztin"), ("beurteilt {who}",)
            ),
            *_left_to(
                ("der untersuchenden Person", "dem Untersucher"),
                ("obliegt {who}", "obliegen {who}", "von {who} zu beurteilen", "bleibt {who} überlassen",
                 "bleiben {who} überlassen"),
            ),
        ),
        joint=re.compile(r"\s*(?:bis|und|–|-)\s*"),
        source=re.compile(
            r"(?:\b(?:nach|gemäß|laut|mit|aus) (?:der |dem )?)?(?:\b(?:Formel(?: von)?|Wachstumsstandard) )?[=&_]+"
            r"(?:-Formel)?"
        ),
    ),
}  # fmt: skip

NOT_KNOWN: Mapping[Language, Mapping[Subject, str]] = {
    Language.ENGLISH: {Subject.HC_RANGE: "its error is not known", Subject.AGE_RANGE: "its range is not known"},
    Language.GERMAN: {
        Subject.HC_RANGE: "sein Fehler ist nicht bekannt",
        Subject.AGE_RANGE: "sein Bereich ist nicht bekannt",
    },
}
"""What may be said where there is no range, and only there."""

ALLOWED = re.compile(r"[A-Za-zÄÖÜäöüß0-9 .,;:()%+\-–'’\n]*")
PLAIN = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2011": "-", "\u2212": "-"})
"""Spaces and hyphens that mean the usual ones."""

OWN_WORDS = {
    Language.ENGLISH: re.compile(r"\b(?:the|is|of|and)\b"),
    Language.GERMAN: re.compile(r"\b(?:der|die|das|und|ist|beträgt)\b"),
}
TRIMESTERS = {
    "first": Trimester.FIRST,
    "erst": Trimester.FIRST,
    "second": Trimester.SECOND,
    "zweit": Trimester.SECOND,
    "third": Trimester.THIRD,
    "dritt": Trimester.THIRD,
}
TRIMESTER = re.compile(rf"\b({'|'.join(TRIMESTERS)})(?:e[ns]?)?\s+(?:trimester|Trimenon)\b", re.IGNORECASE)
