"""The pipeline on a real repository and real files; the network is left out: what is examined here is found wanting."""

from __future__ import annotations

import errno
import os
import random
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import FileDataset

from dicom_node import pipeline as module
from dicom_node import worker
from dicom_node.config import QueueSection
from dicom_node.domain import USUAL_ROUTE, Action, Destination, Job, JobState, Relation, ResultKind, Route
from dicom_node.errors import StorageUnavailable
from dicom_node.examiner import Engine
from dicom_node.pipeline import Pipeline
from dicom_node.queue import JobQueue, QueuePolicy
from dicom_node.reporting import Protocol, Reporter
from dicom_node.storage.repository import Repository
from inference.consensus import consensus
from inference.domain import (
    Abstention,
    CalibrationSource,
    Examination,
    Explanation,
    Measurement,
    ModelIdentity,
    Reason,
)
from sr_templates.uids import equipment
from tests.objects import IMAGE_OBJECTS
from tests.reports import explanation, measurement
from tests.ultrasound import save, us_image, us_multiframe, us_region
from tests.unit.dicom_node.storage.rooms import START, image

MODEL = ModelIdentity("model", "0" * 64)
UID = "1.2.3.4"
PIXELS = np.random.default_rng(3).integers(0, 256, (40, 51), dtype=np.uint8)
REGION = [us_region((0, 0, 50, 39), (0.02, 0.02))]


class NoHead:
    """An examiner that decodes every frame and finds nothing."""

    model = MODEL

    def examine(self, frames: Any) -> Examination:
        count = len(list(frames))
        nothing = Abstention(1, None, None, CalibrationSource.NONE, Reason.NO_HEAD_FOUND, "", None, None)
        return Examination((nothing,), 0, tuple(range(1, count + 1)), MODEL, 0.0)


@dataclass
class Entropy:
    name: str

    def fingerprint(self) -> str:
        return self.name


@dataclass
class Room:
    """A data folder with its database, and one worker that is asked to work."""

    folder: Path
    repository: Repository
    accept: bool = False
    captures: bool = False
    seconds: float = 0.0
    serial: int = field(default=0)

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    @property
    def pipeline(self) -> Pipeline:
        protocol = SimpleNamespace(entropy=lambda instance, _frames, _said: Entropy(f"{instance.id}"))
        silent = SimpleNamespace(protocol=protocol, report_abstention=lambda *_: ())
        fakes: Any = {"examiner": NoHead(), "reporter": silent}
        return Pipeline(
            repository=self.repository,
            data_dir=self.folder,
            destinations=(),
            cine_frames=4,
            accept_corrections=self.accept,
            now=self.now,
            secondary_captures=self.captures,
            **fakes,
        )

    @property
    def queue(self) -> JobQueue:
        policy = QueuePolicy.of(QueueSection(lease_s=60, backoff_first_s=1, backoff_cap_s=10))
        return JobQueue(self.repository, policy, self.now, random.Random(1))

    def receive(self, dataset: FileDataset, keep_bytes: int | None = None) -> Path:
        """Store an object of UID, cut after so many bytes, as the receiver would."""
        self.serial += 1
        path = save(dataset, self.folder / f"{self.serial}.dcm")
        path.write_bytes(path.read_bytes()[:keep_bytes])
        self.repository.register(replace(image(UID, str(self.serial)), path=path.name), self.now())
        return path

    def work(self) -> bool:
        self.seconds += 10
        return worker.work_once(self.queue, self.pipeline, "w", 60)

    def settle(self) -> None:
        while self.work():
            pass

    def claim(self) -> Job:
        job = self.queue.claim("w")
        assert job is not None
        return job

    def relations(self) -> list[Relation]:
        return [version.relation for version in self.repository.versions(UID)]

    def answer(self, revision: int = 0) -> tuple[str, str | None] | None:
        result = self.repository.result_of(self.repository.versions(UID)[revision].id)
        return None if result is None else (result.status, result.reason)


@pytest.fixture
def room(tmp_path: Path) -> Any:
    repository = Repository.open(f"sqlite:///{tmp_path / 'node.sqlite3'}")
    repository.migrate()
    yield Room(tmp_path, repository)
    repository.close()


def scan(**attributes: Any) -> FileDataset:
    identity = {"SOPInstanceUID": UID, "StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.3", "PatientName": "Doe^Jane"}
    return us_image(PIXELS, REGION, **{**identity, **attributes})


