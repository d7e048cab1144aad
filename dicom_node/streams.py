"""Files of strangers as streams: never more is read than there is, and a header may only ask for so much.

A parser asks for what a header says. A few bytes can say four gigabytes, a million items or a million numbers, so what
it asks for is counted while it asks.
"""

from __future__ import annotations

import io
import os
import tempfile
import weakref
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

from dicom_node.errors import InstanceRefused, TemporaryFolderUnwritable
from inference.domain import Reason

END_PROBES = (1, 6, 8)
"""By asking for the start of a next element, the parser finds the end of a whole file: these sizes mean no loss."""

MAXIMUM_READS = 100_000
"""Of one header; an element takes one to three, an empty item three. One to three seconds at worst."""
MAXIMUM_HEADER_BYTES = 256 << 20
"""All values before Pixel Data, those of nested items counted once for every level."""
MAXIMUM_VALUES = 300_000
"""Numbers and strings of one header: three palettes of 65,536 entries, or three times the times of 100,000 frames."""
MAXIMUM_CHARACTER_SET_BYTES = 1024
"""Specific Character Set (0008,0005), which the parser interprets before anyone can look at it."""

MAXIMUM_INFLATED_BYTES = 1 << 30
"""A deflated data set is refused beyond this: it is kept in a temporary file while it is looked at."""
PIECE_BYTES = 1 << 20

_CHARACTER_SET = (b"\x08\x00\x05\x00", b"\x00\x08\x00\x05")


class HeaderBudget:
    """What is left for one header. Every method refuses (UNREADABLE) where it does not suffice.

    `refusal` keeps the first one: the parser gives some exceptions another name on their way out.
    """

    def __init__(self) -> None:
        self._reads, self._bytes, self._values = MAXIMUM_READS, MAXIMUM_HEADER_BYTES, MAXIMUM_VALUES
        self.refusal: InstanceRefused | None = None

    def spend_read(self, count: int) -> None:
        """One read of `count` bytes."""
        self._reads -= 1
        self._bytes -= count
        if self._reads < 0:
            self.refuse("the header has too many elements")
        if self._bytes < 0:
            self.refuse("the header is too long")

    def spend_values(self, count: int) -> None:
        """So many numbers or strings."""
        self._values -= count
        if self._values < 0:
            self.refuse("the header has too many values")

    def refuse(self, detail: str) -> NoReturn:
        """Raises InstanceRefused: the first refusal of this header, whatever comes after it."""
        self.refusal = self.refusal or InstanceRefused(Reason.UNREADABLE, f"({detail})")
        raise self.refusal


class WatchedStream(io.RawIOBase):
    """A stream that never asks for more than there is, and remembers that it was asked.

    pydicom takes a value that is shorter than its length as it comes; a length of 4 GB would be allocated first.
    """

    def __init__(self, stream: BinaryIO, size: int) -> None:
        super().__init__()
        self._stream, self._size = stream, size
        self.ended_early = False

    def read(self, count: int = -1) -> bytes:
        left = max(0, self._size - self._stream.tell())
        if count > left and (left > 0 or count not in END_PROBES):
            self.ended_early = True
        return self._stream.read(left if count < 0 else min(count, left))

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == io.SEEK_SET and offset > self._size:
            self.ended_early = True  # a value that was to be skipped
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


class WatchedFile(WatchedStream):
    """The same, closing the file when it is closed itself."""

    def close(self) -> None:
        self._stream.close()
        super().close()


class HeaderStream(WatchedStream):
    """A watched stream whose reads are taken from a budget."""

    def __init__(self, stream: BinaryIO, size: int, budget: HeaderBudget) -> None:
        super().__init__(stream, size)
        self._budget = budget
        self._before = b""

    def read(self, count: int = -1) -> bytes:
        if count > MAXIMUM_CHARACTER_SET_BYTES and self._before.startswith(_CHARACTER_SET):
            self._budget.refuse("Specific Character Set is too long")
        left = max(0, self._size - self._stream.tell())
        if 0 <= count <= left:
            self._budget.spend_read(count)
            data = self._stream.read(count)
        else:
            self._budget.spend_read(left)
            data = super().read(count)
        if len(data) == 8:  # the start of an element; the longer length of some VRs is read between it and the value
            self._before = data
        return data


class InflatedFile:
    """The data set of a Deflated Explicit VR Little Endian file (PS3.5 A.5), in a temporary file without a name.

    The space is given back with the last reference.
    """

    def __init__(self, path: Path, offset: int) -> None:
        """Raises InstanceRefused (TRUNCATED, UNREADABLE, BAD_PIXEL_DESCRIPTION), TemporaryFolderUnwritable, OSError."""
        with _temporary_folder():
            file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  entered below: reading fails for other reasons
        with file:
            self.size = _inflate(path, offset, cast(BinaryIO, file))
            self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)

    def open(self) -> BinaryIO:
        """A stream of its own position; the caller closes it."""
        return io.BufferedReader(_Positioned(self, self._descriptor))


class Seekable:
    """The part of a readable stream of known `size` that only counts where it stands."""

    size: int
    _position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position


class _Positioned(Seekable, io.RawIOBase):
    def __init__(self, owner: InflatedFile, descriptor: int) -> None:
        super().__init__()
        self._owner, self._descriptor, self.size = owner, descriptor, owner.size

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = os.preadv(self._descriptor, [buffer], self._position)
        self._position += count
        return count


def _inflate(path: Path, offset: int, target: BinaryIO) -> int:
    """Piece by piece; gives the number of bytes that came out."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    size = 0
    with path.open("rb") as source:
        source.seek(offset)
        while not inflater.eof:
            packed = inflater.unconsumed_tail or source.read(PIECE_BYTES)
            try:
                piece = inflater.decompress(packed, PIECE_BYTES)  # may have taken all there is, and hold some back
            except zlib.error:
                raise InstanceRefused(Reason.UNREADABLE, "(the deflated data set is damaged)") from None
            if not packed and not piece and not inflater.eof:
                raise InstanceRefused(Reason.TRUNCATED)
            size += len(piece)
            if size > MAXIMUM_INFLATED_BYTES:
                raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, "(the deflated data set grows beyond 1 GiB)")
            _write(target, piece)
    return size


def _write(target: BinaryIO, piece: bytes) -> None:
    """Unbuffered: what does not fit is told here, and not when the file is closed."""
    left = memoryview(piece)
    with _temporary_folder():
        while left:
            left = left[target.write(left) :]


@contextmanager
def _temporary_folder() -> Iterator[None]:
    """Raises TemporaryFolderUnwritable instead of OSError."""
    try:
        yield
    except OSError as error:
        raise TemporaryFolderUnwritable(error.errno) from error
