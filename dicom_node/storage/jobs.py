"""The job queue, as statements inside a transaction that repository.py owns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from dicom_node.domain import (
    IllegalTransition,
    Job,
    JobKind,
    JobState,
    Relation,
    check_job_transition,
)
from dicom_node.errors import LeaseLost, Refused
from dicom_node.storage import corrections, instances, outbox, trail
from dicom_node.storage.counting import count_rows
from dicom_node.storage.rows import JobRow


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a version was found to be, whether a correction is accepted at once, and a remark for whoever lists jobs."""

    relation: Relation
    accept: bool
    remark: str | None


def expired(now: datetime) -> Select[JobRow]:
    """Jobs whose worker was silent for too long, the longest first."""
    return (
        select(JobRow)
        .where(JobRow.state == JobState.RUNNING, JobRow.lease_until <= now)
        .order_by(JobRow.lease_until, JobRow.id)
    )


def due(now: datetime) -> Select[JobRow]:
    """Queued jobs whose time has come: by priority, then the longest waiting first."""
    return (
        select(JobRow)
        .where(JobRow.state == JobState.QUEUED, JobRow.available_at <= now)
        .order_by(JobRow.priority, JobRow.available_at, JobRow.id)
    )


def any_claimable(session: Session, now: datetime) -> bool:
    """A look without a lock, so that idle workers do not disturb those who write."""
    return bool(session.scalar(select(or_(expired(now).exists(), due(now).exists()))))


def count_claimable(session: Session, now: datetime) -> int:
    return count_rows(session, expired(now)) + count_rows(session, due(now))


def claim(session: Session, worker: str, lease_until: datetime, now: datetime) -> JobRow | None:
    for query in (expired(now), due(now)):
        row = session.scalars(query.limit(1).with_for_update(skip_locked=True)).first()
        if row is None:
            continue
        if row.state is JobState.RUNNING:
            change(row, JobState.QUEUED, now)
        change(row, JobState.RUNNING, now)
        row.attempts += 1
        row.token += 1
        row.worker = worker
        row.lease_until = lease_until
        return row
    return None


def owned(session: Session, job: Job) -> JobRow:
    """The row, locked, if `job` is still the newest claim of it.

    Raises:
        LeaseLost: somebody else claimed it since, or it is no longer running.
    """
    row = session.scalars(select(JobRow).where(JobRow.id == job.id).with_for_update()).first()
    if row is None or row.state is not JobState.RUNNING or row.token != job.token:
        raise LeaseLost(f"job {job.id} belongs to another worker now (token {job.token} is old)")
    return row


def change(row: JobRow, after: JobState, now: datetime) -> None:
    """One step of the job's state machine.

    Raises:
        IllegalTransition: the table does not allow it.
    """
    check_job_transition(row.state, after)
    row.state = after
    row.updated_at = now
    if after is not JobState.RUNNING:
        row.lease_until = None


def renew(session: Session, job: Job, lease: timedelta, now: datetime) -> None:
    row = owned(session, job)
    row.lease_until = now + lease
    row.updated_at = now


def retry(session: Session, job_id: int, now: datetime) -> None:
    """DEAD or CANCELLED becomes QUEUED with its attempts forgotten; a job that waits for a retry is due now.

    A cancelled correction is HELD again: nobody has confirmed it.
    """
    row = _locked(session, job_id)
    if row.state in (JobState.HELD, JobState.RUNNING):
        raise IllegalTransition(f"job {job_id} is {row.state} and cannot be retried")
    if row.state is JobState.CANCELLED and _measures(session, row, Relation.CORRECTION):
        change(row, JobState.HELD, now)
    elif row.state is not JobState.QUEUED:
        change(row, JobState.QUEUED, now)
    row.attempts = row.excused = 0
    row.available_at = now
    _apply_to_earlier(session, row, now)


def cancel(session: Session, job_id: int, now: datetime) -> None:
    row = _locked(session, job_id)
    change(row, JobState.CANCELLED, now)
    _apply_to_earlier(session, row, now)


def confirm(session: Session, job_id: int, now: datetime) -> None:
    row = _locked(session, job_id)
    if row.state is not JobState.HELD:
        raise IllegalTransition(f"job {job_id} is {row.state}; only a held job can be confirmed")
    change(row, JobState.QUEUED, now)
    row.available_at = now
    session.flush()
    corrections.apply(session, instances.get(session, row.instance_id), now)


def reconcile(session: Session, job: Job, verdict: Verdict, now: datetime) -> None:
    """See Repository.reconcile."""
    instance = instances.get(session, job.instance_id)
    corrections.lock_versions(session, instance.sop_instance_uid)
    row = owned(session, job)
    if row.kind is not JobKind.RECONCILE:
        raise IllegalTransition(f"job {job.id} does not reconcile")
    change(row, JobState.DONE, now)
    row.error = verdict.remark
    instance.relation = verdict.relation
    trail.record(session, trail.reconciled(instance), now)
    if verdict.relation in corrections.SUPERSEDING:
        if instance.measurable:
            held = verdict.relation is Relation.CORRECTION and not verdict.accept
            state = JobState.HELD if held else JobState.QUEUED
            session.add(instances.new_job(instance, JobKind.MEASURE, state, now))
            session.flush()
        outbox.forward(session, instance, now)
    session.flush()
    corrections.apply_to_earlier(session, instance, now)


def listing(session: Session, states: Sequence[JobState], limit: int) -> Sequence[JobRow]:
    """Newest first; no states means all."""
    query = select(JobRow).order_by(JobRow.id.desc()).limit(limit)
    return session.scalars(query.where(JobRow.state.in_(states)) if states else query).all()


def counts(session: Session) -> dict[JobState, int]:
    rows = session.execute(select(JobRow.state, func.count().label("number")).group_by(JobRow.state))
    return {row.state: row.number for row in rows}


def reference(row: JobRow) -> Job:
    return Job(
        id=row.id,
        kind=row.kind,
        instance_id=row.instance_id,
        state=row.state,
        attempts=row.attempts,
        token=row.token,
        available_at=row.available_at,
        lease_until=row.lease_until,
        error=row.error,
        excused=row.excused,
        study_version_id=row.study_version_id,
    )


def _locked(session: Session, job_id: int) -> JobRow:
    """The row for an operator's change, locked after the versions of its instance. Raises Refused if unknown."""
    job = session.get(JobRow, job_id)
    if job is None:
        raise Refused(f"no job {job_id}")
    if job.instance_id is not None:
        corrections.lock_versions(session, instances.get(session, job.instance_id).sop_instance_uid)
    session.refresh(job, with_for_update=True)
    return job


def _measures(session: Session, row: JobRow, relation: Relation) -> bool:
    return row.kind is JobKind.MEASURE and instances.get(session, row.instance_id).relation is relation


def _apply_to_earlier(session: Session, row: JobRow, now: datetime) -> None:
    session.flush()
    if row.instance_id is None:
        return
    corrections.apply_to_earlier(session, instances.get(session, row.instance_id), now)
