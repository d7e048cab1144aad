"""Storage commitment that we ask of destinations, as statements inside a transaction that repository.py owns.

A delivery that is SENT has at most one open request; it becomes COMMITTED by the destination's report, whenever and on
whatever association that comes, or is sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from dicom_node.domain import (
    AttemptOutcome,
    CommitmentRequest,
    DeliveryState,
)
from dicom_node.storage import corrections
from dicom_node.storage.corrections import change
from dicom_node.storage.deliveries import NOT_COMMITTED
from dicom_node.storage.rows import AttemptRow, CommitmentRow, DeliveryRow, ObjectRow

MOST_RESENDS = 3
"""After as many reports that it has not got an object that it took, a person must look at the destination."""

RESEND_AFTER = timedelta(seconds=60)
_CLOCKS_DIFFER = timedelta(hours=1)
_REMEMBERED = timedelta(days=30)  # requests that nothing points to any more
_AT_ONCE = 500  # values in one statement

FAILURE_REASONS = {  # PS3.3 C.14.1.1
    0x0110: "processing failure",
    0x0112: "no such object instance",
    0x0119: "class and instance conflict",
    0x0122: "SOP class not supported",
    0x0131: "duplicate transaction UID",
    0x0213: "resource limitation",
}


def ask(
    session: Session, transaction_uid: str, destination: str, limit: int, now: datetime
) -> CommitmentRequest | None:
    """Open a request for what a destination, or an alternate in its place, was sent and not yet asked about."""
    rows = session.scalars(
        select(DeliveryRow)
        .where(DeliveryRow.state == DeliveryState.SENT, _taken_by(destination), DeliveryRow.commitment_id.is_(None))
        .order_by(DeliveryRow.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    if not rows:
        return None
    opened = CommitmentRow(transaction_uid=transaction_uid, destination=destination, asked_at=now)
    session.add(opened)
    session.flush()
    for row in rows:
        row.commitment_id = opened.id
    objects = session.scalars(select(ObjectRow).where(ObjectRow.id.in_({row.object_id for row in rows})))
    pairs = {stored.sop_instance_uid: stored.sop_class_uid for stored in objects}
    return CommitmentRequest(transaction_uid, tuple((pairs[uid], uid) for uid in sorted(pairs)))


def taken(session: Session, transaction_uid: str, now: datetime) -> None:
    """The destination has the request and will report."""
    asked = CommitmentRow.transaction_uid == transaction_uid
    session.execute(update(CommitmentRow).where(asked).values(taken_at=now))


def forget_untaken(session: Session, destination: str, asked_before: datetime) -> int:
    """Requests that no destination took, since whoever was about to ask ended meanwhile; how many."""
    untaken = CommitmentRow.taken_at.is_(None), CommitmentRow.asked_at <= asked_before
    return _give_up(session, destination, "never asked", *untaken)


def withdraw(session: Session, transaction_uid: str, comment: str) -> None:
    """The destination was not reached, or refused the request: its deliveries can be asked about again."""
    row = session.scalars(select(CommitmentRow).where(CommitmentRow.transaction_uid == transaction_uid)).one()
    row.comment = comment
    _let_go(session, [row.id])


def expire(session: Session, destination: str, asked_before: datetime, now: datetime) -> int:
    """Requests that were never answered; how many. A report that still comes counts all the same.

    So are those of a future that nobody meant, from before the clock was set back.
    """
    overdue = or_(CommitmentRow.asked_at <= asked_before, CommitmentRow.asked_at > now + _CLOCKS_DIFFER)
    given_up = _give_up(session, destination, "no answer in time", overdue)
    unused = CommitmentRow.id.not_in(select(DeliveryRow.commitment_id).where(DeliveryRow.commitment_id.is_not(None)))
    session.execute(
        delete(CommitmentRow).where(
            CommitmentRow.destination == destination, CommitmentRow.asked_at <= asked_before - _REMEMBERED, unused
        )
    )
    return given_up


def _give_up(session: Session, destination: str, comment: str, *which: ColumnElement[bool]) -> int:
    """Those of the requests that still wait, and how many they are; what they asked about can be asked about again."""
    waiting = (
        CommitmentRow.destination == destination,
        CommitmentRow.answered_at.is_(None),
        CommitmentRow.comment.is_(None),
    )
    ids = session.scalars(select(CommitmentRow.id).where(*waiting, *which).with_for_update(skip_locked=True)).all()
    session.execute(update(CommitmentRow).where(CommitmentRow.id.in_(ids)).values(comment=comment))
    _let_go(session, ids)
    return len(ids)


def request_of(session: Session, transaction_uid: str) -> CommitmentRow | None:
    """None where nobody asked with that transaction UID."""
    return session.scalar(select(CommitmentRow).where(CommitmentRow.transaction_uid == transaction_uid))


def meant_by(session: Session, request: CommitmentRow, sop_instance_uids: Sequence[str]) -> tuple[int, ...]:
    """Ids of the deliveries of these objects that a report on the request speaks about.

    They were sent to the destination before it was asked, and no more since: a report may come twice, or long after
    another request about the same objects. What was sent again after it is for the next report to tell.
    """
    ids: list[int] = []
    for start in range(0, len(sop_instance_uids), _AT_ONCE):
        some = sop_instance_uids[start : start + _AT_ONCE]
        ids += session.scalars(
            select(DeliveryRow.id)
            .join(ObjectRow, DeliveryRow.object_id == ObjectRow.id)
            .where(
                DeliveryRow.state == DeliveryState.SENT,
                _taken_by(request.destination),
                or_(DeliveryRow.commitment_id == request.id, DeliveryRow.updated_at <= request.asked_at),
                ObjectRow.sop_instance_uid.in_(some),
            )
        )
    return tuple(sorted(ids))


def commit(session: Session, transaction_uid: str, delivery_ids: Sequence[int], now: datetime) -> int:
    """COMMITTED for these, as far as they are SENT still; how many."""
    session.scalars(
        select(CommitmentRow.id).where(CommitmentRow.transaction_uid == transaction_uid).with_for_update()
    ).one()
    committed = 0
    for start in range(0, len(delivery_ids), _AT_ONCE):
        some = DeliveryRow.id.in_(delivery_ids[start : start + _AT_ONCE]), DeliveryRow.state == DeliveryState.SENT
        for row in session.scalars(select(DeliveryRow).where(*some).order_by(DeliveryRow.id).with_for_update()):
            change(row, DeliveryState.COMMITTED, now)
            committed += 1
    session.flush()
    return committed


def close(session: Session, transaction_uid: str, now: datetime) -> None:
    """The request is answered. What it asked about and the report does not mention can be asked about again."""
    request = session.scalars(
        select(CommitmentRow).where(CommitmentRow.transaction_uid == transaction_uid).with_for_update()
    ).one()
    request.answered_at = now
    _let_go(session, [request.id])


def send_again(session: Session, delivery_id: int, reason: int, now: datetime) -> DeliveryState | None:
    """What a delivery becomes whose destination has not got, or does not commit, what it took; None: no longer SENT."""
    corrections.lock_delivery(session, delivery_id)
    row = session.scalars(select(DeliveryRow).where(DeliveryRow.id == delivery_id).with_for_update()).one()
    if row.state is not DeliveryState.SENT:
        return None
    resends = session.scalar(
        select(func.count()).where(AttemptRow.delivery_id == row.id, AttemptRow.cause == NOT_COMMITTED)
    )
    after = DeliveryState.DEAD if (resends or 0) >= MOST_RESENDS else DeliveryState.PENDING
    comment = f"taken, but not committed: {FAILURE_REASONS.get(reason, f'reason 0x{reason:04X}')}"
    _remember(session, row, reason, comment, now)
    row.status_word, row.comment, row.commitment_id = reason, comment, None
    change(row, after, now)
    if after is DeliveryState.PENDING:
        row.waiting_since, row.available_at = now, now + RESEND_AFTER
        session.flush()
        corrections.apply(session, corrections.subject_of(session, row.object_id), now)
    return after


def _remember(session: Session, row: DeliveryRow, reason: int, comment: str, now: datetime) -> None:
    session.add(
        AttemptRow(
            delivery_id=row.id,
            asked=row.via or row.destination,
            outcome=AttemptOutcome.TRANSIENT,
            cause=NOT_COMMITTED,
            status_word=reason,
            comment=comment,
            began_at=now,
            seconds=0.0,
        )
    )


def _taken_by(destination: str) -> ColumnElement[bool]:
    own = and_(DeliveryRow.destination == destination, DeliveryRow.via.is_(None))
    return or_(own, DeliveryRow.via == destination)


def _let_go(session: Session, request_ids: Sequence[int]) -> None:
    """What is still SENT of these requests can be asked about again."""
    open_ones = DeliveryRow.commitment_id.in_(request_ids), DeliveryRow.state == DeliveryState.SENT
    session.execute(update(DeliveryRow).where(*open_ones).values(commitment_id=None))
