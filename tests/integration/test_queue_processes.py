"""Several real processes on one database of either engine, some of them killed with SIGKILL."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dicom_node.domain import JobState
from dicom_node.queue import utc_now
from dicom_node.storage.repository import Repository
from tests.postgresql import BOTH_ENGINES, Server
from tests.unit.dicom_node.storage.rooms import image

JOBS = 200
WORKERS = 4
KILLS = 4
ROUNDS = 4
PATIENCE_S = 120.0

ROOT = Path(__file__).parents[2]

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'data' / 'node.sqlite3'}"


@pytest.fixture
def postgresql_url(postgresql: Server) -> Iterator[str]:
    url = postgresql.create_database()
    yield url
    postgresql.drop_database(url)


@pytest.fixture(params=BOTH_ENGINES)
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
def repository(url: str) -> Iterator[Repository]:
    opened = Repository.open(url)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def start(url: str) -> Iterator[Start]:
    """Start an actor; whatever still runs at the end of the test is killed."""
    running: list[subprocess.Popen[bytes]] = []

    def start_one(verb: str, log: Path, argument: str = "") -> subprocess.Popen[bytes]:
        command = [sys.executable, "-W", "error", "-m", "tests.integration.queue_actor", verb, url, str(log), argument]
        running.append(subprocess.Popen(command, cwd=ROOT))
        return running[-1]

    yield start_one
    for process in running:
        process.kill()
        process.wait()


def lines(*logs: Path) -> list[str]:
    return [line for log in logs if log.exists() for line in log.read_text().splitlines()]


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    assert process.wait() == -signal.SIGKILL


def test_every_job_is_finished_exactly_once_while_workers_die(
    repository: Repository, start: Start, tmp_path: Path
) -> None:
    for number in range(JOBS):
        repository.register(image(f"1.{number}"), utc_now())
    logs = [tmp_path / f"{number}.log" for number in range(WORKERS + KILLS)]
    workers = [start("work", log, log.stem) for log in logs[:WORKERS]]

    for number in range(KILLS):
        enough = (number + 1) * JOBS // (KILLS + 2)
        wait_until(lambda enough=enough: len(lines(*logs)) >= enough)  # type: ignore[misc]
        kill(workers[number])
        workers.append(start("work", logs[WORKERS + number], logs[WORKERS + number].stem))

    assert [worker.wait(PATIENCE_S) for worker in workers[KILLS:]] == [0] * WORKERS
    jobs = repository.jobs((), JOBS + 1)
    assert {job.state for job in jobs} == {JobState.DONE}
    assert len(jobs) == JOBS
    finished = [tuple(map(int, line.split())) for line in lines(*logs)]
    assert max(Counter(number for number, _ in finished).values()) == 1, "a job was finished twice"
    assert {(job.id, job.token) for job in jobs} >= set(finished), "an old token finished a job"
    assert JOBS - KILLS <= len(finished) <= JOBS, "only the finish that a kill kept from its log may lack there"
    assert sum(job.attempts for job in jobs) >= JOBS


def test_what_was_acknowledged_survives_the_kill(repository: Repository, start: Start, tmp_path: Path) -> None:
    rng = random.Random(3)
    acknowledged: set[str] = set()
    for number in range(ROUNDS):
        log = tmp_path / f"{number}.log"
        pusher, many = start("push", log, f"1.{number}"), rng.randrange(20, 120)
        wait_until(lambda log=log, many=many: len(lines(log)) >= many)  # type: ignore[misc]
        time.sleep(rng.uniform(0, 0.02))
        kill(pusher)
        acknowledged.update(lines(log))

    jobs = repository.jobs((JobState.QUEUED,), 100_000)
    stored = {repository.instance(job.instance_id).sop_instance_uid for job in jobs}
    counts = repository.counts(utc_now())
    assert acknowledged <= stored
    assert len(stored - acknowledged) <= ROUNDS, "at most the one commit that was not yet answered in each round"
    assert counts["instances"] == counts["jobs_queued"] == len(stored), "no instance without job"


def test_processes_racing_with_the_same_uids_agree(repository: Repository, start: Start, tmp_path: Path) -> None:
    logs = [tmp_path / f"{content}.log" for content in "abc"]
    racers = [start("race", log, log.stem) for log in logs]
    assert [racer.wait(PATIENCE_S) for racer in racers] == [0, 0, 0]

    assert Counter(line.split()[1] for line in lines(*logs)) == {"new": 40, "version": 80}
    for number in range(40):
        assert [version.revision for version in repository.versions(f"1.{number}")] == [0, 1, 2]


def test_processes_that_start_at_once_migrate_once(url: str, start: Start, tmp_path: Path) -> None:
    starting = [start("migrate", tmp_path / "none.log") for _ in range(4)]
    assert [process.wait(PATIENCE_S) for process in starting] == [0, 0, 0, 0]
    repository = Repository.open(url)
    repository.register(image("1.1"), utc_now())
    repository.close()
