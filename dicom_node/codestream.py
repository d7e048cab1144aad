"""What a compressed frame says of itself: its size, so that a small header cannot bring in a huge picture."""

from __future__ import annotations

END_OF_IMAGE = b"\xff\xd9"
"""EOI of JPEG and JPEG-LS."""

_JPEG2000_START = b"\xff\x4f\xff\x51"  # SOC and SIZ, ISO/IEC 15444-1 A.4.1, A.5.1
_START_OF_FRAME = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}  # ISO/IEC 10918-1 B.1.1.3; 14495-1 C.1.1


def frame_size(stream: bytes) -> tuple[int, int] | None:
    """Rows and columns of a JPEG, JPEG-LS or JPEG 2000 codestream; None where it does not say (RLE, damage)."""
    start = stream.find(_JPEG2000_START, 0, 4096)
    if start >= 0:
        return _jpeg2000_size(stream[start + 4 : start + 24])
    return _jpeg_size(stream) if stream[:2] == b"\xff\xd8" else None


def _jpeg2000_size(siz: bytes) -> tuple[int, int] | None:
    """`siz`: Lsiz, Rsiz, Xsiz, Ysiz, XOsiz, YOsiz."""
    if len(siz) < 20:
        return None
    columns, rows, left, top = (int.from_bytes(siz[i : i + 4]) for i in (4, 8, 12, 16))
    return rows - top, columns - left


def _jpeg_size(stream: bytes) -> tuple[int, int] | None:
    position = 2
    while position + 9 <= len(stream) and stream[position] == 0xFF:
        marker = stream[position + 1]
        if marker in _START_OF_FRAME:
            rows, columns = (int.from_bytes(stream[position + i : position + i + 2]) for i in (5, 7))
            return (rows, columns) if rows else None  # 0: the number of lines follows the first scan
        if marker == 0xFF:  # fill byte
            position += 1
        else:
            position += 2 + max(2, int.from_bytes(stream[position + 2 : position + 4]))
    return None
