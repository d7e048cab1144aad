"""Two versions of one object, as told apart: the same picture, another name on it, or another picture.

Pixels are compared as decoded and attributes as meant, so that a copy in another transfer syntax or character set is
still the same object.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from dicom_node.decode import Pixels, picture_of, stored_pixels
from dicom_node.domain import Relation
from dicom_node.errors import InstanceRefused
from dicom_node.part10 import PIXEL_DATA_GROUP, Part10File, read_part10

PIECE_BYTES = 1 << 20
"""How much of a file that is compared byte by byte is in memory at once."""


def same_content(a: Path, b: Path) -> Relation:
    """How a later version `b` of an object relates to an earlier one `a` with the same SOP Instance UID.

    Pixels are compared frame by frame as decoded, so another transfer syntax alone changes nothing; pixels that cannot
    be decoded here are the same only byte by byte. Attributes are compared by value, an absent one like an empty one.
    Not compared (volatile): file meta, private attributes, those in VOLATILE, and pixel storage details.

    Returns:
        REPLACEMENT: `b` can be read and `a` cannot (damaged, or in an encoding that is not decoded here).
        CONFLICT: other pixels, or, for an object without pixels, content beyond IDENTITY differs.
        CORRECTION: same pixels; identity, calibration or another attribute was changed.
        DUPLICATE: nothing that counts differs.

    Raises:
        InstanceRefused: `b` cannot be parsed.
        OSError: a file cannot be read.
    """
    second = read_part10(b)
    try:
        first = read_part10(a)
    except InstanceRefused:
        return Relation.REPLACEMENT
    if _is_damaged(first) and not _is_damaged(second):
        return Relation.REPLACEMENT
    differing = differing_keywords(first.header, second.header)
    if not _same_pixels(first, second):
        return Relation.CONFLICT
    if first.pixel_element is None and differing - IDENTITY:
        return Relation.CONFLICT
    return Relation.CORRECTION if differing else Relation.DUPLICATE


IDENTITY = frozenset({
    "PatientName", "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "OtherPatientIDsSequence",
    "OtherPatientNames", "PatientBirthDate", "PatientBirthTime", "PatientSex", "PatientAge", "PatientSize",
    "PatientWeight", "PatientComments", "LastMenstrualDate", "PregnancyStatus",
    "StudyInstanceUID", "SeriesInstanceUID", "StudyID", "StudyDate", "StudyTime", "StudyDescription",
    "AccessionNumber", "IssuerOfAccessionNumberSequence", "ReferringPhysicianName", "RequestAttributesSequence",
    "ReferencedRequestSequence", "AdmissionID", "InstitutionName",
})  # fmt: skip
"""Who and which examination: Patient, General Study and request identification (PS3.3 C.7.1.1, C.7.2.1, C.7.3.1)."""

VOLATILE = frozenset({
    # who wrote or moved this copy, and when
    "InstanceCreationDate", "InstanceCreationTime", "InstanceCreatorUID", "InstanceCoercionDateTime",
    "RetrieveAETitle", "RetrieveURL", "InstanceAvailability", "StorageMediaFileSetID", "StorageMediaFileSetUID",
    "OriginalAttributesSequence", "ModifiedAttributesSequence", "ContributingEquipmentSequence",
    "MACParametersSequence", "DigitalSignaturesSequence", "DataSetTrailingPadding", "TimezoneOffsetFromUTC",
    "DerivationDescription", "DerivationCodeSequence",
    # how text and pixels are stored; what they say is compared after decoding
    "SpecificCharacterSet", "PhotometricInterpretation", "SamplesPerPixel", "PlanarConfiguration", "BitsAllocated",
    "HighBit", "NumberOfFrames", "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod",
    "SmallestImagePixelValue", "LargestImagePixelValue", "PixelDataProviderURL", "IconImageSequence",
})  # fmt: skip
"""Attributes that may differ between copies of the same object without making it another one."""


def differing_keywords(a: Dataset, b: Dataset) -> frozenset[str]:
    """Keywords of the non-volatile attributes (unnamed ones: their tag) in which two headers differ."""
    first, second = _comparable(a), _comparable(b)
    return frozenset(key for key in first.keys() | second.keys() if first.get(key) != second.get(key))


def _comparable(dataset: Dataset) -> dict[str, Any]:
    """Keyword -> value, without what is volatile, private or empty."""
    named = {e.keyword or str(e.tag): _plain(e.value) for e in dataset if _counts(e.tag.group, e.is_private)}
    return {key: value for key, value in named.items() if key not in VOLATILE and value not in ("", b"", None, [], {})}


def _counts(group: int, private: bool) -> bool:
    return not private and group != PIXEL_DATA_GROUP


def _plain(value: Any) -> Any:
    """Sequences as lists of mappings, text without padding, numbers as numbers."""
    if isinstance(value, Dataset):
        return _comparable(value)
    if isinstance(value, PersonName):
        return str(value).rstrip("^= ")
    if isinstance(value, str):
        return str(value).strip(" \0")
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if value is None:
        return None
    return [_plain(item) for item in value]


def _is_damaged(file: Part10File) -> bool:
    """It has pixel data, and not in a way that could be decoded here."""
    if file.pixel_element is None:
        return False
    try:
        stored_pixels(file)
    except InstanceRefused:
        return True
    return False


def _same_pixels(a: Part10File, b: Part10File) -> bool:
    if a.pixel_element is None or b.pixel_element is None:
        return a.pixel_element is b.pixel_element
    try:
        return _same_frames(stored_pixels(a), stored_pixels(b))
    except InstanceRefused:
        return a.transfer_syntax == b.transfer_syntax and _same_bytes(a, b)


def _same_frames(a: Pixels, b: Pixels) -> bool:
    """Both the stored samples (16 bits may hide behind 8) and the pictures they make."""
    if a.description.frames != b.description.frames:
        return False
    for number in range(1, a.description.frames + 1):
        first, second = a.samples(number), b.samples(number)
        same = np.array_equal(first, second) or "PALETTE COLOR" in (
            a.description.photometric,
            b.description.photometric,
        )
        if not (same and np.array_equal(picture_of(a, first), picture_of(b, second))):
            return False
    return True


def _same_bytes(a: Part10File, b: Part10File) -> bool:
    """From Pixel Data on, a piece at a time: a video may be larger than the memory."""
    with a.open() as first, b.open() as second:
        for file, stream in ((a, first), (b, second)):
            stream.seek(file.pixel_element.offset if file.pixel_element else 0)
        while (piece := first.read(PIECE_BYTES)) == second.read(PIECE_BYTES):
            if not piece:
                return True
    return False
