"""The job queue, as statements inside a transaction that repository.py owns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Row, ScalarSelect, Select, bindparam, func, or_, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate

from dicom_node.domain import (
    DeliveryState,
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
from dicom_node.storage.rows import InstanceRow, JobRow, UtcDateTime, table_of


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a version was found to be, whether a correction is accepted at once, and a remark for whoever lists jobs."""

    relation: Relation
    accept: bool
    remark: str | None


Moment = datetime | BindParameter[datetime]


def expired(now: Moment) -> Select[JobRow]:
    """Jobs whose worker was silent for too long, the longest first."""
    return (
        select(JobRow)
        .where(JobRow.state == JobState.RUNNING, JobRow.lease_until <= now)
        .order_by(JobRow.lease_until, JobRow.id)
    )


def due(now: Moment) -> Select[JobRow]:
    """Queued jobs whose time has come: by priority, then the longest waiting first."""
    return (
        select(JobRow)
        .where(JobRow.state == JobState.QUEUED, JobRow.available_at <= now)
        .order_by(JobRow.priority, JobRow.available_at, JobRow.id)
    )


def any_claimable(session: Session, now: datetime) -> bool:
    """A look without a lock, so that idle workers do not disturb those who write."""
    return bool(session.connection().scalar(_ANY_CLAIMABLE, {"now": now}))


def count_claimable(session: Session, now: datetime) -> int:
    return count_rows(session, expired(now)) + count_rows(session, due(now))


def claim(session: Session, worker: str, lease_until: datetime, now: datetime) -> Job | None:
    """One statement, since every image costs a claim: an expired job becomes QUEUED and RUNNING again in one step."""
    known = {"claimed_by": worker, "until": lease_until, "now": now}
    row = session.connection().execute(_CLAIM, known).first()
    return None if row is None else reference(row)


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


def finish(session: Session, job: Job, now: datetime) -> None:
    """DONE, in one statement. Raises LeaseLost, as `owned`."""
    if session.connection().execute(_FINISH, {"job": job.id, "held": job.token, "now": now}).rowcount != 1:
        owned(session, job)
        raise LeaseLost(f"job {job.id} was claimed again in this moment")


def renew(session: Session, job: Job, lease: timedelta, now: datetime) -> None:
    row = owned(session, job)
    row.lease_until = now + lease
    row.updated_at = now


def retry(session: Session, job_id: int, now: datetime) -> None:
    """DEAD or CANCELLED becomes QUEUED with its attempts forgotten; a job that waits for a retry is due now.

    A cancelled correction is HELD again: nobody has confirmed it.
    """
    row = _locked(session, job_id)
    if row.state in (JobState.HELD, JobState.RUNNING, JobState.DONE):
        raise IllegalTransition(f"job {job_id} is {row.state} and cannot be retried")
    if row.state is JobState.CANCELLED and _is_to_be_confirmed(session, row):
        change(row, JobState.HELD, now)
    elif row.state is not JobState.QUEUED:
        change(row, JobState.QUEUED, now)
    row.attempts = row.excused = 0
    row.available_at = now
    _apply_rule(session, row, now)


def rerun(session: Session, job_id: int, now: datetime) -> None:
    """DONE becomes QUEUED. See Repository.rerun_job.

    Only of an image that came in one version: of a later one this job says whether it takes the place of the first.
    """
    row = _locked(session, job_id)
    if row.kind is not JobKind.MEASURE or row.state is not JobState.DONE:
        raise IllegalTransition(f"job {job_id} ({row.kind}) is {row.state}; only an image that was answered is again")
    instance = instances.get(session, row.instance_id)
    if instance.relation is not Relation.FIRST or corrections.permitted(session, instance) is not DeliveryState.PENDING:
        raise Refused(f"The image of job {job_id} came in several versions: the answers about these stay.")
    change(row, JobState.QUEUED, now)
    row.attempts = row.excused = 0
    row.available_at = now


