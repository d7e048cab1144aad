"""What happened, for people who look: studies with all that was received, said and sent, and what the node is doing.

Reading only. Lists are cut by the database and go on behind a row id: a page costs the same whatever lies below.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from dicom_node.domain import (
    Attempt,
    Delivery,
    DeliveryState,
    InstanceRef,
    Job,
    JobState,
    StoredObject,
    StoredResult,
)
from dicom_node.errors import Refused
from dicom_node.storage import deliveries, instances, jobs, results
from dicom_node.storage.rows import (
    AuditRow,
    CommitmentRow,
    DeliveryRow,
    InstanceRow,
    JobRow,
    ObjectRow,
    ResultRow,
    StudyVersionRow,
)
from inference.domain import Status

IMAGES_OF_A_STUDY = 200
"""Images that are read of one study; no examination of a fetus has as many."""

LATEST = 500
"""Results from which latencies and reasons are told."""

Transaction = Callable[[], AbstractContextManager[Session]]
Facts = dict[str, Any]


class Standing(StrEnum):
    """By what studies are looked for."""

    MEASURED = "measured"
    ABSTAINED = "abstained"
    REFUSED = "refused"
    WAITING = "waiting"
    FAILED = "failed"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class StudyWish:
    """Which studies; None or empty: all. `text`: a Patient ID, or the beginning of a UID. `until` is not included."""

    text: str = ""
    calling_ae: str = ""
    standing: Standing | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class StudyLine:
    """One study in the list. `last_id`: its newest instance, behind which the list goes on."""

    study_instance_uid: str
    last_id: int
    objects: int
    received_at: datetime
    calling_ae: str
    patient_id: str
    answers: Counter[str]
    jobs: Counter[JobState]
    deliveries: Counter[DeliveryState]
    report: Facts | None


@dataclass(frozen=True, slots=True)
class Latency:
    """Of the latest answers, in seconds from the object's arrival; None: there is none."""

    count: int = 0
    median_s: float | None = None
    p95_s: float | None = None


@dataclass(frozen=True)
class Latest:
    """What the latest answers for images were."""

    statuses: Counter[str]
    reasons: Counter[str]
    latency: Latency


@dataclass(frozen=True)
class ImageAccount:
    """A received object: its work, its newest answer, and what the answer became."""

    instance: InstanceRef
    called_ae: str
    peer_host: str
    jobs: tuple[Job, ...]
    result: StoredResult | None

    @property
    def answer(self) -> Facts | None:
        return None if self.result is None else dict(json.loads(self.result.document))


@dataclass(frozen=True)
class DeliveryAccount:
    """A delivery, its attempts, and what was asked and answered about storage commitment."""

    delivery: Delivery
    attempts: tuple[Attempt, ...]
    created_at: datetime
    updated_at: datetime
    asked_at: datetime | None
    answered_at: datetime | None


@dataclass(frozen=True)
class ObjectAccount:
    """An object of ours (or the received one, sent on) and where it went."""

    stored: StoredObject
    made_at: datetime | None
    deliveries: tuple[DeliveryAccount, ...]


@dataclass(frozen=True)
class StudyAccount:
    """All that is known of a study. `reports`: version, time and answer, newest first."""

    study_instance_uid: str
    images: tuple[ImageAccount, ...]
    reports: tuple[tuple[int, datetime, Facts], ...]
    objects: tuple[ObjectAccount, ...]
    jobs: tuple[Job, ...]
    more_images: bool = field(default=False)


class History:
    """Each method is one transaction; what may be raised is told in repository.py."""

    def __init__(self, read: Transaction) -> None:
        self._read = read

    def pulse(self) -> tuple[int, int]:
        """Changes when something happened; costs two look-ups."""
        with self._read() as session:
            acts = session.scalar(select(func.max(AuditRow.id))) or 0
            return acts, session.scalar(select(func.max(JobRow.id))) or 0

    def latest(self) -> Latest:
        """Of the last LATEST answers for images."""
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
        statuses = Counter(row.status for row in rows)
        return Latest(statuses, Counter(row.reason for row in rows if row.reason is not None), latency)

    def senders(self) -> tuple[str, ...]:
        """AE titles of the last objects' senders."""
        recent = select(InstanceRow.calling_ae).order_by(InstanceRow.id.desc()).limit(5000).subquery()
        with self._read() as session:
            return tuple(sorted(set(session.scalars(select(recent.c.calling_ae).distinct()))))

    def studies(self, wish: StudyWish, behind: int | None, limit: int) -> tuple[StudyLine, ...]:
        """Those of which something came last first; `behind` a `last_id`."""
        last = func.max(InstanceRow.id)
        query = select(InstanceRow.study_instance_uid, last.label("last")).group_by(InstanceRow.study_instance_uid)
        query = query.where(InstanceRow.study_instance_uid != "", *_conditions(wish))
        if behind is not None:
            query = query.having(last < behind)
        with self._read() as session:
            found = {row[0]: row[1] for row in session.execute(query.order_by(last.desc()).limit(limit))}
            return tuple(_lines(session, found)) if found else ()

    def study(self, study_instance_uid: str) -> StudyAccount:
        """Raises Refused: nothing is stored of it."""
        with self._read() as session:
            return _account(session, study_instance_uid)

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

    def stored_object(self, object_id: int) -> StoredObject:
        """Raises Refused."""
        with self._read() as session:
            row = session.get(ObjectRow, object_id)
            if row is None:
                raise Refused("There is no such object.")
            return _stored(row)


