"""Storage commitment that peers ask of us, as statements inside a transaction that repository.py owns.

The word that is given is an archive's: an object is committed when the last version of it that counts was sent on as
it came, and a destination that commits has committed it. Nothing is promised of what lies here: it may be deleted for
its age. What was decided is kept, so that the answer can be given as often as the peer needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from dicom_node.audit import NODE, AuditEntry, AuditEvent
from dicom_node.domain import CommitmentQuestion, CommitmentReply, CommitmentTerms, DeliveryState, Relation
from dicom_node.storage import trail
from dicom_node.storage.rows import DeliveryRow, InstanceRow, ObjectRow, QuestionObjectRow, QuestionRow

COMMITTED = 0x0000
PROCESSING_FAILURE, NO_SUCH_INSTANCE, CLASS_CONFLICT = 0x0110, 0x0112, 0x0119  # PS3.3 C.14.1.1

_LEASE = timedelta(seconds=120)
"""After this long whoever was telling a peer has died, and another one does."""

_SOONEST, _SELDOMEST = timedelta(seconds=0.5), timedelta(seconds=60)
_SHARE_OF_AGE = 8
_REMEMBERED = timedelta(days=30)
_AT_ONCE = 20
_UNDER_WAY = (DeliveryState.PENDING, DeliveryState.HELD, DeliveryState.SENDING, DeliveryState.SENT)

Verdict = tuple[int | None, str | None]
"""Reason as in QuestionObjectRow, and a word for the audit trail."""


def ask(session: Session, question: CommitmentQuestion, now: datetime) -> bool:
    """Keep the question; False where the peer used that transaction UID for other objects before.

    The same question again: the peer did not hear the answer, and is told again.
    """
    _forget(session, now - _REMEMBERED)
    row = session.scalars(
        select(QuestionRow)
        .where(QuestionRow.peer == question.peer, QuestionRow.transaction_uid == question.transaction_uid)
        .with_for_update()
    ).first()
    wanted = {uid: sop_class for sop_class, uid in question.objects}
    if row is not None:
        row.told_at, row.available_at = None, now
        return {one.sop_instance_uid: one.sop_class_uid for one in _objects(session, row)} == wanted
    row = QuestionRow(
        peer=question.peer,
        transaction_uid=question.transaction_uid,
        called_ae=question.called_ae,
        host=question.host,
        asked_at=now,
        attempts=0,
        available_at=now,
    )
    session.add(row)
    session.flush()
    session.add_all(
        QuestionObjectRow(question_id=row.id, sop_instance_uid=uid, sop_class_uid=sop_class)
        for uid, sop_class in wanted.items()
    )
    trail.record(session, _asked(question, len(wanted)), now)
    return True


def any_due(session: Session, peer: str, now: datetime) -> bool:
    """A look without a lock."""
    return session.scalars(_due(peer, now).limit(1)).first() is not None


def answer(session: Session, peer: str, terms: CommitmentTerms, now: datetime) -> CommitmentReply | None:
    """Decide what can be decided; the first whole answer, leased to the caller, or None where there is none yet."""
    for row in session.scalars(_due(peer, now).limit(_AT_ONCE).with_for_update(skip_locked=True)).all():
        objects = _objects(session, row)
        if row.decided_at is None and not _decide(session, row, objects, terms, now):
            row.available_at = now + min(_SELDOMEST, max(_SOONEST, (now - row.asked_at) / _SHARE_OF_AGE))
            continue
        row.attempts += 1
        row.available_at = now + _LEASE
        return _reply(row, objects)
    return None


def told(session: Session, question_id: int, comment: str | None, now: datetime) -> None:
    """The peer has the answer; `comment`: it would not have it, and will not be told again."""
    row = session.get_one(QuestionRow, question_id, with_for_update=True)
    row.told_at, row.comment = now, comment
    if comment is None:
        for one in _objects(session, row):
            trail.record(session, _answered_for(row, one), now)


def postpone(session: Session, question_id: int, comment: str, available_at: datetime) -> None:
    """The peer could not be told."""
    row = session.get_one(QuestionRow, question_id, with_for_update=True)
    row.comment, row.available_at = comment, available_at


def _due(peer: str, now: datetime) -> Select[QuestionRow]:
    """What seems to be put off for longer than anything is comes from before the clock was set back."""
    waiting = QuestionRow.told_at.is_(None), QuestionRow.peer == peer
    due = (QuestionRow.available_at <= now) | (QuestionRow.available_at > now + _REMEMBERED)
    return select(QuestionRow).where(*waiting, due).order_by(QuestionRow.available_at, QuestionRow.id)


def _objects(session: Session, row: QuestionRow) -> Sequence[QuestionObjectRow]:
    asked = select(QuestionObjectRow).where(QuestionObjectRow.question_id == row.id)
    return session.scalars(asked.order_by(QuestionObjectRow.sop_instance_uid)).all()


def _decide(
    session: Session, row: QuestionRow, objects: Sequence[QuestionObjectRow], terms: CommitmentTerms, now: datetime
) -> bool:
    """Whether it is known of all objects now."""
    late = not row.asked_at <= now < row.asked_at + terms.wait
    for one in objects:
        if one.reason is None:
            one.reason, one.why = _verdict(session, one, terms.destinations)
        if one.reason is None and late:
            one.reason, one.why = PROCESSING_FAILURE, "not_in_time"
    if any(one.reason is None for one in objects):
        return False
    row.decided_at = now
    return True


def _verdict(session: Session, asked: QuestionObjectRow, committing: Sequence[str]) -> Verdict:
    version, relation = _last_that_counts(session, asked.sop_instance_uid)
    if version is None:
        return (None, None) if relation is Relation.UNEXAMINED else (NO_SUCH_INSTANCE, "unknown")
    if relation is Relation.CONFLICT:
        return PROCESSING_FAILURE, "conflict"
    if version.sop_class_uid != asked.sop_class_uid:
        return CLASS_CONFLICT, "class"
    original = select(ObjectRow.id).where(ObjectRow.instance_id == version.id)
    deliveries = session.scalars(select(DeliveryRow).where(DeliveryRow.object_id.in_(original))).all()
    if any(delivery.state is DeliveryState.COMMITTED for delivery in deliveries):
        return COMMITTED, None
    hoped_for = [delivery for delivery in deliveries if (delivery.via or delivery.destination) in committing]
    if any(delivery.state in _UNDER_WAY for delivery in hoped_for):
        return None, None
    return PROCESSING_FAILURE, "given_up" if hoped_for else "not_forwarded"


def _last_that_counts(session: Session, sop_instance_uid: str) -> tuple[InstanceRow | None, Relation | None]:
    """The peer means what it sent last; of a mere copy that is the one before it. None: unknown, or not examined."""
    found = select(InstanceRow).where(InstanceRow.sop_instance_uid == sop_instance_uid)
    for version in session.scalars(found.order_by(InstanceRow.revision.desc())):
        if version.relation is Relation.UNEXAMINED:
            return None, Relation.UNEXAMINED
        if version.relation is not Relation.DUPLICATE:
            return version, version.relation
    return None, None


def _reply(row: QuestionRow, objects: Sequence[QuestionObjectRow]) -> CommitmentReply:
    committed = tuple((one.sop_class_uid, one.sop_instance_uid) for one in objects if one.reason == COMMITTED)
    failed = tuple((one.sop_class_uid, one.sop_instance_uid, one.reason) for one in objects if one.reason)
    return CommitmentReply(row.id, row.transaction_uid, row.called_ae, committed, failed)


def _forget(session: Session, asked_before: datetime) -> None:
    """Whoever has not come for its answer until then has kept its objects, or sent them elsewhere."""
    old = session.scalars(select(QuestionRow.id).where(QuestionRow.asked_at <= asked_before)).all()
    if old:
        session.execute(delete(QuestionObjectRow).where(QuestionObjectRow.question_id.in_(old)))
        session.execute(delete(QuestionRow).where(QuestionRow.id.in_(old)))


def _asked(question: CommitmentQuestion, number: int) -> AuditEntry:
    return AuditEntry(
        event=AuditEvent.COMMITMENT_ASKED,
        actor=question.peer,
        host=question.host,
        detail={"called_ae": question.called_ae, "transaction_uid": question.transaction_uid, "objects": number},
    )


def _answered_for(row: QuestionRow, one: QuestionObjectRow) -> AuditEntry:
    return AuditEntry(
        event=AuditEvent.OBJECT_ANSWERED_FOR,
        actor=NODE,
        outcome="committed" if one.reason == COMMITTED else "failed",
        sop_instance_uid=one.sop_instance_uid,
        sop_class_uid=one.sop_class_uid,
        detail={
            "peer": row.peer,
            "transaction_uid": row.transaction_uid,
            "reason": None if not one.reason else f"0x{one.reason:04X}",
            "why": one.why,
        },
    )
