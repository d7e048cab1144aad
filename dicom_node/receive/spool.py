"""Where a data set lies while it comes in: a `.part` file, written and hashed piece by piece, never held in memory.

pynetdicom writes an incoming C-STORE data set through a file object that it makes itself. `Spool.open_part` takes the
place of its file factory (see toolkit.py). Such a file must not raise: an exception while a data set streams in aborts
the association, and the sender learns nothing. It remembers the error instead, gives its disk space back at once and
swallows the rest, so that the C-STORE handler can answer with a status.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import shutil
import socket
import uuid
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from struct import pack
from typing import IO

from dicom_node.errors import DiskFull, NodeError, ObjectTooLarge
from dicom_node.receive.aside import HashedAside
from dicom_node.storage.files import (
    PART_SUFFIX,
    begin_write_back,
    disk_error,
    make_folder,
    named_disk_errors,
    open_part,
)
from sr_templates.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_log = logging.getLogger(__name__)

LOCK = "taken.lock"
"""In each folder of a receiver that runs; see own_folder."""

_META_START = 128 + 4
_GROUP_LENGTH_ELEMENT = 12
_FREE_SPACE_STRIDE = 16 * 1024 * 1024
_WRITE_BACK_STRIDE = 4 * 1024 * 1024
"""What of a cine lies only in memory meanwhile; all of it, the sync at its end would have to wait for."""


@dataclass(frozen=True, slots=True)
class Reserve:
    """Free space that incoming objects must leave on the file system, for the database and for results."""

    folder: Path
    free_bytes: int

    def check(self) -> None:
        """Raises DiskFull when less than the reserve is free."""
        if self.free_bytes and shutil.disk_usage(self.folder).free < self.free_bytes:
            raise DiskFull


@dataclass(frozen=True, slots=True)
class Identity:
    """What a file holds."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent it: both AE titles of the association, and a presentation address (PS3.10 7.1)."""

    calling_ae: str
    called_ae: str
    address: str


class SpoolFile:
    """One incoming object in the DICOM file format (PS3.10 7.1); `error` says why it is not whole, if so.

    `sha256` covers the data set only, not the file meta information, which names the receiving software; so does
    `largest_bytes`, beyond which nothing is taken.
    """

    def __init__(self, folder: Path, reserve: Reserve, largest_bytes: int | None = None) -> None:
        self.error: NodeError | None = None
        self.size_bytes = 0
        self.dataset_offset = 0
        self._reserve = reserve
        self._largest_bytes = largest_bytes
        self._next_check = _FREE_SPACE_STRIDE
        self._asked_for_bytes = 0
        self._meta = bytearray()
        self._sha256 = hashlib.sha256()
        self._aside: HashedAside | None = None
        self._path = folder / f"unopened{PART_SUFFIX}"
        self._descriptor: _Descriptor | None = None
        try:
            reserve.check()
            descriptor, self._path = open_part(folder)
        except (NodeError, OSError) as error:
            self._fail(error)
            return
        self._descriptor = _Descriptor(descriptor)
        self._cleanup = weakref.finalize(self, _abandon, self._descriptor, self._path)

    @property
    def name(self) -> str:
        """The path as text, as in tempfile."""
        return str(self._path)

    @property
    def path(self) -> Path:
        return self._path

    @property
    def file(self) -> SpoolFile:
        """pynetdicom flushes `.file`, as tempfile has it."""
        return self

    @property
    def sha256(self) -> str:
        """Hex digest of the data set written so far."""
        self._settle_digest()
        return self._sha256.hexdigest()

    def begin(self, identity: Identity, sender: Sender) -> None:
        """Write preamble and file meta information (PS3.10 7.1); the data set follows."""
        self.write(file_meta(identity, sender))

    def write(self, data: bytes | memoryview) -> int:
        """Append; after an error the data is dropped. Always claims to have written everything."""
        if self._descriptor is not None:
            try:
                self._append(memoryview(data))
            except (NodeError, OSError) as error:
                self._fail(error)
        return len(data)

    def flush(self) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        """Close the descriptor; the file stays."""
        self._settle_digest()
        if self._descriptor is not None:
            try:
                self._descriptor.close()
            except OSError as error:
                self._fail(error)
            self._descriptor = None

    def discard(self) -> None:
        """Close and delete; harmless when the file was moved to its place or is gone."""
        self._descriptor = None
        aside, self._aside = self._aside, None
        if aside is not None:
            aside.abandon()
        if hasattr(self, "_cleanup"):
            self._cleanup()

    def _append(self, data: memoryview) -> None:
        if self._descriptor is None:
            return
        self._hash(data)
        if self._largest_bytes is not None and self._data_set_bytes(data) > self._largest_bytes:
            raise ObjectTooLarge
        while data:
            written = os.write(self._descriptor.number, data)
            self.size_bytes += written
            data = data[written:]
        if self.size_bytes >= self._asked_for_bytes + _WRITE_BACK_STRIDE:
            begin_write_back(self._descriptor.number, self._asked_for_bytes, self.size_bytes)
            self._asked_for_bytes = self.size_bytes
            self._hash_aside()
        if self.size_bytes >= self._next_check:
            self._next_check = self.size_bytes + _FREE_SPACE_STRIDE
            self._reserve.check()

    def _data_set_bytes(self, more: memoryview) -> int:
        """Of the data set, with what is about to be written; 0 while the file meta information comes."""
        return self.size_bytes + len(more) - self.dataset_offset if self.dataset_offset else 0

    def _hash(self, data: memoryview) -> None:
        """Skip preamble and file meta information, whose length stands in its first element (PS3.10 7.1)."""
        if self.dataset_offset:
            if self._aside is None:
                self._sha256.update(data)
            return
        self._meta += data
        length_known = _META_START + _GROUP_LENGTH_ELEMENT
        if len(self._meta) < length_known:
            return
        offset = length_known + int.from_bytes(self._meta[length_known - 4 : length_known], "little")
        if len(self._meta) >= offset:
            self.dataset_offset = offset
            self._sha256.update(self._meta[offset:])
            self._meta.clear()

    def _hash_aside(self) -> None:
        """Of a large object, from here on; where that is not to be had, it goes on as before."""
        aside = self._aside
        if aside is not None:
            aside.until(self.size_bytes)
        elif self.dataset_offset:
            with suppress(OSError, RuntimeError):
                aside = self._aside = HashedAside(self._path, self._sha256, self.size_bytes)
                weakref.finalize(self, aside.abandon)

    def _settle_digest(self) -> None:
        """Everything written so far is hashed, or the object has failed."""
        aside, self._aside = self._aside, None
        if aside is not None:
            aside.until(self.size_bytes)
            try:
                aside.finish()
            except OSError as error:
                self._fail(error)

    def _fail(self, error: NodeError | OSError) -> None:
        self.error = disk_error(error) if isinstance(error, OSError) else error
        self.discard()


