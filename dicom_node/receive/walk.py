"""The elements of a data set (PS3.5 7), walked by tags and lengths: nothing is built of what is passed over.

So what a receiver does not look at costs it no memory and little time, however long, numerous or nested it is.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Container, Iterator
from struct import Struct
from typing import BinaryIO, cast

from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag
from pydicom.uid import UID
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

MAXIMUM_STEPS = 2_000_000
"""Elements, items and delimiters that are looked at one by one; some three seconds."""
MAXIMUM_INFLATED_BYTES = 1 << 30
"""Of a deflated data set, passed over while it is inflated; some three seconds as well."""
MAXIMUM_VALUE_BYTES = 1 << 16
"""A longer value is passed over even where it is wanted: no UID and no equipment takes so much."""

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED_LENGTH = 0xFFFFFFFF
_LONG_VRS = frozenset(str(vr).encode() for vr in EXPLICIT_VR_LENGTH_32)
_PIECE_BYTES = 1 << 16
_IMPLICIT, _EXPLICIT, _UNDECIDED, _SEQUENCE = 0, 1, 2, 4


class TooLong(Exception):
    """There is more to pass over than there is time for."""


class Malformed(Exception):
    """This is not laid out as a data set, or ends inside a sequence."""


def opened(file: BinaryIO, syntax: UID) -> BinaryIO:
    """The data set from where `file` stands, inflated while it is read if it is deflated (PS3.5 A.5)."""
    return cast(BinaryIO, io.BufferedReader(_Inflated(file), _PIECE_BYTES)) if syntax.is_deflated else file


def elements(stream: BinaryIO, syntax: UID, wanted: Container[int], last: int) -> Iterator[RawDataElement]:
    """Those of the top level whose tags are `wanted`, with their values, up to the tag `last`.

    As in the library that reads the object later, a data set or item of the other VR encoding is taken for what it is.

    Raises:
        TooLong: only what came until now is known.
        Malformed, zlib.error, OSError.
    """
    walk = _Walk(stream, syntax.is_little_endian)
    encoding = _UNDECIDED
    while (head := stream.read(8)) and len(head) == 8:
        if encoding == _UNDECIDED:
            encoding = _EXPLICIT if _looks_explicit(head) else _IMPLICIT
        tag, vr, length = walk.element(head, encoding)
        if tag > last:
            return
        walk.step()
        start = stream.tell() if stream.seekable() else 0
        value = walk.value(length, encoding, keep=tag in wanted)
        if value is not None:
            known_length = len(value) if length == _UNDEFINED_LENGTH else length
            name = vr.decode("ascii", "replace") if vr else None
            yield RawDataElement(BaseTag(tag), name, known_length, value, start, vr is None, syntax.is_little_endian)


class _Walk:
    def __init__(self, stream: BinaryIO, little_endian: bool) -> None:
        order = "<" if little_endian else ">"
        self._stream = stream
        self._implicit = Struct(f"{order}HHL").unpack
        self._explicit = Struct(f"{order}HH2sH").unpack
        self._long = Struct(f"{order}L").unpack
        self._steps = MAXIMUM_STEPS
        self._kept: bytearray | None = None

    def step(self) -> None:
        self._steps -= 1
        if self._steps < 0:
            raise TooLong

    def element(self, head: bytes, encoding: int) -> tuple[int, bytes | None, int]:
        """Tag, VR (None: implicit) and length of the element that begins with these 8 bytes (PS3.5 7.1)."""
        vr = head[4:6]
        if encoding == _IMPLICIT or not b"AA" <= vr <= b"ZZ":
            group, number, length = self._implicit(head)
            return group << 16 | number, None, length
        group, number, vr, length = self._explicit(head)
        if vr in _LONG_VRS:
            (length,) = self._long(self._exactly(4))
        return group << 16 | number, vr, length

    def value(self, length: int, encoding: int, *, keep: bool) -> bytes | None:
        """The bytes of a value that is to be kept and not too long; None of any other, which is passed over."""
        if length != _UNDEFINED_LENGTH:
            if keep and length <= MAXIMUM_VALUE_BYTES:
                return self._stream.read(length)
            self._skip(length)
            return None
        self._kept = bytearray() if keep else None
        self._pass_over(encoding)
        kept, self._kept = self._kept, None
        return None if kept is None else bytes(kept)

    def _pass_over(self, encoding: int) -> None:
        """Items up to the delimiter of their sequence (PS3.5 7.5.2, A.4); one byte is remembered for every level."""
        levels = bytearray((_SEQUENCE | encoding,))
        while levels:
            self.step()
            if levels[-1] & _SEQUENCE:
                self._next_item(levels)
            else:
                self._next_element(levels)

    def _next_item(self, levels: bytearray) -> None:
        group, number, length = self._implicit(self._exactly(8))
        tag = group << 16 | number
        if tag == _SEQUENCE_END:
            levels.pop()
        elif tag != _ITEM:
            raise Malformed
        elif length == _UNDEFINED_LENGTH:
            levels.append(_IMPLICIT if levels[-1] == _SEQUENCE | _IMPLICIT else _UNDECIDED)
        else:
            self._skip(length)

    def _next_element(self, levels: bytearray) -> None:
        head = self._exactly(8)
        if levels[-1] == _UNDECIDED:  # an unknown sequence is implicit inside explicit ones (PS3.5 6.2.2)
            levels[-1] = _EXPLICIT if _looks_explicit(head) else _IMPLICIT
        tag, _, length = self.element(head, levels[-1])
        if tag == _ITEM_END:
            levels.pop()
        elif length == _UNDEFINED_LENGTH:
            levels.append(_SEQUENCE | levels[-1])
        else:
            self._skip(length)

    def _exactly(self, count: int) -> bytes:
        data = self._stream.read(count)
        if len(data) < count:
            raise Malformed
        self._keep(data)
        return data

    def _skip(self, count: int) -> None:
        if self._kept is None and self._stream.seekable():
            self._stream.seek(count, io.SEEK_CUR)
            return
        while count and (piece := self._stream.read(min(count, _PIECE_BYTES))):
            count -= len(piece)
            self._keep(piece)

    def _keep(self, data: bytes) -> None:
        if self._kept is not None:
            self._kept += data
            if len(self._kept) > MAXIMUM_VALUE_BYTES:
                self._kept = None


class _Inflated(io.RawIOBase):
    """A deflated stream, forward only."""

    def __init__(self, source: BinaryIO) -> None:
        super().__init__()
        self._source, self._left = source, MAXIMUM_INFLATED_BYTES
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._inflater.eof:
            packed = self._inflater.unconsumed_tail or self._source.read(_PIECE_BYTES)
            piece = self._inflater.decompress(packed, len(buffer))
            if piece:
                return self._taken(piece, buffer)
            if not packed:
                break
        return 0

    def _taken(self, piece: bytes, buffer: memoryview) -> int:
        self._left -= len(piece)
        if self._left < 0:
            raise TooLong
        buffer[: len(piece)] = piece
        return len(piece)


def _looks_explicit(head: bytes) -> bool:
    """Two capital letters where an explicit element has its VR."""
    return all(0x41 <= letter <= 0x5A for letter in head[4:6])
