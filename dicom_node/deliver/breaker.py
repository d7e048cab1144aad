"""When to leave a destination alone: a pure decision, kept apart from the clock.

After a few calls in a row that found nobody, the way to a destination is shut: its objects wait untouched, and it is
only asked, ever more seldom, whether it is there again. The first answer opens the way.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from dicom_node.deliver.scu import Cause
from dicom_node.retry import RetryPolicy, longest_wait_s

CALLS_IN_VAIN = 3
"""Calls in a row that must fail: one may meet a PACS that restarts its service."""

NOBODY_THERE = frozenset(
    {
        Cause.NAME_UNKNOWN,
        Cause.NO_ROUTE,
        Cause.CONNECTION_REFUSED,
        Cause.CONNECTION_TIMEOUT,
        Cause.TLS_FAILED,
        Cause.ASSOCIATION_TIMEOUT,
        Cause.ASSOCIATION_REJECTED,
        Cause.CALLING_AE_REFUSED,
        Cause.CALLED_AE_REFUSED,
        Cause.ASSOCIATION_ABORTED,
        Cause.SERVICE_REFUSED,
        Cause.SERVICE_DOWN,
    }
)
"""What says something about the destination and nothing about an object."""


@dataclass
class Breaker:
    """The state of one way; times in seconds of any clock that only goes forward."""

    policy: RetryPolicy
    rng: random.Random
    in_vain: int = 0
    shut_since_s: float | None = None
    ask_at_s: float = 0.0

    @property
    def is_shut(self) -> bool:
        return self.shut_since_s is not None

    def failed(self, now_s: float) -> bool:
        """A call found nobody; True where that shuts the way."""
        self.in_vain += 1
        shuts = self.in_vain >= CALLS_IN_VAIN and not self.is_shut
        if shuts:
            self.shut_since_s = now_s
        if self.is_shut:
            longest = longest_wait_s(self.in_vain - CALLS_IN_VAIN + 1, self.policy)
            self.ask_at_s = now_s + self.rng.uniform(longest / 2, longest)
        return shuts

    def answered(self) -> bool:
        """It is there; True where that opens the way."""
        opens = self.is_shut
        self.in_vain, self.shut_since_s = 0, None
        return opens

    def is_time_to_ask(self, now_s: float) -> bool:
        return self.is_shut and now_s >= self.ask_at_s

    def shut_for_s(self, now_s: float) -> float:
        return 0.0 if self.shut_since_s is None else now_s - self.shut_since_s
