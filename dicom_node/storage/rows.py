"""The tables. Constraints do the guarding: what must not exist twice is unique here, not only checked in code.

Text columns have no length: what a peer sends is checked at the door, and must not fail on one engine only.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import cast

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Double,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from dicom_node.domain import AttemptOutcome, DeliveryState, JobKind, JobState, Relation, ResultKind, Route, StepState
from dicom_node.incidents import IncidentKind, NoticeWay, Turn
from dicom_node.storage import routes
from dicom_node.users import UserRole

_WORD = 16
"""Longest word of the enumerations below."""

_NEVER_AGAIN = {"sqlite_autoincrement": True}
"""Of tables of which rows are deleted: who still holds the id of one must not find another row under it."""

_ONE_SUBJECT = "(instance_id IS NULL) <> (study_version_id IS NULL)"


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time, UTC in the database and on the way out, on every engine."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("times are stored as UTC: give an aware datetime")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class RouteColumn(TypeDecorator[Route]):
    """A route as JSON; NULL for the usual one, which most objects have."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Route | None, dialect: Dialect) -> str | None:
        return None if value is None else routes.written(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Route:
        return routes.read(value)


def _words(enumeration: type[StrEnum]) -> Enum:
    """A plain text column holding the values (not the names) of an enumeration."""
    return Enum(enumeration, native_enum=False, length=_WORD, values_callable=lambda words: [w.value for w in words])


class Row(DeclarativeBase):
    """Base of all tables; constraint names are fixed so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def table_of(row: type[Row]) -> Table:
    """For statements past the session's objects."""
    return cast(Table, row.__table__)


class InstanceRow(Row):
    """One stored version of one received object."""

    __tablename__ = "instance"
    __table_args__ = (
        UniqueConstraint("sop_instance_uid", "revision"),
        UniqueConstraint("sop_instance_uid", "sha256"),
        Index(None, "study_instance_uid"),
        Index(None, "received_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    sop_instance_uid: Mapped[str]
    revision: Mapped[int]
    sop_class_uid: Mapped[str]
    study_instance_uid: Mapped[str]
    series_instance_uid: Mapped[str]
    transfer_syntax_uid: Mapped[str]
    path: Mapped[str] = mapped_column(String, unique=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    relation: Mapped[Relation] = mapped_column(_words(Relation))
    measurable: Mapped[bool]
    calling_ae: Mapped[str]
    called_ae: Mapped[str]
    peer_host: Mapped[str]
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    route: Mapped[Route] = mapped_column(RouteColumn, nullable=True)


class StudyVersionRow(Row):
    """One state of a study that was worth a report."""

    __tablename__ = "study_version"
    __table_args__ = (UniqueConstraint("study_instance_uid", "version"), _NEVER_AGAIN)

    id: Mapped[int] = mapped_column(primary_key=True)
    study_instance_uid: Mapped[str]
    version: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class JobRow(Row):
    """Work to be done for one instance or one version of a study.

    `token` grows with every claim and fences off those who held it before.
    """

    __tablename__ = "job"
    __table_args__ = (
        UniqueConstraint("instance_id", "kind"),
        UniqueConstraint("study_version_id"),
        CheckConstraint(_ONE_SUBJECT, name="ck_job_one_subject"),
        Index(None, "state", "priority", "available_at", "id"),
        Index(None, "state", "lease_until"),
        _NEVER_AGAIN,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[JobKind] = mapped_column(_words(JobKind))
    instance_id: Mapped[int | None] = mapped_column(ForeignKey("instance.id"))
    study_version_id: Mapped[int | None] = mapped_column(ForeignKey("study_version.id"))
    state: Mapped[JobState] = mapped_column(_words(JobState))
    priority: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    excused: Mapped[int] = mapped_column(default=0)
    token: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None]
    available_at: Mapped[datetime] = mapped_column(UtcDateTime)
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ResultRow(Row):
    """The answer for one instance or one version of a study. The first commit of a fingerprint wins.

    `studied`: the study was looked at since this became, or ceased to be, what stands.
    """

    __tablename__ = "result"
    __table_args__ = (
        UniqueConstraint("instance_id", "fingerprint"),
        UniqueConstraint("study_version_id"),
        CheckConstraint(_ONE_SUBJECT, name="ck_result_one_subject"),
        Index(None, "studied", "instance_id"),
        Index(None, "status", "instance_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    instance_id: Mapped[int | None] = mapped_column(ForeignKey("instance.id"))
    study_version_id: Mapped[int | None] = mapped_column(ForeignKey("study_version.id"))
    studied: Mapped[bool] = mapped_column(default=False)
    fingerprint: Mapped[str]
    status: Mapped[str]
    reason: Mapped[str | None]
    document: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class StudySourceRow(Row):
    """A result that a version of a study rests on."""

    __tablename__ = "study_source"
    __table_args__ = (Index(None, "result_id"),)

    study_version_id: Mapped[int] = mapped_column(ForeignKey("study_version.id"), primary_key=True)
    result_id: Mapped[int] = mapped_column(ForeignKey("result.id"), primary_key=True)


_OURS = "result_id IS NOT NULL"


class ObjectRow(Row):
    """One DICOM object that goes to destinations: what a result became, or a received instance as it came (ORIGINAL).

    The UIDs of results are ours and unique; two versions of a received object share theirs.
    """

    __tablename__ = "result_object"
    __table_args__ = (
        UniqueConstraint("result_id", "kind"),
        UniqueConstraint("instance_id"),
        CheckConstraint("(result_id IS NULL) <> (instance_id IS NULL)", name="ck_result_object_one_origin"),
        Index(None, "sop_instance_uid", unique=True, sqlite_where=text(_OURS), postgresql_where=text(_OURS)),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    result_id: Mapped[int | None] = mapped_column(ForeignKey("result.id"))
    instance_id: Mapped[int | None] = mapped_column(ForeignKey("instance.id"))
    kind: Mapped[ResultKind] = mapped_column(_words(ResultKind))
    sop_class_uid: Mapped[str]
    sop_instance_uid: Mapped[str]
    path: Mapped[str] = mapped_column(String, unique=True)
    sha256: Mapped[str]


class DeliveryRow(Row):
    """The outbox: one object on its way to one destination.

    `study_version_id`: the object is an image's, and that version of its study asked for it; None: the object's own
    result did.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        UniqueConstraint("object_id", "destination"),
        Index(None, "state", "destination", "available_at", "id"),
        Index(None, "commitment_id"),
        Index(None, "state", "lease_until"),
        Index(None, "study_version_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    object_id: Mapped[int] = mapped_column(ForeignKey("result_object.id"))
    study_version_id: Mapped[int | None] = mapped_column(ForeignKey("study_version.id"))
    destination: Mapped[str]
    state: Mapped[DeliveryState] = mapped_column(_words(DeliveryState))
    attempts: Mapped[int] = mapped_column(default=0)
    token: Mapped[int] = mapped_column(default=0)
    courier: Mapped[str | None]
    available_at: Mapped[datetime] = mapped_column(UtcDateTime)
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    status_word: Mapped[int | None]
    comment: Mapped[str | None] = mapped_column(Text)
    via: Mapped[str | None]
    commitment_id: Mapped[int | None] = mapped_column(ForeignKey("storage_commitment.id"))
    waiting_since: Mapped[datetime] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class CommitmentRow(Row):
    """A request for storage commitment; `answered_at` None: no answer yet, or `comment` says why there is none.

    `taken_at`: when the destination took it; None: it is being asked, or whoever was about to is gone.
    """

    __tablename__ = "storage_commitment"

    id: Mapped[int] = mapped_column(primary_key=True)
    transaction_uid: Mapped[str] = mapped_column(String, unique=True)
    destination: Mapped[str]
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    taken_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    comment: Mapped[str | None] = mapped_column(Text)


class QuestionRow(Row):
    """A peer asked us for storage commitment.

    `decided_at` None: it is not known of every object yet; `told_at` None: the peer does not know the answer yet.
    `comment`: why it could not be told, so far.
    """

    __tablename__ = "commitment_question"
    __table_args__ = (
        UniqueConstraint("peer", "transaction_uid"),
        Index(None, "peer", "told_at", "available_at"),
        _NEVER_AGAIN,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    peer: Mapped[str]
    transaction_uid: Mapped[str]
    called_ae: Mapped[str]
    host: Mapped[str]
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    decided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    told_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    attempts: Mapped[int] = mapped_column(default=0)
    available_at: Mapped[datetime] = mapped_column(UtcDateTime)
    comment: Mapped[str | None] = mapped_column(Text)


class QuestionObjectRow(Row):
    """An object that a peer asked about; `reason` None: undecided, 0: committed, else why not (PS3.3 C.14.1.1)."""

    __tablename__ = "commitment_question_object"

    question_id: Mapped[int] = mapped_column(ForeignKey("commitment_question.id"), primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(primary_key=True)
    sop_class_uid: Mapped[str]
    reason: Mapped[int | None]
    why: Mapped[str | None]


class StepRow(Row):
    """A procedure step that a peer told of (MPPS); `ended_at` None: it is under way, or nobody told of its end."""

    __tablename__ = "procedure_step"
    __table_args__ = (Index(None, "begun_at"), _NEVER_AGAIN)

    id: Mapped[int] = mapped_column(primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(String, unique=True)
    peer: Mapped[str]
    state: Mapped[StepState] = mapped_column(_words(StepState))
    begun_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class StepStudyRow(Row):
    """A study that a step belongs to."""

    __tablename__ = "procedure_step_study"
    __table_args__ = (Index(None, "study_instance_uid"),)

    step_id: Mapped[int] = mapped_column(ForeignKey("procedure_step.id"), primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(primary_key=True)


class StepObjectRow(Row):
    """An object that a step has made, as it says."""

    __tablename__ = "procedure_step_object"

    step_id: Mapped[int] = mapped_column(ForeignKey("procedure_step.id"), primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(primary_key=True)


class AttemptRow(Row):
    """One attempt of a delivery; never changed."""

    __tablename__ = "delivery_attempt"
    __table_args__ = (Index(None, "delivery_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    delivery_id: Mapped[int] = mapped_column(ForeignKey("delivery.id"))
    asked: Mapped[str]
    outcome: Mapped[AttemptOutcome] = mapped_column(_words(AttemptOutcome))
    cause: Mapped[str]
    status_word: Mapped[int | None]
    comment: Mapped[str | None] = mapped_column(Text)
    began_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seconds: Mapped[float] = mapped_column(Double)


class DestinationStateRow(Row):
    """Whether a destination answered when it was last asked."""

    __tablename__ = "destination_state"

    name: Mapped[str] = mapped_column(primary_key=True)
    reachable: Mapped[bool]
    since: Mapped[datetime] = mapped_column(UtcDateTime)
    checked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    cause: Mapped[str | None]
    comment: Mapped[str | None] = mapped_column(Text)


class RefusalRow(Row):
    """An association that was refused; only the last ones are kept."""

    __tablename__ = "refusal"

    id: Mapped[int] = mapped_column(primary_key=True)
    calling_ae: Mapped[str]
    called_ae: Mapped[str]
    host: Mapped[str]
    reason: Mapped[str]
    advice: Mapped[str]
    refused_at: Mapped[datetime] = mapped_column(UtcDateTime)


class InstallationRow(Row):
    """The one row that tells this installation from every other; all machines of a cluster share it."""

    __tablename__ = "installation"

    id: Mapped[int] = mapped_column(primary_key=True)
    serial: Mapped[str]


_LONG_ID = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts up a plain INTEGER only."""


class AuditRow(Row):
    """One act that the audit trail remembers. Triggers refuse to change or delete it."""

    __tablename__ = "audit"
    __table_args__ = (Index(None, "at"), Index(None, "study_instance_uid"), Index(None, "patient_id"))

    id: Mapped[int] = mapped_column(_LONG_ID, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    node: Mapped[str]
    event: Mapped[str]
    actor: Mapped[str]
    host: Mapped[str]
    outcome: Mapped[str | None]
    sop_instance_uid: Mapped[str | None]
    sop_class_uid: Mapped[str | None]
    study_instance_uid: Mapped[str | None]
    patient_id: Mapped[str | None]
    detail: Mapped[str | None] = mapped_column(Text)


class AuditSealRow(Row):
    """The place of a record in the hash chain. Triggers refuse to change or delete it."""

    __tablename__ = "audit_seal"

    number: Mapped[int] = mapped_column(_LONG_ID, primary_key=True, autoincrement=False)
    audit_id: Mapped[int] = mapped_column(_LONG_ID, unique=True)
    sha256: Mapped[str]


class AuditCollectorRow(Row):
    """How far a collector has been sent the chain: the last `number` that it has; who sends, until when, fenced."""

    __tablename__ = "audit_collector"

    name: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(_LONG_ID)
    token: Mapped[int]
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


class UserRow(Row):
    """Who may use the console. `password_hash` None: none was set yet; `failures`: wrong passwords in a row.

    `external`: as whom another service knows them, who then have no password here; None: a user of ours.
    """

    __tablename__ = "console_user"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String, unique=True)
    role: Mapped[UserRole] = mapped_column(_words(UserRole))
    active: Mapped[bool]
    password_hash: Mapped[str | None]
    failures: Mapped[int]
    locked_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    external: Mapped[str | None] = mapped_column(String, unique=True, index=True)


class SessionRow(Row):
    """A browser in which somebody signed in; its cookie is not stored."""

    __tablename__ = "console_session"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("console_user.id"))
    secret_sha256: Mapped[str] = mapped_column(String, unique=True)
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)


class LinkRow(Row):
    """A one-time link with which somebody sets a password."""

    __tablename__ = "console_link"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("console_user.id"), unique=True)
    secret_sha256: Mapped[str] = mapped_column(String, unique=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ApiTokenRow(Row):
    """What a program signs in with; see users.ApiToken."""

    __tablename__ = "api_token"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("console_user.id"))
    label: Mapped[str]
    role: Mapped[UserRole] = mapped_column(_words(UserRole))
    secret_sha256: Mapped[str] = mapped_column(String, unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AddedEntryRow(Row):
    """A peer or destination that was added while the node runs: its configuration entry as JSON; see additions.py."""

    __tablename__ = "added_entry"
    __table_args__ = (UniqueConstraint("kind", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(_WORD))
    name: Mapped[str]
    document: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class IncidentRow(Row):
    """Something an administrator is told of. `standing`: true while it lasts, then null, so that one of each stands."""

    __tablename__ = "incident"
    __table_args__ = (UniqueConstraint("kind", "name", "standing"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[IncidentKind] = mapped_column(_words(IncidentKind))
    name: Mapped[str]
    detail: Mapped[str] = mapped_column(Text)
    began_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    standing: Mapped[bool | None]


class NoticeRow(Row):
    """A message about an incident: that it began or ended, on one way."""

    __tablename__ = "notice"
    __table_args__ = (UniqueConstraint("incident_id", "way", "turn"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey("incident.id"))
    way: Mapped[NoticeWay] = mapped_column(_words(NoticeWay))
    turn: Mapped[Turn] = mapped_column(_words(Turn))
    waits: Mapped[bool]
    attempts: Mapped[int]
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
    available_at: Mapped[datetime] = mapped_column(UtcDateTime)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class PostState(StrEnum):
    """Of a report for a FHIR server. `nothing`: there is no number to tell, or it no longer stands."""

    PENDING = "pending"
    SENT = "sent"
    DEAD = "dead"
    NOTHING = "nothing"


class FhirPostRow(Row):
    """A report of a study on its way to a FHIR server; see fhir_posts.py."""

    __tablename__ = "fhir_post"
    __table_args__ = (UniqueConstraint("study_version_id"), Index(None, "state", "available_at"))

    id: Mapped[int] = mapped_column(primary_key=True)
    study_version_id: Mapped[int] = mapped_column(ForeignKey("study_version.id"))
    state: Mapped[PostState] = mapped_column(_words(PostState))
    attempts: Mapped[int] = mapped_column(default=0)
    available_at: Mapped[datetime] = mapped_column(UtcDateTime)
    waiting_since: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    comment: Mapped[str | None] = mapped_column(Text)


class FhirSinceRow(Row):
    """The one row that says from when on reports are told to a FHIR server: older ones are not sent afterwards."""

    __tablename__ = "fhir_since"

    id: Mapped[int] = mapped_column(primary_key=True)
    since: Mapped[datetime] = mapped_column(UtcDateTime)
