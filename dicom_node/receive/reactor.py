"""The two threads of an association that somebody opened to us, and the short way of a C-STORE through one of them.

The library's threads look every millisecond whether there is something to do, and hand each message from one to the
other; a receiver with a few open associations then does little else. Here both sleep until there is something. What a
C-STORE brings goes from the socket through one buffer into its file, and the answer back, in the thread that reads the
network: it builds no objects of PDUs, messages and data sets on the way. Everything else (negotiation, release, aborts,
C-ECHO, storage commitment, and every C-STORE that is not a plain one) takes the library's way, through its state
machine, with the nets of toolkit.py under it.
"""

from __future__ import annotations

import logging
import os
import queue
import select
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from struct import Struct
from typing import Any, cast

from pydicom import Dataset
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import A_ABORT, A_ASSOCIATE, P_DATA
from pynetdicom.presentation import PresentationContext
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import uid_to_service_class
from pynetdicom.transport import AddressInformation

from dicom_node.addresses import canonical_host
from dicom_node.receive.command import StoreCommand, read_store_command, store_response
from dicom_node.receive.spool import Identity, Sender, SpoolFile

_log = logging.getLogger(__name__)

LOOK_S = 0.25
"""For what rings no bell: time-outs, and an end that another thread decides on."""

_HEAD = Struct(">BxL")
_ITEM = Struct(">LBB")
_P_DATA_TF = 0x04
_KNOWN_PDUS = range(0x01, 0x08)
_DATA_TRANSFER, _AWAITING_CLOSE = "Sta6", "Sta13"
_CLOSED, _TIMER_EXPIRED, _INVALID_PDU = "Evt17", "Evt18", "Evt19"
_IS_COMMAND, _IS_LAST = 0x01, 0x02
_LONGEST_ANSWER = 512
"""Of a C-STORE, in one PDU: two UIDs, a comment of 64 characters and the rest."""

_SMALLEST_BUFFER = 1 << 14
_PROCESSING_FAILURE = 0x0110
"""PS3.7 9.1.1.1.9."""

OpenPart = Callable[[Association], SpoolFile]
GiveUp = Callable[[DULServiceProvider], None]
"""End an association past its state machine, whose state is unknown."""


class ProtocolError(Exception):
    """The peer sent what makes no sense here."""


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """What the C-STORE handler is given, under the library's names."""

    AffectedSOPClassUID: str
    AffectedSOPInstanceUID: str
    _dataset_file: SpoolFile


@dataclass(frozen=True, slots=True)
class Arriving:
    """A data set on its way. The library's name for the file: whoever clears up after a broken connection reads it."""

    context_id: int
    context: PresentationContext
    command: StoreCommand
    _data_set_file: SpoolFile

    @property
    def file(self) -> SpoolFile:
        return self._data_set_file


