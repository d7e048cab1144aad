"""Who looked at whom and took what away: DICOM Instances Accessed of the audit trail (PS3.15 A.5.3.6)."""

from __future__ import annotations

from dicom_node.audit import AuditEntry, AuditEvent
from dicom_node.users import Caller
from dicom_node.web.console import Console


def note_study(
    console: Console, caller: Caller, host: str, study_instance_uid: str, *, every_time: bool = False
) -> None:
    """A study was looked at. Its pictures are asked for one by one: these are noted once in a while, not each."""
    if console.looked_at.allows(f"{caller.actor} {study_instance_uid}") or every_time:
        entry = AuditEntry(AuditEvent.STUDY_VIEWED, caller.actor, host, study_instance_uid=study_instance_uid)
        console.repository.record(entry, console.now())


def note_object(console: Console, caller: Caller, host: str, sop_instance_uid: str) -> None:
    """An object or its document was taken away."""
    entry = AuditEntry(
        AuditEvent.OBJECT_READ, caller.actor, host, outcome="download", sop_instance_uid=sop_instance_uid
    )
    console.repository.record(entry, console.now())
