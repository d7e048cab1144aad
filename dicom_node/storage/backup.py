"""The database into a file while the node runs, and back from there while it does not.

Objects are files of their own, written once and never changed: whoever copies the data folder after the database has a
file for each row of the copy. A database from the past knows nothing of what came after; see receive/adoption.py.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

from sqlalchemy import URL, make_url

from dicom_node.errors import DatabaseRefused, DatabaseUnavailable, Refused
from dicom_node.storage import schema
from dicom_node.storage.engine import BUSY_TIMEOUT_S, masked, sqlite_file
from dicom_node.storage.files import FILE_MODE, make_folder, named_disk_errors, sync
from dicom_node.storage.rows import InstallationRow

_SIDE_FILES = ("-wal", "-shm")
_SET_ASIDE = ".before-restore"
_INSTALLATION = InstallationRow.__tablename__
_ARCHIVE = "postgresql"
_LONGEST_REASON = 300

_EMPTY = """
SET LOCAL lock_timeout = '30s';
DO $$
DECLARE ours text;
BEGIN
  FOR ours IN
    SELECT format('TABLE %s', oid::regclass) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND pg_has_role(relowner, 'USAGE')
    UNION ALL
    SELECT format('FUNCTION %s', p.oid::regprocedure) FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
    WHERE pronamespace = 'public'::regnamespace AND lanname = 'plpgsql' AND pg_has_role(proowner, 'USAGE')
  LOOP
    EXECUTE format('DROP %s CASCADE', ours);
  END LOOP;
END $$;
"""
"""Whatever tables and triggers this role has made, of whichever version."""


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
            _run("pg_dump", "--format=custom", "--no-owner", f"--file={part}", url=make_url(url))
        else:
            _copy_sqlite(file, part)


def restore(url: str, source: Path, data_dir: Path, before_change: Callable[[], None] = lambda: None) -> None:
    """Put the database of a backup in the place of the present one, which is set aside: the SQLite file beside its
    place, that of PostgreSQL as an archive in `data_dir`.

    Nobody else may use the database meanwhile; see pairing.alone. `before_change` is called when all was checked and
    nothing was touched yet.

    Raises:
        DatabaseRefused: `source` is no backup of such a database, is damaged, or is of a newer version of the software;
            the present one is as it was.
        DatabaseUnavailable: PostgreSQL refuses; the present one is as it was.
        Refused: an earlier database that was set aside is still there, or a program of PostgreSQL is missing.
        DiskFull, StorageUnavailable: a file cannot be written.
    """
    file = sqlite_file(url)
    revision = _value_in(url, source, "alembic_version", "version_num")
    if revision is not None and revision not in schema.revisions():
        raise DatabaseRefused(
            f"{source} has schema {revision}, which this version does not know: a newer one made it. Install that one."
        )
    if file is None:
        _restore_postgresql(make_url(url), source, data_dir / f"{_ARCHIVE}{_SET_ASIDE}", before_change)
    else:
        _restore_sqlite(file, source, before_change)


def _restore_sqlite(file: Path, source: Path, before_change: Callable[[], None]) -> None:
    _check_sqlite(source)
    aside = file.with_name(file.name + _SET_ASIDE)
    if file.exists():
        _check_absent(aside)
    with _written_whole(file.with_name(f"{file.name}.restored"), keep=False) as part:
        _copy_sqlite(source, part)
        before_change()
        if file.exists():
            _settle_log(file)
            with named_disk_errors():
                file.rename(aside)
        with named_disk_errors():
            for suffix in _SIDE_FILES:
                Path(f"{file}{suffix}").unlink(missing_ok=True)
            part.rename(file)
            sync(file.parent)


def _restore_postgresql(url: URL, source: Path, aside: Path, before_change: Callable[[], None]) -> None:
    """In one transaction, from a script that is whole before it begins, into a schema in which nothing of ours is left:
    pg_restore alone drops only what the archive knows, and a newer version has more tables.
    """
    _check_absent(aside)
    with tempfile.TemporaryFile() as script:
        _read_archive(source, "--no-owner", "--file=-", to=script)
        back_up(url.render_as_string(hide_password=False), aside)
        before_change()
        script.seek(0)
        how = ("--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--output=/dev/null")
        what = ("--command", _EMPTY, "--file=-", "--command", "SELECT version_num FROM public.alembic_version")
        _run("psql", *how, *what, url=url, stdin=script)


def _check_absent(aside: Path) -> None:
    if aside.exists():
        raise Refused(f"{aside} is still there from an earlier restore; move it away")


def serial_in(url: str, source: Path) -> str | None:
    """Of which installation a backup is, see Repository.installation_serial; None where it does not say.

    Raises:
        DatabaseRefused: `source` is no backup of such a database, or is damaged.
        Refused: pg_restore is missing.
    """
    return _value_in(url, source, _INSTALLATION, "serial")


def _value_in(url: str, source: Path, table: str, column: str) -> str | None:
    """What a table of one row holds in a backup; None where it has no such table, or no row."""
    if sqlite_file(url) is None:
        return _value_in_archive(source, table, column)
    _check_sqlite(source)
    with (
        named_sqlite_errors(source),
        closing(sqlite3.connect(f"file:{_quoted(source)}?mode=ro", uri=True)) as opened,
    ):
        has_table = opened.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        query = " ".join(("SELECT", column, "FROM", table))  # both names are ours
        row = opened.execute(query).fetchone() if has_table else None
    return None if row is None else str(row[0])


def _value_in_archive(source: Path, table: str, column: str) -> str | None:
    """From the table's rows as text: COPY ... (id, serial), a line of them, and the end mark."""
    options = ("--data-only", f"--table={table}", "--file=-")
    with tempfile.TemporaryFile() as copied:
        _read_archive(source, *options, to=copied)
        copied.seek(0)
        lines = iter(copied.read().decode().splitlines())
    for line in lines:
        if line.startswith("COPY "):
            columns = [name.strip() for name in line[line.index("(") + 1 : line.index(")")].split(",")]
            row = next(lines).split("\t")
            return row[columns.index(column)] if len(row) == len(columns) else None
    return None


