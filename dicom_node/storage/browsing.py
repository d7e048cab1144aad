"""Looking through what the node holds, page by page, newest first; nothing is changed here.

A page continues behind the smallest id of the one before (`Page.before`): what arrives meanwhile moves nothing, and a
late page costs no more than the first. Queries ask for ids first and for the rest of those on the page only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from dicom_node.domain import (
    Delivery,
    DeliveryState,
    InstanceRef,
    Job,
    JobState,
    StoredObject,
    StoredResult,
    StudyResult,
)
from dicom_node.errors import Refused
from dicom_node.storage import deliveries, instances, jobs, results, studies
from dicom_node.storage.rows import DeliveryRow, InstanceRow, JobRow, ObjectRow, ResultRow, Row, StudyVersionRow

R = TypeVar("R", bound=Row)
Transaction = Callable[[], AbstractContextManager[Session]]

RECENT = 1000
"""Results that `recent_results` looks at: enough for a share, few enough to be read at every scrape."""

RECENT_TIMES = 200


@dataclass(frozen=True, slots=True)
class Page:
    """At most `limit` rows whose id is smaller than `before`; None: the newest."""

    limit: int
    before: int | None = None


@dataclass(frozen=True, slots=True)
class StudiesWanted:
    """Which studies: those of which an object fits all that is given. `since` is included, `until` is not."""

    since: datetime | None = None
    until: datetime | None = None
    calling_ae: str | None = None
    study_instance_uid: str | None = None


@dataclass(frozen=True, slots=True)
class StudySummary:
    """A study as far as rows tell; who the patient is stands in the objects only.

    `newest_id`: the id of its newest fitting object, by which pages continue; `statuses`: how many of its objects were
    answered how; `said`: the newest answer about the study itself.
    """

    study_instance_uid: str
    newest_id: int
    instances: int
    first_received_at: datetime
    last_received_at: datetime
    calling_aes: tuple[str, ...]
    statuses: dict[str, int] = field(default_factory=dict)
    said: StudyResult | None = None


@dataclass(frozen=True, slots=True)
class ResultObject:
    """A result object, the study that it belongs to and, where it is about one image, the id of that one."""

    stored: StoredObject
    study_instance_uid: str
    instance_id: int | None


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

    def studies(self, wanted: StudiesWanted, page: Page) -> tuple[StudySummary, ...]:
        """In the order of their newest object, newest first."""
        with self._read() as session:
            newest = func.max(InstanceRow.id)
            query = _fitting(wanted).group_by(InstanceRow.study_instance_uid).order_by(newest.desc()).limit(page.limit)
            if page.before is not None:
                query = query.having(newest < page.before)
            found = session.execute(query).all()
            return _summaries(session, found)

    def instances_of_study(self, study_instance_uid: str) -> tuple[InstanceRef, ...]:
        """Every version of every object, in the order of arrival."""
        query = select(InstanceRow).where(InstanceRow.study_instance_uid == study_instance_uid).order_by(InstanceRow.id)
        with self._read() as session:
            return tuple(map(instances.reference, session.scalars(query)))

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

    # Progress

    def recent_results(self) -> dict[tuple[str, str | None], int]:
        """How many of the last RECENT answers about images have which status and reason."""
        last = select(ResultRow.status, ResultRow.reason).where(ResultRow.instance_id.is_not(None))
        part = last.order_by(ResultRow.id.desc()).limit(RECENT).subquery()
        query = select(part.c.status, part.c.reason, func.count()).group_by(part.c.status, part.c.reason)
        with self._read() as session:
            return {(status, reason): number for status, reason, number in session.execute(query)}

    def answer_times_s(self) -> tuple[float, ...]:
        """Seconds from receipt to answer of the last RECENT_TIMES images, newest first."""
        query = (
            select(ResultRow.created_at, InstanceRow.received_at)
            .join(InstanceRow, ResultRow.instance_id == InstanceRow.id)
            .order_by(ResultRow.id.desc())
            .limit(RECENT_TIMES)
        )
        with self._read() as session:
            return tuple((made - received).total_seconds() for made, received in session.execute(query))

    def waiting(self) -> Waiting:
        """What has waited the longest."""
        job = select(func.min(JobRow.created_at)).where(JobRow.state == JobState.QUEUED)
        delivery = select(func.min(DeliveryRow.waiting_since)).where(DeliveryRow.state == DeliveryState.PENDING)
        with self._read() as session:
            return Waiting(session.scalar(job), session.scalar(delivery))


def _paged(query: Select[R], key: InstrumentedAttribute[int], page: Page) -> Select[R]:
    behind = query if page.before is None else query.where(key < page.before)
    return behind.order_by(key.desc()).limit(page.limit)


def _fitting(wanted: StudiesWanted) -> Select[str, int]:
    """Images whose study was not read at the door, for their long header, are not of one study."""
    query = select(InstanceRow.study_instance_uid, func.max(InstanceRow.id))
    query = query.where(InstanceRow.study_instance_uid != "")
    if wanted.since is not None:
        query = query.where(InstanceRow.received_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(InstanceRow.received_at < wanted.until)
    if wanted.calling_ae is not None:
        query = query.where(InstanceRow.calling_ae == wanted.calling_ae)
    if wanted.study_instance_uid is not None:
        query = query.where(InstanceRow.study_instance_uid == wanted.study_instance_uid)
    return query


def _summaries(session: Session, found: Sequence[tuple[str, int]]) -> tuple[StudySummary, ...]:
    uids = [uid for uid, _ in found]
    images: dict[str, list[InstanceRow]] = {uid: [] for uid in uids}
    rows = session.scalars(select(InstanceRow).where(InstanceRow.study_instance_uid.in_(uids)).order_by(InstanceRow.id))
    for row in rows:
        images[row.study_instance_uid].append(row)
    statuses = _statuses(session, uids)
    return tuple(
        StudySummary(
            study_instance_uid=uid,
            newest_id=newest,
            instances=len(images[uid]),
            first_received_at=min(row.received_at for row in images[uid]),
            last_received_at=max(row.received_at for row in images[uid]),
            calling_aes=tuple(sorted({row.calling_ae for row in images[uid]})),
            statuses=statuses.get(uid, {}),
            said=next(reversed(studies.answers(session, uid)), None),
        )
        for uid, newest in found
    )


def _statuses(session: Session, uids: Sequence[str]) -> dict[str, dict[str, int]]:
    """Of the newest answer about each image."""
    newest = (
        select(func.max(ResultRow.id).label("id"))
        .join(InstanceRow, ResultRow.instance_id == InstanceRow.id)
        .where(InstanceRow.study_instance_uid.in_(uids))
        .group_by(ResultRow.instance_id)
        .subquery()
    )
    query = (
        select(InstanceRow.study_instance_uid, ResultRow.status, func.count())
        .join(ResultRow, ResultRow.instance_id == InstanceRow.id)
        .join(newest, newest.c.id == ResultRow.id)
        .group_by(InstanceRow.study_instance_uid, ResultRow.status)
    )
    told: dict[str, dict[str, int]] = {}
    for uid, status, number in session.execute(query):
        told.setdefault(uid, {})[status] = number
    return told


def _study_of(session: Session, answer: ResultRow) -> str:
    if answer.instance_id is not None:
        return session.get_one(InstanceRow, answer.instance_id).study_instance_uid
    return session.get_one(StudyVersionRow, answer.study_version_id).study_instance_uid
