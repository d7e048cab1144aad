"""A node to look at: studies that were measured, abstained from, failed and sent, over real DICOM files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import FileDataset

from dicom_node.answers import examined
from dicom_node.domain import (
    Attempt,
    AttemptOutcome,
    Destination,
    DestinationState,
    NewInstance,
    NewObject,
    NewResult,
    NewStudyResult,
    Quiet,
    ResultKind,
)
from dicom_node.storage.repository import Repository
from inference.domain import Abstention, Advice, Consensus, Examination, Finding, ModelIdentity, Reason
from tests.reports import abstention, measurement, picture, with_lmp
from tests.ultrasound import save, us_image, us_multiframe
from tests.unit.dicom_node.web.browser import START

PACS = Destination("pacs", "MAINPACS", "192.0.2.20", 104, (ResultKind.TID1500,))
STUDY = "1.2.826.0.1.1"
SCRIPT = "<script>alert(1)</script>"
PATIENT_ID = f"P1{SCRIPT}"
NAME = f"Doe{SCRIPT}^Jane"
MODEL = ModelIdentity("efficientnet-lite0-unet", "0" * 64)
TOGETHER = Consensus(197.6, 0.8, (0.6, 0.4, 0.0), 0.67, 1, (1, 2), Advice.FEW_FRAMES_MEASURED, Reason.SKULL_ECHO_WEAK)
"""Of a cine of three frames, the last of which has no number."""


@dataclass
class Stage:
    """What stands on it. `at` moves with every act, by a second."""

    repository: Repository
    data_dir: Path
    at: datetime = START

    def tick(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at

    def receive(self, dataset: FileDataset, study: str = STUDY, measurable: bool = True, version: int = 1) -> str:
        """Store an object of that study; its SOP Instance UID."""
        dataset.StudyInstanceUID = study
        dataset.PatientName, dataset.PatientID = NAME, PATIENT_ID
        dataset.StudyDescription = SCRIPT
        uid = str(dataset.SOPInstanceUID)
        path = self.data_dir / "objects" / f"{uid}-{version}.dcm"
        path.parent.mkdir(exist_ok=True)
        save(dataset, path)
        new = NewInstance(
            sop_instance_uid=uid,
            sop_class_uid=str(dataset.SOPClassUID),
            study_instance_uid=study,
            series_instance_uid=str(dataset.SeriesInstanceUID),
            transfer_syntax_uid=str(dataset.file_meta.TransferSyntaxUID),
            path=str(path.relative_to(self.data_dir)),
            size_bytes=path.stat().st_size,
            sha256=f"{uid} {version}",
            calling_ae="VOLUSON1",
            called_ae="FETALHC",
            peer_host="192.0.2.10",
            measurable=measurable,
            patient_id=PATIENT_ID,
        )
        self.repository.register(new, self.tick())
        return uid

    def receive_again(self, uid: str) -> None:
        """The same SOP Instance UID with other content."""
        changed = still()
        changed.SOPInstanceUID = changed.file_meta.MediaStorageSOPInstanceUID = uid
        self.receive(changed, version=2)

    def answer(self, uid: str, findings: Sequence[Finding], destinations: Sequence[Destination] = (PACS,)) -> int:
        """Give the queued image its answer; the id of its result."""
        job = self.repository.claim_job("worker", 60.0, self.at)
        assert job is not None
        seen = Examination(tuple(findings), 0, tuple(f.frame for f in findings), MODEL, 0.12)
        told = examined(None, uid, seen if len(findings) == 1 else replace(seen, consensus=TOGETHER))
        objects = () if isinstance(findings[0], Abstention) else (self.written(ResultKind.TID1500, uid),)
        new = NewResult(f"f{uid}", told["status"], told["reason"], json.dumps(told), objects)
        self.repository.commit_result(job, new, destinations, self.tick())
        found = self.repository.result_of(job.instance_id)
        assert found is not None
        return found.id

    def written(self, kind: ResultKind, uid: str) -> NewObject:
        path = self.data_dir / "results" / f"{kind}-{uid}.dcm"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\0" * 128 + b"DICM")
        relative = str(path.relative_to(self.data_dir))
        return NewObject(kind, "1.2.840.10008.5.1.4.1.1.88.33", f"{uid}.7", relative, uid)

    def fail(self) -> None:
        """The queued image cannot be measured."""
        job = self.repository.claim_job("worker", 60.0, self.at)
        assert job is not None
        self.repository.bury_job(job, f"The model file is damaged. {SCRIPT}", self.tick())

    def deliver(self, outcome: AttemptOutcome, destination: str = PACS.name) -> None:
        """Send, or give up, the next object."""
        (delivery,) = self.repository.claim_deliveries("courier", 60.0, 1, self.at, destination)
        word = 0x0000 if outcome is AttemptOutcome.SENT else 0xA900
        attempt = Attempt(destination, outcome, "status", word, f"no such class {SCRIPT}", self.at, 0.2)
        if outcome is AttemptOutcome.SENT:
            self.repository.mark_sent(delivery, attempt, self.tick())
        else:
            self.repository.bury_delivery(delivery, attempt, f"Refused: {SCRIPT}", self.tick())

    def report(self, selected_uid: str, results: int = 1) -> None:
        """The study has been quiet: its report names the image that speaks."""
        self.at += timedelta(seconds=120)
        assert self.repository.enqueue_quiet_studies(Quiet(90.0), self.at) == 1
        job = self.repository.claim_job("worker", 60.0, self.tick())
        assert job is not None
        version = self.repository.study_version(job.study_version_id)
        source = next(s for s in version.sources if s.instance.sop_instance_uid == selected_uid)
        facts = json.loads(source.result.document)
        chosen = {name: facts[name] for name in ("hc_mm", "hc_low_mm", "hc_high_mm", "ga_days", "frame")}
        told: dict[str, Any] = {"status": "measured", "reason": None, "reason_text": None}
        told |= {"version": 1, "selected": {"sop_instance_uid": selected_uid, **chosen}, "candidates": []}
        new = NewResult(
            f"s{results}", "measured", None, json.dumps(told), (self.written(ResultKind.STUDY_SR, f"1.9.{results}"),)
        )
        self.repository.commit_study(job, NewStudyResult(new), (), self.tick())


def still() -> FileDataset:
    return us_image(picture())


def cine(frames: int = 3) -> FileDataset:
    return us_multiframe(np.stack([picture()] * frames))


def filled(repository: Repository, data_dir: Path) -> Stage:
    """A still and a cine that were measured, one that was abstained from, one that failed, a capture beside them."""
    stage = Stage(repository, data_dir)
    first = stage.receive(still())
    stage.answer(first, [with_lmp(measurement(), 152)])
    second = stage.receive(cine())
    silent = abstention(frame=3, reason=Reason.SKULL_ECHO_WEAK)
    stage.answer(second, [measurement(frame=1), measurement(frame=2, hc_mm=198.4), silent])
    third = stage.receive(still())
    stage.answer(third, [abstention(reason=Reason.NOT_CALIBRATED)])
    stage.receive(still(), measurable=False)
    stage.deliver(AttemptOutcome.SENT)
    stage.deliver(AttemptOutcome.PERMANENT)
    stage.report(first)
    stage.receive(still(), study="1.2.826.0.1.2")
    stage.fail()
    now = stage.tick()
    repository.tell_destination(DestinationState("pacs", False, now, now, "no_route", f"No route {SCRIPT}"))
    return stage
