"""The nouns of the service and the two state machines, as tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from dicom_node.errors import Refused


class ResultKind(StrEnum):
    """The objects that a measurement becomes; those of a study follow when it has been quiet.

    STUDY_OVERLAY is a wish only: the overlay of the image that the study selects, kept as that image's OVERLAY.
    ORIGINAL is the received object itself, sent on as it came.
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
    ORIGINAL = "original"


USUAL_OBJECTS = (ResultKind.TID1500, ResultKind.STUDY_SR, ResultKind.STUDY_PDF, ResultKind.STUDY_OVERLAY)
"""What is made unless the configuration says otherwise: a number for each image at once, one report for the study."""

STUDY_OBJECTS = frozenset({ResultKind.STUDY_SR, ResultKind.STUDY_PDF, ResultKind.STUDY_OVERLAY})
"""Those that wait until the study has been quiet."""

EXPLANATIONS = frozenset({ResultKind.GRADCAM, ResultKind.UNCERTAINTY})
"""Those that need a second look at the measured frame."""


class Right(StrEnum):
    """What a peer may ask of us."""

    STORE = "store"
    ECHO = "echo"
    COMMITMENT = "commitment"  # ask us for storage commitment, and tell us what became of what we asked for
    MPPS = "mpps"  # tell us when an examination begins and ends


USUAL_RIGHTS = (Right.STORE, Right.ECHO)
"""What a scanner needs."""


@dataclass(frozen=True, slots=True)
class PeerLimits:
    """What one peer may take at most, in all its associations with one receiver process; None: no limit of its own."""

    associations: int | None = None
    objects_per_minute: int | None = None
    object_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class CallerTls:
    """How somebody is called over TLS; the paths are those of PEM files, see tls.TlsFiles."""

    authorities: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    check_host_name: bool = True


@dataclass(frozen=True, slots=True)
class Listener:
    """Where a peer can be called."""

    host: str
    port: int
    tls: CallerTls | None = None


@dataclass(frozen=True, slots=True)
class Peer:
    """Who may talk to us: AE title, and the addresses, CIDR blocks or host names it may come from (empty: any).

    `secure`: only over TLS. `certificate_name`: over TLS its certificate must carry this name. `listens`: where it is
    called itself; None: it never is.
    """

    ae_title: str
    hosts: tuple[str, ...]
    may: tuple[Right, ...] = USUAL_RIGHTS
    secure: bool = False
    certificate_name: str | None = None
    limits: PeerLimits = PeerLimits()
    listens: Listener | None = None


@dataclass(frozen=True, slots=True)
class Destination:
    """Where results go: to an application entity or, where `url` is given, to a DICOMweb service (STOW-RS).

    `alternate` names the destination that takes over while this one does not answer; with `commitment` it is asked to
    take responsibility for what it was sent (PS3.4 J).
    """

    name: str
    ae_title: str
    host: str
    port: int
    objects: tuple[ResultKind, ...]
    tls: CallerTls | None = None
    url: str | None = None
    authorization_file: Path | None = None
    alternate: str | None = None
    commitment: bool = False


class Action(StrEnum):
    """Whether a received object is measured. USUAL: ultrasound images are, captures where the configuration says so."""

    USUAL = "usual"
    MEASURE = "measure"
    IGNORE = "ignore"


class Priority(StrEnum):
    """Which job is taken first; a later one waits as long as there are earlier ones."""

    URGENT = "urgent"
    NORMAL = "normal"
    LOW = "low"

    @property
    def rank(self) -> int:
        """What jobs are ordered by, lowest first."""
        return (Priority.URGENT, Priority.NORMAL, Priority.LOW).index(self) - 1


@dataclass(frozen=True, slots=True)
class Route:
    """What the rules decided about a received object when it came; see routing.py.

    `send`: to which destination which kinds go; None: to each what it lists. `forward`: which ones get the original.
    `model` None: the configured one.
    """

    rules: tuple[str, ...] = ()
    action: Action = Action.USUAL
    model: str | None = None
    priority: Priority = Priority.NORMAL
    send: tuple[tuple[str, tuple[ResultKind, ...]], ...] | None = None
    forward: tuple[str, ...] = ()


USUAL_ROUTE = Route()
"""That of an object about which no rule says anything."""


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
    route: Route = USUAL_ROUTE


@dataclass(frozen=True, slots=True)
class NewInstance:
    """What the receiver knows once the file lies in its place; becomes an InstanceRef by the commit.

    `patient_id` is for the audit trail alone. `arrived_at`: when it came, where that is not when it is registered.
    """

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
    route: Route = USUAL_ROUTE
    patient_id: str = field(default="", repr=False)
    arrived_at: datetime | None = None


class Registered(StrEnum):
    """What the commit made of a received object."""

    NEW = "new"
    SAME = "same"  # byte for byte known; one file stands for both, see receive/known.py
    VERSION = "version"  # same UID, other bytes; kept as a new revision


