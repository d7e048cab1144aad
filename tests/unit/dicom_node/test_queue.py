"""The worker's end of the queue, on a real repository with a clock that the test turns."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from dicom_node.config import QueueSection
from dicom_node.domain import JobState
from dicom_node.errors import DiskFull, LeaseLost, Permanent
from dicom_node.queue import JobQueue, QueuePolicy, utc_now
from dicom_node.retry import GiveUp, RetryAt
from dicom_node.storage.repository import Repository
from tests.unit.dicom_node.storage.rooms import PACS, START, after, answer, image

POLICY = QueuePolicy.of(QueueSection(lease_s=60, maximum_attempts=3, backoff_first_s=4, backoff_cap_s=8))


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> datetime:
        return after(self.seconds)


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    opened = Repository.open(f"sqlite:///{tmp_path / 'node.sqlite3'}")
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(repository: Repository, clock: Clock) -> JobQueue:
    return JobQueue(repository, POLICY, clock, random.Random(7))


def test_claim_renew_commit(repository: Repository, queue: JobQueue, clock: Clock) -> None:
    assert queue.claim("worker") is None
    repository.register(image("1.1"), START)
    job = queue.claim("worker")
    assert job is not None
    clock.seconds = 50
    queue.renew(job)
    clock.seconds = 100
    assert queue.claim("other") is None
    repository.commit_result(job, answer(), (), clock())
    assert repository.jobs((), 1)[0].state is JobState.DONE


def test_a_passing_failure_is_postponed_by_the_policy(repository: Repository, queue: JobQueue, clock: Clock) -> None:
    repository.register(image("1.1"), START)
    job = queue.claim("worker")
    assert job is not None
    clock.seconds = 10
    decision = queue.fail(job, DiskFull())

    assert isinstance(decision, RetryAt)
    (waiting,) = repository.jobs((JobState.QUEUED,), 1)
    assert (waiting.available_at - after(10)).total_seconds() == pytest.approx(decision.delay_s, abs=1e-5)
    assert waiting.error == "There is no room left on the storage file system."
    clock.seconds = 18
    again = queue.claim("worker")
    assert again is not None
    assert again.attempts == 2


def test_a_permanent_failure_is_buried_at_once(repository: Repository, queue: JobQueue) -> None:
    repository.register(image("1.1"), START)
    job = queue.claim("worker")
    assert job is not None
    assert isinstance(queue.fail(job, Permanent("the model is gone")), GiveUp)
    assert repository.jobs((), 1)[0].state is JobState.DEAD
    assert repository.jobs((), 1)[0].error == "the model is gone"


def test_the_last_attempt_is_the_last(repository: Repository, queue: JobQueue, clock: Clock) -> None:
    repository.register(image("1.1"), START)
    outcomes = []
    while (job := queue.claim("worker")) is not None:
        outcomes.append(type(queue.fail(job, ValueError("Doe^Jane"))))
        clock.seconds += 8
    assert outcomes == [RetryAt, RetryAt, GiveUp]
    (dead,) = repository.jobs((JobState.DEAD,), 1)
    assert dead.error == "Unexpected ValueError. Given up after 3 attempts."


def test_trouble_around_a_job_does_not_use_up_its_attempts(
    repository: Repository, queue: JobQueue, clock: Clock
) -> None:
    """A disk that is full for a while: far more failures than a job may have, and then it is done all the same."""
    repository.register(image("1.1"), START)
    for _ in range(12):
        job = queue.claim("worker")
        assert job is not None
        assert isinstance(queue.fail(job, DiskFull()), RetryAt)
        clock.seconds += 8
    job = queue.claim("worker")
    assert job is not None
    assert job.attempts == 13
    repository.commit_result(job, answer(), (PACS,), clock())
    assert [job.state for job in repository.jobs((), 10)] == [JobState.DONE]
    assert repository.counts(clock())["results"] == 1


def test_its_own_failures_are_counted_between_those_of_the_disk(
    repository: Repository, queue: JobQueue, clock: Clock
) -> None:
    repository.register(image("1.1"), START)
    outcomes = []
    for error in (DiskFull(), ValueError(), DiskFull(), ValueError(), DiskFull(), ValueError()):
        job = queue.claim("worker")
        assert job is not None
        outcomes.append(type(queue.fail(job, error)))
        clock.seconds += 8
    assert outcomes == [RetryAt] * 5 + [GiveUp]
    assert repository.jobs((), 1)[0].error == "Unexpected ValueError. Given up after 3 attempts."


def test_a_retried_job_starts_without_excuses(repository: Repository, queue: JobQueue, clock: Clock) -> None:
    repository.register(image("1.1"), START)
    for error in (DiskFull(), Permanent()):
        job = queue.claim("worker")
        assert job is not None
        queue.fail(job, error)
        clock.seconds += 8
    repository.retry_job(job.id, clock())
    again = queue.claim("worker")
    assert again is not None
    assert (again.attempts, again.counted_attempts) == (1, 1)


def test_what_kills_its_workers_is_buried_and_the_next_job_is_given(
    repository: Repository, queue: JobQueue, clock: Clock
) -> None:
    repository.register(image("1.1"), START)
    for _ in range(3):
        assert queue.claim("victim") is not None
        clock.seconds += 61
    repository.register(image("1.2"), START)

    job = queue.claim("survivor")

    assert job is not None
    assert repository.instance(job.instance_id).sop_instance_uid == "1.2"
    (dead,) = repository.jobs((JobState.DEAD,), 10)
    assert dead.error == "Its worker did not come back 3 times."
    assert queue.claim("survivor") is None


def test_a_lost_lease_changes_nothing(repository: Repository, queue: JobQueue, clock: Clock) -> None:
    repository.register(image("1.1"), START)
    old = queue.claim("slow")
    assert old is not None
    clock.seconds = 61
    new = queue.claim("quick")
    for error in (LeaseLost(), DiskFull(), Permanent()):
        with pytest.raises(LeaseLost):
            queue.fail(old, error)
    assert repository.jobs((), 10) == (new,)


def test_the_clock_is_aware() -> None:
    assert utc_now().tzinfo is not None
