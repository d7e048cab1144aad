"""Whose objects they are: names in any character set and every identifier, in each kind of object, as others read them.

The source is read as the node reads it; identity must be the source's byte for byte.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_VR

from dicom_node.part10 import read_part10
from sr_templates.abstention import build_abstention
from sr_templates.source import PATIENT_AND_STUDY_OPTIONAL, PATIENT_AND_STUDY_TYPE_2
from tests.integration.test_result_objects import BUILDERS, UNPAIRED, UNSIDED
from tests.reports import abstained, measurement, picture, report
from tests.ultrasound import save, us_image, us_multiframe

NAMES: dict[str, tuple[Any, str, str]] = {
    # Specific Character Set, Patient's Name, a word for the other texts
    "latin-1": ("ISO_IR 100", "Müller^Zoë", "Überprüfung"),
    "cyrillic": ("ISO_IR 144", "Иванова^Анна", "Скрининг"),
    "cyrillic in UTF-8": ("ISO_IR 192", "Иванова^Анна", "Скрининг"),
    "japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", "超音波検査"),
    "chinese": ("GB18030", "Wang^XiaoDong=王^小东", "产科超声"),
    "arabic": ("ISO_IR 127", "قباني^لنزار", "فحص"),
}
UNCONVERTED = ("japanese",)
"""Debian's DCMTK converts by the C library, which has no ISO 2022 IR 87: image and object are dumped as they are."""


@dataclass(frozen=True)
class Made:
    """A stored image, as read, and the objects about it by kind."""

    image: Path
    source: Dataset
    objects: dict[str, Path]


def identified(word: str) -> dict[str, Any]:
    """Every identifier that an ultrasound image may carry."""
    issuer = Dataset()
    issuer.LocalNamespaceEntityID, issuer.UniversalEntityID, issuer.UniversalEntityIDType = word, "1.2.3.9", "ISO"
    other = Dataset()
    other.PatientID, other.IssuerOfPatientID, other.TypeOfPatientID = "P-77", word, "TEXT"
    request = Dataset()
    request.RequestedProcedureID, request.ScheduledProcedureStepID = "RP-1", "SPS-1"
    request.RequestedProcedureDescription = word
    request.AccessionNumber, request.IssuerOfAccessionNumberSequence = "A1001", [issuer]
    router = Dataset()
    router.Manufacturer, router.InstitutionName = "Router", word
    router.PurposeOfReferenceCodeSequence = [purpose()]
    return {
        "PatientID": "P-1001",
        "IssuerOfPatientID": word,
        "IssuerOfPatientIDQualifiersSequence": [issuer],
        "OtherPatientIDsSequence": [other],
        "IssuerOfAccessionNumberSequence": [issuer],
        "StudyID": "S-1",
        "StudyDescription": word,
        "ReferringPhysicianName": "Roe^Richard",
        "PhysiciansOfRecord": "Poe^Paula",
        "AdmissionID": "ADM-1",
        "IssuerOfAdmissionIDSequence": [issuer],
        "ServiceEpisodeID": "EP-1",
        "IssuerOfServiceEpisodeIDSequence": [issuer],
        "TimezoneOffsetFromUTC": "+0100",
        "RequestAttributesSequence": [request],
        "ContributingEquipmentSequence": [router],
        "InstitutionName": word,
    }


def purpose() -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "109103", "DCM", "Modifying Equipment"
    return code


def make(folder: Path, **attributes: Any) -> Made:
    """One image with these attributes, and everything that we make of it. A cine: every kind can be made of one."""
    cine = us_multiframe(np.stack([picture()] * 3), [], SOPInstanceUID="1.2.3.4.7", **attributes)
    image = save(cine, folder / "image.dcm")
    source = read_part10(image).header
    facts = report(source, measurement=measurement(frame=2))
    made = {kind: build(facts) for kind, build in BUILDERS.items()}
    made["abstention"] = build_abstention(abstained(source))
    return Made(image, source, {kind: save(each, folder / f"{kind}.dcm") for kind, each in made.items()})


@pytest.fixture(scope="module")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    charset, name, word = NAMES[request.param]
    folder = tmp_path_factory.mktemp("identity")
    return make(folder, SpecificCharacterSet=charset, PatientName=name, **identified(word))


every_character_set = pytest.mark.parametrize("made", NAMES, indirect=True)


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False)
    return done.stdout + done.stderr