def _read_archive(source: Path, *options: str, to: IO[bytes]) -> None:
    """Raises DatabaseRefused."""
    try:
        _run("pg_restore", *options, str(source), stdout=to)
    except DatabaseUnavailable as error:
        raise DatabaseRefused(f"{source} is no backup of such a database, or is damaged. {error}") from error


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


def _run(program: str, *arguments: str, url: URL | None = None, **streams: IO[bytes]) -> None:
    """One of PostgreSQL's programs. The password goes by the environment, where other users cannot read it.

    Raises:
        Refused: it is not installed.
        DatabaseUnavailable: it failed; with what it said, but no values.
    """
    if shutil.which(program) is None:
        raise Refused(f"{program} is not installed: sudo apt-get install postgresql-client")
    command = [program, *arguments]
    environment: Mapping[str, str] = os.environ
    if url is not None:
        command[1:1] = ["--no-password", f"--dbname={_without_password(url)}"]
        environment = _environment(url)
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **streams}
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, check=False, **given)  # type: ignore[call-overload]  # noqa: S603
    if done.returncode:
        where = "" if url is None else f" on {masked(url)}"
        reason = _reason(done.stderr.decode(errors="replace"))
        raise DatabaseUnavailable(f"{program} failed{where} (status {done.returncode}): {reason}")


def _reason(stderr: str) -> str:
    """The line that tells of the error; what stands in quotes may be anybody's name."""
    lines = stderr.splitlines()
    told = next((line for line in lines if re.search(r"\b(ERROR|FATAL|error)\b", line)), lines[0] if lines else "")
    return re.sub(r"\"[^\"]*\"", '"..."', told)[:_LONGEST_REASON]


def _without_password(url: URL) -> str:
    """Made anew: `URL.set` takes None for "as it was"."""
    query = {name: value for name, value in url.query.items() if name != "password"}
    made = URL.create("postgresql", url.username, None, url.host, url.port, url.database, query)
    return made.render_as_string(hide_password=False)


def _environment(url: URL) -> Mapping[str, str]:
    password = url.query.get("password") if url.password is None else str(url.password)
    return dict(os.environ) if password is None else {**os.environ, "PGPASSWORD": str(password)}
