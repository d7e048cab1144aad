"""How many jobs a second the queue gives out and takes back, on SQLite and on PostgreSQL, by processes of their own.

A job is claimed and finished with a result without objects, in two transactions. The result is on the disk when its own
returns; so is a claim on PostgreSQL, while on SQLite a power cut may forget it together with the worker.
Then jobs that only sleep: how much more eight workers do than one.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks.record import Record
from dicom_node.config import QueueSection
from dicom_node.queue import JobQueue, QueuePolicy, utc_now
from dicom_node.storage.repository import Repository
from tests.peers import use_outside_path
from tests.postgresql import running_server
from tests.unit.dicom_node.storage.rooms import answer, image

DURABLE = ("wal_buffers=4MB",)
"""PostgreSQL's defaults: every commit is on the disk."""

WORKERS = 4
JOBS = 400
SLEEP_S = 0.25
SLEEPS = 12
"""Jobs per worker."""

ROOT = Path(__file__).resolve().parents[1]


def run() -> Iterator[Record]:
    use_outside_path()
    with tempfile.TemporaryDirectory() as folder:
        yield from _rates("SQLite", f"sqlite:///{folder}/rate.sqlite3")
    with running_server(DURABLE) as server:
        yield from _rates("PostgreSQL", server.create_database())
        one = rate(server.create_database(), 1, SLEEPS, SLEEP_S)
        eight = rate(server.create_database(), 8, 8 * SLEEPS, SLEEP_S)
        name = f"jobs that sleep {SLEEP_S:g} s, eight workers over one, PostgreSQL"
        yield Record(name, eight / one, "times", 8 * SLEEPS)


def _rates(engine: str, url: str) -> Iterator[Record]:
    yield Record(f"claim and finish, {WORKERS} workers, {engine}", rate(url, WORKERS, JOBS, 0.0), "jobs/s", JOBS)


def rate(url: str, workers: int, jobs: int, sleep_s: float) -> float:
    """Jobs a second, from the first claim to the last finish."""
    with closing(Repository.open(url)) as repository:
        repository.migrate()
        for number in range(jobs):
            repository.register(image(f"1.{workers}.{number}"), utc_now())
        with _started(url, workers, sleep_s) as running:
            for process in running:
                _told(process, b"go\n")
            spans = [tuple(map(float, process.communicate()[0].split())) for process in running]
        done = repository.counts(utc_now())["jobs_done"]
    if done != jobs:
        raise RuntimeError(f"{done} of {jobs} jobs are done")
    return jobs / (max(end for _, end in spans) - min(begin for begin, _ in spans))


@contextmanager
def _started(url: str, workers: int, sleep_s: float) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Workers that have connected and wait for a word."""
    command = [sys.executable, "-m", "benchmarks.claims", url, str(sleep_s)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    running = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(workers)]
    try:
        for process in running:
            if process.stdout is None or process.stdout.readline() != b"ready\n":
                raise RuntimeError("a worker did not start")
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait()


def _told(process: subprocess.Popen[bytes], word: bytes) -> None:
    if process.stdin is not None:
        process.stdin.write(word)
        process.stdin.flush()


def work(url: str, sleep_s: float) -> None:
    """Claim and finish until nothing is due; then say when it began and ended."""
    with closing(Repository.open(url)) as repository:
        queue = JobQueue(repository, QueuePolicy.of(QueueSection()))
        repository.counts(utc_now())
        print("ready", flush=True)
        sys.stdin.readline()
        began = ended = time.monotonic()
        while (job := queue.claim("bench")) is not None:
            time.sleep(sleep_s)
            repository.commit_result(job, answer(f"{job.id}", ()), (), utc_now())
            ended = time.monotonic()
        print(began, ended, flush=True)


if __name__ == "__main__":
    work(sys.argv[1], float(sys.argv[2]))
