"""Whether to try again, and when: a pure decision.

Waits grow by powers of two up to a cap and are then drawn evenly from [0, wait] ("full jitter"), so that many failures
of one moment do not come back in one moment.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from dicom_node.config import DeliverySection, QueueSection
from dicom_node.errors import NodeError, Permanent, Refused, Transient

_LARGEST_EXPONENT = 64  # 2**64 times any first wait is over any cap; more would overflow


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits in seconds. None means no limit: of attempts, or of time since the thing was first due.

    `maximum_attempts` bounds what may be the thing's own fault; a Transient error is the surroundings' (a full disk, a
    database that restarts), says nothing about the thing and never uses it up.
    """

    first_s: float
    cap_s: float
    maximum_attempts: int | None
    deadline_s: float | None = None


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again after `delay_s` seconds."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """A person must look; `reason` says why."""

    reason: str


Decision = RetryAt | GiveUp


def decide(attempts: int, error: Exception, policy: RetryPolicy, rng: random.Random, age_s: float = 0.0) -> Decision:
    """What to do after the `attempts`-th attempt (from 1) failed with `error`, `age_s` seconds after it was first due.

    Refused and Permanent errors are never tried again. Transient ones are, for as long as it takes or until the
    deadline. So are errors that nobody foresaw, up to the policy's number of attempts: one too many costs little.
    """
    if isinstance(error, Refused | Permanent):
        return GiveUp(describe(error))
    if _used_up(attempts, error, policy):
        return GiveUp(f"{describe(error)} Given up after {attempts} attempts.")
    if policy.deadline_s is not None and age_s >= policy.deadline_s:
        return GiveUp(f"{describe(error)} Given up after {age_s / 3600:.1f} hours.")
    return RetryAt(rng.uniform(0.0, longest_wait_s(attempts, policy)))


def _used_up(attempts: int, error: Exception, policy: RetryPolicy) -> bool:
    limit = policy.maximum_attempts
    return limit is not None and attempts >= limit and not isinstance(error, Transient)


def longest_wait_s(attempts: int, policy: RetryPolicy) -> float:
    """Upper end of the wait after that many attempts."""
    exponent = min(max(attempts - 1, 0), _LARGEST_EXPONENT)
    return min(policy.cap_s, policy.first_s * 2.0**exponent)


def describe(error: Exception) -> str:
    """Words that may be stored and logged: the node's own errors speak, of any other only the type is told."""
    return str(error) if isinstance(error, NodeError) else f"Unexpected {type(error).__name__}."


def job_policy(queue: QueueSection) -> RetryPolicy:
    """Jobs are limited by attempts: an image that fails again and again in sound surroundings will not heal."""
    return RetryPolicy(queue.backoff_first_s, queue.backoff_cap_s, queue.maximum_attempts)


def delivery_policy(queue: QueueSection, delivery: DeliverySection) -> RetryPolicy:
    """Deliveries are limited by time: a PACS that is down for a weekend must find its objects on Monday."""
    return RetryPolicy(queue.backoff_first_s, queue.backoff_cap_s, None, delivery.deadline_h * 3600.0)
