"""The outbox, as statements inside a transaction that repository.py owns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, delete, func, or_, select
from sqlalchemy.orm import Session

from dicom_node.domain import (
    Attempt,
    AttemptOutcome,
    Delivery,
    DeliveryState,
    DestinationState,
    IllegalTransition,
)
from dicom_node.errors import LeaseLost, Refused
from dicom_node.storage import corrections
from dicom_node.storage.corrections import change
from dicom_node.storage.counting import count_rows
from dicom_node.storage.rows import AttemptRow, DeliveryRow, DestinationStateRow, ObjectRow

FIRST_KEPT, MOST_KEPT = 20, 100
"""Attempts of a delivery: a PACS whose disk is full answers 0xA700 to each object a thousand times in a week."""

COURIER_LOST = "courier_lost"
NOT_COMMITTED = "not_committed"


@dataclass(frozen=True, slots=True)
class Lease:
    """Who claims, for which destination, how many at most, and until when."""

    courier: str
    destination: str
    limit: int
    until: datetime


def expired(now: datetime) -> Select[DeliveryRow]:
    """Deliveries whose courier was silent for too long."""
    return (
        select(DeliveryRow)
        .where(DeliveryRow.state == DeliveryState.SENDING, DeliveryRow.lease_until <= now)
        .order_by(DeliveryRow.available_at, DeliveryRow.id)
    )


def due(now: datetime) -> Select[DeliveryRow]:
    """Waiting deliveries whose time has come, oldest first."""
    return (
        select(DeliveryRow)
        .where(DeliveryRow.state == DeliveryState.PENDING, DeliveryRow.available_at <= now)
        .order_by(DeliveryRow.available_at, DeliveryRow.id)
    )


def any_claimable(session: Session, destination: str, now: datetime) -> bool:
    """A look without a lock, so that an idle courier does not disturb those who write."""
    found = (query.where(DeliveryRow.destination == destination).exists() for query in (expired(now), due(now)))
    return bool(session.scalar(select(or_(*found))))


def count_claimable(session: Session, now: datetime) -> int:
    return count_rows(session, expired(now)) + count_rows(session, due(now))


def claim(session: Session, lease: Lease, now: datetime) -> list[DeliveryRow]:
    """A batch for the lease's destination: first what another courier left behind, then what is due."""
    batch: list[DeliveryRow] = []
    for query in (expired(now), due(now)):
        wanted = query.where(DeliveryRow.destination == lease.destination).limit(lease.limit - len(batch))
        rows = session.scalars(wanted.with_for_update(skip_locked=True)).all()
        batch += [row for row in rows if _take(session, row, lease, now)]
    return batch


def owned(session: Session, delivery: Delivery) -> DeliveryRow:
    """The row, locked, if `delivery` is still the newest claim of it.

    Raises:
        LeaseLost: somebody else claimed it since, or it is no longer being sent.
    """
    row = session.scalars(select(DeliveryRow).where(DeliveryRow.id == delivery.id).with_for_update()).first()
    if row is None or row.state is not DeliveryState.SENDING or row.token != delivery.token:
        raise LeaseLost(f"delivery {delivery.id} belongs to another courier now (token {delivery.token} is old)")
    return row


def finish(session: Session, delivery: Delivery, after: DeliveryState, attempt: Attempt, now: datetime) -> DeliveryRow:
    """SENT or DEAD."""
    row = owned(session, delivery)
    change(row, after, now)
    _remember(session, row, attempt)
    return row


def postpone(
    session: Session, delivery: Delivery, attempt: Attempt | None, available_at: datetime, now: datetime
) -> None:
    """Back to PENDING, or on to where a correction that came meanwhile wants it."""
    corrections.lock_delivery(session, delivery.id)
    row = owned(session, delivery)
    change(row, DeliveryState.PENDING, now)
    row.available_at = available_at
    if attempt is None:  # it was claimed and not its turn: nothing was tried
        row.attempts -= 1
    else:
        _remember(session, row, attempt)
    session.flush()
    corrections.apply(session, corrections.subject_of(session, row.object_id), now)