def _conditions(wish: StudyWish) -> list[ColumnElement[bool]]:
    """Of which studies; a study belongs where one of its objects does."""
    uid = InstanceRow.study_instance_uid
    found: list[ColumnElement[bool]] = []
    text = wish.text.strip()
    if text:
        of_patient = uid.in_(select(AuditRow.study_instance_uid).where(AuditRow.patient_id == text))
        of_object = uid.in_(select(InstanceRow.study_instance_uid).where(InstanceRow.sop_instance_uid == text))
        found.append(of_patient | of_object | uid.startswith(text, autoescape=True))
    one = select(InstanceRow.study_instance_uid)
    if wish.calling_ae:
        found.append(uid.in_(one.where(InstanceRow.calling_ae == wish.calling_ae)))
    if wish.since is not None:
        found.append(uid.in_(one.where(InstanceRow.received_at >= wish.since)))
    if wish.until is not None:
        found.append(uid.in_(one.where(InstanceRow.received_at < wish.until)))
    if wish.standing is not None:
        found.append(uid.in_(_standing(wish.standing)))
    return found


_JOB_STATES = {
    Standing.WAITING: (JobState.QUEUED, JobState.RUNNING),
    Standing.FAILED: (JobState.DEAD,),
    Standing.HELD: (JobState.HELD,),
}


def _standing(standing: Standing) -> Select[str]:
    one = select(InstanceRow.study_instance_uid)
    if standing in _JOB_STATES:
        return one.join(JobRow, JobRow.instance_id == InstanceRow.id).where(JobRow.state.in_(_JOB_STATES[standing]))
    return one.join(ResultRow, ResultRow.instance_id == InstanceRow.id).where(ResultRow.status == Status(standing))


def _lines(session: Session, found: dict[str, int]) -> list[StudyLine]:
    """The studies with these newest instances, in this order; a few queries for all of them together."""
    uids, uid = list(found), InstanceRow.study_instance_uid
    counts = dict(
        session.execute(select(uid, func.count()).where(uid.in_(uids)).group_by(uid)).all(),
    )
    newest = {row.study_instance_uid: row for row in session.scalars(_with_ids(list(found.values())))}
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    of_each = select(func.max(ResultRow.id)).join(InstanceRow, InstanceRow.id == ResultRow.instance_id)
    latest = of_each.where(uid.in_(uids)).group_by(ResultRow.instance_id)
    query = select(uid, ResultRow.status).join(ResultRow, ResultRow.instance_id == InstanceRow.id)
    for study, status in session.execute(query.where(ResultRow.id.in_(latest))):
        answers[study][status] += 1
    work: dict[str, Counter[JobState]] = defaultdict(Counter)
    of_jobs = select(uid, JobRow.state).join(JobRow, JobRow.instance_id == InstanceRow.id).where(uid.in_(uids))
    for study, state in session.execute(of_jobs):
        work[study][state] += 1
    sent, reports, patients = _sent(session, uids), _reports(session, uids), _patients(session, uids)
    return [
        StudyLine(
            study_instance_uid=study,
            last_id=last,
            objects=counts[study],
            received_at=newest[study].received_at,
            calling_ae=newest[study].calling_ae,
            patient_id=patients.get(study, ""),
            answers=answers[study],
            jobs=work[study],
            deliveries=sent[study],
            report=reports[study][0][2] if reports[study] else None,
        )
        for study, last in found.items()
    ]


def _patients(session: Session, uids: Sequence[str]) -> dict[str, str]:
    """Patient ID of the last object of each study, as the audit trail has it."""
    query = select(AuditRow.study_instance_uid, AuditRow.patient_id).order_by(AuditRow.id)
    found = query.where(AuditRow.study_instance_uid.in_(uids), AuditRow.patient_id.is_not(None))
    return {study or "": patient or "" for study, patient in session.execute(found)}


def _with_ids(ids: Sequence[int]) -> Select[InstanceRow]:
    return select(InstanceRow).where(InstanceRow.id.in_(ids))


