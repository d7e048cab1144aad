"""A database as a node has it after years: made in the real tables, quickly, and the same each time.

Four of five objects of a study are images, the fifth is the machine's own report. Answers, their objects, deliveries,
attempts, storage commitment and the sealed audit trail follow from them as the node would have written them; what
waits, was given up or is held belongs to the newest studies. Files exist for the newest studies alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import FileDataset
from sqlalchemy import Connection, Table, create_engine, text

from dicom_node.answers import examined
from dicom_node.audit import AuditEvent
from dicom_node.domain import AttemptOutcome, DeliveryState, JobKind, JobState, Relation, ResultKind
from dicom_node.storage.rows import (
    AttemptRow,
    AuditRow,
    AuditSealRow,
    CommitmentRow,
    DeliveryRow,
    DestinationStateRow,
    InstanceRow,
    JobRow,
    ObjectRow,
    RefusalRow,
    ResultRow,
    Row,
    StudySourceRow,
    StudyVersionRow,
    table_of,
)
from inference.domain import Examination, Finding, ModelIdentity, Reason
from tests.reports import abstention, measurement
from tests.ultrasound import us_image

IMAGES_OF_A_STUDY = 4
OBJECTS_OF_A_STUDY = IMAGES_OF_A_STUDY + 1
WITH_FILES = 60
"""Newest studies whose files exist: more than a page lists."""

PACS = "pacs"
SENDERS = ("VOLUSON1", "VOLUSON2", "EPIQ7", "HERA")
BEGIN = datetime(2024, 1, 2, 8, tzinfo=UTC)
BETWEEN = timedelta(minutes=25)
"""From study to study."""

_WAITING, _GIVEN_UP, _HELD = range(40), range(40, 100), range(100, 110)
"""Of the newest studies, counted back from 0: one job of each is in that state, and its deliveries are not done."""

_SR, _PDF = "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.104.1"
_CLASSES = {ResultKind.STUDY_PDF: _PDF, ResultKind.STUDY_OVERLAY: "1.2.840.10008.5.1.4.1.1.7"}
_US_IMAGE = "1.2.840.10008.5.1.4.1.1.6.1"
_STUDY_KINDS = (ResultKind.STUDY_SR, ResultKind.STUDY_PDF, ResultKind.STUDY_OVERLAY)
_REASONS = (Reason.NO_HEAD_FOUND, Reason.SKULL_ECHO_WEAK, Reason.NOT_CALIBRATED)
_ROOT = "1.2.826.0.1.3680043.2.1143"
_STUDIES_AT_ONCE = 500

ORDER: tuple[type[Row], ...] = (
    *(InstanceRow, StudyVersionRow, JobRow, ResultRow, StudySourceRow, ObjectRow),
    *(CommitmentRow, DeliveryRow, AttemptRow, AuditRow, AuditSealRow),
)
"""No row before that which it refers to."""

Values = dict[str, Any]


def study_uid(study: int) -> str:
    """`study`: from 1."""
    return f"{_ROOT}.{study}"


def patient_of(study: int) -> str:
    return f"P{study % 7919:05d}"


def fill(url: str, data_dir: Path, studies: int) -> None:
    """Fill the migrated, empty database, and write the files of the newest studies below `data_dir`."""
    engine = create_engine(url)
    filling = _Filling(studies)
    with engine.begin() as connection:
        for first in range(1, studies + 1, _STUDIES_AT_ONCE):
            for study in range(first, min(first + _STUDIES_AT_ONCE, studies + 1)):
                filling.study(study)
            for row in ORDER:
                _insert(connection, table_of(row), filling.rows[row])
                filling.rows[row].clear()
        _insert(connection, table_of(RefusalRow), [_refusal(number) for number in range(200)])
        _insert(connection, table_of(DestinationStateRow), [_answering(filling.at)])
        if connection.dialect.name == "postgresql":
            _count_on(connection)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # as the server's own housekeeping leaves tables that rest: counts need not look at the rows themselves
        connection.execute(text("VACUUM ANALYZE" if connection.dialect.name == "postgresql" else "ANALYZE"))
    engine.dispose()
    for path, (sop_class, uid, study) in filling.files.items():
        _write(data_dir / path, sop_class, uid, study)


@dataclass
class _Filling:
    """Rows of the studies that are made, by table; ids are counted here."""

    studies: int
    rows: dict[type[Row], list[Values]] = field(default_factory=lambda: {row: [] for row in ORDER})
    files: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    at: datetime = BEGIN

    def __post_init__(self) -> None:
        self._ids = {row: count(1) for row in ORDER}
        self._answers = _answers()

    def study(self, number: int) -> None:
        """One study with all that came of it."""
        age, uid = self.studies - number, study_uid(number)
        self.at = BEGIN + number * BETWEEN
        self._audit(AuditEvent.ASSOCIATION_ACCEPTED, SENDERS[number % 4])
        sources = [self._image(number, place, age) for place in range(1, IMAGES_OF_A_STUDY + 1)]
        self._instance(number, OBJECTS_OF_A_STUDY, measurable=False)
        if age in _WAITING:
            return
        heads = [result for result, status in filter(None, sources) if status == "measured"]
        version = self._add(StudyVersionRow, study_instance_uid=uid, version=1, created_at=self.at)
        self._job(JobState.DONE, kind=JobKind.STUDY, study_version_id=version)
        said = _said_of_study(bool(heads), f"{uid}.1")
        result = self._result(said, study_version_id=version)
        for head in heads:
            self.rows[StudySourceRow].append({"study_version_id": version, "result_id": head})
        for kind in _STUDY_KINDS if heads else ():
            self._object(result, kind, number, version)

    def _image(self, study: int, place: int, age: int) -> tuple[int, str] | None:
        """The result's id and status; None: not answered."""
        instance = self._instance(study, place, measurable=True)
        state = JobState.DONE
        if place == 1:
            for ages, other in ((_WAITING, JobState.QUEUED), (_GIVEN_UP, JobState.DEAD), (_HELD, JobState.HELD)):
                state = other if age in ages else state
        self._job(state, kind=JobKind.MEASURE, instance_id=instance)
        if state is not JobState.DONE:
            return None
        said = self._answers[7 * instance % len(self._answers)]
        result = self._result(said, instance_id=instance)
        self._audit(AuditEvent.RESULT_MADE, "node", study_instance_uid=study_uid(study), outcome=said["status"])
        if said["status"] == "measured":
            self._object(result, ResultKind.TID1500, study, None)
        return result, str(said["status"])

    def _instance(self, study: int, place: int, *, measurable: bool) -> int:
        uid = f"{study_uid(study)}.{place}"
        sop_class = _US_IMAGE if measurable else _SR
        self.at += timedelta(seconds=20)
        path = self._file("objects", sop_class, uid, study)
        number = self._add(
            InstanceRow,
            sop_instance_uid=uid,
            revision=0,
            sop_class_uid=sop_class,
            study_instance_uid=study_uid(study),
            series_instance_uid=f"{study_uid(study)}.0.{1 if measurable else 2}",
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            path=path,
            size_bytes=480_000,
            sha256=_sha256(uid),
            relation=Relation.FIRST,
            measurable=measurable,
            calling_ae=SENDERS[study % 4],
            called_ae="FETALHC",
            peer_host=f"192.0.2.{study % 4 + 1}",
            received_at=self.at,
        )
        self._audit(
            AuditEvent.OBJECT_RECEIVED,
            SENDERS[study % 4],
            outcome="new",
            sop_instance_uid=uid,
            study_instance_uid=study_uid(study),
            patient_id=patient_of(study),
        )
        return number

    def _job(self, state: JobState, **subject: Any) -> None:
        times = {"available_at": self.at, "created_at": self.at, "updated_at": self.at}
        error = "The model file is damaged." if state is JobState.DEAD else None
        lease = {"worker": None, "lease_until": None, "error": error, "excused": 0, "priority": 0, "token": 1}
        self._add(JobRow, **_subject(subject), state=state, attempts=1, kind=subject["kind"], **times, **lease)

    def _result(self, said: Mapping[str, Any], **subject: int) -> int:
        self.at += timedelta(seconds=3)
        number = len(self.rows[ResultRow])
        fingerprint = _sha256(f"{self.at} {number}")
        return self._add(
            ResultRow, **_subject(subject), **said, studied=True, fingerprint=fingerprint, created_at=self.at
        )

    def _object(self, result: int, kind: ResultKind, study: int, version: int | None) -> None:
        uid = f"{study_uid(study)}.9.{result}.{len(kind)}"
        sop_class = _CLASSES.get(kind, _SR)
        values = {"result_id": result, "instance_id": None, "kind": kind, "sop_class_uid": sop_class}
        path = self._file("results", sop_class, uid, study)
        made = self._add(ObjectRow, **values, sop_instance_uid=uid, path=path, sha256=_sha256(uid))
        self._delivery(made, uid, study, version)

    def _delivery(self, made: int, uid: str, study: int, version: int | None) -> None:
        age = self.studies - study
        state = DeliveryState.PENDING if age in _WAITING else DeliveryState.COMMITTED
        state = DeliveryState.DEAD if age in _GIVEN_UP else DeliveryState.SENT if age in _HELD else state
        commitment = None
        if state is DeliveryState.COMMITTED:
            asked = {"asked_at": self.at, "answered_at": self.at + timedelta(seconds=12), "comment": None}
            commitment = self._add(CommitmentRow, transaction_uid=f"{uid}.1", destination=PACS, **asked)
        times = {"available_at": self.at, "waiting_since": self.at, "created_at": self.at, "updated_at": self.at}
        word = None if state is DeliveryState.PENDING else 0xA900 if state is DeliveryState.DEAD else 0
        told = {"comment": "no such class" if word else None, "via": None, "courier": None, "lease_until": None}
        delivery = self._add(
            DeliveryRow,
            object_id=made,
            study_version_id=version,
            destination=PACS,
            state=state,
            attempts=0 if word is None else 1,
            token=1,
            status_word=word,
            commitment_id=commitment,
            **times,
            **told,
        )
        if word is not None:
            self._attempt(delivery, word)
            event = AuditEvent.OBJECT_GIVEN_UP if word else AuditEvent.OBJECT_SENT
            self._audit(event, PACS, outcome=f"0x{word:04X}", sop_instance_uid=uid, study_instance_uid=study_uid(study))

    def _attempt(self, delivery: int, word: int) -> None:
        outcome = AttemptOutcome.PERMANENT if word else AttemptOutcome.SENT
        told = {"cause": "status", "status_word": word, "comment": None, "began_at": self.at, "seconds": 0.12}
        self._add(AttemptRow, delivery_id=delivery, asked=PACS, outcome=outcome, **told)

    def _audit(self, event: AuditEvent, actor: str, **facts: str) -> None:
        names = ("outcome", "sop_instance_uid", "sop_class_uid", "study_instance_uid", "patient_id")
        told = {**dict.fromkeys(names), **facts, "detail": '{"called_ae": "FETALHC"}'}
        made = self._add(AuditRow, at=self.at, node="node1", event=event.value, actor=actor, host="192.0.2.1", **told)
        self.rows[AuditSealRow].append({"number": made, "audit_id": made, "sha256": _sha256(str(made))})

    def _file(self, folder: str, sop_class: str, uid: str, study: int) -> str:
        name = _sha256(uid)[:32]
        path = f"{folder}/{name[:2]}/{name}.dcm"
        if self.studies - study < WITH_FILES:
            self.files[path] = (sop_class, uid, study_uid(study))
        return path

    def _add(self, row: type[Row], **values: Any) -> int:
        number = next(self._ids[row])
        self.rows[row].append({"id": number, **values})
        return number


