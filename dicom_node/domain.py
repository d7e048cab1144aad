"""The nouns of the service and the two state machines, as tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from dicom_node.errors import Refused


class ResultKind(StrEnum):
    """The objects that a measurement becomes; those of a study follow when it has been quiet.

    STUDY_OVERLAY is a wish only: the overlay of the image that the study selects, kept as that image's OVERLAY.
    """

    TID1500 = "tid1500"
    PDF = "pdf"
    OVERLAY = "overlay"
    TID5000 = "tid5000"
    GRADCAM = "gradcam"
    UNCERTAINTY = "uncertainty"
    CINE_OVERLAY = "cine_overlay"
    PRESENTATION = "presentation"
    KEY_OBJECT = "key_object"
    STUDY_SR = "study_sr"
    STUDY_PDF = "study_pdf"
    STUDY_OVERLAY = "study_overlay"


USUAL_OBJECTS = (ResultKind.TID1500, ResultKind.STUDY_SR, ResultKind.STUDY_PDF, ResultKind.STUDY_OVERLAY)
"""What is made unless the configuration says otherwise: a number for each image at once, one report for the study."""

STUDY_OBJECTS = frozenset({ResultKind.STUDY_SR, ResultKind.STUDY_PDF, ResultKind.STUDY_OVERLAY})
"""Those that wait until the study has been quiet."""

EXPLANATIONS = frozenset({ResultKind.GRADCAM, ResultKind.UNCERTAINTY})
"""Those that need a second look at the measured frame."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who may talk to us: AE title, and the addresses or CIDR blocks it may come from (empty: any)."""

    ae_title: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Destination:
    """Where results go."""

    name: str
    ae_title: str
    host: str
    port: int
    objects: tuple[ResultKind, ...]


class Relation(StrEnum):
    """How a stored version of an object relates to the standing one before it with its SOP Instance UID."""

    FIRST = "first"
    UNEXAMINED = "unexamined"  # same UID, other bytes; a worker will compare
    DUPLICATE = "duplicate"  # same decoded content
    CORRECTION = "correction"  # same pixels, other identity
    REPLACEMENT = "replacement"  # a readable version of what could not be read before
    CONFLICT = "conflict"  # other pixels: kept aside, never measured


@dataclass(frozen=True, slots=True)
class InstanceRef:
    """A stored object. `path` is relative to the data folder; `revision` counts the versions of one UID from 0."""

    id: int
    sop_instance_uid: str
    revision: int
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    path: str
    size_bytes: int
    sha256: str
    relation: Relation
    calling_ae: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class NewInstance:
    """What the receiver knows once the file lies in its place; becomes an InstanceRef by the commit."""

    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    path: str
    size_bytes: int
    sha256: str
    calling_ae: str
    called_ae: str
    peer_host: str
    measurable: bool


class Registered(StrEnum):
    """What the commit made of a received object."""

    NEW = "new"
    SAME = "same"  # byte for byte known; the new file may go
    VERSION = "version"  # same UID, other bytes; kept as a new revision


class JobKind(StrEnum):
    MEASURE = "measure"
    RECONCILE = "reconcile"
    STUDY = "study"


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"
    HELD = "held"
    CANCELLED = "cancelled"


JOB_TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED}),
    JobState.RUNNING: frozenset({JobState.DONE, JobState.QUEUED, JobState.DEAD}),
    JobState.HELD: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    JobState.DEAD: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    JobState.DONE: frozenset(),
    JobState.CANCELLED: frozenset({JobState.QUEUED, JobState.HELD}),
}


class DeliveryState(StrEnum):
    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    DEAD = "dead"
    HELD = "held"
    CANCELLED = "cancelled"


DELIVERY_TRANSITIONS: dict[DeliveryState, frozenset[DeliveryState]] = {
    DeliveryState.PENDING: frozenset({DeliveryState.SENDING, DeliveryState.HELD, DeliveryState.CANCELLED}),
    DeliveryState.SENDING: frozenset({DeliveryState.SENT, DeliveryState.PENDING, DeliveryState.DEAD}),
    DeliveryState.HELD: frozenset({DeliveryState.PENDING, DeliveryState.CANCELLED}),
    DeliveryState.DEAD: frozenset({DeliveryState.PENDING, DeliveryState.CANCELLED}),
    DeliveryState.SENT: frozenset(),
    DeliveryState.CANCELLED: frozenset({DeliveryState.PENDING}),  # a version of the study selects the image again
}


