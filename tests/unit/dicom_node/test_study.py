"""From the answers of a study's images to its report, on real files and rows; nothing is measured again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from dicom_node import worker
from dicom_node.answers import examined
from dicom_node.config import QueueSection
from dicom_node.domain import (
    USUAL_OBJECTS,
    DeliveryState,
    Destination,
    Job,
    JobKind,
    JobState,
    NewResult,
    Quiet,
    Relation,
    ResultKind,
    StudyResult,
)
from dicom_node.independent_age import SOURCES
from dicom_node.pipeline import Pipeline
from dicom_node.queue import JobQueue, QueuePolicy
from dicom_node.reporting import Protocol, Reporter
from dicom_node.storage.files import RESULTS, make_folder
from dicom_node.storage.repository import Repository
from dicom_node.study_reports import StudyReports
from inference.agreement import Choice, choose
from inference.domain import (
    Abstention,
    CalibrationSource,
    Consensus,
    Examination,
    Explanation,
    Finding,
    Measurement,
    ModelIdentity,
    Reason,
    RegionPx,
)
from sr_templates.report import Further
from sr_templates.study_page import build_study_pdf
from sr_templates.uids import equipment
from tests.attempts import taken
from tests.machine_report import FETUSES, LMP, biometry, day, hc, machine_report, number
from tests.reports import SHA256, agreed, explanation, measurement, picture
from tests.ultrasound import save, us_image, us_multiframe, us_region
from tests.unit.dicom_node.storage.rooms import START, claimed, image
from tests.unit.dicom_node.test_study_reports import receive

MODEL = ModelIdentity("efficientnet-lite0-unet", SHA256)
STUDY = "1.2.3"
PACS = Destination("pacs", "PACS", "localhost", 104, USUAL_OBJECTS)
BOX = (40, 30, 299, 219)


@dataclass
class Room:
    """A data folder, its database and a worker; the answers of images are written, not found."""

    folder: Path
    repository: Repository
    seconds: float = 0.0
    kinds: tuple[ResultKind, ...] = USUAL_OBJECTS
    serial: int = field(default=0)
    syntax: UID = ExplicitVRLittleEndian

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    @property
    def pipeline(self) -> Pipeline:
        entry: Any = SimpleNamespace(
            identity=MODEL,
            sha256=SHA256,
            calibration_sha256="c",
            weak_sizes=(),
            interval=SimpleNamespace(coverage=0.95),
        )
        protocol = Protocol(entry, "torch-cpu/fp32", (("page_size", "a4"),), "0.1.0")
        make_folder(self.folder / RESULTS)
        nobody: Any = None
        return Pipeline(
            repository=self.repository,
            data_dir=self.folder,
            examiner=nobody,
            reporter=Reporter(self.folder, equipment("0.1.0", "SERIAL"), protocol, 901, self.kinds),
            destinations=(PACS,),
            cine_frames=4,
            accept_corrections=False,
            study_reports=StudyReports(self.repository, self.folder, SOURCES, compare_hc=True),
            now=self.now,
        )

    def receive(self, uid: str, frames: int = 1, **attributes: Any) -> None:
        """An image of the study arrives; of several `frames` a cine."""
        self.serial += 1
        region, named = [us_region(BOX, (0.05, 0.05))], {"SOPInstanceUID": uid, "StudyInstanceUID": STUDY}
        cine = np.stack([picture()] * frames)
        scan = us_image(cine[0], region, **named) if frames == 1 else us_multiframe(cine, region, **named)
        scan.InstanceNumber = self.serial
        scan.update(source_of(attributes))
        scan.file_meta.TransferSyntaxUID = self.syntax
        path = save(scan, self.folder / f"{self.serial}.dcm")
        self.repository.register(replace(image(uid, str(self.serial)), path=path.name), self.now())

    def answer(
        self, *findings: Finding, objection: Abstention | None = None, together: Consensus | None = None
    ) -> None:
        """What the next job's image is said to show."""
        job = claimed(self.repository, self.now())
        looked = Examination(findings, 0, tuple(f.frame for f in findings), MODEL, 0.5, objection, together)
        said = examined(None, "uid", looked)
        made = NewResult(f"f{job.instance_id}", said["status"], said["reason"], json.dumps(said), ())
        self.repository.commit_result(job, made, (PACS,), self.now())

    def measured(self, uid: str, hc_mm: float = 197.1, **attributes: Any) -> None:
        self.receive(uid, **attributes)
        self.answer(measurement(hc_mm=hc_mm))

    def study_job(self) -> Job:
        self.seconds += 1000
        assert self.repository.enqueue_quiet_studies(Quiet(90), self.now()) == 1
        job = claimed(self.repository, self.now())
        assert job.kind is JobKind.STUDY
        return job

    def report(self) -> StudyResult:
        """Once the study is quiet, its job is done; the newest version."""
        self.pipeline.run(self.study_job())
        return self.repository.study_results(STUDY)[-1]

    def deliver(self) -> None:
        """Everything that waits arrives."""
        for delivery in self.repository.claim_deliveries("courier", 60.0, 99, self.now(), PACS.name):
            self.repository.mark_sent(delivery, taken(), self.now())

    def read(self, result: StudyResult, kind: ResultKind) -> Dataset:
        (path,) = (stored.path for stored in result.objects if stored.kind is kind)
        return dcmread(self.folder / path)


