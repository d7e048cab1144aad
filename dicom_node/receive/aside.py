"""The digest of a large file while it is written, in a thread of its own.

Of a cine it takes about two fifths of the time. What was written is read again, from the memory in which the system
keeps it for a moment, so that the thread that reads the network never waits for a buffer to be hashed.
"""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

_PIECE_BYTES = 1 << 18


class Digest(Protocol):
    """The end of a hash object that is used here."""

    def update(self, data: bytes, /) -> None: ...


class HashedAside:
    """Goes on with `digest`, which nobody else uses until `finish`, from byte `begin` of the file at `path`.

    Raises:
        OSError, RuntimeError: no descriptor or no thread is to be had.
    """

    def __init__(self, path: Path, digest: Digest, begin: int) -> None:
        self._ends: SimpleQueue[int | None] = SimpleQueue()
        self._failures: list[OSError] = []
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        what = (descriptor, digest, begin, self._ends, self._failures)
        self._thread = threading.Thread(target=_hash, args=what, name="digest", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            os.close(descriptor)
            raise

    def until(self, end: int) -> None:
        """All bytes before `end` are written."""
        self._ends.put(end)

    def abandon(self) -> None:
        """The digest is not wanted; its thread ends soon."""
        self._ends.put(None)

    def finish(self) -> None:
        """Wait until everything is hashed. Raises OSError: it could not be read."""
        self.abandon()
        self._thread.join()
        if self._failures:
            raise self._failures[0]


def _hash(descriptor: int, digest: Digest, begin: int, ends: SimpleQueue[int | None], failures: list[OSError]) -> None:
    """Must not keep the file object alive: one that is forgotten abandons this."""
    try:
        while (end := ends.get()) is not None:
            while begin < end:
                piece = os.pread(descriptor, min(_PIECE_BYTES, end - begin), begin)
                if not piece:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                digest.update(piece)
                begin += len(piece)
    except OSError as error:
        failures.append(error)
    finally:
        os.close(descriptor)
