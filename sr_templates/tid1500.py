"""TID 1500 Measurement Report with one TID 1410 group for the head, as a Comprehensive SR (PS3.16, PS3.3 A.35.3).

    CONTAINER 126000 Imaging Measurement Report
      language, device observer (TID 1004), subject: fetus (TID 1008), procedure reported
      CONTAINER 126010 Imaging Measurements
        CONTAINER 125007 Measurement Group (TID 1410)
          tracking identifier and UID, finding and site: head, algorithm (TID 4019)
          SCOORD polyline of the outline, selected from the source image and frame
          NUM HC (its interval as measurement uncertainty, CID 225)
          NUM gestational age (equation, TID 315; the equation's own 2 SD, CID 226)
          NUM BPD, OFD, cephalic index
          NUM gestational age by another source, percentile and z-score by each standard (TID 315), where there is one
          TEXT comments

Viewers list the first numbers of a group, hence HC and GA lead. The age's range that joins the HC interval stands in a
comment: CID 226 describes a population, which the equation's band does and the joined range does not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    ContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    GraphicTypeValues,
    ImageRegion,
    Measurement,
    MeasurementReport,
    NumContentItem,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    RelationshipTypeValues,
    SourceImageForRegion,
    SubjectContext,
    SubjectContextFetus,
    TextContentItem,
    TrackingIdentifier,
)
from highdicom.sr.coding import CodedConcept
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.sr.coding import Code
from pydicom.uid import ComprehensiveSRStorage

from inference.domain import EllipsePx, GestationalAge, Growth, IndependentAge, SizeForAge, Standing
from inference.domain import Measurement as HeadMeasurement
from inference.growth import STANDARDS
from inference.measure import outline_px
from sr_templates import codes, wording
from sr_templates.report import Predecessor, ReportInput
from sr_templates.source import Shell, begin, is_multi_frame, request_items, source_reference

SHELL = Shell("tid1500", ComprehensiveSRStorage, "SR", "AI fetal head measurements (unverified)", 0)

OUTLINE_POINTS = 96
"""An inscribed polygon of 96 points lies within 0.06 % of the ellipse's semi-axis; readers shall not measure it."""


def build_tid1500(report: ReportInput) -> FileDataset:
    """The structured report, ready to be written as Explicit VR Little Endian.

    It is COMPLETE (all content is there), UNVERIFIED (no person has attested it) and PRELIMINARY (PS3.3 C.17.2).
    """
    sr = begin(report, SHELL)
    sr.CompletionFlag, sr.VerificationFlag, sr.PreliminaryFlag = "COMPLETE", "UNVERIFIED", "PRELIMINARY"
    sr.ReferencedPerformedProcedureStepSequence = []
    sr.PerformedProcedureCodeSequence = []
    requests = request_items(report.source)
    if requests:
        sr.ReferencedRequestSequence = requests
    sr.CurrentRequestedProcedureEvidenceSequence = [_evidence(report)]
    predecessor = report.predecessors.get(SHELL.kind)
    if predecessor is not None:
        sr.PredecessorDocumentsSequence = [_predecessor(predecessor)]
    root = _content(report)[0]
    _separate(root)
    if _says_private_code(root):
        sr.CodingSchemeIdentificationSequence = [codes.private_scheme_item()]
    for element in root:
        sr.add(element)
    return sr


def outline_scoord(ellipse: EllipsePx) -> NDArray[np.float64]:
    """The closed outline [n + 1, 2], (column, row), in the coordinates of PS3.3 C.18.6.

    There (0, 0) is the top left corner of the first pixel, half a pixel before its centre, where our pixels begin.
    """
    points = outline_px(ellipse, OUTLINE_POINTS) + 0.5
    return np.concatenate([points, points[:1]])


def _content(report: ReportInput) -> MeasurementReport:
    return MeasurementReport(
        observation_context=_observation_context(report),
        procedure_reported=codes.OBSTETRIC_US_SCAN,
        imaging_measurements=[_group(report)],
        title=codes.IMAGING_MEASUREMENT_REPORT,
    )


def _separate(container: Dataset) -> None:
    """Continuity of Content: list items, not flowing text as highdicom would have it (PS3.3 C.18.8)."""
    container.ContinuityOfContent = "SEPARATE"
    for item in container.get("ContentSequence") or ():
        if item.ValueType == "CONTAINER":
            _separate(item)