def open_files() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def source_of(attributes: dict[str, Any]) -> Dataset:
    ds = Dataset()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def nothing(reason: Reason) -> Abstention:
    return Abstention(1, None, None, CalibrationSource.NONE, reason, "", None, None)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database to copy; migrating for every test would take longer than the tests."""
    path = tmp_path_factory.mktemp("database") / "node.sqlite3"
    repository = Repository.open(f"sqlite:///{path}")
    repository.migrate()
    repository.close()
    return path.read_bytes()


@pytest.fixture
def room(tmp_path: Path, migrated: bytes) -> Iterator[Room]:
    (tmp_path / "node.sqlite3").write_bytes(migrated)
    repository = Repository.open(f"sqlite:///{tmp_path / 'node.sqlite3'}")
    yield Room(tmp_path, repository)
    repository.close()


def said(result: StudyResult) -> dict[str, Any]:
    return dict(json.loads(result.document))


def test_the_answers_of_the_images_become_one_report(room: Room) -> None:
    room.measured("1.1", 197.1)
    room.measured("1.2", 198.2)
    result = room.report()
    assert (result.status, result.reason) == ("measured", None)
    assert {o.kind for o in result.objects} == {ResultKind.STUDY_SR, ResultKind.STUDY_PDF}
    told = said(result)
    assert [(c["sop_instance_uid"], c["hc_mm"]) for c in told["candidates"]] == [("1.1", 197.1), ("1.2", 198.2)]
    assert told["selected"] == told["candidates"][1], "5.0 mm of 198.2 mm are the smaller share"
    sr = room.read(result, ResultKind.STUDY_SR)
    assert (sr.StudyInstanceUID, sr.InstanceNumber) == (STUDY, 1)


def test_the_overlay_of_the_selected_image_belongs_to_that_image(room: Room) -> None:
    room.measured("1.1")
    room.report()
    (overlay,) = room.repository.objects_of(room.repository.versions("1.1")[0].id)
    assert overlay.kind is ResultKind.OVERLAY
    assert dcmread(room.folder / overlay.path).SourceImageSequence[0].ReferencedSOPInstanceUID == "1.1"
    sent = {d.kind for d in room.repository.deliveries((DeliveryState.PENDING,), 9)}
    assert sent == {ResultKind.STUDY_SR, ResultKind.STUDY_PDF, ResultKind.OVERLAY}


def test_an_overlay_that_is_stored_is_not_drawn_again(room: Room) -> None:
    room.measured("1.1", 198.2)
    room.report()
    room.measured("1.2", 197.1)
    files = len(list((room.folder / "results").rglob("*.dcm")))
    assert said(room.report())["selected"]["sop_instance_uid"] == "1.1"
    assert len(list((room.folder / "results").rglob("*.dcm"))) == files + 2


def test_nothing_is_drawn_that_nobody_wants(room: Room) -> None:
    room.kinds = (ResultKind.TID1500,)
    room.measured("1.1")
    result = room.report()
    assert (result.status, result.objects) == ("measured", ())
    assert not list((room.folder / RESULTS).iterdir())


def test_a_late_image_makes_a_version_that_names_its_predecessor(room: Room) -> None:
    room.measured("1.1")
    first = room.read(room.report(), ResultKind.STUDY_SR)
    room.deliver()
    room.measured("1.2")
    second = room.read(room.report(), ResultKind.STUDY_SR)
    (named,) = second.PredecessorDocumentsSequence
    assert named.ReferencedSeriesSequence[0].SeriesInstanceUID == first.SeriesInstanceUID
    reference = named.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == first.SOPInstanceUID != second.SOPInstanceUID


def test_the_work_done_twice_gives_the_same_objects(room: Room) -> None:
    """A worker that is killed before the commit leaves files and no row; the next one makes the same again."""
    room.measured("1.1")
    job = room.study_job()
    pipeline = room.pipeline
    made: list[list[str]] = []

    class Killed(Exception):
        pass

    def killed(_job: Job, result: Any, *_: Any) -> bool:
        made.append([new.sop_instance_uid for new in (*result.answer.objects, result.overlay)])
        raise Killed

    broken: Any = SimpleNamespace(
        commit_study=killed,
        study_version=room.repository.study_version,
        study_predecessor_objects=room.repository.study_predecessor_objects,
        predecessor_objects=room.repository.predecessor_objects,
        objects_of=room.repository.objects_of,
    )
    for _ in range(2):
        with pytest.raises(Killed):
            replace(pipeline, repository=broken).run(job)
    pipeline.run(job)
    (result,) = room.repository.study_results(STUDY)
    (overlay,) = room.repository.objects_of(room.repository.versions("1.1")[0].id)
    stored = [o.sop_instance_uid for o in (*result.objects, overlay)]
    assert made == [stored, stored]


def numbers(sr: Dataset, code: str) -> list[str]:
    """Numeric values of all items of that name."""
    found = []
    for child in sr.get("ContentSequence") or ():
        name = child.get("ConceptNameCodeSequence")
        if name and name[0].CodeValue == code and "MeasuredValueSequence" in child:
            found.append(str(child.MeasuredValueSequence[0].NumericValue))
        found += numbers(child, code)
    return found


@pytest.mark.parametrize("wanted", [True, False])
def test_the_page_tells_why_by_a_second_look_only_where_it_is_wanted(room: Room, wanted: bool) -> None:
    room.measured("1.1")
    asked: list[tuple[int, float]] = []

    def explain(frame: Any, head: Measurement) -> Explanation:
        asked.append((frame.number, head.hc_mm))
        return explanation(head)

    examiner: Any = SimpleNamespace(explain=explain)
    pipeline = room.pipeline
    reporter = replace(pipeline.reporter, pdf_pictures=wanted)
    replace(pipeline, examiner=examiner, reporter=reporter).run(room.study_job())
    assert asked == ([(1, 197.1)] if wanted else [])
    (result,) = room.repository.study_results(STUDY)
    assert {o.kind for o in result.objects} == {ResultKind.STUDY_SR, ResultKind.STUDY_PDF}


def test_the_page_of_a_cine_shows_its_frames(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Further] = []

    def built(_study: Any, _picture: Any, further: Further) -> Dataset:
        told.append(further)
        return build_study_pdf(_study, _picture, further)

    monkeypatch.setattr("dicom_node.reporting.build_study_pdf", built)
    room.receive("1.1")
    frames = (measurement(), measurement(frame=2, hc_mm=198.0), measurement(frame=3, hc_mm=197.5))
    room.answer(*frames)
    room.report()
    assert told[0].frames == frames


def test_the_page_of_a_cine_shows_how_far_its_frames_differ_not_one_frames_own_doubt(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Further] = []

    def built(_study: Any, _picture: Any, further: Further) -> Dataset:
        told.append(further)
        return build_study_pdf(_study, _picture, further)

    compared: list[tuple[int, float]] = []

    def differ(seen: Any, speaks: Measurement) -> Any:
        compared.extend((frame.number, head.hc_mm) for frame, head in seen)
        return np.full((speaks.region.rows, speaks.region.columns), 0.25, np.float32)

    monkeypatch.setattr("dicom_node.reporting.build_study_pdf", built)
    room.receive("1.1", frames=4)
    frames = (measurement(), measurement(frame=2, hc_mm=150.0), measurement(frame=3, hc_mm=197.5), measurement(frame=4))
    together = agreed(frames)
    assert together.frames_used == (1, 3, 4), "the second strays"
    room.answer(*frames, together=together)
    examiner: Any = SimpleNamespace(explain=lambda _, head: explanation(head), differ=differ)
    pipeline = room.pipeline
    reporter = replace(pipeline.reporter, pdf_pictures=True)
    replace(pipeline, examiner=examiner, reporter=reporter).run(room.study_job())
    assert compared == [(1, 197.1), (3, 197.5), (4, 197.1)]
    (why,) = [further.explanation for further in told]
    assert why is not None
    assert (why.frames, why.deviation.min()) == (3, 0.25)


def test_the_machines_report_that_comes_after_the_images_is_heard(room: Room) -> None:
    room.measured("1.1")
    receive(room.repository, room.folder, "1.7", machine_report([day(LMP, "20250815")], biometry(hc("195.0"))), STUDY)
    sr = room.read(room.report(), ResultKind.STUDY_SR)
    assert numbers(sr, "11885-1") == ["140"]
    assert any("195.0 mm" in str(e.value) for e in sr.iterall() if e.keyword == "TextValue")
    (evidence,) = sr.CurrentRequestedProcedureEvidenceSequence
    named = {o.ReferencedSOPInstanceUID for s in evidence.ReferencedSeriesSequence for o in s.ReferencedSOPSequence}
    assert named == {"1.1", "1.7"}


def test_an_independent_age_is_said_of_the_head_that_speaks_and_of_nobody_where_none_does(room: Room) -> None:
    room.measured("1.1", LastMenstrualDate="20250815")
    assert numbers(room.read(room.report(), ResultKind.STUDY_SR), "11885-1") == ["140"]
    room.measured("1.2", 250.0, LastMenstrualDate="20250815")
    assert numbers(room.read(room.report(), ResultKind.STUDY_SR), "11885-1") == []


def test_values_that_disagree_are_reported_without_a_selection(room: Room) -> None:
    room.measured("1.1", 197.1)
    room.measured("1.2", 250.0)
    result = room.report()
    assert (result.status, result.reason) == ("abstained", "fetus_not_identified")
    assert said(result)["selected"] is None
    assert len(said(result)["candidates"]) == 2
    assert {o.kind for o in result.objects} == {ResultKind.STUDY_SR, ResultKind.STUDY_PDF}
    assert room.repository.objects_of(room.repository.versions("1.1")[0].id) == (), "nobody's outline"


def test_two_regions_of_one_image_that_disagree_are_both_listed(room: Room) -> None:
    room.receive("1.1")
    left, right = measurement(), measurement(hc_mm=250.0, region=RegionPx(0, 0, 30, 30))
    room.answer(left, right, objection=nothing(Reason.REGIONS_DISAGREE))
    result = room.report()
    assert result.reason == "fetus_not_identified"
    assert [c["hc_mm"] for c in said(result)["candidates"]] == [197.1, 250.0]
    assert said(result)["several_heads"] == ["1.1"]


def test_twins_of_one_size_are_not_one_fetus_where_the_machines_report_knows_it(room: Room) -> None:
    room.measured("1.1", 197.1, LastMenstrualDate="20250815")
    room.measured("1.2", 198.2, LastMenstrualDate="20250815")
    twins = machine_report([day(LMP, "20250815"), number(FETUSES, "2", "1")], biometry(hc("197.0")))
    receive(room.repository, room.folder, "1.7", twins, STUDY)
    result = room.report()
    assert (result.status, result.reason) == ("abstained", "fetus_not_identified")
    assert (said(result)["selected"], said(result)["several_fetuses"]) == (None, True)
    assert len(said(result)["candidates"]) == 2
    sr = room.read(result, ResultKind.STUDY_SR)
    texts = [str(e.value) for e in sr.iterall() if e.keyword == "TextValue"]
    assert "The machine's report is about more than one fetus." in texts
    assert numbers(sr, "11885-1") == []
    (evidence,) = sr.CurrentRequestedProcedureEvidenceSequence
    named = {o.ReferencedSOPInstanceUID for s in evidence.ReferencedSeriesSequence for o in s.ReferencedSOPSequence}
    assert "1.7" in named
    assert room.repository.objects_of(room.repository.versions("1.1")[0].id) == (), "nobody's outline"


def test_an_image_of_two_heads_leaves_the_others_unselected(room: Room) -> None:
    room.measured("1.1")
    room.receive("1.2")
    room.answer(nothing(Reason.TWO_HEADS))
    result = room.report()
    assert (result.reason, said(result)["several_heads"]) == ("fetus_not_identified", ["1.2"])
    assert len(said(result)["candidates"]) == 1


def test_only_two_heads_without_hc_are_nothing_to_report(room: Room) -> None:
    room.receive("1.1")
    room.answer(nothing(Reason.TWO_HEADS))
    result = room.report()
    assert (result.reason, result.objects) == ("fetus_not_identified", ())


@pytest.mark.parametrize("other", [{"PatientID": "P-2"}, {"PatientName": "Roe^Jane"}, {"PatientBirthDate": "19800101"}])
def test_images_of_different_patients_are_never_reported_together(
    room: Room, other: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    room.measured("1.1")
    room.measured("1.2", **other)
    result = room.report()
    assert (result.status, result.reason, result.objects) == ("abstained", "patients_disagree", ())
    assert said(result)["selected"] is None
    (warned,) = (record for record in caplog.records if record.message == "study.patients_disagree")
    assert vars(warned)["what"] == next(iter(other)), "somebody should know, and know where to look"


def test_an_image_that_says_it_is_of_another_study_is_not_reported_with_this_one(room: Room) -> None:
    room.measured("1.1")
    room.measured("1.2", StudyInstanceUID="1.2.99")
    result = room.report()
    assert (result.reason, result.objects) == ("patients_disagree", ())


def test_one_patient_written_differently_by_two_machines_is_reported(room: Room) -> None:
    room.measured("1.1", PatientName="Doe^Jane", PatientBirthDate="", IssuerOfPatientID="HOSPITAL")
    room.measured("1.2", PatientName="DOE^JANE^^", PatientBirthDate="19900101")
    result = room.report()
    assert (result.status, len(said(result)["candidates"])) == ("measured", 2)


def test_a_report_that_nothing_replaces_is_not_withdrawn_silently(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    room.measured("1.1")
    room.report()
    room.deliver()
    room.receive("1.1", PatientName="Roe^Jane")
    room.repository.reconcile(claimed(room.repository, room.now()), Relation.CORRECTION, accept=True, now=room.now())
    room.answer(nothing(Reason.NO_HEAD_FOUND))
    assert "study.withdrawn" not in caplog.messages
    result = room.report()
    assert (result.reason, result.objects) == ("no_candidate", ())
    assert "study.withdrawn" in caplog.messages


def test_the_corrected_name_stands_in_the_next_report(room: Room) -> None:
    room.measured("1.1", PatientName="Wrong^Name")
    room.report()
    room.deliver()
    room.receive("1.1", PatientName="Right^Name")
    room.repository.reconcile(claimed(room.repository, room.now()), Relation.CORRECTION, accept=True, now=room.now())
    room.answer(measurement())
    result = room.report()
    assert str(room.read(result, ResultKind.STUDY_SR).PatientName) == "Right^Name"
    assert "PredecessorDocumentsSequence" in room.read(result, ResultKind.STUDY_SR)


def test_only_the_image_that_speaks_is_opened_for_its_picture(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deflated object is inflated into a file of its own, which stays open as long as somebody may want a frame."""
    opened: list[int] = []

    def chosen(*heads: Any) -> Choice:
        opened.append(open_files())
        return choose(*heads)

    room.syntax = DeflatedExplicitVRLittleEndian
    monkeypatch.setattr("dicom_node.study.choose", chosen)
    for place in range(8):
        room.measured(f"1.{place}")
    job = room.study_job()
    before = open_files()
    room.pipeline.run(job)
    assert opened[0] - before < 8
    assert room.repository.study_results(STUDY)[0].status == "measured"


