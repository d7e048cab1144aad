"""Stored object or picture file -> frames with a scale, or a named refusal.

The page that says in which order an object is questioned; the questions live in part10.py (the file), pixels.py (its
frames), photometric.py and colour.py (colours) and calibration.py (millimetres).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from pydicom.dataset import Dataset

from dicom_node.calibration import Calibration, calibrate, given
from dicom_node.colour import coloured
from dicom_node.errors import InstanceRefused
from dicom_node.frame_times import frame_times_ms
from dicom_node.part10 import PIXEL_DATA_GROUP, Part10File, read_part10, untrusted, without_groups
from dicom_node.photometric import Picture, Samples, luminance, to_picture
from dicom_node.pixel_description import MAXIMUM_FRAME_PIXELS, describe, describe_size
from dicom_node.pixels import StoredPixels
from dicom_node.receive.contexts import is_secondary_capture, measurable
from dicom_node.transfer_syntaxes import is_decodable, is_video
from dicom_node.video import VideoPixels
from inference.domain import Frame, PixelSpacingMm, Reason
from sr_templates.uids import is_own_object

CAPTURE_MODALITIES = frozenset({"", "US", "OT"})
"""What a secondary capture of an ultrasound screen says it is: ultrasound, other, or nothing."""

Pixels = StoredPixels | VideoPixels
"""The frames of an object: one by one in the file, or coded as one stream."""


@dataclass(frozen=True)
class DecodedPicture:
    """Frames with their scale. Every frame of an object has the same regions.

    `calibration.regions` may hold regions without a scale (`Region.reason` says why): they can be outlined, not
    measured. It is empty, and `calibration.reason` set, where nothing two-dimensional is shown. `frame_times_ms` has a
    time for every frame of a cine, in milliseconds since the first one; None for a still or where the header is silent.
    """

    rows: int
    columns: int
    frame_count: int
    calibration: Calibration
    frame_times_ms: tuple[float, ...] | None
    _picture: Callable[[int], Picture] = field(repr=False)
    _last: list[tuple[int, Picture]] = field(default_factory=list, repr=False, compare=False)

    def frames(self, numbers: Sequence[int]) -> Iterator[Frame]:
        """Decode the frames with these 1-based numbers, one at a time and in this order.

        Raises:
            InstanceRefused: a frame cannot be decoded.
            ValueError: there is no frame of that number.
        """
        for number in numbers:
            picture, regions = self.display(number), self.calibration.regions
            yield Frame(number, luminance(picture), regions, coloured(picture, [region.box for region in regions]))

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


def read_instance(path: Path, *, secondary_captures: bool = False) -> DecodedInstance:
    """Open an object for measurement. Headers and lengths are checked now, frames are decoded when asked for.

    `secondary_captures`: whether screenshots and scans are wanted beside ultrasound images.

    Raises:
        InstanceRefused: EMPTY_FILE, NOT_DICOM, TRUNCATED, UNREADABLE, OWN_RESULT, UNSUPPORTED_SOP_CLASS,
            UNSUPPORTED_TRANSFER_SYNTAX, NO_PIXEL_DATA, BAD_PIXEL_DESCRIPTION or UNSUPPORTED_PHOTOMETRIC;
            PIXELS_UNDECODABLE for a video that cannot be opened.
        OSError: the file cannot be read.
    """
    file = read_part10(path)
    if is_own_object(file.header):
        raise InstanceRefused(Reason.OWN_RESULT)
    _check_class(file.header, secondary_captures)
    pixels = stored_pixels(file)
    what = pixels.description
    # of the frames that the header promises: a video may end a little before
    times_ms = frame_times_ms(file.header, describe_size(file.header)[2])

    def picture(number: int) -> Picture:
        return picture_of(pixels, pixels.samples(number))

    return DecodedInstance(
        what.rows,
        what.columns,
        what.frames,
        calibrate(file.header, what.rows, what.columns, pixels.sample_aspect),
        times_ms[: what.frames] if times_ms else None,
        picture,
        header=_without_pixels(file.header),
    )


def read_header(path: Path) -> Dataset:
    """The header that `read_instance` gives, of an object that it took before; no file stays open.

    Raises:
        InstanceRefused: EMPTY_FILE, NOT_DICOM, TRUNCATED or UNREADABLE.
        OSError: the file cannot be read.
    """
    return _without_pixels(read_part10(path).header)


def _without_pixels(header: Dataset) -> Dataset:
    """Offset tables of that group describe pixel data that the header no longer has."""
    return without_groups(header, (PIXEL_DATA_GROUP,))


def _check_class(header: Dataset, secondary_captures: bool) -> None:
    """A secondary capture may be of any modality; it is looked at unless it names another than ultrasound."""
    sop_class = str(header.get("SOPClassUID", ""))
    if not measurable(sop_class, secondary_captures=secondary_captures):
        raise InstanceRefused(Reason.UNSUPPORTED_SOP_CLASS)
    if is_secondary_capture(sop_class) and str(header.get("Modality", "")).strip() not in CAPTURE_MODALITIES:
        raise InstanceRefused(Reason.UNSUPPORTED_SOP_CLASS, "(a secondary capture of another modality)")


def read_picture(path: Path, spacing_mm: PixelSpacingMm | None) -> DecodedPicture:
    """Open a PNG, JPEG, BMP or TIFF file as one frame with the spacing that the user gave, if any.

    It is turned and mirrored as its Exif orientation asks, as viewers do: `spacing_mm` counts rows as they are seen.

    Raises:
        InstanceRefused: EMPTY_FILE, NOT_DICOM (not a picture either), BAD_PIXEL_DESCRIPTION or PIXELS_UNDECODABLE.
        OSError: the file cannot be read.
    """
    if path.stat().st_size == 0:
        raise InstanceRefused(Reason.EMPTY_FILE)
    formats = ("PNG", "JPEG", "BMP", "TIFF")
    # not by its name: a turned TIFF that is mapped into memory is read with rows and columns mixed up
    with untrusted(Reason.NOT_DICOM, "picture"), path.open("rb") as file, Image.open(file, formats=formats) as image:
        columns, rows = image.size
        if rows * columns > MAXIMUM_FRAME_PIXELS:
            raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, f"({rows} rows x {columns} columns is too large)")
        with untrusted(Reason.PIXELS_UNDECODABLE, "picture"):
            # the spacing is that of the picture which viewers show, so it is turned as they turn it
            # (a TIFF is turned when it is loaded, and would be turned twice)
            picture = _pillow_picture(image if image.format == "TIFF" else ImageOps.exif_transpose(image))
    rows, columns = picture.shape[:2]
    return DecodedPicture(rows, columns, 1, given(spacing_mm, rows, columns), None, lambda _number: picture)


def stored_pixels(file: Part10File) -> Pixels:
    """The frames of a parsed file, checked but not decoded. Raises InstanceRefused as `read_instance` does."""
    if not is_decodable(file.transfer_syntax):
        raise InstanceRefused(Reason.UNSUPPORTED_TRANSFER_SYNTAX, f"({file.transfer_syntax})")
    if file.pixel_element is None:
        raise InstanceRefused(Reason.NO_PIXEL_DATA)
    pixels: Pixels
    if is_video(file.transfer_syntax):
        pixels = VideoPixels(file, file.pixel_element)
    else:
        pixels = StoredPixels(file, describe(file.header), file.pixel_element)
    pixels.check_extent()
    return pixels


def picture_of(pixels: Pixels, samples: Samples) -> Picture:
    """One decoded frame in its colours. Raises InstanceRefused: BAD_LOOKUP_TABLE, PIXELS_UNDECODABLE."""
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
