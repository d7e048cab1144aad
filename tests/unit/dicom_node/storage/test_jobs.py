"""The job queue: leases, tokens, and what an operator may do."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dicom_node.domain import JOB_TRANSITIONS, IllegalTransition, Job, JobKind, JobState
from dicom_node.errors import LeaseLost, Refused
from dicom_node.storage.repository import Repository
from tests.unit.dicom_node.storage.rooms import LEASE_S, PACS, START, after, answer, claimed, corrected, image, measured


def states(repository: Repository) -> dict[int, JobState]:
    return {job.id: job.state for job in repository.jobs((), 100)}


def finish(repository: Repository, job: Job, now: datetime) -> None:
    repository.commit_result(job, answer(kinds=()), (), now)


def test_nothing_to_claim(repository: Repository) -> None:
    assert repository.claim_job("worker", LEASE_S, START) is None


def test_the_longest_waiting_job_is_claimed_first_and_once(repository: Repository) -> None:
    repository.register(image("1.2"), after(1))
    repository.register(image("1.1"), after(0))
    first, second = claimed(repository, after(2)), claimed(repository, after(2))

    assert repository.instance(first.instance_id).sop_instance_uid == "1.1"
    assert repository.instance(second.instance_id).sop_instance_uid == "1.2"
    assert (first.state, first.attempts, first.token, first.lease_until) == (JobState.RUNNING, 1, 1, after(2 + LEASE_S))
    assert repository.claim_job("worker", LEASE_S, after(2)) is None


def test_a_job_is_not_due_before_its_time(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    repository.postpone_job(claimed(repository), "later", after(10), START)

    assert repository.claim_job("worker", LEASE_S, after(9.999)) is None
    again = claimed(repository, after(10))
    assert (again.attempts, again.token, again.error) == (2, 2, "later")


def test_a_silent_worker_loses_its_job_and_is_fenced_off(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    old = claimed(repository)
    assert repository.claim_job("other", LEASE_S, after(LEASE_S - 0.001)) is None
    new = claimed(repository, after(LEASE_S))
    assert (new.id, new.attempts, new.token) == (old.id, 2, 2)

    now = after(LEASE_S + 1)
    attempts: tuple[Callable[[], None], ...] = (
        lambda: finish(repository, old, now),
        lambda: repository.renew_job(old, LEASE_S, now),
        lambda: repository.postpone_job(old, "x", now, now),
        lambda: repository.bury_job(old, "x", now),
        lambda: repository.commit_result(old, answer(), (PACS,), now),
    )
    for late in attempts:
        with pytest.raises(LeaseLost):
            late()
    assert repository.result_of(old.instance_id) is None
    assert repository.jobs((), 10) == (new,)


def test_a_renewed_lease_holds(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    job = claimed(repository)
    repository.renew_job(job, LEASE_S, after(50))
    assert repository.claim_job("other", LEASE_S, after(50 + LEASE_S - 1)) is None
    finish(repository, job, after(100))
    assert states(repository) == {job.id: JobState.DONE}


def test_a_late_worker_may_finish_what_nobody_took_over(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    job = claimed(repository)
    finish(repository, job, after(10 * LEASE_S))
    assert states(repository) == {job.id: JobState.DONE}


def test_a_finished_job_cannot_be_finished_again(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    job = claimed(repository)
    finish(repository, job, START)
    with pytest.raises(LeaseLost):
        finish(repository, job, START)


def test_a_dead_job_is_retried_with_its_attempts_forgotten(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    repository.bury_job(claimed(repository), "it is broken", START)
    (dead,) = repository.jobs((JobState.DEAD,), 10)
    assert dead.error == "it is broken"

    repository.retry_job(dead.id, after(5))
    again = claimed(repository, after(5))
    assert (again.attempts, again.token) == (1, 2)


def test_retry_makes_a_waiting_job_due_now(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    job = claimed(repository)
    repository.postpone_job(job, "later", after(900), START)
    repository.retry_job(job.id, after(1))
    assert claimed(repository, after(1)).id == job.id


def test_cancel_and_retry(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    (job,) = repository.jobs((), 1)
    repository.cancel_job(job.id, START)
    assert repository.claim_job("worker", LEASE_S, after(99)) is None
    repository.retry_job(job.id, START)
    assert claimed(repository).id == job.id


def test_operators_cannot_touch_what_runs_or_is_done(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    job = claimed(repository)
    for _ in range(2):
        for change in (repository.retry_job, repository.cancel_job, repository.confirm_job):
            with pytest.raises(IllegalTransition):
                change(job.id, START)
        if states(repository)[job.id] is JobState.RUNNING:
            finish(repository, job, START)
    assert states(repository) == {job.id: JobState.DONE}


def test_a_held_job_is_confirmed_not_retried(repository: Repository) -> None:
    measured(repository, "1.1")
    corrected(repository, "1.1")
    (held,) = repository.jobs((JobState.HELD,), 10)
    with pytest.raises(IllegalTransition, match="held"):
        repository.retry_job(held.id, START)
    repository.confirm_job(held.id, START)
    assert claimed(repository).id == held.id


@pytest.mark.parametrize("verb", ["retry_job", "cancel_job", "confirm_job"])
def test_unknown_job_is_refused_by_its_number(repository: Repository, verb: str) -> None:
    with pytest.raises(Refused, match="no job 17"):
        getattr(repository, verb)(17, START)


def test_listing_is_newest_first_and_limited(repository: Repository) -> None:
    for number in range(5):
        repository.register(image(f"1.{number}"), after(number))
    finish(repository, claimed(repository, after(9)), after(9))

    assert [job.id for job in repository.jobs((), 3)] == [5, 4, 3]
    assert [job.id for job in repository.jobs((JobState.DONE,), 3)] == [1]
    assert repository.jobs((JobState.DEAD, JobState.HELD), 3) == ()


def test_counts_tell_what_is_due(repository: Repository) -> None:
    for number in range(3):
        repository.register(image(f"1.{number}"), START)
    repository.postpone_job(claimed(repository), "later", after(100), START)
    claimed(repository)
    now = repository.counts(after(1))
    assert (now["jobs_queued"], now["jobs_running"], now["jobs_due"], now["jobs_dead"]) == (2, 1, 1, 0)
    assert repository.counts(after(1000))["jobs_due"] == 3


serial = itertools.count()


def test_an_image_that_was_answered_is_looked_at_again(repository: Repository) -> None:
    """The same answer changes nothing; another one, of another model, has objects of its own that name the first."""
    instance_id = measured(repository, "1.1")
    (done,) = repository.jobs([JobState.DONE], 9)
    before = repository.objects_of(instance_id)
    repository.rerun_job(done.id, after(10))
    with pytest.raises(IllegalTransition, match="queued"):
        repository.rerun_job(done.id, after(11))
    repository.commit_result(claimed(repository, after(12)), answer("1.1"), (PACS,), after(13))
    assert repository.objects_of(instance_id) == before
    repository.rerun_job(done.id, after(20))
    job = claimed(repository, after(21))
    assert job.instance_id == instance_id
    assert repository.predecessor_objects(repository.instance(instance_id)) == before
    repository.commit_result(job, answer("another model"), (PACS,), after(22))
    assert {one.sop_instance_uid for one in repository.objects_of(instance_id)}.isdisjoint(
        one.sop_instance_uid for one in before
    )


def test_only_what_was_answered_and_still_counts_is_looked_at_again(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    (queued,) = repository.jobs([JobState.QUEUED], 9)
    with pytest.raises(IllegalTransition, match="queued"):
        repository.rerun_job(queued.id, START)
    repository.commit_result(claimed(repository), answer("1.1"), (PACS,), START)
    corrected(repository, "1.1", accept=True)
    with pytest.raises(Refused, match="several versions"):
        repository.rerun_job(queued.id, START)
    with pytest.raises(IllegalTransition):
        repository.retry_job(queued.id, START)


class QueueModel(RuleBasedStateMachine):
    """Any order of events: steps stay legal, one worker at most holds a job, old tokens are fenced."""

    repository: Repository  # set by the test

    @initialize()
    def start(self) -> None:
        self.now = START
        self.held: dict[int, Job] = {}
        self.stale: list[Job] = []
        self.before: dict[int, JobState] = {}

    @rule()
    def receive(self) -> None:
        self.repository.register(image(f"1.{next(serial)}"), self.now)

    @rule()
    def claim(self) -> None:
        job = self.repository.claim_job("worker", LEASE_S, self.now)
        if job is None:
            return
        if job.id in self.held:
            old = self.held[job.id]
            assert old.lease_until is not None
            assert old.lease_until <= self.now, "taken from a worker whose lease holds"
            self.stale.append(old)
        self.held[job.id] = job

    @rule(seconds=st.sampled_from([1, 30, 61]))
    def wait(self, seconds: float) -> None:
        self.now = after((self.now - START).total_seconds() + seconds)

    @precondition(lambda self: self.held)
    @rule(verb=st.sampled_from(["finish", "postpone", "bury", "renew", "commit"]), pick=st.randoms())
    def act(self, verb: str, pick: object) -> None:
        job = pick.choice(sorted(self.held.values(), key=lambda j: j.id))  # type: ignore[attr-defined]
        if verb == "renew":
            self.repository.renew_job(job, LEASE_S, self.now)
            (self.held[job.id],) = (j for j in self.repository.jobs((), 1000) if j.id == job.id)
            return
        self.perform(verb, job)
        self.stale.append(self.held.pop(job.id))

    @precondition(lambda self: self.stale)
    @rule(verb=st.sampled_from(["finish", "postpone", "bury", "commit"]))
    def act_too_late(self, verb: str) -> None:
        with pytest.raises(LeaseLost):
            self.perform(verb, self.stale[-1])

    @rule(verb=st.sampled_from(["retry_job", "cancel_job", "confirm_job"]), pick=st.randoms())
    def operate(self, verb: str, pick: object) -> None:
        jobs = self.repository.jobs((), 1000)
        if not jobs:
            return
        job = pick.choice(jobs)  # type: ignore[attr-defined]
        allowed = {
            "retry_job": {JobState.DEAD, JobState.CANCELLED, JobState.QUEUED},
            "cancel_job": {JobState.DEAD, JobState.QUEUED},
            "confirm_job": set(),
        }[verb]
        if job.state in allowed:
            getattr(self.repository, verb)(job.id, self.now)
        else:
            with pytest.raises(IllegalTransition):
                getattr(self.repository, verb)(job.id, self.now)

    @invariant()
    def every_step_was_legal(self) -> None:
        if not hasattr(self, "before"):
            return
        after_step = states(self.repository)
        for number, state in after_step.items():
            previous = self.before.get(number, state)
            assert state is previous or state in JOB_TRANSITIONS[previous]
        running = {number for number, state in after_step.items() if state is JobState.RUNNING}
        assert running == set(self.held)
        self.before = after_step

    def perform(self, verb: str, job: Job) -> None:
        if verb == "finish":
            finish(self.repository, job, self.now)
        elif verb == "postpone":
            self.repository.postpone_job(job, "later", after((self.now - START).total_seconds() + 20), self.now)
        elif verb == "bury":
            self.repository.bury_job(job, "dead", self.now)
        else:
            self.repository.commit_result(job, answer(), (PACS,), self.now)


def test_any_order_of_events_keeps_the_queue_sound(url: str) -> None:
    from sqlalchemy import text

    repository = Repository.open(url)

    class Model(QueueModel):
        def teardown(self) -> None:
            with repository._write() as session:
                for table in ("delivery", "result_object", "result", "job", "instance"):
                    session.execute(text(f"DELETE FROM {table}"))  # noqa: S608

    Model.repository = repository
    run_state_machine_as_test(
        Model,
        settings=settings(max_examples=15, stateful_step_count=15, suppress_health_check=list(HealthCheck)),
    )
    repository.close()


def test_reconciling_is_for_reconcile_jobs(repository: Repository) -> None:
    from dicom_node.domain import Relation

    repository.register(image("1.1"), START)
    job = claimed(repository)
    assert job.kind is JobKind.MEASURE
    with pytest.raises(IllegalTransition):
        repository.reconcile(job, Relation.DUPLICATE, False, START)
    assert states(repository) == {job.id: JobState.RUNNING}
