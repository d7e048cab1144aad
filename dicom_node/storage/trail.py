"""The audit trail, written by the session itself in the transaction of the act: no way of doing it is forgotten.

What was done through rows is noticed before they are flushed; what leaves no row is recorded by whoever did it. Nothing
is changed or deleted afterwards: triggers of the database refuse it. Every few seconds what is new is sealed: hashes,
each over a record and the hash before it, in a table of their own. Sealing afterwards keeps writers from waiting for
each other, which a chain within their transactions would make them do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Exists, Row, Select, func, insert, select
from sqlalchemy.event import listen
from sqlalchemy.orm import Session, UOWTransaction
from sqlalchemy.orm.attributes import get_history

from dicom_node.audit import NODE, THIS_HOST, AuditEntry, AuditEvent, AuditRecord, ChainVerdict
from dicom_node.domain import DeliveryState, NewInstance, NewResult, Relation
from dicom_node.storage.retention import Unit
from dicom_node.storage.rows import (
    AuditRow,
    AuditSealRow,
    DeliveryRow,
    InstanceRow,
    JobRow,
    ObjectRow,
    RefusalRow,
    ResultRow,
    StudyVersionRow,
    table_of,
)
from dicom_node.storage.wakeup import Writing

ACTOR = "actor"
"""In `Session.info`: who asked for this transaction, where a person did."""

SEAL_AT_ONCE = 1000
_LATECOMERS = 10_000
"""Records that are committed after later ones are looked for this far back: one transaction takes seconds, no more."""

_NO_HASH = ""
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records; None: no limit. `since` is included, `until` is not."""

    events: Sequence[AuditEvent] = ()
    since: datetime | None = None
    until: datetime | None = None
    study_instance_uid: str | None = None


def record(session: Session, entry: AuditEntry, now: datetime) -> None:
    """Add an entry."""
    session.add(AuditRow(**_values(entry, now)))


def write(session: Session, entry: AuditEntry, now: datetime) -> None:
    """The same at once, where objects of the session would cost too much."""
    session.connection().execute(_INSERT, _values(entry, now))


def _values(entry: AuditEntry, now: datetime) -> dict[str, object]:
    return {
        "at": now,
        "node": THIS_HOST,
        "event": entry.event,
        "actor": _plain(entry.actor),
        "host": _plain(entry.host),
        "outcome": entry.outcome,
        "sop_instance_uid": entry.sop_instance_uid,
        "sop_class_uid": entry.sop_class_uid,
        "study_instance_uid": entry.study_instance_uid,
        "patient_id": None if entry.patient_id is None else _plain(entry.patient_id),
        "detail": json.dumps(dict(entry.detail), sort_keys=True) if entry.detail else None,
    }


_INSERT, _INSERT_SEAL = insert(table_of(AuditRow)), insert(table_of(AuditSealRow))


def received(new: NewInstance, outcome: str, revision: int | None) -> AuditEntry:
    """An object came from a peer."""
    return AuditEntry(
        event=AuditEvent.OBJECT_RECEIVED,
        actor=new.calling_ae,
        host=new.peer_host,
        outcome=outcome,
        sop_instance_uid=new.sop_instance_uid,
        sop_class_uid=new.sop_class_uid,
        study_instance_uid=new.study_instance_uid,
        patient_id=new.patient_id or None,
        detail={"called_ae": new.called_ae, "revision": revision, "rules": " ".join(new.route.rules) or None},
    )


def reconciled(row: InstanceRow) -> AuditEntry:
    """It was found out what a further version of an object is."""
    return AuditEntry(
        event=AuditEvent.OBJECT_RECONCILED,
        actor=NODE,
        outcome=str(row.relation),
        sop_instance_uid=row.sop_instance_uid,
        sop_class_uid=row.sop_class_uid,
        study_instance_uid=row.study_instance_uid,
        detail={"revision": row.revision},
    )


Image = Row[int, int, Relation, str, str]
"""Id, revision, relation, and UIDs of object and study."""


def image_result(instance: Image, result: NewResult) -> AuditEntry:
    """About an image."""
    return AuditEntry(
        event=AuditEvent.RESULT_MADE,
        actor=NODE,
        outcome=result.status,
        sop_instance_uid=instance.sop_instance_uid,
        study_instance_uid=instance.study_instance_uid,
        detail={
            "reason": result.reason,
            "fingerprint": result.fingerprint,
            "revision": instance.revision,
            "study_version": None,
        },
    )


def deleted(unit: Unit, files: int) -> AuditEntry:
    """A study, or an object whose study is not known, went for its age."""
    return AuditEntry(
        AuditEvent.STUDY_DELETED,
        NODE,
        outcome="aged",
        sop_instance_uid=unit.sop_instance_uid or None,
        study_instance_uid=unit.study_instance_uid,
        detail={"files": files},
    )


