"""How far the audit collector has been sent the trail, as statements inside a transaction that repository.py owns.

By places in the hash chain, not by ids: on PostgreSQL a record may be committed after one with a higher id, and would
be passed over. What is sealed has its place for good.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dicom_node.audit import AuditBatch, AuditRecord
from dicom_node.errors import LeaseLost
from dicom_node.storage import trail
from dicom_node.storage.rows import AuditCollectorRow, AuditRow, AuditSealRow

_THE_COLLECTOR = "syslog"
"""One place for all addresses that it may have in turn: a collector that moves goes on where it was."""


def begin(session: Session) -> bool:
    """Where nothing was ever sent, start with what is sealed from now on; whether that was so."""
    if session.get(AuditCollectorRow, _THE_COLLECTOR) is not None:
        return False
    session.add(AuditCollectorRow(name=_THE_COLLECTOR, number=_head(session), token=0, lease_until=None))
    return True


def waiting(session: Session) -> int:
    """How many records have not been sent; a look without a lock."""
    row = session.get(AuditCollectorRow, _THE_COLLECTOR)
    return 0 if row is None else _head(session) - row.number


def claim(session: Session, limit: int, lease: timedelta, now: datetime) -> AuditBatch | None:
    """The next records, for the caller alone until `lease` is over; None: there are none, or another one sends.

    A lease that seems to last longer than any does is from before the clock was set back.
    """
    row = session.get(AuditCollectorRow, _THE_COLLECTOR, with_for_update=True)
    if row is None or (row.lease_until is not None and now < row.lease_until <= now + lease):
        return None
    records = _after(session, row.number, limit)
    if not records:
        return None
    row.token += 1
    row.lease_until = now + lease
    return AuditBatch(row.token, records, _patients(session, records))


def settle(session: Session, batch: AuditBatch, sent: bool) -> None:
    """It has been sent, or has not; raises LeaseLost where another one has taken over since."""
    row = session.get_one(AuditCollectorRow, _THE_COLLECTOR, with_for_update=True)
    if row.token != batch.token:
        raise LeaseLost("another courier sends the audit trail now")
    row.lease_until = None
    if sent:
        row.number = batch.records[-1].number or row.number


def _head(session: Session) -> int:
    return session.scalar(select(func.max(AuditSealRow.number))) or 0


def _after(session: Session, number: int, limit: int) -> tuple[AuditRecord, ...]:
    """In the order of the chain."""
    found = session.execute(
        select(AuditRow, AuditSealRow)
        .join(AuditSealRow, AuditSealRow.audit_id == AuditRow.id)
        .where(AuditSealRow.number > number)
        .order_by(AuditSealRow.number)
        .limit(limit)
    ).all()
    return tuple(trail.reference(row, seal) for row, seal in found)


def _patients(session: Session, records: Sequence[AuditRecord]) -> dict[str, str]:
    """Patient ID by study, as the last object that was received for it says."""
    studies = {record.entry.study_instance_uid for record in records if record.entry.patient_id is None}
    last = (
        select(func.max(AuditRow.id))
        .where(AuditRow.study_instance_uid.in_(studies - {None}), AuditRow.patient_id.is_not(None))
        .group_by(AuditRow.study_instance_uid)
    )
    found = select(AuditRow.study_instance_uid, AuditRow.patient_id).where(AuditRow.id.in_(last))
    return {str(study): str(patient) for study, patient in session.execute(found)}
