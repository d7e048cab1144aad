"""What a compressed frame says of itself, held against the header: one small check for each thing that can differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydicom.uid import (
    UID,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSTransferSyntaxes,
    RLELossless,
)

from dicom_node.codestream import END_OF_IMAGE, FrameHeader, frame_header, start_of_scan
from dicom_node.errors import InstanceRefused
from dicom_node.frame_colour import check_lossless_jpeg
from dicom_node.pixel_description import PixelDescription
from inference.domain import Reason

LOSSY_JPEG = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit})
LOSSLESS_JPEG = frozenset({JPEGLossless, JPEGLosslessSV1})
JPEG_OF_8_BITS = LOSSY_JPEG | LOSSLESS_JPEG
"""Their decoder knows 8 bits only; a deeper frame is refused by name."""


@dataclass(frozen=True, slots=True)
class CompressedFrame:
    """One frame as stored, and the header that it brings itself."""

    encoded: bytes
    syntax: UID
    found: FrameHeader
    expected: PixelDescription


def check_frame(encoded: bytes, syntax: UID, expected: PixelDescription) -> int:
    """Hold a frame against the header; gives its bits per sample.

    A run-length encoded one says nothing of itself: it has the bits that the header allocates.

    Raises:
        InstanceRefused: TRUNCATED, BAD_PIXEL_DESCRIPTION, UNSUPPORTED_TRANSFER_SYNTAX, UNSUPPORTED_PHOTOMETRIC or
            PIXELS_UNDECODABLE.
    """
    if syntax == RLELossless:
        return expected.bits_stored
    found = frame_header(encoded)
    if found is None:
        raise InstanceRefused(Reason.PIXELS_UNDECODABLE, "(the compressed frame has no header)")
    frame = CompressedFrame(encoded, syntax, found, expected)
    for check in CHECKS:
        check(frame)
    return found.bits or expected.bits_stored


def _size(frame: CompressedFrame) -> None:
    if (frame.found.rows, frame.found.columns) != (frame.expected.rows, frame.expected.columns):
        raise _bad("the compressed frame names another size")


def _components(frame: CompressedFrame) -> None:
    if frame.found.components != frame.expected.samples:
        raise _bad(f"the compressed frame has {frame.found.components} components")


def _end(frame: CompressedFrame) -> None:
    """A scan that is cut shows something all the same, and CharLS runs for minutes where no marker ends it.

    Entropy coding can never make such a marker by chance. Zero bytes may follow it, as padding.
    """
    if frame.syntax in JPEGLSTransferSyntaxes and END_OF_IMAGE not in frame.encoded.rstrip(b"\0")[-16:]:
        raise InstanceRefused(Reason.TRUNCATED, "(a JPEG-LS frame has no end)")
    if frame.syntax in JPEG_OF_8_BITS and frame.encoded.rfind(END_OF_IMAGE) < start_of_scan(frame.encoded):
        raise InstanceRefused(Reason.TRUNCATED, "(a JPEG frame has no end)")


def _decodable_depth(frame: CompressedFrame) -> None:
    if frame.syntax in JPEG_OF_8_BITS and (frame.found.bits or 0) > 8:
        raise InstanceRefused(Reason.UNSUPPORTED_TRANSFER_SYNTAX, "(JPEG of more than 8 bits)")


def _depth(frame: CompressedFrame) -> None:
    """Bits Stored, or all that are allocated: then no sample may need more than Bits Stored, which decoding shows."""
    bits = frame.found.bits
    if bits is None:
        raise _bad("the components of the compressed frame differ in their bits")
    if bits < frame.expected.bits_stored:
        raise _bad("the compressed frame has too few bits")
    if bits not in (frame.expected.bits_stored, frame.expected.bits_allocated):
        raise _bad(f"the compressed frame has {bits} bits, Bits Stored is {frame.expected.bits_stored}")


def _sign(frame: CompressedFrame) -> None:
    """PS3.3 C.8.5.6.1: ultrasound samples are unsigned."""
    if frame.found.signed:
        raise _bad("the compressed frame is signed")


def _high_bit(frame: CompressedFrame) -> None:
    """A compressed frame has samples and no bits beside them."""
    if frame.expected.high_bit != frame.expected.bits_stored - 1:
        raise _bad(f"HighBit {frame.expected.high_bit}")


def _colours(frame: CompressedFrame) -> None:
    if frame.syntax in LOSSLESS_JPEG and frame.expected.samples == 3:
        check_lossless_jpeg(frame.encoded, frame.expected.photometric)


CHECKS: tuple[Callable[[CompressedFrame], None], ...] = (
    _size,
    _components,
    _end,
    _decodable_depth,
    _depth,
    _sign,
    _high_bit,
    _colours,
)


def _bad(detail: str) -> InstanceRefused:
    return InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, f"({detail})")
