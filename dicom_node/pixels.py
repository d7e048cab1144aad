"""Pixel Data, frame by frame: what the Image Pixel module (PS3.3 C.7.6.3) promises is checked before it is decoded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO

from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.uid import (
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSTransferSyntaxes,
)

from dicom_node.codestream import END_OF_IMAGE, frame_header
from dicom_node.errors import InstanceRefused
from dicom_node.fragments import find_fragments
from dicom_node.frame_colour import check_jpeg_2000, check_lossless_jpeg, decode_jpeg
from dicom_node.part10 import Part10File, PixelElement, untrusted
from dicom_node.photometric import Samples, stored_values
from dicom_node.transfer_syntaxes import DECODERS, decoder_of
from inference.domain import Reason

MAXIMUM_FRAME_PIXELS = 4096 * 2560
"""A 4K screen and some more, at most 0.9 GB while it is looked at; a larger frame is damage or an attack."""

MAXIMUM_FRAMES = 100_000

SAMPLES_OF = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}
"""Photometric interpretations that can be shown, with their Samples per Pixel (PS3.3 C.7.6.3.1.2)."""

LOSSY_JPEG = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit})
LOSSLESS_JPEG = frozenset({JPEGLossless, JPEGLosslessSV1})
JPEG_OF_8_BITS = LOSSY_JPEG | LOSSLESS_JPEG
"""Their decoder knows 8 bits only; a deeper frame is refused by name."""


@dataclass(frozen=True, slots=True)
class PixelDescription:
    """The Image Pixel module, checked."""

    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    planar_configuration: int
    bits_allocated: int
    bits_stored: int
    high_bit: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one native frame; YBR_FULL_422 stores two chroma samples for two pixels."""
        samples = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return self.rows * self.columns * samples * self.bits_allocated // 8


def describe(header: Dataset) -> PixelDescription:
    """Read and check the Image Pixel module.

    Raises:
        InstanceRefused: BAD_PIXEL_DESCRIPTION or UNSUPPORTED_PHOTOMETRIC.
    """
    photometric = header.get("PhotometricInterpretation")
    if not isinstance(photometric, str) or not photometric:
        raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, "(Photometric Interpretation is missing)")
    if photometric not in SAMPLES_OF:
        raise InstanceRefused(Reason.UNSUPPORTED_PHOTOMETRIC)
    samples = _integer(header, "SamplesPerPixel", 1, 3)
    if samples != SAMPLES_OF[photometric]:
        raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, f"(Samples per Pixel {samples} with {photometric})")
    rows, columns, frames = describe_size(header)
    bits_allocated = _integer(header, "BitsAllocated", 8, 16)
    if bits_allocated % 8:
        raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, f"(Bits Allocated {bits_allocated})")
    # PS3.3 C.8.5.6.1: ultrasound samples are unsigned
    _integer(header, "PixelRepresentation", 0, 0)
    bits_stored = _integer(header, "BitsStored", 1, bits_allocated)
    return PixelDescription(
        rows=rows,
        columns=columns,
        frames=frames,
        samples=samples,
        photometric=photometric,
        planar_configuration=_integer(header, "PlanarConfiguration", 0, 1, absent=0),
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        # where it lay above the stored bits, in objects of old, others used the bits below
        high_bit=_integer(header, "HighBit", bits_stored - 1, bits_allocated - 1, absent=bits_stored - 1),
    )


def describe_size(header: Dataset) -> tuple[int, int, int]:
    """Rows, columns and frames. Raises InstanceRefused: BAD_PIXEL_DESCRIPTION."""
    rows, columns = _integer(header, "Rows", 1, 65535), _integer(header, "Columns", 1, 65535)
    if rows * columns > MAXIMUM_FRAME_PIXELS:
        raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, f"({rows} rows x {columns} columns is too large)")
    return rows, columns, _integer(header, "NumberOfFrames", 1, MAXIMUM_FRAMES, absent=1)


def _integer(header: Dataset, keyword: str, low: int, high: int, absent: int | None = None) -> int:
    value = header.get(keyword)
    if value in (None, "") and absent is not None:
        return absent
    if not isinstance(value, int):
        raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, f"({keyword} is missing or not a number)")
    if not low <= value <= high:
        raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, f"({keyword} {int(value)})")
    return int(value)


