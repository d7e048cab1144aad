"""The worker's end of the queue: claim, renew, fail. A job that ends well ends with a commit of the repository."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from dicom_node.config import QueueSection
from dicom_node.domain import Job
from dicom_node.errors import LeaseLost, Transient
from dicom_node.retry import Decision, GiveUp, RetryPolicy, decide, describe, job_policy


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """How long a claim holds, in seconds, and what becomes of failures."""

    lease_s: float
    retry: RetryPolicy

    @classmethod
    def of(cls, section: QueueSection) -> QueuePolicy:
        return cls(section.lease_s, job_policy(section))


class JobStore(Protocol):
    """The part of the repository that a queue needs."""

    def claim_job(self, worker: str, lease_s: float, now: datetime) -> Job | None: ...
    def renew_job(self, job: Job, lease_s: float, now: datetime) -> None: ...
    def postpone_job(
        self, job: Job, error: str, available_at: datetime, now: datetime, excused: bool = False
    ) -> None: ...
    def bury_job(self, job: Job, error: str, now: datetime) -> None: ...


def utc_now() -> datetime:
    """The clock of the service, aware."""
    return datetime.now(UTC)


class JobQueue:
    """What one worker does with the queue. All methods may raise DatabaseUnavailable."""

    def __init__(
        self,
        store: JobStore,
        policy: QueuePolicy,
        clock: Callable[[], datetime] = utc_now,
        rng: random.Random | None = None,
    ) -> None:
        self._store = store
        self._policy = policy
        self._clock = clock
        self._rng = rng or random.Random()

    def claim(self, worker: str) -> Job | None:
        """Lease a job, or None where nothing is due.

        A job that outlived more workers than it may have attempts is buried on the way: what kills its worker each
        time must not kill workers for ever.
        """
        while (job := self._store.claim_job(worker, self._policy.lease_s, self._clock())) is not None:
            limit = self._policy.retry.maximum_attempts
            if limit is None or job.counted_attempts <= limit:
                return job
            self._bury_outlived(job, limit)
        return None

    def renew(self, job: Job) -> None:
        """Hold the job for another lease. Raises LeaseLost."""
        self._store.renew_job(job, self._policy.lease_s, self._clock())

    def fail(self, job: Job, error: Exception) -> Decision:
        """Postpone or bury a job that failed with `error`, and say which.

        Raises:
            LeaseLost: another worker owns the job, now or already when `error` was raised; nothing was written.
        """
        if isinstance(error, LeaseLost):
            raise error
        excused = isinstance(error, Transient)
        attempts = job.attempts if excused else job.counted_attempts
        decision = decide(attempts, error, self._policy.retry, self._rng)
        now = self._clock()
        if isinstance(decision, GiveUp):
            self._store.bury_job(job, decision.reason, now)
        else:
            available_at = now + timedelta(seconds=decision.delay_s)
            self._store.postpone_job(job, describe(error), available_at, now, excused)
        return decision

    def _bury_outlived(self, job: Job, limit: int) -> None:
        last = f" Last error: {job.error}" if job.error else ""
        try:
            self._store.bury_job(job, f"Its worker did not come back {limit} times.{last}", self._clock())
        except LeaseLost:  # our own claim ended in this moment; whoever has it now will bury it
            return
