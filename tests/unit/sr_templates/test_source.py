"""Identity travels byte for byte, gaps become empty, and the result says who made it and from what."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib import import_module
from pkgutil import iter_modules

import pytest
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

import sr_templates
from sr_templates.source import PATIENT_AND_STUDY_TYPE_2, Shell, begin, local_time, request_items, source_reference
from sr_templates.uids import IMPLEMENTATION_CLASS_UID, MANUFACTURER, MODEL_NAME, is_own_object
from tests.reports import CREATED, multiframe_source, picture, report, source, stored, written
from tests.ultrasound import us_image

SHELL = Shell("overlay", SecondaryCaptureImageStorage, "OT", "AI test (unverified)", 2)

NAMES = {
    "latin-1": ("ISO_IR 100", "Müller^Zoë"),
    "cyrillic": ("ISO_IR 144", "Иванова^Анна"),
    "japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "chinese": ("GB18030", "Wang^XiaoDong=王^小东"),
    "utf-8": ("ISO_IR 192", "Ραζή^Ελένη=王^小东"),
    "default": (None, "Doe^Jane"),
}


@pytest.mark.parametrize("case", NAMES)
def test_text_keeps_bytes_and_character_set(case: str) -> None:
    charset, name = NAMES[case]
    header = source(SpecificCharacterSet=charset, PatientName=name, StudyDescription="Obstetrics")
    original = header.get_item("PatientName").value  # type: ignore[union-attr]  # raw bytes, as read
    assert isinstance(original, bytes)
    made = written(begin(report(header), SHELL)).dataset
    assert made.get_item("PatientName").value == original  # type: ignore[union-attr]
    assert made.get("SpecificCharacterSet") == header.get("SpecificCharacterSet")
    assert str(made.PatientName) == name


def test_text_survives_when_the_header_was_looked_at_before() -> None:
    header = source(SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Zoë")
    assert str(header.PatientName) == "Müller^Zoë"  # no longer raw
    made = written(begin(report(header), SHELL)).dataset
    assert made.get_item("PatientName").value.rstrip() == "Müller^Zoë".encode("latin-1")  # type: ignore[union-attr]


def test_bytes_that_contradict_the_character_set_are_copied_as_they_are() -> None:
    header = source(PatientName="Doe^Jane")
    element = header.get_item("PatientName")
    header["PatientName"] = element._replace(value=b"M\xfcller^X")  # type: ignore[union-attr]  # not UTF-8
    made = written(begin(report(header), SHELL)).dataset
    assert made.get_item("PatientName").value == b"M\xfcller^X"  # type: ignore[union-attr]


def test_missing_type_2_attributes_become_empty() -> None:
    header = source(**dict.fromkeys(PATIENT_AND_STUDY_TYPE_2))
    assert not any(keyword in header for keyword in PATIENT_AND_STUDY_TYPE_2)
    made = written(begin(report(header), SHELL)).dataset
    for keyword in PATIENT_AND_STUDY_TYPE_2:
        assert keyword in made
        assert not made[keyword].value


def test_what_is_not_there_is_not_invented() -> None:
    header = source(TimezoneOffsetFromUTC=None, StudyDescription=None, Manufacturer=None)
    made = begin(report(header), SHELL)
    assert "TimezoneOffsetFromUTC" not in made
    assert "StudyDescription" not in made
    assert "ContributingEquipmentSequence" not in made
    assert "Laterality" not in made
    assert "FrameOfReferenceUID" not in made


def test_issuer_timezone_and_sequences_travel() -> None:
    issuer = Dataset()
    issuer.UniversalEntityID = "1.2.3.9"
    issuer.UniversalEntityIDType = "ISO"
    header = source(
        IssuerOfPatientID="HOSPITAL", TimezoneOffsetFromUTC="+0100", IssuerOfAccessionNumberSequence=[issuer]
    )
    made = written(begin(report(header), SHELL)).dataset
    assert made.IssuerOfPatientID == "HOSPITAL"
    assert made.TimezoneOffsetFromUTC == "+0100"
    assert made.IssuerOfAccessionNumberSequence[0].UniversalEntityID == "1.2.3.9"


def test_times_are_in_the_zone_of_the_source() -> None:
    made = begin(report(source(TimezoneOffsetFromUTC="-0330")), SHELL)
    assert (made.ContentDate, made.ContentTime) == ("20260102", "060100.000000")
    assert (made.InstanceCreationDate, made.InstanceCreationTime) == ("20260102", "060100.000000")


@pytest.mark.parametrize("offset", ["", "0100", "+99", "+9900", "nonsense"])
def test_a_malformed_offset_changes_no_time(offset: str) -> None:
    header = Dataset()
    header.add_new(0x00080201, "SH", offset)
    assert local_time(header, CREATED) == CREATED


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        report(created=datetime(2026, 1, 2, tzinfo=UTC).replace(tzinfo=None))


def test_equipment_is_ours_and_the_scanner_contributed() -> None:
    earlier = Dataset()
    earlier.Manufacturer = "Router"
    header = source(
        Manufacturer="Phantom Works",
        DeviceSerialNumber="SN-7",
        InstitutionName="St. Elsewhere",
        ContributingEquipmentSequence=[earlier],
    )
    made = written(begin(report(header), SHELL)).dataset
    assert (made.Manufacturer, made.ManufacturerModelName, made.DeviceSerialNumber) == (
        MANUFACTURER,
        MODEL_NAME,
        "FETALHC",
    )
    router, scanner = made.ContributingEquipmentSequence
    assert router.Manufacturer == "Router"
    assert (scanner.Manufacturer, scanner.DeviceSerialNumber, scanner.InstitutionName) == (
        "Phantom Works",
        "SN-7",
        "St. Elsewhere",
    )
    assert scanner.PurposeOfReferenceCodeSequence[0].CodeValue == "109101"
    assert len(header.ContributingEquipmentSequence) == 1  # the source was not touched


def test_a_result_knows_itself_even_when_an_archive_renames_it() -> None:
    made = begin(report(), SHELL)
    made.SOPInstanceUID = "1.2.3"
    assert is_own_object(made)
    assert not is_own_object(source())


def shells() -> list[Shell]:
    """Every kind of object that any module of ours makes."""
    modules = [import_module(f"sr_templates.{each.name}") for each in iter_modules(sr_templates.__path__)]
    return [value for module in modules for value in vars(module).values() if isinstance(value, Shell)]


def test_the_first_20_characters_of_a_series_description_say_whose_it_is_and_which() -> None:
    """Viewers cut it there."""
    by_series = {shell.order: shell.series_description for shell in shells()}
    assert len(by_series) >= 5
    assert all(text.startswith("AI unverified: ") and len(text) <= 64 for text in by_series.values())
    assert len({text[:20] for text in by_series.values()}) == len(by_series)
    assert {shell.series_description for shell in shells()} == set(by_series.values())  # one series, one description


def test_series_and_file_meta_information() -> None:
    facts = report(series_number=950)
    made = written(begin(facts, SHELL)).dataset
    assert made.SeriesNumber == 952
    assert made.SeriesDescription == "AI test (unverified)"
    assert made.StudyInstanceUID == facts.source.StudyInstanceUID
    assert made.SeriesInstanceUID == facts.uids.overlay.series_instance_uid != facts.source.SeriesInstanceUID
    assert made.file_meta.MediaStorageSOPInstanceUID == made.SOPInstanceUID == facts.uids.overlay.sop_instance_uid
    assert made.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID


@pytest.mark.parametrize(("number", "expected"), [("17", 17), (None, 1), ("", 1)])
def test_instance_number_is_the_source_s(number: str | None, expected: int) -> None:
    assert begin(report(source(InstanceNumber=number)), SHELL).InstanceNumber == expected


def test_a_reference_names_the_frame_of_a_cine_only() -> None:
    assert "ReferencedFrameNumber" not in source_reference(report())
    assert source_reference(report(multiframe_source())).ReferencedFrameNumber == 1
    assert "ReferencedFrameNumber" not in source_reference(report(source(NumberOfFrames="")))


def test_request_attributes_become_a_referenced_request() -> None:
    request = Dataset()
    request.RequestedProcedureID = "RP-1"
    request.RequestedProcedureDescription = "Second trimester scan"
    (item,) = request_items(source(RequestAttributesSequence=[request]))
    assert item.RequestedProcedureID == "RP-1"
    assert item.AccessionNumber == "A1001"
    assert item.RequestedProcedureCodeSequence == []
    assert request_items(source()) == []


def test_implicit_little_endian_sources_keep_their_text() -> None:
    dataset = us_image(picture(), SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Zoë")
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    made = written(begin(report(stored(dataset)), SHELL)).dataset
    assert str(made.PatientName) == "Müller^Zoë"