def _remember(session: Session, row: DeliveryRow, attempt: Attempt) -> None:
    row.status_word, row.comment = attempt.status_word, attempt.comment
    row.via = attempt.asked if row.state is DeliveryState.SENT and attempt.asked != row.destination else None
    _add_attempt(session, row, attempt)
    _thin_out(session, row)


def _thin_out(session: Session, row: DeliveryRow) -> None:
    """Of those that said nothing but "later", the first and the last ones tell enough."""
    of_row = select(AttemptRow.id).where(AttemptRow.delivery_id == row.id).order_by(AttemptRow.id)
    ids = session.scalars(of_row).all()
    if len(ids) <= MOST_KEPT:
        return
    dull = AttemptRow.outcome == AttemptOutcome.TRANSIENT, AttemptRow.cause != NOT_COMMITTED
    dispensable = session.scalars(of_row.where(AttemptRow.id.in_(ids[FIRST_KEPT:-1]), *dull)).all()
    session.execute(delete(AttemptRow).where(AttemptRow.id.in_(dispensable[: len(ids) - MOST_KEPT])))


def _add_attempt(session: Session, row: DeliveryRow, attempt: Attempt) -> None:
    session.add(
        AttemptRow(
            delivery_id=row.id,
            asked=attempt.asked,
            outcome=attempt.outcome,
            cause=attempt.cause,
            status_word=attempt.status_word,
            comment=attempt.comment,
            began_at=attempt.began_at,
            seconds=attempt.seconds,
        )
    )


def attempts(session: Session, delivery_id: int) -> tuple[Attempt, ...]:
    """All of a delivery, first one first."""
    rows = session.scalars(
        select(AttemptRow).where(AttemptRow.delivery_id == delivery_id).order_by(AttemptRow.id)
    ).all()
    return tuple(
        Attempt(row.asked, row.outcome, row.cause, row.status_word, row.comment, row.began_at, row.seconds)
        for row in rows
    )


def expire(session: Session, destination: str, waiting_since: datetime, comment: str, now: datetime) -> int:
    """DEAD for all that wait for a destination since `waiting_since` or longer; returns how many."""
    overdue = select(DeliveryRow).where(
        DeliveryRow.destination == destination,
        DeliveryRow.state == DeliveryState.PENDING,
        DeliveryRow.waiting_since <= waiting_since,
    )
    rows = session.scalars(overdue.with_for_update(skip_locked=True)).all()
    for row in rows:
        change(row, DeliveryState.DEAD, now)
        row.comment = comment
    return len(rows)


def tell_state(session: Session, state: DestinationState) -> None:
    """Remember it; `since` stays where nothing but the time of the look has changed."""
    row = session.get(DestinationStateRow, state.name, with_for_update=True)
    if row is None:
        session.add(
            DestinationStateRow(
                name=state.name,
                reachable=state.reachable,
                since=state.since,
                checked_at=state.checked_at,
                cause=state.cause,
                comment=state.comment,
            )
        )
        return
    if row.reachable != state.reachable:
        row.reachable, row.since = state.reachable, state.since
    row.checked_at, row.cause, row.comment = state.checked_at, state.cause, state.comment


def destination_states(session: Session) -> dict[str, DestinationState]:
    """By name; a destination that was never asked is absent."""
    rows = session.scalars(select(DestinationStateRow)).all()
    return {
        row.name: DestinationState(row.name, row.reachable, row.since, row.checked_at, row.cause, row.comment)
        for row in rows
    }


def renew(session: Session, delivery: Delivery, lease: timedelta, now: datetime) -> None:
    row = owned(session, delivery)
    row.lease_until = now + lease
    row.updated_at = now


