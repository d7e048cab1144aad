"""Stored object or picture file -> frames with a scale, or a named refusal.

The page that says in which order an object is questioned; the questions live in part10.py (the file), pixels.py (its
frames), photometric.py (colour) and calibration.py (millimetres).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from dicom_node.calibration import Calibration, calibrate, given
from dicom_node.domain import Relation
from dicom_node.errors import InstanceRefused
from dicom_node.part10 import PIXEL_DATA_GROUP, Part10File, read_part10, untrusted, without_groups
from dicom_node.photometric import Picture, Samples, luminance, to_picture
from dicom_node.pixels import MAXIMUM_FRAME_PIXELS, StoredPixels, describe, is_decodable
from dicom_node.receive.contexts import measurable
from inference.domain import Frame, PixelSpacingMm, Reason
from sr_templates.uids import is_own_object

PIECE_BYTES = 1 << 20
"""How much of a file that is compared byte by byte is in memory at once."""


@dataclass(frozen=True)
class DecodedPicture:
    """Frames with their scale. Every frame of an object has the same regions.

    `calibration.regions` may hold regions without a scale (`Region.reason` says why): they can be outlined, not
    measured. It is empty, and `calibration.reason` set, where nothing two-dimensional is shown.
    """

    rows: int
    columns: int
    frame_count: int
    calibration: Calibration
    _picture: Callable[[int], Picture] = field(repr=False)
    _last: list[tuple[int, Picture]] = field(default_factory=list, repr=False, compare=False)

    def frames(self, numbers: Sequence[int]) -> Iterator[Frame]:
        """Decode the frames with these 1-based numbers, one at a time and in this order.

        Raises:
            InstanceRefused: a frame cannot be decoded.
            ValueError: there is no frame of that number.
        """
        for number in numbers:
            yield Frame(number, luminance(self.display(number)), self.calibration.regions)

    def display(self, number: int) -> Picture:
        """Frame `number` (1-based) as the machine showed it: uint8 RGB [rows, columns, 3]. Raises as `frames` does."""
        if not 1 <= number <= self.frame_count:
            raise ValueError(f"frame {number} of {self.frame_count}")
        if not self._last or self._last[0][0] != number:
            # the frame that was measured is the one that is drawn next: decoded once
            self._last[:] = [(number, self._picture(number))]
        return self._last[0][1].copy()


@dataclass(frozen=True)
class DecodedInstance(DecodedPicture):
    """A DICOM object. `header` holds every attribute before Pixel Data, as sent, with file_meta."""

    header: Dataset = field(kw_only=True, repr=False)


def read_instance(path: Path) -> DecodedInstance:
    """Open an object for measurement. Headers and lengths are checked now, frames are decoded when asked for.

    Raises:
        InstanceRefused: EMPTY_FILE, NOT_DICOM, TRUNCATED, UNREADABLE, OWN_RESULT, UNSUPPORTED_SOP_CLASS,
            UNSUPPORTED_TRANSFER_SYNTAX, NO_PIXEL_DATA, BAD_PIXEL_DESCRIPTION or UNSUPPORTED_PHOTOMETRIC.
        OSError: the file cannot be read.
    """
    file = read_part10(path)
    if is_own_object(file.header):
        raise InstanceRefused(Reason.OWN_RESULT)
    if not measurable(str(file.header.get("SOPClassUID", ""))):
        raise InstanceRefused(Reason.UNSUPPORTED_SOP_CLASS)
    pixels = _stored_pixels(file)
    what = pixels.description

    def picture(number: int) -> Picture:
        return _picture(pixels, pixels.samples(number))

    return DecodedInstance(
        what.rows,
        what.columns,
        what.frames,
        calibrate(file.header, what.rows, what.columns),
        picture,
        # offset tables of that group describe pixel data that this header no longer has
        header=without_groups(file.header, (PIXEL_DATA_GROUP,)),
    )


def read_picture(path: Path, spacing_mm: PixelSpacingMm | None) -> DecodedPicture:
    """Open a PNG, JPEG, BMP or TIFF file as one frame with the spacing that the user gave, if any.

    Raises:
        InstanceRefused: EMPTY_FILE, NOT_DICOM (not a picture either), BAD_PIXEL_DESCRIPTION or PIXELS_UNDECODABLE.
        OSError: the file cannot be read.
    """
    if path.stat().st_size == 0:
        raise InstanceRefused(Reason.EMPTY_FILE)
    with untrusted(Reason.NOT_DICOM, "picture"), Image.open(path, formats=("PNG", "JPEG", "BMP", "TIFF")) as image:
        columns, rows = image.size
        if rows * columns > MAXIMUM_FRAME_PIXELS:
            raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, f"({rows} rows x {columns} columns is too large)")
        with untrusted(Reason.PIXELS_UNDECODABLE, "picture"):
            picture = _pillow_picture(image)
    return DecodedPicture(rows, columns, 1, given(spacing_mm, rows, columns), lambda _number: picture)


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
        _stored_pixels(file)
    except InstanceRefused:
        return True
    return False


def _same_pixels(a: Part10File, b: Part10File) -> bool:
    if a.pixel_element is None or b.pixel_element is None:
        return a.pixel_element is b.pixel_element
    try:
        return _same_frames(_stored_pixels(a), _stored_pixels(b))
    except InstanceRefused:
        return a.transfer_syntax == b.transfer_syntax and _same_bytes(a, b)


def _same_frames(a: StoredPixels, b: StoredPixels) -> bool:
    """Both the stored samples (16 bits may hide behind 8) and the pictures they make."""
    if a.description.frames != b.description.frames:
        return False
    for number in range(1, a.description.frames + 1):
        first, second = a.samples(number), b.samples(number)
        same = np.array_equal(first, second) or "PALETTE COLOR" in (
            a.description.photometric,
            b.description.photometric,
        )
        if not (same and np.array_equal(_picture(a, first), _picture(b, second))):
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


def _stored_pixels(file: Part10File) -> StoredPixels:
    if not is_decodable(file.transfer_syntax):
        raise InstanceRefused(Reason.UNSUPPORTED_TRANSFER_SYNTAX, f"({file.transfer_syntax})")
    if file.pixel_element is None:
        raise InstanceRefused(Reason.NO_PIXEL_DATA)
    pixels = StoredPixels(file, describe(file.header), file.pixel_element)
    pixels.check_extent()
    return pixels


def _picture(pixels: StoredPixels, samples: Samples) -> Picture:
    what = pixels.description
    with untrusted(Reason.PIXELS_UNDECODABLE, "colours"):
        return to_picture(samples, pixels.file.header, what.photometric, what.bits_stored)


def _pillow_picture(image: Image.Image) -> Picture:
    """8-bit RGB; 16-bit grey is scaled by its full range; transparency is dropped."""
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = np.clip(np.rint(np.asarray(image, dtype=np.float64) / 257.0), 0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    picture: Picture = np.asarray(image.convert("RGB"), dtype=np.uint8)
    return picture
