"""Looking through what the node holds, newest first, for people and for programs; nothing is changed here.

A page continues behind the smallest id of the one before (`Page.before`): what arrives meanwhile moves nothing, and a
late page costs no more than the first.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import TypeVar

from sqlalchemy import Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from dicom_node.audit import AuditEvent
from dicom_node.domain import Delivery, DeliveryState, InstanceRef, Job, JobState, StoredObject, StoredResult
from dicom_node.errors import Refused
from dicom_node.storage import deliveries, instances, jobs, results
from dicom_node.storage.rows import (
    AuditRow,
    DeliveryRow,
    InstanceRow,
    JobRow,
    ObjectRow,
    ResultRow,
    Row,
    StudyVersionRow,
)
from dicom_node.storage.study_account import StudyAccount, account_of, stored
from dicom_node.storage.study_contents import held_of
from dicom_node.storage.study_list import Page, StudyLine, StudyWish, page_of

__all__ = ["Browsing", "Page", "StudyLine", "StudyWish"]

R = TypeVar("R", bound=Row)
Transaction = Callable[[], AbstractContextManager[Session]]

LATEST = 1000
"""Answers from which shares and latencies are told: enough for a share, few enough to be read at every scrape."""

_RECENT_SENDERS = 5000

_RECENT_ACTS = 20_000
"""Acts of the audit trail among which the last association of a peer is looked for."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Of the latest answers, in seconds from the object's arrival; None: there is none."""

    count: int = 0
    median_s: float | None = None
    p95_s: float | None = None


@dataclass(frozen=True)
class Latest:
    """What the latest answers about images were: how many of each status and reason, and how long they took."""

    answers: Counter[tuple[str, str | None]]
    latency: Latency

    @property
    def statuses(self) -> Counter[str]:
        return self._by(0)

    @property
    def reasons(self) -> Counter[str]:
        return self._by(1)

    def _by(self, place: int) -> Counter[str]:
        told: Counter[str] = Counter()
        for key, number in self.answers.items():
            word = key[place]
            if word is not None:
                told[word] += number
        return told


@dataclass(frozen=True, slots=True)
class ResultObject:
    """A result object, the study that it belongs to and, where it is about one image, the id of that one."""

    stored: StoredObject
    study_instance_uid: str
    instance_id: int | None


@dataclass(frozen=True, slots=True)
class Heard:
    """The last association of a peer that was let in."""

    host: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """When what waits the longest began to wait; None: nothing waits."""

    job_since: datetime | None
    delivery_since: datetime | None


