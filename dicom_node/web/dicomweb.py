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
from dicom_node.errors import InstanceRefused, StorageUnavailable
from dicom_node.part10 import read_part10, read_start, untrusted
from dicom_node.pixels import StoredPixels
from dicom_node.storage.files import named_read_errors
from dicom_node.storage.repository import Repository
from inference.domain import Reason

Attributes = dict[str, Any]
"""DICOM JSON model (PS3.18 F)."""

INLINE_BYTES = 1024
"""Longer binary values are fetched by an address of their own."""

_LAST_OF_STUDY = Tag("StudyID")
"""No attribute of STUDY_LEVEL, nor the series' UID and modality, has a higher tag."""

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

    @property
    def brief(self) -> Brief:
        """Raises InstanceRefused, StorageUnavailable."""
        try:
            return _brief(self.path)
        except OSError as error:
            raise StorageUnavailable("The file system does not let us read the object.") from error


@dataclass(frozen=True, slots=True)
class Brief:
    """What lists of studies need of an object, remembered for many: a page of studies has hundreds."""

    series_instance_uid: str
    modality: str


@lru_cache(maxsize=256)
def _header(path: Path) -> Dataset:
    return read_header(path)


@lru_cache(maxsize=5000)
def _brief(path: Path) -> Brief:
    """From the beginning of the file alone: what stands behind the study's own attributes is not looked at."""
    header = read_start(path, _LAST_OF_STUDY)
    series, modality = (str(header.get(keyword, "")) for keyword in ("SeriesInstanceUID", "Modality"))
    return Brief(series, modality)


@lru_cache(maxsize=1000)
def _study_level(path: Path) -> Attributes:
    return _chosen(read_start(path, _LAST_OF_STUDY), STUDY_LEVEL)


def held(repository: Repository, data_dir: Path, study_instance_uid: str) -> tuple[Held, ...]:
    """All that a viewer should see of a study, in the order of arrival; what cannot be parsed is left out."""
    objects = repository.browsing.held([study_instance_uid])[study_instance_uid]
    found = (Held(data_dir / path, study_instance_uid, uid) for uid, path in objects.items())
    return tuple(one for one in found if _is_readable(one) and _is_whole(one))


def listed(repository: Repository, data_dir: Path, study_instance_uids: Sequence[str]) -> list[tuple[Held, ...]]:
    """The same of several studies, for lists of them: only the beginning of each object is looked at."""
    objects = repository.browsing.held(study_instance_uids)
    studies = [[Held(data_dir / path, uid, one) for one, path in objects[uid].items()] for uid in study_instance_uids]
    return [tuple(filter(_is_readable, study)) for study in studies]


def _is_readable(one: Held) -> bool:
    try:
        return one.brief.series_instance_uid != ""
    except (InstanceRefused, StorageUnavailable):
        return False


def _is_whole(one: Held) -> bool:
    try:
        return "SOPInstanceUID" in one.header
    except (InstanceRefused, StorageUnavailable):
        return False


def of_series(objects: Iterable[Held], series_instance_uid: str) -> tuple[Held, ...]:
    return tuple(one for one in objects if one.brief.series_instance_uid == series_instance_uid)


def study_attributes(objects: Sequence[Held], base: str) -> Attributes:
    """PS3.18 10.6.3.3.1. `objects`: those of one study, at least one."""
    with named_read_errors():
        told = dict(_study_level(objects[0].path))
    modalities = sorted({one.brief.modality for one in objects} - {""})
    told |= _json(ModalitiesInStudy=modalities)
    series = {one.brief.series_instance_uid for one in objects}
    told |= _json(NumberOfStudyRelatedSeries=len(series), NumberOfStudyRelatedInstances=len(objects))
    return told | _json(RetrieveURL=f"{base}/studies/{objects[0].study_instance_uid}")


def series_attributes(objects: Sequence[Held], base: str) -> list[Attributes]:
    """One for each series, in the order of their first objects; PS3.18 10.6.3.3.2."""
    series: dict[str, list[Held]] = {}
    for one in objects:
        series.setdefault(one.brief.series_instance_uid, []).append(one)
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