@dataclass(frozen=True)
class StoredPixels:
    """The frames of one file; nothing is decoded until asked for, and never more than one frame at a time."""

    file: Part10File
    description: PixelDescription
    element: PixelElement

    @property
    def sample_aspect(self) -> float | None:
        """Height over width of a sample, where the stream says it beside the header: videos only."""
        return None

    def check_extent(self) -> None:
        """Compare what is there with what the description asks for, without decoding.

        Raises:
            InstanceRefused: TRUNCATED, UNREADABLE or BAD_PIXEL_DESCRIPTION.
        """
        if self.file.transfer_syntax.is_encapsulated != (self.element.length is None):
            raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, "(pixel data and transfer syntax do not match)")
        if self.element.length is None:
            with self.file.open() as stream:
                fragments = find_fragments(stream, self.element.offset, self.file.stream_size)
            missing = len(fragments) < self.description.frames
        else:
            there = self.file.stream_size - self.element.offset
            needed = self.description.frame_bytes * self.description.frames
            missing = there < self.element.length or self.element.length < needed
        if missing:
            raise InstanceRefused(Reason.TRUNCATED)

    def samples(self, number: int) -> Samples:
        """Decode frame `number` (1-based): uint8 or uint16, [rows, columns] or RGB [rows, columns, 3].

        Raises:
            InstanceRefused: BAD_PIXEL_DESCRIPTION, UNSUPPORTED_PHOTOMETRIC or PIXELS_UNDECODABLE.
            ValueError: there is no such frame.
        """
        if not 1 <= number <= self.description.frames:
            raise ValueError(f"frame {number} of {self.description.frames}")
        decoder, (_, plugin) = decoder_of(self.file.transfer_syntax), DECODERS[self.file.transfer_syntax]
        with untrusted(Reason.PIXELS_UNDECODABLE, "pixel data"), self.file.open() as stream:
            encoded = self._checked_frame(stream, number) if self.element.length is None else b""
            if self.description.samples == 3 and self.file.transfer_syntax in LOSSY_JPEG:
                samples, photometric = decode_jpeg(encoded, self.description.photometric), "RGB"
            else:
                stream.seek(self.element.offset)
                samples, found = decoder.as_array(stream, index=number - 1, decoding_plugin=plugin, **self._options)
                photometric = str(found["photometric_interpretation"])
        expected = (self.description.rows, self.description.columns, 3)[: 2 if self.description.samples == 1 else 3]
        if samples.shape != expected:
            raise InstanceRefused(Reason.PIXELS_UNDECODABLE, "(decoded size differs)")
        if self.description.samples == 3 and photometric != "RGB":
            raise InstanceRefused(Reason.UNSUPPORTED_PHOTOMETRIC, "(in this transfer syntax)")
        return stored_values(samples, self.description.bits_stored, self.description.high_bit)

    def _checked_frame(self, stream: BinaryIO, number: int) -> bytes:
        """One encoded frame: not cut, not far too long, and of the size, depth and colours that the description has."""
        stream.seek(self.element.offset)
        encoded = get_frame(
            stream,
            number - 1,
            number_of_frames=self.description.frames,
            extended_offsets=self._options.get("extended_offsets"),
        )
        # CharLS runs for minutes where a scan ends without a marker; its entropy coding can never make one by chance
        if self.file.transfer_syntax in JPEGLSTransferSyntaxes and END_OF_IMAGE not in encoded[-16:]:
            raise InstanceRefused(Reason.TRUNCATED, "(a JPEG-LS frame has no end)")
        found = frame_header(encoded)
        if found is not None and (found.rows, found.columns) != (self.description.rows, self.description.columns):
            raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, "(the compressed frame names another size)")
        deep = found is not None and found.bits is not None and found.bits > 8
        if deep and self.file.transfer_syntax in JPEG_OF_8_BITS:
            raise InstanceRefused(Reason.UNSUPPORTED_TRANSFER_SYNTAX, "(JPEG of more than 8 bits)")
        if len(encoded) > 2 * self.description.rows * self.description.columns * self.description.samples * 2 + 65536:
            raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, "(the compressed frame is too long)")
        if found is not None and found.bits is not None and found.bits < self.description.bits_stored:
            raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, "(the compressed frame has too few bits)")
        if found is not None and self.description.high_bit != self.description.bits_stored - 1:
            raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, f"(HighBit {self.description.high_bit})")
        if self.description.samples == 3:
            self._check_colours(encoded)
        return encoded

    def _check_colours(self, encoded: bytes) -> None:
        if self.file.transfer_syntax in LOSSLESS_JPEG:
            check_lossless_jpeg(encoded, self.description.photometric)
        elif self.file.transfer_syntax in JPEG2000TransferSyntaxes:
            check_jpeg_2000(encoded, self.description.photometric)

    @cached_property
    def _options(self) -> dict[str, Any]:
        """What the decoder needs to know, from the checked description instead of the raw header."""
        options: dict[str, Any] = {
            "rows": self.description.rows,
            "columns": self.description.columns,
            "number_of_frames": self.description.frames,
            "samples_per_pixel": self.description.samples,
            "photometric_interpretation": self._native_photometric(),
            "bits_allocated": self.description.bits_allocated,
            "bits_stored": self.description.bits_stored,
            "pixel_representation": 0,
            "pixel_keyword": "PixelData",
            "pixel_vr": self.element.vr,
            "correct_unused_bits": False,  # `stored_values` does, and knows High Bit
        }
        if self.description.samples == 3:
            # it orders native samples; a compressed frame has an order of its own, whatever was copied along
            native = self.element.length is not None
            options["planar_configuration"] = self.description.planar_configuration if native else 0
        table = (self.file.header.get("ExtendedOffsetTable"), self.file.header.get("ExtendedOffsetTableLengths"))
        if self.element.length is None and all(isinstance(part, bytes) and part for part in table):
            options["extended_offsets"] = table
        return options

    def _native_photometric(self) -> str:
        """Some machines write YBR_FULL_422 over pixel data that is not subsampled; its length tells."""
        full = math.prod((self.description.rows, self.description.columns, 3, self.description.frames))
        if self.description.photometric == "YBR_FULL_422" and (self.element.length or 0) >= full:
            return "YBR_FULL"
        return self.description.photometric
