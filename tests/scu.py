"""A sender that can misbehave: C-STORE requests with any command and any bytes, and association requests by hand."""

from __future__ import annotations

import io
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from pydicom import Dataset, dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom import AE, build_context
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA

from tests.receiving import OUR_AE, SCANNER

ASSOCIATE_AC, ASSOCIATE_RJ, ABORT = 0x02, 0x03, 0x07


@contextmanager
def association(
    port: int,
    classes: Sequence[str],
    transfer_syntaxes: Sequence[str] = (ExplicitVRLittleEndian,),
    calling: str = SCANNER,
    maximum_pdu: int = 16382,
) -> Iterator[Association]:
    """An established association that proposes each class with each transfer syntax in a context of its own."""
    entity = AE(calling)
    contexts = [build_context(uid, syntax) for uid in classes for syntax in transfer_syntaxes]
    assoc = entity.associate("127.0.0.1", port, contexts=contexts, ae_title=OUR_AE, max_pdu=maximum_pdu)
    assert assoc.is_established
    connection = assoc.dul.socket.socket if assoc.dul.socket is not None else None
    try:
        yield assoc
    finally:
        if assoc.is_established:
            assoc.release()
        if connection is not None:
            connection.close()  # pynetdicom leaves it open where the peer closed first


@dataclass(frozen=True)
class Request:
    """One C-STORE request; `data` None sends none at all."""

    sop_class_uid: str
    sop_instance_uid: str
    data: bytes | None

    @classmethod
    def of(cls, ds: Dataset) -> Request:
        """The honest request for a data set, which is encoded as Explicit VR Little Endian."""
        buffer = io.BytesIO()
        plain = Dataset({tag: ds[tag] for tag in ds.keys()})  # noqa: SIM118  a Dataset iterates over elements
        dcmwrite(buffer, plain, implicit_vr=False, little_endian=True)
        return cls(str(ds.SOPClassUID), str(ds.SOPInstanceUID), buffer.getvalue())

    def with_data(self, data: bytes | None) -> Request:
        return replace(self, data=data)

    def announced_as(self, sop_class_uid: str | None = None, sop_instance_uid: str | None = None) -> Request:
        """The same data set under another command."""
        instance = sop_instance_uid or self.sop_instance_uid
        return replace(self, sop_class_uid=sop_class_uid or self.sop_class_uid, sop_instance_uid=instance)


@dataclass(frozen=True)
class Answer:
    status: int
    comment: str


def store(assoc: Association, request: Request) -> Answer:
    """Send one request on the first accepted context and wait for its response."""
    context_id = assoc.accepted_contexts[0].context_id
    assert context_id is not None
    assoc._reactor_checkpoint.clear()
    try:
        for pdata in messages(request, context_id):
            assoc.dul.send_pdu(pdata)
        _, response = assoc.dimse.get_msg(block=True)
    finally:
        assoc._reactor_checkpoint.set()
    assert isinstance(response, C_STORE), "no response: the association was aborted"
    return Answer(int(response.Status or 0), str(response.ErrorComment or ""))


def messages(request: Request, context_id: int, without: int = 0) -> Iterator[P_DATA]:
    """Command and data set as P-DATA (PS3.8 annex E); element (0000,`without`) is left out of the command."""
    yield _pdata(context_id, 0x03, _command(request, without))
    if request.data is None:
        return
    pieces = [request.data[i : i + 16000] for i in range(0, len(request.data), 16000)] or [b""]
    for number, piece in enumerate(pieces, start=1):
        yield _pdata(context_id, 0x02 if number == len(pieces) else 0x00, piece)


def _pdata(context_id: int, control: int, fragment: bytes) -> P_DATA:
    pdata = P_DATA()
    pdata.presentation_data_value_list.append((context_id, bytes([control]) + fragment))
    return pdata


def _command(request: Request, without: int) -> bytes:
    """The command set, Implicit VR Little Endian (PS3.7 6.3.1, 9.3.1.1)."""
    elements = [
        (0x0002, _padded(request.sop_class_uid)),
        (0x0100, struct.pack("<H", 0x0001)),
        (0x0110, struct.pack("<H", 7)),
        (0x0700, struct.pack("<H", 0)),
        (0x0800, struct.pack("<H", 0x0101 if request.data is None else 0x0001)),
        (0x1000, _padded(request.sop_instance_uid)),
    ]
    body = b"".join(
        struct.pack("<HHL", 0, element, len(value)) + value for element, value in elements if element != without
    )
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def _padded(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)


def associate_request(calling: bytes, called: bytes) -> bytes:
    """An A-ASSOCIATE-RQ PDU (PS3.8 9.3.2) proposing Verification, with these AE titles padded by spaces to 16 bytes."""

    def item(kind: int, body: bytes) -> bytes:
        return struct.pack(">BBH", kind, 0, len(body)) + body

    context = b"\x01\0\0\0" + item(0x30, b"1.2.840.10008.1.1") + item(0x40, UID("1.2.840.10008.1.2").encode())
    user = item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3.4")
    items = item(0x10, b"1.2.840.10008.3.1.1.1") + item(0x20, context) + item(0x50, user)
    body = struct.pack(">HH", 1, 0) + called.ljust(16) + calling.ljust(16) + bytes(32) + items
    return struct.pack(">BBL", 1, 0, len(body)) + body


def answer_to(port: int, pdu: bytes, seconds: float = 10.0) -> bytes:
    """Send bytes on a connection of their own; the PDU that comes back, b"" if it is closed or nothing comes."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(pdu)
        try:
            return connection.recv(4096)
        except (ConnectionResetError, TimeoutError):
            return b""
