"""Encapsulated Pixel Data (PS3.5 A.4): where its fragments lie, and all of them read as one stream."""

from __future__ import annotations

import errno
import io
import struct
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import BinaryIO

from dicom_node.errors import InstanceRefused
from dicom_node.streams import Seekable
from inference.domain import Reason

MAXIMUM_FRAGMENTS = 200_000
PIECE_BYTES = 1 << 20
"""How much of a file is in memory at once."""

_ITEM, _SEQUENCE_DELIMITER = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of a file: the value of one fragment."""

    offset: int
    length: int


def find_fragments(stream: BinaryIO, offset: int, size: int) -> tuple[Span, ...]:
    """Walk the items from `offset` up to the delimiter; the first one, the offset table, is not among them.

    Raises:
        InstanceRefused: TRUNCATED or UNREADABLE.
    """
    spans: list[Span] = []
    position = offset
    while len(spans) <= MAXIMUM_FRAGMENTS + 1:
        stream.seek(position)
        head = stream.read(8)
        if len(head) < 8:
            raise InstanceRefused(Reason.TRUNCATED)
        group, element, length = struct.unpack("<HHL", head)
        if (group, element) == _SEQUENCE_DELIMITER:
            return tuple(spans[1:])
        if (group, element) != _ITEM:
            raise InstanceRefused(Reason.UNREADABLE, "(pixel data items)")
        spans.append(Span(position + 8, length))
        position += 8 + length
        if position > size:
            raise InstanceRefused(Reason.TRUNCATED)
    raise InstanceRefused(Reason.UNREADABLE, "(pixel data has too many items)")


class FragmentStream(Seekable, io.BufferedIOBase):
    """All fragments as one seekable stream, without a copy of them anywhere.

    One piece of at most PIECE_BYTES is in memory, and the file is open only while a piece is read. For readers written
    in C, which an exception would crash: where the file cannot be read, the stream ends and `failure` says why.
    """

    def __init__(self, open_file: Callable[[], BinaryIO], spans: Sequence[Span]) -> None:
        super().__init__()
        self._open_file = open_file
        self._spans = [span for span in spans if span.length]
        self._starts = [0, *accumulate(span.length for span in self._spans)]
        self.size = self._starts[-1]
        self._piece, self._piece_start = b"", 0
        self.failure: BaseException | None = None

    def read(self, count: int | None = -1) -> bytes:
        wanted = self.size - self._position if count is None or count < 0 else count
        parts: list[bytes] = []
        try:
            while wanted > 0 and self._position < self.size:
                part = self._from_piece(wanted)
                self._position += len(part)
                wanted -= len(part)
                parts.append(part)
        except BaseException as error:  # noqa: BLE001  an interrupt too; the caller of the C code raises it again
            self.failure = error
        return b"".join(parts)

    def _from_piece(self, wanted: int) -> bytes:
        """What is in memory from the position on, at most `wanted` bytes; of the next piece where that is nothing."""
        inside = self._position - self._piece_start
        if not 0 <= inside < len(self._piece):
            self._piece, self._piece_start, inside = self._read_piece(), self._position, 0
        return self._piece[inside : inside + wanted]

    def _read_piece(self) -> bytes:
        index = bisect_right(self._starts, self._position) - 1
        inside = self._position - self._starts[index]
        span = self._spans[index]
        with self._open_file() as file:
            file.seek(span.offset + inside)
            piece = file.read(min(PIECE_BYTES, span.length - inside))
        if not piece:
            raise OSError(errno.EIO, "the file became shorter")
        return piece