class Bell:
    """Wakes a thread that waits for the network. Ringing one that is closed is nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heard, self._rung = os.pipe()
        os.set_blocking(self._heard, False)
        os.set_blocking(self._rung, False)
        self._is_open = True

    def fileno(self) -> int:
        return self._heard

    def ring(self) -> None:
        with self._lock, suppress(BlockingIOError):
            if self._is_open:
                os.write(self._rung, b"!")

    def heard(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._heard, 64)

    def close(self) -> None:
        with self._lock:
            if self._is_open:
                self._is_open = False
                os.close(self._heard)
                os.close(self._rung)


def _ready(bell: Bell, *connections: int) -> list[int]:
    """Which descriptors have something to be read, after a while; by poll(2), which has no largest descriptor."""
    poll = select.poll()
    for one in (bell.fileno(), *connections):
        poll.register(one, select.POLLIN)
    ready = [one for one, _ in poll.poll(1000 * LOOK_S)]
    if bell.fileno() in ready:
        bell.heard()
    return ready


class Provider(DULServiceProvider):
    """The upper layer of one association (PS3.8), in the thread that reads the network."""

    def __init__(self, association: Association, intake: Intake, give_up: GiveUp) -> None:
        super().__init__(association)
        self.daemon = True  # it takes objects: one that waits for a database must not keep the process
        self.woken = threading.Event()
        self._intake, self._give_up = intake, give_up
        self._bell: Bell | None = None
        self._is_open = False
        self._buffer = bytearray(_SMALLEST_BUFFER)

    def send_pdu(self, primitive: Any) -> None:
        super().send_pdu(primitive)
        self._wake()

    def kill_dul(self) -> None:
        super().kill_dul()
        self._wake()

    def open(self) -> None:
        """Negotiation is over to its last word. Until then nothing is read that comes after it, nor acted upon."""
        self._is_open = True
        self._wake()

    def run_reactor(self) -> None:
        """Until the association is over."""
        try:
            bell = self._bell = Bell()
        except OSError as error:  # no descriptor to be had: this one ends, and holds nothing that others need
            self.assoc._dul_ready.set()
            self._break_off(error)
            self.woken.set()
            return
        try:
            self._idle_timer.start()
            self.assoc._dul_ready.set()
            while not self._kill_thread:
                try:
                    self._step(bell)
                except Exception as error:  # noqa: BLE001  whatever broken input leads to ends this association alone
                    self._break_off(error)
        finally:
            bell.close()
            self._buffer = bytearray()  # the object itself lives until somebody collects garbage
            self.woken.set()

    def _break_off(self, error: Exception) -> None:
        _log.warning("receive.protocol_error", extra={"error": type(error).__name__})
        self._give_up(self)

    def _wake(self) -> None:
        if self._bell is not None:
            self._bell.ring()

    def _step(self, bell: Bell) -> None:
        """One event at a time: a second one is not looked for while there is one."""
        if self.artim_timer.expired:
            self.event_queue.put(_TIMER_EXPIRED)
        if self.event_queue.empty() and not self._process_recv_primitive():
            self._look_at_the_network(bell)
        try:
            event = self.event_queue.get(block=False)
        except queue.Empty:
            return
        self.state_machine.do_action(event)
        self._wake_association()

    def _wake_association(self) -> None:
        if not self.to_user_queue.empty() or not self.assoc.dimse.msg_queue.empty():
            self.woken.set()

    def _look_at_the_network(self, bell: Bell) -> None:
        if self.state_machine.current_state == _AWAITING_CLOSE:
            self._is_transport_event()
        elif self._await_data(bell):
            self._read_pdu_data()
            self._idle_timer.restart()

    def _await_data(self, bell: Bell) -> bool:
        """Whether there is something to read; also returns when the bell is rung, or after a while."""
        connection = None if self.socket is None else self.socket.socket
        if connection is None or (self.state_machine.current_state == _DATA_TRANSFER and not self._is_open):
            _ready(bell)
            return False
        if isinstance(connection, ssl.SSLSocket) and connection.pending():
            return True
        number = connection.fileno()
        if number < 0:
            self.event_queue.put(_CLOSED)
            return False
        return number in _ready(bell, number)

    def _read_pdu_data(self) -> None:
        """Read a PDU; take it where it is data, and leave it to the state machine otherwise (PS3.8 9.2)."""
        channel = cast(Any, self.socket)
        try:
            head = channel.recv(_HEAD.size)
            if len(head) < _HEAD.size:
                self.event_queue.put(_CLOSED)
                return
            kind, length = _HEAD.unpack(head)
            if kind not in _KNOWN_PDUS:
                self.event_queue.put(_INVALID_PDU)
                return
            if kind == _P_DATA_TF and self.state_machine.current_state == _DATA_TRANSFER:
                body = self._room(channel.checked(length))
                received = channel.receive_into(body)
            else:
                body = memoryview(channel.recv(length))
                received = len(body)
        except OSError:
            self.event_queue.put(_CLOSED)
            return
        if received < length:
            self.event_queue.put(_CLOSED)
        elif kind == _P_DATA_TF and self.state_machine.current_state == _DATA_TRANSFER:
            self._take(body)
        else:
            self._decode(bytearray(head) + body)

    def _room(self, length: int) -> memoryview:
        """Of the one buffer that all PDUs go through: what a new one would cost is most of what a PDU costs."""
        if length > len(self._buffer):
            self._buffer = bytearray(length)
        return memoryview(self._buffer)[:length]

    def _decode(self, data: bytearray) -> None:
        try:
            pdu, event = self._decode_pdu(data)
        except Exception as error:  # noqa: BLE001  the decoders raise whatever broken input leads them to
            _log.warning("receive.protocol_error", extra={"error": type(error).__name__})
            self.event_queue.put(_INVALID_PDU)
            return
        self._recv_pdu.put(pdu)
        self.event_queue.put(event)

    def _take(self, body: memoryview) -> None:
        """The presentation data values of one P-DATA-TF (PS3.8 9.3.5, E.2)."""
        try:
            fragments = list(_fragments(body))
        except ProtocolError:
            self.event_queue.put(_INVALID_PDU)
            return
        for context_id, control, fragment in fragments:
            answer = self._intake.take(self.assoc, context_id, control, fragment)
            if isinstance(answer, bytes):
                if self.socket is not None and self.assoc.is_established:
                    self.socket.send(answer)
            elif not answer:
                self._leave_to_library(context_id, control, fragment)
            if not self.event_queue.empty() or self._kill_thread:
                return

    def _leave_to_library(self, context_id: int, control: int, fragment: memoryview) -> None:
        primitive = P_DATA()
        primitive.presentation_data_value_list.append((context_id, bytes((control,)) + fragment))
        self.assoc.dimse.receive_primitive(primitive)
        self._wake_association()


class Ending(StrEnum):
    """How an association that was accepted came to its end (PS3.8 7.2 to 7.4)."""

    RELEASED = "released"
    ABORTED = "aborted"  # by an A-ABORT of either side
    LOST = "lost"  # the connection broke, or what came on it was no DICOM


OnEnd = Callable[[Association, Ending, float], None]
"""Gets the association, how it ended, and how many seconds it had lasted."""


class NodeAssociation(Association):
    """An association as acceptor; its own thread negotiates, and then sleeps until there is something for it."""

    def __init__(self, entity: Any, mode: str, open_part: OpenPart, give_up: GiveUp, on_end: OnEnd) -> None:
        super().__init__(entity, mode)
        self.dul = Provider(self, Intake(open_part), give_up)
        self._on_end, self._ending = on_end, Ending.LOST
        self.acse_timeout, self.network_timeout = self.acse_timeout, self.network_timeout  # of the new upper layer

    def _run_reactor(self) -> None:
        """Until the association is over: its messages, release, aborts, and the time-out (PS3.8 7)."""
        began_s = time.monotonic()
        try:
            self._serve_until_it_ends()
        finally:
            ending = Ending.ABORTED if self._sent_abort else self._ending
            self._on_end(self, ending, time.monotonic() - began_s)

    def _serve_until_it_ends(self) -> None:
        provider = cast(Provider, self.dul)
        provider.open()
        while not self._kill:
            self._is_paused = True  # whoever asks the peer something meanwhile waits for its answer by itself
            provider.woken.wait(LOOK_S)
            provider.woken.clear()
            self._reactor_checkpoint.wait()
            self._is_paused = False
            self._serve_what_waits()
            if self.is_established and self.acse.is_release_requested():
                self.acse.send_release(is_response=True)
                self.is_released, self.is_established = True, False
                self._ending = Ending.RELEASED
                evt.trigger(self, evt.EVT_RELEASED, {})
                self.kill()
            elif self.acse.is_aborted():
                if isinstance(self.dul.receive_pdu(wait=False), A_ABORT):  # else A-P-ABORT
                    self._ending = Ending.ABORTED
                self.is_aborted, self.is_established = True, False
                evt.trigger(self, evt.EVT_ABORTED, {})
                self.kill()
            elif not provider.is_alive():
                self.kill()
            elif provider.idle_timer_expired():
                _log.warning("receive.silent")
                self.abort()

    def _serve_what_waits(self) -> None:
        while not self._kill:
            context_id, message = self.dimse.get_msg(block=False)
            if message is None or context_id is None:
                return
            self._serve_request(message, context_id)


class Intake:
    """The C-STORE requests of one association, from their fragments to their answers."""

    def __init__(self, open_part: OpenPart) -> None:
        self._open_part = open_part
        self._arriving: Arriving | None = None

    def take(self, association: Association, context_id: int, control: int, fragment: memoryview) -> bytes | bool:
        """The answer, where this was the last fragment; else True, or False where it belongs to something else.

        Raises:
            ProtocolError: it does not go on with the data set that is on its way.
        """
        arriving = self._arriving
        if arriving is None:
            return control == _IS_COMMAND | _IS_LAST and self._begin(association, context_id, fragment)
        if control & _IS_COMMAND or context_id != arriving.context_id:
            raise ProtocolError
        arriving.file.write(fragment)
        if not control & _IS_LAST:
            return True
        self._arriving = association.dimse.message = None
        return _answer(association, arriving)

    def _begin(self, association: Association, context_id: int, fragment: memoryview) -> bool:
        context = association._accepted_cx.get(context_id)
        if 0 < (association.requestor.maximum_length or 0) < _LONGEST_ANSWER:  # the library cuts an answer to pieces
            return False
        if association.dimse.message is not None or context is None:
            return False
        command = read_store_command(bytes(fragment))
        if command is None or uid_to_service_class(command.sop_class_uid) is not StorageServiceClass:
            return False
        file = self._open_part(association)
        identity = Identity(command.sop_class_uid, command.sop_instance_uid, str(context.transfer_syntax[0]))
        file.begin(identity, sender_of(association))
        self._arriving = Arriving(context_id, context, command, file)
        association.dimse.message = cast(Any, self._arriving)
        return True


def sender_of(association: Association) -> Sender:
    """Who opened it, as the file meta information has it."""
    request = cast(A_ASSOCIATE, association.requestor.primitive)
    host = canonical_host(cast(AddressInformation, association.requestor.address_info).address)
    address = f"dicom://[{host}]" if ":" in host else f"dicom://{host}"
    return Sender(request.calling_ae_title, request.called_ae_title, address)


def _answer(association: Association, arriving: Arriving) -> bytes:
    """What the C-STORE handler says, as a PDU."""
    command = arriving.command
    request = StoreRequest(command.sop_class_uid, command.sop_instance_uid, arriving.file)
    facts = {"request": request, "context": arriving.context.as_tuple}
    try:
        said = cast(Dataset, evt.trigger(association, evt.EVT_C_STORE, facts))
    except Exception:  # noqa: BLE001  a fault of the handler's own refusal costs this object, not the association
        _log.exception("receive.failed")
        return store_response(arriving.context_id, command, _PROCESSING_FAILURE, "")
    comment = str(said.get("ErrorComment", ""))
    return store_response(arriving.context_id, command, int(said.Status), comment)


def _fragments(body: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Presentation context, message control header and fragment of each item. Raises ProtocolError."""
    offset = 0
    while offset < len(body):
        if offset + _ITEM.size > len(body):
            raise ProtocolError
        length, context_id, control = _ITEM.unpack_from(body, offset)
        end = offset + 4 + length
        if length < 2 or end > len(body):
            raise ProtocolError
        yield context_id, control, body[offset + _ITEM.size : end]
        offset = end