class Browsing:
    """Each method is one transaction that only reads; what may be raised is told in repository.py."""

    def __init__(self, read: Transaction) -> None:
        self._read = read

    # Studies and their objects

    def studies(self, wish: StudyWish, page: Page) -> tuple[StudyLine, ...]:
        """In the order of their newest object, newest first."""
        with self._read() as session:
            return page_of(session, wish, page)

    def study(self, study_instance_uid: str) -> StudyAccount:
        """Raises Refused: nothing is stored of it."""
        with self._read() as session:
            return account_of(session, study_instance_uid)

    def instances_of_study(self, study_instance_uid: str) -> tuple[InstanceRef, ...]:
        """Every version of every object, in the order of arrival."""
        query = select(InstanceRow).where(InstanceRow.study_instance_uid == study_instance_uid).order_by(InstanceRow.id)
        with self._read() as session:
            return tuple(map(instances.reference, session.scalars(query)))

    def held(self, study_instance_uids: Sequence[str]) -> dict[str, dict[str, str]]:
        """SOP Instance UID and path of what stands of these studies, in the order of arrival.

        Received objects in the version that stands, what their newest answers became, and the newest report's objects.
        """
        with self._read() as session:
            return held_of(session, study_instance_uids)

    def results_of_study(self, study_instance_uid: str) -> tuple[StoredResult, ...]:
        """The newest answer about each object that has one, in the order of arrival."""
        newest = (
            select(func.max(ResultRow.id))
            .join(InstanceRow, InstanceRow.id == ResultRow.instance_id)
            .where(InstanceRow.study_instance_uid == study_instance_uid)
            .group_by(ResultRow.instance_id)
        )
        query = select(ResultRow).where(ResultRow.id.in_(newest)).order_by(ResultRow.instance_id)
        with self._read() as session:
            return tuple(map(results.reference, session.scalars(query)))

    def instances(self, page: Page) -> tuple[InstanceRef, ...]:
        """Received objects, newest first."""
        query = _paged(select(InstanceRow), InstanceRow.id, page)
        with self._read() as session:
            return tuple(map(instances.reference, session.scalars(query)))

    # Results and their objects

    def results(self, page: Page, status: str | None = None) -> tuple[StoredResult, ...]:
        """Answers about images, newest first."""
        query = _paged(select(ResultRow).where(ResultRow.instance_id.is_not(None)), ResultRow.id, page)
        with self._read() as session:
            found = session.scalars(query if status is None else query.where(ResultRow.status == status))
            return tuple(map(results.reference, found))

    def result(self, result_id: int) -> StoredResult:
        """The answer about an image. Raises Refused: there is none with that id."""
        with self._read() as session:
            row = session.get(ResultRow, result_id)
            if row is None or row.instance_id is None:
                raise Refused(f"There is no result {result_id}.")
            return results.reference(row)

    def objects_of_study(self, study_instance_uid: str) -> tuple[ResultObject, ...]:
        """All result objects of a study, also of earlier versions, in the order in which they were made."""
        of_images = (
            select(ObjectRow, InstanceRow.id)
            .join(ResultRow, ObjectRow.result_id == ResultRow.id)
            .join(InstanceRow, ResultRow.instance_id == InstanceRow.id)
            .where(InstanceRow.study_instance_uid == study_instance_uid)
        )
        of_study = (
            select(ObjectRow)
            .join(ResultRow, ObjectRow.result_id == ResultRow.id)
            .join(StudyVersionRow, ResultRow.study_version_id == StudyVersionRow.id)
            .where(StudyVersionRow.study_instance_uid == study_instance_uid)
        )
        with self._read() as session:
            found: list[tuple[ObjectRow, int | None]] = [(row, image) for row, image in session.execute(of_images)]
            found += [(row, None) for row in session.scalars(of_study)]
        found.sort(key=lambda pair: pair[0].id)
        return tuple(ResultObject(results.object_reference(row), study_instance_uid, image) for row, image in found)

    def object(self, object_id: int) -> ResultObject:
        """A result object. Raises Refused: there is none with that id."""
        with self._read() as session:
            row = session.get(ObjectRow, object_id)
            if row is None or row.result_id is None:
                raise Refused(f"There is no result object {object_id}.")
            answer = session.get_one(ResultRow, row.result_id)
            return ResultObject(results.object_reference(row), _study_of(session, answer), answer.instance_id)

    def stored_object(self, object_id: int) -> StoredObject:
        """The same, and received objects that are sent on. Raises Refused: there is none with that id."""
        with self._read() as session:
            row = session.get(ObjectRow, object_id)
            if row is None:
                raise Refused("There is no such object.")
            return stored(row)

    # Work

    def jobs(self, page: Page, states: Sequence[JobState] = ()) -> tuple[Job, ...]:
        """Newest first; no states means all."""
        query = _paged(select(JobRow), JobRow.id, page)
        with self._read() as session:
            return tuple(
                map(jobs.reference, session.scalars(query.where(JobRow.state.in_(states)) if states else query))
            )

    def deliveries(
        self, page: Page, states: Sequence[DeliveryState] = (), destination: str | None = None
    ) -> tuple[Delivery, ...]:
        """Newest first; no states means all."""
        query = _paged(select(DeliveryRow), DeliveryRow.id, page)
        if states:
            query = query.where(DeliveryRow.state.in_(states))
        if destination is not None:
            query = query.where(DeliveryRow.destination == destination)
        with self._read() as session:
            return deliveries.references(session, session.scalars(query).all())

    def studies_of(self, object_ids: Sequence[int]) -> dict[int, str]:
        """Study Instance UID of each of these objects."""
        own, of_report = InstanceRow.study_instance_uid, StudyVersionRow.study_instance_uid
        query = (
            select(ObjectRow.id, func.coalesce(own, of_report))
            .outerjoin(ResultRow, ResultRow.id == ObjectRow.result_id)
            .outerjoin(InstanceRow, InstanceRow.id == func.coalesce(ObjectRow.instance_id, ResultRow.instance_id))
            .outerjoin(StudyVersionRow, StudyVersionRow.id == ResultRow.study_version_id)
            .where(ObjectRow.id.in_(object_ids))
        )
        with self._read() as session:
            return dict(session.execute(query).all())

    def studies_of_jobs(self, job_ids: Sequence[int]) -> dict[int, str]:
        """Study Instance UID of what each of these jobs is about."""
        query = (
            select(JobRow.id, func.coalesce(InstanceRow.study_instance_uid, StudyVersionRow.study_instance_uid))
            .outerjoin(InstanceRow, InstanceRow.id == JobRow.instance_id)
            .outerjoin(StudyVersionRow, StudyVersionRow.id == JobRow.study_version_id)
            .where(JobRow.id.in_(job_ids))
        )
        with self._read() as session:
            return dict(session.execute(query).all())

    # Progress

    def pulse(self) -> tuple[int, int]:
        """Changes when something happened; costs two look-ups."""
        with self._read() as session:
            acts = session.scalar(select(func.max(AuditRow.id))) or 0
            return acts, session.scalar(select(func.max(JobRow.id))) or 0

    def latest(self) -> Latest:
        """Of the last LATEST answers about images."""
        query = (
            select(ResultRow.status, ResultRow.reason, ResultRow.created_at, InstanceRow.received_at)
            .join(InstanceRow, InstanceRow.id == ResultRow.instance_id)
            .order_by(ResultRow.id.desc())
            .limit(LATEST)
        )
        with self._read() as session:
            rows = session.execute(query).all()
        waits = sorted((row.created_at - row.received_at).total_seconds() for row in rows)
        latency = Latency()
        if waits:
            latency = Latency(len(waits), median(waits), waits[math.ceil(0.95 * len(waits)) - 1])
        return Latest(Counter((row.status, row.reason) for row in rows), latency)

    def senders(self) -> tuple[str, ...]:
        """AE titles of the last objects' senders."""
        recent = select(InstanceRow.calling_ae).order_by(InstanceRow.id.desc()).limit(_RECENT_SENDERS).subquery()
        with self._read() as session:
            return tuple(sorted(set(session.scalars(select(recent.c.calling_ae).distinct()))))

    def heard(self) -> dict[str, Heard]:
        """Who associated with us lately, by AE title: from where, and when last; among the last acts of the trail."""
        last = select(func.max(AuditRow.id)).scalar_subquery()
        newest = (
            select(func.max(AuditRow.id))
            .where(AuditRow.id > last - _RECENT_ACTS, AuditRow.event == AuditEvent.ASSOCIATION_ACCEPTED)
            .group_by(AuditRow.actor)
        )
        query = select(AuditRow.actor, AuditRow.host, AuditRow.at).where(AuditRow.id.in_(newest))
        with self._read() as session:
            return {row.actor: Heard(row.host, row.at) for row in session.execute(query)}

    def waiting(self) -> Waiting:
        """What has waited the longest."""
        job = select(func.min(JobRow.created_at)).where(JobRow.state == JobState.QUEUED)
        delivery = select(func.min(DeliveryRow.waiting_since)).where(DeliveryRow.state == DeliveryState.PENDING)
        with self._read() as session:
            return Waiting(session.scalar(job), session.scalar(delivery))


def _paged(query: Select[R], key: InstrumentedAttribute[int], page: Page) -> Select[R]:
    behind = query if page.before is None else query.where(key < page.before)
    return behind.order_by(key.desc()).limit(page.limit)


def _study_of(session: Session, answer: ResultRow) -> str:
    if answer.instance_id is not None:
        return session.get_one(InstanceRow, answer.instance_id).study_instance_uid
    return session.get_one(StudyVersionRow, answer.study_version_id).study_instance_uid
