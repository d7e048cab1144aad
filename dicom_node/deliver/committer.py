"""Asks a destination for storage commitment of what it was sent (PS3.4 J.3.2), again and again until it has answered.

The request is in the database before it goes out, so a report is known whenever it comes: on this association, on one
of the destination's own to the receiver, or after a restart.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from pydicom.uid import generate_uid
from pynetdicom import build_context, evt

from dicom_node.commitment import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    REQUEST_ACTION,
    Ledger,
    report_taker,
    request_dataset,
)
from dicom_node.deliver.scu import Cause, Failure, Link, associate, leave
from dicom_node.domain import CommitmentRequest
from dicom_node.queue import utc_now
from dicom_node.retry import RetryPolicy, longest_wait_s

_log = logging.getLogger(__name__)

MOST_OBJECTS = 500
"""In one request; some archives keep no longer list."""

LINGER_S = 1.0
"""How long a destination that reports at once may do so on our association; later it opens its own."""

_LINGER_POLL_S = 0.02
_ASKING_MARGIN_S = 60.0


class Requests(Ledger, Protocol):
    """The end of the repository that a committer uses; all may raise DatabaseUnavailable."""

    def ask_commitment(
        self, transaction_uid: str, destination: str, limit: int, now: datetime
    ) -> CommitmentRequest | None: ...
    def commitment_taken(self, transaction_uid: str, now: datetime) -> None: ...
    def forget_untaken_commitments(self, destination: str, asked_before: datetime) -> int: ...
    def withdraw_commitment(self, transaction_uid: str, reason: str) -> None: ...
    def expire_commitments(self, destination: str, asked_before: datetime, now: datetime) -> int: ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How long what was sent is gathered, how long a report is waited for, and the waits after a refusal."""

    every_s: float
    timeout: timedelta
    retry: RetryPolicy


class Committer:
    """For one destination."""

    def __init__(self, destination: str, link: Link, patience: Patience, requests: Requests) -> None:
        self._destination, self._link, self._patience, self._requests = destination, link, patience, requests
        self._rng = random.Random()
        self._refused = 0
        self._ask_at_s = 0.0

    def tick(self) -> None:
        """Ask, where it is time and there is something to ask about."""
        if time.monotonic() < self._ask_at_s:
            return
        self._ask_at_s = time.monotonic() + self._patience.every_s
        now = utc_now()
        self._requests.forget_untaken_commitments(self._destination, now - self._longest_asking())
        expired = self._requests.expire_commitments(self._destination, now - self._patience.timeout, now)
        if expired:
            self._tell(logging.WARNING, "commitment.no_report", count=expired)
        request = self._requests.ask_commitment(generate_uid(None), self._destination, MOST_OBJECTS, now)
        if request is not None:
            self._ask(request)

    def _ask(self, request: CommitmentRequest) -> None:
        failure = ask(request, self._link, report_taker(self._requests, utc_now, lambda _: (self._destination,)))
        if failure is None:
            self._refused = 0
            self._requests.commitment_taken(request.transaction_uid, utc_now())
            self._tell(
                logging.INFO,
                "commitment.asked",
                transaction_uid=request.transaction_uid,
                count=len(request.objects),
            )
            return
        self._requests.withdraw_commitment(request.transaction_uid, failure.text)
        self._refused += 1
        longest = longest_wait_s(self._refused, self._patience.retry)
        self._ask_at_s = time.monotonic() + max(self._patience.every_s, self._rng.uniform(longest / 2, longest))
        level = logging.ERROR if failure.permanent else logging.WARNING
        self._tell(level, "commitment.refused", cause=failure.cause.value)

    def _longest_asking(self) -> timedelta:
        """Who has not been through with a request after so long is not there any more."""
        return timedelta(seconds=self._link.connect_s + self._link.response_s + LINGER_S + _ASKING_MARGIN_S)

    def _tell(self, level: int, event: str, **facts: object) -> None:
        _log.log(level, event, extra={"destination": self._destination, **facts})


def ask(request: CommitmentRequest, link: Link, take: Callable[[evt.Event], tuple[int, None]]) -> Failure | None:
    """N-ACTION; None where the destination took the request. `take` gets a report on the same association."""
    reported = []

    def on_report(event: evt.Event) -> tuple[int, None]:
        answer = take(event)
        reported.append(answer)
        return answer

    association = associate(link, [build_context(PUSH_MODEL)], [(evt.EVT_N_EVENT_REPORT, on_report)])
    if isinstance(association, Failure):
        return association
    try:
        status, _ = association.send_n_action(request_dataset(request), REQUEST_ACTION, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        word = None if "Status" not in status else int(status.Status)
        deadline = time.monotonic() + LINGER_S
        while word == 0 and not reported and association.is_established and time.monotonic() < deadline:
            time.sleep(_LINGER_POLL_S)
    except (RuntimeError, ValueError):
        word = None
    finally:
        leave(association)
    if word is None:
        return Failure(Cause.NO_ANSWER, "the request for storage commitment was not answered")
    if word != 0x0000:
        return Failure(Cause.STATUS, f"storage commitment was refused with status 0x{word:04X}", True)
    return None
