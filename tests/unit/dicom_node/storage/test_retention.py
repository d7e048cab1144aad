"""What is old goes with all that is known of it, and nothing goes that somebody still waits for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select

from dicom_node.audit import AuditEvent
from dicom_node.domain import CommitmentReport, Delivery, DeliveryState, Quiet, Registered, ResultKind
from dicom_node.storage import retention
from dicom_node.storage.repository import Repository
from dicom_node.storage.retention import Cutoffs, Unit
from dicom_node.storage.rows import AuditRow, InstallationRow, Row
from dicom_node.storage.trail import Wanted
from tests.attempts import failed, taken
from tests.unit.dicom_node.storage.rooms import LEASE_S, PACS, START, after, answer, claimed, image, measured

DAY_S = 86400.0
LATER = after(10 * DAY_S)
ALL = Cutoffs(LATER, LATER, LATER)


def looked_at(repository: Repository) -> None:
    """The tick of the studies has been there; what it queued is cancelled."""
    repository.enqueue_quiet_studies(Quiet(1.0), after(60))
    for job in repository.jobs((), 100):
        if job.state == "queued":
            repository.cancel_job(job.id, after(60))


def sent(repository: Repository) -> None:
    for delivery in repository.claim_deliveries("courier", LEASE_S, 100, after(61), "pacs"):
        repository.mark_sent(delivery, taken(), after(61))


def settled(repository: Repository, uid: str = "1.1") -> None:
    measured(repository, uid)
    sent(repository)
    looked_at(repository)


def rows(repository: Repository) -> dict[str, int]:
    with repository._read() as session:
        counted = {name: session.scalar(select(func.count()).select_from(t)) for name, t in Row.metadata.tables.items()}
    kept = {InstallationRow.__tablename__, AuditRow.__tablename__}
    return {name: int(count) for name, count in counted.items() if count and name not in kept}


def test_a_settled_study_goes_with_all_its_rows_and_names_its_files(repository: Repository) -> None:
    settled(repository)
    (instance,) = repository.versions("1.1")
    paths = {instance.path, *(stored.path for stored in repository.objects_of(instance.id))}

    assert [set(found) for found in repository.forget_old_studies(ALL, LATER)] == [paths]
    assert rows(repository) == {}
    assert repository.register(image("1.1"), LATER) is Registered.NEW


def test_a_study_of_which_something_happened_lately_stays(repository: Repository) -> None:
    settled(repository)
    before = rows(repository)
    assert list(repository.forget_old_studies(Cutoffs(after(61), after(61), None), LATER)) == []
    assert list(repository.forget_old_studies(Cutoffs(None, LATER, None), LATER)) == []
    assert list(repository.forget_old_studies(Cutoffs(None, None, None), LATER)) == []
    assert rows(repository) == before
    assert len(list(repository.forget_old_studies(Cutoffs(after(62), None, None), LATER))) == 1


def test_what_had_to_be_sent_nowhere_has_a_time_of_its_own(repository: Repository) -> None:
    repository.register(image("1.1", measurable=False), START)
    assert list(repository.forget_old_studies(Cutoffs(LATER, None, None), LATER)) == []
    assert len(list(repository.forget_old_studies(Cutoffs(None, LATER, None), LATER))) == 1


def leave_queued(repository: Repository) -> None:
    repository.register(image("1.2"), START)


def leave_running(repository: Repository) -> None:
    repository.register(image("1.2"), START)
    claimed(repository)


def leave_dead(repository: Repository) -> None:
    repository.register(image("1.2"), START)
    repository.bury_job(claimed(repository), "broken", START)


def leave_unseen(repository: Repository) -> None:
    """Answered, and the tick of the studies has not been there since."""
    repository.register(image("1.2"), START)
    repository.commit_result(claimed(repository), answer("f2", ()), (), START)


def an_unsent(change: Callable[[Repository, Delivery], object]) -> Callable[[Repository], None]:
    def leave(repository: Repository) -> None:
        repository.register(image("1.2"), START)
        repository.commit_result(claimed(repository), answer("f2", (ResultKind.TID1500,)), (PACS,), START)
        looked_at(repository)
        (delivery,) = repository.claim_deliveries("courier", LEASE_S, 9, after(70), "pacs")
        change(repository, delivery)

    return leave


WAITING = {
    "queued": leave_queued,
    "running": leave_running,
    "dead": leave_dead,
    "unseen": leave_unseen,
    "sending": an_unsent(lambda repository, delivery: None),
    "pending": an_unsent(lambda repository, d: repository.postpone_delivery(d, None, after(80), after(80))),
    "given up": an_unsent(lambda repository, d: repository.bury_delivery(d, failed(0xA900), "no", after(80))),
}


@pytest.mark.parametrize("leave", WAITING.values(), ids=WAITING)
def test_nothing_goes_that_somebody_waits_for(repository: Repository, leave: Callable[[Repository], None]) -> None:
    settled(repository)
    leave(repository)
    before = rows(repository)
    assert list(repository.forget_old_studies(ALL, LATER)) == []
    assert rows(repository) == before


def test_a_correction_in_another_study_keeps_both(repository: Repository) -> None:
    settled(repository)
    repository.register(image("1.1", "corrected", measurable=False, study="4.5.6"), START)
    job = claimed(repository)
    from dicom_node.domain import Relation

    repository.reconcile(job, Relation.CORRECTION, False, START)
    looked_at(repository)
    assert list(repository.forget_old_studies(ALL, LATER)) == []


def test_of_many_studies_only_those_that_are_due_go(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom_node.storage.retention.STUDIES_AT_ONCE", 2)
    for number in range(7):
        when = START if number % 2 else LATER
        repository.register(image(f"1.{number}", measurable=False, study=f"9.{number}"), when)
    assert len(list(repository.forget_old_studies(ALL, LATER))) == 3
    assert rows(repository) == {"instance": 4}


def test_a_clock_that_was_set_back_puts_nothing_off(repository: Repository) -> None:
    measured(repository, "1.1")
    repository.register(image("1.2"), START)
    long_ago = START - timedelta(days=30)

    def claims(now: datetime) -> tuple[bool, int]:
        job = repository.claim_job("worker", LEASE_S, now)
        return job is not None, len(repository.claim_deliveries("courier", LEASE_S, 9, now, "pacs"))

    assert claims(long_ago) == (False, 0)
    assert repository.mend_times(3600.0, START) == 0
    assert repository.mend_times(3600.0, long_ago) == 4
    assert claims(long_ago) == (True, 3)


def test_a_lease_from_the_future_ends(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    claimed(repository)
    long_ago = START - timedelta(days=30)
    assert repository.mend_times(3600.0, long_ago) == 1
    assert repository.claim_job("other", LEASE_S, long_ago + timedelta(seconds=3599)) is None
    again = repository.claim_job("other", LEASE_S, long_ago + timedelta(seconds=3600))
    assert again is not None
    assert again.token == 2


def test_a_study_that_came_before_the_clock_was_set_back_is_reported(repository: Repository) -> None:
    measured(repository, "1.1")
    assert repository.enqueue_quiet_studies(Quiet(90.0), START + timedelta(seconds=10)) == 0
    assert repository.enqueue_quiet_studies(Quiet(90.0), START - timedelta(seconds=80)) == 0
    assert repository.enqueue_quiet_studies(Quiet(90.0), START - timedelta(days=30)) == 1


def test_sent_is_an_end_and_pending_is_not() -> None:
    from dicom_node.storage import retention

    assert set(retention._DELIVERY_ENDS) == {
        DeliveryState.SENT,
        DeliveryState.COMMITTED,
        DeliveryState.CANCELLED,
    }


def test_where_commitment_is_asked_for_sent_is_not_the_end(repository: Repository) -> None:
    settled(repository)
    asking = replace(ALL, committing=("pacs",))
    assert list(repository.forget_old_studies(asking, LATER)) == []
    request = repository.ask_commitment("2.25.1", "pacs", 100, after(62))
    assert request is not None
    uids = tuple(uid for _class, uid in request.objects)
    repository.commitment_answered(CommitmentReport("2.25.1", uids[1:], ()), after(63))
    assert list(repository.forget_old_studies(asking, LATER)) == []
    repository.commitment_answered(CommitmentReport("2.25.1", uids, ()), after(64))
    assert len(list(repository.forget_old_studies(asking, LATER))) == 1


def test_what_is_committed_has_an_age_of_its_own(repository: Repository) -> None:
    settled(repository)
    committed_only = Cutoffs(None, None, LATER, ("pacs",))
    request = repository.ask_commitment("2.25.1", "pacs", 100, after(62))
    assert request is not None
    uids = tuple(uid for _class, uid in request.objects)
    repository.commitment_answered(CommitmentReport("2.25.1", uids[1:], ()), after(63))
    assert list(repository.forget_old_studies(replace(committed_only, committing=()), LATER)) == [], "one is only sent"
    repository.commitment_answered(CommitmentReport("2.25.1", uids, ()), after(64))
    assert list(repository.forget_old_studies(Cutoffs(LATER, LATER, None, ("pacs",)), LATER)) == []
    assert len(list(repository.forget_old_studies(committed_only, LATER))) == 1


def test_an_object_whose_study_is_not_known_goes_by_itself(repository: Repository) -> None:
    """Its header was too long to be read at the door; no study of such objects is ever reported."""
    for uid, when in (("1.1", START), ("1.2", START), ("1.3", LATER)):
        repository.register(image(uid, study=""), when)
        job = claimed(repository, LATER)
        repository.commit_result(job, answer(uid), (), START)
    settled(repository, "1.4")
    assert len(list(repository.forget_old_studies(ALL, LATER))) == 3
    assert [bool(repository.versions(uid)) for uid in ("1.1", "1.2", "1.3", "1.4")] == [False, False, True, False]
    gone = [one.entry.sop_instance_uid for one in repository.whole_audit_trail(Wanted((AuditEvent.STUDY_DELETED,)))]
    assert gone == ["1.1", "1.2", None]


def test_what_an_alternate_took_is_kept_until_it_commits_that(repository: Repository) -> None:
    """Whoever asked for commitment, of the destination or of its alternate, has not got it yet."""
    measured(repository, "1.1")
    for delivery in repository.claim_deliveries("courier", LEASE_S, 100, after(61), "pacs"):
        repository.mark_sent(delivery, taken(asked="spare"), after(61))
    looked_at(repository)
    for asked in ("spare", "pacs"):
        assert list(repository.forget_old_studies(replace(ALL, committing=(asked,)), LATER)) == []
    request = repository.ask_commitment("2.25.1", "spare", 100, after(62))
    assert request is not None
    uids = tuple(uid for _class, uid in request.objects)
    repository.commitment_answered(CommitmentReport("2.25.1", uids, ()), after(63))
    assert len(list(repository.forget_old_studies(replace(ALL, committing=("spare", "pacs")), LATER))) == 1


def test_what_comes_again_as_it_was_makes_its_study_young(repository: Repository) -> None:
    """A person sends an old exam again because the archive lost it, and is told Success."""
    settled(repository)
    assert repository.register(image("1.1"), LATER) is Registered.SAME
    assert list(repository.forget_old_studies(ALL, LATER)) == []
    later = LATER + timedelta(seconds=1)
    assert len(list(repository.forget_old_studies(Cutoffs(later, later, later), later))) == 1


def test_the_audit_trail_outlives_the_study_and_says_that_it_is_gone(repository: Repository) -> None:
    repository.register(image("1.1", measurable=False), START)
    assert len(list(repository.forget_old_studies(ALL, LATER))) == 1
    came, gone = (found.entry for found in repository.whole_audit_trail(Wanted()))
    assert (came.event, came.sop_instance_uid) == ("object.received", "1.1")
    assert (gone.event, gone.study_instance_uid, gone.detail) == ("study.deleted", "1.2.3", {"files": 1})


def test_a_study_that_is_gone_is_not_deleted_again(repository: Repository) -> None:
    """Two receivers look at the same time."""
    repository.register(image("1.1", measurable=False), START)
    with repository._write() as session:
        assert retention.remove(session, Unit("1.2.3"), ALL) is not None
    with repository._write() as session:
        assert retention.remove(session, Unit("1.2.3"), ALL) is None
