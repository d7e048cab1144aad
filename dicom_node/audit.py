"""What the audit trail remembers: who did what to which object, when, and how it ended.

After the events of PS3.15 A.5.3 (Application Activity, Audit Log Used, DICOM Instances Transferred, DICOM Study
Deleted, Security Alert), with what this node adds. The trail may hold the Patient ID that these events ask for; no log
line ever does.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class AuditEvent(StrEnum):
    """What happened."""

    PROCESS_STARTED = "process.started"
    PROCESS_STOPPED = "process.stopped"
    ASSOCIATION_ACCEPTED = "association.accepted"
    ASSOCIATION_REFUSED = "association.refused"
    ASSOCIATION_ENDED = "association.ended"
    OBJECT_RECEIVED = "object.received"
    OBJECT_REFUSED = "object.refused"
    OBJECT_RECONCILED = "object.reconciled"
    RESULT_MADE = "result.made"
    OBJECT_READ = "object.read"
    OBJECT_SENT = "object.sent"
    OBJECT_COMMITTED = "object.committed"
    OBJECT_GIVEN_UP = "object.given_up"
    COMMITMENT_ASKED = "commitment.asked"
    OBJECT_ANSWERED_FOR = "object.answered_for"
    STEP_TOLD = "step.told"
    STUDY_DELETED = "study.deleted"
    ADMIN_JOB = "admin.job"
    ADMIN_DELIVERY = "admin.delivery"
    ADMIN_CHANGE = "admin.change"
    ADMIN_USER = "admin.user"
    ADMIN_SETTING = "admin.setting"
    USER_SIGNED_IN = "user.signed_in"
    USER_REFUSED = "user.refused"
    STUDY_VIEWED = "study.viewed"
    TRAIL_READ = "trail.read"


THIS_HOST = socket.gethostname()
NODE = "node"
"""The actor where nobody outside did it."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One act. `actor`: an AE title, a destination's name, a person at this machine, or NODE; `host`: where from."""

    event: AuditEvent
    actor: str
    host: str = THIS_HOST
    outcome: str | None = None
    sop_instance_uid: str | None = None
    sop_class_uid: str | None = None
    study_instance_uid: str | None = None
    patient_id: str | None = field(default=None, repr=False)
    detail: Mapping[str, str | int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """An entry as it was stored. `number` and `seal` are its place in the hash chain; None: not sealed yet."""

    id: int
    at: datetime
    node: str
    entry: AuditEntry
    number: int | None = None
    seal: str | None = None


@dataclass(frozen=True, slots=True)
class AuditBatch:
    """Sealed records that a collector has not been sent, in the order of the chain; `patients`: IDs by study."""

    token: int
    records: tuple[AuditRecord, ...]
    patients: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """What checking the chain found.

    `broken_at`: the first number whose record is missing or altered; None: all `sealed` ones are as they were written.
    `slipped_in`: records that have no seal and lie so far behind sealed ones that the node cannot have written them.
    `head`: hash of the last one, to be kept elsewhere: whoever cuts off the end cannot produce it.
    """

    sealed: int
    unsealed: int
    head: str | None
    broken_at: int | None
    why: str | None = None
    slipped_in: int = 0
