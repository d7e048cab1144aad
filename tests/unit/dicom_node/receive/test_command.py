"""Command sets of C-STORE, beside the library's."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pynetdicom.dimse_messages import C_STORE_RQ, C_STORE_RSP, DIMSEMessage
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.pdu_primitives import P_DATA

from dicom_node.receive.command import StoreCommand, read_store_command, store_response
from tests.ultrasound import US_IMAGE

_COMPONENT = "(0|[1-9][0-9]{0,4})"
UIDS = st.from_regex(rf"[1-2](\.{_COMPONENT}){{1,9}}", fullmatch=True)
NUMBERS = st.integers(0, 0xFFFF)
FEW = settings(max_examples=25, deadline=None)


def request(uid: str = "1.2.3", message_id: int = 7, priority: int = 2) -> Dataset:
    """The command set that the library makes of a request."""
    primitive = C_STORE()
    primitive.MessageID, primitive.Priority = message_id, priority
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = US_IMAGE, uid
    primitive.DataSet = io.BytesIO(b"\0\0")
    message = C_STORE_RQ()
    message.primitive_to_message(primitive)
    return message.command_set


def encoded(command: Dataset) -> bytes:
    data = encode(command, is_implicit_vr=True, is_little_endian=True)
    assert data is not None
    return data


@FEW
@given(uid=UIDS, message_id=st.integers(0, 0xFFFF), priority=st.integers(0, 2))
def test_a_plain_request_is_read_as_it_was_written(uid: str, message_id: int, priority: int) -> None:
    assert read_store_command(encoded(request(uid, message_id, priority))) == StoreCommand(message_id, US_IMAGE, uid)


def test_padding_of_any_kind_does_not_belong_to_the_uid() -> None:
    for padding in (b"", b"\0", b" ", b"\0\0"):
        uid = b"1.2.3" + padding
        data = encoded(request("1.2.3")).replace(
            struct.pack("<HHL", 0, 0x1000, 6) + b"1.2.3\0", struct.pack("<HHL", 0, 0x1000, len(uid)) + uid
        )
        assert read_store_command(data) == StoreCommand(7, US_IMAGE, "1.2.3")


@pytest.mark.parametrize(
    "keyword", ["AffectedSOPClassUID", "AffectedSOPInstanceUID", "MessageID", "Priority", "CommandField"]
)
def test_a_request_without_what_it_must_have_is_the_librarys(keyword: str) -> None:
    command = request()
    del command[keyword]
    assert read_store_command(encoded(command)) is None


def test_what_is_unusual_is_the_librarys() -> None:
    strange = {"AffectedSOPInstanceUID": "../1", "CommandDataSetType": 0x0101, "Priority": 3}
    for keyword, value in strange.items():
        command = request()
        command[keyword]._value = value
        assert read_store_command(encoded(command)) is None
    echo = C_ECHO()
    echo.MessageID, echo.AffectedSOPClassUID = 1, "1.2.840.10008.1.1"
    message = DIMSEMessage()
    message.command_set = request()
    message.command_set.CommandField = 0x0030
    assert read_store_command(encoded(message.command_set)) is None
    long = (
        encoded(request("1.1"))
        .replace(b"1.1\0", b"1" * 80)
        .replace(struct.pack("<HHL", 0, 0x1000, 4), struct.pack("<HHL", 0, 0x1000, 80))
    )
    assert read_store_command(long) is None


@FEW
@given(data=st.binary(max_size=200))
def test_no_bytes_break_it(data: bytes) -> None:
    assert read_store_command(data) is None
    whole = encoded(request())
    assert read_store_command(whole[:-1]) is None
    read_store_command(whole[: len(whole) // 2] + data)


@FEW
@given(
    uid=UIDS, message_id=st.integers(0, 0xFFFF), status=st.integers(0, 0xFFFF), comment=st.text("abc. ", max_size=90)
)
def test_the_library_reads_our_answer(uid: str, message_id: int, status: int, comment: str) -> None:
    pdu = P_DATA_TF()
    pdu.decode(store_response(5, StoreCommand(message_id, US_IMAGE, uid), status, comment))
    message = DIMSEMessage()

    assert message.decode_msg(pdu.to_primitive())

    assert isinstance(message, C_STORE_RSP)
    assert message.context_id == 5
    command = message.command_set
    assert (command.AffectedSOPClassUID, command.AffectedSOPInstanceUID) == (US_IMAGE, uid)
    assert (command.MessageIDBeingRespondedTo, command.Status) == (message_id, status)
    assert str(command.get("ErrorComment", "")) == comment[:64].rstrip()


def test_our_answer_is_the_bytes_of_the_librarys() -> None:
    primitive = C_STORE()
    primitive.MessageIDBeingRespondedTo, primitive.Status = 7, 0xA700
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = US_IMAGE, "1.2.3"
    primitive.ErrorComment = "No room."
    message = C_STORE_RSP()
    message.primitive_to_message(primitive)
    (pdata,) = message.encode_msg(3, 16384)
    assert isinstance(pdata, P_DATA)
    assert store_response(3, StoreCommand(7, US_IMAGE, "1.2.3"), 0xA700, "No room.") == P_DATA_TF(pdata).encode()
