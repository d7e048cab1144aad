"""A repository on a real SQLite file, and short ways to fill it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from dicom_node.domain import (
    Destination,
    Job,
    NewInstance,
    NewObject,
    NewResult,
    Relation,
    ResultKind,
)
from dicom_node.storage.repository import Repository
from tests.objects import IMAGE_OBJECTS

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LEASE_S = 60.0
PACS = Destination("pacs", "PACS", "localhost", 104, IMAGE_OBJECTS)
ARCHIVE = Destination("archive", "ARCHIVE", "localhost", 105, (ResultKind.TID1500,))


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def image(uid: str, content: str = "first", measurable: bool = True, study: str = "1.2.3") -> NewInstance:
    return NewInstance(
        sop_instance_uid=uid,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.6.1",
        study_instance_uid=study,
        series_instance_uid="1.2.3.4",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=f"objects/{uuid.uuid4().hex}.dcm",
        size_bytes=3_000_000_000,
        sha256=f"sha of {uid} {content}",
        calling_ae="SCANNER",
        called_ae="FETALHC",
        peer_host="192.0.2.1",
        measurable=measurable,
    )


def answer(fingerprint: str = "f1", kinds: Sequence[ResultKind] = IMAGE_OBJECTS) -> NewResult:
    return NewResult(fingerprint, "measured", None, '{"hc_mm": 170.0}', tuple(map(report, kinds)))


def report(kind: ResultKind) -> NewObject:
    name = uuid.uuid4()
    return NewObject(kind, "1.2.840.10008.5.1.4.1.1.88.33", f"2.25.{name.int}", f"results/{name.hex}.dcm", name.hex)


def claimed(repository: Repository, now: datetime = START) -> Job:
    job = repository.claim_job("worker", LEASE_S, now)
    assert job is not None
    return job


def measured(repository: Repository, uid: str, destinations: Sequence[Destination] = (PACS,)) -> int:
    """Register and measure one image; returns the instance id."""
    repository.register(image(uid), START)
    job = claimed(repository)
    repository.commit_result(job, answer(uid), destinations, START)
    return job.instance_id


def corrected(repository: Repository, uid: str, content: str = "corrected", accept: bool = False) -> int:
    """Register a further version and find it to be a correction; returns its instance id."""
    repository.register(image(uid, content), START)
    job = claimed(repository)
    repository.reconcile(job, Relation.CORRECTION, accept, START)
    return job.instance_id