def retry(session: Session, delivery_id: int, now: datetime) -> None:
    """DEAD becomes PENDING with attempts and deadline forgotten; one that waits for a retry is due now."""
    corrections.lock_delivery(session, delivery_id)
    row = session.scalars(select(DeliveryRow).where(DeliveryRow.id == delivery_id).with_for_update()).first()
    if row is None:
        raise Refused(f"no delivery {delivery_id}")
    if row.state not in (DeliveryState.PENDING, DeliveryState.DEAD):
        raise IllegalTransition(f"delivery {delivery_id} is {row.state} and cannot be retried")
    if row.state is not DeliveryState.PENDING:
        change(row, DeliveryState.PENDING, now)
    row.attempts = 0
    row.available_at = row.waiting_since = now
    session.flush()
    corrections.apply(session, corrections.subject_of(session, row.object_id), now)


def resend(session: Session, delivery_id: int, now: datetime) -> None:
    """SENT becomes PENDING: a person says that the destination has lost it. See Repository.resend_delivery."""
    corrections.lock_delivery(session, delivery_id)
    row = session.scalars(select(DeliveryRow).where(DeliveryRow.id == delivery_id).with_for_update()).first()
    if row is None:
        raise Refused(f"no delivery {delivery_id}")
    if row.state is not DeliveryState.SENT:
        raise IllegalTransition(f"delivery {delivery_id} is {row.state}; only what was sent can be sent again")
    if corrections.permitted_delivery(session, row) is not DeliveryState.PENDING:
        raise Refused(f"What delivery {delivery_id} says is superseded, or waits for a person: it is not sent again.")
    change(row, DeliveryState.PENDING, now)
    row.attempts = 0
    row.commitment_id = None
    row.available_at = row.waiting_since = now


def listing(session: Session, states: Sequence[DeliveryState], limit: int) -> tuple[Delivery, ...]:
    """Newest first; no states means all."""
    query = select(DeliveryRow).order_by(DeliveryRow.id.desc()).limit(limit)
    return references(session, session.scalars(query.where(DeliveryRow.state.in_(states)) if states else query).all())


def counts_by_destination(session: Session) -> dict[str, dict[DeliveryState, int]]:
    """Absent means none."""
    columns = (DeliveryRow.destination, DeliveryRow.state)
    table: dict[str, dict[DeliveryState, int]] = {}
    for row in session.execute(select(*columns, func.count().label("number")).group_by(*columns)):
        table.setdefault(row.destination, {})[row.state] = row.number
    return table


def counts(session: Session) -> dict[DeliveryState, int]:
    rows = session.execute(select(DeliveryRow.state, func.count().label("number")).group_by(DeliveryRow.state))
    return {row.state: row.number for row in rows}


def references(session: Session, rows: Sequence[DeliveryRow]) -> tuple[Delivery, ...]:
    """With what the courier must know of each object."""
    ids = {row.object_id for row in rows}
    objects = {o.id: o for o in session.scalars(select(ObjectRow).where(ObjectRow.id.in_(ids)))}
    return tuple(_reference(row, objects[row.object_id]) for row in rows)


def _take(session: Session, row: DeliveryRow, lease: Lease, now: datetime) -> bool:
    if row.state is DeliveryState.SENDING:
        told = "whoever sent it did not live to tell what became of it"
        lost = Attempt(row.destination, AttemptOutcome.UNKNOWN, COURIER_LOST, None, told, row.updated_at, 0.0)
        _add_attempt(session, row, lost)
        change(row, DeliveryState.PENDING, now)
        permitted = corrections.permitted_delivery(session, row)
        if permitted is not DeliveryState.PENDING:  # a correction came while it was being sent
            change(row, permitted, now)
            return False
    change(row, DeliveryState.SENDING, now)
    row.attempts += 1
    row.token += 1
    row.courier = lease.courier
    row.lease_until = lease.until
    return True


def _reference(row: DeliveryRow, stored: ObjectRow) -> Delivery:
    return Delivery(
        id=row.id,
        object_id=row.object_id,
        destination=row.destination,
        state=row.state,
        attempts=row.attempts,
        token=row.token,
        available_at=row.available_at,
        status_word=row.status_word,
        comment=row.comment,
        sop_class_uid=stored.sop_class_uid,
        sop_instance_uid=stored.sop_instance_uid,
        path=stored.path,
        kind=stored.kind,
        waiting_since=row.waiting_since,
        via=row.via,
    )