def _subject(given: Mapping[str, Any]) -> Values:
    """Every row of a table names the same columns."""
    return {name: given.get(name) for name in ("instance_id", "study_version_id")}


def _answers() -> list[Values]:
    """Of 25 images 18 are measured, 6 are abstained from and one is refused."""
    model = ModelIdentity("efficientnet-lite0-unet", "0" * 64)

    def said(finding: Finding) -> Values:
        answer = examined(None, None, Examination((finding,), 0, (1,), model, 0.12))
        return {"status": answer["status"], "reason": answer["reason"], "document": json.dumps(answer)}

    measured = [said(measurement(hc_mm=150.0 + 7.0 * step)) for step in range(18)]
    silent = [said(abstention(reason=reason)) for reason in (*_REASONS, *_REASONS)]
    refused = {**silent[0], "status": "refused", "reason": str(Reason.UNREADABLE)}
    return [*measured, *silent, refused]


def _said_of_study(measured: bool, uid: str) -> Values:
    selected = {"sop_instance_uid": uid, "hc_mm": 176.4, "hc_low_mm": 174.0, "hc_high_mm": 178.9, "ga_days": 141}
    reason = None if measured else str(Reason.NO_HEAD_FOUND)
    status = "measured" if measured else "abstained"
    told = {"status": status, "reason": reason, "reason_text": None, "version": 1, "candidates": []}
    told["selected"] = {**selected, "frame": 1} if measured else None
    return {"status": status, "reason": reason, "document": json.dumps(told)}