def test_a_disk_that_does_not_answer_for_long_costs_no_image(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.receive(scan())
    real, failures = module.read_instance, iter(range(12))

    def ailing(path: Path, **_options: bool) -> Any:
        if next(failures, None) is not None:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return real(path)

    monkeypatch.setattr(module, "read_instance", ailing)
    room.settle()
    (job,) = room.repository.jobs((), 10)
    assert (job.state, job.attempts) == (JobState.DONE, 13)
    assert room.answer() == ("abstained", "no_head_found")
    assert room.repository.counts(room.now())["results"] == 1


def test_trouble_of_the_disk_is_named(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.receive(scan())

    def ailing(_path: Path, **_options: bool) -> Any:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(module, "read_instance", ailing)
    with pytest.raises(StorageUnavailable, match="read"):
        room.pipeline.run(room.claim())


def test_a_folder_that_is_away_for_long_costs_no_image(room: Room) -> None:
    path = room.receive(scan())
    away = path.rename(room.folder / "away")
    for _ in range(12):
        room.work()
    away.rename(path)
    room.settle()
    assert room.repository.jobs((), 10)[0].state is JobState.DONE


CUT = {"in the header": 300, "in the pixels": -500, "before the header": 140}


@pytest.mark.parametrize("first_is_answered", [True, False])
@pytest.mark.parametrize("keep", CUT.values(), ids=CUT.keys())
def test_a_whole_copy_of_a_damaged_object_is_measured(room: Room, keep: int, first_is_answered: bool) -> None:
    room.receive(scan(), keep_bytes=keep)
    if first_is_answered:
        room.settle()
        answer = room.answer()
        assert answer is not None
        assert answer[0] == "refused"
        room.receive(scan())
    else:
        room.receive(scan())
        damaged, job = room.claim(), room.claim()
        room.pipeline.run(job)
        room.pipeline.run(damaged)
    room.settle()
    assert room.relations() == [Relation.FIRST, Relation.REPLACEMENT]
    assert room.answer(1) == ("abstained", "no_head_found")


def test_a_damaged_copy_after_a_whole_one_is_kept_aside_with_its_reason(room: Room) -> None:
    room.receive(scan())
    room.settle()
    room.receive(scan(), keep_bytes=300)
    room.settle()
    room.receive(scan(), keep_bytes=-500)
    room.settle()
    assert room.relations() == [Relation.FIRST, Relation.CONFLICT, Relation.CONFLICT]
    assert {job.state for job in room.repository.jobs((), 10)} == {JobState.DONE}
    assert "send it again" in (room.repository.jobs((), 10)[1].error or "")
    assert room.answer(1) is None


def test_the_third_copy_of_two_damaged_ones_is_measured(room: Room) -> None:
    for keep in (300, -500, None):
        room.receive(scan(), keep_bytes=keep)
        room.settle()
    assert room.relations() == [Relation.FIRST, Relation.REPLACEMENT, Relation.REPLACEMENT]
    assert [room.answer(n) for n in range(3)] == [
        ("refused", "truncated"),
        ("refused", "truncated"),
        ("abstained", "no_head_found"),
    ]


def test_a_replaced_object_is_compared_with_its_replacement(room: Room) -> None:
    room.receive(scan(), keep_bytes=300)
    room.settle()
    for attributes in ({}, {"RetrieveAETitle": "PACS"}, {"PatientName": "Roe^Jane"}):
        room.receive(scan(**attributes))
        room.settle()
    assert room.relations()[2:] == [Relation.DUPLICATE, Relation.CORRECTION]


def test_a_copy_of_a_confirmed_correction_is_not_measured_again(room: Room) -> None:
    room.accept = True
    for attributes in ({}, {"PatientName": "Roe^Jane"}, {"PatientName": "Roe^Jane", "RetrieveAETitle": "PACS"}):
        room.receive(scan(**attributes))
        room.settle()
    assert room.relations() == [Relation.FIRST, Relation.CORRECTION, Relation.DUPLICATE]
    assert room.answer(2) is None


def test_a_correction_without_a_report_is_not_silent(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    room.accept = True
    room.receive(scan())
    room.settle()
    assert "pipeline.corrected_without_report" not in caplog.messages
    room.receive(scan(PatientName="Roe^Jane"))
    room.settle()
    assert "pipeline.corrected_without_report" in caplog.messages


def test_a_copy_of_the_first_after_a_cancelled_correction_is_a_duplicate(room: Room) -> None:
    room.receive(scan())
    room.settle()
    room.receive(scan(PatientName="Roe^Jane"))
    room.settle()
    (held,) = room.repository.jobs((JobState.HELD,), 2)
    room.repository.cancel_job(held.id, room.now())
    room.receive(scan(RetrieveAETitle="PACS"))
    room.settle()
    assert room.relations() == [Relation.FIRST, Relation.CORRECTION, Relation.DUPLICATE]


@pytest.mark.parametrize(
    ("captures", "answer"), [(False, ("refused", "unsupported_sop_class")), (True, ("abstained", "no_head_found"))]
)
def test_a_capture_is_looked_at_where_the_rule_says_so(room: Room, captures: bool, answer: tuple[str, str]) -> None:
    room.captures = captures
    room.receive(scan(SOPClassUID="1.2.840.10008.5.1.4.1.1.7"))
    room.settle()
    assert room.answer() == answer


@pytest.mark.parametrize("keyword", ["SeriesInstanceUID", "StudyInstanceUID"])
def test_an_image_that_no_result_could_refer_to_is_refused_by_name(room: Room, keyword: str) -> None:
    room.receive(scan(**{keyword: None}))
    room.settle()
    assert room.answer() == ("refused", "unreadable")


class Asked(NoHead):
    """An examiner that measures the region of every frame, and counts who asks why."""

    def __init__(self) -> None:
        self.explained: list[tuple[int, tuple[int, ...]]] = []
        self.compared: list[tuple[int, int]] = []

    def examine(self, frames: Any) -> Examination:
        findings = tuple(measurement(frame=frame.number, region=frame.regions[0].box) for frame in frames)
        together = consensus(findings) if len(findings) > 1 else None
        numbers = tuple(f.frame for f in findings)
        return Examination(findings, len(findings) - 1, numbers, MODEL, 0.0, consensus=together)

    def explain(self, frame: Any, head: Measurement) -> Explanation:
        self.explained.append((frame.number, frame.luminance.shape))
        return explanation(head)

    def differ(self, seen: Any, speaks: Measurement) -> Any:
        self.compared += [(frame.number, head.frame) for frame, head in seen]
        return np.full((speaks.region.rows, speaks.region.columns), 0.25, np.float32)


class Told(SimpleNamespace):
    """A reporter that makes nothing and keeps the evidence."""

    @property
    def explains(self) -> bool:
        return ResultKind.UNCERTAINTY in self.kinds

    def report(self, evidence: Any, *_: Any) -> tuple[()]:
        self.evidence = evidence
        return ()

    def report_abstention(self, looked: Any, *_: Any) -> tuple[()]:
        self.looked = looked
        return ()


@pytest.mark.parametrize("kinds", [(ResultKind.OVERLAY, ResultKind.UNCERTAINTY), (ResultKind.OVERLAY,), ()])
def test_the_network_is_asked_why_once_and_only_where_an_object_shows_it(
    room: Room, kinds: tuple[ResultKind, ...]
) -> None:
    examiner, reporter = Asked(), Told(protocol=room.pipeline.reporter.protocol, kinds=kinds)
    looks: Any = {"examiner": examiner, "reporter": reporter}
    room.receive(us_multiframe(np.stack([PIXELS] * 3), REGION, SOPInstanceUID=UID))
    replace(room.pipeline, **looks).run(room.claim())
    wanted = ResultKind.UNCERTAINTY in kinds
    assert examiner.explained == ([(3, PIXELS.shape)] if wanted else [])
    assert examiner.compared == ([(1, 1), (2, 2), (3, 3)] if wanted else [])
    told = reporter.evidence.explanation
    assert (None if told is None else (told.frames, told.deviation.min())) == ((3, 0.25) if wanted else None)


def test_of_a_still_the_doubt_is_its_own(room: Room) -> None:
    examiner, reporter = Asked(), Told(protocol=room.pipeline.reporter.protocol, kinds=(ResultKind.UNCERTAINTY,))
    looks: Any = {"examiner": examiner, "reporter": reporter}
    room.receive(scan())
    replace(room.pipeline, **looks).run(room.claim())
    assert (len(examiner.explained), examiner.compared, reporter.evidence.explanation.frames) == (1, [], 0)


@pytest.mark.parametrize(
    ("frames", "kind"), [(3, ResultKind.CINE_OVERLAY), (3, ResultKind.OVERLAY), (1, ResultKind.CINE_OVERLAY)]
)
def test_the_examined_frames_are_handed_on_only_for_a_cine_and_where_an_object_shows_them(
    room: Room, frames: int, kind: ResultKind
) -> None:
    reporter = Told(protocol=room.pipeline.reporter.protocol, kinds=(kind,))
    looks: Any = {"examiner": Asked(), "reporter": reporter}
    room.receive(us_multiframe(np.stack([PIXELS] * frames), REGION, SOPInstanceUID=UID))
    replace(room.pipeline, **looks).run(room.claim())
    cine, together = reporter.evidence.cine, reporter.evidence.together
    assert (None if together is None else together.frames_used) == ((1, 2, 3) if frames == 3 else None)
    if frames == 1 or kind is not ResultKind.CINE_OVERLAY:
        assert cine is None
    else:
        assert [finding.frame for finding in cine.findings] == [1, 2, 3]
        assert (cine.chosen, cine.picture(2).shape) == (2, (*PIXELS.shape[:2], 3))


def test_a_look_without_a_number_is_offered_to_the_reporter(room: Room) -> None:
    reporter = Told(protocol=room.pipeline.reporter.protocol, kinds=())
    looks: Any = {"reporter": reporter}
    room.receive(us_image(PIXELS, REGION, SOPInstanceUID=UID))
    replace(room.pipeline, **looks).run(room.claim())
    assert reporter.looked.abstention.reason is Reason.NO_HEAD_FOUND
    assert reporter.looked.source.SOPInstanceUID == UID


# --- rules -----------------------------------------------------------------------------------------------------------

ENTRY: Any = SimpleNamespace(identity=ModelIdentity("other", "1" * 64), sha256="1" * 64)
PACS = Destination("pacs", "PACS", "h", 104, (ResultKind.TID1500,))
ROOM_1 = Destination("room1", "ROOM1", "h", 104, (ResultKind.PDF,))


def routed_pipeline(room: Room, *routes: Route) -> Pipeline:
    """The pipeline that does a job on these routes."""
    reporter = Reporter(room.folder, equipment("0.1.0", "S"), Protocol(ENTRY, "cpu", (), "0.1.0"), 901, IMAGE_OBJECTS)
    parts: Any = {"reporter": reporter, "destinations": (PACS, ROOM_1)}
    return replace(room.pipeline, **parts)._on(routes)


def test_results_go_where_the_rule_says_and_only_those_are_made(room: Room) -> None:
    route = Route(("r",), send=(("pacs", (ResultKind.TID5000, ResultKind.ORIGINAL)),))
    pipeline = routed_pipeline(room, route)
    assert [(d.name, d.objects) for d in pipeline.destinations] == [
        ("pacs", (ResultKind.TID5000, ResultKind.ORIGINAL)),
    ]
    assert pipeline.reporter.kinds == {ResultKind.TID5000, ResultKind.ORIGINAL}


def test_an_image_without_a_rule_goes_its_usual_way(room: Room) -> None:
    pipeline = routed_pipeline(room, USUAL_ROUTE)
    assert pipeline.destinations == (PACS, ROOM_1)
    assert pipeline.reporter.kinds == IMAGE_OBJECTS
    assert not pipeline.secondary_captures


def test_a_study_of_two_routes_gets_what_either_gets(room: Room) -> None:
    pipeline = routed_pipeline(room, Route(("r",), send=(("room1", (ResultKind.STUDY_SR,)),)), USUAL_ROUTE)
    assert [(d.name, set(d.objects)) for d in pipeline.destinations] == [
        ("pacs", {ResultKind.TID1500}),
        ("room1", {ResultKind.PDF, ResultKind.STUDY_SR}),
    ]
    assert set(pipeline.reporter.kinds) == {*IMAGE_OBJECTS, ResultKind.TID1500, ResultKind.PDF, ResultKind.STUDY_SR}


def test_a_capture_that_a_rule_wants_measured_is_looked_at(room: Room) -> None:
    capture = us_image(PIXELS, REGION, SOPInstanceUID=UID, SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    path = save(capture, room.folder / "capture.dcm")
    wanted = Route(("r",), action=Action.MEASURE)
    room.repository.register(replace(image(UID, "1"), path=path.name, route=wanted), room.now())
    room.settle()
    result = room.repository.result_of(1)
    assert result is not None
    assert (result.status, result.reason) == ("abstained", "no_head_found")


def test_the_model_of_a_rule_measures_and_signs(room: Room) -> None:
    other: Any = NoHead()
    asked: list[str] = []

    def model(name: str) -> Engine:
        asked.append(name)
        return Engine(other, ENTRY)

    room_with_models = replace(routed_pipeline(room, USUAL_ROUTE), other_model=model)
    pipeline = room_with_models._on([Route(("r",), model="other")])
    assert (pipeline.examiner, pipeline.reporter.protocol.model) == (other, ENTRY)
    assert room_with_models._on([Route(("r",), model="other"), USUAL_ROUTE]).examiner is room_with_models.examiner
    assert asked == ["other"]


def test_a_model_that_is_not_there_fails_the_job_and_no_other_measures(room: Room) -> None:
    path = save(us_image(PIXELS, REGION, SOPInstanceUID=UID), room.folder / "image.dcm")
    route = Route(("r",), model="gone")
    room.repository.register(replace(image(UID, "1"), path=path.name, route=route), room.now())
    room.work()
    assert room.repository.result_of(1) is None
    (job,) = room.repository.jobs((), 10)
    assert "gone" in str(job.error)
