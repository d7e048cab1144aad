"""The words that the check of a narrative knows, in English and German: names of numbers, and what may not be said."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
    RANGE = "range"


_OF = (
    r"(?: (?:of|for) (?:the )?(?:HC|head circumference|(?:gestational )?age)"
    r"| des (?:KU|Kopfumfangs|Gestationsalters))?"
)
"""The range of an age is no age."""

NAMES: Mapping[Subject, str] = {
    Subject.INDEPENDENT: r"[Ii]ndependent (?:gestational )?age"
    r"|[Uu]nabhängige\w* (?:Gestationsa|Schwangerschaftsa|A)lter\w*"
    r"|[Ii]ndependent\w*|[Uu]nabhängig\w*|\bLMP\b|[Mm]enstrua\w*|Periode",
    Subject.AGE: r"gestational age|\bGA\b|\bage\b|Gestationsalter\w*|Schwangerschaftsalter\w*|\bAlter\b",
    Subject.HC: r"\bHC\b|head circumference|Kopfumfang\w*|\bKU\b",
    Subject.BPD: r"\bBPD\b|\bBIP\b|biparietal\w*",
    Subject.OFD: r"\bOFD\b|\bFOD\b|occipito-?frontal\w*|fronto-?okzipital\w*",
    Subject.INDEX: r"cephalic index|Kopfindex|\bCI\b",
    Subject.PERCENTILE: rf"(?:(?:per)?centile\w*|Perzentil\w*){_OF}",
    Subject.Z: rf"(?:z-score|z-value|z-Wert\w*|z-Score|\bz\b){_OF}",
    Subject.RANGE: rf"(?:\w*[Ii]nterval\w*|\b[Rr]anges?\b|Bereich\w*|Spanne){_OF}",
}
"""In the order in which they are tried where several begin at the same place; upper and lower case count."""

ONLY_WITH_A_NUMBER = (Subject.INDEPENDENT, Subject.PERCENTILE, Subject.Z)
"""Not even to be mentioned where there is none: the reason would be a guess."""

NAMED = re.compile("|".join(f"(?P<{subject}>{pattern})" for subject, pattern in NAMES.items()))

FORBIDDEN = re.compile(
    r"\w*(?:normal|diagnos|patholog|health|gesund|cephal(?:y|ie|us)|zephal|kephal|retard|restrict|restrik|anomal|malform"
    r"|fehlbild|recommend|empfehl|empfohl|treat|therap|behandl|reassur|beruhig|appropriate|angemessen|adequate|expected"
    r"|erwart|consistent|vereinbar|concern|auffällig|zeitgerecht|entsprechend|risk|risik|deliver|entbind|geburt|birth"
    r"|confirm|bestätig|verified|geprüft|macrosom|makrosom|syndrom|disease|krank|excellent|accurate|reliab|zuverlässig"
    r"|genau|larger|smaller|greater|grösser|größer|kleiner|longer|shorter|older|younger|älter|jünger|more than"
    r"|less than|mehr als|weniger als|should|sollte|must|muss|http|www)\w*",
    re.IGNORECASE,
)
"""Judgements, comparisons and advice: they are the reader's. A text is refused rather than cleaned."""

NUMBER_WORDS = re.compile(
    r"\b(?:three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|half|twice|double|triple"
    r"|drei|vier|fünf|sechs|sieben|acht|neun|zehn|elf|zwölf|dutzend|halb\w*|doppelt\w*)\b"
    r"|\b\w*(?:teen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand"
    r"|zehn|zwanzig|dreißig|vierzig|fünfzig|sechzig|siebzig|achtzig|neunzig|hundert|tausend)\w*"
    r"|\bminus\b|\bnegativ\w*"
    r"|\b(?:one|two|a|ein\w*|zwei)\s+(?:weeks?|days?|mm|cm|millimet\w+|centimet\w+|percent|Wochen?|Tage?n?|Millimeter|Prozent)\b",
    re.IGNORECASE,
)

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
TRIMESTER = re.compile(rf"\b({'|'.join(TRIMESTERS)})\w*\s+(?:trimester|Trimenon\w*)", re.IGNORECASE)
