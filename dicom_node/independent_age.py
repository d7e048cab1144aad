"""Gestational age that does not come from the head: by header or machine's report, at the image's date, never today's.

A source that is not there is passed over. The first one that is there decides, and if it cannot be
believed no other is asked: two stories about one pregnancy are no reason to pick one.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from types import MappingProxyType

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException

from dicom_node.operator_values import NOTHING_SAID, OperatorValues
from inference.domain import AgeSource, IndependentAge, Reason

LOWEST_DAYS, HIGHEST_DAYS = 4 * 7, 45 * 7
"""Before 4 weeks nobody knows of a pregnancy (dates that were blanked to the same day give 0), and none lasts 45."""

MIDNIGHT_DAYS = 1
"""A study may begin before midnight, or name its times in another zone; dates further apart tell that one was changed:
a clock that was reset, dates shifted when the patient was made anonymous, a study entered on another day."""

TERM_DAYS = 40 * 7
"""From the last menstruation to the date of delivery, as machines and wheels reckon (Naegele)."""

_DATE = re.compile(r"([0-9]{4})\.?([0-9]{2})\.?([0-9]{2})")
"""VR DA, PS3.5 6.2; with dots as ACR-NEMA wrote it."""
_LENGTH_OF_DATE = 8

UNREADABLE = "unreadable"
UNCONVERTIBLE = (BytesLengthException, NotImplementedError, OSError, ValueError, TypeError, struct.error)
"""What pydicom raises, at the first look, for bytes that do not fit the value representation written beside them."""


def independent_age(
    header: Dataset, sources: Sequence[AgeSource], said: OperatorValues = NOTHING_SAID
) -> IndependentAge | Reason:
    """The age at acquisition by the first of `sources` that is there, or why there is none. Never raises.

    `header` is that of the image; `said` is what the machine's own report of the same study says.
    """
    for source in sources:
        found = READERS[source](header, said)
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


def _by_last_menstrual_date(header: Dataset, _said: OperatorValues) -> IndependentAge | Reason | None:
    """Last Menstrual Date (0010,21D0), PS3.3 C.2.4: the age is the days since."""
    text = _text(header, "LastMenstrualDate")
    if not text:
        return None
    return _age(header, _date(text) or Reason.UNREADABLE_INDEPENDENT_AGE, AgeSource.LAST_MENSTRUAL_DATE)


def _by_reported_lmp(header: Dataset, said: OperatorValues) -> IndependentAge | Reason | None:
    """The report's last menstrual date, else its EDD by that date, else its age by that date on the day of the exam."""
    source = AgeSource.REPORTED_LMP
    if said.lmp is not None:
        age = _age(header, said.lmp, source)
        return replace(age, stated=said.lmp) if isinstance(age, IndependentAge) and isinstance(said.lmp, date) else age
    if said.edd_from_lmp is not None:
        return _age(header, _earlier(said.edd_from_lmp, TERM_DAYS), source)
    if said.age_by_lmp_days is None or said.exam_date is None:
        return None
    if isinstance(said.age_by_lmp_days, Reason):
        return said.age_by_lmp_days
    return _age(header, _earlier(said.exam_date, said.age_by_lmp_days), source)


def _by_reported_edd(header: Dataset, said: OperatorValues) -> IndependentAge | Reason | None:
    """The report's date of delivery, 280 days after the first of the pregnancy."""
    if said.edd is None:
        return None
    age = _age(header, _earlier(said.edd, TERM_DAYS), AgeSource.REPORTED_EDD)
    return replace(age, stated=said.edd) if isinstance(age, IndependentAge) and isinstance(said.edd, date) else age


READERS: Mapping[AgeSource, Callable[[Dataset, OperatorValues], IndependentAge | Reason | None]] = MappingProxyType(
    {
        AgeSource.LAST_MENSTRUAL_DATE: _by_last_menstrual_date,
        AgeSource.REPORTED_LMP: _by_reported_lmp,
        AgeSource.REPORTED_EDD: _by_reported_edd,
    }
)
"""None means that the source is not there."""

SOURCES = (AgeSource.LAST_MENSTRUAL_DATE, AgeSource.REPORTED_LMP)
"""Those that are asked unless the configuration says otherwise; a reported EDD may come from this very head."""


def _age(header: Dataset, began: date | Reason, source: AgeSource) -> IndependentAge | Reason:
    """The days from the first of the pregnancy to the acquisition."""
    if isinstance(began, Reason):
        return began
    taken = acquisition_date(header)
    if isinstance(taken, Reason):
        return taken
    days = (taken - began).days
    return IndependentAge(days, source) if LOWEST_DAYS <= days <= HIGHEST_DAYS else Reason.IMPLAUSIBLE_INDEPENDENT_AGE


def _earlier(day: date | Reason, days: int) -> date | Reason:
    """So many days before."""
    if isinstance(day, Reason):
        return day
    try:
        return day - timedelta(days=days)
    except OverflowError:  # before the year 1
        return Reason.IMPLAUSIBLE_INDEPENDENT_AGE


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
