"""What a clock that was set back leaves behind: due times, and ends of leases, in a future that nobody meant."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import update
from sqlalchemy.orm import Session

from dicom_node.domain import DeliveryState, JobState
from dicom_node.storage.rows import DeliveryRow, JobRow


def mend(session: Session, longest_wait: timedelta, now: datetime) -> int:
    """Nothing is ever put off for longer than `longest_wait`; what seems to be is due now. How many rows were wrong.

    A lease that seems longer ends after `longest_wait`; if its owner lives, it has renewed it long before.
    """
    limit = now + longest_wait
    due = (
        update(JobRow).where(JobRow.state == JobState.QUEUED, JobRow.available_at > limit).values(available_at=now),
        update(DeliveryRow)
        .where(DeliveryRow.state == DeliveryState.PENDING, DeliveryRow.available_at > limit)
        .values(available_at=now),
        update(JobRow).where(JobRow.state == JobState.RUNNING, JobRow.lease_until > limit).values(lease_until=limit),
        update(DeliveryRow)
        .where(DeliveryRow.state == DeliveryState.SENDING, DeliveryRow.lease_until > limit)
        .values(lease_until=limit),
    )
    return sum(session.execute(one).rowcount for one in due)  # type: ignore[attr-defined]
