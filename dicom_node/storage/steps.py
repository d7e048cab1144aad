"""Procedure steps that peers tell of (MPPS), as statements inside a transaction that repository.py owns.

They are a hint, no more: of when a study is over, and of what belongs to it. Only UIDs are kept, for a month.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from dicom_node.audit import AuditEntry, AuditEvent
from dicom_node.domain import StepAnswer, StepBegun, StepChange, StepState
from dicom_node.storage import trail
from dicom_node.storage.rows import InstanceRow, StepObjectRow, StepRow, StepStudyRow

_REMEMBERED = timedelta(days=30)


class Hint(StrEnum):
    """What the steps of a study say of it."""

    NONE = "none"
    MISSING = "missing"
    ENDED = "ended"


def begin(session: Session, step: StepBegun, now: datetime) -> StepAnswer:
    """N-CREATE. The same again from the same peer is TAKEN while the step is under way: it did not hear the answer."""
    _forget(session, now - _REMEMBERED)
    row = _row(session, step.sop_instance_uid)
    if row is not None:
        same = row.peer == step.peer and set(_studies(session, row)) == set(step.studies)
        return StepAnswer.TAKEN if same and row.state is StepState.IN_PROGRESS else StepAnswer.DUPLICATE
    row = StepRow(
        sop_instance_uid=step.sop_instance_uid, peer=step.peer, state=StepState.IN_PROGRESS, begun_at=now, ended_at=None
    )
    session.add(row)
    session.flush()
    session.add_all(StepStudyRow(step_id=row.id, study_instance_uid=uid) for uid in step.studies)
    for uid in step.studies:
        trail.record(session, _told(step, StepState.IN_PROGRESS, uid), now)
    return StepAnswer.TAKEN


def change(session: Session, step: StepChange, now: datetime) -> StepAnswer:
    """N-SET. Only the peer that began a step may change it: the UIDs are no secrets."""
    row = _row(session, step.sop_instance_uid)
    if row is None or row.peer != step.peer:
        return StepAnswer.UNKNOWN
    if row.state is not StepState.IN_PROGRESS:
        return StepAnswer.FINAL
    if step.objects is not None:
        session.execute(delete(StepObjectRow).where(StepObjectRow.step_id == row.id))
        session.add_all(StepObjectRow(step_id=row.id, sop_instance_uid=uid) for uid in dict.fromkeys(step.objects))
    if step.state not in (None, StepState.IN_PROGRESS):
        row.state, row.ended_at = step.state, now
        for uid in _studies(session, row):
            trail.record(session, _told(step, step.state, uid), now)
    return StepAnswer.TAKEN


def hint(session: Session, study_instance_uid: str) -> tuple[Hint, datetime | None]:
    """What is known of a study, and when the last of its steps ended.

    One step that is under way, or whose end nobody told, is enough to know nothing; so is an object that came after the
    end and that no step names.
    """
    of_study = select(StepStudyRow.step_id).where(StepStudyRow.study_instance_uid == study_instance_uid)
    steps = session.scalars(select(StepRow).where(StepRow.id.in_(of_study))).all()
    ends = [step.ended_at for step in steps if step.ended_at is not None]
    if not steps or len(ends) < len(steps):
        return Hint.NONE, None
    arrived = exists().where(InstanceRow.sop_instance_uid == StepObjectRow.sop_instance_uid)
    missing = select(StepObjectRow.step_id).where(StepObjectRow.step_id.in_(of_study), ~arrived)
    if session.scalar(select(missing.exists())):
        return Hint.MISSING, max(ends)
    named = exists().where(
        StepObjectRow.sop_instance_uid == InstanceRow.sop_instance_uid, StepObjectRow.step_id.in_(of_study)
    )
    after_it = select(InstanceRow.id).where(
        InstanceRow.study_instance_uid == study_instance_uid, InstanceRow.received_at > max(ends), ~named
    )
    return (Hint.NONE, None) if session.scalar(select(after_it.exists())) else (Hint.ENDED, max(ends))


def _row(session: Session, sop_instance_uid: str) -> StepRow | None:
    return session.scalars(
        select(StepRow).where(StepRow.sop_instance_uid == sop_instance_uid).with_for_update()
    ).first()


def _studies(session: Session, row: StepRow) -> Sequence[str]:
    return session.scalars(select(StepStudyRow.study_instance_uid).where(StepStudyRow.step_id == row.id)).all()


def _forget(session: Session, begun_before: datetime) -> None:
    """Its study was reported long ago, with the hint or without."""
    old = session.scalars(select(StepRow.id).where(StepRow.begun_at <= begun_before)).all()
    if old:
        for table in (StepObjectRow, StepStudyRow):
            session.execute(delete(table).where(table.step_id.in_(old)))
        session.execute(delete(StepRow).where(StepRow.id.in_(old)))


def _told(step: StepBegun | StepChange, state: StepState, study_instance_uid: str) -> AuditEntry:
    return AuditEntry(
        event=AuditEvent.STEP_TOLD,
        actor=step.peer,
        host=step.host,
        outcome=state.value,
        sop_instance_uid=step.sop_instance_uid,
        study_instance_uid=study_instance_uid,
    )
