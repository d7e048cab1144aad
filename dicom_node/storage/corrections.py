"""One rule: what may happen to the deliveries of an image, and of its study, once a corrected version of it has come.

From the commit of a later version on, what was not yet sent of the earlier ones is held: while it is not known what
the later one is, while it waits for a person, and while it waits for its own measurement. Once it has its result, with
or without objects, what was held is cancelled: a person, or the configuration, has said that it is superseded. One that
is not measured (a report, a capture) has a job of its own instead, which is done as soon as that was said. When it
turns out to be no correction, or its job is cancelled, what was held is released. The rule is computed from the jobs of
the later versions, so every event just asks for it to be applied again.

What a version of a study said follows from that: it is held while any of its images is, or has been superseded, and
cancelled once a later version of the study has its result. An overlay that a version asked for is its image's and
that version's: what both permit is permitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, exists, or_, select
from sqlalchemy.orm import Session

from dicom_node.domain import DeliveryState, InstanceRef, JobKind, JobState, Relation, check_delivery_transition
from dicom_node.storage.rows import (
    DeliveryRow,
    InstanceRow,
    JobRow,
    ObjectRow,
    ResultRow,
    StudySourceRow,
    StudyVersionRow,
)
from inference.domain import Status

SUPERSEDING = (Relation.CORRECTION, Relation.REPLACEMENT)
"""What a later version must be to take the place of the earlier ones."""

_DECIDING = (JobKind.MEASURE, JobKind.SUPERSEDE)
"""The jobs by which it does."""

Subject = InstanceRow | StudyVersionRow
"""What a result is about."""


def lock_versions(session: Session, *sop_instance_uids: str) -> None:
    """Let one transaction at a time decide about the versions of a UID (a no-op on SQLite: one writer anyway).

    Always in the same order, so that two who lock several UIDs do not wait for each other.
    """
    session.execute(versions_locked(*sop_instance_uids)).all()


def versions_locked(*sop_instance_uids: str) -> Select[Any]:
    """The query that does it: ids of all versions, and whatever the caller adds to it."""
    versions = select(InstanceRow.id).where(InstanceRow.sop_instance_uid.in_(sop_instance_uids))
    return versions.order_by(InstanceRow.id).with_for_update()


def lock(session: Session, *subjects: Subject) -> None:
    """`lock_versions` for all that the permission of deliveries about these depends on."""
    behind = [
        instance
        for subject in subjects
        for instance in ([subject] if isinstance(subject, InstanceRow) else instances_behind(session, subject))
    ]
    lock_versions(session, *dict.fromkeys(instance.sop_instance_uid for instance in behind))


def lock_delivery(session: Session, delivery_id: int) -> None:
    """`lock` for all that a delivery's own permission depends on, before it waits again; nothing where there is none.

    An overlay depends on the version of the study that asked for it, too, and so on images that are not its own. Which
    version that is changes only under the lock of the overlay's image, so it is looked up again behind that.
    """
    what = select(DeliveryRow.object_id, DeliveryRow.study_version_id).where(DeliveryRow.id == delivery_id)
    found = session.execute(what).first()
    while found is not None:
        subjects = [subject_of(session, found.object_id)]
        if found.study_version_id is not None:
            subjects.append(session.get_one(StudyVersionRow, found.study_version_id))
        lock(session, *subjects)
        before, found = found, session.execute(what).first()
        if found == before:
            return


def subject_of(session: Session, object_id: int) -> Subject:
    """What a stored object is about; an original is about itself."""
    stored = session.get_one(ObjectRow, object_id)
    if stored.instance_id is not None:
        return session.get_one(InstanceRow, stored.instance_id)
    result = session.get_one(ResultRow, stored.result_id)
    if result.instance_id is not None:
        return session.get_one(InstanceRow, result.instance_id)
    return session.get_one(StudyVersionRow, result.study_version_id)


def instances_behind(session: Session, version: StudyVersionRow) -> Sequence[InstanceRow]:
    """The images that a version of a study rests on."""
    return session.scalars(
        select(InstanceRow)
        .join(ResultRow, ResultRow.instance_id == InstanceRow.id)
        .join(StudySourceRow, StudySourceRow.result_id == ResultRow.id)
        .where(StudySourceRow.study_version_id == version.id)
        .order_by(InstanceRow.id)
    ).all()


def permitted(session: Session, subject: Subject) -> DeliveryState:
    """What an unsent delivery about the subject must be now: PENDING, HELD or CANCELLED."""
    if isinstance(subject, InstanceRow):
        return _permitted_image(session, subject)
    if _is_followed(session, subject):
        return DeliveryState.CANCELLED
    behind = (_permitted_image(session, instance) for instance in instances_behind(session, subject))
    return DeliveryState.PENDING if all(state is DeliveryState.PENDING for state in behind) else DeliveryState.HELD


def permitted_delivery(session: Session, delivery: DeliveryRow) -> DeliveryState:
    """What an unsent delivery must be now, by what its object is about and by the version that asked for it."""
    states = {permitted(session, subject_of(session, delivery.object_id))}
    if delivery.study_version_id is not None:
        states.add(permitted(session, session.get_one(StudyVersionRow, delivery.study_version_id)))
    return next(s for s in (DeliveryState.CANCELLED, DeliveryState.HELD, DeliveryState.PENDING) if s in states)


def _is_followed(session: Session, version: StudyVersionRow) -> bool:
    """Whether a later version of the study has its result."""
    later = (
        select(StudyVersionRow.id)
        .join(ResultRow, ResultRow.study_version_id == StudyVersionRow.id)
        .where(
            StudyVersionRow.study_instance_uid == version.study_instance_uid,
            StudyVersionRow.version > version.version,
        )
    )
    return bool(session.scalar(select(later.exists())))


def _permitted_image(session: Session, instance: InstanceRow) -> DeliveryState:
    superseding = and_(InstanceRow.relation.in_(SUPERSEDING), JobRow.kind.in_(_DECIDING))
    later = (
        select(JobRow.state)
        .join(InstanceRow, JobRow.instance_id == InstanceRow.id)
        .where(
            InstanceRow.sop_instance_uid == instance.sop_instance_uid,
            InstanceRow.revision > instance.revision,
            or_(superseding, InstanceRow.relation == Relation.UNEXAMINED),  # its only job reconciles
        )
    )
    states = set(session.scalars(later))
    if JobState.DONE in states:
        return DeliveryState.CANCELLED
    if states - {JobState.CANCELLED} or _is_unconfirmed(session, instance):
        return DeliveryState.HELD
    return DeliveryState.PENDING


def _is_unconfirmed(session: Session, instance: InstanceRow) -> bool:
    """Whether it is a correction that nobody has accepted; its original must not leave before that."""
    if instance.relation is not Relation.CORRECTION:
        return False
    job = select(JobRow.id).where(
        JobRow.instance_id == instance.id,
        JobRow.kind.in_(_DECIDING),
        JobRow.state.in_((JobState.HELD, JobState.CANCELLED)),
    )
    return bool(session.scalar(select(job.exists())))


def standing(session: Session, instance: InstanceRef) -> InstanceRow | None:
    """The latest version before `instance` that counts: the first one, or what took the place of an earlier one.

    Not those that nobody wants (a cancelled correction), and not those that could not be read: there is nothing to
    compare with, and nothing was said about them that had to be protected.
    """
    refused = exists().where(ResultRow.instance_id == InstanceRow.id, ResultRow.status == Status.REFUSED)
    unwanted = exists().where(
        JobRow.instance_id == InstanceRow.id,
        JobRow.kind.in_(_DECIDING),
        JobRow.state == JobState.CANCELLED,
        InstanceRow.relation == Relation.CORRECTION,
    )
    earlier = select(InstanceRow).where(
        InstanceRow.sop_instance_uid == instance.sop_instance_uid,
        InstanceRow.revision < instance.revision,
        InstanceRow.relation.in_((Relation.FIRST, *SUPERSEDING)),
        ~refused,
        ~unwanted,
    )
    return session.scalars(earlier.order_by(InstanceRow.revision.desc()).limit(1)).first()


def apply_to_earlier(session: Session, later: InstanceRow, now: datetime) -> None:
    """Apply the rule to every version before `later`, and to what was said of the studies of these."""
    for instance in earlier_versions(session, later):
        apply(session, instance, now)
        for version in _versions_resting_on(session, instance):
            apply(session, version, now)


def apply_to_all(session: Session, version: InstanceRow, now: datetime) -> None:
    """Apply the rule to `version` and to every one before it."""
    apply(session, version, now)
    apply_to_earlier(session, version, now)


def earlier_versions(session: Session, later: InstanceRow) -> Sequence[InstanceRow]:
    """The versions of its UID before `later`."""
    earlier = select(InstanceRow).where(
        InstanceRow.sop_instance_uid == later.sop_instance_uid, InstanceRow.revision < later.revision
    )
    return session.scalars(earlier).all()


def _versions_resting_on(session: Session, instance: InstanceRow) -> Sequence[StudyVersionRow]:
    return session.scalars(
        select(StudyVersionRow)
        .join(StudySourceRow, StudySourceRow.study_version_id == StudyVersionRow.id)
        .join(ResultRow, StudySourceRow.result_id == ResultRow.id)
        .where(ResultRow.instance_id == instance.id)
        .order_by(StudyVersionRow.id)
    ).all()


def apply(session: Session, subject: Subject, now: datetime) -> None:
    """Bring the waiting deliveries about a subject in line with the rule; those being sent or sent stay as they are."""
    if isinstance(subject, InstanceRow):
        about = or_(ResultRow.instance_id == subject.id, ObjectRow.instance_id == subject.id)
    else:
        about = or_(ResultRow.study_version_id == subject.id, DeliveryRow.study_version_id == subject.id)
    waiting = (
        select(DeliveryRow)
        .join(ObjectRow, DeliveryRow.object_id == ObjectRow.id)
        .outerjoin(ResultRow, ObjectRow.result_id == ResultRow.id)
        .where(about, DeliveryRow.state.in_((DeliveryState.PENDING, DeliveryState.HELD)))
        .order_by(DeliveryRow.id)
        .with_for_update(of=DeliveryRow)
    )
    for delivery in session.scalars(waiting).all():
        wanted = permitted_delivery(session, delivery)
        if delivery.state is wanted:
            continue
        change(delivery, wanted, now)
        if wanted is DeliveryState.PENDING:  # time spent waiting for a person is not the destination's
            delivery.available_at = delivery.waiting_since = now


def change(delivery: DeliveryRow, after: DeliveryState, now: datetime) -> None:
    """One step of the delivery's state machine.

    Raises:
        IllegalTransition: the table does not allow it.
    """
    check_delivery_transition(delivery.state, after)
    delivery.state = after
    delivery.updated_at = now
    if after is not DeliveryState.SENDING:
        delivery.lease_until = None
