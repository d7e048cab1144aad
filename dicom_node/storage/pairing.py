"""A data folder and a database belong together; a mark in the folder says to which installation it belongs.

A database that knows nothing would make orphans of all objects, which the sweep deletes; a share that is not mounted
would let the receiver store into the folder beneath. Both are refused before anything starts.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Protocol

from dicom_node.errors import DatabaseRefused
from dicom_node.storage.files import FILE_MODE, OBJECTS, make_folder, named_disk_errors, sync

MARK = "installation"


class Installation(Protocol):
    """The end of the repository that is asked here."""

    def installation_serial(self) -> str: ...

    def has_instances(self) -> bool: ...


def pair(data_dir: Path, installation: Installation) -> None:
    """Check the mark, or leave it at the first use.

    Raises:
        DatabaseRefused: they do not belong together.
        DiskFull, StorageUnavailable: the folder cannot be written.
    """
    serial = installation.installation_serial()
    make_folder(data_dir)
    mark = data_dir / MARK
    with named_disk_errors():
        marked = mark.read_text(encoding="ascii").strip() if mark.exists() else None
    if marked is None:
        _check_first_use(data_dir, installation.has_instances())
        _leave(mark, serial)
    elif marked != serial:
        raise DatabaseRefused(
            f"{data_dir} belongs to another installation than the database: is database.url right, and node.data_dir?"
        )


def _check_first_use(data_dir: Path, has_instances: bool) -> None:
    has_objects = any((data_dir / OBJECTS).glob("*/*"))
    if has_objects and not has_instances:
        raise DatabaseRefused(
            f"{data_dir} holds objects and the database knows none: is database.url right? To take them over into this"
            " database, run `dicom-node db adopt`."
        )
    if has_instances and not has_objects:
        raise DatabaseRefused(f"The database knows objects and {data_dir} holds none: is the share mounted?")


def _leave(mark: Path, serial: str) -> None:
    """Whole or not at all; who starts at the same time writes the same."""
    part = mark.with_name(f"{mark.name}.{uuid.uuid4().hex}")
    with named_disk_errors():
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE), "w") as stream:
            stream.write(f"{serial}\n")
        sync(part)
        part.replace(mark)
        sync(mark.parent)
