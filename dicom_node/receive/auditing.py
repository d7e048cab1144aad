"""What the receiver tells the audit trail of its own accord: associations that were accepted, objects that were not."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from pynetdicom.events import Event

from dicom_node.audit import AuditEntry, AuditEvent
from dicom_node.errors import NodeError
from dicom_node.receive.admission import caller_of
from dicom_node.receive.authorisation import Caller

_log = logging.getLogger(__name__)


class Trail(Protocol):
    """The end of the repository that keeps the audit trail."""

    def record(self, entry: AuditEntry, now: datetime) -> None: ...


@dataclass(frozen=True, slots=True)
class Witness:
    """Records what it sees; a trail that cannot be written is logged and keeps no peer waiting for more."""

    trail: Trail

    def on_accepted(self, event: Event) -> None:
        """EVT_ACCEPTED: somebody got in."""
        caller = caller_of(event.assoc)
        entry = AuditEntry(
            event=AuditEvent.ASSOCIATION_ACCEPTED,
            actor=caller.calling_ae,
            host=caller.host,
            outcome="accepted",
            detail={"called_ae": caller.called_ae},
        )
        self._record(entry)

    def object_refused(self, caller: Caller, reason: str, status: int, sop_instance_uid: str | None) -> None:
        """An object was not stored."""
        entry = AuditEntry(
            event=AuditEvent.OBJECT_REFUSED,
            actor=caller.calling_ae,
            host=caller.host,
            outcome=reason,
            sop_instance_uid=sop_instance_uid,
            detail={"called_ae": caller.called_ae, "status": f"0x{status:04X}"},
        )
        self._record(entry)

    def _record(self, entry: AuditEntry) -> None:
        try:
            self.trail.record(entry, datetime.now(UTC))
        except NodeError as error:
            _log.warning("audit.not_recorded", extra={"what": entry.event.value, "error": type(error).__name__})
