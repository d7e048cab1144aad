"""Identity of patient and study as a person reads it. Malformed values are shown as they are; nothing raises.

What is far longer than DICOM allows is cut: no page has room for it, and laying it out would hold a worker for hours.
"""

from __future__ import annotations

import re
import unicodedata

from pydicom import Dataset
from pydicom.valuerep import PersonName

_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
_TIME = re.compile(r"(\d{2}):?(\d{2})")

MOST_CHARACTERS = 5 * 64
"""Of a value as it is shown: five of the longest that LO and a group of PN may have (PS3.5 6.2)."""

CUT = "..."
"""Ends a value that was cut; ASCII, as it may stand in a report of any character set."""


def text_of(source: Dataset, keyword: str) -> str:
    """`whole_text_of`, cut to `MOST_CHARACTERS`."""
    return _cut(whole_text_of(source, keyword))


def whole_text_of(source: Dataset, keyword: str) -> str:
    """A value on one line: several values joined by a comma, control characters gone, empty where there is none.

    For comparing; what is to be shown comes from `text_of`.
    """
    value = source.get(keyword)
    if value is None:
        return ""
    values = value if isinstance(value, list | tuple) or _is_multiple(value) else [value]
    return one_line(", ".join(str(v) for v in values))


def name_of(source: Dataset, keyword: str = "PatientName") -> str:
    """`Yamada, Tarou (山田 太郎; やまだ たろう)`: the groups of VR PN (PS3.5 6.2.1), alphabetic first."""
    value = source.get(keyword)
    if not isinstance(value, PersonName):
        return text_of(source, keyword)
    groups = [_alphabetic(value.alphabetic), _other(value.ideographic), _other(value.phonetic)]
    first, *rest = [g for g in groups if g] or [""]
    return _cut(f"{first} ({'; '.join(rest)})" if rest else first)


def date_of(source: Dataset, keyword: str) -> str:
    """`1995-04-15` for DA 19950415."""
    text = text_of(source, keyword)
    match = _DATE.fullmatch(text)
    return "-".join(match.groups()) if match else text


def da_of(source: Dataset, keyword: str) -> str | None:
    """`20250815`: a date as VR DA (PS3.5 6.2) writes it; None where the value is none."""
    match = _DATE.fullmatch(text_of(source, keyword))
    return None if match is None else "".join(match.groups())


def time_of(source: Dataset, keyword: str) -> str:
    """`09:30` for TM 093000.000."""
    text = text_of(source, keyword)
    match = _TIME.match(text)
    return ":".join(match.groups()) if match else text


def one_line(text: str) -> str:
    """Without control and format characters, runs of white space as one space."""
    kept = "".join(" " if unicodedata.category(c).startswith(("C", "Z")) else c for c in text)
    return " ".join(kept.split())


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - len(CUT)].rstrip() + CUT


def _other(text: str) -> str:
    """Ideographic and phonetic groups are written without a comma."""
    return one_line(text.replace("^", " "))


def _alphabetic(text: str) -> str:
    """`Prefix Family, Given Middle, Suffix`."""
    family, given, middle, prefix, suffix = (*map(one_line, text.split("^")), "", "", "", "", "")[:5]
    surname = " ".join(filter(None, (prefix, family)))
    return ", ".join(filter(None, (surname, " ".join(filter(None, (given, middle))), suffix)))


def _is_multiple(value: object) -> bool:
    return hasattr(value, "__iter__") and not isinstance(value, str | bytes | PersonName)