def _says_private_code(item: Dataset) -> bool:
    """Whether a code of our own scheme stands anywhere below; the object then has to declare the scheme."""
    spoken = item.get("ConceptCodeSequence") or ()
    return any(code.CodingSchemeDesignator == codes.PRIVATE_SCHEME for code in spoken) or any(
        _says_private_code(child) for child in item.get("ContentSequence") or ()
    )


def _observation_context(report: ReportInput) -> ObservationContext:
    equipment = report.equipment
    device = DeviceObserverIdentifyingAttributes(
        uid=equipment.device_uid,
        name=equipment.model_name,
        manufacturer_name=equipment.manufacturer,
        model_name=equipment.model_name,
        serial_number=equipment.serial,
    )
    return ObservationContext(
        observer_device_context=ObserverContext(CodedConcept.from_code(codes.DEVICE), device),
        subject_context=SubjectContext(
            CodedConcept.from_code(codes.FETUS), SubjectContextFetus(wording.SUBJECT_NOT_ASSIGNED)
        ),
    )


def _group(report: ReportInput) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    """TID 1410 for the one head."""
    head = report.measurement
    numbers = [_head_circumference(head)]
    if head.age.days is not None:
        numbers.append(_gestational_age(head.age))
    numbers += [
        _number(codes.BIPARIETAL_DIAMETER, wording.tenths(head.bpd_mm), codes.MILLIMETRE),
        _number(codes.OCCIPITAL_FRONTAL_DIAMETER, wording.tenths(head.ofd_mm), codes.MILLIMETRE),
        _number(codes.CEPHALIC_INDEX, wording.tenths(head.cephalic_index_percent), codes.PERCENT),
    ]
    if isinstance(head.growth, Growth):
        numbers += _growth(head.growth)
    group = PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(report.uids.tracking, wording.TRACKING_IDENTIFIER),
        referenced_region=_region(report),
        finding_type=codes.HEAD,
        algorithm_id=_algorithm(report),
        finding_sites=[FindingSite(codes.HEAD)],
        measurements=numbers,
        geometric_purpose=codes.OUTLINE,
    )
    for comment in wording.comments(report):
        group[0].ContentSequence.append(TextContentItem(codes.COMMENT, comment, RelationshipTypeValues.CONTAINS))
    return group


def _head_circumference(head: HeadMeasurement) -> Measurement:
    """HC; its interval as the ranges of upper and lower measurement uncertainty (CID 225), in mm from the value.

    Not through MeasurementProperties of highdicom, which gives these ranges the unit "no units".
    """
    number = _number(codes.HEAD_CIRCUMFERENCE, wording.tenths(head.hc_mm), codes.MILLIMETRE)
    if head.hc_interval is not None:
        ranges = (
            (codes.UPPER_UNCERTAINTY, head.hc_interval.high - head.hc_mm),
            (codes.LOWER_UNCERTAINTY, head.hc_mm - head.hc_interval.low),
        )
        _qualify(number, [_property(code, wording.tenths(range_mm), codes.MILLIMETRE) for code, range_mm in ranges])
    return number


def _gestational_age(age: GestationalAge) -> Measurement:
    """The age in days, the equation it was inferred from, and that equation's own 2 SD."""
    number = _number(codes.GESTATIONAL_AGE, str(age.days), codes.DAY)
    code = _equation_code(age)
    children = _inferred_from(code, wording.equation_citation(age))
    if age.equation_band is not None:
        children.append(_property(codes.TWO_SIGMA_LOWER, str(age.equation_band.low), codes.DAY))
        children.append(_property(codes.TWO_SIGMA_UPPER, str(age.equation_band.high), codes.DAY))
    _qualify(number, children)
    return number


def _inferred_from(code: Code, citation: str) -> list[ContentItem]:
    """TID 315; a code of our own tells nobody where it comes from, so its citation goes with it."""
    children: list[ContentItem] = [CodeContentItem(codes.EQUATION, code, RelationshipTypeValues.INFERRED_FROM)]
    if code.scheme_designator == codes.PRIVATE_SCHEME:
        children.append(TextContentItem(codes.EQUATION_CITATION, citation, RelationshipTypeValues.INFERRED_FROM))
    return children


