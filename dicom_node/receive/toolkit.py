"""Everything that this process changes inside pynetdicom 3.0 and pydicom 3.0, in one place, undone on leaving.

All of it is process-wide, one reason why the receiver is a process of its own:

* incoming data sets go through `Spool.open_part` in place of a temporary file elsewhere on the machine;
* the file meta information says who sent an object, for the day when the database is lost;
* AE titles are decoded leniently; by default a NUL, a blank or a non-ASCII title aborts the association where a
  rejection with its reason would tell the administrator what to do;
* UIDs longer than 64 characters reach the handler, which refuses them by name; the default aborts the association;
* whether a UID is well formed is remembered: each of an association request is asked about half a dozen times, with a
  regular expression, which is a third of what a request costs;
* what state machine or negotiation cannot digest ends that association; by default one of its two threads dies and the
  other waits for it;
* a PDU longer than `LARGEST_PDU` closes the connection (its length is taken at its word, before anyone is authorised),
  and so does one that takes too long to arrive;
* a message whose command has no end, or which nobody here would read, and requests that nobody waited for the answers
  of, end the association: all are kept in memory for as long as they come;
* associations that others open to us have threads that sleep while there is nothing to do, and a short way for C-STORE
  (reactor.py);
* the default event log is off (our own handlers log), and pydicom does not warn about values: a warning quotes them.
"""

from __future__ import annotations

import errno
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache, partial
from typing import Any

import pydicom.config
from pydicom.dataset import FileMetaDataset
from pydicom.uid import RE_VALID_UID, UID
from pynetdicom import _config, association, dimse_messages, dul, evt, transport
from pynetdicom.acse import ACSE
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dsutils import create_file_meta
from pynetdicom.fsm import StateMachine
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, P_DATA

from dicom_node.receive.authorisation import decode_ae_title
from dicom_node.receive.reactor import Ending, NodeAssociation, OnEnd, sender_of
from dicom_node.receive.spool import Spool, SpoolFile

_log = logging.getLogger(__name__)

LARGEST_PDU = 1024 * 1024
"""We announce less; an A-ASSOCIATE-RQ with 128 contexts and all transfer syntaxes stays below half of it."""

REQUEST_S = 30.0
"""From the connection to the end of the association request."""

SILENCE_S = 60.0
"""In the middle of a PDU. Between two PDUs a peer may be silent for as long as the idle time-out says."""

PDU_S = 120.0
"""For the whole of one: 1 kB/s, for one of the length that we announce."""

LARGEST_COMMAND = 64 * 1024
LARGEST_OTHER_DATA_SET = 1024 * 1024
"""What comes with a C-STORE goes to the disk; anything else is kept in memory, and nothing large is asked of us."""

MOST_OUTSTANDING = 16
"""Requests of one association that wait for their answer; without a negotiated window it is one (PS3.7 D.3.3.3)."""

_SERVICE_PROVIDER, _NO_REASON = 0x02, 0x00
_REJECTED_BY_PROVIDER = (0x01, 0x02, 0x01)  # permanent, ACSE, no reason given (PS3.8 9.3.4)
_ASSOCIATE_RQ_TYPE = b"\x01"
_PLACEHOLDER = "UNDECODED"
_LENGTH_OF_A_GREETING = 6
_LONGEST_UID = 64


class LenientAssociateRQ(A_ASSOCIATE_RQ):
    """A received A-ASSOCIATE-RQ whose AE titles may be anything; authorisation judges them."""

    @property
    def called_ae_title(self) -> str:
        return self._called_aet

    @called_ae_title.setter
    def called_ae_title(self, value: str | bytes | None) -> None:
        self._called_aet = _decoded(value)

    @property
    def calling_ae_title(self) -> str:
        return self._calling_aet

    @calling_ae_title.setter
    def calling_ae_title(self, value: str | bytes | None) -> None:
        self._calling_aet = _decoded(value)

    def to_primitive(self) -> A_ASSOCIATE:
        """The primitive checks titles that are set through its properties, so ours are put behind them."""
        calling, called = self._calling_aet, self._called_aet
        self._calling_aet = self._called_aet = _PLACEHOLDER
        primitive = super().to_primitive()
        primitive._calling_ae_title = self._calling_aet = calling
        primitive._called_ae_title = self._called_aet = called
        return primitive


