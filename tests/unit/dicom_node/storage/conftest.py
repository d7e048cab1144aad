"""Every test of the repository runs on both engines; what only one of them does asks for its `url` by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.storage.repository import Repository
from dicom_node.storage.rows import Row
from tests.postgresql import BOTH_ENGINES, Server, database_of


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file to copy from; migrating for every test would take longer than the tests."""
    path = tmp_path_factory.mktemp("database") / "node.sqlite3"
    repository = Repository.open(f"sqlite:///{path}")
    repository.migrate()
    repository.close()
    return path


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql: Server) -> str:
    """One database that all tests use in turn: making a copy for each would take longer than they do."""
    url = postgresql.create_database()
    repository = Repository.open(url)
    repository.migrate()
    repository.close()
    return url


@pytest.fixture
def sqlite_url(empty_database: Path, tmp_path: Path) -> str:
    path = tmp_path / "node.sqlite3"
    path.write_bytes(empty_database.read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture
def postgresql_url(postgresql: Server, migrated_postgresql: str) -> str:
    tables = ", ".join(Row.metadata.tables)
    postgresql.sql(f"TRUNCATE {tables} RESTART IDENTITY", database_of(migrated_postgresql))
    return migrated_postgresql


@pytest.fixture(params=BOTH_ENGINES)
def url(request: pytest.FixtureRequest) -> str:
    """A migrated database with nothing in it."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found


@pytest.fixture
def repository(url: str) -> Iterator[Repository]:
    opened = Repository.open(url)
    yield opened
    opened.close()