def test_a_version_that_was_overtaken_leaves_no_row(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    room.measured("1.1")
    job = room.study_job()
    room.receive("1.2")
    room.pipeline.run(job)
    assert room.repository.study_results(STUDY) == ()
    assert "study.overtaken" in caplog.messages


def test_numbers_of_another_model_keep_its_name_and_promise_nothing(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.measured("1.1")
    older = ModelIdentity("an-older-one", "cd" * 32)
    with monkeypatch.context() as patch:
        patch.setattr("tests.unit.dicom_node.test_study.MODEL", older)
        room.measured("1.2", 198.2)
    sr = room.read(room.report(), ResultKind.STUDY_SR)
    texts = {str(element.value) for element in sr.iterall() if element.keyword == "TextValue"}
    assert {"an-older-one", MODEL.name} <= texts
    assert not [text for text in texts if "95 % interval" in text]


def test_the_worker_finds_the_job_of_a_study_in_its_queue(room: Room) -> None:
    room.measured("1.1")
    room.seconds += 1000
    assert room.repository.enqueue_quiet_studies(Quiet(90), room.now()) == 1
    queue = JobQueue(room.repository, QueuePolicy.of(QueueSection()), room.now)
    assert worker.work_once(queue, room.pipeline, "w", 60.0)
    assert room.repository.jobs((), 1)[0].state is JobState.DONE
    assert len(room.repository.study_results(STUDY)) == 1
