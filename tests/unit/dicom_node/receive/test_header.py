"""Reading what decides an object's fate, from whatever bytes come."""

from __future__ import annotations

import io
import struct
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmwrite
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from dicom_node.receive import walk
from dicom_node.receive.header import HeaderUnreadable, ObjectHeader, is_uid, read_header, read_values
from sr_templates.uids import MANUFACTURER, MODEL_NAME, UID_ROOT
from tests.memory import peak_below

US_IMAGE = "1.2.840.10008.5.1.4.1.1.6.1"
OFFSET = 20


def us_header(**attributes: object) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID = US_IMAGE
    ds.SOPInstanceUID = "1.2.3.4"
    ds.PatientName = "Doe^Jane"
    ds.StudyInstanceUID = "1.2.3"
    ds.SeriesInstanceUID = "1.2.3.1"
    ds.Rows = 4
    for keyword, value in attributes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def encoded(ds: Dataset, transfer_syntax: UID) -> bytes:
    buffer = io.BytesIO()
    plain = ExplicitVRLittleEndian if transfer_syntax.is_deflated else transfer_syntax
    dcmwrite(buffer, ds, implicit_vr=plain.is_implicit_VR, little_endian=plain.is_little_endian)
    if not transfer_syntax.is_deflated:
        return buffer.getvalue()
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(buffer.getvalue()) + deflater.flush()


def header_of(data: bytes, folder: Path, transfer_syntax: UID = ExplicitVRLittleEndian) -> ObjectHeader:
    path = folder / "object.part"
    path.write_bytes(bytes(OFFSET) + data)
    return read_header(path, OFFSET, transfer_syntax)


@pytest.mark.parametrize(
    "transfer_syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        JPEGBaseline8Bit,
    ],
)
def test_every_encoding_of_a_header_is_read(tmp_path: Path, transfer_syntax: UID) -> None:
    header = header_of(encoded(us_header(), transfer_syntax), tmp_path, transfer_syntax)

    assert header == ObjectHeader(US_IMAGE, "1.2.3.4", "1.2.3", "1.2.3.1", is_own=False)


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("value", [None, ""])
def test_an_absent_uid_is_empty(tmp_path: Path, keyword: str, value: str | None) -> None:
    header = header_of(encoded(us_header(**{keyword: value}), ExplicitVRLittleEndian), tmp_path)

    field = {"SOPClassUID": header.sop_class_uid, "SOPInstanceUID": header.sop_instance_uid}
    field |= {"StudyInstanceUID": header.study_instance_uid, "SeriesInstanceUID": header.series_instance_uid}
    assert field[keyword] == ""
    assert sum(uid == "" for uid in field.values()) == 1


def test_what_follows_the_series_is_not_looked_at(tmp_path: Path) -> None:
    pixel_data = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, 1000) + b"only the beginning"

    header = header_of(encoded(us_header(), ExplicitVRLittleEndian) + pixel_data, tmp_path)

    assert header.sop_instance_uid == "1.2.3.4"


def test_a_data_set_cut_inside_a_uid_is_unreadable(tmp_path: Path) -> None:
    whole = encoded(us_header(Rows=None, SeriesInstanceUID="1.2.3.12345678"), ExplicitVRLittleEndian)

    with pytest.raises(HeaderUnreadable, match="ends inside its header"):
        header_of(whole[:-3], tmp_path)


@pytest.mark.parametrize("uid", ["../../etc/passwd", "1.2.840.abc", "1..2", ".1", "1.2.", "1" * 65])
def test_what_is_not_a_uid_is_unreadable(tmp_path: Path, uid: str) -> None:
    raw = uid.encode() + b"\0" * (len(uid) % 2)
    element = struct.pack("<HH2sH", 0x0008, 0x0018, b"UI", len(raw)) + raw

    with pytest.raises(HeaderUnreadable, match="SOPInstanceUID is not a UID"):
        header_of(element, tmp_path)
    assert not is_uid(uid)


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.1", "2.25.0", "1.2.03.4", "1" * 64])
def test_uids_that_machines_send_are_uids(uid: str) -> None:
    assert is_uid(uid)


