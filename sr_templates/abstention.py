"""A look that ended without a number, as TID 1500 with one TID 1501 group: that the AI looked, and why it is silent.

    CONTAINER 126000 Imaging Measurement Report
      language, device observer (TID 1004), subject: fetus (TID 1008), procedure reported
      CONTAINER 126010 Imaging Measurements
        CONTAINER 125007 Measurement Group (TID 1501)
          tracking identifier and UID, site: head, algorithm (TID 4019)
          CODE why HC was not measured (qualitative evaluation)
          IMAGE source of measurement, with the frame where it has several
          TEXT comments

No outline and no number, also where there was one: what the node does not stand for is not drawn. The reason is a code
of ours, because no dictionary has it; the comment says it in words.
"""

from __future__ import annotations

from highdicom.sr import (
    FindingSite,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)
from pydicom.dataset import FileDataset
from pydicom.uid import ComprehensiveSRStorage

from sr_templates import codes, content, wording
from sr_templates.document import document
from sr_templates.report import AbstentionInput
from sr_templates.source import Shell, is_multi_frame
from sr_templates.tid1500 import of_class

SHELL = Shell("abstention", ComprehensiveSRStorage, "SR", "AI unverified: no measurement", 9)


def build_abstention(report: AbstentionInput) -> FileDataset:
    """The structured report, ready to be written as Explicit VR Little Endian."""
    tree = MeasurementReport(
        observation_context=content.observation_context(report),
        procedure_reported=codes.OBSTETRIC_US_SCAN,
        imaging_measurements=[_group(report)],
        title=codes.IMAGING_MEASUREMENT_REPORT,
    )
    return document(report, of_class(SHELL, report.sr_class), tree[0], [report.source])


def _group(report: AbstentionInput) -> MeasurementsAndQualitativeEvaluations:
    """TID 1501 without a measurement."""
    source, looked = report.source, report.abstention
    frames = [looked.frame] if is_multi_frame(source) else None
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(report.uids.tracking, wording.TRACKING_IDENTIFIER),
        algorithm_id=content.network(report),
        finding_sites=[FindingSite(codes.HEAD)],
        qualitative_evaluations=[QualitativeEvaluation(codes.WHY_NOT_MEASURED, codes.ABSTENTION_CODES[looked.reason])],
        source_images=[SourceImageForMeasurementGroup(source.SOPClassUID, source.SOPInstanceUID, frames)],
    )
    for text in wording.abstention_comments(looked):
        group[0].ContentSequence.append(content.comment(text))
    return group