def newest(session: Session, wanted: Wanted, limit: int) -> tuple[AuditRecord, ...]:
    """Newest first."""
    found = session.execute(_joined(wanted).order_by(AuditRow.id.desc()).limit(limit)).all()
    return tuple(reference(row, seal) for row, seal in found)


def page(session: Session, wanted: Wanted, after_id: int) -> tuple[AuditRecord, ...]:
    """Oldest first, those behind `after_id`; empty: that was all."""
    query = _joined(wanted).where(AuditRow.id > after_id).order_by(AuditRow.id).limit(_PAGE)
    return tuple(reference(row, seal) for row, seal in session.execute(query).all())


def any_unsealed(session: Session) -> bool:
    """A look without a lock."""
    return session.scalars(_unsealed(session).limit(1)).first() is not None


def seal(session: Session) -> int:
    """Append what is new to the chain; how many. Two who do so at once collide (IntegrityError): one has done it."""
    last = session.scalars(select(AuditSealRow).order_by(AuditSealRow.number.desc()).limit(1)).first()
    number, chained = (0, _NO_HASH) if last is None else (last.number, last.sha256)
    seals: list[dict[str, object]] = []
    connection = session.connection()
    for row in connection.execute(_unsealed(session).limit(SEAL_AT_ONCE)).all():
        chained = _chained(chained, row)
        seals.append({"number": number + len(seals) + 1, "audit_id": row.id, "sha256": chained})
    if seals:
        connection.execute(_INSERT_SEAL, seals)
    return len(seals)


def _unsealed(session: Session) -> Select[AuditRow]:
    return select(AuditRow).where(AuditRow.id > _back_to(session), ~_sealed()).order_by(AuditRow.id)


def _back_to(session: Session) -> int:
    return (session.scalar(select(func.max(AuditSealRow.audit_id))) or 0) - _LATECOMERS


def _sealed() -> Exists:
    return select(AuditSealRow.audit_id).where(AuditSealRow.audit_id == AuditRow.id).exists()


def verify(session: Session) -> ChainVerdict:
    """Compute the whole chain again, and look for records that came in behind its back."""
    behind = select(func.count()).select_from(AuditRow).where(AuditRow.id <= _back_to(session), ~_sealed())
    return replace(_recomputed(session), slipped_in=session.scalar(behind) or 0)


def _recomputed(session: Session) -> ChainVerdict:
    unsealed = (session.scalar(select(func.count()).select_from(AuditRow)) or 0) - (
        session.scalar(select(func.count()).select_from(AuditSealRow)) or 0
    )
    number, chained = 0, _NO_HASH
    for found, row in _chain(session):
        if found.number != number + 1:
            return ChainVerdict(number, unsealed, chained, number + 1, "its place in the chain is empty")
        if row is None:
            return ChainVerdict(number, unsealed, chained, found.number, "the record is gone")
        if found.sha256 != _chained(chained, row):
            return ChainVerdict(number, unsealed, chained, found.number, "the record or its hash was altered")
        number, chained = found.number, found.sha256
    return ChainVerdict(number, unsealed, chained or None, None)


def _chain(session: Session) -> Iterator[tuple[AuditSealRow, AuditRow | None]]:
    behind = 0
    while True:
        query = (
            select(AuditSealRow, AuditRow)
            .outerjoin(AuditRow, AuditSealRow.audit_id == AuditRow.id)
            .where(AuditSealRow.number > behind)
            .order_by(AuditSealRow.number)
            .limit(_PAGE)
        )
        found = session.execute(query).all()
        if not found:
            return
        yield from ((sealed, row) for sealed, row in found)
        behind = found[-1][0].number
        session.expunge_all()


def _chained(before: str, row: AuditRow | Row[Any]) -> str:
    """Over everything that the record says, and through `before` over all earlier ones."""
    told = {column.key: getattr(row, column.key) for column in AuditRow.__table__.columns}
    told["at"] = row.at.astimezone(UTC).isoformat(timespec="microseconds")
    text = f"{before}\n{json.dumps(told, sort_keys=True)}"
    return hashlib.sha256(text.encode()).hexdigest()


