"""Gestational age that does not come from the head: what the header says, at the date of the image, never at today.

A source that the object does not carry is passed over. The first one that is there decides, and if it cannot be
believed no other is asked: two stories about one pregnancy are no reason to pick one.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from types import MappingProxyType

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException

from inference.domain import AgeSource, IndependentAge, Reason

LOWEST_DAYS, HIGHEST_DAYS = 4 * 7, 45 * 7
"""Before 4 weeks nobody knows of a pregnancy (dates that were blanked to the same day give 0), and none lasts 45."""

MIDNIGHT_DAYS = 1
"""A study may begin before midnight, or name its times in another zone; dates further apart tell that one was changed:
a clock that was reset, dates shifted when the patient was made anonymous, a study entered on another day."""

_DATE = re.compile(r"([0-9]{4})\.?([0-9]{2})\.?([0-9]{2})")
"""VR DA, PS3.5 6.2; with dots as ACR-NEMA wrote it."""
_LENGTH_OF_DATE = 8

UNREADABLE = "unreadable"
UNCONVERTIBLE = (BytesLengthException, NotImplementedError, OSError, ValueError, TypeError, struct.error)
"""What pydicom raises, at the first look, for bytes that do not fit the value representation written beside them."""


def independent_age(header: Dataset, sources: Sequence[AgeSource]) -> IndependentAge | Reason:
    """The age at acquisition by the first of `sources` that the object carries, or why there is none. Never raises."""
    for source in sources:
        found = READERS[source](header)
        if found is not None:
            return found
    return Reason.NO_INDEPENDENT_AGE


def acquisition_date(header: Dataset) -> date | Reason:
    """The day on which the picture was taken.

    Acquisition Date (0008,0022) says just that, in local time; Acquisition DateTime (0008,002A) too, but may be in
    another time zone. Content Date (0008,0023) is the day the picture was made, which is the same day unless it was
    derived from another one. Study Date (0008,0020) is the day the study began; it comes last, because a study that is
    continued or re-opened keeps it, and then judges the others. Series Date and Instance Creation Date are not asked:
    copies and derived series have their own.
    """
    study = _text(header, "StudyDate")
    stated = _text(header, "AcquisitionDate") or _text(header, "AcquisitionDateTime")[:_LENGTH_OF_DATE]
    if not stated and _is_original(header):
        stated = _text(header, "ContentDate")
    taken, began = _date(stated or study), _date(study)
    if taken is None:
        return Reason.NO_ACQUISITION_DATE
    if began is not None and abs((taken - began).days) > MIDNIGHT_DAYS:
        return Reason.DATES_DISAGREE
    return taken


def _by_last_menstrual_date(header: Dataset) -> IndependentAge | Reason | None:
    """Last Menstrual Date (0010,21D0), PS3.3 C.2.4: the age is the days since."""
    text = _text(header, "LastMenstrualDate")
    if not text:
        return None
    began = _date(text)
    if began is None:
        return Reason.UNREADABLE_INDEPENDENT_AGE
    taken = acquisition_date(header)
    if isinstance(taken, Reason):
        return taken
    days = (taken - began).days
    if not LOWEST_DAYS <= days <= HIGHEST_DAYS:
        return Reason.IMPLAUSIBLE_INDEPENDENT_AGE
    return IndependentAge(days, AgeSource.LAST_MENSTRUAL_DATE)


READERS: Mapping[AgeSource, Callable[[Dataset], IndependentAge | Reason | None]] = MappingProxyType(
    {AgeSource.LAST_MENSTRUAL_DATE: _by_last_menstrual_date}
)
"""None means that the object does not carry the source."""

SOURCES = tuple(READERS)


def _text(header: Dataset, keyword: str) -> str:
    """The value as text without padding; empty where there is none, and something that is no date where it is odd."""
    value = _value(header, keyword)
    return str(value).strip(" \0") if value else ""


def _value(header: Dataset, keyword: str) -> object:
    """The value as pydicom has it, None where there is none, UNREADABLE where its bytes cannot be converted."""
    try:
        value: object = header.get(keyword)
    except UNCONVERTIBLE:
        return UNREADABLE
    return value


def _date(text: str) -> date | None:
    match = _DATE.fullmatch(text)
    try:
        return None if match is None else date(*map(int, match.groups()))
    except ValueError:  # the 31st of February
        return None


def _is_original(header: Dataset) -> bool:
    """Image Type (0008,0008) value 1, PS3.3 C.7.6.1.1.2: ORIGINAL, or DERIVED from another image."""
    value = _value(header, "ImageType")
    first = value if isinstance(value, str) else next(iter(value), "") if isinstance(value, Sequence) else ""
    return str(first).strip().upper() == "ORIGINAL"
