"""Reading what decides an object's fate, from whatever bytes come."""

from __future__ import annotations

import io
import struct
import tracemalloc
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

from dicom_node.receive.header import HeaderUnreadable, ObjectHeader, is_uid, read_header
from sr_templates.uids import MANUFACTURER, MODEL_NAME, UID_ROOT

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

    tracemalloc.start()
    header = header_of(data, tmp_path, DeflatedExplicitVRLittleEndian)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert header.sop_instance_uid == "1.2.3.4"
    assert peak < 24 * 1024 * 1024


def test_a_value_of_absurd_length_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "object.part"
    with path.open("wb") as stream:
        stream.write(struct.pack("<HH2sHL", 0x0008, 0x0070, b"UN", 0, 200 * 1024 * 1024))
        stream.seek(200 * 1024 * 1024, io.SEEK_CUR)
        stream.write(encoded(us_header(), ExplicitVRLittleEndian))

    tracemalloc.start()
    header = read_header(path, 0, ExplicitVRLittleEndian)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert not header.is_own
    assert peak < 8 * 1024 * 1024


EMPTY_ITEMS = b"\xfe\xff\x00\xe0\0\0\0\0" * 120_000


@pytest.mark.parametrize(
    "sequence",
    [
        b"\x18\x00\x01\xa0SQ\0\0" + len(EMPTY_ITEMS).to_bytes(4, "little") + EMPTY_ITEMS,
        b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + EMPTY_ITEMS + b"\xfe\xff\xdd\xe0\0\0\0\0",
    ],
    ids=["known length", "unknown length"],
)
def test_a_hundred_thousand_empty_items_do_not_keep_the_receiver(tmp_path: Path, sequence: bytes) -> None:
    whole = encoded(us_header(), ExplicitVRLittleEndian)
    place = whole.index(b"\x20\x00\x0d\x00UI") if sequence[:1] == b"\x18" else whole.index(b"\x10\x00\x10\x00PN")

    with pytest.raises(HeaderUnreadable):
        header_of(whole[:place] + sequence + whole[place:], tmp_path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
