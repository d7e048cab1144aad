"""All that is known of one study: what was received, what was said of it, what became of that and where it went."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicom_node.domain import Attempt, Delivery, InstanceRef, Job, StoredObject, StoredResult
from dicom_node.errors import Refused
from dicom_node.storage import deliveries, instances, jobs, results
from dicom_node.storage.rows import (
    CommitmentRow,
    DeliveryRow,
    InstanceRow,
    JobRow,
    ObjectRow,
    ResultRow,
    StudyVersionRow,
)
from dicom_node.storage.study_list import Facts, Reported, newest_reports

IMAGES_OF_A_STUDY = 200
"""Images that are read of one study; no examination of a fetus has as many."""


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
    """All that is known of a study. `reports`: newest first."""

    study_instance_uid: str
    images: tuple[ImageAccount, ...]
    reports: tuple[Reported, ...]
    objects: tuple[ObjectAccount, ...]
    jobs: tuple[Job, ...]
    more_images: bool = field(default=False)


def account_of(session: Session, study: str) -> StudyAccount:
    """Raises Refused: nothing is stored of it."""
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
        reports=tuple(newest_reports(session, [study])[study]),
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
    requested, accounts = {row.id: row for row in asked}, defaultdict(list)
    for row, told in zip(sent, deliveries.references(session, sent), strict=True):
        request = requested.get(row.commitment_id or 0)
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
    return tuple(ObjectAccount(stored(row), made_at.get(row.result_id or 0), tuple(accounts[row.id])) for row in rows)


def stored(row: ObjectRow) -> StoredObject:
    """Of a result, or with result id 0 a received object that was sent on."""
    return StoredObject(
        row.id, row.result_id or 0, row.kind, row.sop_class_uid, row.sop_instance_uid, row.path, row.sha256
    )
