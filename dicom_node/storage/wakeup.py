"""Waiting for work, and noticing that a transaction made some. Where there is no bell (bell.py) one looks often."""

from __future__ import annotations

import threading
from enum import StrEnum

from sqlalchemy.event import listen
from sqlalchemy.orm import Session, UOWTransaction
from sqlalchemy.orm.attributes import get_history

from dicom_node.domain import DeliveryState, JobState
from dicom_node.storage.rows import DeliveryRow, JobRow

_MADE = "work_made"


class Work(StrEnum):
    """What there may be to do; the names of the channels."""

    JOB = "fetal_hc_job"
    DELIVERY = "fetal_hc_delivery"


class Patience:
    """Waits for the next look where there is no bell."""

    def wait(self, stop: threading.Event, poll_s: float) -> None:
        """Return after `poll_s` seconds, or when `stop` is set."""
        stop.wait(poll_s)

    def close(self) -> None:
        """There is nothing to let go."""


class Writing(Session):
    """A session that notes what its transaction makes claimable, as far as that goes through objects."""

    @property
    def work_made(self) -> frozenset[Work]:
        """What has become claimable, now or at another time than before."""
        return frozenset(self.info.get(_MADE, ()))


def _note(session: Session, _context: UOWTransaction, _instances: object) -> None:
    """Before a flush, when the session still knows what is new and what changed."""
    made = session.info.setdefault(_MADE, set())
    for row in (*session.new, *session.dirty):
        if isinstance(row, JobRow) and row.state is JobState.QUEUED and _is_changed(row):
            made.add(Work.JOB)
        elif isinstance(row, DeliveryRow) and row.state is DeliveryState.PENDING and _is_changed(row):
            made.add(Work.DELIVERY)


def _is_changed(row: JobRow | DeliveryRow) -> bool:
    return any(get_history(row, name).added for name in ("state", "available_at"))


listen(Writing, "before_flush", _note)
