"""What may be deleted after a while: studies about which nothing is under way or waits for anybody.

The unit is the study (an object whose study is not known is one by itself), with everything that is known of it: its
images, their results, the study's own versions, and what was sent. A study is settled when each of its jobs is done or
cancelled and each of its deliveries is at its end: what was not delivered, and what waits for a person, is never
deleted, however old it is. Where a destination is asked for storage commitment, its deliveries are at their end when
they are committed, not when they are sent, whoever took them. What comes again as it was leaves no row but in the
audit trail, and keeps its study for as long as a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, Table, and_, delete, func, literal, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from dicom_node.audit import AuditEvent
from dicom_node.domain import DeliveryState, JobState
from dicom_node.storage import corrections
from dicom_node.storage.rows import (
    AuditRow,
    DeliveryRow,
    FhirPostRow,
    InstanceRow,
    JobRow,
    ObjectRow,
    PostState,
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
    """Studies are deleted whose last event is older than this; None: never. See RetentionSection for the kinds.

    `committing`: the destinations of which sent is not enough.
    """

    delivered: datetime | None
    nothing_to_send: datetime | None
    committed: datetime | None
    committing: tuple[str, ...] = ()

    @property
    def latest(self) -> datetime | None:
        """Nothing younger can be due."""
        given = (self.delivered, self.nothing_to_send, self.committed)
        return max((one for one in given if one is not None), default=None)


@dataclass(frozen=True, slots=True)
class Unit:
    """What is deleted at once: a study, or one object whose study was not read at the door, for its long header."""

    study_instance_uid: str
    sop_instance_uid: str = ""

    def images(self) -> ColumnElement[bool]:
        of_study = InstanceRow.study_instance_uid == self.study_instance_uid
        return (
            and_(of_study, InstanceRow.sop_instance_uid == self.sop_instance_uid) if self.sop_instance_uid else of_study
        )

    def arrivals(self) -> ColumnElement[bool]:
        """Records of the audit trail."""
        of_study = and_(
            AuditRow.study_instance_uid == self.study_instance_uid, AuditRow.event == AuditEvent.OBJECT_RECEIVED
        )
        return and_(of_study, AuditRow.sop_instance_uid == self.sop_instance_uid) if self.sop_instance_uid else of_study


def old_units(session: Session, before: datetime, behind: Unit | None) -> Sequence[Unit]:
    """Those to which nothing came since then, in order, beginning behind one of them; at most STUDIES_AT_ONCE.

    First the objects of no study, which have the empty UID for one.
    """
    if behind is None or behind.sop_instance_uid:
        uid = InstanceRow.sop_instance_uid
        loose = _old(uid, before, None if behind is None else behind.sop_instance_uid)
        found = [Unit("", one) for one in session.scalars(loose.where(InstanceRow.study_instance_uid == ""))]
        if found:
            return found
        behind = None
    uid = InstanceRow.study_instance_uid
    return [Unit(one) for one in session.scalars(_old(uid, before, behind.study_instance_uid if behind else ""))]


def _old(uid: InstrumentedAttribute[str], before: datetime, behind: str | None) -> Select[str]:
    old = select(uid).group_by(uid).having(func.max(InstanceRow.received_at) < before).order_by(uid)
    return (old if behind is None else old.where(uid > behind)).limit(STUDIES_AT_ONCE)


def remove(session: Session, unit: Unit, cutoffs: Cutoffs) -> tuple[str, ...] | None:
    """Delete the rows of a unit if it is due; the files that may go once this is committed. None: it is not due."""
    images = session.execute(select(InstanceRow.id, InstanceRow.sop_instance_uid).where(unit.images())).all()
    if not images:  # another receiver was quicker
        return None
    corrections.lock_versions(session, *(image.sop_instance_uid for image in images))
    instances = [image.id for image in images]
    if not _is_due(session, unit, instances, cutoffs):
        return None
    study_instance_uid = unit.study_instance_uid
    paths = set(session.scalars(select(InstanceRow.path).where(InstanceRow.id.in_(instances))))
    paths |= set(session.scalars(select(ObjectRow.path).where(_is_of(study_instance_uid, instances))))
    versions = select(StudyVersionRow.id).where(StudyVersionRow.study_instance_uid == study_instance_uid)
    _delete(session, _TABLES[StudyVersionRow.__tablename__], list(session.scalars(versions)))
    _delete(session, _TABLES[InstanceRow.__tablename__], instances)
    return tuple(sorted(paths))


def _is_due(session: Session, unit: Unit, instances: Sequence[int], cutoffs: Cutoffs) -> bool:
    study = unit.study_instance_uid
    elsewhere = select(InstanceRow.id).where(
        InstanceRow.sop_instance_uid.in_(select(InstanceRow.sop_instance_uid).where(InstanceRow.id.in_(instances))),
        InstanceRow.id.not_in(instances),
    )
    versions = select(StudyVersionRow.id).where(StudyVersionRow.study_instance_uid == study)
    jobs = select(JobRow).where(or_(JobRow.instance_id.in_(instances), JobRow.study_version_id.in_(versions)))
    unseen = select(ResultRow.id).where(  # of an object without a study nobody will ever look at one
        ResultRow.instance_id.in_(instances), ResultRow.studied.is_(False), literal(study != "")
    )
    if _any(session, elsewhere) or _any(session, jobs.where(JobRow.state.not_in(_JOB_ENDS))) or _any(session, unseen):
        return False
    objects = select(ObjectRow.id).where(_is_of(study, instances))
    deliveries = select(DeliveryRow).where(DeliveryRow.object_id.in_(objects))
    if _any(session, deliveries.where(DeliveryRow.state.not_in(_DELIVERY_ENDS))):
        return False
    if _any(session, select(FhirPostRow.id).where(FhirPostRow.study_version_id.in_(versions), _is_open())):
        return False
    owed = or_(DeliveryRow.destination.in_(cutoffs.committing), DeliveryRow.via.in_(cutoffs.committing))
    if _any(session, deliveries.where(DeliveryRow.state == DeliveryState.SENT, owed)):
        return False
    cutoff = _cutoff(session, deliveries, cutoffs)
    newest = (
        select(func.max(InstanceRow.received_at)).where(InstanceRow.id.in_(instances)),
        select(func.max(AuditRow.at)).where(unit.arrivals()),
        select(func.max(jobs.subquery().c.updated_at)),
        select(func.max(deliveries.subquery().c.updated_at)),
    )
    return cutoff is not None and all((when := session.scalar(one)) is None or when < cutoff for one in newest)


def _cutoff(session: Session, deliveries: Select[DeliveryRow], cutoffs: Cutoffs) -> datetime | None:
    """Of the kind that a settled study is."""
    if _any(session, deliveries.where(DeliveryRow.state == DeliveryState.SENT)):
        return cutoffs.delivered
    if _any(session, deliveries.where(DeliveryRow.state == DeliveryState.COMMITTED)):
        return cutoffs.committed
    return cutoffs.nothing_to_send


def _is_of(study: str, instances: Sequence[int]) -> ColumnElement[bool]:
    """Whether an object was made of the study or its images, or is one of them that was sent on."""
    versions = select(StudyVersionRow.id).where(StudyVersionRow.study_instance_uid == study)
    of_study = or_(ResultRow.instance_id.in_(instances), ResultRow.study_version_id.in_(versions))
    return or_(ObjectRow.result_id.in_(select(ResultRow.id).where(of_study)), ObjectRow.instance_id.in_(instances))


def _is_open() -> ColumnElement[bool]:
    """Whether a report is still to be told to a FHIR server, or was given up and waits for a person."""
    return FhirPostRow.state.in_((PostState.PENDING, PostState.DEAD))


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
