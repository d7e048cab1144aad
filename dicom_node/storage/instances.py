"""Received objects and refused associations, as statements inside a transaction that repository.py owns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydicom.uid import BasicTextSRStorage, Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage
from sqlalchemy import delete, func, select
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
from dicom_node.storage import corrections, outbox, trail
from dicom_node.storage.rows import InstanceRow, JobRow, ObjectRow, RefusalRow
from sr_templates.uids import UID_ROOT

REFUSALS_KEPT = 200

STRUCTURED_REPORTS = (BasicTextSRStorage, EnhancedSRStorage, ComprehensiveSRStorage, Comprehensive3DSRStorage)
"""Classes in which machines send their own reports."""


def register(session: Session, new: NewInstance, now: datetime) -> Registered:
    """See Repository.register. A racing twin makes this fail with IntegrityError; then it is simply done again."""
    versions = corrections.versions_locked(new.sop_instance_uid).add_columns(InstanceRow.sha256, InstanceRow.revision)
    known = {row.sha256: row.revision for row in session.execute(versions)}
    if new.sha256 in known:
        trail.record(session, trail.received(new, str(Registered.SAME), known[new.sha256]), now)
        return Registered.SAME
    revision = max(known.values(), default=-1) + 1
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
    return JobRow(
        kind=kind,
        instance_id=instance.id,
        state=state,
        priority=instance.route.priority.rank,
        attempts=0,
        excused=0,
        token=0,
        available_at=now,
        created_at=now,
        updated_at=now,
    )


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
    rows = session.scalars(select(RefusalRow).order_by(RefusalRow.id.desc()).limit(limit))
    return tuple(RefusalRecord(r.id, r.calling_ae, r.called_ae, r.host, r.reason, r.advice, r.refused_at) for r in rows)


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
    return InstanceRow(
        sop_instance_uid=new.sop_instance_uid,
        revision=revision,
        sop_class_uid=new.sop_class_uid,
        study_instance_uid=new.study_instance_uid,
        series_instance_uid=new.series_instance_uid,
        transfer_syntax_uid=new.transfer_syntax_uid,
        path=new.path,
        size_bytes=new.size_bytes,
        sha256=new.sha256,
        relation=Relation.UNEXAMINED if revision else Relation.FIRST,
        measurable=new.measurable,
        calling_ae=new.calling_ae,
        called_ae=new.called_ae,
        peer_host=new.peer_host,
        received_at=now,
        route=new.route,
    )
