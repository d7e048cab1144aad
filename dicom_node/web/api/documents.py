"""The documents of the interface. Fields are added, never renamed; no path of this machine is in any of them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from dicom_node.audit import AuditRecord
from dicom_node.domain import (
    Attempt,
    AttemptOutcome,
    Delivery,
    DeliveryState,
    InstanceRef,
    Job,
    JobKind,
    JobState,
    Relation,
    ResultKind,
    StoredResult,
    StudyResult,
)
from dicom_node.storage.browsing import ResultObject, StudyLine
from dicom_node.storage.study_list import Reported

Answer = dict[str, Any]
"""That of `dicom-node measure --json`; see docs/api.md."""


class Said(BaseModel):
    """What was said of a version of a study."""

    version: int
    status: str
    reason: str | None
    answer: Answer

    @classmethod
    def of(cls, said: StudyResult | Reported) -> Said:
        return cls(version=said.version, status=said.status, reason=said.reason, answer=json.loads(said.document))


class Study(BaseModel):
    """A study as far as rows tell: no patient."""

    study_instance_uid: str
    instances: int = Field(description="versions of objects that were received")
    first_received_at: datetime
    last_received_at: datetime
    calling_aes: list[str]
    statuses: dict[str, int] = Field(description="how many images were answered how")
    said: Said | None = Field(description="the newest answer about the study itself")

    @classmethod
    def of(cls, found: StudyLine) -> Study:
        return cls(
            study_instance_uid=found.study_instance_uid,
            instances=found.objects,
            first_received_at=found.first_received_at,
            last_received_at=found.received_at,
            calling_aes=[*found.calling_aes],
            statuses=dict(found.answers),
            said=None if found.said is None else Said.of(found.said),
        )


class Instance(BaseModel):
    """One stored version of a received object."""

    id: int
    sop_instance_uid: str
    revision: int
    relation: Relation
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    size_bytes: int
    sha256: str
    calling_ae: str
    received_at: datetime
    rules: list[str]

    @classmethod
    def of(cls, found: InstanceRef) -> Instance:
        fields = {name: getattr(found, name) for name in cls.model_fields if name != "rules"}
        return cls(**fields, rules=[*found.route.rules])


class Result(BaseModel):
    """The answer about one image."""

    id: int
    instance_id: int
    status: str
    reason: str | None
    created_at: datetime
    answer: Answer

    @classmethod
    def of(cls, found: StoredResult) -> Result:
        return cls(
            id=found.id,
            instance_id=found.instance_id,
            status=found.status,
            reason=found.reason,
            created_at=found.created_at,
            answer=json.loads(found.document),
        )


class Object(BaseModel):
    """A result object; `instance_id` is null for what is about the study."""

    id: int
    kind: ResultKind
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    instance_id: int | None
    sha256: str

    @classmethod
    def of(cls, found: ResultObject) -> Object:
        stored = found.stored
        return cls(
            id=stored.id,
            kind=stored.kind,
            sop_class_uid=stored.sop_class_uid,
            sop_instance_uid=stored.sop_instance_uid,
            study_instance_uid=found.study_instance_uid,
            instance_id=found.instance_id,
            sha256=stored.sha256,
        )


class WholeStudy(Study):
    """A study with all that was received, answered and made of it."""

    received: list[Instance]
    results: list[Result]
    objects: list[Object]
    versions: list[Said]


class JobDocument(BaseModel):
    """Work to be done for an image or for a version of a study."""

    id: int
    kind: JobKind
    state: JobState
    instance_id: int | None
    study_version_id: int | None
    attempts: int
    available_at: datetime
    error: str | None

    @classmethod
    def of(cls, found: Job) -> JobDocument:
        return cls(**{name: getattr(found, name) for name in cls.model_fields})


class DeliveryDocument(BaseModel):
    """An object on its way to a destination; `status` is the DIMSE status of the last answer, as 0xA900."""

    id: int
    object_id: int
    destination: str
    via: str | None
    kind: ResultKind
    sop_instance_uid: str
    state: DeliveryState
    attempts: int
    available_at: datetime
    waiting_since: datetime
    status: str | None
    comment: str | None

    @classmethod
    def of(cls, found: Delivery) -> DeliveryDocument:
        fields = {name: getattr(found, name) for name in cls.model_fields if name != "status"}
        return cls(**fields, status=_word(found.status_word))


class AttemptDocument(BaseModel):
    """One attempt to deliver."""

    asked: str
    outcome: AttemptOutcome
    cause: str
    status: str | None
    comment: str | None
    began_at: datetime
    seconds: float

    @classmethod
    def of(cls, found: Attempt) -> AttemptDocument:
        fields = {name: getattr(found, name) for name in cls.model_fields if name != "status"}
        return cls(**fields, status=_word(found.status_word))


class AuditDocument(BaseModel):
    """One act; `number` and `sha256` are its place in the hash chain, null until it is sealed."""

    id: int
    at: datetime
    node: str
    event: str
    actor: str
    host: str
    outcome: str | None
    sop_instance_uid: str | None
    sop_class_uid: str | None
    study_instance_uid: str | None
    patient_id: str | None
    detail: dict[str, str | int | None]
    number: int | None
    sha256: str | None

    @classmethod
    def of(cls, found: AuditRecord) -> AuditDocument:
        entry = found.entry
        names = ("event", "actor", "host", "outcome", "sop_instance_uid", "sop_class_uid", "study_instance_uid")
        return cls(
            id=found.id,
            at=found.at,
            node=found.node,
            **{name: getattr(entry, name) for name in names},
            patient_id=entry.patient_id,
            detail=dict(entry.detail),
            number=found.number,
            sha256=found.seal,
        )


def _word(status: int | None) -> str | None:
    return None if status is None else f"0x{status:04X}"
