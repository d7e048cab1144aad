"""How the database is opened, and what its failures are called."""

from __future__ import annotations

import sqlite3
import stat
import traceback
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import event, make_url, text
from sqlalchemy.exc import OperationalError

from dicom_node.errors import (
    ConfigError,
    DatabaseRefused,
    DatabaseUnavailable,
    DiskFull,
    OutcomeUnknown,
    StorageUnavailable,
)
from dicom_node.storage import engine as door
from dicom_node.storage.repository import Repository
from tests.unit.dicom_node.storage.rooms import START, image

SECRET = "s3cret"  # noqa: S105


@pytest.fixture
def url(sqlite_url: str) -> str:
    """What is tested here is SQLite's, except where a test makes its own URL."""
    return sqlite_url


def test_settings_of_every_connection(repository: Repository) -> None:
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
    for transaction in (repository._read, repository._write):
        with transaction() as session:
            assert {name: session.scalar(text(f"PRAGMA {name}")) for name in wanted} == wanted


def test_only_a_claim_need_not_be_on_the_disk_when_it_returns(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    for transaction, synchronous in (
        (repository._write(), 2),
        (repository._write(repository._passing), 1),
        (repository._read(), 2),
        (repository._write(repository._passing), 1),
        (repository._write(), 2),
    ):
        with transaction as session:
            assert session.scalar(text("PRAGMA synchronous")) == synchronous


def test_the_files_are_private(tmp_path: Path) -> None:
    repository = Repository.open(f"sqlite:///{tmp_path / 'data' / 'node.sqlite3'}")
    repository.migrate()
    folder = tmp_path / "data"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == dict.fromkeys(("node.sqlite3", "node.sqlite3-wal", "node.sqlite3-shm"), 0o600)
    repository.close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"a file where the folder should be")
    with pytest.raises(StorageUnavailable):
        Repository.open(f"sqlite:///{tmp_path / 'data' / 'node.sqlite3'}")


def test_a_reader_does_not_wait_for_a_writer_and_sees_whole_commits(repository: Repository) -> None:
    repository.register(image("1.1"), START)
    with repository._write() as session:
        session.execute(text("DELETE FROM job"))
        assert len(repository.jobs((), 10)) == 1
    assert repository.jobs((), 10) == ()


def test_a_locked_database_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "BUSY_TIMEOUT_S", 0.05)
    repository = Repository.open(url)
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnavailable, match="locked"):
        repository.register(image("1.1"), START)
    other.execute("ROLLBACK")
    other.close()
    repository.register(image("1.1"), START)
    repository.close()


def test_a_full_disk_is_named(repository: Repository) -> None:
    with repository._read() as session:
        pages = session.scalar(text("PRAGMA page_count"))
    event.listen(
        repository._engine, "begin", lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    )
    with pytest.raises(DiskFull):
        register_many(repository)


def register_many(repository: Repository) -> None:
    for number in range(500):
        repository.register(image(f"1.{number}"), START)


def test_a_database_without_tables_is_named(tmp_path: Path) -> None:
    repository = Repository.open(f"sqlite:///{tmp_path / 'node.sqlite3'}")
    with pytest.raises(DatabaseRefused, match="migrate"):
        repository.register(image("1.1"), START)
    repository.close()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite3"
    path.write_bytes(b"not a database" * 1000)
    repository = Repository.open(f"sqlite:///{path}")
    with pytest.raises(DatabaseRefused, match="not an SQLite database"):
        repository.migrate()
    repository.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite://", "forget"),
        ("sqlite:///:memory:", "forget"),
        ("sqlite:///file:node?mode=memory&uri=true", "name the file"),
        (f"mysql://me:{SECRET}@db/node", "mysql is not supported"),
        (f"me:{SECRET}@db", "not a database URL"),
        (f"postgresql://me:{SECRET}@db:notaport/node", "not a database URL"),
        (f"nonsense://me:{SECRET}@db/node", "nonsense"),
    ],
)
def test_an_unusable_url_is_refused_without_its_password(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as raised:
        Repository.open(url)
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_the_password_is_masked() -> None:
    shown = door.masked(make_url(f"postgresql://me:{SECRET}@db/node?password={SECRET}"))
    assert shown == "postgresql://me:***@db/node"


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"driver.*not installed") as raised:
        Repository.open(f"postgresql://me:{SECRET}@db/node")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("state", "named"),
    [
        (None, DatabaseUnavailable),
        ("08006", OutcomeUnknown),
        ("40P01", DatabaseUnavailable),
        ("57P01", OutcomeUnknown),
        ("53100", DiskFull),
        ("42P01", DatabaseRefused),
        ("42601", OperationalError),
    ],
)
def test_postgresql_errors_are_named_by_their_state(state: str | None, named: type[Exception]) -> None:
    url = make_url(f"postgresql://me:{SECRET}@db/node")
    original = Exception(f"connection failed for {SECRET}")
    original.sqlstate = state  # type: ignore[attr-defined]
    with pytest.raises(named) as raised, door.named_errors(url):
        raise OperationalError("select", {}, original)
    if named is not OperationalError:
        assert SECRET not in str(raised.value)


def test_switching_to_the_write_ahead_log_waits_for_its_turn() -> None:
    answers = iter([sqlite3.OperationalError("locked"), ("delete",), None, ("wal",)])
    asked: list[str] = []

    def execute(statement: str) -> SimpleNamespace:
        asked.append(statement)
        answer = next(answers)
        if isinstance(answer, sqlite3.OperationalError):
            answer.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise answer
        return SimpleNamespace(fetchone=lambda: answer)

    door._use_write_ahead_log(SimpleNamespace(execute=execute))  # type: ignore[arg-type]
    assert asked == ["PRAGMA journal_mode", "PRAGMA journal_mode", "PRAGMA journal_mode = WAL", "PRAGMA journal_mode"]
