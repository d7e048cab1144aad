"""The page as an Encapsulated PDF object (PS3.3 A.45.1, C.24)."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.uid import EncapsulatedPDFStorage

from sr_templates import codes
from sr_templates.page import TITLE, draw_page
from sr_templates.report import NOTHING_FURTHER, Further, Picture, ReportInput
from sr_templates.source import Shell, begin, copy_element, copy_request, source_reference

SHELL = Shell("pdf", EncapsulatedPDFStorage, "DOC", "AI unverified: PDF report on the head", 1)


def build_pdf(report: ReportInput, picture: Picture, further: Further = NOTHING_FURTHER) -> FileDataset:
    """The page about one measurement, ready to be written as Explicit VR Little Endian.

    `picture`: RGB uint8 [rows, columns, 3], the measured frame at the source's geometry.
    """
    document = draw_page(report, picture, further=further)
    return encapsulated(report, SHELL, document, [source_reference(report)])


def encapsulated(report: ReportInput, shell: Shell, document: bytes, sources: Sequence[Dataset]) -> FileDataset:
    """The object around a finished document; `sources` are references to the images that it speaks of."""
    made = begin(report, shell)
    copy_request(report.source, made)
    copy_element(report.source, made, "AcquisitionDateTime", required=True)
    made.ConversionType = "WSD"
    made.BurnedInAnnotation = "YES"  # the page names the patient
    made.VerificationFlag = "UNVERIFIED"
    made.SourceInstanceSequence = [*sources]
    made.DocumentTitle = f"{TITLE}, AI (unverified)"
    made.ConceptNameCodeSequence = [codes.code_item(codes.ULTRASOUND_OB_GYN_REPORT)]
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.EncapsulatedDocumentLength = len(document)
    made.EncapsulatedDocument = document + b"\0" * (len(document) % 2)
    return made
