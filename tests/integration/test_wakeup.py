"""Work that one process makes is heard by another that waits for it, and a bell that breaks is no harm."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from dicom_node.domain import ResultKind
from dicom_node.storage import bell
from dicom_node.storage.bell import Ear
from dicom_node.storage.repository import Repository
from dicom_node.storage.wakeup import Work
from tests.postgresql import Server
from tests.receiving import eventually
from tests.unit.dicom_node.storage.rooms import PACS, START, answer, claimed, image

pytestmark = pytest.mark.peer("postgres")

LONG_S = 100.0
"""Nobody waits that long: who wakes earlier has heard something."""


@pytest.fixture
def url(postgresql: Server) -> Iterator[str]:
    made = postgresql.create_database()
    with closing(Repository.open(made)) as opened:
        opened.migrate()
    yield made
    postgresql.drop_database(made)


@pytest.fixture
def ours(url: str) -> Iterator[Repository]:
    with closing(Repository.open(url)) as opened:
        yield opened


@pytest.fixture
def theirs(url: str) -> Iterator[Repository]:
    with closing(Repository.open(url)) as opened:
        yield opened


class Waiting(threading.Thread):
    """Somebody idle who has looked and found nothing."""

    def __init__(self, repository: Repository, work: Work) -> None:
        super().__init__(daemon=True)
        ear = repository.patience(work)
        assert isinstance(ear, Ear)
        self.ear, self.stop = ear, threading.Event()
        eventually(lambda: ear._hears)
        ear.wait(self.stop, LONG_S)  # the first one, for what came before there was an ear
        self.start()

    def run(self) -> None:
        self.ear.wait(self.stop, LONG_S)

    def close(self) -> None:
        self.stop.set()
        self.join(30)
        self.ear.close()


@pytest.fixture(autouse=True)
def nobody_looks_by_himself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bell, "IDLE_LOOK_S", LONG_S)


def test_a_worker_hears_of_an_image(ours: Repository, theirs: Repository) -> None:
    with closing(Waiting(theirs, Work.JOB)) as worker:
        ours.register(image("1.1"), START)
        worker.join(30)
        assert not worker.is_alive()


def test_a_courier_hears_of_a_result_and_not_of_an_image(ours: Repository, theirs: Repository) -> None:
    with closing(Waiting(theirs, Work.DELIVERY)) as courier, closing(Waiting(theirs, Work.JOB)) as worker:
        ours.register(image("1.1"), START)
        worker.join(30)
        assert courier.is_alive()
        ours.commit_result(claimed(ours), answer(kinds=(ResultKind.TID1500,)), (PACS,), START)
        courier.join(30)
        assert not courier.is_alive()


def test_retries_are_heard(ours: Repository, theirs: Repository) -> None:
    ours.register(image("1.1"), START)
    job = claimed(ours)
    ours.bury_job(job, "broken", START)
    with closing(Waiting(theirs, Work.JOB)) as worker:
        ours.retry_job(job.id, START)
        worker.join(30)
        assert not worker.is_alive()


def test_a_bell_that_broke_is_mended(postgresql: Server, ours: Repository, theirs: Repository) -> None:
    with closing(Waiting(theirs, Work.JOB)) as worker:
        postgresql.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        worker.join(30)  # woken by the new ear itself: something may have come in between
        assert not worker.is_alive()
        assert worker.ear._hears


def test_without_an_ear_one_looks_as_often_as_told(ours: Repository) -> None:
    with closing(ours.patience(Work.JOB)) as ear:
        assert isinstance(ear, Ear)
        eventually(lambda: ear._hears)
        ear._hears = False
        ear.wait(threading.Event(), 0.0)
        began = time.monotonic()
        ear.wait(threading.Event(), 0.02)
        assert time.monotonic() - began < LONG_S / 2


def test_sqlite_needs_no_ear(tmp_path_factory: pytest.TempPathFactory) -> None:
    url = f"sqlite:///{tmp_path_factory.mktemp('db') / 'node.sqlite3'}"
    with closing(Repository.open(url)) as repository, closing(repository.patience(Work.JOB)) as patience:
        assert not isinstance(patience, Ear)
        stop = threading.Event()
        stop.set()
        patience.wait(stop, LONG_S)