class JobKind(StrEnum):
    MEASURE = "measure"
    RECONCILE = "reconcile"
    STUDY = "study"
    SUPERSEDE = (
        "supersede"  # a later version of what is not measured: held to be confirmed, or done; nobody works on it
    )


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
    JobState.HELD: frozenset({JobState.QUEUED, JobState.DONE, JobState.CANCELLED}),
    JobState.DEAD: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    JobState.DONE: frozenset({JobState.QUEUED}),  # a person wants the image looked at by another model
    JobState.CANCELLED: frozenset({JobState.QUEUED, JobState.HELD}),
}


class DeliveryState(StrEnum):
    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    COMMITTED = "committed"
    DEAD = "dead"
    HELD = "held"
    CANCELLED = "cancelled"


DELIVERY_TRANSITIONS: dict[DeliveryState, frozenset[DeliveryState]] = {
    DeliveryState.PENDING: frozenset(
        {DeliveryState.SENDING, DeliveryState.HELD, DeliveryState.CANCELLED, DeliveryState.DEAD}
    ),
    DeliveryState.SENDING: frozenset({DeliveryState.SENT, DeliveryState.PENDING, DeliveryState.DEAD}),
    DeliveryState.HELD: frozenset({DeliveryState.PENDING, DeliveryState.CANCELLED}),
    DeliveryState.DEAD: frozenset({DeliveryState.PENDING, DeliveryState.CANCELLED}),
    DeliveryState.SENT: frozenset({DeliveryState.COMMITTED, DeliveryState.PENDING, DeliveryState.DEAD}),
    DeliveryState.COMMITTED: frozenset(),
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

    `waiting_since` is where the delivery deadline counts from: creation, release or an operator's retry. `via` names
    the alternate destination that took the object in place of its own.
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
    via: str | None = None


class AttemptOutcome(StrEnum):
    """What an attempt to deliver means for the next one."""

    SENT = "sent"
    TRANSIENT = "transient"  # not stored; the same object may be taken later
    PERMANENT = "permanent"  # not stored, and waiting will not change that
    UNKNOWN = "unknown"  # the data went out and no valid status came back


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to deliver an object, and what came of it.

    `asked` is the name of the destination that was called: the delivery's own or its alternate. `status_word` is the
    DIMSE status (None: none came); `seconds` runs from the call to the answer and, for the first object of a batch, has
    the association in it.
    """

    asked: str
    outcome: AttemptOutcome
    cause: str
    status_word: int | None
    comment: str | None
    began_at: datetime
    seconds: float


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """What a destination is asked to take responsibility for: pairs of SOP Class UID and SOP Instance UID."""

    transaction_uid: str
    objects: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """What a destination answered: the SOP Instance UIDs that it committed, and of those that it did not the reason."""

    transaction_uid: str
    committed: tuple[str, ...]
    failed: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class CommitmentOutcome:
    """What a report changed: deliveries that are committed now, are sent again, or were given up."""

    destination: str
    committed: int
    resent: int
    given_up: int


@dataclass(frozen=True, slots=True)
class CommitmentQuestion:
    """A peer asks us to take responsibility for objects: pairs of SOP Class UID and SOP Instance UID."""

    peer: str
    called_ae: str
    host: str
    transaction_uid: str
    objects: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CommitmentReply:
    """What we tell a peer that asked, `called_ae` being how it calls us: what is committed, and what not and why.

    The reasons are Failure Reasons of PS3.3 C.14.1.1.
    """

    id: int
    transaction_uid: str
    called_ae: str
    committed: tuple[tuple[str, str], ...]
    failed: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True, slots=True)
class CommitmentTerms:
    """When we commit: once one of these destinations has; what none has committed after `wait` has failed."""

    destinations: tuple[str, ...]
    wait: timedelta


class StepState(StrEnum):
    """Performed Procedure Step Status (PS3.3 C.4.14); the last two are final."""

    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    DISCONTINUED = "DISCONTINUED"


@dataclass(frozen=True, slots=True)
class StepBegun:
    """A peer began a procedure step (an examination) that belongs to these studies."""

    sop_instance_uid: str
    peer: str
    host: str
    studies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepChange:
    """What a peer says of its step later: its state, and the objects that it has made, where it names them.

    None: it says nothing of that now.
    """

    sop_instance_uid: str
    peer: str
    host: str
    state: StepState | None
    objects: tuple[str, ...] | None


class StepAnswer(StrEnum):
    """What became of something that a peer told of a step."""

    TAKEN = "taken"
    DUPLICATE = "duplicate"
    UNKNOWN = "unknown"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class Quiet:
    """For how long nothing of a study has to have come before it is reported.

    `ended_s`: where its steps have ended, and all that they name is here; `missing_s`: where something is missing.
    None: nothing that was told of steps is heeded.
    """

    usual_s: float
    ended_s: float | None = None
    missing_s: float | None = None


@dataclass(frozen=True, slots=True)
class DestinationState:
    """Whether a destination answers, since when that is so, and why not. `comment` has no patient data."""

    name: str
    reachable: bool
    since: datetime
    checked_at: datetime
    cause: str | None
    comment: str | None


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
