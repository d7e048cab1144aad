"""When a study is due, what a version of it rests on, and what may leave of what was said."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text
from sqlalchemy.event import listen, remove
from sqlalchemy.orm import Session

from dicom_node.domain import (
    CommitmentOutcome,
    CommitmentReport,
    Delivery,
    DeliveryState,
    Destination,
    IllegalTransition,
    Job,
    JobKind,
    JobState,
    NewResult,
    NewStudyResult,
    Quiet,
    Relation,
    ResultKind,
)
from dicom_node.errors import LeaseLost, Refused
from dicom_node.storage import schema
from dicom_node.storage.engine import open_engine
from dicom_node.storage.repository import Repository
from dicom_node.storage.wakeup import Writing
from tests.attempts import failed, taken
from tests.postgresql import Server
from tests.receiving import eventually
from tests.unit.dicom_node.storage.rooms import PACS, START, after, answer, claimed, image, report

STUDY = "1.2.3"
QUIET_S = 90.0
STUDY_KINDS = (ResultKind.STUDY_SR, ResultKind.STUDY_PDF)
READER = Destination("reader", "READER", "localhost", 104, (*STUDY_KINDS, ResultKind.STUDY_OVERLAY))


def tick(repository: Repository, seconds: float = QUIET_S) -> int:
    return repository.enqueue_quiet_studies(Quiet(QUIET_S), after(seconds))


def answered(repository: Repository, uid: str, said: NewResult | None = None, study: str = STUDY) -> int:
    """Receive and measure an image; its instance id."""
    repository.register(image(uid, study=study), START)
    job = claimed(repository)
    repository.commit_result(job, said or answer(uid, (ResultKind.TID1500,)), (PACS,), START)
    assert job.instance_id is not None
    return job.instance_id


def nothing(uid: str, reason: str = "no_head_found") -> NewResult:
    return replace(answer(uid, ()), status="abstained", reason=reason)


def study_job(repository: Repository, seconds: float = QUIET_S) -> Job:
    assert tick(repository, seconds) == 1
    job = claimed(repository, after(seconds))
    assert job.kind is JobKind.STUDY
    return job


def said(repository: Repository, job: Job, destinations: Sequence[Destination] = (READER,)) -> bool:
    new = NewStudyResult(answer(f"study {job.id}", STUDY_KINDS))
    return repository.commit_study(job, new, destinations, after(QUIET_S))


def sources(repository: Repository, job: Job) -> list[str]:
    version = repository.study_version(job.study_version_id)
    return [source.instance.sop_instance_uid for source in version.sources]


def states(repository: Repository, version: int) -> set[DeliveryState]:
    kept = {o.id for o in repository.study_results(STUDY)[version - 1].objects}
    return {d.state for d in repository.deliveries((), 100) if d.object_id in kept}


def again(repository: Repository, uid: str, relation: Relation, content: str = "again") -> None:
    """A further version of an image, reconciled; a correction then waits for a person."""
    repository.register(image(uid, content), START)
    repository.reconcile(claimed(repository), relation, accept=False, now=START)


def test_a_study_is_due_once_it_has_been_quiet(repository: Repository) -> None:
    answered(repository, "1.1")
    answered(repository, "1.2")
    assert tick(repository, QUIET_S - 1) == 0
    job = study_job(repository)
    assert (job.state, job.instance_id, job.token) == (JobState.RUNNING, None, 1)
    assert sources(repository, job) == ["1.1", "1.2"]
    assert repository.study_version(job.study_version_id).version == 1


def test_the_tick_enqueues_once(repository: Repository) -> None:
    answered(repository, "1.1")
    assert [tick(repository) for _ in range(3)] == [1, 0, 0]
    assert said(repository, claimed(repository, after(QUIET_S)))
    assert tick(repository, 1000) == 0
    assert repository.counts(after(1000))["studies"] == 1


def test_what_came_last_decides_when_a_study_is_quiet(repository: Repository) -> None:
    answered(repository, "1.1")
    repository.register(image("1.9", measurable=False), after(60))
    assert tick(repository, QUIET_S) == 0
    assert tick(repository, 60 + QUIET_S) == 1


def test_each_study_is_quiet_for_itself(repository: Repository) -> None:
    answered(repository, "1.1")
    answered(repository, "2.1", study="2")
    repository.register(image("2.2", measurable=False, study="2"), after(60))
    assert sources(repository, study_job(repository)) == ["1.1"]


def test_images_whose_study_was_not_read_are_not_a_study(repository: Repository) -> None:
    answered(repository, "1.1", study="")
    answered(repository, "2.1", study="")
    assert tick(repository) == 0
    assert repository.counts(after(QUIET_S))["studies_waiting"] == 0


def test_a_study_waits_for_what_is_under_way(repository: Repository) -> None:
    answered(repository, "1.1")
    repository.register(image("1.2"), START)
    assert tick(repository) == 0
    job = claimed(repository)
    assert tick(repository) == 0
    repository.commit_result(job, answer("1.2", ()), (), START)
    assert sources(repository, study_job(repository)) == ["1.1", "1.2"]


def test_an_image_that_cannot_be_done_does_not_hold_up_its_study(repository: Repository) -> None:
    answered(repository, "1.1")
    repository.register(image("1.2"), START)
    repository.bury_job(claimed(repository), "ZeroDivisionError", START)
    assert sources(repository, study_job(repository)) == ["1.1"]


def test_a_study_without_a_head_has_no_report(repository: Repository) -> None:
    answered(repository, "1.1", nothing("1.1"))
    assert tick(repository) == 0
    assert repository.jobs((JobState.QUEUED,), 9) == ()


@pytest.mark.parametrize("reason", ["two_heads", "regions_disagree"])
def test_an_image_of_two_heads_counts(repository: Repository, reason: str) -> None:
    answered(repository, "1.1")
    answered(repository, "1.2", nothing("1.2", reason))
    assert sources(repository, study_job(repository)) == ["1.1", "1.2"]


def test_an_image_without_a_head_makes_no_new_version(repository: Repository) -> None:
    answered(repository, "1.1")
    assert said(repository, study_job(repository))
    answered(repository, "1.2", nothing("1.2"))
    assert tick(repository) == 0


def test_a_late_image_makes_a_version_that_follows_and_takes_the_place_of_what_had_not_left(
    repository: Repository,
) -> None:
    answered(repository, "1.1")
    assert said(repository, study_job(repository))
    answered(repository, "1.2")
    assert states(repository, 1) == {DeliveryState.PENDING}
    job = study_job(repository)
    version = repository.study_version(job.study_version_id)
    assert (version.version, sources(repository, job)) == (2, ["1.1", "1.2"])
    assert said(repository, job)
    assert (states(repository, 1), states(repository, 2)) == ({DeliveryState.CANCELLED}, {DeliveryState.PENDING})


def test_what_was_sent_of_an_earlier_version_stays_sent(repository: Repository) -> None:
    answered(repository, "1.1")
    assert said(repository, study_job(repository))
    for delivery in repository.claim_deliveries("courier", 60, 9, after(QUIET_S), "reader"):
        repository.mark_sent(delivery, taken(), after(QUIET_S))
    answered(repository, "1.2")
    assert said(repository, study_job(repository))
    assert states(repository, 1) == {DeliveryState.SENT}


@pytest.mark.parametrize("commits", [True, False])
def test_the_predecessor_is_what_somebody_has_or_is_being_given(repository: Repository, commits: bool) -> None:
    answered(repository, "1.1")
    assert said(repository, study_job(repository))
    sent, _ = repository.claim_deliveries("courier", 60, 9, after(QUIET_S), "reader")
    repository.mark_sent(sent, taken(asked="reader"), after(QUIET_S))
    if commits:
        repository.ask_commitment("2.25.1", "reader", 9, after(QUIET_S))
        told = CommitmentReport("2.25.1", (sent.sop_instance_uid,), ())
        assert repository.commitment_answered(told, after(QUIET_S)) == CommitmentOutcome("reader", 1, 0, 0)
    first = repository.study_results(STUDY)[0].objects
    for number in (2, 3):
        answered(repository, f"1.{number}")
        job = study_job(repository)
        version = repository.study_version(job.study_version_id)
        assert (version.version, repository.study_predecessor_objects(version)) == (number, first)
        assert said(repository, job), "and cancelled before it left"


def test_what_nobody_received_is_nobodys_predecessor(repository: Repository) -> None:
    answered(repository, "1.1")
    assert said(repository, study_job(repository))
    (delivery,) = repository.claim_deliveries("courier", 60, 1, after(QUIET_S), "reader")
    repository.bury_delivery(delivery, failed(0xA700), "no room", after(QUIET_S))
    answered(repository, "1.2")
    version = repository.study_version(study_job(repository).study_version_id)
    assert repository.study_predecessor_objects(version) == ()


def test_a_delivery_on_its_way_when_the_next_version_came_is_not_tried_again(repository: Repository) -> None:
    answered(repository, "1.1")
    assert said(repository, study_job(repository))
    (delivery,) = repository.claim_deliveries("courier", 60, 1, after(QUIET_S), "reader")
    answered(repository, "1.2")
    assert said(repository, study_job(repository))
    repository.postpone_delivery(delivery, failed(None, None), after(100), after(100))
    assert states(repository, 1) == {DeliveryState.CANCELLED}, "nor the one that nobody had claimed"


def test_a_version_that_was_overtaken_is_never_said(repository: Repository) -> None:
    answered(repository, "1.1")
    job = study_job(repository)
    repository.register(image("1.2"), START)
    late = claimed(repository)
    assert not said(repository, job)
    assert repository.study_results(STUDY) == ()
    assert repository.jobs((), 9)[0].kind is JobKind.MEASURE
    repository.commit_result(late, nothing("1.2"), (), START)
    again_due = study_job(repository)
    assert sources(repository, again_due) == ["1.1"]
    assert said(repository, again_due)


def test_a_worker_that_slept_finds_no_other_job_under_the_number_of_its_own(repository: Repository) -> None:
    answered(repository, "1.1")
    old = study_job(repository)
    repository.register(image("1.2"), START)
    awake = claimed(repository, after(QUIET_S + 61))
    assert (awake.id, said(repository, awake)) == (old.id, False)
    with pytest.raises(LeaseLost):
        said(repository, old)
    repository.commit_result(claimed(repository), answer("1.2", ()), (), START)
    new = study_job(repository)
    assert old.study_version_id != new.study_version_id
    assert new.id != old.id
    with pytest.raises(LeaseLost):
        said(repository, old)
    assert said(repository, new)


def test_only_the_worker_that_holds_the_job_commits(repository: Repository) -> None:
    answered(repository, "1.1")
    old = study_job(repository)
    new = claimed(repository, after(QUIET_S + 61))
    assert new.id == old.id
    with pytest.raises(LeaseLost):
        said(repository, old)
    assert said(repository, new)
    with pytest.raises(LeaseLost):
        said(repository, new)
    assert len(repository.study_results(STUDY)) == 1


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_correction_that_waits_holds_the_study_and_what_was_said_of_it(
    repository: Repository, confirmed: bool
) -> None:
    answered(repository, "1.1")
    answered(repository, "1.2")
    assert said(repository, study_job(repository))
    again(repository, "1.2", Relation.CORRECTION)
    assert states(repository, 1) == {DeliveryState.HELD}
    answered(repository, "1.3")
    assert tick(repository) == 0, "nobody knows whose picture one of them is"

    (held,) = repository.jobs((JobState.HELD,), 2)
    if confirmed:
        repository.confirm_job(held.id, START)
        repository.commit_result(claimed(repository), answer("1.2 again", ()), (), START)
        assert states(repository, 1) == {DeliveryState.HELD}, "withdrawn, and not yet replaced"
    else:
        repository.cancel_job(held.id, START)
        assert states(repository, 1) == {DeliveryState.PENDING}
    job = study_job(repository)
    revisions = {
        s.instance.sop_instance_uid: s.instance.revision for s in repository.study_version(job.study_version_id).sources
    }
    assert revisions == {"1.1": 0, "1.2": 1 if confirmed else 0, "1.3": 0}
    assert said(repository, job)
    assert states(repository, 1) == {DeliveryState.CANCELLED}


def test_a_correction_overtakes_a_version_that_is_being_made(repository: Repository) -> None:
    answered(repository, "1.1")
    job = study_job(repository)
    again(repository, "1.1", Relation.CORRECTION)
    assert not said(repository, job)
    assert tick(repository) == 0


def test_a_copy_makes_no_new_version(repository: Repository) -> None:
    answered(repository, "1.1")
    assert said(repository, study_job(repository))
    again(repository, "1.1", Relation.DUPLICATE)
    assert states(repository, 1) == {DeliveryState.PENDING}
    assert tick(repository, 1000) == 0


def test_a_study_that_lost_its_only_head_is_withdrawn(repository: Repository) -> None:
    answered(repository, "1.1")
    assert said(repository, study_job(repository))
    again(repository, "1.1", Relation.CORRECTION)
    repository.confirm_job(repository.jobs((JobState.HELD,), 1)[0].id, START)
    repository.commit_result(claimed(repository), nothing("1.1 again"), (), START)
    job = study_job(repository)
    assert sources(repository, job) == []
    assert repository.commit_study(job, NewStudyResult(nothing("no head is left")), (READER,), START)
    assert states(repository, 1) == {DeliveryState.CANCELLED}
    assert tick(repository, 1000) == 0


def test_an_image_that_moved_to_another_study_leaves_the_report_of_the_first(repository: Repository) -> None:
    answered(repository, "1.1")
    answered(repository, "1.2")
    assert said(repository, study_job(repository))
    repository.register(image("1.2", "moved", study="2"), START)
    repository.reconcile(claimed(repository), Relation.CORRECTION, accept=True, now=START)
    repository.commit_result(claimed(repository), answer("1.2 moved", ()), (), START)
    assert tick(repository) == 2
    assert [sources(repository, claimed(repository, after(QUIET_S))) for _ in range(2)] == [["1.1"], ["1.2"]]


@pytest.mark.parametrize("stored", [True, False])
def test_the_overlay_of_the_selected_image_is_stored_and_sent_once(repository: Repository, stored: bool) -> None:
    kinds = (ResultKind.OVERLAY,) if stored else ()
    selected = answered(repository, "1.1", answer("1.1", kinds))
    for number in (1, 2):
        job = study_job(repository)
        result = repository.result_of(selected)
        assert result is not None
        made = None if stored or number == 2 else report(ResultKind.OVERLAY)
        new = NewStudyResult(answer(f"study {number}", ()), result.id, made)
        assert repository.commit_study(job, new, (READER, PACS), START)
        answered(repository, f"2.{number}", answer(f"2.{number}", ()))
    (overlay,) = repository.objects_of(selected)
    assert overlay.kind is ResultKind.OVERLAY
    sent = [d.destination for d in repository.deliveries((), 9)]
    assert sorted(sent) == (["pacs", "reader"] if stored else ["reader"])


def select_head(repository: Repository, instance_id: int | None, destinations: Sequence[Destination]) -> None:
    """The next version of the study selects that image, or none."""
    job = study_job(repository)
    result = None if instance_id is None else repository.result_of(instance_id)
    new = NewStudyResult(answer(f"study {job.id}", ()), None if result is None else result.id)
    assert repository.commit_study(job, new, destinations, after(QUIET_S))


def overlays(repository: Repository) -> dict[int, list[tuple[str, DeliveryState]]]:
    """Deliveries of overlays by image, first one first."""
    found: dict[int, list[tuple[str, DeliveryState]]] = {}
    for delivery in reversed(repository.deliveries((), 99)):
        found.setdefault(delivery.object_id, []).append((delivery.destination, delivery.state))
    return found


def test_the_overlay_that_is_selected_no_longer_is_not_sent_until_it_is_selected_again(repository: Repository) -> None:
    kinds = (ResultKind.OVERLAY,)
    first = answered(repository, "1.1", answer("1.1", kinds))
    select_head(repository, first, (READER, PACS))
    second = answered(repository, "1.2", answer("1.2", kinds))
    one, two = (repository.objects_of(each)[0].id for each in (first, second))
    by_itself = ("pacs", DeliveryState.PENDING)
    assert overlays(repository)[one] == [by_itself, ("reader", DeliveryState.PENDING)]

    select_head(repository, second, (READER, PACS))
    assert overlays(repository) == {
        one: [by_itself, ("reader", DeliveryState.CANCELLED)],
        two: [by_itself, ("reader", DeliveryState.PENDING)],
    }
    with pytest.raises(IllegalTransition):
        repository.retry_delivery(repository.deliveries((DeliveryState.CANCELLED,), 1)[0].id, after(QUIET_S))

    answered(repository, "1.3", answer("1.3", ()))
    select_head(repository, None, (READER, PACS))
    assert [state for _, state in overlays(repository)[two]] == [DeliveryState.PENDING, DeliveryState.CANCELLED]

    answered(repository, "1.4", answer("1.4", ()))
    select_head(repository, first, (READER, PACS))
    assert overlays(repository)[one] == [by_itself, ("reader", DeliveryState.PENDING)]
    assert overlays(repository)[two] == [by_itself, ("reader", DeliveryState.CANCELLED)]


@pytest.mark.parametrize("expires", [True, False])
def test_an_overlay_on_its_way_when_another_was_selected_is_not_tried_again(
    repository: Repository, expires: bool
) -> None:
    first = answered(repository, "1.1", answer("1.1", (ResultKind.OVERLAY,)))
    repository.claim_deliveries("courier", 60, 9, START, "pacs")
    select_head(repository, first, (READER,))
    (delivery,) = repository.claim_deliveries("courier", 60, 9, after(QUIET_S), "reader")
    second = answered(repository, "1.2", answer("1.2", ()))
    select_head(repository, second, (READER,))
    if expires:
        assert repository.claim_deliveries("another", 60, 9, after(1000), "reader") == ()
    else:
        repository.postpone_delivery(delivery, failed(None, None), after(100), after(100))
    assert [d.state for d in repository.deliveries((), 9) if d.id == delivery.id] == [DeliveryState.CANCELLED]


def sent_again_later(repository: Repository, delivery: Delivery) -> None:
    repository.postpone_delivery(delivery, failed(None, None), after(100), after(100))


def retried(repository: Repository, delivery: Delivery) -> None:
    repository.retry_delivery(delivery.id, after(100))


def not_committed(repository: Repository, delivery: Delivery) -> None:
    repository.commitment_answered(CommitmentReport("1.9", (), ((delivery.sop_instance_uid, 0x0112),)), after(100))


def nothing_before(_repository: Repository, _delivery: Delivery) -> None:
    pass


def given_up(repository: Repository, delivery: Delivery) -> None:
    repository.bury_delivery(delivery, failed(0xC000), "given up", after(100))


def asked_about(repository: Repository, delivery: Delivery) -> None:
    repository.mark_sent(delivery, taken(asked="reader"), after(100))
    assert repository.ask_commitment("1.9", "reader", 9, after(100)) is not None


@pytest.mark.peer("postgres")
@pytest.mark.parametrize(
    ("before", "act"), [(nothing_before, sent_again_later), (given_up, retried), (asked_about, not_committed)]
)
def test_an_overlay_that_waits_again_is_held_by_a_correction_of_another_image_of_its_study_at_that_moment(
    postgresql: Server,
    postgresql_url: str,
    before: Callable[[Repository, Delivery], None],
    act: Callable[[Repository, Delivery], None],
) -> None:
    """The overlay is of one image, and the version of the study that asked for it rests on both."""
    with closing(Repository.open(postgresql_url)) as repository, closing(Repository.open(postgresql_url)) as another:
        first = answered(repository, "1.1", answer("1.1", (ResultKind.OVERLAY,)))
        answered(repository, "1.2", answer("1.2", ()))
        select_head(repository, first, (READER,))
        (delivery,) = repository.claim_deliveries("courier", 60, 9, after(QUIET_S), "reader")
        before(repository, delivery)

        with at_the_next_commit(postgresql, lambda: another.register(image("1.2", "corrected"), after(100))):
            act(repository, delivery)

        assert len(repository.versions("1.2")) == 2
        assert [d.state for d in repository.deliveries((), 9) if d.id == delivery.id] == [DeliveryState.HELD]


@contextmanager
def at_the_next_commit(server: Server, act: Callable[[], object]) -> Iterator[None]:
    """Have `act` begin elsewhere when this thread has changed something and not committed it yet.

    The commit follows when `act` is over or waits for a lock of ours.
    """
    here, others = threading.current_thread(), [threading.Thread(target=act)]

    def begin(_session: Session) -> None:
        if threading.current_thread() is here and not others[0].ident:
            others[0].start()
            eventually(lambda: not others[0].is_alive() or server.sql(WAITING))

    listen(Writing, "before_commit", begin)
    try:
        yield
    finally:
        remove(Writing, "before_commit", begin)
    assert others[0].ident, "nothing was changed"
    others[0].join(60)
    assert not others[0].is_alive()


WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


def test_an_operator_may_retry_and_cancel_the_job_of_a_study(repository: Repository) -> None:
    answered(repository, "1.1")
    job = study_job(repository)
    repository.bury_job(job, "ZeroDivisionError", after(QUIET_S))
    assert tick(repository, 1000) == 0
    repository.retry_job(job.id, after(1000))
    repository.cancel_job(job.id, after(1000))
    with pytest.raises(IllegalTransition):
        repository.confirm_job(job.id, after(1000))
    assert tick(repository, 2000) == 0, "who cancels a report does not get it again"
    answered(repository, "1.2")
    assert sources(repository, study_job(repository, 2000)) == ["1.1", "1.2"]


def test_a_version_that_is_unknown_is_refused(repository: Repository) -> None:
    with pytest.raises(Refused):
        repository.study_version(7)
    with pytest.raises(Refused):
        repository.study_version(None)


def test_many_who_tick_at_once_enqueue_once(url: str, repository: Repository) -> None:
    for number in range(5):
        answered(repository, f"{number}.1", study=f"{number}")
    together = threading.Barrier(4)
    enqueued: list[int] = []

    def run() -> None:
        own = Repository.open(url)
        together.wait(30)
        enqueued.append(tick(own))
        own.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(enqueued) == 5
    assert len([job for job in repository.jobs((), 99) if job.kind is JobKind.STUDY]) == 5


OLD_ROWS = """
INSERT INTO instance VALUES (1, '1.1', 0, '1.2', '1.2.3', '1.2.3.4', '1.2', 'a.dcm', 1, 'ab', 'first', 1, 'A', 'B',
    'h', '2026-03-01 11:00:00.000000');
