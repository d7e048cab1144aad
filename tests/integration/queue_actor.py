"""A process of the queue tests: `python -m tests.integration.queue_actor VERB URL LOG [ARGUMENT]`.

Each thing done is one line in LOG, written with one system call after the repository returned, so that what stands
there was acknowledged, whatever happened to the process afterwards.
"""

from __future__ import annotations

import os
import random
import sys
import time

from dicom_node.config import QueueSection
from dicom_node.errors import LeaseLost
from dicom_node.queue import JobQueue, QueuePolicy, utc_now
from dicom_node.storage.repository import Repository
from tests.unit.dicom_node.storage.rooms import answer, image

LEASE_S = 1.5


def main(verb: str, url: str, log: str, argument: str = "") -> None:
    repository = Repository.open(url)
    if verb == "migrate":
        repository.migrate()
        return
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    {"work": work, "push": push, "race": race}[verb](repository, descriptor, argument)


def work(repository: Repository, log: int, worker: str) -> None:
    """Claim and finish until killed, or until nothing is left that is not done."""
    queue = JobQueue(repository, QueuePolicy.of(QueueSection(lease_s=LEASE_S, maximum_attempts=100)))
    rng = random.Random(worker)
    while True:
        job = queue.claim(worker)
        if job is None:
            counts = repository.counts(utc_now())
            if counts["jobs_queued"] + counts["jobs_running"] == 0:
                return
            time.sleep(0.05)
            continue
        time.sleep(rng.uniform(0, 0.02))
        try:
            repository.commit_result(job, answer(kinds=()), (), utc_now())
        except LeaseLost:
            continue
        os.write(log, f"{job.id} {job.token}\n".encode())


def push(repository: Repository, log: int, prefix: str) -> None:
    """Register one image after another until killed."""
    number = 0
    while True:
        uid = f"{prefix}.{number}"
        repository.register(image(uid), utc_now())
        os.write(log, f"{uid}\n".encode())
        number += 1


def race(repository: Repository, log: int, content: str) -> None:
    """Register the same UIDs as the other processes, with bytes of our own."""
    for number in range(40):
        outcome = repository.register(image(f"1.{number}", content), utc_now())
        os.write(log, f"1.{number} {outcome}\n".encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
