"""TID 1500 Measurement Report with one TID 1410 group for the head, as a Comprehensive (3D) SR (PS3.16, PS3.3 A.35.3).

    CONTAINER 126000 Imaging Measurement Report
      language, device observer (TID 1004), subject: fetus (TID 1008), procedure reported
      CONTAINER 126010 Imaging Measurements
        CONTAINER 125007 Measurement Group (TID 1410)
          tracking identifier and UID, finding and site: head, algorithm (TID 4019)
          SCOORD polyline of the outline, selected from the source image and frame
          NUM HC (its interval as measurement uncertainty, CID 225; of a cine inferred from the frames that agree)
          NUM gestational age (equation, TID 315; the equation's own 2 SD, CID 226)
          NUM BPD, OFD
          NUM percentile and z-score by each standard (TID 315) and the gestational age by another source that they
              rest on, where there is one
          NUM HC minus the operator's, in mm and in percent (inferred from the operator's), where that one is known
          NUM cephalic index
          TEXT comments

Viewers list the first numbers of a group (OHIF five), hence HC and GA lead and a percentile follows BPD and OFD. The
age's range that joins the HC interval stands in a comment: CID 226 describes a population, which the equation's band
does and the joined range does not.
"""

from __future__ import annotations

from dataclasses import replace

from highdicom.sr import (
    FindingSite,
    Measurement,
    MeasurementReport,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    TrackingIdentifier,
)
from pydicom.dataset import FileDataset
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage

from inference.domain import Growth, IndependentAge, SizeForAge, Standing
from inference.domain import Measurement as HeadMeasurement
from inference.growth import STANDARDS
from sr_templates import codes, content, wording
from sr_templates.document import document
from sr_templates.report import ReportInput, SrClass
from sr_templates.source import Shell

SOP_CLASSES = {
    SrClass.COMPREHENSIVE: ComprehensiveSRStorage,
    SrClass.COMPREHENSIVE_3D: Comprehensive3DSRStorage,
}

SHELL = Shell("tid1500", ComprehensiveSRStorage, "SR", "AI unverified: measurements of the head", 0)


def build_tid1500(report: ReportInput) -> FileDataset:
    """The structured report, ready to be written as Explicit VR Little Endian."""
    return document(report, of_class(SHELL, report.sr_class), _tree(report)[0], [report.source])


def of_class(shell: Shell, sr_class: SrClass) -> Shell:
    """The same kind of object in the SOP class that was asked for."""
    return replace(shell, sop_class_uid=SOP_CLASSES[sr_class])


def _tree(report: ReportInput) -> MeasurementReport:
    return MeasurementReport(
        observation_context=content.observation_context(report),
        procedure_reported=codes.OBSTETRIC_US_SCAN,
        imaging_measurements=[_group(report)],
        title=codes.IMAGING_MEASUREMENT_REPORT,
    )


def _group(report: ReportInput) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    """TID 1410 for the one head."""
    head = report.measurement
    numbers = [_head_circumference(report)]
    if head.age.days is not None:
        numbers.append(content.gestational_age(head.age))
    numbers += [
        content.number(codes.BIPARIETAL_DIAMETER, wording.tenths(head.bpd_mm), codes.MILLIMETRE),
        content.number(codes.OCCIPITAL_FRONTAL_DIAMETER, wording.tenths(head.ofd_mm), codes.MILLIMETRE),
    ]
    if isinstance(head.growth, Growth):
        numbers += _growth(head.growth)
    numbers += _beside_operator(head)
    index_percent = wording.tenths(head.cephalic_index_percent)
    numbers.append(content.number(codes.CEPHALIC_INDEX, index_percent, codes.PERCENT))
    group = PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(report.uids.tracking, wording.TRACKING_IDENTIFIER),
        referenced_region=content.outline_region(report.source, head.frame, head.ellipse),
        finding_type=codes.HEAD,
        algorithm_id=content.algorithm(report, head),
        finding_sites=[FindingSite(codes.HEAD)],
        measurements=numbers,
        geometric_purpose=codes.OUTLINE,
    )
    for text in wording.comments(report):
        group[0].ContentSequence.append(content.comment(text))
    return group


def _head_circumference(report: ReportInput) -> Measurement:
    """HC of the frame that speaks; in a cine it was chosen because frames agree, which are named with it."""
    head, together = report.measurement, report.together
    made = content.number(codes.HEAD_CIRCUMFERENCE, wording.tenths(head.hc_mm), codes.MILLIMETRE)
    content.qualify(made, content.hc_uncertainty(head))
    if together is not None:
        content.qualify(made, [content.agreeing_frames(report.source, together.frames_used)])
    return made


def _growth(growth: Growth) -> list[Measurement]:
    """Percentile and z-score by each standard that covers the independent age, then that age."""
    age, numbers = growth.independent, []
    for size in growth.sizes:
        if size.at is not None:
            numbers += _size_for_age(size, size.at, age)
    return [*numbers, content.number(codes.AGE_SOURCE_CODES[age.source], str(age.days), codes.DAY)]


def _beside_operator(head: HeadMeasurement) -> list[Measurement]:
    """HC minus the operator's in mm and in percent of it, inferred from that one; empty where none is known.

    The operator's own number stands below ours and not beside it: a reader that looks for HC shall find one.
    """
    operator, apart, percent_apart = head.operator, head.difference_mm, head.difference_percent
    if operator is None or apart is None or percent_apart is None:
        return []
    numbers = [
        content.number(codes.HC_DIFFERENCE, wording.tenths(apart), codes.MILLIMETRE),
        content.number(codes.HC_DIFFERENCE, wording.tenths(percent_apart), codes.PERCENT),
    ]
    for made in numbers:
        theirs = content.number_origin(codes.HEAD_CIRCUMFERENCE, wording.tenths(operator.hc_mm), codes.MILLIMETRE)
        content.qualify(made, [theirs])
    return numbers


def _size_for_age(size: SizeForAge, at: Standing, age: IndependentAge) -> list[Measurement]:
    """Percentile (unless it rounds to 0 or 100, which none is) and z-score, with standard and age behind them."""
    numbers = [content.number(codes.GROWTH_Z_SCORE, wording.z_score(at.z_score), codes.NO_UNITS)]
    if wording.is_rank(at):
        numbers.insert(0, content.number(codes.GROWTH_PERCENTILE_RANK, wording.tenths(at.percentile), codes.PERCENT))
    for made in numbers:
        used = content.number_origin(codes.AGE_SOURCE_CODES[age.source], str(age.days), codes.DAY)
        citation = STANDARDS[size.standard].citation
        content.qualify(made, [*content.inferred_from(codes.STANDARD_CODES[size.standard], citation), used])
    return numbers
