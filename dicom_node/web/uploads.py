"""A file from a browser or a program, on the disk for as long as it is looked at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import UploadFile

from dicom_node.storage.files import FILE_MODE, named_disk_errors

_BEGINNINGS = {
    b"\x89PNG\r\n\x1a\n": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"BM": ".bmp",
    b"II*\x00": ".tif",
    b"MM\x00*": ".tif",
}
LONGEST_NAME = 200


@contextmanager
def lying_in(folder: Path, upload: UploadFile, name: str = "upload") -> Iterator[Path]:
    """The file in `folder`, under a name that says what its first bytes say; gone afterwards.

    Raises:
        DiskFull, StorageUnavailable: it cannot be written.
    """
    path = folder / f"{name}{suffix_of(upload)}"
    try:
        with named_disk_errors():
            path.touch(mode=FILE_MODE)
            with path.open("wb") as file:
                shutil.copyfileobj(upload.file, file)
        yield path
    finally:
        path.unlink(missing_ok=True)


def suffix_of(upload: UploadFile) -> str:
    """By content: who names a file is who may lie about it. What is no known picture is looked at as DICOM."""
    upload.file.seek(0)
    beginning = upload.file.read(16)
    upload.file.seek(0)
    return next((suffix for magic, suffix in _BEGINNINGS.items() if beginning.startswith(magic)), ".dcm")


def called(upload: UploadFile) -> str | None:
    """What its sender calls it, without folders and without what no terminal should print."""
    name = (upload.filename or "").replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(character for character in name if character.isprintable())[:LONGEST_NAME] or None