def _joined(wanted: Wanted) -> Select[AuditRow, AuditSealRow]:
    query = select(AuditRow, AuditSealRow).outerjoin(AuditSealRow, AuditSealRow.audit_id == AuditRow.id)
    if wanted.events:
        query = query.where(AuditRow.event.in_(wanted.events))
    if wanted.since is not None:
        query = query.where(AuditRow.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(AuditRow.at < wanted.until)
    if wanted.study_instance_uid is not None:
        query = query.where(AuditRow.study_instance_uid == wanted.study_instance_uid)
    return query


def reference(row: AuditRow, sealed: AuditSealRow | None) -> AuditRecord:
    """The record as others know it."""
    entry = AuditEntry(
        event=AuditEvent(row.event),
        actor=row.actor,
        host=row.host,
        outcome=row.outcome,
        sop_instance_uid=row.sop_instance_uid,
        sop_class_uid=row.sop_class_uid,
        study_instance_uid=row.study_instance_uid,
        patient_id=row.patient_id,
        detail={} if row.detail is None else json.loads(row.detail),
    )
    number, sha256 = (None, None) if sealed is None else (sealed.number, sealed.sha256)
    return AuditRecord(row.id, row.at, row.node, entry, number, sha256)


def _plain(text: str) -> str:
    """Without NUL, which PostgreSQL does not store."""
    return text.replace("\x00", "")


# --- what rows tell ------------------------------------------------------------------------------------------------


def _notice(session: Session, _context: UOWTransaction, _instances: object) -> None:
    """Before a flush, when the session still knows what is new and what changed."""
    actor = session.info.get(ACTOR)
    for row in [*session.new, *session.dirty]:
        if isinstance(row, AuditRow | AuditSealRow):
            continue
        found = _told_by(session, row)
        if found is None and actor is not None and session.is_modified(row):
            found = _admin(session, row, str(actor))
        if found is not None:
            entry, at = found
            record(session, entry, at)


def _told_by(session: Session, row: object) -> tuple[AuditEntry, datetime] | None:
    is_new = row in session.new
    if isinstance(row, ResultRow) and is_new:
        return _result(session, row), row.created_at
    if isinstance(row, RefusalRow) and is_new:
        return _refusal(row), row.refused_at
    if isinstance(row, DeliveryRow) and _changed(row, "state") and row.state in _SETTLED:
        return _delivery(session, row, _SETTLED[row.state]), row.updated_at
    return None


_SETTLED = {
    DeliveryState.SENT: AuditEvent.OBJECT_SENT,
    DeliveryState.COMMITTED: AuditEvent.OBJECT_COMMITTED,
    DeliveryState.DEAD: AuditEvent.OBJECT_GIVEN_UP,
}


def _result(session: Session, row: ResultRow) -> AuditEntry:
    """About an image or, where that is None, about a version of a study."""
    image = None if row.instance_id is None else session.get_one(InstanceRow, row.instance_id)
    version = None if row.study_version_id is None else session.get_one(StudyVersionRow, row.study_version_id)
    study = image.study_instance_uid if image is not None else None if version is None else version.study_instance_uid
    return AuditEntry(
        event=AuditEvent.RESULT_MADE,
        actor=NODE,
        outcome=row.status,
        sop_instance_uid=None if image is None else image.sop_instance_uid,
        study_instance_uid=study,
        detail={
            "reason": row.reason,
            "fingerprint": row.fingerprint,
            "revision": None if image is None else image.revision,
            "study_version": None if version is None else version.version,
        },
    )


def _refusal(row: RefusalRow) -> AuditEntry:
    return AuditEntry(
        event=AuditEvent.ASSOCIATION_REFUSED,
        actor=row.calling_ae,
        host=row.host,
        outcome=row.reason,
        detail={"called_ae": row.called_ae},
    )


def _delivery(session: Session, row: DeliveryRow, event: AuditEvent, actor: str | None = None) -> AuditEntry:
    stored = session.get_one(ObjectRow, row.object_id)
    return AuditEntry(
        event=event,
        actor=row.destination if actor is None else actor,
        outcome=str(row.state),
        sop_instance_uid=stored.sop_instance_uid,
        sop_class_uid=stored.sop_class_uid,
        study_instance_uid=_study_of(session, stored),
        detail={
            "destination": row.destination,
            "kind": str(stored.kind),
            "status": None if row.status_word is None else f"0x{row.status_word:04X}",
            "attempts": row.attempts,
            "via": row.via,
        },
    )


def _study_of(session: Session, stored: ObjectRow) -> str | None:
    result = None if stored.result_id is None else session.get_one(ResultRow, stored.result_id)
    instance_id = stored.instance_id if result is None else result.instance_id
    if instance_id is not None:
        return session.get_one(InstanceRow, instance_id).study_instance_uid
    version = None if result is None else session.get(StudyVersionRow, result.study_version_id)
    return None if version is None else version.study_instance_uid


def _admin(session: Session, row: object, actor: str) -> tuple[AuditEntry, datetime] | None:
    """A person changed a row."""
    if isinstance(row, DeliveryRow):
        return _delivery(session, row, AuditEvent.ADMIN_DELIVERY, actor), row.updated_at
    if isinstance(row, JobRow):
        image = None if row.instance_id is None else session.get_one(InstanceRow, row.instance_id)
        entry = AuditEntry(
            event=AuditEvent.ADMIN_JOB,
            actor=actor,
            outcome=str(row.state),
            sop_instance_uid=None if image is None else image.sop_instance_uid,
            study_instance_uid=None if image is None else image.study_instance_uid,
            detail={"job": row.id, "kind": str(row.kind)},
        )
        return entry, row.updated_at
    return None


def _changed(row: object, name: str) -> bool:
    return bool(get_history(row, name).added)


listen(Writing, "before_flush", _notice)