class IllegalTransition(Refused):
    """The state does not allow that."""


def check_job_transition(before: JobState, after: JobState) -> None:
    """Raises IllegalTransition unless the table allows it."""
    if after not in JOB_TRANSITIONS[before]:
        raise IllegalTransition(f"a job that is {before} cannot become {after}")


def check_delivery_transition(before: DeliveryState, after: DeliveryState) -> None:
    """Raises IllegalTransition unless the table allows it."""
    if after not in DELIVERY_TRANSITIONS[before]:
        raise IllegalTransition(f"a delivery that is {before} cannot become {after}")


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed or listed job. `token` grows with every claim: a worker with an old token is fenced off.

    It is about an instance or, of kind STUDY, about a version of a study; the other one is None. `excused` of the
    `attempts` ended with a Transient error, which is nothing that the job did.
    """

    id: int
    kind: JobKind
    instance_id: int | None
    state: JobState
    attempts: int
    token: int
    available_at: datetime
    lease_until: datetime | None
    error: str | None
    excused: int = 0
    study_version_id: int | None = None

    @property
    def counted_attempts(self) -> int:
        """Those that the limit of attempts is for: failures of the job itself, and workers that did not come back."""
        return self.attempts - self.excused


@dataclass(frozen=True, slots=True)
class NewObject:
    """A result object that was built and written, not yet committed. `path` is relative to the data folder."""

    kind: ResultKind
    sop_class_uid: str
    sop_instance_uid: str
    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class NewResult:
    """The answer for one instance. `fingerprint` hashes all that determines it; `document` is the measure JSON."""

    fingerprint: str
    status: str
    reason: str | None
    document: str
    objects: tuple[NewObject, ...]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One object on its way to one destination. `status_word` is the DIMSE status of the last answer, if any.

    `waiting_since` is where the delivery deadline counts from: creation, release or an operator's retry.
    """

    id: int
    object_id: int
    destination: str
    state: DeliveryState
    attempts: int
    token: int
    available_at: datetime
    status_word: int | None
    comment: str | None
    sop_class_uid: str
    sop_instance_uid: str
    path: str
    kind: ResultKind
    waiting_since: datetime


@dataclass(frozen=True, slots=True)
class StoredResult:
    """The committed answer for one instance; see NewResult."""

    id: int
    instance_id: int
    fingerprint: str
    status: str
    reason: str | None
    document: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StudySource:
    """A result that a version of a study rests on, and the image that it is about."""

    instance: InstanceRef
    result: StoredResult


@dataclass(frozen=True, slots=True)
class StudyVersion:
    """A state of a study that is worth a report. `version` counts from 1; `sources` are in the order of arrival."""

    id: int
    study_instance_uid: str
    version: int
    sources: tuple[StudySource, ...]


@dataclass(frozen=True, slots=True)
class NewStudyResult:
    """The answer for a version of a study. `answer` holds the objects of the study itself.

    `selected` is the id of the result whose image speaks for the fetus; `overlay` its overlay, if none was stored.
    """

    answer: NewResult
    selected: int | None = None
    overlay: NewObject | None = None


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A committed result object. `path` is relative to the data folder."""

    id: int
    result_id: int
    kind: ResultKind
    sop_class_uid: str
    sop_instance_uid: str
    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class RefusalRecord:
    """An association that was refused, and what would let it in."""

    id: int
    calling_ae: str
    called_ae: str
    host: str
    reason: str
    advice: str
    refused_at: datetime


@dataclass(frozen=True, slots=True)
class StudyResult:
    """The committed answer for a version of a study, and its objects; see NewStudyResult."""

    version: int
    status: str
    reason: str | None
    document: str
    objects: tuple[StoredObject, ...]
