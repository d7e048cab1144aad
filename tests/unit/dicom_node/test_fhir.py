"""An answer as FHIR resources: the codes of the structured reports, and nothing that FHIR does not know."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from pydicom.dataset import Dataset

from dicom_node.domain import InstanceRef, Relation, StoredResult
from dicom_node.errors import Refused
from dicom_node.fhir import fhir_bundle

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
INSTANCE = InstanceRef(7, "1.2.3.1", 0, "1.2", "1.2.3", "1.2.3.4", "1.2", "p", 1, "s", Relation.FIRST, "US", START)
MEASURED: dict[str, Any] = {
    "status": "measured",
    "hc_mm": 176.4,
    "hc_low_mm": 172.0,
    "hc_high_mm": 180.9,
    "bpd_mm": 49.0,
    "ofd_mm": 62.1,
    "cephalic_index_percent": 78.9,
    "ga_days": 141,
    "ga_low_days": 133,
    "ga_high_days": 149,
    "ga_equation": "Hadlock 1984",
    "model": "net",
    "model_sha256": "ab" * 32,
    "reason": None,
}
ABSTAINED = {"status": "abstained", "reason": "two_heads", "hc_mm": None, "model": "net", "model_sha256": "ab" * 32}


def header(**attributes: str) -> Dataset:
    made = Dataset()
    values = {
        "PatientID": "P1",
        "PatientName": "Doe^Jane",
        "StudyDate": "20260301",
        "StudyTime": "101500",
        **attributes,
    }
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def bundle(answer: dict[str, Any], source: Dataset | None = None) -> dict[str, Any]:
    result = StoredResult(3, 7, "f", answer["status"], answer["reason"], json.dumps(answer), START)
    return fhir_bundle(result, INSTANCE, source or header())


def resources(told: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in told["entry"]]


def test_every_number_is_an_observation_with_its_code_and_unit() -> None:
    report, *observations = resources(bundle(MEASURED))
    told = {
        found["code"]["coding"][0]["code"]: (found["valueQuantity"]["value"], found["valueQuantity"]["code"])
        for found in observations
    }
    assert told == {
        "11984-2": (176.4, "mm"),
        "18185-9": (141, "d"),
        "11820-8": (49.0, "mm"),
        "11851-3": (62.1, "mm"),
        "11823-2": (78.9, "%"),
    }
    assert {found["status"] for found in (report, *observations)} == {"preliminary"}
    assert "Interval 172.0 to 180.9 mm." in str(observations[0]["note"])
    assert report["conclusion"] == "Head circumference 176.4 mm. AI generated, not verified by a clinician."


def test_the_report_refers_to_its_observations_and_to_the_study() -> None:
    told = bundle(MEASURED)
    addresses = [entry["fullUrl"] for entry in told["entry"]]
    report = told["entry"][0]["resource"]
    assert [reference["reference"] for reference in report["result"]] == addresses[1:]
    assert len(set(addresses)) == len(addresses)
    assert report["imagingStudy"][0]["identifier"]["value"] == "urn:oid:1.2.3"
    Bundle.model_validate(told)


def test_the_same_answer_gives_the_same_resources() -> None:
    assert bundle(MEASURED) == bundle(MEASURED)


def test_of_the_patient_there_is_the_identifier_alone() -> None:
    told = bundle(MEASURED)
    assert all(found["subject"]["identifier"]["value"] == "P1" for found in resources(told))
    assert "Doe" not in str(told)
    assert "subject" not in str(bundle(MEASURED, header(PatientID="")))


def test_an_abstention_says_why_and_no_number() -> None:
    report, observation = resources(bundle(ABSTAINED))
    assert "valueQuantity" not in observation
    assert observation["dataAbsentReason"]["text"].startswith("Two parts of the picture look like a head")
    assert report["conclusion"].startswith("Two parts")


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, "2026-03-01"),
        ({"TimezoneOffsetFromUTC": "+0130"}, "2026-03-01T10:15:00+01:30"),
        ({"TimezoneOffsetFromUTC": "-0500"}, "2026-03-01T10:15:00-05:00"),
        ({"StudyDate": "", "StudyTime": ""}, None),
        ({"StudyDate": "20260231"}, None),
    ],
)
def test_the_time_is_told_as_far_as_it_is_known(attributes: dict[str, str], expected: str | None) -> None:
    report = resources(bundle(MEASURED, header(**attributes)))[0]
    assert report.get("effectiveDateTime") == expected


def test_what_no_resource_may_hold_is_refused_without_being_quoted() -> None:
    with pytest.raises(Refused) as refused:
        bundle({**MEASURED, "hc_mm": float("nan")})
    assert "P1" not in str(refused.value)
