"""Originals on their way: one delivery for each destination of the route, held and cancelled like results."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicom_node.domain import (
    Action,
    DeliveryState,
    JobKind,
    JobState,
    NewInstance,
    Priority,
    Quiet,
    Relation,
    ResultKind,
    Route,
)
from dicom_node.storage.repository import Repository
from tests.attempts import failed, taken
from tests.unit.dicom_node.storage.rooms import LEASE_S, PACS, START, after, answer, claimed, image

ROUTE = Route(rules=("r",), forward=("archive", "vna"))


def forwarded(uid: str = "1.1", content: str = "first", route: Route = ROUTE, measurable: bool = True) -> NewInstance:
    return replace(image(uid, content, measurable), route=route)


def states(repository: Repository, revision: int = 0) -> set[DeliveryState]:
    """Of the originals of one version."""
    path = repository.versions("1.1")[revision].path
    return {d.state for d in repository.deliveries((), 100) if d.path == path and d.kind is ResultKind.ORIGINAL}


def corrected(repository: Repository, relation: Relation = Relation.CORRECTION, accept: bool = False) -> None:
    """The first version was measured; another one comes and is compared."""
    repository.register(forwarded(), START)
    repository.commit_result(claimed(repository), answer(), (PACS,), START)
    repository.register(forwarded(content="second"), START)
    assert states(repository) == {DeliveryState.HELD}
    repository.reconcile(claimed(repository), relation, accept, START)


def test_the_original_is_sent_as_it_lies_there_whatever_becomes_of_the_job(repository: Repository) -> None:
    new = forwarded()
    repository.register(new, START)
    repository.bury_job(claimed(repository), "the worker cannot", START)
    (delivery,) = repository.claim_deliveries("c", LEASE_S, 10, START, "archive")
    assert (delivery.path, delivery.sop_instance_uid, delivery.kind) == (new.path, "1.1", ResultKind.ORIGINAL)
    assert len(repository.claim_deliveries("c", LEASE_S, 10, START, "vna")) == 1
    repository.mark_sent(delivery, taken(), START)
    assert repository.counts(START)["deliveries_sent"] == 1
    assert repository.counts(START)["objects"] == 0


def test_what_is_not_measured_is_forwarded_too_and_has_no_job(repository: Repository) -> None:
    repository.register(forwarded(measurable=False), START)
    assert states(repository) == {DeliveryState.PENDING}
    assert repository.jobs((), 10) == ()


def test_without_a_wish_nothing_is_forwarded(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    assert repository.deliveries((), 10) == ()


def test_the_route_is_kept_with_the_instance(repository: Repository) -> None:
    route = Route(("r",), Action.MEASURE, "m", Priority.LOW, (("pacs", (ResultKind.PDF,)),), ("archive",))
    repository.register(forwarded(route=route), START)
    (stored,) = repository.versions("1.1")
    assert stored.route == route


def test_the_same_object_again_is_not_sent_again(repository: Repository) -> None:
    repository.register(forwarded(), START)
    repository.register(forwarded(), START)
    assert len(repository.deliveries((), 10)) == 2


def test_a_duplicate_is_not_forwarded_and_lets_the_first_one_go(repository: Repository) -> None:
    corrected(repository, Relation.DUPLICATE)
    assert (states(repository), states(repository, 1)) == ({DeliveryState.PENDING}, set())


def test_a_conflict_is_kept_aside(repository: Repository) -> None:
    corrected(repository, Relation.CONFLICT)
    assert (states(repository), states(repository, 1)) == ({DeliveryState.PENDING}, set())


def test_a_correction_leaves_when_it_is_confirmed_and_the_earlier_one_stays(repository: Repository) -> None:
    corrected(repository)
    assert states(repository, 1) == {DeliveryState.HELD}
    (job,) = repository.jobs([JobState.HELD], 10)
    repository.confirm_job(job.id, after(1))
    assert (states(repository), states(repository, 1)) == ({DeliveryState.HELD}, {DeliveryState.PENDING})
    repository.commit_result(claimed(repository, after(1)), answer("f2"), (PACS,), after(2))
    assert (states(repository), states(repository, 1)) == ({DeliveryState.CANCELLED}, {DeliveryState.PENDING})


def test_a_correction_that_nobody_wants_does_not_leave(repository: Repository) -> None:
    corrected(repository)
    (job,) = repository.jobs([JobState.HELD], 10)
    repository.cancel_job(job.id, after(1))
    assert (states(repository), states(repository, 1)) == ({DeliveryState.PENDING}, {DeliveryState.HELD})
    repository.retry_job(job.id, after(2))
    repository.confirm_job(job.id, after(3))
    assert states(repository, 1) == {DeliveryState.PENDING}


def kept_only(repository: Repository, relation: Relation = Relation.CORRECTION, accept: bool = False) -> None:
    """As `corrected`, of what is not measured; the archive was away, so the first version waits to be tried again."""
    repository.register(forwarded(measurable=False), START)
    for delivery in repository.claim_deliveries("c", LEASE_S, 10, START, "archive"):
        repository.postpone_delivery(delivery, failed(None, "no answer"), after(60), START)
    repository.register(forwarded(content="second", measurable=False), START)
    assert states(repository) == {DeliveryState.HELD}
    repository.reconcile(claimed(repository), relation, accept, START)


def test_a_correction_of_what_is_not_measured_waits_too(repository: Repository) -> None:
    kept_only(repository)
    assert (states(repository), states(repository, 1)) == ({DeliveryState.HELD}, {DeliveryState.HELD})
    (job,) = repository.jobs([JobState.HELD], 10)
    assert job.kind is JobKind.SUPERSEDE
    repository.cancel_job(job.id, after(1))
    assert (states(repository), states(repository, 1)) == ({DeliveryState.PENDING}, {DeliveryState.HELD})
    repository.retry_job(job.id, after(2))
    assert (states(repository), states(repository, 1)) == ({DeliveryState.HELD}, {DeliveryState.HELD})
    repository.confirm_job(job.id, after(3))
    assert (states(repository), states(repository, 1)) == ({DeliveryState.CANCELLED}, {DeliveryState.PENDING})
    assert repository.claim_job("w", LEASE_S, after(9)) is None, "nobody works on it"


@pytest.mark.parametrize("relation", [Relation.CORRECTION, Relation.REPLACEMENT])
def test_what_is_accepted_and_not_measured_takes_its_place_at_once(repository: Repository, relation: Relation) -> None:
    kept_only(repository, relation, accept=True)
    assert (states(repository), states(repository, 1)) == ({DeliveryState.CANCELLED}, {DeliveryState.PENDING})


def test_of_two_corrections_that_are_not_measured_the_last_accepted_leaves(repository: Repository) -> None:
    kept_only(repository)
    repository.register(forwarded(content="third", measurable=False), START)
    repository.reconcile(claimed(repository), Relation.CORRECTION, False, START)
    third, second = repository.jobs([JobState.HELD], 10)
    repository.confirm_job(second.id, after(1))
    assert [states(repository, n) for n in range(3)] == [{DeliveryState.CANCELLED}, *[{DeliveryState.HELD}] * 2]
    repository.confirm_job(third.id, after(2))
    assert [states(repository, n) for n in range(3)] == [*[{DeliveryState.CANCELLED}] * 2, {DeliveryState.PENDING}]


def test_what_nobody_measures_or_is_sent_needs_no_confirmation(repository: Repository) -> None:
    for content in ("first", "second"):
        repository.register(image("1.1", content, measurable=False), START)
    repository.reconcile(claimed(repository), Relation.CORRECTION, False, START)
    assert repository.jobs([JobState.HELD], 10) == ()


def test_a_confirmed_correction_that_is_cancelled_does_not_leave_beside_the_first_one(repository: Repository) -> None:
    corrected(repository)
    (job,) = repository.jobs([JobState.HELD], 10)
    repository.confirm_job(job.id, after(1))
    repository.cancel_job(job.id, after(2))
    assert (states(repository), states(repository, 1)) == ({DeliveryState.PENDING}, {DeliveryState.HELD})


def test_an_accepted_correction_leaves_at_once(repository: Repository) -> None:
    corrected(repository, accept=True)
    assert states(repository, 1) == {DeliveryState.PENDING}


def test_a_correction_that_comes_while_the_original_is_sent_holds_it_after_a_failure(repository: Repository) -> None:
    repository.register(forwarded(), START)
    (delivery,) = repository.claim_deliveries("c", LEASE_S, 10, START, "archive")
    repository.register(forwarded(content="second"), START)
    repository.postpone_delivery(delivery, failed(None, "no answer"), after(1), after(1))
    assert states(repository) == {DeliveryState.HELD}


def test_urgent_jobs_come_first_and_low_ones_last(repository: Repository) -> None:
    for number, priority in enumerate((Priority.LOW, Priority.NORMAL, Priority.URGENT)):
        route = Route(rules=("r",), priority=priority)
        repository.register(replace(image(f"1.{number}"), route=route), after(number))
    claims = [repository.instance(claimed(repository, after(9)).instance_id).route.priority for _ in range(3)]
    assert claims == [Priority.URGENT, Priority.NORMAL, Priority.LOW]


def test_the_priority_stays_with_a_correction_and_with_the_study(repository: Repository) -> None:
    urgent = Route(rules=("r",), priority=Priority.URGENT)
    repository.register(replace(image("1.1"), route=urgent), START)
    repository.commit_result(claimed(repository), answer(), (), START)
    assert repository.enqueue_quiet_studies(Quiet(0), after(1)) == 1
    repository.register(image("2.2", study="9.9"), START)
    assert claimed(repository, after(2)).kind is JobKind.STUDY


def test_two_results_never_share_a_uid_though_two_originals_may(repository: Repository) -> None:
    corrected(repository, accept=True)
    uids = [d.sop_instance_uid for d in repository.deliveries((), 100) if d.kind is ResultKind.ORIGINAL]
    assert uids == ["1.1"] * 4
