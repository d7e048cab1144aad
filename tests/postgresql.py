"""A PostgreSQL server of the tests' own: Debian's programs, a cluster in a temporary folder, a socket and no port.

The server refuses to run as root; there it runs as the user that Debian's package makes for it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from sqlalchemy import make_url

DEBIAN_USER = "postgres"
SUPERUSER = "fetalhc"
MAINTENANCE = "postgres"
"""The database that every cluster has."""

START_S = 60.0
MOST_CONNECTIONS = 200

FAST = ("fsync=off", "full_page_writes=off")
"""What is committed survives kill -9 of the server all the same: the operating system has it."""

BOTH_ENGINES = ("sqlite", pytest.param("postgresql", marks=pytest.mark.peer("postgres")))
"""Parameters of a fixture whose tests run on either."""


def database_of(url: str) -> str:
    """The name of the database."""
    return str(make_url(url).database)


@dataclass
class Server:
    """A cluster below `folder` and the server over it; `start` and `kill` as often as a test likes."""

    folder: Path
    settings: Sequence[str] = FAST
    process: subprocess.Popen[bytes] | None = None
    kills: int = 0
    _names: Iterator[int] = field(default_factory=count)

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{SUPERUSER}@/{database}?host={self.folder}"

    def create_database(self) -> str:
        """A database of its own, empty; its URL."""
        name = f"node{next(self._names)}"
        self.sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """With whoever is still connected."""
        self.sql(f"DROP DATABASE {database_of(url)} WITH (FORCE)")

    def sql(self, statement: str, database: str = MAINTENANCE) -> list[tuple[Any, ...]]:
        """Run one statement outside any transaction; its rows, if it has any."""
        with psycopg.connect(self._libpq_url(database), autocommit=True, options="-c lock_timeout=20s") as connection:
            answer = connection.execute(statement.encode())
            return answer.fetchall() if answer.description else []

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = [
            *("listen_addresses=", f"unix_socket_directories={self.folder}", "unix_socket_permissions=0777"),
            *(f"max_connections={MOST_CONNECTIONS}", "logging_collector=off", *self.settings),
        ]
        command = ["postgres", "-D", str(self.folder / "cluster"), *(word for o in options for word in ("-c", o))]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, user=_user())
        deadline = time.monotonic() + START_S
        while not self.is_up():
            assert self.process.poll() is None, (self.folder / "server.log").read_text(encoding="utf-8")
            assert time.monotonic() < deadline, "PostgreSQL does not answer"
            time.sleep(0.05)

    def is_up(self) -> bool:
        command = ["pg_isready", "-q", "-d", self._libpq_url(MAINTENANCE)]
        return subprocess.run(command, check=False).returncode == 0

    def kill(self) -> None:
        """kill -9 of the server; returns when its children have noticed and left, before which no new one starts."""
        assert self.process is not None
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait(timeout=30)
        self.kills += 1
        _, left = psutil.wait_procs(children, timeout=START_S)
        assert not left, left

    def stop(self) -> None:
        """Fast shutdown: who is connected is cut off."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=60)

    def _libpq_url(self, database: str) -> str:
        return self.url(database).replace("+psycopg", "")


@contextmanager
def running_server(settings: Sequence[str] = FAST) -> Iterator[Server]:
    """A fresh server that is gone with all it held when the block ends.

    Not in pytest's folder, into which no other user may look, and whose name would be too long for a socket.
    """
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = Server(folder, settings)
    try:
        if (user := _user()) is not None:
            shutil.chown(folder, user)
        _make_cluster(folder)
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def _make_cluster(folder: Path) -> None:
    command = [
        *("initdb", "-D", str(folder / "cluster"), "-U", SUPERUSER, "--auth=trust"),
        *("--encoding=UTF8", "--locale=C", "--no-sync"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, user=_user(), check=False)
    assert done.returncode == 0, done.stderr


def _user() -> str | None:
    """As whom the server runs; None: as we do."""
    return DEBIAN_USER if os.geteuid() == 0 else None