INSERT INTO job VALUES (1, 'measure', 1, 'done', 1, 0, 1, 'w', '2026-03-01 11:00:00.000000', NULL, NULL,
    '2026-03-01 11:00:00.000000', '2026-03-01 11:00:00.000000');
INSERT INTO result VALUES (1, 1, 'f', 'measured', NULL, '{}', '2026-03-01 11:00:00.000000');
INSERT INTO result_object VALUES (1, 1, 'tid1500', '1.2', '2.25.1', 'r.dcm', 'cd');
INSERT INTO delivery VALUES (1, 1, 'pacs', 'pending', 0, 0, NULL, '2026-03-01 11:00:00.000000', NULL, NULL, NULL,
    '2026-03-01 11:00:00.000000', '2026-03-01 11:00:00.000000', '2026-03-01 11:00:00.000000')
"""


def test_a_database_of_before_keeps_its_rows_and_sends_no_report_about_the_past(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'old.sqlite3'}"
    engine = open_engine(url)
    config = schema.alembic_config()
    with schema.altering(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for statement in OLD_ROWS.split(";\n"):
            connection.execute(text(statement))
    engine.dispose()
    repository = Repository.open(url)
    repository.migrate()
    assert [o.sop_instance_uid for o in repository.objects_of(1)] == ["2.25.1"]
    assert [d.state for d in repository.deliveries((), 9)] == [DeliveryState.PENDING]
    assert tick(repository, 100_000) == 0

    answered(repository, "1.2")
    job = study_job(repository)
    assert sources(repository, job) == ["1.1", "1.2"], "a late image makes a report about all"
    repository.close()
