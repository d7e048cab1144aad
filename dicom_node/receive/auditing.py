"""What the receiver tells the audit trail of its own accord: who came and left, what was not stored, who may talk."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from pynetdicom.association import Association
from pynetdicom.events import Event

from dicom_node.audit import NODE, AuditEntry, AuditEvent
from dicom_node.errors import NodeError
from dicom_node.receive.admission import caller_of
from dicom_node.receive.authorisation import Caller
from dicom_node.receive.reactor import Ending

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

    def on_ended(self, association: Association, ending: Ending, seconds: float) -> None:
        """Somebody who had got in has left."""
        caller = caller_of(association)
        entry = AuditEntry(
            event=AuditEvent.ASSOCIATION_ENDED,
            actor=caller.calling_ae,
            host=caller.host,
            outcome=ending.value,
            detail={"called_ae": caller.called_ae, "seconds": round(seconds)},
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

    def policy_taken_up(self, peers: Sequence[str]) -> None:
        """Somebody changed in the configuration who may talk to us; who it was the file does not say."""
        entry = AuditEntry(
            event=AuditEvent.ADMIN_CHANGE,
            actor=NODE,
            outcome="peers",
            detail={"count": len(peers), "peers": " ".join(sorted(peers))},
        )
        self._record(entry)

    def _record(self, entry: AuditEntry) -> None:
        try:
            self.trail.record(entry, datetime.now(UTC))
        except NodeError as error:
            _log.warning("audit.not_recorded", extra={"what": entry.event.value, "error": type(error).__name__})
