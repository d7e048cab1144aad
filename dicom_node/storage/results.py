"""Results, their objects and the outbox entries that come with them, in a transaction that repository.py owns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Row, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dicom_node.domain import (
    Destination,
    InstanceRef,
    Job,
    JobState,
    NewObject,
    NewResult,
    Relation,
    StoredObject,
    StoredResult,
)
from dicom_node.errors import Permanent
from dicom_node.storage import corrections, instances, jobs, outbox, trail
from dicom_node.storage.rows import InstanceRow, ObjectRow, ResultRow, table_of


def commit(session: Session, job: Job, result: NewResult, destinations: Sequence[Destination], now: datetime) -> None:
    """See Repository.commit_result."""
    subject = {"instance": job.instance_id}
    session.connection().execute(_LOCK, subject).all()
    versions = session.connection().execute(_VERSIONS, subject).all()  # one that came while we waited for the lock, too
    if len(versions) == 1 and versions[0].relation is Relation.FIRST:
        _commit_alone(session, job, versions[0], result, destinations, now)
        return
    instance = instances.get(session, job.instance_id)
    corrections.lock_versions(session, instance.sop_instance_uid)
    row = jobs.owned(session, job)
    if not _is_stored(session, instance.id, result.fingerprint):
        _store(session, instance, result, destinations, now)
    jobs.change(row, JobState.DONE, now)
    row.error = None
    session.flush()
    corrections.apply(session, instance, now)
    corrections.apply_to_earlier(session, instance, now)
    _look_again_at_studies(session, instance)


def _commit_alone(  # noqa: PLR0913, PLR0917  what a commit is made of
    session: Session,
    job: Job,
    instance: trail.Image,
    result: NewResult,
    destinations: Sequence[Destination],
    now: datetime,
) -> None:
    """The image has one version, as nearly all have: no other is held up by it or holds it up (corrections.py)."""
    jobs.finish(session, job, now)
    if _is_stored(session, instance.id, result.fingerprint):
        return
    connection = session.connection()
    stored = connection.execute(_INSERT, {**_values(result, now), "instance_id": instance.id, "studied": False})
    trail.write(session, trail.image_result(instance, result), now)
    if result.objects:
        store_objects(session, cast(Row[Any], stored.inserted_primary_key)[0], result.objects, destinations, now)


def latest(session: Session, instance_id: int | None) -> StoredResult | None:
    row = session.scalars(
        select(ResultRow).where(ResultRow.instance_id == instance_id).order_by(ResultRow.id.desc()).limit(1)
    ).first()
    return None if row is None else reference(row)


def objects_of(session: Session, instance_id: int) -> tuple[StoredObject, ...]:
    """The objects of the newest result, in the order in which they were committed."""
    result = latest(session, instance_id)
    if result is None:
        return ()
    return objects_of_result(session, result.id)


def objects_of_result(session: Session, result_id: int) -> tuple[StoredObject, ...]:
    """In the order in which they were committed."""
    rows = session.scalars(select(ObjectRow).where(ObjectRow.result_id == result_id).order_by(ObjectRow.id))
    return tuple(object_reference(row) for row in rows)


def predecessor_objects(session: Session, instance: InstanceRef) -> tuple[StoredObject, ...]:
    """Those of the newest answer about this revision, where it was looked at before; else of the latest earlier one."""
    if said := objects_of(session, instance.id):
        return said
    earlier = (
        select(InstanceRow.id)
        .where(InstanceRow.sop_instance_uid == instance.sop_instance_uid, InstanceRow.revision < instance.revision)
        .order_by(InstanceRow.revision.desc())
    )
    for instance_id in session.scalars(earlier).all():
        objects = objects_of(session, instance_id)
        if objects:
            return objects
    return ()


def counts(session: Session) -> tuple[int, int]:
    """Results about instances, and the objects that results became."""
    results = session.scalar(select(func.count(ResultRow.instance_id))) or 0
    return results, session.scalar(select(func.count(ObjectRow.result_id))) or 0


def _is_stored(session: Session, instance_id: int, fingerprint: str) -> bool:
    about = {"instance": instance_id, "fingerprint": fingerprint}
    return session.connection().scalar(_STORED, about) is not None


def _look_again_at_studies(session: Session, later: InstanceRow) -> None:
    """What stood until now may have stood in the report of another study, which has no new result of its own."""
    superseded = [instance.id for instance in corrections.earlier_versions(session, later)]
    session.execute(update(ResultRow).where(ResultRow.instance_id.in_(superseded)).values(studied=False))


def _store(
    session: Session, instance: InstanceRow, result: NewResult, destinations: Sequence[Destination], now: datetime
) -> None:
    row = new_row(result, now)
    row.instance_id = instance.id
    session.add(row)
    session.flush()
    store_objects(session, row.id, result.objects, destinations, now)


def new_row(result: NewResult, now: datetime) -> ResultRow:
    """Without its subject."""
    return ResultRow(**_values(result, now))


def _values(result: NewResult, now: datetime) -> dict[str, object]:
    return {
        "fingerprint": result.fingerprint,
        "status": result.status,
        "reason": result.reason,
        "document": result.document,
        "created_at": now,
    }


def store_objects(
    session: Session,
    result_id: int,
    objects: Sequence[NewObject],
    destinations: Sequence[Destination],
    now: datetime,
) -> None:
    """With one delivery for each destination that wants the kind."""
    for new in objects:
        stored = store_object(session, result_id, new)
        session.add_all(outbox.new_delivery(stored.id, d.name, now) for d in destinations if new.kind in d.objects)
    session.flush()


def store_object(session: Session, result_id: int, new: NewObject) -> ObjectRow:
    row = ObjectRow(
        result_id=result_id,
        kind=new.kind,
        sop_class_uid=new.sop_class_uid,
        sop_instance_uid=new.sop_instance_uid,
        path=new.path,
        sha256=new.sha256,
    )
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        raise Permanent(f"a result object with the UID or path of this {new.kind} is stored already") from error
    return row


def reference(row: ResultRow) -> StoredResult:
    """Of an instance's result."""
    assert row.instance_id is not None  # noqa: S101  the queries above join it
    return StoredResult(
        id=row.id,
        instance_id=row.instance_id,
        fingerprint=row.fingerprint,
        status=row.status,
        reason=row.reason,
        document=row.document,
        created_at=row.created_at,
    )


def object_reference(row: ObjectRow) -> StoredObject:
    """Of a result's object."""
    assert row.result_id is not None  # noqa: S101  the queries above are about results
    return StoredObject(
        id=row.id,
        result_id=row.result_id,
        kind=row.kind,
        sop_class_uid=row.sop_class_uid,
        sop_instance_uid=row.sop_instance_uid,
        path=row.path,
        sha256=row.sha256,
    )


_ITS_UID = select(InstanceRow.sop_instance_uid).where(InstanceRow.id == bindparam("instance")).scalar_subquery()
_VERSIONS = (
    select(
        InstanceRow.id,
        InstanceRow.revision,
        InstanceRow.relation,
        InstanceRow.sop_instance_uid,
        InstanceRow.study_instance_uid,
    )
    .where(InstanceRow.sop_instance_uid == _ITS_UID)
    .order_by(InstanceRow.id)
)
"""All versions of an image."""

_LOCK = _VERSIONS.with_only_columns(InstanceRow.id).with_for_update()
"""As corrections.lock_versions does it."""

_STORED = select(ResultRow.id).where(
    ResultRow.instance_id == bindparam("instance"), ResultRow.fingerprint == bindparam("fingerprint")
)
_INSERT = insert(table_of(ResultRow))
