"""The door to the database: engine, transactions, and the node's names for what goes wrong there.

One difference between the engines lives here: SQLite has one writer, so a writing transaction takes the write lock at
its BEGIN (a read lock that is upgraded later fails at once when another writer was quicker). PostgreSQL locks rows.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from dicom_node.errors import (
    ConfigError,
    Contended,
    DatabaseRefused,
    DatabaseUnavailable,
    DiskFull,
    NodeError,
    OutcomeUnknown,
)
from dicom_node.storage import vanishing
from dicom_node.storage.files import FILE_MODE, make_folder, named_disk_errors, sync
from dicom_node.storage.mounts import network_filesystem

BUSY_TIMEOUT_S = 30.0
_BUSY_TIMEOUT_MS = int(BUSY_TIMEOUT_S * 1000)
_SHORTEST_LOOK_S, _LONGEST_LOOK_S = 0.0005, 0.02
WRITES = {"writes": True}
"""Execution options of a transaction that writes."""

PASSING = {**WRITES, "passes": True}
"""Of one that may be forgotten when the machine loses power, but not when a process ends.

On SQLite alone, where nobody outlives the machine: it is not waited for until it is on the disk (synchronous=NORMAL of
a write-ahead log, https://www.sqlite.org/pragma.html). A server may fall and its clients go on, so there it makes none.
"""

_PASSES = "passes"
"""Of a connection: whether its next commit may be forgotten."""

_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}
_CONNECT_TIMEOUT_S = 10
_CUT_OFF = ("08", "57")  # connection exceptions, and what an administrator or a crash does to it
_HELD = frozenset({"40P01", "55P03"})  # deadlock_detected, lock_not_available
_POOL = 5
_OVERFLOW = 64  # one for each association thread of a busy receiver


def open_engine(url: str) -> Engine:
    """An engine for `sqlite:///path` or `postgresql+psycopg://...`; SQLite files are created, private to the user.

    Raises:
        ConfigError: the URL cannot be used; its password is never part of the message. SQLite on a network share.
        DiskFull, StorageUnavailable: the SQLite file cannot be created.
    """
    parsed = _parse(url)
    try:
        if parsed.get_backend_name() == "sqlite":
            return _open_sqlite(parsed)
        return _open_postgresql(parsed)
    except ImportError as error:
        raise ConfigError(f"database.url: the driver for {masked(parsed)} is not installed ({error.name})") from error


def masked(url: URL) -> str:
    """The URL without its password and without its query, which may hold one too."""
    return url.set(query={}).render_as_string(hide_password=True)


@contextmanager
def named_errors(url: URL) -> Iterator[None]:
    """Raises DatabaseUnavailable, DiskFull or DatabaseRefused instead of what SQLAlchemy and the driver raise.

    A violated constraint passes through: the caller knows what it means.
    """
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        named = _named(error, url)
        if named is None:
            raise
        raise named from error
    except PoolTimeout as error:
        raise DatabaseUnavailable(f"The database {masked(url)} has no free connection.") from error


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite database; None for another engine. Raises DatabaseRefused for a malformed URL."""
    parsed = _parse(url)
    return Path(parsed.database) if parsed.get_backend_name() == "sqlite" and parsed.database else None


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise ConfigError("database.url is not a database URL") from None  # the cause would quote the password
    if backend not in _DRIVERS:
        raise ConfigError(f"database.url: {backend} is not supported; use {' or '.join(_DRIVERS.values())}")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ConfigError("database.url: a database in memory would forget what was acknowledged; name a file")
    if backend == "sqlite" and str(parsed.database).startswith("file:"):
        raise ConfigError("database.url: SQLite's own file: addresses are not supported; name the file itself")
    return parsed.set(drivername=_DRIVERS[backend])


def _open_postgresql(url: URL) -> Engine:
    from dicom_node.storage.silence import BoundedConnection, be_impatient  # noqa: PLC0415  the driver is an extra

    engine = create_engine(
        url,
        hide_parameters=True,
        connect_args={"connect_timeout": _CONNECT_TIMEOUT_S, **vanishing.OURS},
        pool_pre_ping=True,
        pool_size=_POOL,
        max_overflow=_OVERFLOW,
    )
    event.listen(engine, "do_connect", lambda _dialect, _record, at, how: BoundedConnection.connect(*at, **how))
    event.listen(engine, "connect", _ask_server_to_notice)
    event.listen(engine, "checkin", lambda connection, _record: be_impatient(connection))
    return engine


def _ask_server_to_notice(connection: Any, _record: Any) -> None:
    connection.execute(vanishing.THEIRS)
    connection.commit()


def hurried(connection: Connection) -> None:
    """For this transaction: Contended where a row is not to be had soon; nothing to do on SQLite, which has no rows."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(vanishing.HURRIED)


def unbound(connection: Connection) -> None:
    """For this transaction, see vanishing.UNBOUND and silence.py; nothing to do on SQLite."""
    if connection.dialect.name == "postgresql":
        from dicom_node.storage.silence import be_patient  # noqa: PLC0415  the driver is an extra

        be_patient(connection.connection.driver_connection)
        connection.exec_driver_sql(vanishing.UNBOUND)


def refuse_network(file: Path) -> None:
    """SQLite's locks and its write-ahead log need the memory of one machine (https://www.sqlite.org/wal.html).

    Raises:
        ConfigError: `file` lies where other machines may write.
    """
    kind = network_filesystem(file)
    if kind is not None:
        raise ConfigError(
            f"database.url: {file} lies on a network file system ({kind}), on which SQLite may damage the database."
            " Name a file on a disk of this machine, or use postgresql+psycopg."
        )


def _open_sqlite(url: URL) -> Engine:
    refuse_network(Path(str(url.database)))
    _create_private(Path(str(url.database)))
    engine = create_engine(
        url,
        hide_parameters=True,
        connect_args={"timeout": BUSY_TIMEOUT_S},
        pool_size=_POOL,
        max_overflow=_OVERFLOW,
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _create_private(path: Path) -> None:
    """Make the file before SQLite does: its -wal and -shm files inherit the mode."""
    make_folder(path.parent)
    with named_disk_errors():
        if not path.exists():
            path.touch(mode=FILE_MODE)
            sync(path.parent)


def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
    """Settings of each connection; transactions are begun by us, not guessed by the driver."""
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA foreign_keys = ON")
    _use_write_ahead_log(connection)
    connection.execute("PRAGMA synchronous = FULL")


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """The switch is remembered by the file; SQLite does not wait for its lock, so we do."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                return
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _begin(connection: Connection) -> None:
    passes = connection.get_execution_options().get("passes", False)
    if connection.info.get(_PASSES, False) is not passes:
        connection.exec_driver_sql(f"PRAGMA synchronous = {'NORMAL' if passes else 'FULL'}")
        connection.info[_PASSES] = passes
    if connection.get_execution_options().get("writes", False):
        _begin_to_write(connection)
    else:
        connection.exec_driver_sql("BEGIN")


def _begin_to_write(connection: Connection) -> None:
    """Take the write lock, looking again every millisecond or so at first.

    SQLite's own waiting looks again after 25, then 50 and 100 ms: many writers would mostly sleep beside a free lock.
    """
    driver = cast(sqlite3.Connection, connection.connection.driver_connection)
    began = time.monotonic()
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            waited = time.monotonic() - began
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            except OperationalError as error:
                if not isinstance(error.orig, sqlite3.Error) or not _is_busy(error.orig) or waited > BUSY_TIMEOUT_S:
                    raise
            else:
                return
            time.sleep(min(_LONGEST_LOOK_S, _SHORTEST_LOOK_S + waited / 20))
    finally:
        driver.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")


def _is_busy(error: sqlite3.Error) -> bool:
    return _sqlite_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _sqlite_code(error: sqlite3.Error) -> int:
    """The primary result code; errors of the Python module itself carry none and count as SQLITE_ERROR."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def _named(error: DBAPIError, url: URL) -> NodeError | None:
    """The node's error, or None where the statement or its values are to blame."""
    if isinstance(error.orig, sqlite3.Error):
        return _named_sqlite(error.orig, url)
    return _named_postgresql(error, url)


def _named_sqlite(error: sqlite3.Error, url: URL) -> NodeError | None:
    code = _sqlite_code(error)
    if code == sqlite3.SQLITE_ERROR and str(error).startswith(("no such table", "no such column")):
        return _without_schema(url)
    if code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH):
        return None
    if code == sqlite3.SQLITE_FULL:
        return DiskFull()
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return DatabaseRefused(f"{masked(url)} is not an SQLite database, or is damaged.")
    if _is_busy(error):
        return DatabaseUnavailable(f"The database {masked(url)} is locked by another process.")
    return DatabaseUnavailable(f"The database {masked(url)} failed ({error.sqlite_errorname}).")


def _named_postgresql(error: DBAPIError, url: URL) -> NodeError | None:
    """By SQLSTATE (PostgreSQL manual, appendix A); no state means that no connection came about."""
    state = str(getattr(error.orig, "sqlstate", None) or "")
    if state in ("42P01", "42703"):
        return _without_schema(url)
    if state.startswith(("22", "42")):
        return None
    if state == "53100":
        return DiskFull()
    if state in _HELD:
        return Contended(f"Another transaction of {masked(url)} has what is needed (SQLSTATE {state}).")
    kind = OutcomeUnknown if error.connection_invalidated or state[:2] in _CUT_OFF else DatabaseUnavailable
    return kind(f"The database {masked(url)} cannot be used now (SQLSTATE {state or 'none'}).")


def _without_schema(url: URL) -> DatabaseRefused:
    return DatabaseRefused(f"The tables of {masked(url)} are not those of this software; migrate it.")