class BoundedSocket(transport.AssociationSocket):
    """A socket that reads a PDU in as few calls as the network allows, and bounds its length and its time.

    `first_bytes` is what the peer said first, which tells the protocol that it speaks.
    """

    first_bytes = b""
    _request_until: float | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._request_until = time.monotonic() + REQUEST_S

    def admit(self) -> None:
        """From now on each PDU has its own time."""
        self._request_until = None
        connection = self.socket
        if connection is not None:
            with suppress(OSError):  # closed by another thread since
                connection.settimeout(SILENCE_S)

    def recv(self, nr_bytes: int) -> bytearray:
        """`nr_bytes` from the peer, fewer if it closes the connection.

        Raises:
            OSError: the connection broke, or the PDU is longer than LARGEST_PDU or takes too long.
        """
        data = bytearray(self.checked(nr_bytes))
        with memoryview(data) as view:
            received = self.receive_into(view)
        return data if received == nr_bytes else data[:received]

    def checked(self, length: int) -> int:
        """The length of a PDU, if it is one that we read. Raises OSError."""
        if length > LARGEST_PDU:
            raise OSError(errno.EMSGSIZE, "PDU too long")
        return length

    def receive_into(self, view: memoryview) -> int:
        """Fill `view`; how many bytes came, fewer than that if the peer closes the connection. Raises OSError."""
        connection, received, wanted = self.socket, 0, len(view)
        if connection is None:
            raise OSError(errno.ENOTCONN, "connection closed")
        deadline = self._request_until or time.monotonic() + PDU_S
        while received < wanted and (count := connection.recv_into(view[received:])):
            received += count
            if received < wanted and time.monotonic() > deadline:
                raise TimeoutError
        self.first_bytes = self.first_bytes or bytes(view[: min(received, _LENGTH_OF_A_GREETING)])
        return received

    def _shutdown_socket(self) -> None:
        """Close also where shutting down fails because the peer was first; else the descriptor stays open."""
        connection = self.socket
        if connection is None:  # closed before, here or in another thread
            return
        hang_up(connection)
        connection.close()

    def hang_up(self) -> None:
        """End the conversation from any thread: the association's own thread reads the end and closes the socket."""
        connection = self.socket
        if connection is not None:
            hang_up(connection)


def hang_up(connection: socket.socket) -> None:
    """Whoever reads from the connection reads its end; under TLS too, past what the thread that uses it is doing."""
    with suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


_do_action = StateMachine.do_action
_negotiate = ACSE._negotiate_as_acceptor
_decode = DIMSEMessage.decode_msg
_receive = DIMSEServiceProvider.receive_primitive


def _act_or_abort(machine: StateMachine, event: str) -> None:
    """An action of the upper layer; a PDU or message that breaks it ends this association and no other.

    The same steps as pynetdicom takes when reading from the network fails: past the state machine, whose state is
    unknown now.
    """
    try:
        _do_action(machine, event)
    except Exception as error:  # noqa: BLE001  the decoders raise whatever broken input leads them to
        _log.warning("receive.protocol_error", extra={"error": type(error).__name__})
        _abort(machine.dul)


def _negotiate_or_reject(acse: ACSE) -> None:
    """Negotiation as acceptor; a request that breaks it (a context without transfer syntax) is rejected."""
    try:
        _negotiate(acse)
    except Exception as error:  # noqa: BLE001  as above
        _log.warning("receive.protocol_error", extra={"error": type(error).__name__})
        acse.send_reject(*_REJECTED_BY_PROVIDER)
        acse.assoc.kill()


def _meta_with_sender(**identity: UID) -> FileMetaDataset:
    """File meta information (PS3.10 7.1) with the AE titles of the association and the address it came from.

    Called by the thread that reads from the network, as `open_part` is; must not raise.
    """
    meta = create_file_meta(**identity)
    current = getattr(threading.current_thread(), "assoc", None)
    if current is not None:
        sender = sender_of(current)
        meta.SourceApplicationEntityTitle = sender.calling_ae
        meta.ReceivingApplicationEntityTitle = sender.called_ae
        meta.SourcePresentationAddress = sender.address
    return meta


class _Excess(Exception):
    """More than this node keeps in memory for one peer."""


