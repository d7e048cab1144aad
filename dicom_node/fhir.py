"""An answer about an image as FHIR R4 resources: a DiagnosticReport and its Observations, in a Bundle (HL7 FHIR 4.0.1).

Codes are those of the structured reports. Everything is preliminary: no person has looked at it. The resources are
built through the R4B classes, which are the same as R4's for those that are used here, so that nothing is said that
FHIR does not know.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from fhir.resources.R4B.bundle import Bundle
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_node import __version__
from dicom_node.decode import read_header
from dicom_node.domain import InstanceRef, StoredResult
from dicom_node.errors import Refused
from dicom_node.storage.files import named_read_errors
from dicom_node.storage.repository import Repository
from inference.domain import REASON_TEXT, Reason
from sr_templates import codes
from sr_templates.uids import MANUFACTURER

Resource = dict[str, Any]

_SYSTEMS = {"LN": "http://loinc.org", "SCT": "http://snomed.info/sct", "UCUM": "http://unitsofmeasure.org"}
_URI = "urn:ietf:rfc:3986"
_UID_SYSTEM = "urn:dicom:uid"
_ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_SECTIONS = "http://terminology.hl7.org/CodeSystem/v2-0074"

NOT_VERIFIED = "AI generated, not verified by a clinician."
_OUTER = "From outer to outer border of the skull, by the axes of the ellipse."


def fhir_bundle(result: StoredResult, instance: InstanceRef, header: Dataset) -> Resource:
    """What was said of an image, `header` being that of the image; the same answer gives the same resources.

    Raises:
        Refused: it cannot be said in FHIR.
    """
    answer: Mapping[str, Any] = json.loads(result.document)
    study = {"system": _UID_SYSTEM, "value": f"urn:oid:{instance.study_instance_uid}"}
    shared = {"derivedFrom": [{"type": "ImagingStudy", "identifier": study}], **_shared(result, header, answer)}
    observations = [*_observations(answer, shared)]
    addresses = [_address(result, place) for place in range(1, len(observations) + 1)]
    report: Resource = {
        "resourceType": "DiagnosticReport",
        "status": "preliminary",
        "category": [{"coding": [{"system": _SECTIONS, "code": "RAD"}]}],
        "code": _concept(codes.ULTRASOUND_OB_GYN_REPORT),
        **{name: shared[name] for name in ("subject", "effectiveDateTime") if name in shared},
        "issued": _instant(result.created_at),
        "imagingStudy": [{"type": "ImagingStudy", "identifier": study}],
        "result": [{"reference": address} for address in addresses],
        "conclusion": _conclusion(answer),
    }
    entries = [(_address(result, 0), report), *zip(addresses, observations, strict=True)]
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": _instant(result.created_at),
        "entry": [{"fullUrl": address, "resource": resource} for address, resource in entries],
    }
    try:
        told: Resource = json.loads(Bundle.model_validate(bundle).model_dump_json())
    except ValueError:
        raise Refused("The answer cannot be said in FHIR: its header holds what no resource may hold.") from None
    return told


def as_transaction(bundle: Resource) -> Resource:
    """The same for a server to take as one (FHIR 3.1.0.11.2): each resource only where it has none of that identifier.

    The identifiers are the addresses within the Bundle, and so the same for the same answer: sent twice it stands there
    once.
    """
    entries = []
    for entry in bundle["entry"]:
        address, resource = entry["fullUrl"], dict(entry["resource"])
        identifier = {"system": _URI, "value": address}
        kind = resource["resourceType"]
        resource["identifier"] = [identifier]
        request = {"method": "POST", "url": kind, "ifNoneExist": f"identifier={_URI}|{address}"}
        entries.append({"fullUrl": address, "resource": resource, "request": request})
    made = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    told: Resource = json.loads(Bundle.model_validate(made).model_dump_json())
    return told


def exported(repository: Repository, data_dir: Path, result_id: int) -> tuple[InstanceRef, Resource]:
    """A stored answer and the image that it is about.

    Raises:
        Refused: there is none with that id, or it cannot be said in FHIR.
        InstanceRefused: the image cannot be read.
        StorageUnavailable: the file system does not let us read it.
    """
    result = repository.browsing.result(result_id)
    instance = repository.instance(result.instance_id)
    return instance, bundle_of(result, instance, data_dir)


def bundle_of(result: StoredResult, instance: InstanceRef, data_dir: Path) -> Resource:
    """What was said of a stored image.

    Raises:
        Refused: it cannot be said in FHIR.
        InstanceRefused: the image cannot be read.
        StorageUnavailable: the file system does not let us read it.
    """
    with named_read_errors():
        header = read_header(data_dir / instance.path)
    return fhir_bundle(result, instance, header)


def _shared(result: StoredResult, header: Dataset, answer: Mapping[str, Any]) -> Resource:
    """What every observation says alike."""
    shared: Resource = {
        "resourceType": "Observation",
        "status": "preliminary",
        "category": [{"coding": [{"system": _CATEGORY, "code": "imaging"}]}],
        "issued": _instant(result.created_at),
        "device": {"display": f"{MANUFACTURER} {__version__}, model {answer['model']} ({answer['model_sha256'][:16]})"},
    }
    patient = str(header.get("PatientID", "")).strip()
    if patient:
        shared["subject"] = {"type": "Patient", "identifier": {"value": patient}}
    taken = _taken(header)
    if taken is not None:
        shared["effectiveDateTime"] = taken
    return shared


def _observations(answer: Mapping[str, Any], shared: Resource) -> Iterator[Resource]:
    hc = {**shared, "code": _concept(codes.HEAD_CIRCUMFERENCE)}
    if answer.get("hc_mm") is None:
        reason = REASON_TEXT[Reason(answer["reason"])]
        yield {**hc, "dataAbsentReason": {"coding": [{"system": _ABSENT, "code": "not-performed"}], "text": reason}}
        return
    remarks = [NOT_VERIFIED]
    if answer.get("hc_low_mm") is not None:
        remarks.append(f"Interval {answer['hc_low_mm']:.1f} to {answer['hc_high_mm']:.1f} mm.")
    yield {**hc, "valueQuantity": _quantity(answer["hc_mm"], "mm", "mm"), "note": _notes(remarks)}
    if answer.get("ga_days") is not None:
        yield {
            **shared,
            "code": _concept(codes.GESTATIONAL_AGE),
            "valueQuantity": _quantity(answer["ga_days"], "days", "d"),
            "method": {"text": f"From head circumference, {answer['ga_equation']}"},
            "note": _notes([NOT_VERIFIED, *_age_interval(answer)]),
        }
    for name, code, unit in (
        ("bpd_mm", codes.BIPARIETAL_DIAMETER, "mm"),
        ("ofd_mm", codes.OCCIPITAL_FRONTAL_DIAMETER, "mm"),
        ("cephalic_index_percent", codes.CEPHALIC_INDEX, "%"),
    ):
        if answer.get(name) is not None:
            quantity = _quantity(answer[name], unit, unit)
            yield {**shared, "code": _concept(code), "valueQuantity": quantity, "note": _notes([NOT_VERIFIED, _OUTER])}


def _age_interval(answer: Mapping[str, Any]) -> list[str]:
    if answer.get("ga_low_days") is None:
        return []
    return [f"Interval {answer['ga_low_days']} to {answer['ga_high_days']} days."]


def _conclusion(answer: Mapping[str, Any]) -> str:
    if answer.get("hc_mm") is None:
        return f"{REASON_TEXT[Reason(answer['reason'])]} {NOT_VERIFIED}"
    return f"Head circumference {answer['hc_mm']:.1f} mm. {NOT_VERIFIED}"


def _notes(sentences: list[str]) -> list[Resource]:
    return [{"text": sentence} for sentence in sentences]


def _concept(code: Code) -> Resource:
    return {"coding": [{"system": _SYSTEMS[code.scheme_designator], "code": code.value, "display": code.meaning}]}


def _quantity(value: float, unit: str, ucum: str) -> Resource:
    return {"value": value, "unit": unit, "system": _SYSTEMS["UCUM"], "code": ucum}


def _address(result: StoredResult, place: int) -> str:
    """The same for the same answer, and for no other."""
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, f'{result.fingerprint} {result.instance_id} {place}')}"


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")


def _taken(header: Dataset) -> str | None:
    """When the image was taken, as far as its header says it; a time only together with its zone, as FHIR wants it."""
    date, time, zone = (
        str(header.get(keyword, "")).strip() for keyword in ("StudyDate", "StudyTime", "TimezoneOffsetFromUTC")
    )
    try:
        day = datetime.strptime(date, "%Y%m%d")  # noqa: DTZ007  a day has no zone
        if not (zone and len(time) >= 6):
            return day.date().isoformat()
        offset = timedelta(minutes=int(zone[-4:-2]) * 60 + int(zone[-2:])) * (-1 if zone.startswith("-") else 1)
        moment = datetime.strptime(date + time[:6], "%Y%m%d%H%M%S").replace(tzinfo=timezone(offset))
    except ValueError:
        return None
    return moment.isoformat(timespec="seconds")
