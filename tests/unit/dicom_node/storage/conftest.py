from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.storage.repository import Repository


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file to copy from; migrating for every test would take longer than the tests."""
    path = tmp_path_factory.mktemp("database") / "node.sqlite3"
    repository = Repository.open(f"sqlite:///{path}")
    repository.migrate()
    repository.close()
    return path


@pytest.fixture
def url(empty_database: Path, tmp_path: Path) -> str:
    path = tmp_path / "node.sqlite3"
    path.write_bytes(empty_database.read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture
def repository(url: str) -> Iterator[Repository]:
    opened = Repository.open(url)
    yield opened
    opened.close()
