"""The key object points to the measured image, in a cine to the frame, and says who chose it."""

from __future__ import annotations

from pydicom import Dataset

from sr_templates.key_object import build_key_object
from sr_templates.report import Predecessor, ReportInput
from tests.reports import measurement, multiframe_source, report, source, written


def made(facts: ReportInput) -> Dataset:
    return written(build_key_object(facts)).dataset


def items(document: Dataset, value_type: str) -> list[Dataset]:
    return [item for item in document.ContentSequence if item.ValueType == value_type]


def test_it_points_to_the_image() -> None:
    header = source()
    document = made(report(header))
    assert document.ConceptNameCodeSequence[0].CodeValue == "113000"
    assert document.ContentTemplateSequence[0].TemplateIdentifier == "2010"
    (image,) = items(document, "IMAGE")
    (reference,) = image.ReferencedSOPSequence
    assert (reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID) == (
        header.SOPClassUID,
        header.SOPInstanceUID,
    )
    assert "ReferencedFrameNumber" not in reference
    (study,) = document.CurrentRequestedProcedureEvidenceSequence
    assert study.StudyInstanceUID == header.StudyInstanceUID
    (series,) = study.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == header.SeriesInstanceUID
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == header.SOPInstanceUID


def test_in_a_cine_it_points_to_the_frame() -> None:
    (image,) = items(made(report(multiframe_source(), measurement=measurement(frame=3))), "IMAGE")
    assert image.ReferencedSOPSequence[0].ReferencedFrameNumber == 3


def test_it_says_why_and_that_a_device_chose() -> None:
    document = made(report())
    texts = {item.ConceptNameCodeSequence[0].CodeValue: item.TextValue for item in items(document, "TEXT")}
    assert texts["113012"] == (
        "Fetal head measured here: HC 197.1 mm, GA 21w 6d. AI generated, not verified by a clinician."
    )
    (observer,) = items(document, "CODE")
    assert observer.ConceptCodeSequence[0].CodeValue == "121007"
    assert document.ContinuityOfContent == "SEPARATE"


def test_a_new_one_names_the_one_it_replaces() -> None:
    old = build_key_object(report())
    document = made(report(predecessors={"key_object": Predecessor.of(old)}))
    (text,) = (i.TextValue for i in items(document, "TEXT") if i.ConceptNameCodeSequence[0].CodeValue == "113012")
    assert text.endswith(f"Replaces {old.SOPInstanceUID}.")