@pytest.mark.parametrize("digit", ["١", "²", "1.2\n"])  # Arabic-Indic one, superscript two
def test_only_ascii_digits_make_a_uid(digit: str) -> None:
    assert not is_uid(digit)


def test_our_own_objects_are_known_by_root_equipment_and_contribution(tmp_path: Path) -> None:
    ours = Dataset()
    ours.Manufacturer, ours.ManufacturerModelName = MANUFACTURER, MODEL_NAME
    own = [
        us_header(SOPInstanceUID=f"{UID_ROOT}.9"),
        us_header(Manufacturer=MANUFACTURER, ManufacturerModelName=MODEL_NAME),
        us_header(ContributingEquipmentSequence=[ours]),
    ]

    for ds in own:
        for transfer_syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
            assert header_of(encoded(ds, transfer_syntax), tmp_path, transfer_syntax).is_own


def test_a_deflated_data_set_is_not_inflated_whole(tmp_path: Path) -> None:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    data = deflater.compress(encoded(us_header(), ExplicitVRLittleEndian))
    data += b"".join(deflater.compress(bytes(1024 * 1024)) for _ in range(64)) + deflater.flush()

    with peak_below(24 * 1024 * 1024):
        header = header_of(data, tmp_path, DeflatedExplicitVRLittleEndian)

    assert header.sop_instance_uid == "1.2.3.4"


def test_a_value_of_absurd_length_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "object.part"
    with path.open("wb") as stream:
        stream.write(struct.pack("<HH2sHL", 0x0008, 0x0070, b"UN", 0, 200 * 1024 * 1024))
        stream.seek(200 * 1024 * 1024, io.SEEK_CUR)
        stream.write(encoded(us_header(), ExplicitVRLittleEndian))

    with peak_below(8 * 1024 * 1024):
        header = read_header(path, 0, ExplicitVRLittleEndian)

    assert not header.is_own


ITEM, ITEM_END, SEQUENCE_END = (b"\xfe\xff" + element + b"\xe0" for element in (b"\0", b"\x0d", b"\xdd"))
UNDEFINED, NONE = b"\xff\xff\xff\xff", b"\0\0\0\0"
SOURCE_IMAGES, VENDOR, CONTRIBUTING = b"\x08\x00\x12\x21", b"\x09\x00\x01\x10", b"\x18\x00\x01\xa0"
IMPLICIT = VENDOR + b"\x04\0\0\0" + bytes(4) + VENDOR + b"FD\0\0" + bytes(0x4446)  # a length that looks like a VR
REFERENCE = b"\x08\x00\x55\x11UI\x08\x001.2.3.45"
FOUND = ObjectHeader(US_IMAGE, "1.2.3.4", "1.2.3", "1.2.3.1", is_own=False)


def sequence(tag: bytes, items: bytes, vr: bytes = b"SQ") -> bytes:
    """Of undefined length."""
    return tag + vr + b"\0\0" + UNDEFINED + items + SEQUENCE_END + NONE


def before_the_study(element: bytes) -> bytes:
    whole = encoded(us_header(), ExplicitVRLittleEndian)
    place = whole.index(b"\x10\x00\x10\x00PN" if element[:2] < b"\x10\x00" else b"\x20\x00\x0d\x00UI")
    return whole[:place] + element + whole[place:]


def nested(depth: int) -> bytes:
    return (VENDOR + b"SQ\0\0" + UNDEFINED + ITEM + UNDEFINED) * depth + (ITEM_END + NONE + SEQUENCE_END + NONE) * depth


