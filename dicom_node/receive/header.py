"""The few attributes of a received data set that decide its fate, read without its pixels and in bounded memory."""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset
from pydicom.charset import default_encoding, python_encoding
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag
from pydicom.uid import UID

from dicom_node.errors import Refused
from dicom_node.part10 import convert
from dicom_node.receive.walk import Malformed, TooLong, elements, opened
from dicom_node.routing import values_of
from dicom_node.streams import HeaderBudget
from sr_templates.uids import is_own_object

MAXIMUM_UID_LENGTH = 64

_UID = re.compile(r"[0-9]+(\.[0-9]+)*", re.ASCII)
_UID_PADDING = b"\0 "
_LAST_TAG = 0x0020000E  # Series Instance UID; what follows, up to the pixels, is the worker's to read
_IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_EQUIPMENT = ("Manufacturer", "ManufacturerModelName", "ContributingEquipmentSequence")

_log = logging.getLogger(__name__)


def _tag(keyword: str) -> BaseTag:
    return BaseTag(tag_for_keyword(keyword) or 0)


_SOP_INSTANCE_UID = _tag("SOPInstanceUID")
_CHARACTER_SET = _tag("SpecificCharacterSet")
_ORIGIN_TAGS = frozenset((_SOP_INSTANCE_UID, *(_tag(keyword) for keyword in _EQUIPMENT)))
_PATIENT_ID = _tag("PatientID")
_TAGS = {_CHARACTER_SET, _PATIENT_ID} | _ORIGIN_TAGS | {_tag(keyword) for keyword in _IDENTITY}


class HeaderUnreadable(Refused):
    """The data set cannot be parsed."""


@dataclass(frozen=True, slots=True)
class ObjectHeader:
    """Identity of an object as its data set has it; UIDs are checked, "" where the data set has none.

    Not complete: the data set was not read as far as its Series Instance UID, and may have what is missing here.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    is_own: bool
    is_complete: bool = True
    patient_id: str = field(default="", repr=False)


def is_uid(text: str) -> bool:
    """Digits and dots, at most 64 (PS3.5 9.1). Leading zeros of a component are let pass: machines in use send them."""
    return len(text) <= MAXIMUM_UID_LENGTH and _UID.fullmatch(text) is not None


def read_header(path: Path, offset: int, transfer_syntax: UID) -> ObjectHeader:
    """Read the data set that starts at byte `offset` of the file, up to its Series Instance UID.

    Elements stand in ascending order (PS3.5 7.1), so nothing behind it is touched; a data set that breaks off later is
    taken, and refused by name when it is decoded. What stands before it is passed over without being read; where even
    that would take longer than some seconds (`walk.MAXIMUM_STEPS`, `walk.MAXIMUM_INFLATED_BYTES`), the header says
    what was found until then and is not complete: a valid object is stored, however long it is.

    Raises:
        HeaderUnreadable: it is not laid out as `transfer_syntax` says, or an identifying UID is not a UID.
        OSError: the file cannot be read.
    """
    found: dict[BaseTag, RawDataElement] = {}
    is_complete = True
    try:
        with path.open("rb") as file:
            file.seek(offset)
            for element in elements(opened(file, transfer_syntax), transfer_syntax, _TAGS, _LAST_TAG):
                found[element.tag] = element
    except TooLong:
        is_complete = False
    except (Malformed, zlib.error) as error:
        raise HeaderUnreadable from error
    sop_class, sop_instance, study, series = (_uid(found, keyword) for keyword in _IDENTITY)
    own = is_own_object(_origin(found, transfer_syntax))
    return ObjectHeader(sop_class, sop_instance, study, series, own, is_complete, _patient_id(found, transfer_syntax))


def read_values(path: Path, offset: int, transfer_syntax: UID, keywords: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """The values of these attributes as text, of the data set that starts at byte `offset` of the file.

    Read as `read_header` reads, as far as the last one of them. What is damaged or too long to be passed over ends the
    reading, and what cannot be converted is left out: a rule then finds nothing there.

    Raises:
        OSError: the file cannot be read.
    """
    if not keywords:
        return {}
    tags = {_tag(keyword) for keyword in keywords}
    found: dict[BaseTag, RawDataElement] = {}
    with suppress(Malformed, TooLong, zlib.error), path.open("rb") as file:
        file.seek(offset)
        for element in elements(opened(file, transfer_syntax), transfer_syntax, tags | {_CHARACTER_SET}, max(tags)):
            found[element.tag] = element
    return values_of(_converted(found, transfer_syntax), keywords)


def _patient_id(found: Mapping[BaseTag, RawDataElement], syntax: UID) -> str:
    """For the audit trail; "" where there is none, or none that can be read."""
    wanted = {tag: element for tag, element in found.items() if tag in (_CHARACTER_SET, _PATIENT_ID)}
    return " ".join(values_of(_converted(wanted, syntax), ["PatientID"]).get("PatientID", ()))[:MAXIMUM_UID_LENGTH]


def _converted(found: Mapping[BaseTag, RawDataElement], syntax: UID) -> Dataset:
    """Each value by itself: one that cannot be converted in little time must not hide the others."""
    encodings = _encodings(found.get(_CHARACTER_SET))
    converted = Dataset()
    for tag, element in found.items():
        one = Dataset({tag: element})
        one.set_original_encoding(syntax.is_implicit_VR, syntax.is_little_endian, encodings)
        try:
            convert(one, HeaderBudget())
        except Exception as error:  # noqa: BLE001  a library converting hostile values, which are the worker's to name
            _log.debug("receive.value_unreadable", extra={"tag": str(tag), "error": type(error).__name__})
            continue
        converted.update(one)
    return converted


def _encodings(element: RawDataElement | None) -> list[str]:
    """Of the text, by Specific Character Set (PS3.3 C.12.1.1.2); the default in place of what is not known.

    The library's own look-up would warn on standard error, with what stands in the header.
    """
    names = "" if element is None else bytes(element.value or b"").decode("ascii", "replace")
    return [python_encoding.get(name.strip(" \0"), default_encoding) for name in names.split("\\")]


def _origin(found: Mapping[BaseTag, RawDataElement], syntax: UID) -> Dataset:
    """What tells who made the object: its UID, and the equipment where that can be read in little time, as ours can."""
    dataset = Dataset({tag: element for tag, element in found.items() if tag in _ORIGIN_TAGS})
    dataset.set_original_encoding(syntax.is_implicit_VR, syntax.is_little_endian, "iso8859")
    try:
        convert(dataset, HeaderBudget())
    except Exception as error:  # noqa: BLE001  a library converting hostile values, which are the worker's to name
        _log.debug("receive.equipment_unreadable", extra={"error": type(error).__name__})
        return Dataset({tag: element for tag, element in found.items() if tag == _SOP_INSTANCE_UID})
    return dataset


def _uid(found: Mapping[BaseTag, RawDataElement], keyword: str) -> str:
    """The UID as it stands in the data set, without padding; "" when absent or empty."""
    element = found.get(_tag(keyword))
    if element is None or not element.length:
        return ""
    text = _whole_value(element).rstrip(_UID_PADDING).decode("ascii", "replace")
    if not is_uid(text):
        raise HeaderUnreadable(f"{keyword} is not a UID.")
    return text


def _whole_value(element: RawDataElement) -> bytes:
    value = bytes(element.value or b"")
    if len(value) != element.length:
        raise HeaderUnreadable("The data set ends inside its header.")
    return value
