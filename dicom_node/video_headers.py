"""What a coded video says about itself: the headers in its packets, read without decoding a picture.

OpenCV shows every frame in the size of the first one, and it cannot show interlaced frames. So a video must keep one
format from its first packet to its last, and be progressive; in H.264 only its pictures tell that.

Sources: Rec. ITU-T H.262 (MPEG-2) 6.2.2 and 6.2.3, H.264 7.3.2.1 and E.1.1, H.265 7.3.2.2 and 7.3.3; with start codes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dicom_node.errors import InstanceRefused
from inference.domain import Reason

_START_CODE = b"\0\0\1"
_HEADER_BYTES = 1024
"""No header that is looked at is longer."""

_SEQUENCE_HEADER, _EXTENSION = 0xB3, 0xB5
_SEQUENCE, _DISPLAY, _PICTURE = 1, 2, 8
"""Which extension it is (H.262 table 6-2)."""

_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 134, 135, 138, 139})
"""Profiles whose sequence parameter sets tell the chroma format (H.264 7.3.2.1.1)."""


_CHROMA_420 = (1, 0, 0, 0)
"""What the other profiles have: 4:2:0 of 8 bits."""

_EXTENDED_ASPECT = 255


class VideoHeaders:
    """Takes the packets of one video in turn and refuses the first one that is not as the others are.

    `tag`: the codec as OpenCV names it, `b"mpg2"`, `b"h264"` or `b"hevc"`.
    `fields_allowed`: it is H.264 that may have interlaced frames. Some encoders say so of progressive video.
    """

    def __init__(self, tag: bytes) -> None:
        self._look, first = {
            b"mpg2": (self._mpeg2, b"[\xb3\xb5]"),
            b"h264": (self._h264, b"[\x07\x27\x47\x67]"),
            b"hevc": (self._hevc, b"\x42"),
        }[tag]
        self._start = re.compile(_START_CODE + first)
        self.fields_allowed = False
        self._format: dict[int, object] = {}
        self._progressive_sequence = False

    def take(self, packet: memoryview) -> None:
        """Look at one packet: an access unit with its start codes, whole, and not copied, as it may be large.

        Raises:
            InstanceRefused: BAD_PIXEL_DESCRIPTION where the format changes, PIXELS_UNDECODABLE where the video is
                interlaced or says nothing before its first packet ends.
            IndexError, ValueError: a header is malformed.
        """
        for found in self._start.finditer(packet):
            begin = found.end() - 1
            self._look(bytes(packet[begin : begin + _HEADER_BYTES]).partition(_START_CODE)[0])
        if not self._format:
            raise InstanceRefused(Reason.PIXELS_UNDECODABLE, "(the video does not begin with its format)")

    def _keep(self, kind: int, said: object) -> None:
        if self._format.setdefault(kind, said) != said:
            raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, "(the format of the video changes between its frames)")

    def _mpeg2(self, unit: bytes) -> None:
        """Buffer sizes and bit rates may differ from one sequence header to the next, sizes and shapes may not."""
        if unit[0] == _SEQUENCE_HEADER:
            self._keep(_SEQUENCE_HEADER, unit[1:5])
        if unit[0] != _EXTENSION:
            return
        kind = unit[1] >> 4
        if kind == _SEQUENCE:
            self._keep(kind, unit[1:3] + bytes([unit[3] & 0xE0]))
            self._progressive_sequence = bool(unit[2] & 0x08)
        elif kind == _DISPLAY:
            self._keep(kind, unit[1:].rstrip(b"\0"))
        elif kind == _PICTURE and not (self._progressive_sequence or unit[5] & 0x80):
            raise interlaced()

    def _h264(self, unit: bytes) -> None:
        """Times, levels and buffers may differ from set to set, sizes, shapes and colours may not."""
        said = h264_format(unit.replace(b"\0\0\3", b"\0\0"))
        self.fields_allowed = not said.frames_only
        self._keep(_SEQUENCE, said)

    def _hevc(self, unit: bytes) -> None:
        """Of the base layer, as others are not decoded, and byte for byte: what comes before the shape is long.

        It ends with a bit that is set: zeros belong to what follows.
        """
        if unit[0] != 33 << 1 or unit[1] >> 3:
            return
        self._keep(_SEQUENCE, unit.rstrip(b"\0"))
        if not is_progressive_source(unit.replace(b"\0\0\3", b"\0\0")):
            raise interlaced()


def interlaced() -> InstanceRefused:
    return InstanceRefused(Reason.PIXELS_UNDECODABLE, "(interlaced video is not decoded here)")


def is_progressive_source(parameter_set: bytes) -> bool:
    """general_progressive_source_flag and general_interlaced_source_flag (H.265 7.3.3); neither says nothing."""
    flags = parameter_set[8]
    return bool(flags & 0x80) or not flags & 0x40


@dataclass(frozen=True)
class H264Format:
    """What a sequence parameter set says about the pictures, in the numbers that are coded there."""

    chroma: tuple[int, ...]
    size: tuple[int, int]
    frames_only: bool
    cropping: tuple[int, ...]
    shape: tuple[int, ...]
    colours: tuple[int, ...]


def h264_format(parameter_set: bytes) -> H264Format:
    """Of a sequence parameter set (H.264 7.3.2.1.1) without emulation prevention bytes."""
    bits = _Bits(parameter_set[4:])
    bits.unsigned()  # seq_parameter_set_id
    chroma = _chroma_format(bits) if parameter_set[1] in _HIGH_PROFILES else _CHROMA_420
    bits.unsigned()  # log2_max_frame_num_minus4
    _skip_order(bits)
    bits.unsigned()  # max_num_ref_frames
    bits.take(1)
    size = bits.unsigned(), bits.unsigned()
    frames_only = bool(bits.take(1))
    if not frames_only:
        bits.take(1)  # mb_adaptive_frame_field_flag
    bits.take(1)  # direct_8x8_inference_flag
    cropping = tuple(bits.unsigned() for _ in range(4)) if bits.take(1) else (0, 0, 0, 0)
    shape, colours = _shape_and_colours(bits) if bits.take(1) else ((), ())
    return H264Format(chroma, size, frames_only, cropping, shape, colours)


def _shape_and_colours(bits: _Bits) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sample aspect and video signal type, with which the video usability information begins (H.264 E.1.1)."""
    shape: tuple[int, ...] = ()
    if bits.take(1):
        indicator = bits.take(8)
        shape = (indicator, bits.take(16), bits.take(16)) if indicator == _EXTENDED_ASPECT else (indicator,)
    if bits.take(1):
        bits.take(1)  # overscan_appropriate_flag
    if not bits.take(1):
        return shape, ()
    bits.take(3)  # video_format
    full_range = bits.take(1)
    return shape, (full_range, *((bits.take(8), bits.take(8), bits.take(8)) if bits.take(1) else ()))


