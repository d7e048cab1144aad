"""Pixel Data, frame by frame: what the header promises is held against what is there before it is decoded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO

from pydicom.uid import JPEG2000TransferSyntaxes

from dicom_node.encapsulated import as_pixel_data, find_frames, read_frame
from dicom_node.errors import InstanceRefused
from dicom_node.fragments import Span
from dicom_node.frame_checks import LOSSY_JPEG, check_frame
from dicom_node.frame_colour import decode_jpeg, jpeg_2000_photometric, rgb_of_ybr
from dicom_node.native import contradicts_planes, is_subsampled
from dicom_node.part10 import Part10File, PixelElement, untrusted
from dicom_node.photometric import Samples, overlay_bits, stored_values
from dicom_node.pixel_description import PixelDescription
from dicom_node.transfer_syntaxes import DECODERS, decoder_of
from inference.domain import Reason

PADDING_BYTES = 1
"""Pixel Data has an even length (PS3.5 7.1.1)."""


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
            InstanceRefused: TRUNCATED, UNREADABLE, BAD_PIXEL_DESCRIPTION or PIXELS_UNDECODABLE.
        """
        if self.file.transfer_syntax.is_encapsulated != (self.element.length is None):
            raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, "(pixel data and transfer syntax do not match)")
        if self.element.length is None:
            _ = self._frames
        else:
            self._check_length(self.element.length)

    def samples(self, number: int) -> Samples:
        """Decode frame `number` (1-based): uint8 or uint16, [rows, columns] or RGB [rows, columns, 3].

        Raises:
            InstanceRefused: BAD_PIXEL_DESCRIPTION, UNSUPPORTED_PHOTOMETRIC, UNSUPPORTED_TRANSFER_SYNTAX, TRUNCATED or
                PIXELS_UNDECODABLE.
            ValueError: there is no such frame.
        """
        what = self.description
        if not 1 <= number <= what.frames:
            raise ValueError(f"frame {number} of {what.frames}")
        with untrusted(Reason.PIXELS_UNDECODABLE, "pixel data"):
            samples, photometric = self._native(number) if self.element.length is not None else self._compressed(number)
        if samples.shape != (what.rows, what.columns, 3)[: 2 if what.samples == 1 else 3]:
            raise InstanceRefused(Reason.PIXELS_UNDECODABLE, "(decoded size differs)")
        if what.samples == 3 and photometric != "RGB":
            raise InstanceRefused(Reason.UNSUPPORTED_PHOTOMETRIC, "(in this transfer syntax)")
        return stored_values(samples, what.bits_stored, what.high_bit, overlay_bits(self.file.header))

    def coded(self, number: int) -> bytes:
        """Frame `number` (1-based) as it is stored, not decoded: what WADO-RS sends (PS3.18 10.4.1.1.5).

        Raises:
            InstanceRefused: TRUNCATED or PIXELS_UNDECODABLE.
            ValueError: there is no such frame.
        """
        what = self.description
        if not 1 <= number <= what.frames:
            raise ValueError(f"frame {number} of {what.frames}")
        size = what.rows * what.columns * 3 if self._is_unsubsampled else what.frame_bytes
        with untrusted(Reason.PIXELS_UNDECODABLE, "pixel data"), self.file.open() as stream:
            if self.element.length is None:
                return read_frame(stream, self._frames[number - 1], 2 * size + 65536)
            stream.seek(self.element.offset + (number - 1) * size)
            return stream.read(size)

    def _native(self, number: int) -> tuple[Samples, str]:
        """Samples as stored and their colours after decoding."""
        with self.file.open() as stream:
            stream.seek(self.element.offset)
            photometric = "YBR_FULL" if self._is_unsubsampled else self.description.photometric
            samples, found = self._decode(stream, number, self.description.frames, photometric)
        if self.description.photometric == "RGB" and contradicts_planes(
            samples, by_plane=self.description.planar_configuration == 1
        ):
            raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, "(the samples contradict Planar Configuration)")
        return samples, found

    def _compressed(self, number: int) -> tuple[Samples, str]:
        """The same of a frame that is found, read and checked once."""
        what, syntax = self.description, self.file.transfer_syntax
        with self.file.open() as stream:
            longest = 4 * what.rows * what.columns * what.samples + 65536
            encoded = read_frame(stream, self._frames[number - 1], longest)
        bits = check_frame(encoded, syntax, what)
        photometric = what.photometric
        if what.samples == 3 and syntax in LOSSY_JPEG:
            return decode_jpeg(encoded, photometric), "RGB"
        if what.samples == 3 and syntax in JPEG2000TransferSyntaxes:
            photometric = jpeg_2000_photometric(encoded, photometric)
        samples, found = self._decode(as_pixel_data(encoded), 1, 1, photometric)
        if bits > what.bits_stored and int(samples.max(initial=0)) >= 2**what.bits_stored:
            raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, "(samples need more bits than Bits Stored)")
        return samples, found

    def _decode(self, source: BinaryIO | bytes, number: int, frames: int, photometric: str) -> tuple[Samples, str]:
        """Through pydicom, told the checked description instead of the raw header."""
        what, syntax = self.description, self.file.transfer_syntax
        options: dict[str, Any] = {
            "rows": what.rows,
            "columns": what.columns,
            "number_of_frames": frames,
            "samples_per_pixel": what.samples,
            "photometric_interpretation": photometric,
            "bits_allocated": what.bits_allocated,
            "bits_stored": what.bits_stored,
            "pixel_representation": 0,
            "pixel_keyword": "PixelData",
            "pixel_vr": self.element.vr,
            # unused bits and YBR are judged before they are cut off or converted
            "correct_unused_bits": False,
            "raw": True,
        }
        if what.samples == 3:
            # it orders native samples; a compressed frame has an order of its own, whatever was copied along
            options["planar_configuration"] = what.planar_configuration if self.element.length is not None else 0
        decoder, (_, plugin) = decoder_of(syntax), DECODERS[syntax]
        samples, found = decoder.as_array(source, index=number - 1, decoding_plugin=plugin, **options)
        decoded = str(found["photometric_interpretation"])
        return (rgb_of_ybr(samples), "RGB") if decoded in ("YBR_FULL", "YBR_FULL_422") else (samples, decoded)

    @cached_property
    def _frames(self) -> tuple[tuple[Span, ...], ...]:
        """Where each compressed frame lies."""
        with self.file.open() as stream:
            return find_frames(stream, self.element.offset, self.file.stream_size, self.description.frames)

    def _check_length(self, length: int) -> None:
        """Native pixel data that are longer hold more rows, columns or frames than declared: then nothing is sure."""
        needed = self.description.frame_bytes * self.description.frames
        if self.file.stream_size - self.element.offset < length or length < needed:
            raise InstanceRefused(Reason.TRUNCATED)
        if length > needed + PADDING_BYTES and not (self._is_unsubsampled or self._is_padded(length - needed)):
            raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, "(there is more pixel data than the header describes)")

    def _is_padded(self, surplus: int) -> bool:
        """Zeros, and fewer bytes than one more row or column would have."""
        what = self.description
        if surplus >= min(what.rows, what.columns) * what.samples * what.bits_allocated // 8:
            return False
        with self.file.open() as stream:
            stream.seek(self.element.offset + what.frame_bytes * what.frames)
            return not any(stream.read(surplus))

    @cached_property
    def _is_unsubsampled(self) -> bool:
        """Some machines write YBR_FULL_422 over pixel data that is not subsampled; its length tells.

        Three subsampled frames are as long as two that are not: then the chroma of the first one tells.
        """
        what = self.description
        full = math.prod((what.rows, what.columns, 3, what.frames))
        extra = (self.element.length or 0) - full
        if what.photometric != "YBR_FULL_422" or what.bits_allocated != 8 or not 0 <= extra <= PADDING_BYTES:
            return False
        with self.file.open() as stream:
            stream.seek(self.element.offset)
            return not is_subsampled(stream.read(2 * what.rows * what.columns))
