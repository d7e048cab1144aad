"""Rows of what an administrator is told of; see dicom_node/incidents.py. Several couriers may look and tell at once."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, suppress
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, Update, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dicom_node.incidents import Incident, Notice, NoticeWay, Trouble, Turn
from dicom_node.storage.rows import IncidentRow, NoticeRow

Transaction = Callable[[], AbstractContextManager[Session]]
_AT_ONCE = 100


class Incidents:
    """Each method is one transaction; what may be raised is told in repository.py."""

    def __init__(self, read: Transaction, write: Transaction) -> None:
        self._read, self._write = read, write

    def standing(self) -> tuple[Incident, ...]:
        """Those that are not over, oldest first."""
        with self._read() as session:
            rows = session.scalars(select(IncidentRow).where(IncidentRow.standing.is_(True)).order_by(IncidentRow.id))
            return tuple(map(_incident, rows))

    def begin(self, trouble: Trouble, ways: Collection[NoticeWay], now: datetime) -> None:
        """An incident and its messages, unless one about the same stands already."""
        with suppress(IntegrityError), self._write() as session:  # another courier was quicker
            row = IncidentRow(
                kind=trouble.kind, name=trouble.name, detail=trouble.detail, began_at=now, ended_at=None, standing=True
            )
            session.add(row)
            session.flush()
            _tell(session, row.id, Turn.BEGAN, ways, now)

    def end(self, incident_id: int, ways: Collection[NoticeWay], now: datetime) -> None:
        """It is over; nothing happens where somebody else said so before."""
        with self._write() as session:
            wanted = (IncidentRow.id == incident_id, IncidentRow.standing.is_(True))
            if _changes(session, update(IncidentRow).where(*wanted).values(standing=None, ended_at=now)):
                _tell(session, incident_id, Turn.ENDED, ways, now)

    def claim(self, ways: Collection[NoticeWay], lease: timedelta, now: datetime) -> Notice | None:
        """The next message that is due; for `lease` nobody else gets it. Of an incident the first one goes first."""
        with self._write() as session:
            rows = session.execute(
                select(NoticeRow, IncidentRow)
                .join(IncidentRow)
                .where(NoticeRow.waits, NoticeRow.way.in_(ways))
                .order_by(NoticeRow.id)
                .limit(_AT_ONCE)
            ).all()
            seen: set[tuple[int, NoticeWay]] = set()
            for row, incident in rows:
                is_first = (row.incident_id, row.way) not in seen
                seen.add((row.incident_id, row.way))
                if is_first and row.available_at <= now:
                    untaken = (NoticeRow.id == row.id, NoticeRow.attempts == row.attempts)
                    taken = {"attempts": row.attempts + 1, "available_at": now + lease}
                    notice = _notice(row, incident)
                    return notice if _changes(session, update(NoticeRow).where(*untaken).values(taken)) else None
            return None

    def told(self, notice: Notice, now: datetime) -> None:
        """It was sent."""
        with self._write() as session:
            session.execute(update(NoticeRow).where(NoticeRow.id == notice.id).values(waits=False, sent_at=now))

    def put_off(self, notice: Notice, until: datetime | None) -> None:
        """It was not; None: it is given up."""
        values = {"waits": False} if until is None else {"available_at": until}
        with self._write() as session:
            session.execute(update(NoticeRow).where(NoticeRow.id == notice.id, NoticeRow.waits).values(values))


def _tell(session: Session, incident_id: int, turn: Turn, ways: Collection[NoticeWay], now: datetime) -> None:
    for way in sorted(ways):
        row = NoticeRow(
            incident_id=incident_id, way=way, turn=turn, waits=True, attempts=0, made_at=now, available_at=now
        )
        session.add(row)


def _changes(session: Session, statement: Update) -> bool:
    options: dict[str, Any] = {"synchronize_session": False}
    return cast("CursorResult[Any]", session.execute(statement.execution_options(**options))).rowcount == 1


def _incident(row: IncidentRow) -> Incident:
    return Incident(row.id, Trouble(row.kind, row.name, row.detail), row.began_at, row.ended_at)


def _notice(row: NoticeRow, incident: IncidentRow) -> Notice:
    return Notice(row.id, _incident(incident), row.way, row.turn, row.attempts + 1, row.made_at)