def identity(header: Dataset) -> dict[str, Any]:
    """Patient and study of a file: text as bytes, sequences as their content."""
    found: dict[str, Any] = {}
    for keyword in (*PATIENT_AND_STUDY_TYPE_2, *PATIENT_AND_STUDY_OPTIONAL):
        if keyword in header:
            raw = header.get_item(keyword)
            assert raw is not None
            sequence = dictionary_VR(keyword) == "SQ"
            found[keyword] = header[keyword].to_json_dict(None, 0) if sequence else raw.value
    return found


@every_character_set
def test_identity_is_the_source_s_byte_for_byte(made: Made) -> None:
    expected = identity(dcmread(made.image, stop_before_pixels=True))
    assert len(expected) > 20
    for kind, path in made.objects.items():
        assert identity(dcmread(path)) == expected, kind


@every_character_set
def test_requests_and_equipment_travel_too(made: Made) -> None:
    image = dcmread(made.image, stop_before_pixels=True)
    (asked,), (router,) = image.RequestAttributesSequence, image.ContributingEquipmentSequence
    for kind, path in made.objects.items():
        ours = dcmread(path)
        (told,) = ours.get("RequestAttributesSequence") or ours.ReferencedRequestSequence
        for keyword in ("RequestedProcedureID", "RequestedProcedureDescription", "AccessionNumber"):
            assert told[keyword].value == asked[keyword].value, (kind, keyword)
        assert told.IssuerOfAccessionNumberSequence == asked.IssuerOfAccessionNumberSequence, kind
        first, scanner = ours.ContributingEquipmentSequence
        assert (first.Manufacturer, first.InstitutionName) == (router.Manufacturer, router.InstitutionName), kind
        assert (scanner.Manufacturer, scanner.InstitutionName) == (image.Manufacturer, image.InstitutionName), kind


@pytest.mark.peer("dciodvfy", "dcentvfy")
@every_character_set
def test_validators_find_no_error_and_one_patient(made: Made) -> None:
    for kind, path in made.objects.items():
        errors = [line for line in run("dciodvfy", str(path)).splitlines() if line.startswith("Error")]
        assert errors == ([UNPAIRED] if kind in UNSIDED else []), kind
    assert "Error" not in run("dcentvfy", str(made.image), *map(str, made.objects.values()))


@pytest.mark.peer("dcmdump", "dsrdump")
@every_character_set
def test_others_read_the_name(made: Made, request: pytest.FixtureRequest) -> None:
    case = request.node.callspec.params["made"]
    convert = () if case in UNCONVERTED else ("+U8",)
    name = run("dcmdump", *convert, "+L", "+P", "PatientName", str(made.image))
    assert case in UNCONVERTED or NAMES[case][1] in name
    for kind, path in made.objects.items():
        assert run("dcmdump", *convert, "+L", "+P", "PatientName", str(path)) == name, kind
    for kind in ("tid1500", "tid5000", "abstention"):
        output = run("dsrdump", *convert, str(made.objects[kind]))
        assert "E: " not in output, kind
        assert NAMES[case][1].split("=")[0].split("^")[1] in output, kind


def test_bytes_that_contradict_their_character_set_are_not_mended(tmp_path: Path) -> None:
    """Another reader of the archive sees the same wrong bytes in the image and in our objects."""
    words = {"PatientName": "MQQller^X", "PatientID": "PQQ1", "StudyDescription": "SQQ"}
    for charset in ("ISO_IR 192", "GB18030", "ISO_IR 127"):
        image = save(us_image(picture(), [], SpecificCharacterSet=charset, **words), tmp_path / "image.dcm")
        image.write_bytes(image.read_bytes().replace(b"QQ", b"\xfc\xff"))
        header = read_part10(image).header
        assert str(header.PatientID)  # looked at, and so converted
        ours = dcmread(save(BUILDERS["tid1500"](report(header)), tmp_path / "sr.dcm"))
        for keyword, word in words.items():
            raw = ours.get_item(keyword)
            assert raw is not None
            assert raw.value.rstrip() == word.encode().replace(b"QQ", b"\xfc\xff"), charset


def test_what_the_image_lacks_is_empty_or_absent(tmp_path: Path) -> None:
    made = make(tmp_path, **dict.fromkeys(PATIENT_AND_STUDY_TYPE_2))
    for kind, path in made.objects.items():
        ours = dcmread(path)
        assert all(keyword in ours and not ours[keyword].value for keyword in PATIENT_AND_STUDY_TYPE_2), kind
        invented = [keyword for keyword in PATIENT_AND_STUDY_OPTIONAL if keyword in ours and keyword not in made.source]
        assert invented == [], kind
