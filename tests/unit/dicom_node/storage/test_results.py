"""Results with their objects and deliveries, and what a correction does to those of the version before it."""

from __future__ import annotations

import threading

import pytest

from dicom_node.domain import DeliveryState, Destination, JobKind, JobState, Relation, ResultKind
from dicom_node.errors import LeaseLost, Permanent
from dicom_node.storage import instances
from dicom_node.storage.repository import Repository
from tests.attempts import failed, taken
from tests.objects import IMAGE_OBJECTS
from tests.unit.dicom_node.storage.rooms import (
    ARCHIVE,
    LEASE_S,
    PACS,
    START,
    after,
    answer,
    claimed,
    corrected,
    image,
    measured,
)


def delivery_states(repository: Repository, instance_id: int) -> set[DeliveryState]:
    ours = {o.id for o in repository.objects_of(instance_id)}
    return {d.state for d in repository.deliveries((), 100) if d.object_id in ours}


def held_job(repository: Repository) -> int:
    (job,) = repository.jobs((JobState.HELD,), 10)
    return job.id


def test_one_commit_holds_result_objects_deliveries_and_the_done_job(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    job, result = claimed(repository), answer()
    repository.commit_result(job, result, (PACS, ARCHIVE), after(1))

    stored = repository.result_of(job.instance_id)
    assert stored is not None
    assert (stored.fingerprint, stored.status, stored.reason, stored.document, stored.created_at) == (
        result.fingerprint,
        "measured",
        None,
        result.document,
        after(1),
    )
    objects = repository.objects_of(job.instance_id)
    assert [(o.kind, o.sop_instance_uid, o.path) for o in objects] == [
        (o.kind, o.sop_instance_uid, o.path) for o in result.objects
    ]
    wanted = {("pacs", kind) for kind in IMAGE_OBJECTS} | {("archive", ResultKind.TID1500)}
    outbox = repository.deliveries((DeliveryState.PENDING,), 10)
    assert {(d.destination, d.kind) for d in outbox} == wanted
    assert len(outbox) == len(wanted)
    assert {d.path for d in outbox} == {o.path for o in objects}
    assert repository.jobs((), 1)[0].state is JobState.DONE


def test_nothing_is_stored_if_an_object_uid_is_taken(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    repository.register(image("1.2"), START)
    result = answer()
    repository.commit_result(claimed(repository), result, (PACS,), START)
    job, before = claimed(repository), repository.counts(START)

    with pytest.raises(Permanent):
        repository.commit_result(job, result, (PACS,), START)
    assert repository.counts(START) == before
    assert repository.result_of(job.instance_id) is None


def test_the_first_result_of_a_fingerprint_wins(repository: Repository) -> None:
    """A worker committed and died before it could say so: the job comes again, and its objects must not."""
    repository.register(image("1.1"), START)
    job = claimed(repository)
    first, second = answer("same"), answer("same")
    repository.commit_result(job, first, (PACS,), START)
    with repository._write() as session:
        from dicom_node.storage.rows import JobRow

        row = session.get(JobRow, job.id)
        assert row is not None
        row.state = JobState.QUEUED

    repository.commit_result(claimed(repository), second, (PACS,), after(1))

    assert [o.sop_instance_uid for o in repository.objects_of(job.instance_id)] == [
        o.sop_instance_uid for o in first.objects
    ]
    counted = repository.counts(after(1))
    assert (counted["results"], counted["deliveries_pending"], counted["jobs_done"]) == (1, 3, 1)


def test_every_kind_of_object_is_stored_and_goes_where_it_is_wanted(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    everything = Destination("everything", "PACS", "localhost", 104, tuple(ResultKind))
    repository.commit_result(claimed(repository), answer(kinds=tuple(ResultKind)), (everything, PACS), after(1))
    outbox = repository.deliveries((DeliveryState.PENDING,), 20)
    kinds = {name: {d.kind for d in outbox if d.destination == name} for name in ("everything", "pacs")}
    assert kinds == {"everything": set(ResultKind), "pacs": set(IMAGE_OBJECTS)}


def test_a_result_without_objects_is_a_result(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    job = claimed(repository)
    repository.commit_result(job, answer(kinds=()), (PACS,), START)
    assert repository.result_of(job.instance_id) is not None
    assert repository.objects_of(job.instance_id) == ()
    assert repository.deliveries((), 10) == ()


@pytest.mark.parametrize("relation", [Relation.DUPLICATE, Relation.CONFLICT])
def test_duplicates_and_conflicts_are_not_measured(repository: Repository, relation: Relation) -> None:
    first = measured(repository, "1.1")
    repository.register(image("1.1", "other"), START)
    job = claimed(repository)
    assert job.kind is JobKind.RECONCILE
    repository.reconcile(job, relation, True, START)

    assert repository.instance(job.instance_id).relation is relation
    assert repository.claim_job("worker", LEASE_S, after(1)) is None
    assert delivery_states(repository, first) == {DeliveryState.PENDING}


def test_a_correction_waits_and_holds_what_was_not_sent(repository: Repository) -> None:
    first = measured(repository, "1.1")
    sent = repository.claim_deliveries("courier", LEASE_S, 1, START, "pacs")[0]
    repository.mark_sent(sent, taken(), START)
    bystander = measured(repository, "2.2")

    second = corrected(repository, "1.1")

    assert repository.instance(second).relation is Relation.CORRECTION
    assert delivery_states(repository, first) == {DeliveryState.SENT, DeliveryState.HELD}
    assert delivery_states(repository, bystander) == {DeliveryState.PENDING}
    assert repository.claim_job("worker", LEASE_S, after(1)) is None
    assert {d.object_id for d in repository.claim_deliveries("courier", LEASE_S, 9, after(1), "pacs")} == {
        o.id for o in repository.objects_of(bystander)
    }


def test_a_confirmed_correction_replaces_what_was_held(repository: Repository) -> None:
    first = measured(repository, "1.1")
    second = corrected(repository, "1.1")
    repository.confirm_job(held_job(repository), START)
    assert delivery_states(repository, first) == {DeliveryState.HELD}

    repository.commit_result(claimed(repository), answer("second"), (PACS,), START)

    assert delivery_states(repository, first) == {DeliveryState.CANCELLED}
    assert delivery_states(repository, second) == {DeliveryState.PENDING}


def test_a_correction_accepted_at_once_holds_until_it_is_measured(repository: Repository) -> None:
    first = measured(repository, "1.1")
    second = corrected(repository, "1.1", accept=True)
    assert delivery_states(repository, first) == {DeliveryState.HELD}
    job = claimed(repository)
    assert (job.instance_id, job.kind) == (second, JobKind.MEASURE)
    repository.commit_result(job, answer("second"), (PACS,), START)
    assert delivery_states(repository, first) == {DeliveryState.CANCELLED}


def test_a_cancelled_correction_releases_what_it_held(repository: Repository) -> None:
    first = measured(repository, "1.1")
    corrected(repository, "1.1")
    job_id = held_job(repository)
    repository.cancel_job(job_id, after(1000))

    assert delivery_states(repository, first) == {DeliveryState.PENDING}
    released = repository.claim_deliveries("courier", LEASE_S, 9, after(1000), "pacs")
    assert len(released) == 3
    assert {d.waiting_since for d in released} == {after(1000)}, "the deadline starts anew"


def test_a_cancelled_correction_that_is_retried_waits_for_its_confirmation_again(repository: Repository) -> None:
    first = measured(repository, "1.1")
    corrected(repository, "1.1")
    job_id = held_job(repository)
    repository.cancel_job(job_id, START)
    repository.retry_job(job_id, START)
    assert delivery_states(repository, first) == {DeliveryState.HELD}
    assert held_job(repository) == job_id
    assert repository.claim_job("worker", LEASE_S, after(1)) is None
    repository.confirm_job(job_id, START)
    assert claimed(repository).id == job_id


def test_a_version_holds_what_was_not_sent_from_its_commit_on(repository: Repository) -> None:
    """It may be a correction: the old identity is not sent while nobody has looked."""
    first = measured(repository, "1.1")
    repository.register(image("1.1", "other"), START)
    assert delivery_states(repository, first) == {DeliveryState.HELD}
    assert repository.claim_deliveries("courier", LEASE_S, 9, START, "pacs") == ()


@pytest.mark.parametrize("relation", [Relation.DUPLICATE, Relation.CONFLICT])
def test_a_version_that_is_no_correction_releases_what_it_held(repository: Repository, relation: Relation) -> None:
    first = measured(repository, "1.1")
    repository.register(image("1.1", "other"), START)
    job = claimed(repository)
    assert delivery_states(repository, first) == {DeliveryState.HELD}
    repository.reconcile(job, relation, False, after(9))
    assert delivery_states(repository, first) == {DeliveryState.PENDING}


def test_a_version_that_nobody_could_examine_holds_until_its_job_is_cancelled(repository: Repository) -> None:
    first = measured(repository, "1.1")
    repository.register(image("1.1", "other"), START)
    job = claimed(repository)
    repository.bury_job(job, "no luck", START)
    assert delivery_states(repository, first) == {DeliveryState.HELD}
    repository.cancel_job(job.id, after(9))
    assert delivery_states(repository, first) == {DeliveryState.PENDING}
    repository.retry_job(job.id, after(9))
    assert delivery_states(repository, first) == {DeliveryState.HELD}


def test_a_first_version_measured_while_the_next_is_unexamined_is_held(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    slow = claimed(repository)
    repository.register(image("1.1", "other"), START)
    repository.commit_result(slow, answer("first"), (PACS,), START)
    assert delivery_states(repository, slow.instance_id) == {DeliveryState.HELD}


def test_a_version_that_is_being_committed_while_the_first_is_answered_holds_it(repository: Repository) -> None:
    """The answer waits for the lock of the versions, and must then see the one that it waited for."""
    repository.register(image("1.1"), START)
    job = claimed(repository)
    answered = threading.Thread(target=lambda: repository.commit_result(job, answer(), (PACS,), START))
    with repository._write() as session:
        instances.register(session, image("1.1", "other"), START)
        answered.start()
        answered.join(0.5)  # it waits now; if it does not yet, it will not have to, and the test is easier
        assert answered.is_alive()
    answered.join(30)
    assert delivery_states(repository, job.instance_id or 0) == {DeliveryState.HELD}


def test_a_confirmed_correction_is_held_by_the_version_after_it(repository: Repository) -> None:
    measured(repository, "1.1")
    second = corrected(repository, "1.1", accept=True)
    repository.commit_result(claimed(repository), answer("second"), (PACS,), START)
    repository.register(image("1.1", "third"), START)
    assert delivery_states(repository, second) == {DeliveryState.HELD}


def test_a_replacement_is_measured_without_asking(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    repository.commit_result(claimed(repository), answer("refused", kinds=()), (PACS,), START)
    repository.register(image("1.1", "whole"), START)
    job = claimed(repository)
    repository.reconcile(job, Relation.REPLACEMENT, False, START)
    again = claimed(repository)
    assert (again.kind, again.instance_id) == (JobKind.MEASURE, job.instance_id)


def test_a_correction_without_objects_supersedes_too(repository: Repository) -> None:
    first = measured(repository, "1.1")
    corrected(repository, "1.1", accept=True)
    repository.commit_result(claimed(repository), answer("second", kinds=()), (PACS,), START)
    assert delivery_states(repository, first) == {DeliveryState.CANCELLED}


def test_two_corrections_release_only_when_both_are_cancelled(repository: Repository) -> None:
    first = measured(repository, "1.1")
    corrected(repository, "1.1", "b")
    job_b = held_job(repository)
    corrected(repository, "1.1", "c")
    job_c = next(job.id for job in repository.jobs((JobState.HELD,), 10) if job.id != job_b)
    repository.cancel_job(job_b, START)
    assert delivery_states(repository, first) == {DeliveryState.HELD}
    repository.cancel_job(job_c, START)
    assert delivery_states(repository, first) == {DeliveryState.PENDING}


def test_a_first_version_measured_after_its_correction_came_is_held(repository: Repository) -> None:
    """The correction was faster than the measurement: the old identity must not slip out."""
    repository.register(image("1.1"), START)
    slow = claimed(repository)
    corrected(repository, "1.1")
    repository.commit_result(slow, answer("first"), (PACS,), START)
    assert delivery_states(repository, slow.instance_id) == {DeliveryState.HELD}


def test_a_first_version_measured_after_its_correction_was_reported_is_cancelled(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    slow = claimed(repository)
    corrected(repository, "1.1", accept=True)
    repository.commit_result(claimed(repository), answer("second"), (PACS,), START)
    repository.commit_result(slow, answer("first"), (PACS,), START)
    assert delivery_states(repository, slow.instance_id) == {DeliveryState.CANCELLED}


@pytest.mark.parametrize("way", ["postponed", "abandoned", "buried and retried"])
def test_what_was_being_sent_when_a_correction_came_is_held_when_it_failed(repository: Repository, way: str) -> None:
    first = measured(repository, "1.1")
    batch = repository.claim_deliveries("courier", LEASE_S, 9, START, "pacs")
    corrected(repository, "1.1")
    assert delivery_states(repository, first) == {DeliveryState.SENDING}

    later = after(LEASE_S + 1)
    for delivery in batch:
        if way == "postponed":
            repository.postpone_delivery(delivery, failed(0xA700, None), later, START)
        elif way == "buried and retried":
            repository.bury_delivery(delivery, failed(0xC000), "refused", START)
            repository.retry_delivery(delivery.id, START)
    assert repository.claim_deliveries("other", LEASE_S, 9, later, "pacs") == ()
    assert delivery_states(repository, first) == {DeliveryState.HELD}


def test_a_correction_of_what_is_not_measured_makes_no_job(repository: Repository) -> None:
    repository.register(image("1.1", measurable=False), START)
    repository.register(image("1.1", "other", measurable=False), START)
    job = claimed(repository)
    repository.reconcile(job, Relation.CORRECTION, True, START)
    assert repository.instance(job.instance_id).relation is Relation.CORRECTION
    assert repository.claim_job("worker", LEASE_S, after(1)) is None


def test_the_predecessor_is_the_latest_earlier_version_with_objects(repository: Repository) -> None:
    first = measured(repository, "1.1")
    repository.register(image("1.1", "conflict"), START)
    repository.reconcile(claimed(repository), Relation.CONFLICT, False, START)
    third = corrected(repository, "1.1", "c", accept=True)
    versions = repository.versions("1.1")

    assert repository.predecessor_objects(versions[2]) == repository.objects_of(first)

    repository.commit_result(claimed(repository), answer("third"), (PACS,), START)
    corrected(repository, "1.1", "d", accept=True)
    assert repository.predecessor_objects(repository.versions("1.1")[3]) == repository.objects_of(third)


def test_what_is_looked_at_again_has_its_own_answer_before_it(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    job = claimed(repository)
    (version,) = repository.versions("1.1")
    assert repository.predecessor_objects(version) == ()
    repository.commit_result(job, answer("first"), (PACS,), START)
    assert repository.predecessor_objects(version) == repository.objects_of(version.id)


def test_reconcile_is_fenced(repository: Repository) -> None:
    measured(repository, "1.1")
    repository.register(image("1.1", "other"), START)
    old = claimed(repository)
    claimed(repository, after(LEASE_S))
    with pytest.raises(LeaseLost):
        repository.reconcile(old, Relation.CORRECTION, True, after(LEASE_S))
    assert repository.instance(old.instance_id).relation is Relation.UNEXAMINED
