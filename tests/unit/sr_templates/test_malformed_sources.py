"""Scanners send odd values; a measurement that was made is reported all the same, with the odd bytes copied."""

from __future__ import annotations

import pytest
from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from sr_templates.abstention import build_abstention
from sr_templates.capture import build_cine_overlay, build_overlay
from sr_templates.key_object import build_key_object
from sr_templates.pdf import build_pdf
from sr_templates.presentation import build_presentation_state
from sr_templates.source import missing_uid
from sr_templates.tid1500 import build_tid1500
from sr_templates.tid5000 import build_tid5000
from tests.reports import abstained, cine, picture, report, source, written

ODD = {
    "unknown character set": ("SpecificCharacterSet", b"ISO_IR 999"),
    "garbage character set": ("SpecificCharacterSet", b"garbage\\xx "),
    "bytes of another character set": ("PatientName", b"M\xfcll^\xff\xfe"),
    "name of 300 letters": ("PatientName", b"M" * 300),
    "words for a date": ("StudyDate", b"not a date"),
    "impossible time": ("StudyTime", b"99:99:99"),
    "two identifiers": ("PatientID", b"a\\b "),
    "letters for a number": ("InstanceNumber", b"abc "),
    "two numbers": ("InstanceNumber", b"1\\2 "),
    "letters for a weight": ("PatientWeight", b"abc "),
    "text for a request": ("RequestAttributesSequence", b"abc "),
    "text for equipment": ("ContributingEquipmentSequence", b"abc "),
    "text for identifiers": ("OtherPatientIDsSequence", b"abc "),
    "text for a lookup table": ("VOILUTSequence", b"abc "),
    "long code": ("PatientSex", b"female person, long value "),
}


def odd_source(keyword: str, value: bytes) -> Dataset:
    """A header with that element as it would be read from a file; a sequence comes as text."""
    header, tag = source(PatientName="Doe^Jane"), Tag(keyword)
    vr = dictionary_VR(tag)
    header[tag] = RawDataElement(tag, "LO" if vr == "SQ" else vr, len(value), value, 0, False, True, True)
    return header


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom says what is odd; that is its job
@pytest.mark.parametrize("case", ODD)
def test_every_object_is_built(case: str) -> None:
    facts = report(odd_source(*ODD[case]))
    reports = build_tid1500(facts), build_tid5000(facts)
    told = build_abstention(abstained(facts.source))
    pictures = [build(facts, picture()) for build in (build_pdf, build_overlay, build_presentation_state)]
    for built in (*reports, told, *pictures, build_key_object(facts), build_cine_overlay(facts, cine())):
        assert written(built).dataset.SOPInstanceUID == built.SOPInstanceUID


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("case", [c for c in ODD if ODD[c][0] in {"PatientName", "StudyDate", "PatientID"}])
def test_odd_identity_is_copied_byte_for_byte(case: str) -> None:
    keyword, value = ODD[case]
    assert value in written(build_tid1500(report(odd_source(keyword, value)))).content


SEQUENCES = [case for case in ODD if dictionary_VR(Tag(ODD[case][0])) == "SQ"]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("case", SEQUENCES)
def test_text_in_the_place_of_items_is_not_passed_on(case: str) -> None:
    keyword, value = ODD[case]
    made = written(build_overlay(report(odd_source(keyword, value)), picture())).dataset
    assert keyword not in made or [item.Manufacturer for item in made[keyword].value] == ["Phantom Works"]


@pytest.mark.parametrize(
    ("value", "missing"),
    [("1.2.3.9", None), ("", "SeriesInstanceUID"), (["1.2", "1.3"], "SeriesInstanceUID"), (None, "SeriesInstanceUID")],
)
def test_an_object_that_cannot_be_referred_to_is_known(value: str | list[str] | None, missing: str | None) -> None:
    assert missing_uid(source(SeriesInstanceUID=value)) == missing
