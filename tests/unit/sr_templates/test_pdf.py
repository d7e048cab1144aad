"""The Encapsulated PDF object: the document inside is the page, and the attributes tell how far to trust it."""

from __future__ import annotations

from sr_templates.page import draw_page
from sr_templates.pdf import build_pdf
from tests.reports import multiframe_source, picture, report, source, written


def test_the_document_is_the_page_without_its_padding() -> None:
    facts = report()
    made = written(build_pdf(facts, picture())).dataset
    document = made.EncapsulatedDocument[: made.EncapsulatedDocumentLength]
    assert document == draw_page(facts, picture())
    assert document.rstrip().endswith(b"%%EOF")
    assert len(made.EncapsulatedDocument) % 2 == 0


def test_attributes() -> None:
    made = written(build_pdf(report(), picture())).dataset
    assert made.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert (made.Modality, made.ConversionType, made.BurnedInAnnotation) == ("DOC", "WSD", "YES")
    assert made.VerificationFlag == "UNVERIFIED"
    assert made.SeriesNumber == 902
    title = made.ConceptNameCodeSequence[0]
    assert (title.CodeValue, title.CodingSchemeDesignator) == ("11525-3", "LN")
    assert made.AcquisitionDateTime == ""


def test_source_is_named_with_the_frame_of_a_cine() -> None:
    header = source()
    assert (
        build_pdf(report(header), picture()).SourceInstanceSequence[0].ReferencedSOPInstanceUID == header.SOPInstanceUID
    )
    cine = build_pdf(report(multiframe_source()), picture())
    assert cine.SourceInstanceSequence[0].ReferencedFrameNumber == 1


def test_same_facts_same_bytes() -> None:
    facts = report()
    assert written(build_pdf(facts, picture())).content == written(build_pdf(facts, picture())).content
