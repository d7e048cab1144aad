"""Bytes that a row knows already: one whole file stands for them, under the row's path.

A row may have outlived its file: a disk or a person lost it, or the row comes from a backup and retention deleted the
file since. Then the file that has just come is the only copy there is.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from dicom_node.domain import InstanceRef, NewInstance
from dicom_node.errors import DatabaseUnavailable
from dicom_node.storage.files import durable_rename, named_disk_errors

_log = logging.getLogger(__name__)


class Versions(Protocol):
    """The end of the repository that knows where the bytes should lie."""

    def versions(self, sop_instance_uid: str) -> Sequence[InstanceRef]: ...


def keep_one(data_dir: Path, versions: Versions, new: NewInstance) -> None:
    """After SAME: the row's own file stays and the new one goes, or the new one takes its place if that is not whole.

    Raises:
        DatabaseUnavailable: the row has gone since, or cannot be asked for; the new file stays where it is.
        DiskFull, StorageUnavailable: the row's place cannot be written; nothing was deleted.
    """
    same = [row for row in versions.versions(new.sop_instance_uid) if row.sha256 == new.sha256]
    if not same:
        raise DatabaseUnavailable("The database knew the object and does not know it any more.")
    file, place = data_dir / new.path, data_dir / same[0].path
    if file == place:
        return
    if _is_whole(place, same[0].size_bytes):
        file.unlink(missing_ok=True)
        return
    durable_rename(file, place, replacing=True)
    _log.warning("receive.file_restored", extra={"instance_id": same[0].id, "size_bytes": new.size_bytes})


def _is_whole(file: Path, size_bytes: int) -> bool:
    """By its size: files are written once, and reading each again would cost a sender that repeats itself."""
    with named_disk_errors():
        try:
            return file.stat().st_size == size_bytes
        except FileNotFoundError:
            return False
