"""A worker outlives bad jobs, holds its lease, and never finishes what is no longer its own."""

import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from dicom_node import worker
from dicom_node.config import Config
from dicom_node.domain import InstanceRef, Job, JobKind, JobState, Relation
from dicom_node.errors import DatabaseUnavailable, InstanceRefused, LeaseLost
from dicom_node.examiner import find_entry
from dicom_node.logs import EventFormatter
from dicom_node.retry import GiveUp, RetryAt
from inference.domain import Reason

NOW = datetime.now(UTC)
SCAN = InstanceRef(3, "1.2.3", 0, "1.2", "1.4", "1.5", "1.6", "a.dcm", 1, "ab" * 32, Relation.FIRST, "SCANNER", NOW)
JOB = Job(7, JobKind.MEASURE, 3, JobState.RUNNING, 1, 1, datetime.now(UTC), None, None)


class Queue:
    """A queue with one job; records what it is told."""

    def __init__(self, job: Job | None = JOB, renewal: Exception | None = None) -> None:
        self.job, self.renewal = job, renewal
        self.renewed = 0
        self.failed: list[Exception] = []
        self.claim_error: Exception | None = None
        self.fail_error: Exception | None = None

    def claim(self, _worker: str) -> Job | None:
        if self.claim_error:
            raise self.claim_error
        job, self.job = self.job, None
        return job

    def renew(self, _job: Job) -> None:
        self.renewed += 1
        if self.renewal:
            raise self.renewal

    def fail(self, _job: Job, error: Exception) -> RetryAt | GiveUp:
        if self.fail_error:
            raise self.fail_error
        self.failed.append(error)
        return GiveUp("enough")


class Pipeline:
    def __init__(self, effect: Exception | float = 0.0) -> None:
        self.effect = effect

    def run(self, _job: Job) -> None:
        if isinstance(self.effect, Exception):
            raise self.effect
        time.sleep(self.effect)


def work(queue: Any, pipeline: Any, lease_s: float = 30.0) -> bool:
    return worker.work_once(queue, pipeline, "w", lease_s)


def test_nothing_to_do() -> None:
    assert work(Queue(job=None), Pipeline()) is False


def test_a_done_job_is_not_failed() -> None:
    queue = Queue()
    assert work(queue, Pipeline()) is True
    assert queue.failed == []


@pytest.mark.parametrize("error", [ZeroDivisionError(), DatabaseUnavailable()])
def test_a_failing_job_is_handed_to_retry_and_the_worker_goes_on(error: Exception) -> None:
    queue = Queue()
    assert work(queue, Pipeline(error)) is True
    assert queue.failed == [error]


def test_a_lost_lease_is_not_a_failure_of_the_job() -> None:
    queue = Queue()
    assert work(queue, Pipeline(LeaseLost())) is True
    assert queue.failed == []


def test_a_silent_database_is_waited_for() -> None:
    queue = Queue()
    queue.claim_error = DatabaseUnavailable()
    assert work(queue, Pipeline()) is False


def test_a_long_job_keeps_its_lease() -> None:
    queue = Queue()
    work(queue, Pipeline(1.0), lease_s=0.15)
    assert queue.renewed >= 7  # at least once in the time that a lease lasts


def test_renewal_ends_with_the_job() -> None:
    queue = Queue()
    work(queue, Pipeline(0.05), lease_s=0.06)
    renewed = queue.renewed
    time.sleep(0.1)
    assert queue.renewed == renewed
    assert not [t for t in threading.enumerate() if t.name == "lease"]


@pytest.mark.parametrize(
    ("changed", "counts"),
    [
        ({"inference": {"equation": "intergrowth-2016"}}, True),
        ({"inference": {"cine_frames": 4}}, True),
        ({"inference": {"precision": "bf16"}}, True),
        ({"dating": {"independent_ages": []}}, True),
        ({"results": {"page_size": "letter"}}, True),
        ({"results": {"language": "de"}}, True),
        ({"results": {"pdf_pictures": True}}, True),
        ({"narrative": {"mode": "llm", "model": "one"}}, True),
        ({"narrative": {"model": "one", "timeout_s": 5}}, False),
        ({"inference": {"threads": 7}}, False),
        ({"node": {"port": 4242}}, False),
    ],
)
def test_settings_that_change_a_result_change_what_it_is_called(changed: dict[str, Any], counts: bool) -> None:
    config = Config()
    entry, scan = find_entry(config), SCAN
    names = {
        worker.protocol_of(with_these, entry).entropy(scan, (1,)).fingerprint()
        for with_these in (config, Config.model_validate(changed))
    }
    assert len(names) == (2 if counts else 1)


def logged(caplog: pytest.LogCaptureFixture, event: str) -> str:
    """The line as it is written, behind the filter."""
    (record,) = [record for record in caplog.records if record.msg == event]
    return EventFormatter("text").format(record)


@pytest.mark.parametrize("event", ["worker.job_failed", "worker.job_dead"])
def test_a_failed_job_says_why(caplog: pytest.LogCaptureFixture, event: str) -> None:
    work(Queue(), Pipeline(InstanceRefused(Reason.UNREADABLE, "a sentence")))
    line = logged(caplog, event)
    assert "error=InstanceRefused reason=unreadable" in line
    assert "withheld" not in line


def test_a_database_that_left_is_not_a_lost_lease(caplog: pytest.LogCaptureFixture) -> None:
    queue = Queue()
    queue.fail_error = DatabaseUnavailable()
    assert work(queue, Pipeline(ZeroDivisionError())) is True
    assert "error=DatabaseUnavailable" in logged(caplog, "worker.not_written")
    assert "worker.lease_lost" not in {record.msg for record in caplog.records}
