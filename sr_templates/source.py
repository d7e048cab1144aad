"""The part of a result object that its source decides: patient, study, request, scanner; and the shell around it.

Text is copied as the bytes it arrived in, with the source's Specific Character Set (0008,0005), so that an archive
that compares identities byte by byte sees no difference. Therefore all text of our own in data elements is ASCII,
which every character set of PS3.3 C.12.1.1.2 contains.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from types import MappingProxyType

from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import UID, ExplicitVRLittleEndian

from sr_templates import codes
from sr_templates.report import ObjectInput, ReportInput
from sr_templates.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, Equipment, ObjectUids

PATIENT_AND_STUDY_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""Must be there, may be empty (PS3.3 C.7.1.1, C.7.2.1); a source that lacks one gets it empty."""

PATIENT_AND_STUDY_OPTIONAL = (
    "SpecificCharacterSet",
    "TimezoneOffsetFromUTC",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "TypeOfPatientID",
    "PatientBirthTime",
    "OtherPatientIDs",
    "OtherPatientIDsSequence",
    "OtherPatientNames",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "PatientBirthDateInAlternativeCalendar",
    "PatientAlternativeCalendar",
    "QualityControlSubject",
    "AdmissionID",
    "IssuerOfAdmissionIDSequence",
    "ServiceEpisodeID",
    "IssuerOfServiceEpisodeIDSequence",
    "ServiceEpisodeDescription",
    "StudyDescription",
    "IssuerOfAccessionNumberSequence",
    "ProcedureCodeSequence",
    "ReferringPhysicianIdentificationSequence",
    "ConsultingPhysicianName",
    "PhysiciansOfRecord",
    "PhysiciansOfRecordIdentificationSequence",
    "ReferencedStudySequence",
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
)
"""Patient, General Study, Patient Study, Clinical Trial and SOP Common attributes that travel where present."""

SCANNER = (
    "Manufacturer",
    "InstitutionName",
    "InstitutionAddress",
    "StationName",
    "InstitutionalDepartmentName",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
)
"""What Contributing Equipment Sequence says about the scanner (PS3.3 C.12.1, type 3 except Manufacturer)."""

REFERENCED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
"""What a reference from another object consists of."""

_TEXT_VRS = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UT"})
_OFFSET = re.compile(r"([+-])(\d{2})(\d{2})")


class SentHeader(Dataset):
    """A header whose values were converted. `as_sent` has the text elements beyond ASCII as they came.

    A value that contradicts its Specific Character Set cannot be written back once it was decoded.
    """

    as_sent: Mapping[BaseTag, RawDataElement] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Shell:
    """What sets one kind of object apart before its content: `order` counts series numbers and kinds.

    `place` and `places`: which of how many objects of one source in their series, from 0.
    """

    kind: str
    sop_class_uid: UID
    modality: str
    series_description: str
    order: int
    place: int = 0
    places: int = 1


def begin(report: ObjectInput, shell: Shell) -> FileDataset:
    """A result object without content: patient, study, series, equipment, SOP common, file meta information."""
    uids: ObjectUids = getattr(report.uids, shell.kind)
    made = FileDataset("", {}, file_meta=_file_meta(shell.sop_class_uid, uids.sop_instance_uid), preamble=b"\0" * 128)
    _copy_patient_and_study(report.source, made)
    # All raw elements are already in this encoding, so pydicom may write them without decoding them first.
    made.set_original_encoding(False, True, made._character_set)
    made.SOPClassUID = shell.sop_class_uid
    made.SOPInstanceUID = uids.sop_instance_uid
    made.SeriesInstanceUID = uids.series_instance_uid
    made.SeriesNumber = report.series_number + shell.order
    made.SeriesDescription = shell.series_description
    made.Modality = shell.modality
    made.InstanceNumber = _instance_number(report.source, shell)
    _equipment(made, report.equipment)
    _contributing_equipment(report.source, made)
    created = local_time(report.source, report.created)
    made.InstanceCreationDate = made.ContentDate = created.strftime("%Y%m%d")
    made.InstanceCreationTime = made.ContentTime = created.strftime("%H%M%S.%f")
    return made


def copy_request(source: Dataset, target: Dataset) -> None:
    """Request Attributes Sequence (0040,0275), for objects whose series module has it; an SR has `request_items`."""
    copy_element(source, target, "RequestAttributesSequence")


def request_items(source: Dataset) -> list[Dataset]:
    """Items of Referenced Request Sequence (0040,A370) of an SR (PS3.3 C.17.2), from the source's request attributes.

    Empty unless the source names a requested procedure.
    """
    items = []
    for request in items_of(source, "RequestAttributesSequence"):
        item = _item()
        copy_element(source, item, "StudyInstanceUID")
        item.ReferencedStudySequence = []
        numbered = request if "AccessionNumber" in request else source
        copy_element(numbered, item, "AccessionNumber", required=True)
        copy_element(numbered, item, "IssuerOfAccessionNumberSequence")
        item.PlacerOrderNumberImagingServiceRequest = item.FillerOrderNumberImagingServiceRequest = ""
        copy_element(request, item, "RequestedProcedureID", required=True)
        copy_element(request, item, "RequestedProcedureDescription", required=True)
        copy_element(request, item, "RequestedProcedureCodeSequence", required=True)
        items.append(item)
    return items


