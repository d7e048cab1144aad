"""What a study holds, as DICOMweb tells it: read from the files themselves, since rows know no patient and no series.

Each received object in the version that stands, and the newest result objects. Files never change, so that a header
that was read once is remembered for a while.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydicom import DataElement, Dataset
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.tag import Tag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian

from dicom_node.decode import read_header, stored_pixels
from dicom_node.domain import Relation
from dicom_node.errors import InstanceRefused, StorageUnavailable
from dicom_node.part10 import read_part10, untrusted
from dicom_node.pixels import StoredPixels
from dicom_node.storage.repository import Repository
from inference.domain import Reason

Attributes = dict[str, Any]
"""DICOM JSON model (PS3.18 F)."""

INLINE_BYTES = 1024
"""Longer binary values are fetched by an address of their own."""

_STANDING = frozenset({Relation.FIRST, Relation.CORRECTION, Relation.REPLACEMENT})

STUDY_LEVEL = (
    *("SpecificCharacterSet", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName"),
    *("TimezoneOffsetFromUTC", "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID"),
    *("StudyID", "StudyDescription"),
)
"""PS3.18 10.6.3.3.1, as far as objects carry them."""

SERIES_LEVEL = (
    *("Modality", "SeriesDescription", "SeriesInstanceUID", "SeriesNumber", "SeriesDate", "SeriesTime"),
    *("PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime", "StudyInstanceUID"),
)
INSTANCE_LEVEL = (
    *("SOPClassUID", "SOPInstanceUID", "InstanceNumber", "Rows", "Columns", "BitsAllocated", "NumberOfFrames"),
    *("SeriesInstanceUID", "StudyInstanceUID"),
)


@dataclass(frozen=True, slots=True)
class Held:
    """An object of a study that can be given out."""

    path: Path
    study_instance_uid: str
    sop_instance_uid: str

    @property
    def header(self) -> Dataset:
        """Raises InstanceRefused, StorageUnavailable."""
        try:
            return _header(self.path)
        except OSError as error:
            raise StorageUnavailable("The file system does not let us read the object.") from error


@lru_cache(maxsize=256)
def _header(path: Path) -> Dataset:
    return read_header(path)


def held(repository: Repository, data_dir: Path, study_instance_uid: str) -> tuple[Held, ...]:
    """All that a viewer should see of a study, in the order of arrival; what cannot be parsed is left out."""
    standing: dict[str, tuple[int, str]] = {}
    for instance in repository.browsing.instances_of_study(study_instance_uid):
        if instance.relation in _STANDING:
            standing[instance.sop_instance_uid] = (instance.id, instance.path)
    paths = [(uid, path) for uid, (_, path) in standing.items()]
    for instance_id, _ in standing.values():
        paths += [(made.sop_instance_uid, made.path) for made in repository.objects_of(instance_id)]
    for said in repository.study_results(study_instance_uid)[-1:]:
        paths += [(made.sop_instance_uid, made.path) for made in said.objects]
    found = (Held(data_dir / path, study_instance_uid, uid) for uid, path in dict.fromkeys(paths))
    return tuple(one for one in found if _is_readable(one))


def _is_readable(one: Held) -> bool:
    try:
        return str(one.header.get("SeriesInstanceUID", "")) != ""
    except (InstanceRefused, StorageUnavailable):
        return False


def of_series(objects: Iterable[Held], series_instance_uid: str) -> tuple[Held, ...]:
    return tuple(one for one in objects if str(one.header.get("SeriesInstanceUID", "")) == series_instance_uid)


def study_attributes(objects: Sequence[Held], base: str) -> Attributes:
    """PS3.18 10.6.3.3.1. `objects`: those of one study, at least one."""
    told = _chosen(objects[0].header, STUDY_LEVEL)
    modalities = sorted({str(one.header.get("Modality", "")) for one in objects} - {""})
    told |= _json(ModalitiesInStudy=modalities)
    series = {str(one.header.SeriesInstanceUID) for one in objects}
    told |= _json(NumberOfStudyRelatedSeries=len(series), NumberOfStudyRelatedInstances=len(objects))
    return told | _json(RetrieveURL=f"{base}/studies/{objects[0].study_instance_uid}")


def series_attributes(objects: Sequence[Held], base: str) -> list[Attributes]:
    """One for each series, in the order of their first objects; PS3.18 10.6.3.3.2."""
    series: dict[str, list[Held]] = {}
    for one in objects:
        series.setdefault(str(one.header.SeriesInstanceUID), []).append(one)
    return [
        _chosen(members[0].header, SERIES_LEVEL)
        | _json(
            NumberOfSeriesRelatedInstances=len(members),
            RetrieveURL=f"{base}/studies/{members[0].study_instance_uid}/series/{uid}",
        )
        for uid, members in series.items()
    ]


def instance_attributes(one: Held, base: str) -> Attributes:
    """PS3.18 10.6.3.3.3."""
    return _chosen(one.header, INSTANCE_LEVEL) | _json(RetrieveURL=address_of(one, base))


def metadata(one: Held, base: str) -> Attributes:
    """All attributes but pixel data; long binary values by an address (PS3.18 10.4.1.1.2)."""
    there = address_of(one, base)

    def by_address(element: DataElement) -> str:
        return f"{there}/bulkdata/{int(element.tag):08x}"

    with untrusted(Reason.UNREADABLE, "metadata"):
        told: Attributes = one.header.to_json_dict(INLINE_BYTES, by_address, suppress_invalid_tags=True)
    meta = getattr(one.header, "file_meta", None)
    syntax = "" if meta is None else str(meta.get("TransferSyntaxUID", ""))
    return told | _json(AvailableTransferSyntaxUID=_sent_as(UID(syntax)))


def address_of(one: Held, base: str) -> str:
    series = one.header.get("SeriesInstanceUID", "")
    return f"{base}/studies/{one.study_instance_uid}/series/{series}/instances/{one.sop_instance_uid}"


def bulk_data(one: Held, tag: int) -> bytes | None:
    """The value of a top-level attribute; None where there is no such binary one."""
    element = one.header.get(Tag(tag))
    value = None if element is None else element.value
    if keyword_for_tag(Tag(tag)) == "EncapsulatedDocument" and isinstance(value, bytes):
        return value[: int(one.header.get("EncapsulatedDocumentLength", len(value)))]
    return value if isinstance(value, bytes) else None


def coded_frames(one: Held, numbers: Sequence[int]) -> tuple[str, list[bytes]]:
    """Frames as they are stored, and their transfer syntax.

    Raises:
        InstanceRefused: there are none that can be given out one by one, as of a video, or no such frame.
        StorageUnavailable: the file cannot be read.
    """
    try:
        file = read_part10(one.path)
        pixels = stored_pixels(file)
        if not isinstance(pixels, StoredPixels) or file.transfer_syntax == ExplicitVRBigEndian:
            raise InstanceRefused(Reason.UNSUPPORTED_TRANSFER_SYNTAX, "(frames are not sent one by one)")
        return _sent_as(file.transfer_syntax), [pixels.coded(number) for number in numbers]
    except ValueError as error:
        raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, f"({error})") from error
    except OSError as error:
        raise StorageUnavailable("The file system does not let us read the object.") from error


def _sent_as(syntax: UID) -> str:
    """Native frames are the same in all little endian transfer syntaxes, and inflated ones no longer deflated."""
    if syntax in (ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian) or not syntax.is_transfer_syntax:
        return str(ExplicitVRLittleEndian)
    return str(syntax) if syntax.is_encapsulated else str(ExplicitVRLittleEndian)


def _chosen(header: Dataset, keywords: Sequence[str]) -> Attributes:
    """Those that are there; an attribute whose value cannot be told is left out."""
    few = Dataset()
    with untrusted(Reason.UNREADABLE, "attributes"):
        for keyword in keywords:
            tag = tag_for_keyword(keyword)
            if tag is not None and tag in header:
                few[Tag(tag)] = header[Tag(tag)]
        told: Attributes = few.to_json_dict(suppress_invalid_tags=True)
    return told


def _json(**values: object) -> Attributes:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    told: Attributes = made.to_json_dict()
    return told