def cancel(session: Session, job_id: int, now: datetime) -> None:
    row = _locked(session, job_id)
    change(row, JobState.CANCELLED, now)
    _apply_rule(session, row, now)


def confirm(session: Session, job_id: int, now: datetime) -> None:
    row = _locked(session, job_id)
    if row.state is not JobState.HELD:
        raise IllegalTransition(f"job {job_id} is {row.state}; only a held job can be confirmed")
    change(row, JobState.DONE if row.kind is JobKind.SUPERSEDE else JobState.QUEUED, now)
    row.available_at = now
    _apply_rule(session, row, now)


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
        _decide(session, instance, verdict, now)
        outbox.forward(session, instance, now)
    session.flush()
    corrections.apply_to_earlier(session, instance, now)


def _decide(session: Session, instance: InstanceRow, verdict: Verdict, now: datetime) -> None:
    """The job of a later version that supersedes, or would: none for what nobody measures or is sent."""
    held = verdict.relation is Relation.CORRECTION and not verdict.accept
    versions = instances.versions(session, instance.sop_instance_uid)
    if instance.measurable:
        kind, state = JobKind.MEASURE, JobState.QUEUED
    elif any(version.measurable or version.route.forward for version in versions):
        kind, state = JobKind.SUPERSEDE, JobState.DONE
    else:
        return
    session.add(instances.new_job(instance, kind, JobState.HELD if held else state, now))
    session.flush()


def listing(session: Session, states: Sequence[JobState], limit: int) -> Sequence[JobRow]:
    """Newest first; no states means all."""
    query = select(JobRow).order_by(JobRow.id.desc()).limit(limit)
    return session.scalars(query.where(JobRow.state.in_(states)) if states else query).all()


def counts(session: Session) -> dict[JobState, int]:
    rows = session.execute(select(JobRow.state, func.count().label("number")).group_by(JobRow.state))
    return {row.state: row.number for row in rows}


def reference(row: JobRow | Row[Any]) -> Job:
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


def _is_to_be_confirmed(session: Session, row: JobRow) -> bool:
    if row.kind is JobKind.SUPERSEDE:
        return True
    return row.kind is JobKind.MEASURE and instances.get(session, row.instance_id).relation is Relation.CORRECTION


def _apply_rule(session: Session, row: JobRow, now: datetime) -> None:
    """What a job's new state means for the deliveries of its image, and of the versions before it."""
    session.flush()
    if row.instance_id is None:
        return
    corrections.apply_to_all(session, instances.get(session, row.instance_id), now)


def _first(wanted: Select[JobRow]) -> ScalarSelect[int]:
    return wanted.with_only_columns(JobRow.id).limit(1).with_for_update(skip_locked=True).scalar_subquery()


def _claiming(wanted: ColumnElement[int]) -> ReturningUpdate[Any]:
    table = table_of(JobRow)
    return (
        update(table)
        .where(table.c.id == wanted)
        .values(
            state=JobState.RUNNING,
            updated_at=_NOW,
            attempts=table.c.attempts + 1,
            token=table.c.token + 1,
            worker=bindparam("claimed_by"),
            lease_until=bindparam("until", type_=UtcDateTime()),
        )
        .returning(*table.c)
    )


_NOW = bindparam("now", type_=UtcDateTime())
_CLAIM = _claiming(func.coalesce(_first(expired(_NOW)), _first(due(_NOW))))
_ANY_CLAIMABLE = select(or_(expired(_NOW).exists(), due(_NOW).exists()))
_FINISH = (
    update(table_of(JobRow))
    .where(
        JobRow.id == bindparam("job"),
        JobRow.state == JobState.RUNNING,
        JobRow.token == bindparam("held"),
    )
    .values(state=JobState.DONE, error=None, lease_until=None, updated_at=_NOW)
)

for _before, _after in pairwise((JobState.RUNNING, JobState.QUEUED, JobState.RUNNING, JobState.DONE)):
    check_job_transition(_before, _after)  # what the statements above do