def _item() -> Dataset:
    """An item of a sequence whose raw elements are in the encoding of the object around it; see `begin`."""
    item = Dataset()
    item.set_original_encoding(False, True, item._character_set)
    return item


def source_reference(report: ReportInput) -> Dataset:
    """Reference to the measured image."""
    return image_reference(report.source, report.measurement.frame)


def image_reference(source: Dataset, frame: int) -> Dataset:
    """SOP Instance Reference Macro (PS3.3 10.8), with the frame (1-based) where the image has several."""
    item = Dataset()
    item.ReferencedSOPClassUID = source.SOPClassUID
    item.ReferencedSOPInstanceUID = source.SOPInstanceUID
    if is_multi_frame(source):
        item.ReferencedFrameNumber = frame
    return item


def is_multi_frame(source: Dataset) -> bool:
    """Whether a reference to the image needs a frame number: the object counts frames, even if only one."""
    return "NumberOfFrames" in source and bool(source.NumberOfFrames)


def local_time(source: Dataset, moment: datetime) -> datetime:
    """The moment in the time zone that the source's other times are in (0008,0201); unchanged where it names none."""
    match = _OFFSET.fullmatch(str(source.get("TimezoneOffsetFromUTC", "")).strip())
    if match is None:
        return moment
    sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return moment.astimezone(timezone(-offset if sign == "-" else offset)) if offset < timedelta(hours=24) else moment


def copy_element(source: Dataset, target: Dataset, keyword: str, required: bool = False) -> None:
    """Copy one element, text as the bytes it arrived in; `required` puts it in empty where the source has none.

    A sequence that came under another VR has no items, and what has none is not copied.
    """
    tag = tag_for_keyword(keyword)
    assert tag is not None  # noqa: S101  our own tables
    vr = dictionary_VR(tag)
    if tag not in source or (vr == "SQ" and not isinstance(source.get(keyword), Sequence)):
        if required:
            setattr(target, keyword, [] if vr == "SQ" else "")
        return
    element = as_sent(source).get(BaseTag(tag)) or source.get_item(tag)
    if isinstance(element, RawDataElement) and isinstance(element.value, bytes) and vr in _TEXT_VRS:
        target[tag] = element._replace(VR=vr, is_implicit_VR=False, is_little_endian=True)
    else:
        target[tag] = deepcopy(source[tag])


def items_of(source: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; none where it is absent or came under another VR."""
    value = source.get(keyword)
    return [*value] if isinstance(value, Sequence) else []


def missing_uid(header: Dataset) -> str | None:
    """Keyword of a UID without which no other object can refer to this one (PS3.3 C.17.2.1); None: all are there."""
    return next((key for key in REFERENCED if not _is_uid(header.get(key))), None)


def _is_uid(value: object) -> bool:
    """One value that is not empty; several are a MultiValue, and what could not be converted is bytes."""
    return isinstance(value, str) and bool(value.strip(" \0"))


def as_sent(source: Dataset) -> Mapping[BaseTag, RawDataElement]:
    """Text of a converted header as it came, where that is known."""
    return source.as_sent if isinstance(source, SentHeader) else {}


def _copy_patient_and_study(source: Dataset, target: Dataset) -> None:
    for keyword in PATIENT_AND_STUDY_OPTIONAL:
        copy_element(source, target, keyword)
    for keyword in PATIENT_AND_STUDY_TYPE_2:
        copy_element(source, target, keyword, required=True)
    copy_element(source, target, "StudyInstanceUID")


def _equipment(target: Dataset, equipment: Equipment) -> None:
    target.Manufacturer = equipment.manufacturer
    target.ManufacturerModelName = equipment.model_name
    target.DeviceSerialNumber = equipment.serial
    target.SoftwareVersions = equipment.software_version
    target.DeviceUID = equipment.device_uid


def _contributing_equipment(source: Dataset, target: Dataset) -> None:
    """The source's own list, then the scanner itself; a scanner without a name cannot be listed (type 1)."""
    copy_element(source, target, "ContributingEquipmentSequence")
    if not str(source.get("Manufacturer") or "").strip():
        return
    scanner = _item()
    for keyword in SCANNER:
        copy_element(source, scanner, keyword)
    scanner.PurposeOfReferenceCodeSequence = [codes.code_item(codes.ACQUISITION_EQUIPMENT)]
    target.ContributingEquipmentSequence = [*items_of(target, "ContributingEquipmentSequence"), scanner]


def _instance_number(source: Dataset, shell: Shell) -> str:
    """The source's own, so that results sort like their images; 1 where it has none.

    In a series with several objects of one source they stand beside each other: 1 and 2 for image 1, 3 and 4 for 2.
    """
    number = str(source.get("InstanceNumber") or "").strip()
    if not re.fullmatch(r"[+-]?\d{1,11}", number):
        number = "1"
    if shell.places == 1:
        return number
    beside = (int(number) - 1) * shell.places + shell.place + 1
    return str(beside) if abs(beside) < 2**31 else number  # VR IS, PS3.5 6.2


def _file_meta(sop_class_uid: UID, sop_instance_uid: str) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = sop_class_uid
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    return meta
