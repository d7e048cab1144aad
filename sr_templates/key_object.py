"""A Key Object Selection (PS3.3 A.35.4, TID 2010) that points to the image, in a cine to the measured frame."""

from __future__ import annotations

from highdicom.ko import KeyObjectSelection
from pydicom.dataset import FileDataset
from pydicom.uid import KeyObjectSelectionDocumentStorage

from sr_templates import codes, wording
from sr_templates.content import device_context
from sr_templates.document import evidence, separate
from sr_templates.report import ReportInput
from sr_templates.source import Shell, begin, image_reference, request_items

SHELL = Shell("key_object", KeyObjectSelectionDocumentStorage, "KO", "AI unverified: key image", 7)


def build_key_object(report: ReportInput) -> FileDataset:
    """The document, ready to be written as Explicit VR Little Endian.

    Its title is "Of Interest": every viewer knows it, and it claims neither quality nor a purpose.
    """
    made = begin(report, SHELL)
    made.ReferencedPerformedProcedureStepSequence = []
    requests = request_items(report.source)
    if requests:
        made.ReferencedRequestSequence = requests
    made.CurrentRequestedProcedureEvidenceSequence = [evidence([report.source])]
    content = KeyObjectSelection(
        codes.OF_INTEREST,
        [report.source],
        observer_device_context=device_context(report),
        description=_description(report),
    )[0]
    content.ContentSequence[-1].ReferencedSOPSequence = [image_reference(report.source, report.measurement.frame)]
    separate(content)
    for element in content:
        made.add(element)
    return made


def _description(report: ReportInput) -> str:
    head, age = report.measurement, report.measurement.age
    figures = f"HC {wording.millimetres(head.hc_mm)}"
    if age.days is not None:
        figures += f", GA {wording.weeks_and_days(age.days)}"
    predecessor = report.predecessors.get(SHELL.kind)
    replaces = "" if predecessor is None else f" Replaces {predecessor.sop_instance_uid}."
    return f"Fetal head measured here: {figures}. {wording.AI_NOT_VERIFIED}{replaces}"
