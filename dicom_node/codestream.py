"""What a compressed frame says of itself: its size and depth, so that a small header cannot bring in a huge picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

END_OF_IMAGE = b"\xff\xd9"
"""EOI of JPEG and JPEG-LS."""

_START_OF_IMAGE = b"\xff\xd8"
_JPEG2000_START = b"\xff\x4f\xff\x51"  # SOC and SIZ, ISO/IEC 15444-1 A.4.1, A.5.1
START_OF_FRAME = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}  # ISO/IEC 10918-1 B.1.1.3; 14495-1 C.1.1
_START_OF_SCAN = 0xDA
_START_OF_TILE = 0x90
_APPLICATION = frozenset(range(0xE0, 0xF0))
_LONGEST_SIZ = 38 + 3 * 16
"""More than four components are none of ours."""


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """Size in pixels, bits per sample (None where components differ in them), sign, and number of components."""

    rows: int
    columns: int
    bits: int | None
    signed: bool
    components: int


def frame_header(stream: bytes) -> FrameHeader | None:
    """The header of a JPEG, JPEG-LS or JPEG 2000 codestream; None where it does not say (RLE, damage)."""
    start = _jpeg2000_start(stream)
    if start >= 0:
        return _jpeg2000_header(stream[start + 4 :][:_LONGEST_SIZ])
    return _jpeg_header(stream)


def without_application_segments(stream: bytes) -> bytes:
    """A JPEG without its APPn segments before the first scan; anything else comes back as it is."""
    kept, end = [_START_OF_IMAGE], 2
    for marker, start, stop in jpeg_segments(stream):
        end = stop
        if marker not in _APPLICATION:
            kept.append(stream[start:stop])
    return b"".join(kept) + stream[end:] if end > 2 else stream


def jpeg2000_segments(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start (at its 0xFF) and end of every segment of the main header after SIZ (ISO/IEC 15444-1 A.3)."""
    position = _jpeg2000_start(stream) + 2
    while position >= 2 and stream[position : position + 1] == b"\xff" and position + 4 <= len(stream):
        marker, length = stream[position + 1], int.from_bytes(stream[position + 2 : position + 4])
        if marker == _START_OF_TILE:
            return
        yield marker, position, min(position + 2 + length, len(stream))
        position += 2 + max(2, length)


def start_of_scan(stream: bytes) -> int:
    """Where the first scan of a JPEG begins, behind every segment before it."""
    return max((end for _, _, end in jpeg_segments(stream)), default=2)


def _jpeg2000_start(stream: bytes) -> int:
    """Where the codestream begins, in a JP2 file behind the boxes before it (ISO/IEC 15444-1 I.4); -1: nowhere."""
    if stream.startswith(_JPEG2000_START):
        return 0
    position = 0 if stream[4:8] == b"jP  " else len(stream)
    while position + 8 <= len(stream):
        length, kind, head = int.from_bytes(stream[position : position + 4]), stream[position + 4 : position + 8], 8
        if length == 1:
            length, head = int.from_bytes(stream[position + 8 : position + 16]), 16
        if kind == b"jp2c":
            start = position + head
            return start if stream.startswith(_JPEG2000_START, start) else -1
        if length < head:
            break
        position += length
    return -1


def _jpeg2000_header(siz: bytes) -> FrameHeader | None:
    """`siz`: Lsiz, Rsiz, Xsiz, Ysiz, XOsiz, YOsiz, four of the tiles, Csiz; Ssiz, XRsiz, YRsiz of each component."""
    components = int.from_bytes(siz[36:38])
    depths = {siz[place] for place in range(38, min(len(siz), 38 + 3 * components), 3)}
    if not depths or len(siz) < 38 + 3 * components:
        return None
    columns, rows, left, top = (int.from_bytes(siz[i : i + 4]) for i in (4, 8, 12, 16))
    bits = {(depth & 0x7F) + 1 for depth in depths}
    signed = any(depth & 0x80 for depth in depths)
    return FrameHeader(rows - top, columns - left, bits.pop() if len(bits) == 1 else None, signed, components)


def _jpeg_header(stream: bytes) -> FrameHeader | None:
    for marker, start, stop in jpeg_segments(stream):
        if marker in START_OF_FRAME and stop - start >= 10:
            bits, components = stream[start + 4], stream[start + 9]
            rows, columns = (int.from_bytes(stream[start + i : start + i + 2]) for i in (5, 7))
            # 0: the number of lines follows the first scan
            return FrameHeader(rows, columns, bits, False, components) if rows else None
    return None


def jpeg_segments(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start (at its 0xFF) and end of every segment up to the first scan, which is not one of them."""
    if stream[:2] != _START_OF_IMAGE:
        return
    position = 2
    while position + 4 <= len(stream) and stream[position] == 0xFF:
        marker = stream[position + 1]
        if marker == _START_OF_SCAN:
            return
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        end = position + 2 + max(2, int.from_bytes(stream[position + 2 : position + 4]))
        yield marker, position, min(end, len(stream))
        position = end
