"""The objects of one measurement on disk: those that are wanted, in a fixed order, each naming the one it replaces."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage

from dicom_node.domain import EXPLANATIONS, NewObject, ResultKind, StoredObject
from dicom_node.reporting import Evidence, NotMeasured, Reporter, StudyEvidence
from dicom_node.storage.files import RESULTS, make_folder
from inference.agreement import choose
from inference.domain import Abstention, ModelIdentity, Reason
from sr_templates.report import Narrative, ReportInput, SrClass
from sr_templates.tid5000 import Candidate
from sr_templates.uids import StudyEntropy, UidEntropy, equipment
from tests.reports import CREATED, SHA256, abstention, cine, explanation, frames, measurement, picture, source

TITLES = {ResultKind.TID1500: "126000", ResultKind.TID5000: "125000"}


def reporter(folder: Path, kinds: Collection[ResultKind]) -> Reporter:
    model = SimpleNamespace(identity=ModelIdentity("model", SHA256), interval=None)
    protocol: Any = SimpleNamespace(model=model, coverage=lambda _model: None)
    make_folder(folder / RESULTS)
    return Reporter(folder, equipment("0.1.0", "SERIAL"), protocol, 901, kinds)


def entropy(header: Dataset, revision: int = 0) -> UidEntropy:
    return UidEntropy(header.StudyInstanceUID, header.SOPInstanceUID, revision, (1,), SHA256, "0.1.0", "torch-cpu/fp32")


def made(
    folder: Path, kinds: Collection[ResultKind], header: Dataset, earlier: tuple[StoredObject, ...] = ()
) -> tuple[NewObject, ...]:
    evidence = Evidence(header, measurement(), picture(), explanation(), cine())
    return reporter(folder, kinds).report(evidence, entropy(header, len(earlier)), earlier, CREATED)


@pytest.mark.parametrize(
    "kinds",
    [
        (),
        (ResultKind.TID5000,),
        (ResultKind.TID5000, ResultKind.TID1500),
        (ResultKind.PDF, ResultKind.OVERLAY),
        tuple(EXPLANATIONS),
        (ResultKind.CINE_OVERLAY,),
    ],
)
def test_only_what_is_wanted_is_made(kinds: tuple[ResultKind, ...], tmp_path: Path) -> None:
    objects = made(tmp_path, kinds, source())
    assert {new.kind for new in objects} == set(kinds)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == len(objects) == len(kinds)


def test_both_reports_are_what_their_kind_says(tmp_path: Path) -> None:
    objects = made(tmp_path, [*TITLES], source())
    read = {new.kind: dcmread(tmp_path / new.path) for new in objects}
    assert {kind: sr.ConceptNameCodeSequence[0].CodeValue for kind, sr in read.items()} == TITLES
    assert {kind: sr.SeriesNumber for kind, sr in read.items()} == {ResultKind.TID1500: 901, ResultKind.TID5000: 904}
    assert len({sr.SeriesInstanceUID for sr in read.values()}) == len(read)


def test_a_report_replaces_the_one_of_its_own_kind(tmp_path: Path) -> None:
    header = source()
    old = made(tmp_path, [*TITLES], header)
    earlier = tuple(
        StoredObject(n, 1, new.kind, new.sop_class_uid, new.sop_instance_uid, new.path, new.sha256)
        for n, new in enumerate(old)
    )
    for before, after in zip(old, made(tmp_path, [*TITLES], header, earlier), strict=True):
        (study,) = dcmread(tmp_path / after.path).PredecessorDocumentsSequence
        reference = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
        assert reference.ReferencedSOPInstanceUID == before.sop_instance_uid != after.sop_instance_uid


def test_the_page_is_worded_once_and_only_where_it_is_made(tmp_path: Path) -> None:
    asked: list[ReportInput] = []

    def worded(facts: ReportInput) -> Narrative:
        asked.append(facts)
        return Narrative("Findings by somebody.", "And what they mean.", "some-model")

    evidence, uids = Evidence(source(), measurement(), picture()), entropy(source())
    replace(reporter(tmp_path, [ResultKind.TID1500]), narrate=worded).report(evidence, uids, (), CREATED)
    assert asked == []
    (page,) = replace(reporter(tmp_path, [ResultKind.PDF]), narrate=worded).report(evidence, uids, (), CREATED)
    assert len(asked) == 1
    (plain,) = reporter(tmp_path, [ResultKind.PDF]).report(evidence, uids, (), CREATED)
    stored, fixed = (dcmread(tmp_path / made.path).EncapsulatedDocument for made in (page, plain))
    assert stored != fixed


@pytest.mark.parametrize("selected", [True, False])
def test_the_page_of_a_study_is_worded_where_a_head_speaks(selected: bool, tmp_path: Path) -> None:
    asked: list[ReportInput] = []

    def worded(facts: ReportInput) -> Narrative:
        asked.append(facts)
        return Narrative("Findings by somebody.", "And what they mean.", "some-model")

    header, heads = source(), [measurement()] if selected else [measurement(), measurement(hc_mm=260.0)]
    study = StudyEvidence(
        candidates=tuple(Candidate(header, head, ModelIdentity("model", SHA256)) for head in heads),
        choice=choose(heads, several_heads=False),
        version=1,
        several_heads=(),
        entropy=StudyEntropy(header.StudyInstanceUID, 1, ("first",), "0.1.0"),
        image=entropy(header),
        picture=picture() if selected else None,
        has_overlay=False,
    )
    made = replace(reporter(tmp_path, [ResultKind.STUDY_PDF]), narrate=worded)
    assert [new.kind for new in made.report_study(study, (), CREATED)] == [ResultKind.STUDY_PDF]
    assert [facts.measurement for facts in asked] == ([heads[0]] if selected else [])


@pytest.mark.parametrize(
    ("kinds", "pdf_pictures", "explains"),
    [
        ((ResultKind.PDF,), False, False),
        ((ResultKind.PDF,), True, True),
        ((ResultKind.TID1500,), True, False),
        ((ResultKind.GRADCAM,), False, True),
    ],
)
def test_the_network_is_asked_why_only_for_what_shows_it(
    kinds: tuple[ResultKind, ...], pdf_pictures: bool, explains: bool, tmp_path: Path
) -> None:
    assert replace(reporter(tmp_path, kinds), pdf_pictures=pdf_pictures).explains is explains


def test_pictures_and_frames_get_into_the_page_where_they_are_wanted(tmp_path: Path) -> None:
    plain = Evidence(source(), measurement(), picture(), explanation())
    sizes = []
    for evidence, wanted in ((plain, False), (plain, True), (replace(plain, frames=frames(measurement())), False)):
        made = replace(reporter(tmp_path, [ResultKind.PDF]), pdf_pictures=wanted)
        (page,) = made.report(evidence, entropy(source()), (), CREATED)
        sizes.append(dcmread(tmp_path / page.path).EncapsulatedDocument.count(b"/Subtype /Image"))
        pages = dcmread(tmp_path / page.path).EncapsulatedDocument.count(b"/Type /Page\n")
        assert pages == (1 if evidence is plain and not wanted else 2)
    assert sizes == [1, 4, 1]  # the frame; two maps and the one scale of colours that they share


def test_without_an_explanation_no_capture_tells_why(tmp_path: Path) -> None:
    evidence = Evidence(source(), measurement(), picture())
    assert reporter(tmp_path, EXPLANATIONS).report(evidence, entropy(source()), (), CREATED) == ()


def test_a_still_has_no_cine_capture(tmp_path: Path) -> None:
    evidence = Evidence(source(), measurement(), picture())
    assert reporter(tmp_path, [ResultKind.CINE_OVERLAY]).report(evidence, entropy(source()), (), CREATED) == ()


SILENT = {
    "no head": abstention(reason=Reason.NO_HEAD_FOUND, ellipse=None),
    "perhaps no head": abstention(reason=Reason.SKULL_ECHO_WEAK),
    "a head without a scale": abstention(reason=Reason.NOT_CALIBRATED),
    "neither head nor scale": abstention(reason=Reason.NOT_CALIBRATED, ellipse=None),
    "a head": abstention(reason=Reason.TWO_HEADS),
}


def said(folder: Path, rule: Any, looked: Abstention, kinds: Collection[ResultKind] = (ResultKind.TID1500,)) -> int:
    silent = replace(reporter(folder, kinds), abstentions=rule)
    return len(silent.report_abstention(NotMeasured(source(), looked), entropy(source()), (), CREATED))


@pytest.mark.parametrize(
    ("rule", "reported"),
    [("never", set()), ("heads", {"a head", "a head without a scale"}), ("all", set(SILENT))],
)
def test_of_which_looks_without_a_number_a_report_is_made(rule: str, reported: set[str], tmp_path: Path) -> None:
    assert {name for name, looked in SILENT.items() if said(tmp_path, rule, looked)} == reported


def test_where_no_measurement_report_is_wanted_there_is_none_without_a_measurement(tmp_path: Path) -> None:
    assert not said(tmp_path, "all", SILENT["a head"], [ResultKind.PDF])


def test_a_report_without_a_number_goes_where_those_with_one_go_and_replaces_them(tmp_path: Path) -> None:
    header = source()
    (old,) = made(tmp_path, [ResultKind.TID1500], header)
    before = StoredObject(1, 1, old.kind, old.sop_class_uid, old.sop_instance_uid, old.path, old.sha256)
    silent = replace(reporter(tmp_path, [ResultKind.TID1500]), abstentions="all", sr_class=SrClass.COMPREHENSIVE_3D)
    looked = NotMeasured(header, SILENT["a head"])
    (new,) = silent.report_abstention(looked, entropy(header, 1), [before], CREATED)
    assert (new.kind, new.sop_class_uid) == (ResultKind.TID1500, Comprehensive3DSRStorage)
    (study,) = dcmread(tmp_path / new.path).PredecessorDocumentsSequence
    assert study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == old.sop_instance_uid
