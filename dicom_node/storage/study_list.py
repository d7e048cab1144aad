"""Studies as they stand in lists: which ones, in which order, and what each of them amounts to.

A list is walked from its newest object downwards and stops when the page is full: a page costs the same whatever lies
below it. What else a line says is asked for all studies of the page together.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func, select
from sqlalchemy.orm import Session, aliased

from dicom_node.domain import DeliveryState, JobState
from dicom_node.storage.rows import (
    AuditRow,
    DeliveryRow,
    InstanceRow,
    JobRow,
    ObjectRow,
    ResultRow,
    StudyVersionRow,
)
from inference.domain import Status

Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """At most `limit` rows whose id is smaller than `before`; None: the newest."""

    limit: int
    before: int | None = None


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
    """Which studies; None or empty: all. `text`: a Patient ID, or the beginning of a UID. `until` is not included.

    A study is meant where one of its objects is; for sender, state and time it need not be the same one.
    """

    text: str = ""
    calling_ae: str = ""
    standing: Standing | None = None
    since: datetime | None = None
    until: datetime | None = None
    study_instance_uid: str | None = None


@dataclass(frozen=True, slots=True)
class Reported:
    """What was said of one version of a study."""

    version: int
    at: datetime
    status: str
    reason: str | None
    document: str

    @property
    def answer(self) -> Facts:
        return dict(json.loads(self.document))


@dataclass(frozen=True)
class StudyLine:
    """One study. `last_id`: its newest object, behind which the list goes on; `said`: its newest report.

    `answers`: how many of its objects were answered how, by the newest answer about each. Who the patient is stands in
    the objects and, as Patient ID alone, in the audit trail.
    """

    study_instance_uid: str
    last_id: int
    objects: int
    first_received_at: datetime
    received_at: datetime
    calling_aes: tuple[str, ...]
    patient_id: str
    answers: Counter[str]
    jobs: Counter[JobState]
    deliveries: Counter[DeliveryState]
    said: Reported | None

    @property
    def report(self) -> Facts | None:
        return None if self.said is None else self.said.answer


def page_of(session: Session, wish: StudyWish, page: Page) -> tuple[StudyLine, ...]:
    """Those of which something came last first."""
    newer = aliased(InstanceRow)
    uid, key = InstanceRow.study_instance_uid, InstanceRow.id
    is_newest = ~exists().where(newer.study_instance_uid == uid, newer.id > key)
    # images whose study was not read at the door, for their long header, are not of one study
    query = select(uid, key).where(uid != "", is_newest, *_conditions(wish))
    if page.before is not None:
        query = query.where(key < page.before)
    found = dict(session.execute(query.order_by(key.desc()).limit(page.limit)).all())
    return tuple(_lines(session, found)) if found else ()


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
    if wish.study_instance_uid is not None:
        found.append(uid == wish.study_instance_uid)
    if wish.calling_ae:
        found.append(uid.in_(one.where(InstanceRow.calling_ae == wish.calling_ae)))
    came = [] if wish.since is None else [InstanceRow.received_at >= wish.since]
    came += [] if wish.until is None else [InstanceRow.received_at < wish.until]
    if came:
        found.append(uid.in_(one.where(*came)))
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
    """The studies with these newest objects, in this order; a few queries for all of them together."""
    uids, uid = list(found), InstanceRow.study_instance_uid
    arrivals: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
    of_each = select(uid, InstanceRow.received_at, InstanceRow.calling_ae).where(uid.in_(uids)).order_by(InstanceRow.id)
    for study, at, calling_ae in session.execute(of_each):
        arrivals[study].append((at, calling_ae))
    work: dict[str, Counter[JobState]] = defaultdict(Counter)
    of_jobs = select(uid, JobRow.state).join(JobRow, JobRow.instance_id == InstanceRow.id).where(uid.in_(uids))
    for study, state in session.execute(of_jobs):
        work[study][state] += 1
    answers, sent = _answers(session, uids), _sent(session, uids)
    reports, patients = newest_reports(session, uids), _patients(session, uids)
    return [
        StudyLine(
            study_instance_uid=study,
            last_id=last,
            objects=len(arrivals[study]),
            first_received_at=min(at for at, _ in arrivals[study]),
            received_at=max(at for at, _ in arrivals[study]),
            calling_aes=tuple(sorted({calling_ae for _, calling_ae in arrivals[study]})),
            patient_id=patients.get(study, ""),
            answers=answers[study],
            jobs=work[study],
            deliveries=sent[study],
            said=next(iter(reports[study]), None),
        )
        for study, last in found.items()
    ]


def _answers(session: Session, uids: Sequence[str]) -> dict[str, Counter[str]]:
    """Statuses of the newest answer about each object."""
    of_each = select(func.max(ResultRow.id)).join(InstanceRow, InstanceRow.id == ResultRow.instance_id)
    latest = of_each.where(InstanceRow.study_instance_uid.in_(uids)).group_by(ResultRow.instance_id)
    query = select(InstanceRow.study_instance_uid, ResultRow.status)
    query = query.join(ResultRow, ResultRow.instance_id == InstanceRow.id).where(ResultRow.id.in_(latest))
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for study, status in session.execute(query):
        answers[study][status] += 1
    return answers


def _patients(session: Session, uids: Sequence[str]) -> dict[str, str]:
    """Patient ID of the last object of each study, as the audit trail has it."""
    query = select(AuditRow.study_instance_uid, AuditRow.patient_id).order_by(AuditRow.id)
    found = query.where(AuditRow.study_instance_uid.in_(uids), AuditRow.patient_id.is_not(None))
    return {study or "": patient or "" for study, patient in session.execute(found)}


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


def newest_reports(session: Session, uids: Sequence[str]) -> dict[str, list[Reported]]:
    """What was said of each study, newest first."""
    columns = (ResultRow.created_at, ResultRow.status, ResultRow.reason, ResultRow.document)
    query = (
        select(StudyVersionRow.study_instance_uid, StudyVersionRow.version, *columns)
        .join(ResultRow, ResultRow.study_version_id == StudyVersionRow.id)
        .where(StudyVersionRow.study_instance_uid.in_(uids))
        .order_by(StudyVersionRow.version.desc())
    )
    found: dict[str, list[Reported]] = defaultdict(list)
    for study, version, at, status, reason, document in session.execute(query):
        found[study].append(Reported(version, at, status, reason, document))
    return found