def _sent(session: Session, uids: Sequence[str]) -> dict[str, Counter[DeliveryState]]:
    """States of the deliveries of each study: of its images' results, its own reports, and originals sent on."""
    uid = InstanceRow.study_instance_uid
    of_images = (
        select(uid, DeliveryRow.state)
        .join(ResultRow, ResultRow.instance_id == InstanceRow.id)
        .join(ObjectRow, ObjectRow.result_id == ResultRow.id)
        .join(DeliveryRow, DeliveryRow.object_id == ObjectRow.id)
        .where(uid.in_(uids))
    )
    originals = (
        select(uid, DeliveryRow.state)
        .join(ObjectRow, ObjectRow.instance_id == InstanceRow.id)
        .join(DeliveryRow, DeliveryRow.object_id == ObjectRow.id)
        .where(uid.in_(uids))
    )
    of_reports = (
        select(StudyVersionRow.study_instance_uid, DeliveryRow.state)
        .join(ResultRow, ResultRow.study_version_id == StudyVersionRow.id)
        .join(ObjectRow, ObjectRow.result_id == ResultRow.id)
        .join(DeliveryRow, DeliveryRow.object_id == ObjectRow.id)
        .where(StudyVersionRow.study_instance_uid.in_(uids))
    )
    found: dict[str, Counter[DeliveryState]] = defaultdict(Counter)
    for query in (of_images, originals, of_reports):
        for study, state in session.execute(query):
            found[study][state] += 1
    return found


def _reports(session: Session, uids: Sequence[str]) -> dict[str, list[tuple[int, datetime, Facts]]]:
    """Versions of each study, newest first."""
    query = (
        select(StudyVersionRow.study_instance_uid, StudyVersionRow.version, ResultRow.created_at, ResultRow.document)
        .join(ResultRow, ResultRow.study_version_id == StudyVersionRow.id)
        .where(StudyVersionRow.study_instance_uid.in_(uids))
        .order_by(StudyVersionRow.version.desc())
    )
    found: dict[str, list[tuple[int, datetime, Facts]]] = defaultdict(list)
    for study, version, at, document in session.execute(query):
        found[study].append((version, at, json.loads(document)))
    return found


def _account(session: Session, study: str) -> StudyAccount:
    query = select(InstanceRow).where(InstanceRow.study_instance_uid == study).order_by(InstanceRow.id)
    rows = session.scalars(query.limit(IMAGES_OF_A_STUDY + 1)).all()
    if not rows:
        raise Refused("Nothing is stored of this study: it never came, or was deleted for its age.")
    ids = [row.id for row in rows[:IMAGES_OF_A_STUDY]]
    versions = session.scalars(select(StudyVersionRow.id).where(StudyVersionRow.study_instance_uid == study)).all()
    work: dict[int | None, list[Job]] = defaultdict(list)
    for job in session.scalars(select(JobRow).where(JobRow.instance_id.in_(ids)).order_by(JobRow.id)):
        work[job.instance_id].append(jobs.reference(job))
    of_study = select(JobRow).where(JobRow.study_version_id.in_(versions)).order_by(JobRow.id)
    said = session.scalars(
        select(ResultRow)
        .where(ResultRow.instance_id.in_(ids) | ResultRow.study_version_id.in_(versions))
        .order_by(ResultRow.id)
    ).all()
    newest = {row.instance_id: row for row in said if row.instance_id is not None}
    images = tuple(
        ImageAccount(
            instances.reference(row),
            row.called_ae,
            row.peer_host,
            tuple(work[row.id]),
            None if row.id not in newest else results.reference(newest[row.id]),
        )
        for row in rows[:IMAGES_OF_A_STUDY]
    )
    return StudyAccount(
        study_instance_uid=study,
        images=images,
        reports=tuple(_reports(session, [study])[study]),
        objects=_objects(session, {row.id: row.created_at for row in said}, ids),
        jobs=tuple(jobs.reference(job) for job in session.scalars(of_study)),
        more_images=len(rows) > IMAGES_OF_A_STUDY,
    )


def _objects(session: Session, made_at: dict[int, datetime], instance_ids: Sequence[int]) -> tuple[ObjectAccount, ...]:
    """What became of these results and instances, newest first."""
    wanted = ObjectRow.result_id.in_(list(made_at)) | ObjectRow.instance_id.in_(instance_ids)
    rows = session.scalars(select(ObjectRow).where(wanted).order_by(ObjectRow.id.desc())).all()
    sent = session.scalars(
        select(DeliveryRow).where(DeliveryRow.object_id.in_([row.id for row in rows])).order_by(DeliveryRow.id)
    ).all()
    asked = session.scalars(
        select(CommitmentRow).where(CommitmentRow.id.in_({row.commitment_id for row in sent if row.commitment_id}))
    ).all()
    requests, accounts = {row.id: row for row in asked}, defaultdict(list)
    for row, told in zip(sent, deliveries.references(session, sent), strict=True):
        request = requests.get(row.commitment_id or 0)
        accounts[row.object_id].append(
            DeliveryAccount(
                told,
                deliveries.attempts(session, row.id),
                row.created_at,
                row.updated_at,
                None if request is None else request.asked_at,
                None if request is None else request.answered_at,
            )
        )
    return tuple(ObjectAccount(_stored(row), made_at.get(row.result_id or 0), tuple(accounts[row.id])) for row in rows)


def _stored(row: ObjectRow) -> StoredObject:
    """Of a result, or with result id 0 a received object that was sent on."""
    return StoredObject(
        row.id, row.result_id or 0, row.kind, row.sop_class_uid, row.sop_instance_uid, row.path, row.sha256
    )
