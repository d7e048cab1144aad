"""What a commit makes of a received object."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError, StatementError

from dicom_node.domain import JobKind, JobState, Registered, Relation
from dicom_node.errors import DatabaseUnavailable, Refused
from dicom_node.storage import instances
from dicom_node.storage.repository import Repository
from tests.unit.dicom_node.storage.rooms import START, after, answer, claimed, image


def test_a_new_image_is_stored_with_its_job(repository: Repository) -> None:
    new = image("1.1")
    assert repository.register(new, START) is Registered.NEW

    (stored,) = repository.versions("1.1")
    (job,) = repository.jobs((), 10)
    assert (stored.revision, stored.relation, stored.path, stored.size_bytes) == (
        0,
        Relation.FIRST,
        new.path,
        3_000_000_000,
    )
    assert stored.received_at == START
    assert stored.received_at.tzinfo is UTC
    assert (job.kind, job.state, job.instance_id, job.available_at) == (
        JobKind.MEASURE,
        JobState.QUEUED,
        stored.id,
        START,
    )
    assert repository.instance(stored.id) == stored


def test_what_is_not_measurable_is_stored_without_a_job(repository: Repository) -> None:
    assert repository.register(image("1.1", measurable=False), START) is Registered.NEW
    assert len(repository.versions("1.1")) == 1
    assert repository.jobs((), 10) == ()


def test_the_same_bytes_again_change_nothing(repository: Repository) -> None:
    first = image("1.1")
    repository.register(first, START)
    repository.register(image("1.1", "other"), START)
    before = repository.counts(START)

    assert repository.register(image("1.1"), after(5)) is Registered.SAME
    assert repository.register(image("1.1", "other"), after(5)) is Registered.SAME
    assert repository.counts(START) == before
    assert repository.versions("1.1")[0].path == first.path


def test_other_bytes_become_the_next_revision_to_be_examined(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    assert repository.register(image("1.1", "b"), START) is Registered.VERSION
    assert repository.register(image("1.1", "c"), START) is Registered.VERSION

    versions = repository.versions("1.1")
    assert [v.revision for v in versions] == [0, 1, 2]
    assert [v.relation for v in versions] == [Relation.FIRST, Relation.UNEXAMINED, Relation.UNEXAMINED]
    assert [job.kind for job in reversed(repository.jobs((), 10))] == [
        JobKind.MEASURE,
        JobKind.RECONCILE,
        JobKind.RECONCILE,
    ]


def test_the_same_bytes_under_another_uid_are_another_image(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    twin = image("1.2")
    assert repository.register(twin, START) is Registered.NEW


def test_threads_racing_with_one_uid_agree(repository: Repository) -> None:
    contents = ["a", "a", "b", "b", "c", "c"]
    outcomes: list[Registered] = []
    barrier = threading.Barrier(len(contents))

    def push(content: str) -> None:
        barrier.wait()
        outcomes.append(repository.register(image("1.1", content), START))

    threads = [threading.Thread(target=push, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == sorted(
        [Registered.NEW, Registered.VERSION, Registered.VERSION, Registered.SAME, Registered.SAME, Registered.SAME]
    )
    assert [v.revision for v in repository.versions("1.1")] == [0, 1, 2]
    assert repository.counts(START)["jobs_queued"] == 3


def test_a_twin_that_was_quicker_makes_register_look_again(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race that only an engine with row locks can show: the twin commits between our look and our insert."""
    real, lost = instances.register, iter([True, True])

    def collide_twice(*args: Any) -> Registered:
        if next(lost, False):
            raise IntegrityError("insert", {}, Exception("unique"))
        return real(*args)

    monkeypatch.setattr(instances, "register", collide_twice)
    assert repository.register(image("1.1"), START) is Registered.NEW


def test_endless_collision_is_a_named_error(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    def collide(*_: Any) -> Registered:
        raise IntegrityError("insert", {}, Exception("unique"))

    monkeypatch.setattr(instances, "register", collide)
    with pytest.raises(DatabaseUnavailable, match="collide"):
        repository.register(image("1.1"), START)


def test_the_tables_refuse_a_second_revision_or_content(repository: Repository) -> None:
    """Not the code's look, but the constraint is what guards."""
    repository.register(image("1.1"), START)
    with pytest.raises(IntegrityError), repository._write() as session:
        session.add(instances._row(image("1.1", "other"), 0, START))
    with pytest.raises(IntegrityError), repository._write() as session:
        session.add(instances._row(image("1.1"), 1, START))


def test_unknown_instance_is_refused_by_its_number(repository: Repository) -> None:
    with pytest.raises(Refused, match="no instance 17"):
        repository.instance(17)
    assert repository.versions("9.9") == ()


def test_times_come_back_as_utc_whatever_zone_they_had(repository: Repository) -> None:
    ahead = START.astimezone(timezone(timedelta(hours=9)))
    repository.register(image("1.1"), ahead)
    received = repository.versions("1.1")[0].received_at
    assert received == START
    assert received.tzinfo is UTC


def test_a_time_without_zone_is_a_mistake(repository: Repository) -> None:
    with pytest.raises(StatementError, match="aware"):
        repository.register(image("1.1"), datetime(2026, 1, 1))  # noqa: DTZ001


def test_known_paths_knows_objects_and_results(repository: Repository) -> None:
    new, result = image("1.1"), answer()
    repository.register(new, START)
    repository.commit_result(claimed(repository), result, (), START)
    ours = {new.path, *(o.path for o in result.objects)}

    assert repository.known_paths([*ours, "objects/ab/lost.dcm"]) == ours
    assert repository.known_paths([]) == set()


def test_the_last_200_refusals_are_kept(repository: Repository) -> None:
    for number in range(203):
        repository.record_refusal(
            f"AE{number}", "FETALHC", "192.0.2.9", "unknown peer", "add it to peers", after(number)
        )

    kept = repository.refusals(1000)
    assert len(kept) == 200
    assert (kept[0].calling_ae, kept[-1].calling_ae) == ("AE202", "AE3")
    assert kept[0].refused_at == after(202)
    assert repository.refusals(2) == kept[:2]


def test_a_refused_peer_may_call_itself_anything(repository: Repository) -> None:
    repository.record_refusal("A\x00B" * 2000, "", "", "", "", START)
    (kept,) = repository.refusals(10)
    assert "\x00" not in kept.calling_ae
    assert len(kept.calling_ae) <= 1000
