"""Calls peers that can be called: whether they are there, and what they asked us to commit (PS3.4 A and J.3.3).

Each has a thread of its own, so that a scanner that is switched off keeps nobody waiting.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from pynetdicom import build_context, build_role

from dicom_node.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE, SUCCESS, reply_dataset
from dicom_node.config import Config
from dicom_node.deliver.scu import Cause, Failure, Link, PeerAddress, associate, leave
from dicom_node.deliver.ways import DicomWay, link_to
from dicom_node.domain import CommitmentReply, CommitmentTerms, DestinationState, Peer, Right
from dicom_node.errors import NodeError
from dicom_node.queue import utc_now
from dicom_node.retry import RetryPolicy, longest_wait_s

_log = logging.getLogger(__name__)

LOOK_S = 1.0
_PAUSE_AFTER_ERROR_S = 5.0
_TRY_AGAIN = frozenset({0x0110, 0x0213})
"""Processing failure and resource limitation (PS3.7 annex C): what a peer says that may take the report later."""


class Book(Protocol):
    """The end of the repository that peers are called for; all may raise DatabaseUnavailable."""

    def commitment_answer(self, peer: str, terms: CommitmentTerms, now: datetime) -> CommitmentReply | None: ...
    def commitment_told(self, question_id: int, now: datetime, comment: str | None = None) -> None: ...
    def postpone_commitment_answer(self, question_id: int, comment: str, available_at: datetime) -> None: ...
    def tell_destination(self, state: DestinationState) -> None: ...


@dataclass(frozen=True, slots=True)
class Habits:
    """How often a peer is asked whether it is there, in seconds, and the waits after a report that failed."""

    health_s: float
    retry: RetryPolicy


class PeerLane:
    """For one peer. `terms` None: it may not ask for storage commitment, and is asked only whether it is there."""

    def __init__(self, link: Link, habits: Habits, book: Book, terms: CommitmentTerms | None) -> None:
        self._link, self._habits, self._book, self._terms = link, habits, book, terms
        self._rng = random.Random()
        self._in_vain = 0
        self._ask_at_s = 0.0
        self._there: bool | None = None

    @property
    def name(self) -> str:
        """Under which its state is kept; no destination can have this name."""
        return state_name(self._link.peer)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; whatever goes wrong is logged and tried again."""
        while not stop.is_set():
            try:
                self.tick()
            except NodeError as error:
                self._tell(logging.WARNING, "courier.no_database", error=type(error).__name__)
                stop.wait(_PAUSE_AFTER_ERROR_S)
            except Exception:  # noqa: BLE001  nobody would call this peer any more
                _log.exception("courier.lane_failed", extra={"ae_title": self._link.peer.ae_title})
                stop.wait(_PAUSE_AFTER_ERROR_S)
            stop.wait(LOOK_S)

    def tick(self) -> None:
        """Report what there is to report; else, once in a while, ask whether the peer is there."""
        if self._terms is not None:
            reply = self._book.commitment_answer(self._link.peer.ae_title, self._terms, utc_now())
            if reply is not None:
                self._report(reply)
                return
        if time.monotonic() >= self._ask_at_s:
            self._remember(DicomWay(self._link).ask())

    def _report(self, reply: CommitmentReply) -> None:
        answer = report(reply, self._link)
        facts = {
            "transaction_uid": reply.transaction_uid,
            "committed": len(reply.committed),
            "failed": len(reply.failed),
        }
        if answer == SUCCESS:
            self._in_vain = 0
            self._book.commitment_told(reply.id, utc_now())
            self._tell(logging.INFO, "commitment.told", **facts)
            return
        if isinstance(answer, int) and answer not in _TRY_AGAIN:
            comment = f"the report was answered with status 0x{answer:04X}"
            self._book.commitment_told(reply.id, utc_now(), comment)
            self._tell(logging.ERROR, "commitment.report_refused", status_word=answer, **facts)
            return
        self._in_vain += 1
        longest = longest_wait_s(self._in_vain, self._habits.retry)
        delay_s = self._rng.uniform(longest / 2, longest)
        comment = answer.text if isinstance(answer, Failure) else f"status 0x{answer:04X}"
        self._book.postpone_commitment_answer(reply.id, comment, utc_now() + timedelta(seconds=delay_s))
        cause = answer.cause if isinstance(answer, Failure) else Cause.STATUS
        self._tell(logging.WARNING, "commitment.not_told", cause=cause.value, delay_s=delay_s, **facts)

    def _remember(self, failure: Failure | None) -> None:
        """In the database, for those who look."""
        now, there = utc_now(), failure is None
        cause, comment = (None, None) if failure is None else (failure.cause.value, failure.text)
        self._book.tell_destination(DestinationState(self.name, there, now, now, cause, comment))
        if there is not self._there and not (there and self._there is None):
            self._tell(logging.INFO if there else logging.WARNING, "peer.back" if there else "peer.away", cause=cause)
        self._there, self._ask_at_s = there, time.monotonic() + self._habits.health_s

    def _tell(self, level: int, event: str, **facts: object) -> None:
        _log.log(level, event, extra={"ae_title": self._link.peer.ae_title, **facts})


def report(reply: CommitmentReply, link: Link) -> int | Failure:
    """N-EVENT-REPORT on an association of our own, in the role of the SCP; the peer's status, or why there is none.

    We call by the AE title that the peer knows us by: the one it asked.
    """
    event_type, information = reply_dataset(reply)
    association = associate(
        replace(link, calling_ae=reply.called_ae),
        [build_context(PUSH_MODEL)],
        roles=[build_role(PUSH_MODEL, scp_role=True)],
    )
    if isinstance(association, Failure):
        return association
    try:
        status, _ = association.send_n_event_report(information, event_type, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        word = None if "Status" not in status else int(status.Status)
    except ValueError:  # no context in which we are the SCP
        return Failure(Cause.CONTEXT_REFUSED, "the peer takes no reports of storage commitment from us", True)
    except RuntimeError:
        word = None
    finally:
        leave(association)
    return Failure(Cause.NO_ANSWER, "the report was not answered") if word is None else word


def state_name(peer: PeerAddress) -> str:
    return f"{peer.ae_title}@{peer.host}:{peer.port}"


def address_of(peer: Peer) -> PeerAddress | None:
    """Where a peer is called; None: nowhere."""
    return None if peer.listens is None else PeerAddress(peer.ae_title, peer.listens.host, peer.listens.port)


def peer_lanes(config: Config, book: Book) -> list[PeerLane]:
    """One for each peer that can be called."""
    habits = Habits(
        config.delivery.health_s, RetryPolicy(config.queue.backoff_first_s, config.queue.backoff_cap_s, None)
    )
    terms = config.commitment_terms()
    lanes: dict[PeerAddress, PeerLane] = {}
    for peer in config.peer_list():
        address = address_of(peer)
        if address is not None and peer.listens is not None:
            link = link_to(config, address, peer.listens.tls)
            may_ask = Right.COMMITMENT in peer.may
            lanes.setdefault(address, PeerLane(link, habits, book, terms if may_ask else None))
    return list(lanes.values())
