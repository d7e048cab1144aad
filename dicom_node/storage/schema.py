"""Bring the database to the tables of this software, with the migrations that travel in the package."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from dicom_node.errors import DatabaseRefused
from dicom_node.storage.engine import WRITES, masked, unbound

MIGRATIONS = Path(__file__).parent / "migrations"

_ADVISORY_LOCK = 0x48434E  # any number that nothing else in the database uses
_one_at_a_time = threading.Lock()  # alembic keeps the migration it runs in a module-wide proxy


def migrate(engine: Engine) -> None:
    """Upgrade to the newest schema; several processes may do so at once, the first one does the work.

    Raises:
        DatabaseRefused: the database was made by a newer version of the software.
    """
    config = alembic_config()
    scripts = ScriptDirectory.from_config(config)
    with engine.connect() as connection:
        if _is_newest(connection, scripts):
            return
    with _one_at_a_time, altering(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def altering(engine: Engine) -> Iterator[Connection]:
    """One transaction in which tables may change.

    SQLite alters a table by copying it and dropping the old one, which other tables refer to; so its references are
    not watched meanwhile, which can be said outside a transaction only, but checked before the commit
    (https://www.sqlite.org/lang_altertable.html, section 7).

    Raises:
        DatabaseRefused: a reference leads nowhere; nothing was changed.
    """
    with engine.execution_options(**WRITES).connect() as connection:
        if connection.dialect.name != "sqlite":
            with connection.begin():
                unbound(connection)
                yield connection
            return
        watch = connection.connection.cursor()
        watch.execute("PRAGMA foreign_keys = OFF")
        try:
            with connection.begin():
                yield connection
                if connection.execute(text("PRAGMA foreign_key_check")).first() is not None:
                    raise DatabaseRefused(f"The database {masked(engine.url)} has references that lead nowhere.")
        finally:
            watch.execute("PRAGMA foreign_keys = ON")
            watch.close()


def alembic_config() -> Config:
    """alembic's settings without an alembic.ini."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def is_newest(connection: Connection) -> bool:
    """Whether the tables are this software's; False for an empty or older database. Raises DatabaseRefused: newer."""
    return _is_newest(connection, ScriptDirectory.from_config(alembic_config()))


def revisions() -> frozenset[str]:
    """All that this software knows, from the first."""
    return frozenset(one.revision for one in ScriptDirectory.from_config(alembic_config()).walk_revisions())


def check(engine: Engine) -> None:
    """Raises DatabaseRefused: the tables are of an older version, of a newer one, or not there."""
    with engine.connect() as connection:
        if not is_newest(connection):
            raise DatabaseRefused(
                f"The tables of {masked(engine.url)} are of an older version, or were never made: run `dicom-node"
                " backup` and then `dicom-node db upgrade`, or start the node."
            )


def _is_newest(connection: Connection, scripts: ScriptDirectory) -> bool:
    known = {script.revision for script in scripts.walk_revisions()}
    heads = set(MigrationContext.configure(connection).get_current_heads())
    unknown = heads - known
    if unknown:
        raise DatabaseRefused(
            f"The database {masked(connection.engine.url)} has schema {', '.join(sorted(unknown))}, which this version"
            " does not know; it was made by a newer one. Install that version, or use another database."
        )
    return heads == set(scripts.get_heads())