def _growth(growth: Growth) -> list[Measurement]:
    """The independent age, then percentile and z-score by each standard that covers it."""
    numbers = [_number(codes.AGE_SOURCE_CODES[growth.independent.source], str(growth.independent.days), codes.DAY)]
    for size in growth.sizes:
        if size.at is not None:
            numbers += _size_for_age(size, size.at, growth.independent)
    return numbers


def _size_for_age(size: SizeForAge, at: Standing, age: IndependentAge) -> list[Measurement]:
    """Percentile (unless it rounds to 0 or 100, which none is) and z-score, with standard and age behind them."""
    numbers = [_number(codes.GROWTH_Z_SCORE, wording.z_score(at.z_score), codes.NO_UNITS)]
    if 0.0 < at.percentile < 100.0:
        numbers.insert(0, _number(codes.GROWTH_PERCENTILE_RANK, wording.tenths(at.percentile), codes.PERCENT))
    for number in numbers:
        used = NumContentItem(
            codes.AGE_SOURCE_CODES[age.source],
            float(age.days),
            codes.DAY,
            relationship_type=RelationshipTypeValues.INFERRED_FROM,
        )
        _set_value(used, str(age.days))
        citation = STANDARDS[size.standard].citation
        _qualify(number, [*_inferred_from(codes.STANDARD_CODES[size.standard], citation), used])
    return numbers


def _number(name: Code, value: str, unit: Code) -> Measurement:
    """TID 300; the value is the text that the page and the overlay print."""
    number = Measurement(name, float(value), unit)
    _set_value(number[0], value)
    return number


def _property(name: Code, value: str, unit: Code) -> NumContentItem:
    item = NumContentItem(name, float(value), unit, relationship_type=RelationshipTypeValues.HAS_PROPERTIES)
    _set_value(item, value)
    return item


def _set_value(item: Dataset, value: str) -> None:
    """Numeric Value (0040,A30A) says the text exactly; its floating point twin is for values that need more."""
    measured = item.MeasuredValueSequence[0]
    measured.NumericValue = value
    measured.pop("FloatingPointValue", None)


def _qualify(number: Measurement, children: Sequence[ContentItem]) -> None:
    number[0].ContentSequence = ContentSequence([*(number[0].get("ContentSequence") or ()), *children])


def _equation_code(age: GestationalAge) -> Code:
    """A published code only for the equation it names; whatever else comes is private and carries its own name."""
    known = codes.EQUATION_CODES.get(age.equation)
    return known or Code(age.equation[:16], codes.PRIVATE_SCHEME, age.equation[:64])


def _algorithm(report: ReportInput) -> AlgorithmIdentification:
    """TID 4019: which network, which software, which weights."""
    return AlgorithmIdentification(
        name=report.model.name,
        version=report.equipment.software_version,
        parameters=[
            f"weights sha256 {report.model.sha256}",
            f"equation {report.measurement.age.equation}",
            f"calibration {report.measurement.calibration_source}",
        ],
        family=codes.ARTIFICIAL_INTELLIGENCE,
        manufacturer=report.equipment.manufacturer,
    )


def _region(report: ReportInput) -> ImageRegion:
    frames = [report.measurement.frame] if is_multi_frame(report.source) else None
    image = SourceImageForRegion(report.source.SOPClassUID, report.source.SOPInstanceUID, frames)
    return ImageRegion(GraphicTypeValues.POLYLINE, outline_scoord(report.measurement.ellipse), image)


def _evidence(report: ReportInput) -> Dataset:
    """Hierarchical SOP Instance Reference Macro (PS3.3 C.17.2.1) for the source; evidence counts whole objects."""
    reference = source_reference(report)
    reference.pop("ReferencedFrameNumber", None)
    return _hierarchical(report.source.StudyInstanceUID, report.source.SeriesInstanceUID, reference)


def _predecessor(predecessor: Predecessor) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = predecessor.sop_class_uid
    reference.ReferencedSOPInstanceUID = predecessor.sop_instance_uid
    return _hierarchical(predecessor.study_instance_uid, predecessor.series_instance_uid, reference)


def _hierarchical(study_instance_uid: str, series_instance_uid: str, reference: Dataset) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = series_instance_uid
    series.ReferencedSOPSequence = [reference]
    study = Dataset()
    study.StudyInstanceUID = study_instance_uid
    study.ReferencedSeriesSequence = [series]
    return study
