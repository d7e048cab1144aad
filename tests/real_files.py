"""The ultrasound objects of real machines that pydicom and pydicom-data ship, and what the node answers for each.

`python -m tests.real_files` writes docs/real-files.md; a test writes it again and compares.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

PACKAGES = {"pydicom": "pydicom", "pydicom-data": "data_store"}
"""Distribution -> package; all their files are looked at, whatever they are."""


def folder_of(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "data"


@cache
def all_files() -> tuple[tuple[str, Path], ...]:
    """(name with its distribution, path) of every data file of both packages, in name order."""
    return tuple(
        (f"{distribution}/{path.relative_to(folder_of(package)).as_posix()}", path)
        for distribution, package in PACKAGES.items()
        for path in sorted(folder_of(package).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    )


@cache
def ultrasound_objects() -> tuple[tuple[str, Path, FileDataset], ...]:
    """Those of an ultrasound SOP class (retired ones too), or of modality US, with their headers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of these files are there because they are odd
        return tuple(_ultrasound())


def _ultrasound() -> Iterator[tuple[str, Path, FileDataset]]:
    for name, path in all_files():
        try:
            header = dcmread(path, stop_before_pixels=True)
        except InvalidDicomError:
            continue
        sop_class = UID(str(header.get("SOPClassUID", "")))
        if "Ultrasound" in sop_class.name or header.get("Modality") == "US":
            yield name, path, header