@pytest.mark.parametrize(
    "element",
    [
        CONTRIBUTING + b"SQ\0\0" + struct.pack("<L", 960_000) + (ITEM + NONE) * 120_000,
        sequence(CONTRIBUTING, (ITEM + NONE) * 120_000),
        sequence(SOURCE_IMAGES, (ITEM + NONE) * 120_000),
        sequence(SOURCE_IMAGES, (ITEM + UNDEFINED + REFERENCE + REFERENCE + ITEM_END + NONE) * 20_000),
        sequence(VENDOR, (ITEM + UNDEFINED + REFERENCE * 20 + ITEM_END + NONE) * 3_000),
        sequence(VENDOR, ITEM + struct.pack("<L", 8_000_000) + bytes(8_000_000), b"OB"),
        sequence(VENDOR, ITEM + UNDEFINED + IMPLICIT + ITEM_END + NONE, b"UN"),
        b"".join(struct.pack("<HH2sHL", 9, 0x1000 + n, b"UL", 4, n) for n in range(60_000)),
        nested(44_000),
        sequence(CONTRIBUTING, ITEM + UNDEFINED + nested(1_000) + ITEM_END + NONE),
    ],
    ids=[
        "items of the equipment",
        "of unknown length",
        "empty items",
        "source images",
        "private items",
        "private fragments",
        "implicit items",
        "private elements",
        "deep",
        "deep equipment",
    ],
)
def test_whatever_is_valid_is_passed_over(tmp_path: Path, element: bytes) -> None:
    assert header_of(before_the_study(element), tmp_path) == FOUND


def test_what_is_passed_over_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "object.part"
    path.write_bytes(before_the_study(sequence(SOURCE_IMAGES, ITEM + UNDEFINED + nested(10_000) + ITEM_END + NONE)))
    with peak_below(1_000_000):
        assert read_header(path, 0, ExplicitVRLittleEndian) == FOUND


def test_a_long_header_that_is_deflated_is_passed_over(tmp_path: Path) -> None:
    value = VENDOR + b"OB\0\0" + struct.pack("<L", 20 << 20) + bytes(20 << 20)
    data = zlib.compress(before_the_study(value), 1)[2:-4]
    with peak_below(4_000_000):
        assert header_of(data, tmp_path, DeflatedExplicitVRLittleEndian) == FOUND


@pytest.mark.parametrize("transfer_syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_sequences_of_undefined_length_in_other_encodings(tmp_path: Path, transfer_syntax: UID) -> None:
    dataset = us_header(SourceImageSequence=[us_header() for _ in range(10)])
    dataset["SourceImageSequence"].is_undefined_length = True
    for item in dataset.SourceImageSequence:
        item.is_undefined_length_sequence_item = True

    assert header_of(encoded(dataset, transfer_syntax), tmp_path, transfer_syntax) == FOUND


def test_our_contribution_is_known_in_a_sequence_of_undefined_length(tmp_path: Path) -> None:
    ours = Dataset()
    ours.Manufacturer, ours.ManufacturerModelName = MANUFACTURER, MODEL_NAME
    dataset = us_header(ContributingEquipmentSequence=[ours])
    dataset["ContributingEquipmentSequence"].is_undefined_length = True
    ours.is_undefined_length_sequence_item = True

    assert header_of(encoded(dataset, ExplicitVRLittleEndian), tmp_path).is_own


def test_a_sequence_that_breaks_off_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(HeaderUnreadable):
        header_of(encoded(us_header(), ExplicitVRLittleEndian)[:30] + sequence(VENDOR, ITEM + NONE)[:-8], tmp_path)


def test_a_header_without_end_is_left_in_time(tmp_path: Path) -> None:
    path = tmp_path / "object.part"
    items = (ITEM + NONE) * 3_000_000
    path.write_bytes(before_the_study(sequence(SOURCE_IMAGES, items)))
    del items
    start = time.process_time()

    header = read_header(path, 0, ExplicitVRLittleEndian)

    assert header == ObjectHeader(US_IMAGE, "1.2.3.4", "", "", is_own=False, is_complete=False)
    assert time.process_time() - start < 10


def test_a_deflated_header_without_end_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MAXIMUM_INFLATED_BYTES", 1 << 20)
    value = VENDOR + b"OB\0\0" + struct.pack("<L", 2 << 20) + bytes(2 << 20)
    data = zlib.compress(before_the_study(value), 1)[2:-4]

    assert not header_of(data, tmp_path, DeflatedExplicitVRLittleEndian).is_complete


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=300),
    transfer_syntax=st.sampled_from(
        [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
    ),
)
@example(data=b"", transfer_syntax=ExplicitVRLittleEndian)
@example(data=b"\xff" * 100, transfer_syntax=ImplicitVRLittleEndian)
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # the receiver has them off; see toolkit.py
def test_noise_is_refused_or_empty_and_nothing_else(tmp_path: Path, data: bytes, transfer_syntax: UID) -> None:
    try:
        header = header_of(data, tmp_path, transfer_syntax)
    except HeaderUnreadable:
        return
    assert all(uid == "" or is_uid(uid) for uid in (header.sop_class_uid, header.sop_instance_uid))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 10_000), byte=st.integers(0, 255), explicit=st.booleans())
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_a_damaged_byte_is_refused_or_read(tmp_path: Path, position: int, byte: int, explicit: bool) -> None:
    transfer_syntax = ExplicitVRLittleEndian if explicit else ImplicitVRLittleEndian
    data = bytearray(encoded(us_header(), transfer_syntax))
    data[position % len(data)] = byte
    try:
        header_of(bytes(data), tmp_path, transfer_syntax)
    except HeaderUnreadable:
        return


