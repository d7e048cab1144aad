"""Commits that threads share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import select, text

from dicom_node.domain import Registered
from dicom_node.errors import Contended, DatabaseUnavailable, InstanceRefused
from dicom_node.storage import corrections, vanishing
from dicom_node.storage.repository import Repository
from dicom_node.storage.rows import InstanceRow
from dicom_node.storage.together import Together
from dicom_node.storage.trail import Wanted
from inference.domain import Reason
from tests.receiving import eventually
from tests.unit.dicom_node.storage.rooms import START, image


class Disk:
    """Commits when told to, and remembers which wishes came together."""

    def __init__(self, judge: Callable[[Sequence[str]], None] = lambda _: None) -> None:
        self.groups: list[tuple[str, ...]] = []
        self.durable: list[str] = []
        self.alone: list[str] = []
        self.open = threading.Event()
        self._judge = judge

    def commit_all(self, wishes: Sequence[str]) -> Sequence[str]:
        self.groups.append(tuple(wishes))
        assert self.open.wait(30)
        self._judge(wishes)
        self.durable.extend(wishes)
        return [wish.upper() for wish in wishes]

    def commit_alone(self, wish: str) -> str:
        self.alone.append(wish)
        return wish.upper()


def asked(together: Together[str, str], pool: ThreadPoolExecutor, wishes: str) -> list[Future[str]]:
    """The first one is being committed while the others come, one after the other."""
    futures = []
    for number, wish in enumerate(wishes):
        futures.append(pool.submit(together.commit, wish))
        eventually(lambda number=number: len(together._waiting) == number and together._is_committing)
    return futures


def test_what_comes_while_the_disk_is_busy_is_committed_in_one_and_each_has_its_own_answer() -> None:
    disk = Disk()
    together = Together(disk.commit_all, disk.commit_alone)
    with ThreadPoolExecutor(8) as pool:
        futures = asked(together, pool, "abcd")
        disk.open.set()
        assert [future.result(30) for future in futures] == ["A", "B", "C", "D"]
    assert disk.groups == [("a",), ("b", "c", "d")]


def test_nobody_is_answered_before_the_commit_that_has_its_wish() -> None:
    disk = Disk()
    together = Together(disk.commit_all, disk.commit_alone)
    early: list[str] = []

    def commit(wish: str) -> None:
        together.commit(wish)
        if wish not in disk.durable:
            early.append(wish)

    disk.open.set()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(commit, [f"{number}" for number in range(400)]))
    assert early == []
    assert sorted(wish for group in disk.groups for wish in group) == sorted(f"{number}" for number in range(400))


def test_one_that_cannot_be_committed_costs_the_others_nothing() -> None:
    def judge(wishes: Sequence[str]) -> None:
        if "c" in wishes:
            raise ValueError("c")

    disk = Disk(judge)
    together = Together(disk.commit_all, disk.commit_alone)
    with ThreadPoolExecutor(8) as pool:
        futures = asked(together, pool, "abcd")
        disk.open.set()
        assert [futures[place].result(30) for place in (0, 1, 3)] == ["A", "B", "D"]
        with pytest.raises(ValueError, match="c"):
            futures[2].result(30)
    assert sorted(disk.durable) == ["a", "b", "d"]


def test_a_database_that_is_away_is_asked_once_for_all() -> None:
    def judge(wishes: Sequence[str]) -> None:
        if len(wishes) > 1:
            raise DatabaseUnavailable("away")

    disk = Disk(judge)
    together = Together(disk.commit_all, disk.commit_alone)
    with ThreadPoolExecutor(8) as pool:
        futures = asked(together, pool, "abc")
        disk.open.set()
        assert futures[0].result(30) == "A"
        for future in futures[1:]:
            with pytest.raises(DatabaseUnavailable, match="away"):
                future.result(30)
    assert disk.groups == [("a",), ("b", "c")]


def test_where_somebody_else_has_a_row_each_goes_on_alone_and_those_behind_do_not_wait_for_it() -> None:
    def judge(wishes: Sequence[str]) -> None:
        if "b" in wishes:
            raise Contended

    disk = Disk(judge)
    together = Together(disk.commit_all, disk.commit_alone)
    with ThreadPoolExecutor(8) as pool:
        futures = asked(together, pool, "abc")
        disk.open.set()
        assert [future.result(30) for future in futures] == ["A", "B", "C"]
    assert sorted(disk.alone) == ["b", "c"]
    assert together.commit("d") == "D"
    assert disk.durable == ["a", "d"]


def test_an_error_that_is_made_of_more_than_its_message_reaches_whoever_asked() -> None:
    def judge(_wishes: Sequence[str]) -> None:
        raise InstanceRefused(Reason.NOT_CALIBRATED, "detail")

    disk = Disk(judge)
    disk.open.set()
    with pytest.raises(InstanceRefused, match="detail") as raised:
        Together(disk.commit_all, disk.commit_alone).commit("a")
    assert raised.value.reason is Reason.NOT_CALIBRATED


def test_whoever_is_interrupted_while_committing_for_others_leaves_nobody_waiting() -> None:
    class Interrupted(BaseException):
        pass

    def judge(wishes: Sequence[str]) -> None:
        if "b" in wishes:
            raise Interrupted

    disk = Disk(judge)
    together = Together(disk.commit_all, disk.commit_alone)
    with ThreadPoolExecutor(8) as pool:
        futures = asked(together, pool, "abc")
        disk.open.set()
        assert futures[0].result(30) == "A"
        for future in futures[1:]:
            with pytest.raises(Interrupted):
                future.result(30)
    disk._judge = lambda _: None
    assert together.commit("b") == "B"


def test_objects_of_many_threads_are_registered_each_with_its_job_and_record(repository: Repository) -> None:
    barrier = threading.Barrier(12)

    def push(number: int) -> None:
        barrier.wait(30)
        repository.register(image(f"1.{number}", measurable=number % 2 == 0), START)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(push, range(12)))
    counts = repository.counts(START)
    assert (counts["instances"], counts["jobs_queued"]) == (12, 6)
    heard = [record.entry.sop_instance_uid for record in repository.whole_audit_trail(Wanted())]
    assert sorted(map(str, heard)) == sorted(f"1.{number}" for number in range(12))


@pytest.mark.peer("postgres")
def test_a_group_locks_versions_in_the_order_of_everybody(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it and a study's commit, which lock the same two images the other way round, wait for each other."""
    monkeypatch.setattr(vanishing, "HURRIED", vanishing.UNBOUND)
    with closing(Repository.open(postgresql_url)) as repository, ThreadPoolExecutor(1) as pool:
        for uid in ("1.2", "1.1"):
            repository.register(image(uid), START)
        first, second = (select(InstanceRow.id).where(InstanceRow.sop_instance_uid == u) for u in ("1.2", "1.1"))
        with repository._write() as study:
            study.execute(first.with_for_update())
            further = [(image(uid, "corrected"), START) for uid in ("1.1", "1.2")]
            group = pool.submit(repository._write_all, further)
            with repository._read() as looking:
                waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
                eventually(lambda: looking.scalar(waits))
            study.execute(second.with_for_update(nowait=True))
        assert list(group.result(30)) == [Registered.VERSION] * 2


@pytest.mark.peer("postgres")
def test_a_row_that_somebody_has_locked_holds_up_nobody_who_does_not_need_it(postgresql_url: str) -> None:
    held = image("1.1")
    with closing(Repository.open(postgresql_url)) as repository, ThreadPoolExecutor(4) as pool:
        repository.register(held, START)
        with repository._write() as slow:
            corrections.lock_versions(slow, held.sop_instance_uid)
            again = pool.submit(repository.register, held, START)
            eventually(lambda: repository._shared._is_committing)
            others = [pool.submit(repository.register, image(f"1.2.{number}"), START) for number in range(3)]
            assert [other.result(30) for other in others] == [Registered.NEW] * 3
            assert not again.done()
        assert again.result(30) is Registered.SAME
