"""A console over an empty database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from dicom_node import passwords
from dicom_node.config import Config, NodeSection
from dicom_node.storage.repository import Repository
from dicom_node.users import UserRole
from dicom_node.web.console import Console
from tests.unit.dicom_node.web.browser import Browser, Clock


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    """Argon2id as cheap as it gets: it is slow on purpose, and the tests sign in often."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        yield


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("console") / "node.sqlite3"
    repository = Repository.open(f"sqlite:///{path}")
    repository.migrate()
    repository.close()
    return path


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def console(tmp_path: Path, migrated: Path, clock: Clock) -> Iterator[Console]:
    config = Config(node=NodeSection(data_dir=tmp_path))
    (tmp_path / "node.sqlite3").write_bytes(migrated.read_bytes())
    repository = Repository.open(config.database_url)
    yield Console(config, repository, None, clock)
    repository.close()


@pytest.fixture
def browser(console: Console) -> Browser:
    """Nobody is signed in."""
    return Browser(console)


@pytest.fixture
def viewer(console: Console) -> Browser:
    return Browser(console).sign_in(UserRole.VIEWER)


@pytest.fixture
def operator(console: Console) -> Browser:
    return Browser(console).sign_in(UserRole.OPERATOR)


@pytest.fixture
def admin(console: Console) -> Browser:
    return Browser(console).sign_in(UserRole.ADMIN)
