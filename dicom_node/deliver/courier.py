"""The courier process: takes due deliveries from the outbox, sends them, and writes down what the destination said.

Each destination has a lane of its own (a thread), so a dead PACS never slows another. A delivery is "sent" only when
the destination said Success or a warning that means stored; everything else is tried again with the same UIDs, or put
aside for a person.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from dicom_node.config import Config
from dicom_node.deliver.scu import (
    Cause,
    Link,
    Outcome,
    Outgoing,
    PeerAddress,
    PermanentFailure,
    Sent,
    outgoing,
    send,
    unreadable,
)
from dicom_node.domain import Delivery, Destination
from dicom_node.errors import DestinationRefused, DestinationUnreachable, InstanceRefused, LeaseLost, NodeError
from dicom_node.lease import renewed
from dicom_node.queue import utc_now
from dicom_node.retry import GiveUp, RetryPolicy, decide, delivery_policy
from dicom_node.storage.wakeup import Patience, Work

_log = logging.getLogger(__name__)

BATCH = 20
"""Objects per association: few enough that a lane notices `stop` soon, enough that association costs do not count."""

_PAUSE_AFTER_ERROR_S = 2.0
_LOOK_UP_S = 1.0
_FOR_A_PERSON = frozenset({Cause.CALLING_AE_REFUSED, Cause.CALLED_AE_REFUSED, Cause.FILE_UNREADABLE})
"""What does not pass by itself, yet says nothing about the object: tried again, and told as an error each time."""


class Outbox(Protocol):
    """The end of the repository that a courier uses; all may raise DatabaseUnavailable."""

    def patience(self, work: Work) -> Patience: ...
    def claim_deliveries(
        self, courier: str, lease_s: float, limit: int, now: datetime, destination: str
    ) -> tuple[Delivery, ...]: ...
    def renew_delivery(self, delivery: Delivery, lease_s: float, now: datetime) -> None: ...
    def mark_sent(self, delivery: Delivery, status_word: int, comment: str | None, now: datetime) -> None: ...
    def postpone_delivery(
        self, delivery: Delivery, status_word: int | None, comment: str | None, available_at: datetime, now: datetime
    ) -> None: ...
    def bury_delivery(
        self, delivery: Delivery, status_word: int | None, comment: str | None, now: datetime
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Terms:
    """What all lanes of a courier share. `lease_s` and `poll_s` in seconds."""

    name: str
    data_dir: Path
    lease_s: float
    poll_s: float
    retry: RetryPolicy


def run(config: Config, repository: Outbox, stop: threading.Event) -> None:
    """Deliver until `stop` is set; returns when the object under way is settled."""
    lanes = [_lane(config, destination, repository) for destination in config.destination_list()]
    threads = [
        threading.Thread(target=lane.run, args=(stop,), name=f"lane-{lane.destination}", daemon=True) for lane in lanes
    ]
    for thread in threads:
        thread.start()
    if not threads:
        _log.warning("courier.no_destinations")
    _log.info("courier.ready", extra={"count": len(threads)})
    while not stop.wait(_LOOK_UP_S):  # a wait without an end may hold a lock against the one who would end it
        pass
    for thread in threads:
        thread.join()
    _log.info("courier.stopped")


def _lane(config: Config, destination: Destination, outbox: Outbox) -> Lane:
    terms = Terms(
        f"{socket.gethostname()}/{os.getpid()}",
        config.node.data_dir,
        config.queue.lease_s,
        config.queue.poll_s,
        delivery_policy(config.queue, config.delivery),
    )
    return Lane(destination.name, link_to(config, _address(destination)), terms, outbox)


def _address(destination: Destination) -> PeerAddress:
    return PeerAddress(destination.ae_title, destination.host, destination.port)


def link_to(config: Config, peer: PeerAddress) -> Link:
    """How this node, as configured, calls a peer."""
    return Link(config.node.ae_title, peer, config.delivery.connect_timeout_s, config.delivery.response_timeout_s)


class Lane:
    """The way to one destination."""

    def __init__(self, destination: str, link: Link, terms: Terms, outbox: Outbox) -> None:
        self.destination = destination
        self._link = link
        self._terms = terms
        self._outbox = outbox
        self._rng = random.Random()

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. Whatever goes wrong is logged and the lane goes on: leases end, objects stay."""
        with closing(self._outbox.patience(Work.DELIVERY)) as patience:
            self._serve(stop, patience)

    def _serve(self, stop: threading.Event, patience: Patience) -> None:
        while not stop.is_set():
            try:
                served = self.serve_once(stop)
            except NodeError as error:
                self._tell(logging.WARNING, "courier.no_database", error=type(error).__name__)
                stop.wait(_PAUSE_AFTER_ERROR_S)
            except Exception:  # noqa: BLE001  a lane that ends would hold its objects back in silence
                _log.exception("courier.lane_failed", extra={"destination": self.destination})
                stop.wait(_PAUSE_AFTER_ERROR_S)
            else:
                if not served:
                    patience.wait(stop, self._terms.poll_s)

    def serve_once(self, stop: threading.Event) -> bool:
        """Claim a batch and send it over one association; False where nothing was due."""
        terms = self._terms
        batch = self._outbox.claim_deliveries(terms.name, terms.lease_s, BATCH, utc_now(), self.destination)
        if not batch:
            return False
        unsettled = {delivery.id: delivery for delivery in batch}
        with renewed(lambda: self._renew(unsettled), terms.lease_s):
            files = self._files(batch, unsettled)
            with closing(send([item for _delivery, item in files], self._link)) as steps:
                for (delivery, _item), (_sent, outcome) in zip(files, steps, strict=True):
                    self._settle(delivery, outcome, unsettled)
                    if stop.is_set():
                        break
            for delivery in list(unsettled.values()):
                self._give_back(delivery)
        return True

    def _files(self, batch: Sequence[Delivery], unsettled: dict[int, Delivery]) -> list[tuple[Delivery, Outgoing]]:
        """What can be sent; a delivery whose file cannot be read is settled at once."""
        files = []
        for delivery in batch:
            try:
                files.append((delivery, outgoing(self._terms.data_dir / delivery.path)))
            except InstanceRefused:
                damaged = PermanentFailure(Cause.FILE_DAMAGED, None, "the stored result is not a DICOM file any more")
                self._settle(delivery, damaged, unsettled)
            except OSError as error:
                self._settle(delivery, unreadable(error), unsettled)
        return files

    def _settle(self, delivery: Delivery, outcome: Outcome, unsettled: dict[int, Delivery]) -> None:
        """Write down what became of one delivery. A lost lease is no harm: the other courier sends the same UID."""
        unsettled.pop(delivery.id, None)
        try:
            if isinstance(outcome, Sent):
                self._outbox.mark_sent(delivery, outcome.status_word, outcome.comment or None, utc_now())
                self._tell_of(logging.INFO, "deliver.sent", delivery, outcome)
            else:
                self._failed(delivery, outcome)
        except LeaseLost:
            self._tell_of(logging.WARNING, "deliver.lease_lost", delivery, outcome)

    def _failed(self, delivery: Delivery, outcome: Outcome) -> None:
        now = utc_now()
        kind = DestinationRefused if isinstance(outcome, PermanentFailure) else DestinationUnreachable
        age_s = (now - delivery.waiting_since).total_seconds()
        decision = decide(delivery.attempts, kind(outcome.comment), self._terms.retry, self._rng, age_s)
        if isinstance(decision, GiveUp):
            self._outbox.bury_delivery(delivery, outcome.status_word, decision.reason, now)
            self._tell_of(logging.ERROR, "deliver.dead", delivery, outcome)
            return
        due = now + timedelta(seconds=decision.delay_s)
        self._outbox.postpone_delivery(delivery, outcome.status_word, outcome.comment, due, now)
        level = logging.ERROR if outcome.cause in _FOR_A_PERSON else logging.WARNING
        self._tell_of(level, "deliver.failed", delivery, outcome, delay_s=decision.delay_s)

    def _give_back(self, delivery: Delivery) -> None:
        now = utc_now()
        try:
            self._outbox.postpone_delivery(delivery, None, "the courier stopped before its turn", now, now)
        except LeaseLost:
            return

    def _renew(self, unsettled: dict[int, Delivery]) -> bool:
        for delivery in list(unsettled.values()):
            try:
                self._outbox.renew_delivery(delivery, self._terms.lease_s, utc_now())
            except LeaseLost:  # settled in this moment, or another courier has it: settling finds out
                continue
            except NodeError as error:
                self._tell(logging.WARNING, "courier.not_renewed", error=type(error).__name__)
                break
        return True

    def _tell(self, level: int, event: str, **fields: object) -> None:
        _log.log(level, event, extra={"destination": self.destination, **fields})

    def _tell_of(self, level: int, event: str, delivery: Delivery, outcome: Outcome, **fields: object) -> None:
        """The peer's comment stays in the database: it may quote the patient."""
        facts = {
            "delivery_id": delivery.id,
            "sop_instance_uid": delivery.sop_instance_uid,
            "kind": delivery.kind.value,
            "attempts": delivery.attempts,
            "outcome": type(outcome).__name__,
            "cause": outcome.cause.value,
            "status_word": outcome.status_word,
        }
        self._tell(level, event, **facts, **fields)
