"""Storage commitment that peers ask of us (PS3.4 J): the question, and the answer on the same association.

A peer that can be called is told by the courier, on an association of its own. One that cannot is told on the
association on which it asked, for as long as it keeps that open; after that it has to ask again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from typing import Any, Protocol

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import N_EVENT_REPORT_RSP
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.dsutils import encode

from dicom_node.commitment import (
    DUPLICATE_TRANSACTION,
    INVALID_ARGUMENT,
    NO_SUCH_ACTION,
    NOT_AUTHORISED,
    PROCESSING_FAILURE,
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    REQUEST_ACTION,
    SUCCESS,
    Malformed,
    question_of,
    reply_dataset,
)
from dicom_node.domain import CommitmentQuestion, CommitmentReply, CommitmentTerms, Peer, Right
from dicom_node.errors import NodeError
from dicom_node.receive.admission import caller_of
from dicom_node.receive.refusals import log_fields

_log = logging.getLogger(__name__)

LOOK_S = 0.5
"""How often it is looked whether somebody who waits on its association can be told."""

_LAST_MESSAGE_ID = 65535


class Questions(Protocol):
    """The end of the repository that keeps what peers ask; all may raise DatabaseUnavailable."""

    def ask_for_commitment(self, question: CommitmentQuestion, now: datetime) -> bool: ...
    def commitment_answer(self, peer: str, terms: CommitmentTerms, now: datetime) -> CommitmentReply | None: ...
    def commitment_told(self, question_id: int, now: datetime, comment: str | None = None) -> None: ...


@dataclass(slots=True)
class _Waiting:
    """A peer that asked and waits on its association. `asked`: answers that are on their way, by message ID."""

    peer: str
    context_id: int
    asked: dict[int, int] = field(default_factory=dict)
    last_message_id: int = 0


@dataclass(slots=True)
class Desk:
    """Takes questions, and tells those who wait at the desk. `terms` None: nobody may ask."""

    repository: Questions
    terms: CommitmentTerms | None
    peer_of: Callable[[Association], Peer | None]
    now: Callable[[], datetime]
    _waiting: dict[Association, _Waiting] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def handlers(self) -> list[evt.EventHandlerType]:
        """What the receiver has to bind."""
        asked: list[evt.EventHandlerType] = [(evt.EVT_N_ACTION, self.on_n_action)]
        if self.terms is None:
            return asked
        return [*asked, (evt.EVT_DIMSE_RECV, self.on_message), (evt.EVT_CONN_CLOSE, self.on_connection_closed)]

    @contextmanager
    def open_until(self, stop: threading.Event) -> Iterator[None]:
        """Tell who waits until `stop` is set, which it is when the block ends."""
        if self.terms is None:
            yield
            return
        teller = threading.Thread(target=self.tell_until, args=(stop,), name="receiver-desk", daemon=True)
        teller.start()
        yield
        teller.join()

    def on_n_action(self, event: evt.Event) -> tuple[int, None]:
        """EVT_N_ACTION: Success says that the question is kept, not that anything is committed (PS3.4 J.3.2)."""
        peer, caller = self.peer_of(event.assoc), caller_of(event.assoc)
        if self.terms is None or event.action_type != REQUEST_ACTION:
            _log.warning("commitment.request_refused", extra=log_fields(caller))
            return NO_SUCH_ACTION, None
        if peer is None or Right.COMMITMENT not in peer.may:
            return NOT_AUTHORISED, None
        try:
            transaction_uid, objects = question_of(event.action_information)
        except Malformed:
            _log.warning("commitment.malformed", extra=log_fields(caller))
            return INVALID_ARGUMENT, None
        question = CommitmentQuestion(peer.ae_title, caller.called_ae, caller.host, transaction_uid, objects)
        facts = {**log_fields(caller), "transaction_uid": transaction_uid, "count": len(objects)}
        try:
            is_kept = self.repository.ask_for_commitment(question, self.now())
        except NodeError as error:
            _log.warning("commitment.not_kept", extra={"error": type(error).__name__})
            return PROCESSING_FAILURE, None
        if not is_kept:
            _log.warning("commitment.transaction_reused", extra=facts)
            return DUPLICATE_TRANSACTION, None
        _log.info("commitment.question", extra=facts)
        if peer.listens is None:
            with self._lock:
                self._waiting.setdefault(event.assoc, _Waiting(peer.ae_title, event.context.context_id))
        return SUCCESS, None

    def on_message(self, event: evt.Event) -> None:
        """EVT_DIMSE_RECV: what a peer says to the answer."""
        if not isinstance(event.message, N_EVENT_REPORT_RSP):
            return
        command = event.message.command_set
        with self._lock:
            waiting = self._waiting.get(event.assoc)
            answered = None if waiting is None else waiting.asked.pop(command.get("MessageIDBeingRespondedTo"), None)
        status = command.get("Status")
        if waiting is not None and answered is not None and status is not None:
            self._heard(waiting.peer, answered, int(status))

    def on_connection_closed(self, event: evt.Event) -> None:
        """EVT_CONN_CLOSE: it waits no longer."""
        with self._lock:
            self._waiting.pop(event.assoc, None)

    def tell_until(self, stop: threading.Event) -> None:
        """Tell who waits, as soon as there is something to tell."""
        while not stop.wait(LOOK_S):
            with self._lock:
                waiting = list(self._waiting.items())
            for association, one in waiting:
                try:
                    self._tell(association, one)
                except NodeError as error:
                    _log.warning("commitment.not_told", extra={"error": type(error).__name__})
                except Exception:  # noqa: BLE001  one peer's answer must not keep the others waiting
                    _log.exception("commitment.not_told")

    def _tell(self, association: Association, waiting: _Waiting) -> None:
        if self.terms is None or not association.is_established or waiting.asked:
            return
        reply = self.repository.commitment_answer(waiting.peer, self.terms, self.now())
        if reply is None:
            return
        with self._lock:
            waiting.last_message_id = waiting.last_message_id % _LAST_MESSAGE_ID + 1
            waiting.asked[waiting.last_message_id] = reply.id
        _send(association, waiting, reply)

    def _heard(self, peer: str, question_id: int, status: int) -> None:
        try:
            comment = None if status == SUCCESS else f"the report was answered with status 0x{status:04X}"
            self.repository.commitment_told(question_id, self.now(), comment)
        except NodeError as error:  # it is told again, and will say the same
            _log.warning("commitment.not_kept", extra={"error": type(error).__name__})
            return
        _log.info("commitment.told", extra={"calling_ae": peer, "status_word": status})


def _send(association: Association, waiting: _Waiting, reply: CommitmentReply) -> None:
    """The N-EVENT-REPORT alone, not waiting for its answer: that comes to `on_message`.

    pynetdicom's own way takes whatever comes next for the answer, also the next object that the peer stores.
    """
    event_type, information = reply_dataset(reply)
    (context,) = [c for c in association.accepted_contexts if c.context_id == waiting.context_id]
    syntax = context.transfer_syntax[0]
    encoded = encode(information, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)
    request: Any = N_EVENT_REPORT()
    request.MessageID = waiting.last_message_id
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = PUSH_MODEL, PUSH_MODEL_INSTANCE
    request.EventTypeID = event_type
    request.EventInformation = BytesIO(encoded or b"")
    association.dimse.send_msg(request, waiting.context_id)
