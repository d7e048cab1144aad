"""One rule: what may happen to the deliveries of an image once a corrected version of it has come.

From the commit of a later version on, what was not yet sent of the earlier ones is held: while it is not known what
the later one is, while it waits for a person, and while it waits for its own measurement. Once it has its result, with
or without objects, what was held is cancelled: a person, or the configuration, has said that it is superseded. When it
turns out to be no correction, or its job is cancelled, what was held is released. The rule is computed from the jobs of
the later versions, so every event just asks for it to be applied again.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, exists, or_, select
from sqlalchemy.orm import Session

from dicom_node.domain import DeliveryState, InstanceRef, JobKind, JobState, Relation, check_delivery_transition
from dicom_node.storage.rows import DeliveryRow, InstanceRow, JobRow, ObjectRow, ResultRow
from inference.domain import Status

SUPERSEDING = (Relation.CORRECTION, Relation.REPLACEMENT)
"""What a later version must be to take the place of the earlier ones."""


def lock_versions(session: Session, sop_instance_uid: str) -> None:
    """Let one transaction at a time decide about the versions of one UID (a no-op on SQLite: one writer anyway)."""
    versions = select(InstanceRow.id).where(InstanceRow.sop_instance_uid == sop_instance_uid).order_by(InstanceRow.id)
    session.execute(versions.with_for_update()).all()


def permitted(session: Session, instance: InstanceRow) -> DeliveryState:
    """What an unsent delivery of this version must be now: PENDING, HELD or CANCELLED."""
    superseding = and_(InstanceRow.relation.in_(SUPERSEDING), JobRow.kind == JobKind.MEASURE)
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
    if states - {JobState.CANCELLED}:
        return DeliveryState.HELD
    return DeliveryState.PENDING


def standing(session: Session, instance: InstanceRef) -> InstanceRow | None:
    """The latest version before `instance` that counts: the first one, or what took the place of an earlier one.

    Not those that nobody wants (a cancelled correction), and not those that could not be read: there is nothing to
    compare with, and nothing was said about them that had to be protected.
    """
    refused = exists().where(ResultRow.instance_id == InstanceRow.id, ResultRow.status == Status.REFUSED)
    unwanted = exists().where(
        JobRow.instance_id == InstanceRow.id,
        JobRow.kind == JobKind.MEASURE,
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
    """Apply the rule to every version before `later`."""
    earlier = select(InstanceRow).where(
        InstanceRow.sop_instance_uid == later.sop_instance_uid, InstanceRow.revision < later.revision
    )
    for instance in session.scalars(earlier).all():
        apply(session, instance, now)


def apply(session: Session, instance: InstanceRow, now: datetime) -> None:
    """Bring the waiting deliveries of one version in line with the rule; those being sent or sent stay as they are."""
    wanted = permitted(session, instance)
    waiting = (
        select(DeliveryRow)
        .join(ObjectRow, DeliveryRow.object_id == ObjectRow.id)
        .join(ResultRow, ObjectRow.result_id == ResultRow.id)
        .where(
            ResultRow.instance_id == instance.id,
            DeliveryRow.state.in_((DeliveryState.PENDING, DeliveryState.HELD)),
            DeliveryRow.state != wanted,
        )
        .order_by(DeliveryRow.id)
        .with_for_update(of=DeliveryRow)
    )
    for delivery in session.scalars(waiting).all():
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
