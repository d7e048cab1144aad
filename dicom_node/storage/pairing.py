"""A data folder and a database belong together; a mark in the folder says to which installation it belongs.

A database that knows nothing would make orphans of all objects, which the sweep clears away; a share that is not
mounted would let the receiver store into the folder beneath; and a database that was put back knows less than was
acknowledged, until the objects are adopted. All are refused before anything starts.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from dicom_node.errors import DatabaseRefused, NodeRunning
from dicom_node.storage.files import FILE_MODE, OBJECTS, ROOTS, make_folder, named_disk_errors, sync

MARK = "installation"
ADOPTION = "adoption.pending"
"""Lies in the folder while the database may know less than was acknowledged."""


class Installation(Protocol):
    """The end of the repository that is asked here."""

    def installation_serial(self) -> str: ...

    def has_instances(self) -> bool: ...


class Fresh(Installation, Protocol):
    """A database that may become that of another installation."""

    def call_installation(self, serial: str) -> None: ...


@contextmanager
def paired(data_dir: Path, installation: Installation) -> Iterator[None]:
    """`pair`, and tell others for the duration of the block that somebody works on the folder."""
    pair(data_dir, installation)
    with _locked(data_dir / MARK, fcntl.LOCK_SH):
        yield


@contextmanager
def alone(data_dir: Path) -> Iterator[None]:
    """For what nobody may watch half done.

    Raises:
        NodeRunning: a role of the node works on the folder, on this machine or (where the share has locks) another.
    """
    mark = data_dir / MARK
    if not mark.exists():
        yield
        return
    with _locked(mark, fcntl.LOCK_EX | fcntl.LOCK_NB):
        yield


@contextmanager
def _locked(mark: Path, kind: int) -> Iterator[None]:
    with named_disk_errors():
        stream = mark.open("r+b")
    with stream:
        try:
            fcntl.flock(stream, kind)
        except BlockingIOError:
            raise NodeRunning from None
        except OSError:  # a file system without locks: the administrator has to know
            pass
        yield


def pair(data_dir: Path, installation: Installation) -> None:
    """Check the mark, or leave it at the first use; then see that the folders of objects are there.

    Raises:
        DatabaseRefused: they do not belong together, or an adoption has not ended.
        DiskFull, StorageUnavailable: the folder cannot be written.
    """
    if (data_dir / ADOPTION).exists():
        raise DatabaseRefused(
            f"A restore or an adoption in {data_dir} was broken off, and the database may not know every object: run"
            " `dicom-node restore` again, or `dicom-node db adopt`."
        )
    serial = installation.installation_serial()
    make_folder(data_dir)
    check_mark(data_dir, serial)
    mark = data_dir / MARK
    if not mark.exists():
        _check_first_use(data_dir, installation.has_instances())
        _leave(mark, serial)
    for name in ROOTS:
        make_folder(data_dir / name)


def check_mark(data_dir: Path, serial: str) -> None:
    """Only compare, before anything is changed: the folder has no mark yet, or that of the database with this serial.

    Raises:
        DatabaseRefused: they do not belong together.
        StorageUnavailable: the mark cannot be read.
    """
    mark = data_dir / MARK
    with named_disk_errors():
        marked = mark.read_text(encoding="ascii").strip() if mark.exists() else serial
    if marked != serial:
        raise DatabaseRefused(
            f"{data_dir} belongs to another installation than the database: is database.url right, and node.data_dir?"
            " Is the backup this node's own?"
        )


def take_over(data_dir: Path, database: Fresh) -> None:
    """A database that knows nothing yet becomes that of the folder: results go on to name the same device."""
    mark = data_dir / MARK
    if mark.exists() and not database.has_instances():
        with named_disk_errors():
            database.call_installation(mark.read_text(encoding="ascii").strip())


def begin_adoption(data_dir: Path) -> None:
    """Before the database is put back: nobody starts on the folder until `end_adoption`, whatever happens between.

    Raises:
        DiskFull, StorageUnavailable: the folder cannot be written.
    """
    make_folder(data_dir)
    _leave(data_dir / ADOPTION, "")


def end_adoption(data_dir: Path) -> None:
    """Every object has a row, or was set aside. Raises StorageUnavailable."""
    with named_disk_errors():
        (data_dir / ADOPTION).unlink(missing_ok=True)
        sync(data_dir)


def _check_first_use(data_dir: Path, has_instances: bool) -> None:
    has_objects = any((data_dir / OBJECTS).glob("*/*"))
    if has_objects and not has_instances:
        raise DatabaseRefused(
            f"{data_dir} holds objects and the database knows none: is database.url right? To take them over into this"
            " database, run `dicom-node db adopt`."
        )
    if has_instances and not has_objects:
        raise DatabaseRefused(f"The database knows objects and {data_dir} holds none: is the share mounted?")


def _leave(mark: Path, text: str) -> None:
    """Whole or not at all; who starts at the same time writes the same."""
    part = mark.with_name(f"{mark.name}.{uuid.uuid4().hex}")
    with named_disk_errors():
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE), "w") as stream:
            stream.write(f"{text}\n")
        sync(part)
        part.replace(mark)
        sync(mark.parent)
