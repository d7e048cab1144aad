"""The changes inside pynetdicom: what they let through, and that they end."""

from __future__ import annotations

import socket
from pathlib import Path

import pydicom.config
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID
from pynetdicom import AE, _config, dimse_messages, dul, transport
from pynetdicom.acse import ACSE
from pynetdicom.association import Association
from pynetdicom.fsm import StateMachine
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE

from dicom_node.receive.authorisation import decode_ae_title
from dicom_node.receive.spool import Spool
from dicom_node.receive.toolkit import LARGEST_PDU, BoundedSocket, LenientAssociateRQ, adapted


def request_bytes(calling: bytes, called: bytes) -> bytes:
    """An A-ASSOCIATE-RQ PDU (PS3.8 9.3.2) with these 16-byte AE title fields."""
    primitive = A_ASSOCIATE()
    association = Association(AE("SCANNER"), "requestor")
    association.requestor.ae_title = "SCANNER"
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = "SCANNER", "FETALHC"
    primitive.user_information = association.requestor.user_information
    encoded = bytearray(A_ASSOCIATE_RQ(primitive).encode())
    encoded[10:26], encoded[26:42] = called, calling
    return bytes(encoded)


@given(calling=st.binary(min_size=16, max_size=16), called=st.binary(min_size=16, max_size=16))
def test_every_ae_title_field_reaches_the_primitive(calling: bytes, called: bytes) -> None:
    pdu = LenientAssociateRQ()
    pdu.decode(request_bytes(calling, called))

    primitive = pdu.to_primitive()

    assert primitive.calling_ae_title == pdu.calling_ae_title == decode_ae_title(calling)
    assert primitive.called_ae_title == pdu.called_ae_title == decode_ae_title(called)
    assert primitive.application_context_name == "1.2.840.10008.3.1.1.1"


def test_nothing_stays_changed(tmp_path: Path) -> None:
    def state() -> tuple[object, ...]:
        settings = pydicom.config.settings
        return (
            _config.STORE_RECV_CHUNKED_DATASET,
            _config.LOG_HANDLER_LEVEL,
            _config.VALIDATORS,
            dimse_messages.NamedTemporaryFile,
            dul._PDU_TYPES,
            transport.AssociationSocket,
            StateMachine.do_action,
            ACSE._negotiate_as_acceptor,
            vars(UID)["is_valid"],
            settings.reading_validation_mode,
            settings.writing_validation_mode,
        )

    before = state()
    with adapted(Spool(tmp_path, 0)):
        inside = state()
        assert not any(a is b for a, b in zip(before, inside, strict=True))
    assert all(a is b for a, b in zip(before, state(), strict=True))


@given(text=st.text("0123456789.", max_size=70) | st.from_regex(r"[0-9.a ]{0,66}", fullmatch=True))
def test_a_uid_is_as_well_formed_as_it_was(text: str) -> None:
    uid = UID(text, validation_mode=pydicom.config.IGNORE)
    expected = uid.is_valid
    with adapted(Spool(Path("unused"), 0)):
        assert [uid.is_valid, uid.is_valid] == [expected] * 2


class Wire:
    """A socket that hands out its bytes in pieces."""

    def __init__(self, data: bytes, piece: int) -> None:
        self.data, self.piece = data, piece

    def recv_into(self, view: memoryview) -> int:
        part, self.data = self.data[: min(self.piece, len(view))], self.data[min(self.piece, len(view)) :]
        view[: len(part)] = part
        return len(part)


def bounded(wire: Wire) -> BoundedSocket:
    connection = BoundedSocket.__new__(BoundedSocket)
    connection.socket = wire  # type: ignore[assignment]
    return connection


@given(data=st.binary(max_size=2000), wanted=st.integers(0, 2500), piece=st.integers(1, 700))
def test_a_read_gives_what_was_asked_for_or_what_there_was(data: bytes, wanted: int, piece: int) -> None:
    assert bounded(Wire(data, piece)).recv(wanted) == data[:wanted]


def test_a_pdu_of_absurd_length_is_not_read() -> None:
    with pytest.raises(OSError, match="PDU too long"):
        bounded(Wire(b"", 1)).recv(LARGEST_PDU + 1)


def closed() -> BoundedSocket:
    connection = BoundedSocket.__new__(BoundedSocket)
    connection.socket = None
    return connection


def test_closing_and_hanging_up_what_another_thread_closed_is_nothing() -> None:
    connection = closed()
    connection._shutdown_socket()
    connection.hang_up()
    connection.admit()
    connection.socket = socket.socket()
    connection.socket.close()
    connection.admit()


def test_reading_what_another_thread_closed_is_a_broken_connection() -> None:
    with pytest.raises(OSError, match="closed"):
        closed().recv(6)
