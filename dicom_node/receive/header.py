"""The few attributes of a received data set that decide its fate, read without its pixels and in bounded memory."""

from __future__ import annotations

import io
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID

from dicom_node.errors import Refused
from dicom_node.part10 import convert
from dicom_node.streams import HeaderBudget, HeaderStream
from sr_templates.uids import is_own_object

MAXIMUM_UID_LENGTH = 64

_UID = re.compile(r"[0-9]+(\.[0-9]+)*", re.ASCII)
_UID_PADDING = b"\0 "
_INFLATED_LIMIT = 4 * 1024 * 1024
_LARGEST_VALUE = 1024 * 1024
_LAST_TAG = 0x0020000E  # Series Instance UID; what follows, up to the pixels, is the worker's to read
_IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_EQUIPMENT = ("Manufacturer", "ManufacturerModelName", "ContributingEquipmentSequence")
_TAGS: list[BaseTag | int] = [BaseTag(tag_for_keyword(keyword) or 0) for keyword in (*_IDENTITY, *_EQUIPMENT)]


class HeaderUnreadable(Refused):
    """The data set cannot be parsed."""


@dataclass(frozen=True, slots=True)
class ObjectHeader:
    """Identity of an object as its data set has it; UIDs are checked, "" where the data set has none."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    is_own: bool


def is_uid(text: str) -> bool:
    """Digits and dots, at most 64 (PS3.5 9.1). Leading zeros of a component are let pass: machines in use send them."""
    return len(text) <= MAXIMUM_UID_LENGTH and _UID.fullmatch(text) is not None


def read_header(path: Path, offset: int, transfer_syntax: UID) -> ObjectHeader:
    """Read the data set that starts at byte `offset` of the file, up to its Series Instance UID.

    Elements stand in ascending order (PS3.5 7.1), so nothing behind it is touched; a data set that breaks off later is
    taken, and refused by name when it is decoded.

    Raises:
        HeaderUnreadable: it cannot be parsed as `transfer_syntax`, has more elements, items or values than any real
            one (`HeaderBudget`), or an identifying UID is not a UID.
    """
    try:
        budget = HeaderBudget()
        with path.open("rb") as file:
            file.seek(offset)
            stream, size = _inflated(file) if transfer_syntax.is_deflated else (file, path.stat().st_size)
            dataset = _parse(cast(BinaryIO, HeaderStream(stream, size, budget)), transfer_syntax)
        sop_class, sop_instance, study, series = (_uid(dataset, keyword) for keyword in _IDENTITY)
        convert(dataset, budget)
        return ObjectHeader(sop_class, sop_instance, study, series, is_own_object(dataset))
    except (HeaderUnreadable, OSError):
        raise
    except Exception as error:  # the parser raises whatever a broken data set leads it to
        raise HeaderUnreadable from error


def _parse(stream: BinaryIO, transfer_syntax: UID) -> Dataset:
    return read_dataset(
        stream,
        transfer_syntax.is_implicit_VR,
        transfer_syntax.is_little_endian,
        stop_when=lambda tag, _vr, _length: tag > _LAST_TAG,
        defer_size=_LARGEST_VALUE,
        specific_tags=_TAGS,
    )


def _inflated(stream: BinaryIO) -> tuple[BinaryIO, int]:
    """The first part of a deflated data set (PS3.5 A.5), never more: the pixels are in the same deflated stream.

    With its length.
    """
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    header = bytearray()
    while len(header) < _INFLATED_LIMIT and (block := stream.read(65536)):
        header += inflater.decompress(block, _INFLATED_LIMIT - len(header))
    return io.BytesIO(bytes(header)), len(header)


def _uid(dataset: Dataset, keyword: str) -> str:
    """The UID as it stands in the data set, without padding; "" when absent or empty."""
    element = dataset.get_item(keyword)
    if element is None or not element.value:
        return ""
    if isinstance(element, RawDataElement):
        text = _whole_value(element).rstrip(_UID_PADDING).decode("ascii", "replace")
    else:
        text = str(element.value)
    if not is_uid(text):
        raise HeaderUnreadable(f"{keyword} is not a UID.")
    return text


def _whole_value(element: RawDataElement) -> bytes:
    value = bytes(element.value or b"")
    if len(value) != element.length:
        raise HeaderUnreadable("The data set ends inside its header.")
    return value
