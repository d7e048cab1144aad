"""The courier process: takes due deliveries from the outbox, sends them, and writes down what the destination said.

Each destination has a lane of its own (a thread), so a dead PACS never slows another. A delivery is "sent" only when
the destination said Success or a warning that means stored; everything else is tried again with the same UIDs, or put
aside for a person. A destination that does not answer is left alone and only asked whether it is back; meanwhile its
alternate, if it has one, gets what is due.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from dicom_node.additions import Added, AddedEntry, look, nothing_added, standing
from dicom_node.clocks import TRUSTED_AFTER_S, Clocks
from dicom_node.config import Config
from dicom_node.deliver.audit_lane import Trail, audit_lanes
from dicom_node.deliver.breaker import NOBODY_THERE, Breaker
from dicom_node.deliver.committer import Committer, Requests
from dicom_node.deliver.committer import Patience as CommitmentPatience
from dicom_node.deliver.peers import Book, peer_lanes
from dicom_node.deliver.reminders import Counted, Reminders
from dicom_node.deliver.scu import (
    DUPLICATE_INSTANCE,
    Cause,
    Failure,
    Outcome,
    Outgoing,
    PermanentFailure,
    Sent,
    TransientFailure,
    outgoing,
    unreadable,
)
from dicom_node.deliver.ways import Way, link_of, way_to
from dicom_node.domain import Attempt, AttemptOutcome, Delivery, Destination, DestinationState, ResultKind
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
_FOR_A_PERSON = frozenset(
    {
        Cause.CALLING_AE_REFUSED,
        Cause.CALLED_AE_REFUSED,
        Cause.FILE_UNREADABLE,
        Cause.SERVICE_REFUSED,
        Cause.TLS_FAILED,
    }
)
"""What does not pass by itself, yet says nothing about the object: tried again, and told as an error each time."""


class Outbox(Requests, Book, Counted, Trail, Protocol):
    """The end of the repository that a courier uses; all may raise DatabaseUnavailable."""

    def patience(self, work: Work) -> Patience: ...
    def claim_deliveries(
        self, courier: str, lease_s: float, limit: int, now: datetime, destination: str
    ) -> tuple[Delivery, ...]: ...
    def renew_delivery(self, delivery: Delivery, lease_s: float, now: datetime) -> None: ...
    def mark_sent(self, delivery: Delivery, attempt: Attempt, now: datetime) -> None: ...
    def postpone_delivery(
        self, delivery: Delivery, attempt: Attempt | None, available_at: datetime, now: datetime
    ) -> None: ...
    def bury_delivery(self, delivery: Delivery, attempt: Attempt, reason: str, now: datetime) -> None: ...
    def expire_deliveries(self, destination: str, waiting_since: datetime, reason: str, now: datetime) -> int: ...
    def tell_destination(self, state: DestinationState) -> None: ...
    def attempts(self, delivery_id: int) -> tuple[Attempt, ...]: ...


@dataclass(frozen=True, slots=True)
class Terms:
    """What all lanes of a courier share. `lease_s`, `poll_s`, `alternate_after_s` and `health_s` in seconds."""

    name: str
    data_dir: Path
    lease_s: float
    poll_s: float
    retry: RetryPolicy
    alternate_after_s: float
    health_s: float


@dataclass(frozen=True, slots=True)
class Target:
    """A destination that a lane calls, and whether it is there. `commits`: it is asked for storage commitment."""

    name: str
    way: Way
    breaker: Breaker
    commits: bool


def run(config: Config, repository: Outbox, stop: threading.Event, added: Added = nothing_added) -> None:
    """Deliver until `stop` is set; returns when the object under way is settled.

    Destinations that are `added`, changed or taken away meanwhile are heeded within a second or two: all lanes end,
    each behind the object under way, and begin again.
    """
    entries, ready = look(added, ()), False
    while not stop.is_set():
        entries = _deliver(standing(config, entries), repository, stop, _Watch(added, entries, ready))
        ready = True
    _log.info("courier.stopped")


@dataclass(frozen=True, slots=True)
class _Watch:
    """What the lanes were made for; `ready`: the courier has said so before."""

    added: Added
    entries: tuple[AddedEntry, ...]
    ready: bool


def _deliver(config: Config, repository: Outbox, stop: threading.Event, watch: _Watch) -> tuple[AddedEntry, ...]:
    """Until `stop` is set or something else is added; gives what is added then."""
    lanes, ending = lanes_of(config, repository), threading.Event()
    named = [
        *((lane.destination, lane.run) for lane in lanes),
        *((peer.name, peer.run) for peer in peer_lanes(config, repository)),
        *((audit.name, audit.run) for audit in audit_lanes(config, repository)),
    ]
    threads = [threading.Thread(target=run, args=(ending,), name=f"lane-{name}", daemon=True) for name, run in named]
    for thread in threads:
        thread.start()
    if not lanes:
        _log.warning("courier.no_destinations")
    if watch.ready:
        _log.info("courier.destinations_taken_up", extra={"count": len(lanes)})
    else:
        _log.info("courier.ready", extra={"count": len(lanes)})
    entries, reminders = watch.entries, Reminders(config, repository)
    reminders.look(utc_now())
    while entries == watch.entries and not stop.wait(_LOOK_UP_S):  # an endless wait may hold a lock against its end
        entries = look(watch.added, entries)
        reminders.look(utc_now())
    ending.set()
    for thread in threads:
        thread.join()
    return entries


def lanes_of(config: Config, outbox: Outbox) -> list[Lane]:
    """One for each destination of the configuration."""
    terms = Terms(
        f"{socket.gethostname()}/{os.getpid()}",
        config.node.data_dir,
        config.queue.lease_s,
        config.queue.poll_s,
        delivery_policy(config.queue, config.delivery),
        config.delivery.alternate_after_s,
        config.delivery.health_s,
    )
    known = {destination.name: destination for destination in config.destination_list()}
    lanes = []
    for destination in known.values():
        named = [destination] if destination.alternate is None else [destination, known[destination.alternate]]
        committer = _committer(config, destination, outbox) if destination.commitment else None
        lanes.append(Lane([_target(config, one) for one in named], terms, outbox, committer))
    return lanes


def _committer(config: Config, destination: Destination, requests: Requests) -> Committer:
    delivery = config.delivery
    patience = CommitmentPatience(
        delivery.commitment_every_s,
        timedelta(hours=delivery.commitment_timeout_h),
        RetryPolicy(delivery.commitment_every_s, config.queue.backoff_cap_s, None),
    )
    return Committer(destination.name, link_of(config, destination), patience, requests)


def _target(config: Config, destination: Destination) -> Target:
    patience = RetryPolicy(config.queue.backoff_first_s, config.delivery.ask_again_s, None)
    breaker = Breaker(patience, random.Random())
    return Target(destination.name, way_to(config, destination), breaker, destination.commitment)


class Lane:
    """The way to one destination: the first of `targets`, and that to its alternate, if there is a second."""

    def __init__(
        self, targets: Sequence[Target], terms: Terms, outbox: Outbox, committer: Committer | None = None
    ) -> None:
        self._own, *others = targets
        self._alternate = others[0] if others else None
        self.destination = self._own.name
        self._terms = terms
        self._outbox = outbox
        self._committer = committer
        self._rng = random.Random()
        self._clocks = Clocks()
        self._ask_idle_at_s = -float("inf")
        self._told: tuple[bool, Cause | None] | None = None
        self._remember_at_s = 0.0

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set. Whatever goes wrong is logged and the lane goes on: leases end, objects stay."""
        with closing(self._outbox.patience(Work.DELIVERY)) as patience:
            self._work(stop, patience)

    def _work(self, stop: threading.Event, patience: Patience) -> None:
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
        """Claim a batch and send it over one association; False where nothing was due, or nobody is there."""
        if self._is_open(self._own, stop):
            served = self._serve(self._own, stop)
            if self._committer is not None:
                self._committer.tick()
            if not served and time.monotonic() >= self._ask_idle_at_s:
                self._ask(self._own, stop)
            return served
        alternate = self._alternate
        long_enough = self._own.breaker.shut_for_s(time.monotonic()) >= self._terms.alternate_after_s
        if alternate is None or not long_enough or not self._is_open(alternate, stop):
            return False
        return self._serve(alternate, stop)

    # Whether somebody is there

    def _is_open(self, target: Target, stop: threading.Event) -> bool:
        """Asks where it is shut and time to ask."""
        if target.breaker.is_time_to_ask(time.monotonic()):
            self._ask(target, stop)
        return not target.breaker.is_shut

    def _ask(self, target: Target, stop: threading.Event) -> None:
        failure = target.way.ask()
        if failure is not None:
            self._is_away(target, failure)
        elif target.breaker.is_shut and target.breaker.wants_object:
            target.breaker.put_off(time.monotonic())  # there may be none that is due
            self._serve(target, stop, 1)
        else:
            self._is_there(target)

    def _judge(self, target: Target, outcomes: Sequence[Outcome]) -> None:
        """What a batch says about the destination: one that answered anything is there."""
        causes = {outcome.cause for outcome in outcomes}
        if outcomes and causes <= NOBODY_THERE | {Cause.NO_ANSWER}:
            self._is_away(target, Failure(outcomes[0].cause, outcomes[0].comment), mute=Cause.NO_ANSWER in causes)
        elif causes & {Cause.STATUS, Cause.HTTP_STATUS}:
            self._is_there(target)

    def _is_there(self, target: Target) -> None:
        opens = target.breaker.answered()
        if target is self._own:
            self._ask_idle_at_s = time.monotonic() + self._terms.health_s
            if opens:
                self._tell(logging.INFO, "destination.back")
            self._remember(True, None, "")

    def _is_away(self, target: Target, failure: Failure, mute: bool = False) -> None:
        shuts = target.breaker.failed(time.monotonic(), mute)
        if target is self._own:
            self._ask_idle_at_s = time.monotonic() + self._terms.retry.first_s
            if shuts:
                self._tell(logging.ERROR, "destination.away", cause=failure.cause.value)
            if target.breaker.is_shut:
                self._remember(False, failure.cause, failure.text)
        if all(one.breaker.is_shut for one in (self._own, self._alternate) if one is not None):
            self._expire(failure)

    def _remember(self, reachable: bool, cause: Cause | None, comment: str) -> None:
        """In the database, for those who look; not with every object."""
        if self._told == (reachable, cause) and reachable and time.monotonic() < self._remember_at_s:
            return
        now = utc_now()
        word = None if cause is None else cause.value
        self._outbox.tell_destination(DestinationState(self.destination, reachable, now, now, word, comment or None))
        self._told, self._remember_at_s = (reachable, cause), time.monotonic() + self._terms.health_s

    def _expire(self, failure: Failure) -> None:
        """What waits for too long is put aside though it was not its turn: nobody is there who could take it."""
        deadline_s = self._terms.retry.deadline_s
        if deadline_s is None or not self._believes_age(deadline_s):
            return
        now = utc_now()
        reason = f"Given up after {deadline_s / 3600:.1f} hours: {failure.text}"
        count = self._outbox.expire_deliveries(self.destination, now - timedelta(seconds=deadline_s), reason, now)
        if count:
            self._tell(logging.ERROR, "deliver.expired", count=count, cause=failure.cause.value)

    def _believes_age(self, deadline_s: float) -> bool:
        """A clock that is ahead for a moment makes everything old; what is given up waits for a person."""
        self._clocks.look()
        return self._clocks.even_for_s >= min(TRUSTED_AFTER_S, deadline_s)

    # Objects

    def _serve(self, target: Target, stop: threading.Event, most: int = BATCH) -> bool:
        terms = self._terms
        batch = self._outbox.claim_deliveries(terms.name, terms.lease_s, most, utc_now(), self.destination)
        if not batch:
            return False
        unsettled = {delivery.id: delivery for delivery in batch}
        outcomes: list[Outcome] = []
        with renewed(lambda: self._renew(unsettled), terms.lease_s):
            files = self._files(batch, unsettled)
            with closing(self._steps(target, [item for _delivery, item in files])) as steps:
                for (delivery, _item), (said, attempted) in zip(files, steps, strict=True):
                    outcome, attempt = self._weighed(target, delivery, said, attempted)
                    outcomes.append(outcome)
                    self._settle(delivery, outcome, attempt, unsettled)
                    if stop.is_set():
                        break
            for delivery in list(unsettled.values()):
                self._give_back(delivery)
        self._judge(target, outcomes)
        return True

    def _steps(self, target: Target, items: Sequence[Outgoing]) -> Generator[tuple[Outcome, Attempt], None, None]:
        """Send, and keep the time."""
        with closing(target.way.send(items)) as steps:
            while True:
                began_at, began_s = utc_now(), time.monotonic()
                step = next(steps, None)
                if step is None:
                    return
                yield step[1], attempt_of(target.name, step[1], began_at, time.monotonic() - began_s)

    def _weighed(
        self, target: Target, delivery: Delivery, outcome: Outcome, attempt: Attempt
    ) -> tuple[Outcome, Attempt]:
        """ "I have that UID already" may be about an attempt of ours whose answer was lost.

        Where storage commitment is asked for, that settles it: it is sent, and the destination must answer for it. Not
        for what we forward: another version of it may be the one that is there.
        """
        if outcome.status_word != DUPLICATE_INSTANCE or delivery.kind is ResultKind.ORIGINAL:
            return outcome, attempt
        earlier = self._outbox.attempts(delivery.id)
        if not any(one.asked == target.name and one.outcome is AttemptOutcome.UNKNOWN for one in earlier):
            return outcome, attempt
        if target.commits:
            text = "taken by an attempt whose answer was lost; storage commitment has the last word"
            sent = Sent(DUPLICATE_INSTANCE, text)
            return sent, replace(attempt, outcome=AttemptOutcome.SENT, comment=text)
        text = f"{outcome.comment}. An attempt of ours had no answer, so it is probably this object"
        return PermanentFailure(outcome.cause, DUPLICATE_INSTANCE, text), replace(attempt, comment=text)

    def _files(self, batch: Sequence[Delivery], unsettled: dict[int, Delivery]) -> list[tuple[Delivery, Outgoing]]:
        """What can be sent; a delivery whose file cannot be read is settled at once."""
        files = []
        for delivery in batch:
            outcome: Outcome
            try:
                files.append((delivery, outgoing(self._terms.data_dir / delivery.path)))
                continue
            except InstanceRefused:
                outcome = PermanentFailure(Cause.FILE_DAMAGED, None, "the stored result is not a DICOM file any more")
            except OSError as error:
                outcome = unreadable(error)
            self._settle(delivery, outcome, attempt_of(self.destination, outcome, utc_now(), 0.0), unsettled)
        return files

    def _settle(self, delivery: Delivery, outcome: Outcome, attempt: Attempt, unsettled: dict[int, Delivery]) -> None:
        """Write down what became of one delivery. A lost lease is no harm: the other courier sends the same UID."""
        unsettled.pop(delivery.id, None)
        try:
            if isinstance(outcome, Sent):
                self._outbox.mark_sent(delivery, attempt, utc_now())
                self._tell_of(logging.INFO, "deliver.sent", delivery, attempt)
            else:
                self._failed(delivery, outcome, attempt)
        except LeaseLost:
            self._tell_of(logging.WARNING, "deliver.lease_lost", delivery, attempt)

    def _failed(self, delivery: Delivery, outcome: Outcome, attempt: Attempt) -> None:
        now = utc_now()
        kind = DestinationRefused if isinstance(outcome, PermanentFailure) else DestinationUnreachable
        deadline_s = self._terms.retry.deadline_s
        believed = deadline_s is not None and self._believes_age(deadline_s)
        age_s = (now - delivery.waiting_since).total_seconds() if believed else 0.0
        decision = decide(delivery.attempts, kind(outcome.comment), self._terms.retry, self._rng, age_s)
        if isinstance(decision, GiveUp):
            self._outbox.bury_delivery(delivery, attempt, decision.reason, now)
            self._tell_of(logging.ERROR, "deliver.dead", delivery, attempt)
            return
        due = now + timedelta(seconds=decision.delay_s)
        self._outbox.postpone_delivery(delivery, attempt, due, now)
        level = logging.ERROR if outcome.cause in _FOR_A_PERSON else logging.WARNING
        self._tell_of(level, "deliver.failed", delivery, attempt, delay_s=decision.delay_s)

    def _give_back(self, delivery: Delivery) -> None:
        now = utc_now()
        try:
            self._outbox.postpone_delivery(delivery, None, now, now)
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

    def _tell_of(self, level: int, event: str, delivery: Delivery, attempt: Attempt, **fields: object) -> None:
        """The peer's comment stays in the database: it may quote the patient."""
        facts = {
            "delivery_id": delivery.id,
            "sop_instance_uid": delivery.sop_instance_uid,
            "kind": delivery.kind.value,
            "attempts": delivery.attempts,
            "asked": attempt.asked,
            "outcome": attempt.outcome.value,
            "cause": attempt.cause,
            "status_word": attempt.status_word,
            "seconds": attempt.seconds,
        }
        self._tell(level, event, **facts, **fields)


def attempt_of(asked: str, outcome: Outcome, began_at: datetime, seconds: float) -> Attempt:
    """What is kept of an attempt."""
    word = _OUTCOMES.get(type(outcome), AttemptOutcome.UNKNOWN)
    return Attempt(asked, word, outcome.cause.value, outcome.status_word, outcome.comment or None, began_at, seconds)


_OUTCOMES: dict[type[Outcome], AttemptOutcome] = {
    Sent: AttemptOutcome.SENT,
    TransientFailure: AttemptOutcome.TRANSIENT,
    PermanentFailure: AttemptOutcome.PERMANENT,
}
