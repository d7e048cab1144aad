"""The serial number of an installation: drawn once, whoever asks first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dicom_node.storage.repository import Repository


def test_the_serial_stays(repository: Repository, url: str) -> None:
    first = repository.installation_serial()
    again = Repository.open(url)
    assert len(first) <= 64  # VR LO
    assert again.installation_serial() == repository.installation_serial() == first
    again.close()


def test_two_installations_differ(empty_database: Path, tmp_path: Path) -> None:
    serials = set()
    for name in ("a", "b"):
        path = tmp_path / name
        path.write_bytes(empty_database.read_bytes())
        repository = Repository.open(f"sqlite:///{path}")
        serials.add(repository.installation_serial())
        repository.close()
    assert len(serials) == 2


def test_all_who_start_at_once_hear_the_same(repository: Repository) -> None:
    with ThreadPoolExecutor(8) as starters:
        serials = set(starters.map(lambda _: repository.installation_serial(), range(16)))
    assert len(serials) == 1