def _refusal(number: int) -> Values:
    advice = "Add this AE title to the peers."
    values = {"calling_ae": f"UNKNOWN{number}", "called_ae": "FETALHC", "host": "192.0.2.99", "reason": "calling_ae"}
    return {"id": number + 1, **values, "advice": advice, "refused_at": BEGIN + timedelta(minutes=number)}


def _answering(at: datetime) -> Values:
    return {"name": PACS, "reachable": True, "since": BEGIN, "checked_at": at, "cause": None, "comment": None}


def _sha256(words: str) -> str:
    return hashlib.sha256(words.encode()).hexdigest()


# --- rows and files --------------------------------------------------------------------------------------------------


def _insert(connection: Connection, table: Table, rows: Sequence[Values]) -> None:
    """The quickest way that each engine has; all rows name the same columns."""
    if not rows:
        return
    if connection.dialect.name != "postgresql":
        connection.execute(table.insert(), list(rows))
        return
    names = list(rows[0])
    statement = f"COPY {table.name} ({', '.join(names)}) FROM STDIN"
    raw: Any = connection.connection.driver_connection
    with raw.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row([value.value if isinstance(value := row[name], Enum) else value for name in names])


def _count_on(connection: Connection) -> None:
    """COPY leaves the counters of ids where they were."""
    for row in (*ORDER, RefusalRow):
        table = table_of(row)
        if "id" in table.columns:
            sequence = f"pg_get_serial_sequence('{table.name}', 'id')"
            connection.execute(text(f"SELECT setval({sequence}, (SELECT max(id) FROM {table.name}))"))  # noqa: S608


_PICTURE = np.random.default_rng(1).integers(0, 255, (300, 400), dtype=np.uint8)


def _write(path: Path, sop_class: str, uid: str, study: str) -> None:
    """A small object with that name: an image, or something with a document in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made: FileDataset = us_image(_PICTURE)
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = sop_class
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = uid
    made.StudyInstanceUID, made.SeriesInstanceUID = study, f"{study}.0.{len(sop_class)}"
    if sop_class == _PDF:
        made.EncapsulatedDocument, made.EncapsulatedDocumentLength = b"%PDF-1.4\n" + b"0" * 60_001, 60_010
    if sop_class != _US_IMAGE:
        del made.PixelData
    made.save_as(path, enforce_file_format=True)