# --- what rules look at ----------------------------------------------------------------------------------------------


def values(data: bytes, folder: Path, *keywords: str, syntax: UID = ExplicitVRLittleEndian) -> dict[str, object]:
    path = folder / "object.part"
    path.write_bytes(bytes(OFFSET) + data)
    return dict(read_values(path, OFFSET, syntax, frozenset(keywords)))


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
)
def test_values_are_read_before_and_behind_the_identity_in_every_encoding(tmp_path: Path, syntax: UID) -> None:
    ds = us_header(SpecificCharacterSet="ISO_IR 192", StudyDescription="Schädel", NumberOfFrames=7, Modality="US")
    data = encoded(ds, syntax)

    found = values(data, tmp_path, "StudyDescription", "NumberOfFrames", "Rows", "Manufacturer", syntax=syntax)

    assert found == {"StudyDescription": ("Schädel",), "NumberOfFrames": ("7",), "Rows": ("4",)}


def test_an_unknown_character_set_hides_nothing_that_is_plain(tmp_path: Path) -> None:
    data = encoded(us_header(SpecificCharacterSet="ISO_IR 192", Modality="US"), ExplicitVRLittleEndian)
    data = data.replace(b"ISO_IR 192", b"ISO_IR XXX")
    assert values(data, tmp_path, "Modality") == {"Modality": ("US",)}


def test_a_value_that_cannot_be_converted_hides_no_other(tmp_path: Path) -> None:
    data = encoded(us_header(Modality="US", NumberOfFrames=7), ExplicitVRLittleEndian)
    damaged = data.replace(b"IS\x02\x007 ", b"IS\x02\x00?!")
    assert damaged != data
    found = values(damaged, tmp_path, "Modality", "NumberOfFrames", "Rows")
    assert (found["Modality"], found["Rows"]) == (("US",), ("4",))


def test_what_breaks_off_behind_the_identity_is_stored_and_says_what_came_before(tmp_path: Path) -> None:
    data = encoded(us_header(Modality="US"), ExplicitVRLittleEndian)[:-4]
    assert header_of(data, tmp_path).sop_instance_uid == "1.2.3.4"
    assert values(data, tmp_path, "Modality", "Rows") == {"Modality": ("US",)}


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=200), keep=st.integers(0, 400))
def test_reading_values_never_fails_whatever_comes(data: bytes, keep: int, tmp_path: Path) -> None:
    whole = encoded(us_header(Modality="US", NumberOfFrames=7), ExplicitVRLittleEndian)[:keep] + data
    assert set(values(whole, tmp_path, "Modality", "NumberOfFrames")) <= {"Modality", "NumberOfFrames"}
