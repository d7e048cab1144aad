"""Whether images name one patient: differences of spelling are none, and what is left empty contradicts nothing."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from pydicom import Dataset
from pydicom.valuerep import PersonName

from sr_templates import identity

WHOSE = ("StudyInstanceUID", "PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate")
"""What must not differ in the images before anything is said of them together."""


def contradictions(headers: Sequence[Dataset]) -> tuple[str, ...]:
    """The attributes of `WHOSE` in which some headers differ, by keyword; none where one patient may be meant."""
    told = [dict(_told(header)) for header in headers]
    parts = {part for each in told for part in each}
    different = {keyword for keyword, part in parts if len({each.get((keyword, part), "") for each in told} - {""}) > 1}
    return tuple(keyword for keyword in WHOSE if keyword in different)


def _told(header: Dataset) -> Iterator[tuple[tuple[str, str], str]]:
    """((keyword, part of it), value): a name in its component groups, which say the same in different scripts."""
    for keyword in WHOSE:
        value = header.get(keyword)
        if keyword == "PatientBirthDate":
            yield (keyword, ""), identity.date_of(header, keyword)
        elif isinstance(value, PersonName):
            for group in ("alphabetic", "ideographic", "phonetic"):
                yield (keyword, group), _name(getattr(value, group))
        elif keyword == "PatientName":
            yield (keyword, "alphabetic"), _name(identity.whole_text_of(header, keyword))
        else:
            yield (keyword, ""), identity.whole_text_of(header, keyword)


def _name(group: str) -> str:
    """A component group (PS3.5 6.2.1) without case, width and accents' encoding, white space and empty ends."""
    folded = unicodedata.normalize("NFKC", group).casefold()
    return "^".join(map(identity.one_line, folded.split("^"))).rstrip("^")
