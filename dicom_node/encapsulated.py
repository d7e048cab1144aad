"""Encapsulated frames (PS3.5 A.4): which fragments make which frame, and one of them read."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import BinaryIO

from dicom_node.errors import InstanceRefused
from dicom_node.fragments import Span, find_fragments
from inference.domain import Reason

STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")
"""What a frame begins with: JPEG and JPEG-LS, a JPEG 2000 codestream, a JP2 file around one."""

_ITEM_HEAD_BYTES = 8
_EMPTY_ITEM, _ITEM_TAG, _END = b"\xfe\xff\x00\xe0\0\0\0\0", b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"


def find_frames(stream: BinaryIO, offset: int, size: int, frames: int) -> tuple[tuple[Span, ...], ...]:
    """The fragments of each frame, found once for all.

    One fragment for each frame needs no table, so a wrong one (of zeros, say) does no harm. Else the Basic Offset Table
    decides where it points to fragments in rising order, else what fragments begin with. An Extended Offset Table is
    for one fragment per frame only (PS3.3 C.7.6.3.1.8), and is therefore never needed.

    Raises:
        InstanceRefused: TRUNCATED, UNREADABLE, or PIXELS_UNDECODABLE where nothing tells the frames apart.
    """
    spans = find_fragments(stream, offset, size)
    if len(spans) < frames:
        raise InstanceRefused(Reason.TRUNCATED)
    if len(spans) == frames:
        return tuple((span,) for span in spans)
    first = _from_table(stream, offset, spans)
    if len(first) < frames:
        first = _from_contents(stream, spans)
    if frames == 1 and len(first) < 2:
        return (spans,)
    if len(first) < frames:
        raise InstanceRefused(Reason.PIXELS_UNDECODABLE, "(nothing tells which fragments make a frame)")
    ends = [*first[1:], len(spans)]
    return tuple(spans[start:end] for start, end in zip(first[:frames], ends[:frames], strict=True))


def read_frame(stream: BinaryIO, fragments: Sequence[Span], longest: int) -> bytes:
    """The bytes of one frame. Raises InstanceRefused: BAD_PIXEL_DESCRIPTION (more than `longest` bytes), TRUNCATED."""
    if sum(span.length for span in fragments) > longest:
        raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, "(the compressed frame is too long)")
    parts = []
    for span in fragments:
        stream.seek(span.offset)
        parts.append(stream.read(span.length))
        if len(parts[-1]) < span.length:
            raise InstanceRefused(Reason.TRUNCATED)
    return b"".join(parts)


def as_pixel_data(frame: bytes) -> bytes:
    """One frame as the value of an encapsulated Pixel Data, as pydicom's decoders want it."""
    padded = frame + b"\0" * (len(frame) % 2)
    return b"".join((_EMPTY_ITEM, _ITEM_TAG, struct.pack("<L", len(padded)), padded, _END))


def _from_table(stream: BinaryIO, offset: int, spans: Sequence[Span]) -> list[int]:
    """Number of each frame's first fragment by the Basic Offset Table; empty where it cannot be right."""
    stream.seek(offset)
    (length,) = struct.unpack("<4xL", stream.read(_ITEM_HEAD_BYTES))
    if not 4 <= length <= 4 * len(spans):
        return []
    table = struct.unpack(f"<{length // 4}L", stream.read(length // 4 * 4))
    places = {span.offset - spans[0].offset: number for number, span in enumerate(spans)}
    first = [places.get(entry, -1) for entry in table]
    rising = first[0] == 0 and all(a < b for a, b in pairwise(first))
    return first if rising else []


def _from_contents(stream: BinaryIO, spans: Sequence[Span]) -> list[int]:
    """The same by what fragments begin with; empty where the first one does not begin a frame."""
    found = []
    for number, span in enumerate(spans):
        stream.seek(span.offset)
        if stream.read(min(span.length, 8)).startswith(STARTS):
            found.append(number)
    return found if found[:1] == [0] else []
