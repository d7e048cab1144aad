"""A DICOM file (PS3.10) as untrusted bytes: its header, and where its pixel data lies. Nothing is decoded here.

Every refusal has a Reason. Messages name attributes and exception types, never values: a value may name a patient.
"""

from __future__ import annotations

import io
import logging
import struct
import warnings
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import BinaryIO, cast

import pydicom
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filereader import dcmread, read_dataset, read_sequence
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_node.errors import InstanceRefused
from dicom_node.streams import HeaderBudget, HeaderStream, InflatedFile, WatchedFile
from inference.domain import Reason
from sr_templates.source import SentHeader, as_sent

PREAMBLE_BYTES = 132
FILE_META_GROUP = 0x0002
FIRST_GROUP = 0x0008
SOP_INSTANCE_UID_ELEMENT = 0x0018
"""No data set begins later than here: both UIDs of the SOP Common module (PS3.3 C.12.1) stand in its first group."""

PIXEL_DATA = Tag(0x7FE0, 0x0010)
PIXEL_DATA_GROUP = 0x7FE0
UNDEFINED_LENGTH = 0xFFFFFFFF

DEFERRED_BYTES = 1 << 16
"""Longer values are read only when it is known that somebody wants them: private ones never are."""
MAXIMUM_TEXT_BYTES = 4 << 20
"""Of one attribute that is text or numbers; the times of 100,000 frames take half of it."""
UNKNOWN_STAYS_UNKNOWN_BYTES = 0xFFFF
"""From this length on the library leaves a UN value as it is; of shorter ones it knows better by the tag."""
BINARY_VRS = ("OB", "OW", "OD", "OF", "OL", "OV", "UN")
TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""Those that Specific Character Set (0008,0005) is about (PS3.5 6.1.2.2)."""
ESCAPE = b"\x1b"
NUMBER_VRS = ("US", "SS", "UL", "SL", "FL", "FD", "AT", "SV", "UV")

_log = logging.getLogger(__name__)
_one_at_a_time = RLock()


@dataclass(frozen=True, slots=True)
class PixelElement:
    """Pixel Data (7FE0,0010): where its value starts in the stream, and its length (None: undefined, encapsulated)."""

    offset: int
    length: int | None
    vr: str


@dataclass(frozen=True, slots=True)
class Part10File:
    """A parsed file. `header` holds every attribute of the standard before Pixel Data, converted.

    The stream is inflated where it was deflated.
    """

    path: Path
    transfer_syntax: UID
    header: Dataset
    pixel_element: PixelElement | None
    stream_size: int
    inflated: InflatedFile | None

    def open(self) -> BinaryIO:
        """The stream that `pixel_element.offset` counts in; the caller closes it."""
        stream = self.path.open("rb") if self.inflated is None else self.inflated.open()
        return cast(BinaryIO, WatchedFile(stream, self.stream_size))


@contextmanager
def untrusted(reason: Reason, what: str) -> Iterator[None]:
    """Run a third-party parser or decoder over bytes from elsewhere: whatever it raises becomes a named refusal.

    Its warnings are counted and its log is held back, as both quote values. Reading validation is the library's WARN:
    an odd value is kept, not refused. Errors of the file system and of memory are not the object's fault and pass.
    """
    with _one_at_a_time:  # settings, log and warnings are the process's: two threads would leave them changed
        settings, library_log = pydicom.config.settings, logging.getLogger("pydicom")
        mode, propagate = settings.reading_validation_mode, library_log.propagate
        settings.reading_validation_mode, library_log.propagate = pydicom.config.WARN, False
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                yield
            if caught:
                _log.debug("decode.warnings", extra={"what": what, "count": len(caught)})
        except (InstanceRefused, MemoryError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            # the cause is cut off: its message may quote the value that could not be read
            raise InstanceRefused(reason, f"({what}: {type(error).__name__})") from None
        finally:
            settings.reading_validation_mode, library_log.propagate = mode, propagate


def read_part10(path: Path) -> Part10File:
    """Parse everything before Pixel Data.

    Raises:
        InstanceRefused: EMPTY_FILE, NOT_DICOM, TRUNCATED or UNREADABLE.
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    if size == 0:
        raise InstanceRefused(Reason.EMPTY_FILE)
    with path.open("rb") as file:
        start = file.read(PREAMBLE_BYTES)
    if start[128:] != b"DICM":
        return _read_bare(path, size, start)
    meta = _file_meta(path, size)
    syntax = meta.TransferSyntaxUID
    if syntax != DeflatedExplicitVRLittleEndian:
        with path.open("rb") as file:
            header, element = _read_header(file, size, None)
        return Part10File(path, syntax, header, element, size, None)
    inflated = InflatedFile(path, _end_of_meta(meta))
    with inflated.open() as stream:
        header, element = _read_header(stream, inflated.size, meta)
    return Part10File(path, syntax, header, element, inflated.size, inflated)


