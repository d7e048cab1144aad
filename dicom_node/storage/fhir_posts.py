"""What is told to a FHIR server: one row for each report of a study, from the day on which a server was configured.

Rows are made beside the reports and not with them: whatever is reported while nobody looks is found by its missing row,
in whatever order transactions ended.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, exists, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dicom_node.audit import AuditEntry, AuditEvent
from dicom_node.domain import DeliveryState, InstanceRef, StoredResult
from dicom_node.errors import Refused
from dicom_node.storage import corrections, instances, results, trail
from dicom_node.storage.rows import (
    FhirPostRow,
    FhirSinceRow,
    InstanceRow,
    PostState,
    ResultRow,
    StudySourceRow,
    StudyVersionRow,
)

Transaction = Callable[[], AbstractContextManager[Session]]

SERVER = "fhir"
"""Who took it, in the audit trail."""


@dataclass(frozen=True, slots=True)
class FhirPost:
    """A report on its way. `comment`: what came of the last attempt."""

    id: int
    study_instance_uid: str
    version: int
    state: PostState
    attempts: int
    available_at: datetime
    waiting_since: datetime
    comment: str | None


@dataclass(frozen=True, slots=True)
class Spoken:
    """The answer that a report selected, and the image that it is about."""

    result: StoredResult
    instance: InstanceRef


class FhirPosts:
    """Each method is one transaction; what may be raised is told in repository.py."""

    def __init__(self, read: Transaction, write: Transaction, actor: str) -> None:
        self._read, self._write, self._actor = read, write, actor

    def enqueue(self, now: datetime) -> int:
        """A row for every report since the first call ever that has none; how many."""
        with self._read() as session:
            since = session.scalar(select(FhirSinceRow.since))
            missing = () if since is None else session.scalars(_without_row(since)).all()
        if since is not None and not missing:
            return 0
        with suppress(IntegrityError), self._write() as session:  # another courier was quicker: it is done
            if since is None:
                session.add(FhirSinceRow(id=1, since=now))
            times = {"available_at": now, "waiting_since": now, "updated_at": now}
            session.add_all(
                FhirPostRow(study_version_id=version, state=PostState.PENDING, **times) for version in missing
            )
            return len(missing)
        return 0

    def claim(self, lease_s: float, now: datetime) -> FhirPost | None:
        """The next one that is due; another courier gets it when `lease_s` is over and nothing came of it."""
        due = (FhirPostRow.state == PostState.PENDING, FhirPostRow.available_at <= now)
        with self._read() as session:
            row = session.scalar(select(FhirPostRow).where(*due).order_by(FhirPostRow.available_at).limit(1))
            if row is None:
                return None
            claimed, seen = row.id, row.available_at
        with self._write() as session:
            mine = update(FhirPostRow).where(FhirPostRow.id == claimed, FhirPostRow.available_at == seen, *due)
            leased = mine.values(available_at=now + timedelta(seconds=lease_s), attempts=FhirPostRow.attempts + 1)
            taken = session.scalar(leased.returning(FhirPostRow.id))
            return None if taken is None else _post(session, session.get_one(FhirPostRow, taken))  # else: another's

    def spoken(self, post: FhirPost) -> Spoken | DeliveryState:
        """What is to be told; HELD: a person has to confirm a correction first; CANCELLED: nothing, or not any more."""
        with self._read() as session:
            row = session.get_one(FhirPostRow, post.id)
            version = session.get_one(StudyVersionRow, row.study_version_id)
            permitted = corrections.permitted(session, version)
            if permitted is not DeliveryState.PENDING:
                return permitted
            said = session.scalars(select(ResultRow).where(ResultRow.study_version_id == version.id)).one()
            selected = json.loads(said.document).get("selected")
            if selected is None:
                return DeliveryState.CANCELLED
            source = (
                select(ResultRow, InstanceRow)
                .join(StudySourceRow, StudySourceRow.result_id == ResultRow.id)
                .join(InstanceRow, InstanceRow.id == ResultRow.instance_id)
                .where(StudySourceRow.study_version_id == version.id)
                .where(InstanceRow.sop_instance_uid == selected["sop_instance_uid"])
            )
            found = session.execute(source).first()
            if found is None:
                return DeliveryState.CANCELLED
            return Spoken(results.reference(found[0]), instances.reference(found[1]))

    def settle(self, post: FhirPost, state: PostState, comment: str | None, now: datetime) -> None:
        """It is at its end: SENT, DEAD or NOTHING."""
        with self._write() as session:
            _change(session, post, state, comment, (now, now))
            if state in _EVENTS:
                uid = post.study_instance_uid
                entry = AuditEntry(_EVENTS[state], SERVER, outcome=comment, study_instance_uid=uid)
                trail.record(session, entry, now)

    def postpone(self, post: FhirPost, comment: str, available_at: datetime, now: datetime) -> None:
        """It is tried again."""
        with self._write() as session:
            _change(session, post, PostState.PENDING, comment, (available_at, now))

    def listed(self, state: PostState | None, limit: int, before: int | None = None) -> tuple[FhirPost, ...]:
        """Newest first; no state means all."""
        query = select(FhirPostRow).order_by(FhirPostRow.id.desc()).limit(limit)
        if state is not None:
            query = query.where(FhirPostRow.state == state)
        if before is not None:
            query = query.where(FhirPostRow.id < before)
        with self._read() as session:
            return tuple(_post(session, row) for row in session.scalars(query))

    def retry(self, post_id: int, now: datetime) -> None:
        """Send what was given up afresh. Raises Refused: there is none, or it was not given up."""
        with self._write() as session:
            row = session.get(FhirPostRow, post_id, with_for_update=True)
            if row is None or row.state is not PostState.DEAD:
                raise Refused("There is no report of that number that was given up.")
            row.state, row.attempts = PostState.PENDING, 0
            row.available_at = row.waiting_since = row.updated_at = now
            entry = AuditEntry(AuditEvent.ADMIN_DELIVERY, self._actor, outcome="retry", detail={"fhir_post": post_id})
            trail.record(session, entry, now)

    def counts(self) -> dict[PostState, int]:
        """How many are in which state; absent means none."""
        with self._read() as session:
            found = session.execute(select(FhirPostRow.state, func.count()).group_by(FhirPostRow.state)).all()
            return dict(found)


_EVENTS = {PostState.SENT: AuditEvent.OBJECT_SENT, PostState.DEAD: AuditEvent.OBJECT_GIVEN_UP}


def _without_row(since: datetime) -> Select[int]:
    """Versions of studies that were reported since then, and have none."""
    return (
        select(StudyVersionRow.id)
        .join(ResultRow, ResultRow.study_version_id == StudyVersionRow.id)
        .where(StudyVersionRow.created_at >= since)
        .where(~exists().where(FhirPostRow.study_version_id == StudyVersionRow.id))
    )


def _change(
    session: Session, post: FhirPost, state: PostState, comment: str | None, at: tuple[datetime, datetime]
) -> None:
    """`at`: when it is due, and now."""
    row = session.get_one(FhirPostRow, post.id, with_for_update=True)
    row.state, row.comment, (row.available_at, row.updated_at) = state, comment, at


def _post(session: Session, row: FhirPostRow) -> FhirPost:
    version = session.get_one(StudyVersionRow, row.study_version_id)
    return FhirPost(
        row.id,
        version.study_instance_uid,
        version.version,
        row.state,
        row.attempts,
        row.available_at,
        row.waiting_since,
        row.comment,
    )
