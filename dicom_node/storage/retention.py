"""What may be deleted after a while: studies about which nothing is under way or waits for anybody.

The unit is the study, with everything that is known of it: its images, their results, the study's own versions, and
what was sent. A study is settled when each of its jobs is done or cancelled and each of its deliveries is at its end:
what was not delivered, and what waits for a person, is never deleted, however old it is. Where a destination is asked
for storage commitment, its deliveries are at their end when they are committed, not when they are sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, Table, delete, func, or_, select
from sqlalchemy.orm import Session

from dicom_node.domain import DeliveryState, JobState
from dicom_node.storage import corrections
from dicom_node.storage.rows import (
    DeliveryRow,
    InstanceRow,
    JobRow,
    ObjectRow,
    ResultRow,
    Row,
    StudyVersionRow,
)

STUDIES_AT_ONCE = 50

_TABLES = Row.metadata.tables
_JOB_ENDS = (JobState.DONE, JobState.CANCELLED)
_TAKEN = (DeliveryState.SENT, DeliveryState.COMMITTED)
_DELIVERY_ENDS = (*_TAKEN, DeliveryState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """Studies are deleted whose last event is older than this; None: never. See RetentionSection for the two kinds.

    `committing`: the destinations of which sent is not enough.
    """

    delivered: datetime | None
    nothing_to_send: datetime | None
    committing: tuple[str, ...] = ()

    @property
    def latest(self) -> datetime | None:
        """Nothing younger can be due."""
        return max((one for one in (self.delivered, self.nothing_to_send) if one is not None), default=None)


def old_studies(session: Session, before: datetime, after_study: str | None) -> Sequence[str]:
    """Studies to which nothing came since then, in order, beginning behind `after_study`; at most STUDIES_AT_ONCE."""
    old = (
        select(InstanceRow.study_instance_uid)
        .group_by(InstanceRow.study_instance_uid)
        .having(func.max(InstanceRow.received_at) < before)
        .order_by(InstanceRow.study_instance_uid)
        .limit(STUDIES_AT_ONCE)
    )
    if after_study is not None:
        old = old.where(InstanceRow.study_instance_uid > after_study)
    return session.scalars(old).all()


def remove(session: Session, study_instance_uid: str, cutoffs: Cutoffs) -> tuple[str, ...] | None:
    """Delete the rows of a study if it is due; the files that may go once this is committed. None: it is not due."""
    images = session.execute(
        select(InstanceRow.id, InstanceRow.sop_instance_uid).where(InstanceRow.study_instance_uid == study_instance_uid)
    ).all()
    corrections.lock_versions(session, *(image.sop_instance_uid for image in images))
    instances = [image.id for image in images]
    if not _is_due(session, study_instance_uid, instances, cutoffs):
        return None
    paths = set(session.scalars(select(InstanceRow.path).where(InstanceRow.id.in_(instances))))
    paths |= set(session.scalars(select(ObjectRow.path).where(_is_of(study_instance_uid, instances))))
    versions = select(StudyVersionRow.id).where(StudyVersionRow.study_instance_uid == study_instance_uid)
    _delete(session, _TABLES[StudyVersionRow.__tablename__], list(session.scalars(versions)))
    _delete(session, _TABLES[InstanceRow.__tablename__], instances)
    return tuple(sorted(paths))


def _is_due(session: Session, study: str, instances: Sequence[int], cutoffs: Cutoffs) -> bool:
    elsewhere = select(InstanceRow.id).where(
        InstanceRow.sop_instance_uid.in_(select(InstanceRow.sop_instance_uid).where(InstanceRow.id.in_(instances))),
        InstanceRow.id.not_in(instances),
    )
    versions = select(StudyVersionRow.id).where(StudyVersionRow.study_instance_uid == study)
    jobs = select(JobRow).where(or_(JobRow.instance_id.in_(instances), JobRow.study_version_id.in_(versions)))
    unseen = select(ResultRow.id).where(ResultRow.instance_id.in_(instances), ResultRow.studied.is_(False))
    if _any(session, elsewhere) or _any(session, jobs.where(JobRow.state.not_in(_JOB_ENDS))) or _any(session, unseen):
        return False
    objects = select(ObjectRow.id).where(_is_of(study, instances))
    deliveries = select(DeliveryRow).where(DeliveryRow.object_id.in_(objects))
    if _any(session, deliveries.where(DeliveryRow.state.not_in(_DELIVERY_ENDS))):
        return False
    taker = func.coalesce(DeliveryRow.via, DeliveryRow.destination)
    if _any(session, deliveries.where(DeliveryRow.state == DeliveryState.SENT, taker.in_(cutoffs.committing))):
        return False
    was_sent = _any(session, deliveries.where(DeliveryRow.state.in_(_TAKEN)))
    cutoff = cutoffs.delivered if was_sent else cutoffs.nothing_to_send
    newest = (
        select(func.max(InstanceRow.received_at)).where(InstanceRow.id.in_(instances)),
        select(func.max(jobs.subquery().c.updated_at)),
        select(func.max(deliveries.subquery().c.updated_at)),
    )
    return cutoff is not None and all((when := session.scalar(one)) is None or when < cutoff for one in newest)


def _is_of(study: str, instances: Sequence[int]) -> ColumnElement[bool]:
    """Whether an object was made of the study or its images, or is one of them that was sent on."""
    versions = select(StudyVersionRow.id).where(StudyVersionRow.study_instance_uid == study)
    of_study = or_(ResultRow.instance_id.in_(instances), ResultRow.study_version_id.in_(versions))
    return or_(ObjectRow.result_id.in_(select(ResultRow.id).where(of_study)), ObjectRow.instance_id.in_(instances))


def _any(session: Session, query: Select[Any]) -> bool:
    return bool(session.scalar(select(query.exists())))


def _delete(session: Session, table: Table, ids: Sequence[int]) -> None:
    """Rows and all that points to them, last leaf first, whatever tables there are."""
    if not ids:
        return
    for child in _TABLES.values():
        for column in (key.parent for key in child.foreign_keys if key.column.table is table):
            _delete_pointing(session, child, column, ids)
    session.execute(delete(table).where(table.c.id.in_(ids)))


def _delete_pointing(session: Session, child: Table, column: Column[Any], ids: Sequence[int]) -> None:
    if "id" in child.c:
        _delete(session, child, list(session.scalars(select(child.c.id).where(column.in_(ids)))))
    else:
        session.execute(delete(child).where(column.in_(ids)))