def read_start(path: Path, last: BaseTag) -> Dataset:
    """The attributes up to `last`, converted; what stands behind them is not looked at.

    Raises:
        InstanceRefused: EMPTY_FILE, TRUNCATED or UNREADABLE; also of a file without preamble, as nobody stores one.
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    if size == 0:
        raise InstanceRefused(Reason.EMPTY_FILE)
    meta = _file_meta(path, size)
    if meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
        inflated = InflatedFile(path, _end_of_meta(meta))
        with inflated.open() as stream:
            return _read_start(stream, inflated.size, meta, last)
    with path.open("rb") as file:
        file.seek(_end_of_meta(meta))
        return _read_start(file, size, meta, last)


def _read_start(file: BinaryIO, size: int, meta: FileMetaDataset, last: BaseTag) -> Dataset:
    """From where the file stands."""
    budget, syntax = HeaderBudget(), meta.TransferSyntaxUID
    with untrusted(Reason.UNREADABLE, "data set"):
        stream = cast(BinaryIO, HeaderStream(file, size, budget))
        start = read_dataset(
            stream,
            syntax.is_implicit_VR,
            syntax.is_little_endian,
            stop_when=lambda tag, _vr, _length: tag > last,
            defer_size=DEFERRED_BYTES,
        )
        convert(start, budget, stream)
    return start


def _read_bare(path: Path, size: int, start: bytes) -> Part10File:
    """A data set without preamble or file meta information, as old archives and toolkits leave them.

    Taken where it begins like one in little endian and names its SOP class. Without file meta information the encoding
    is the implicit or explicit one that its first element shows; pixel data must then be native.
    """
    group, element = struct.unpack("<HH", start[:4]) if len(start) >= 4 else (0, 0)
    if group != FILE_META_GROUP and not (group == FIRST_GROUP and element <= SOP_INSTANCE_UID_ELEMENT):
        raise InstanceRefused(Reason.NOT_DICOM)
    with path.open("rb") as file:
        if group == FILE_META_GROUP and _bare_syntax(file, size) == DeflatedExplicitVRLittleEndian:
            raise InstanceRefused(Reason.UNREADABLE, "(deflated, and no preamble)")  # the parser would inflate it all
        file.seek(0)
        header, pixel_element = _read_header(file, size, None)
    sop_class = header.get("SOPClassUID")
    if not isinstance(sop_class, UID) or not sop_class.is_valid:
        raise InstanceRefused(Reason.NOT_DICOM)
    if group != FILE_META_GROUP:
        implicit, little_endian = header.original_encoding
        if not little_endian:
            raise InstanceRefused(Reason.NOT_DICOM)
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    syntax = header.file_meta.get("TransferSyntaxUID")
    if not isinstance(syntax, UID) or not syntax.is_valid or syntax == DeflatedExplicitVRLittleEndian:
        raise InstanceRefused(Reason.UNREADABLE, "(no preamble, and no Transfer Syntax UID that says how to read on)")
    return Part10File(path, syntax, header, pixel_element, size, None)


def _bare_syntax(file: BinaryIO, size: int) -> object:
    """Transfer Syntax UID of a file that begins with its file meta information."""
    stream = HeaderStream(file, size, HeaderBudget())
    with untrusted(Reason.UNREADABLE, "file meta information"):
        return read_dataset(cast(BinaryIO, stream), False, True, stop_when=_is_data_set).get("TransferSyntaxUID")


def _file_meta(path: Path, size: int) -> FileMetaDataset:
    """File Meta Information (PS3.10 7.1) with a valid Transfer Syntax UID."""
    with untrusted(Reason.TRUNCATED if size < 2 * PREAMBLE_BYTES else Reason.UNREADABLE, "file meta information"):
        budget = HeaderBudget()
        with path.open("rb") as file:
            stream = HeaderStream(file, size, budget)
            stream.seek(PREAMBLE_BYTES)
            meta = FileMetaDataset(read_dataset(cast(BinaryIO, stream), False, True, stop_when=_is_data_set))
        convert(meta, budget)
        cut = not len(meta) or _end_of_meta(meta) >= size
        syntax = meta.get("TransferSyntaxUID")
        if cut or not isinstance(syntax, UID) or not syntax.is_valid:
            raise InstanceRefused(Reason.TRUNCATED if cut else Reason.UNREADABLE, "(no valid Transfer Syntax UID)")
    return meta


def _is_data_set(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag.group != FILE_META_GROUP


def _end_of_meta(meta: Dataset) -> int:
    group_length_element = 12
    length = meta.get("FileMetaInformationGroupLength")
    return PREAMBLE_BYTES + group_length_element + (length if isinstance(length, int) else 0)


def _read_header(file: BinaryIO, size: int, meta: FileMetaDataset | None) -> tuple[Dataset, PixelElement | None]:
    """`meta` is None where the stream is a whole file, and the file meta where it is an inflated data set."""
    budget = HeaderBudget()
    stream = HeaderStream(file, size, budget)
    try:
        with untrusted(Reason.UNREADABLE, "data set"):
            parsed = (
                dcmread(stream, stop_before_pixels=True, force=True, defer_size=DEFERRED_BYTES)
                if meta is None
                else _read_inflated(stream, meta)
            )
            element = _pixel_element(stream)
            sent = _beyond_ascii(parsed)
            convert(parsed, budget, cast(BinaryIO, stream))
            convert(parsed.file_meta, budget)
    except InstanceRefused as refusal:
        if budget.refusal is not None:
            raise budget.refusal from None
        if stream.ended_early and refusal.reason is Reason.UNREADABLE:
            raise InstanceRefused(Reason.TRUNCATED) from None
        raise
    if element is None and stream.ended_early:
        raise InstanceRefused(Reason.TRUNCATED)
    header = without_groups(parsed, ())
    header.as_sent = sent
    return header, element


def _beyond_ascii(dataset: Dataset) -> dict[BaseTag, RawDataElement]:
    """Text that is not in the default repertoire (PS3.5 6.1.2.1), before it is converted."""
    return {
        tag: element
        for tag, element in dataset.items()
        if isinstance(element, RawDataElement)
        and isinstance(element.value, bytes)
        and not tag.is_private
        and tag.group < PIXEL_DATA_GROUP
        and (not element.value.isascii() or ESCAPE in element.value)
        and dictionary_has_tag(tag)
        and dictionary_VR(tag) in TEXT_VRS
    }


def without_groups(dataset: Dataset, groups: Container[int]) -> SentHeader:
    """A data set with file_meta and encoding: a FileDataset would hold on to its stream and trip when copied."""
    kept = SentHeader({tag: element for tag, element in dataset.items() if tag.group not in groups})
    kept.as_sent = as_sent(dataset)
    kept.file_meta = dataset.file_meta
    implicit, little_endian = dataset.original_encoding
    kept.set_original_encoding(implicit, little_endian, dataset.original_character_set)
    return kept


def _read_inflated(stream: HeaderStream, meta: FileMetaDataset) -> FileDataset:
    dataset = read_dataset(
        cast(BinaryIO, stream),
        False,
        True,
        stop_when=lambda tag, _vr, _length: tag == PIXEL_DATA,
        defer_size=DEFERRED_BYTES,
    )
    parsed = FileDataset("", dataset, file_meta=meta, is_implicit_VR=False, is_little_endian=True)
    parsed.set_original_encoding(False, True, dataset.original_character_set)
    return parsed


def convert(dataset: Dataset, budget: HeaderBudget, stream: BinaryIO | None = None) -> None:
    """Convert every raw value now, within the budget; one that cannot be converted stays as bytes (UN).

    So no later reader trips, or waits. Private attributes go unconverted: nobody here wants them. `stream`
    gives values that were passed over as too long to be read without need (`DEFERRED_BYTES`).

    Raises:
        InstanceRefused: UNREADABLE: more than the budget has.
    """
    for tag, found in list(dataset.items()):
        if tag.is_private:
            del dataset[tag]
            continue
        if isinstance(found, RawDataElement):
            raw = found
            if found.value is None and found.length:
                dataset[tag] = raw = found._replace(value=_passed_over(found, stream))
            items = _check_value(raw, dataset, budget)
            if items is not None:  # parsed once is enough
                dataset[tag] = DataElement(tag, "SQ", items, raw.value_tell, already_converted=True)
        try:
            element = dataset[tag]
        except Exception as error:  # noqa: BLE001  a library converting a hostile value; kept as bytes and counted
            _log.debug("decode.unconvertible", extra={"tag": str(tag), "error": type(error).__name__})
            dataset[tag] = _unknown(tag, dataset.get_item(tag).value or b"")
            continue
        if element.VR == "SQ":
            for item in element.value:
                convert(item, budget)


def _passed_over(raw: RawDataElement, stream: BinaryIO | None) -> bytes:
    """The value of an element that was too long to be read without need; none where its length is not known."""
    if stream is None or raw.length == UNDEFINED_LENGTH:
        return b""
    stream.seek(raw.value_tell)
    return stream.read(raw.length)


def _check_value(raw: RawDataElement, dataset: Dataset, budget: HeaderBudget) -> Sequence | None:
    """Take from the budget what the library is about to make of these bytes. The items, where they are a sequence."""
    value, vr = raw.value or b"", str(raw.VR)
    if raw.VR is None or (vr == "UN" and len(value) < UNKNOWN_STAYS_UNKNOWN_BYTES):
        vr = str(dictionary_VR(raw.tag)) if dictionary_has_tag(raw.tag) else "UN"
    if vr == "SQ":
        return _items(raw, value, dataset, budget)
    if not any(kind in vr for kind in BINARY_VRS):
        if len(value) > MAXIMUM_TEXT_BYTES:
            budget.refuse("an attribute of the header is too long")
        numbers = any(kind in vr for kind in NUMBER_VRS)
        # an escape sequence (ISO 2022) is a string of its own to the library
        budget.spend_values(len(value) // 2 if numbers else 1 + value.count(b"\\") + value.count(b"\x1b"))
    return None


def _items(raw: RawDataElement, value: bytes, dataset: Dataset, budget: HeaderBudget) -> Sequence | None:
    """Parse a sequence within the budget; None where it cannot be, which the library says again when it converts."""
    stream = cast(BinaryIO, HeaderStream(io.BytesIO(value), len(value), budget))
    encoding = dataset.original_character_set or "iso8859"
    try:
        return read_sequence(stream, raw.is_implicit_VR, raw.is_little_endian, len(value), encoding)
    except Exception as error:  # noqa: BLE001  a library reading hostile items; it will trip again where it counts
        if budget.refusal is not None:
            raise budget.refusal from None
        _log.debug("decode.unconvertible", extra={"tag": str(raw.tag), "error": type(error).__name__})
        return None


def _unknown(tag: BaseTag, value: bytes) -> DataElement:
    """Bytes under VR UN; the library would put the known VR back and try to convert again."""
    element = DataElement(tag, "UN", value, already_converted=True)
    element.VR = "UN"
    return element


def _pixel_element(stream: HeaderStream) -> PixelElement | None:
    """Parse the element header at which pydicom stopped (PS3.5 7.1.2, 7.1.3); None at the end or for float pixels."""
    start = stream.tell()
    head = stream.read(8)
    if len(head) < 8:
        return None
    order = "<" if head[:2] == b"\xe0\x7f" else ">"
    if BaseTag(int.from_bytes(struct.pack(">HH", *struct.unpack(f"{order}HH", head[:4])))) != PIXEL_DATA:
        return None
    # an odd length is not allowed, so an implicit length can never look like one of these three
    if head[4:] in (b"OB\0\0", b"OW\0\0", b"UN\0\0"):
        vr, value_offset, length_bytes = head[4:6].decode(), start + 12, stream.read(4)
    else:
        vr, value_offset, length_bytes = "OW", start + 8, head[4:]
    (length,) = struct.unpack(f"{order}L", length_bytes)
    return PixelElement(value_offset, None if length == UNDEFINED_LENGTH else length, vr)