def file_meta(identity: Identity, sender: Sender) -> bytes:
    """Preamble, prefix and file meta information, explicit VR little endian (PS3.10 7.1)."""
    elements = (
        (0x0001, b"OB", b"\0\1"),
        (0x0002, b"UI", _padded(identity.sop_class_uid, b"\0")),
        (0x0003, b"UI", _padded(identity.sop_instance_uid, b"\0")),
        (0x0010, b"UI", _padded(identity.transfer_syntax_uid, b"\0")),
        (0x0012, b"UI", _padded(IMPLEMENTATION_CLASS_UID, b"\0")),
        (0x0013, b"SH", _padded(IMPLEMENTATION_VERSION_NAME, b" ")),
        (0x0016, b"AE", _padded(sender.calling_ae, b" ")),
        (0x0018, b"AE", _padded(sender.called_ae, b" ")),
        (0x0026, b"UR", _padded(sender.address, b" ")),
    )
    body = b"".join(_element(*element) for element in elements)
    return b"\0" * 128 + b"DICM" + _element(0x0000, b"UL", pack("<L", len(body))) + body


def _element(number: int, vr: bytes, value: bytes) -> bytes:
    """Of group 0002. Some VRs have two bytes reserved and a length of four (PS3.5 7.1.2)."""
    length = pack("<HL", 0, len(value)) if vr in (b"OB", b"UR") else pack("<H", len(value))
    return pack("<HH", 2, number) + vr + length + value


def _padded(text: str, padding: bytes) -> bytes:
    encoded = text.encode("ascii", "replace")
    return encoded + padding if len(encoded) % 2 else encoded


class Spool:
    """The folder of incoming objects."""

    def __init__(self, folder: Path, minimum_free_bytes: int) -> None:
        self._folder = folder
        self._reserve = Reserve(folder, minimum_free_bytes)

    def open_part(self, largest_bytes: int | None = None) -> SpoolFile:
        """A new file for a data set of at most so many bytes. Never raises on disk trouble."""
        return SpoolFile(self._folder, self._reserve, largest_bytes)


@contextmanager
def own_folder(root: Path) -> Iterator[Path]:
    """A folder below the spool that is this receiver's own until the block ends.

    Receivers of one or more machines may share a data folder, so each has its own, with a lock that the system lets go
    when the process ends, however that happens. What a receiver of this machine left half received is deleted here;
    of other machines only the sweep of old files knows.

    Raises:
        DiskFull, StorageUnavailable: it cannot be made.
    """
    make_folder(root)
    folder, lock = _taken_folder(root)
    try:
        sweep(root)
        yield folder
    finally:
        _remove(folder)
        lock.close()


def sweep(root: Path) -> int:
    """Delete what ended receivers of this machine left half received; nothing of it was ever acknowledged."""
    removed = sum(_sweep_if_left(folder) for folder in sorted(root.glob(f"{_host()}.*")))
    if removed:
        _log.warning("spool.swept", extra={"removed": removed})
    return removed


def _taken_folder(root: Path) -> tuple[Path, IO[bytes]]:
    """A fresh folder and the open file whose lock says so."""
    while True:
        folder = root / f"{_host()}.{uuid.uuid4().hex}"
        make_folder(folder)
        with named_disk_errors():
            try:
                lock = (folder / LOCK).open("wb")
            except FileNotFoundError:  # another receiver that starts now took it for left behind
                continue
            with suppress(OSError):  # where the file system knows no locks, nobody takes it for left behind either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if (folder / LOCK).exists():
                return folder, lock
            lock.close()


def _sweep_if_left(folder: Path) -> int:
    """How many parts were deleted; none where its receiver still runs."""
    try:
        with (folder / LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _remove(folder)
    except OSError:  # taken, just gone, or a file system without locks
        return 0


def _remove(folder: Path) -> int:
    parts = list(folder.glob(f"*{PART_SUFFIX}"))
    for path in (*parts, folder / LOCK):
        path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
    return len(parts)


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())


class _Descriptor:
    """A file descriptor that is closed once, by whoever comes first."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._open = True

    def close(self) -> None:
        if self._open:
            self._open = False
            os.close(self.number)


def _abandon(descriptor: _Descriptor, path: Path) -> None:
    """Also runs when a SpoolFile is garbage: pynetdicom forgets a file whose association broke in the middle."""
    with suppress(OSError):
        descriptor.close()
    with suppress(OSError):
        path.unlink(missing_ok=True)
