"""The machine's report is read where it is wanted: the newest one of the same study and patient that can be read."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import (
    UID,
    ComprehensiveSRStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicom_node.domain import InstanceRef
from dicom_node.errors import InstanceRefused
from dicom_node.independent_age import SOURCES
from dicom_node.operator_values import LAST_OF_START, NOTHING_SAID
from dicom_node.part10 import Part10File, read_part10, read_start
from dicom_node.storage.repository import Repository
from dicom_node.study_reports import StudyReports
from inference.domain import AgeSource, OperatorHc, Reason
from sr_templates.uids import UID_ROOT
from tests.machine_report import LMP, biometry, day, hc, machine_report
from tests.ultrasound import save
from tests.unit.dicom_node.storage.rooms import START, image

STUDY = "1.2.3"


@pytest.fixture
def repository(tmp_path: Path) -> Any:
    opened = Repository.open(f"sqlite:///{tmp_path / 'node.sqlite3'}")
    opened.migrate()
    yield opened
    opened.close()


def receive(repository: Repository, folder: Path, uid: str, report: Dataset | None, study: str = STUDY) -> InstanceRef:
    """Store a report (None: a file that is none) as the receiver would."""
    path = folder / f"{uid}.dcm"
    if report is None:
        path.write_bytes(b"not a report")
    else:
        report.SOPInstanceUID = report.file_meta.MediaStorageSOPInstanceUID = uid
        save(report, path)
    new = replace(
        image(uid, uid, measurable=False),
        path=path.name,
        study_instance_uid=study,
        sop_class_uid=ComprehensiveSRStorage,
    )
    repository.register(new, START)
    return repository.versions(uid)[0]


def measured(repository: Repository) -> InstanceRef:
    repository.register(replace(image("1.9"), study_instance_uid=STUDY), START)
    return repository.versions("1.9")[0]


def header(patient: str = "P-1001") -> Dataset:
    made = Dataset()
    made.PatientID = patient
    return made


def test_dates_and_hc_of_the_newest_report_that_can_be_read(repository: Repository, tmp_path: Path) -> None:
    receive(repository, tmp_path, "1.1", machine_report([day(LMP, "20250815")], biometry(hc("195"))))
    receive(repository, tmp_path, "1.2", None)
    receive(repository, tmp_path, "1.3", machine_report((), biometry(hc("199")), ContentTime="080000"))
    receive(repository, tmp_path, "1.4", machine_report((), biometry(hc("180"))), study="1.2.4")
    said = StudyReports(repository, tmp_path, SOURCES, True).said_beside(measured(repository), header())
    assert (said.lmp, said.hc) == (date(2025, 8, 15), OperatorHc(195.0, "1.1"))


def test_another_patient_s_report_in_the_study_is_not_asked(repository: Repository, tmp_path: Path) -> None:
    receive(repository, tmp_path, "1.1", machine_report((), biometry(hc("195"))))
    reports = StudyReports(repository, tmp_path, SOURCES, True)
    assert reports.said_beside(measured(repository), header("P-2")) == NOTHING_SAID


def test_what_the_configuration_does_not_want_is_not_said(repository: Repository, tmp_path: Path) -> None:
    receive(repository, tmp_path, "1.1", machine_report([day(LMP, "20250815")], biometry(hc("195"))))
    instance = measured(repository)
    ages_only = StudyReports(repository, tmp_path, SOURCES, False).said_beside(instance, header())
    assert (ages_only.lmp, ages_only.hc) == (date(2025, 8, 15), None)
    neither = StudyReports(repository, tmp_path, [AgeSource.LAST_MENSTRUAL_DATE], False)
    assert neither.said_beside(instance, header()) == NOTHING_SAID


def test_a_study_without_reports_says_nothing(repository: Repository, tmp_path: Path) -> None:
    assert StudyReports(repository, tmp_path, SOURCES, True).said_beside(measured(repository), header()) == NOTHING_SAID


def test_other_versions_of_a_report_wait_for_their_comparison(repository: Repository, tmp_path: Path) -> None:
    receive(repository, tmp_path, "1.1", machine_report((), biometry(hc("195"))))
    other = replace(
        image("1.1", "other", measurable=False), study_instance_uid=STUDY, sop_class_uid=ComprehensiveSRStorage
    )
    repository.register(other, START)
    (standing,) = repository.reports_of_study(STUDY, 50)
    assert standing.revision == 0


def test_so_many_reports_and_no_more(repository: Repository, tmp_path: Path) -> None:
    for uid in ("1.1", "1.2", "1.3"):
        receive(repository, tmp_path, uid, machine_report())
    assert [each.sop_instance_uid for each in repository.reports_of_study(STUDY, 2)] == ["1.2", "1.3"]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_only_the_newest_report_is_read_as_a_whole_and_only_once(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, syntax: UID
) -> None:
    """A machine sends it again after every image; each image would read all of them."""
    read: list[str] = []

    def reading(path: Path) -> Part10File:
        read.append(path.stem)
        return read_part10(path)

    monkeypatch.setattr("dicom_node.study_reports.read_part10", reading)
    for number in range(1, 6):
        made = machine_report((), biometry(hc(f"19{number}")), ContentTime=f"09{60 - number}00")
        made.file_meta.TransferSyntaxUID = syntax
        receive(repository, tmp_path, f"1.{number}", made)
    instance, reports = measured(repository), StudyReports(repository, tmp_path, SOURCES, True)
    said = [reports.said_beside(instance, header()).hc for _ in range(3)]
    assert said == [OperatorHc(191.0, "1.1")] * 3
    assert read == ["1.1"]


def test_a_newest_report_that_breaks_off_gives_way_to_the_one_before(
    repository: Repository, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receive(repository, tmp_path, "1.1", machine_report((), biometry(hc("195"))))
    receive(repository, tmp_path, "1.2", machine_report((), biometry(hc("199")), ContentTime="094500"))
    path = tmp_path / "1.2.dcm"
    path.write_bytes(path.read_bytes()[:-40])
    said = StudyReports(repository, tmp_path, SOURCES, True).said_beside(measured(repository), header())
    assert said.hc == OperatorHc(195.0, "1.1")
    assert "report.not_read" in caplog.messages


def test_our_own_reports_that_an_archive_sends_back_take_no_place(repository: Repository, tmp_path: Path) -> None:
    receive(repository, tmp_path, "1.1", machine_report((), biometry(hc("195"))))
    for number in range(3):
        receive(repository, tmp_path, f"{UID_ROOT}.{number}", machine_report())
    assert [each.sop_instance_uid for each in repository.reports_of_study(STUDY, 2)] == ["1.1"]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_the_start_of_a_file_says_what_the_whole_says(tmp_path: Path, syntax: UID) -> None:
    made = machine_report((), biometry(hc("195")), SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Zoë")
    made.file_meta.TransferSyntaxUID = syntax
    path = save(made, tmp_path / "report.dcm")
    whole, start = read_part10(path).header, read_start(path, LAST_OF_START)
    assert start == Dataset({tag: whole[tag] for tag in whole.keys() if tag <= LAST_OF_START})  # noqa: SIM118
    assert start.ConceptNameCodeSequence[0].CodeValue == "125000"
    assert str(start.PatientName) == "Müller^Zoë"


@pytest.mark.parametrize(("keep", "reason"), [(0, Reason.EMPTY_FILE), (100, Reason.TRUNCATED), (700, None), (-1, None)])
def test_the_start_of_a_damaged_file_is_read_or_refused_by_name(
    tmp_path: Path, keep: int, reason: Reason | None
) -> None:
    path = save(machine_report((), biometry(hc("195"))), tmp_path / "report.dcm")
    path.write_bytes(path.read_bytes()[:keep])
    if reason is None:
        assert read_start(path, LAST_OF_START).PatientID == "P-1001"
        return
    with pytest.raises(InstanceRefused) as refused:
        read_start(path, LAST_OF_START)
    assert refused.value.reason is reason
