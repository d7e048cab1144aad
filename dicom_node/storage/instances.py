"""Received objects and refused associations, as statements inside a transaction that repository.py owns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from pydicom.uid import BasicTextSRStorage, Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage
from sqlalchemy import Row, bindparam, delete, func, insert, select
from sqlalchemy.orm import Session

from dicom_node.domain import (
    InstanceRef,
    JobKind,
    JobState,
    NewInstance,
    RefusalRecord,
    Registered,
    Relation,
)
from dicom_node.errors import Refused
from dicom_node.storage import corrections, outbox, trail, wakeup
from dicom_node.storage.rows import InstanceRow, JobRow, ObjectRow, RefusalRow, table_of
from dicom_node.storage.wakeup import Work
from sr_templates.uids import UID_ROOT

REFUSALS_KEPT = 200

STRUCTURED_REPORTS = (BasicTextSRStorage, EnhancedSRStorage, ComprehensiveSRStorage, Comprehensive3DSRStorage)
"""Classes in which machines send their own reports."""


def register(session: Session, new: NewInstance, now: datetime) -> Registered:
    """See Repository.register. A racing twin makes this fail with IntegrityError; then it is simply done again."""
    known = {row.sha256: row.revision for row in session.connection().execute(_KNOWN, {"uid": new.sop_instance_uid})}
    if new.sha256 in known:
        trail.write(session, trail.received(new, str(Registered.SAME), known[new.sha256]), now)
        return Registered.SAME
    if known or new.route.forward:
        return _register_with_consequences(session, new, max(known.values(), default=-1) + 1, now)
    connection = session.connection()
    stored = connection.execute(_INSERT_INSTANCE, _values(new, 0, now))
    if new.measurable:
        subject = {"instance_id": cast(Row[Any], stored.inserted_primary_key)[0]}
        job = _job(JobKind.MEASURE, JobState.QUEUED, now)
        connection.execute(_INSERT_JOB, {**job, **subject, "priority": new.route.priority.rank})
        wakeup.note(session, Work.JOB)
    trail.write(session, trail.received(new, str(Registered.NEW), 0), now)
    return Registered.NEW


def _register_with_consequences(session: Session, new: NewInstance, revision: int, now: datetime) -> Registered:
    """A later version, which holds up what was said of the earlier ones, or an object that is sent on."""
    instance = _row(new, revision, now)
    session.add(instance)
    session.flush()
    kind = JobKind.RECONCILE if revision else JobKind.MEASURE
    if revision or new.measurable:
        session.add(new_job(instance, kind, JobState.QUEUED, now))
    if not revision:
        outbox.forward(session, instance, now)
    if revision:  # whatever it is: nothing more is sent about the earlier ones before that is known
        session.flush()
        corrections.apply_to_earlier(session, instance, now)
    registered = Registered.VERSION if revision else Registered.NEW
    trail.record(session, trail.received(new, str(registered), revision), now)
    return registered


def new_job(instance: InstanceRow, kind: JobKind, state: JobState, now: datetime) -> JobRow:
    return JobRow(**_job(kind, state, now), instance_id=instance.id, priority=instance.route.priority.rank)


def get(session: Session, instance_id: int | None) -> InstanceRow:
    """Raises Refused where there is none."""
    row = None if instance_id is None else session.get(InstanceRow, instance_id)
    if row is None:
        raise Refused(f"no instance {instance_id}")
    return row


def versions(session: Session, sop_instance_uid: str) -> Sequence[InstanceRow]:
    """First revision first."""
    found = select(InstanceRow).where(InstanceRow.sop_instance_uid == sop_instance_uid).order_by(InstanceRow.revision)
    return session.scalars(found).all()


def reports_of_study(session: Session, study_instance_uid: str, most: int) -> Sequence[InstanceRow]:
    """See Repository.reports_of_study."""
    standing = (Relation.FIRST, Relation.CORRECTION, Relation.REPLACEMENT)
    found = (
        select(InstanceRow)
        .where(
            InstanceRow.study_instance_uid == study_instance_uid,
            InstanceRow.sop_class_uid.in_(STRUCTURED_REPORTS),
            InstanceRow.sop_instance_uid.not_like(f"{UID_ROOT}.%"),  # our own, which archives send back by the dozen
            InstanceRow.relation.in_(standing),
        )
        .order_by(InstanceRow.id.desc())
        .limit(most)
    )
    latest: dict[str, InstanceRow] = {}
    for row in session.scalars(found):
        latest.setdefault(row.sop_instance_uid, row)
    return [*latest.values()][::-1]


def known_paths(session: Session, paths: Sequence[str]) -> set[str]:
    known: set[str] = set()
    for column in (InstanceRow.path, ObjectRow.path):
        known.update(session.scalars(select(column).where(column.in_(paths))))
    return known


def record_refusal(session: Session, refusal: RefusalRow) -> None:
    """Keep the last ones only: a scanner that knocks for weeks must not fill the disk."""
    session.add(refusal)
    session.flush()
    oldest_kept = select(RefusalRow.id).order_by(RefusalRow.id.desc()).limit(1).offset(REFUSALS_KEPT - 1)
    session.execute(delete(RefusalRow).where(RefusalRow.id < oldest_kept.scalar_subquery()))


def refusals(session: Session, limit: int) -> tuple[RefusalRecord, ...]:
    return tuple(map(_refusal, session.scalars(select(RefusalRow).order_by(RefusalRow.id.desc()).limit(limit))))


def refusal(session: Session, refusal_id: int) -> RefusalRecord:
    """Raises Refused where there is none any more."""
    row = session.get(RefusalRow, refusal_id)
    if row is None:
        raise Refused("This refusal is not listed any more.")
    return _refusal(row)


def _refusal(row: RefusalRow) -> RefusalRecord:
    return RefusalRecord(row.id, row.calling_ae, row.called_ae, row.host, row.reason, row.advice, row.refused_at)


def any_stored(session: Session) -> bool:
    return session.scalar(select(InstanceRow.id).limit(1)) is not None


def count(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(InstanceRow)) or 0


def reference(row: InstanceRow) -> InstanceRef:
    return InstanceRef(
        id=row.id,
        sop_instance_uid=row.sop_instance_uid,
        revision=row.revision,
        sop_class_uid=row.sop_class_uid,
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        path=row.path,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        relation=row.relation,
        calling_ae=row.calling_ae,
        received_at=row.received_at,
        route=row.route,
    )


def _row(new: NewInstance, revision: int, now: datetime) -> InstanceRow:
    return InstanceRow(**_values(new, revision, now))


def _values(new: NewInstance, revision: int, now: datetime) -> dict[str, object]:
    return {
        "sop_instance_uid": new.sop_instance_uid,
        "revision": revision,
        "sop_class_uid": new.sop_class_uid,
        "study_instance_uid": new.study_instance_uid,
        "series_instance_uid": new.series_instance_uid,
        "transfer_syntax_uid": new.transfer_syntax_uid,
        "path": new.path,
        "size_bytes": new.size_bytes,
        "sha256": new.sha256,
        "relation": Relation.UNEXAMINED if revision else Relation.FIRST,
        "measurable": new.measurable,
        "calling_ae": new.calling_ae,
        "called_ae": new.called_ae,
        "peer_host": new.peer_host,
        "received_at": new.arrived_at or now,
        "route": new.route,
    }


def _job(kind: JobKind, state: JobState, now: datetime) -> dict[str, object]:
    """Of a new job, all but its subject and its priority."""
    counts = {"attempts": 0, "excused": 0, "token": 0}
    return {"kind": kind, "state": state, **counts, "available_at": now, "created_at": now, "updated_at": now}


# Rows by the hundred a second: made without objects of the session, which cost ten times as much
_KNOWN = (
    select(InstanceRow.sha256, InstanceRow.revision)
    .where(InstanceRow.sop_instance_uid == bindparam("uid"))
    .order_by(InstanceRow.id)
    .with_for_update()
)
_INSERT_INSTANCE = insert(table_of(InstanceRow))
_INSERT_JOB = insert(table_of(JobRow))