def _decode_or_refuse(message: DIMSEMessage, primitive: P_DATA, assoc: Association | None = None) -> bool:
    """Take the next fragments of a message; raises _Excess where it grows beyond what any of ours has."""
    complete = _decode(message, primitive, assoc)
    kept = message.data_set
    if message.encoded_command_set.tell() > LARGEST_COMMAND:
        raise _Excess
    if kept is not None and kept.getbuffer().nbytes > LARGEST_OTHER_DATA_SET:
        raise _Excess
    return bool(complete)


def _receive_or_refuse(provider: DIMSEServiceProvider, primitive: P_DATA) -> None:
    """Take what came; raises _Excess where too many requests wait for their answers already."""
    if provider.msg_queue.qsize() >= MOST_OUTSTANDING:
        raise _Excess
    _receive(provider, primitive)


def _abort(provider: dul.DULServiceProvider) -> None:
    broken, connection = provider.assoc, provider.socket
    broken.is_aborted, broken.is_established = True, False
    broken._kill = True
    provider.kill_dul()
    if connection is not None and connection.socket is not None:
        abort = A_ABORT_RQ()
        abort.source, abort.reason_diagnostic = _SERVICE_PROVIDER, _NO_REASON
        connection.send(abort.encode())
        connection.close()
    evt.trigger(broken, evt.EVT_CONN_CLOSE, {"address": ()})


LargestObject = Callable[[Association], int | None]
"""Bytes that one data set may have in this association; None: any number."""


def _any_size(_association: Association) -> int | None:
    return None


def _nobody_listens(_association: Association, _ending: Ending, _seconds: float) -> None:
    return


@contextmanager
def adapted(spool: Spool, largest_object: LargestObject = _any_size, on_end: OnEnd = _nobody_listens) -> Iterator[None]:
    """Make the changes above for the duration of the block. `on_end` is told of every association that was accepted."""

    def open_part(*_: Any, **__: Any) -> SpoolFile:
        """Called by the thread that reads from the network, which is its association's own."""
        current = getattr(threading.current_thread(), "assoc", None)
        return spool.open_part(None if current is None else largest_object(current))

    def open_part_of(arriving_in: Association) -> SpoolFile:
        return spool.open_part(largest_object(arriving_in))

    with ExitStack() as changes:
        change = _changer(changes)
        change(_config, "STORE_RECV_CHUNKED_DATASET", True)
        change(_config, "LOG_HANDLER_LEVEL", "none")
        change(UID, "is_valid", property(_is_valid))
        change(_config, "VALIDATORS", {**_config.VALIDATORS, "UI": _any_uid})
        change(dimse_messages, "NamedTemporaryFile", open_part)
        change(dimse_messages, "create_file_meta", _meta_with_sender)
        change(DIMSEMessage, "decode_msg", _decode_or_refuse)
        change(DIMSEServiceProvider, "receive_primitive", _receive_or_refuse)
        change(dul, "_PDU_TYPES", {**dul._PDU_TYPES, _ASSOCIATE_RQ_TYPE: (LenientAssociateRQ, "Evt6")})
        change(transport, "AssociationSocket", BoundedSocket)
        node_association = partial(NodeAssociation, open_part=open_part_of, give_up=_abort, on_end=on_end)
        change(association, "Association", node_association)
        change(StateMachine, "do_action", _act_or_abort)
        change(ACSE, "_negotiate_as_acceptor", _negotiate_or_reject)
        change(pydicom.config.settings, "reading_validation_mode", pydicom.config.IGNORE)
        change(pydicom.config.settings, "writing_validation_mode", pydicom.config.IGNORE)
        yield


def _changer(changes: ExitStack) -> Callable[[Any, str, object], None]:
    def change(owner: Any, name: str, value: object) -> None:
        changes.callback(setattr, owner, name, getattr(owner, name))
        setattr(owner, name, value)

    return change


def _decoded(value: str | bytes | None) -> str:
    return decode_ae_title(value) if isinstance(value, bytes) else value or ""


def _is_valid(uid: UID) -> bool:
    return len(uid) <= _LONGEST_UID and _is_well_formed(uid)


@lru_cache(maxsize=4096)
def _is_well_formed(uid: str) -> bool:
    return re.match(RE_VALID_UID, uid) is not None


def _any_uid(_value: object) -> tuple[bool, str]:
    return True, ""
