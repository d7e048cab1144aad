"""Rows of the peers and destinations that were added while the node runs; see additions.py."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from dicom_node.additions import AddedEntry, EntryKind
from dicom_node.audit import AuditEntry, AuditEvent
from dicom_node.errors import Refused
from dicom_node.storage import trail
from dicom_node.storage.rows import AddedEntryRow

Transaction = Callable[[], AbstractContextManager[Session]]

NOT_ADDED = "There is no such entry in the database: those of the configuration file are changed there."


class AddedEntries:
    """Each method is one transaction; what may be raised is told in repository.py."""

    def __init__(self, read: Transaction, write: Transaction, actor: str) -> None:
        self._read, self._write, self._actor = read, write, actor

    def __call__(self) -> tuple[AddedEntry, ...]:
        """All of them, in the order in which they were added."""
        with self._read() as session:
            rows = session.scalars(select(AddedEntryRow).order_by(AddedEntryRow.id)).all()
            return tuple(AddedEntry(EntryKind(row.kind), row.name, row.document) for row in rows)

    def put(self, entry: AddedEntry, now: datetime) -> None:
        """Add it, or put it in the place of that of its kind and name."""
        with self._write() as session:
            row = session.scalar(_one(entry.kind, entry.name))
            if row is None:
                new = AddedEntryRow(kind=entry.kind.value, name=entry.name, document=entry.document, changed_at=now)
                session.add(new)
            else:
                row.document, row.changed_at = entry.document, now
            self._note(session, entry, "added" if row is None else "changed", now)

    def replace(self, name: str, entry: AddedEntry, now: datetime) -> None:
        """Put the entry in the place of the one of its kind called `name`, in one step. Raises Refused: there is none.

        Raises IntegrityError where another entry has the new name; whoever calls has looked.
        """
        with self._write() as session:
            row = session.scalar(_one(entry.kind, name))
            if row is None:
                raise Refused(NOT_ADDED)
            row.name, row.document, row.changed_at = entry.name, entry.document, now
            self._note(session, entry, "changed", now)

    def remove(self, kind: EntryKind, name: str, now: datetime) -> None:
        """Raises Refused: there is none."""
        with self._write() as session:
            row = session.scalar(_one(kind, name))
            if row is None:
                raise Refused(NOT_ADDED)
            session.delete(row)
            self._note(session, AddedEntry(kind, name, row.document), "removed", now)

    def _note(self, session: Session, entry: AddedEntry, what: str, now: datetime) -> None:
        detail = {"name": entry.name, "entry": entry.document}
        outcome = f"{entry.kind.value}.{what}"
        trail.record(session, AuditEntry(AuditEvent.ADMIN_SETTING, self._actor, outcome=outcome, detail=detail), now)


def _one(kind: EntryKind, name: str) -> Select[AddedEntryRow]:
    return select(AddedEntryRow).where(AddedEntryRow.kind == kind.value, AddedEntryRow.name == name)