def _skip_order(bits: _Bits) -> None:
    order = bits.unsigned()
    if order == 0:
        bits.unsigned()
    elif order == 1:
        bits.take(1)
        bits.unsigned()
        bits.unsigned()
        for _ in range(bits.unsigned()):
            bits.unsigned()


def _chroma_format(bits: _Bits) -> tuple[int, ...]:
    """Chroma format, whether its planes are separate, and the bit depths less 8; skips what stands up to the next."""
    chroma = bits.unsigned()
    separate = bits.take(1) if chroma == 3 else 0
    depths = bits.unsigned(), bits.unsigned()
    bits.take(1)
    if bits.take(1):
        for index in range(12 if chroma == 3 else 8):
            if bits.take(1):
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    return chroma, separate, *depths


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    """H.264 7.3.2.1.1.1: the list ends where the next scale becomes 0."""
    scale = 8
    for _ in range(size):
        scale = (scale + bits.signed()) % 256
        if scale == 0:
            return


class _Bits:
    """Bits from the highest one down, with the Exp-Golomb numbers of H.264 9.1."""

    def __init__(self, data: bytes) -> None:
        self._bits = "".join(f"{byte:08b}" for byte in data)
        self._place = 0

    def take(self, count: int) -> int:
        self._place += count
        return int(self._bits[self._place - count : self._place], 2)

    def unsigned(self) -> int:
        zeros = self._bits.index("1", self._place) - self._place
        self._place += zeros
        return self.take(zeros + 1) - 1

    def signed(self) -> int:
        number = self.unsigned()
        return (number + 1) // 2 if number % 2 else -(number // 2)
