"""The database into a file while the node runs, and back from there while it does not.

Objects are files of their own, written once and never changed: whoever copies the data folder after the database has a
file for each row of the copy. A database from the past knows nothing of what came after; see receive/adoption.py.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import URL, make_url

from dicom_node.errors import DatabaseRefused, DatabaseUnavailable, Refused
from dicom_node.storage.engine import BUSY_TIMEOUT_S, masked, sqlite_file
from dicom_node.storage.files import FILE_MODE, make_folder, named_disk_errors, sync

_SIDE_FILES = ("-wal", "-shm")
_SET_ASIDE = ".before-restore"


def back_up(url: str, target: Path) -> None:
    """Write the database as it stands at one moment to `target` (0600), a SQLite file or an archive of pg_dump.

    Raises:
        Refused: the file exists, or pg_dump is missing.
        DatabaseRefused, DatabaseUnavailable: the database cannot be read.
        DiskFull, StorageUnavailable: the file cannot be written.
    """
    if target.exists():
        raise Refused(f"{target} exists; name a new file")
    with _written_whole(target) as part:
        file = sqlite_file(url)
        if file is None:
            _run("pg_dump", make_url(url), "--format=custom", "--no-owner", f"--file={part}")
        else:
            _copy_sqlite(file, part)


def restore(url: str, source: Path) -> None:
    """Put the database of a backup in the place of the present one; a SQLite file is set aside, not deleted.

    Nobody else may use the database meanwhile; see pairing.alone.

    Raises:
        DatabaseRefused: `source` is no backup of such a database, or is damaged; the present one was not touched.
        Refused: an earlier database that was set aside is still there, or pg_restore is missing.
        DiskFull, StorageUnavailable: the file cannot be written.
    """
    file = sqlite_file(url)
    if file is None:
        options = ("--clean", "--if-exists", "--no-owner", "--single-transaction", "--exit-on-error")
        _run("pg_restore", make_url(url), *options, str(source))
        return
    _check_sqlite(source)
    aside = file.with_name(file.name + _SET_ASIDE)
    if aside.exists():
        raise Refused(f"{aside} is still there from an earlier restore; move it away")
    with _written_whole(file.with_name(f"{file.name}.restored"), keep=False) as part:
        _copy_sqlite(source, part)
        if file.exists():
            _settle_log(file)
            with named_disk_errors():
                file.rename(aside)
        with named_disk_errors():
            for suffix in _SIDE_FILES:
                Path(f"{file}{suffix}").unlink(missing_ok=True)
            part.rename(file)
            sync(file.parent)


@contextmanager
def _written_whole(target: Path, *, keep: bool = True) -> Iterator[Path]:
    """A private file beside `target` to write to; in its place, on the disk, when the block ends well and `keep`."""
    make_folder(target.parent)
    part = target.with_name(f"{target.name}.part")
    with named_disk_errors():
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE))
    try:
        yield part
        if keep:
            with named_disk_errors():
                sync(part)
                part.rename(target)
                sync(target.parent)
    finally:
        part.unlink(missing_ok=True)


def _copy_sqlite(source: Path, target: Path) -> None:
    """At one moment, while others read and write (https://www.sqlite.org/backup.html)."""
    with (
        named_sqlite_errors(source),
        closing(sqlite3.connect(f"file:{_quoted(source)}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)) as present,
        closing(sqlite3.connect(target)) as copy,
    ):
        present.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    with named_disk_errors():
        sync(target)


def _check_sqlite(source: Path) -> None:
    """Raises DatabaseRefused."""
    if not source.is_file():
        raise DatabaseRefused(f"{source} is no file.")
    with (
        named_sqlite_errors(source),
        closing(sqlite3.connect(f"file:{_quoted(source)}?mode=ro", uri=True)) as opened,
    ):
        tables = {name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        whole = opened.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    if "alembic_version" not in tables:
        raise DatabaseRefused(f"{source} is not a database of this software.")
    if not whole:
        raise DatabaseRefused(f"{source} is damaged.")


def _settle_log(file: Path) -> None:
    """What stands only in the write-ahead log goes into the file that is set aside."""
    with named_sqlite_errors(file), closing(sqlite3.connect(file, timeout=BUSY_TIMEOUT_S)) as opened:
        opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def named_sqlite_errors(file: Path) -> Iterator[None]:
    """Raises DatabaseRefused instead of what SQLite says about a file."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        raise DatabaseRefused(f"{file} cannot be copied as an SQLite database ({name}).") from error


def _quoted(path: Path) -> str:
    return str(path.resolve()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _run(program: str, url: URL, *arguments: str) -> None:
    """One of PostgreSQL's programs. The password goes by the environment, where other users cannot read it."""
    if shutil.which(program) is None:
        raise Refused(f"{program} is not installed: sudo apt-get install postgresql-client")
    without = url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
    command = [program, "--no-password", f"--dbname={without}", *arguments]
    done = subprocess.run(command, env=_environment(url), capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise DatabaseUnavailable(f"{program} failed with status {done.returncode} on {masked(url)}.")


def _environment(url: URL) -> Mapping[str, str]:
    return dict(os.environ) if url.password is None else {**os.environ, "PGPASSWORD": str(url.password)}
