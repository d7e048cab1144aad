"""Telling idle workers and couriers on other machines that there is work: LISTEN and NOTIFY of PostgreSQL.

A bell is a hint and never the queue: who missed one finds the work when it looks by itself, a few seconds later. So it
is rung after the commit and by a connection of its own. Within the transaction it would be exact, but notifying
transactions commit one after the other (PostgreSQL manual, NOTIFY), and receivers would wait for each other's disk.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable

import psycopg
from sqlalchemy import URL

from dicom_node.storage import vanishing
from dicom_node.storage.silence import BoundedConnection
from dicom_node.storage.wakeup import Patience, Work

_log = logging.getLogger(__name__)

IDLE_LOOK_S = 5.0
"""How often an idle process looks although no bell was heard: work that is due by the clock rings none."""

RING_PAUSE_S = 0.02
"""Bells of one process closer together than this are one."""

_HEAR_S = 1.0
_AGAIN_S = 2.0
_STOP_LOOK_S = 0.1
_CONNECT_TIMEOUT_S = 10


class Ear(Patience):
    """Waits for a bell, with a connection and a thread of its own. While it hears nothing it looks as often as told."""

    def __init__(self, url: URL, work: Work) -> None:
        self._url = url
        self._work = work
        self._rung = threading.Event()
        self._hears = False
        self._closed = threading.Event()
        threading.Thread(target=self._listen, name=f"ear-{work.name.lower()}", daemon=True).start()

    def wait(self, stop: threading.Event, poll_s: float) -> None:
        """Return when a bell is heard, when it is time for a look, or when `stop` is set."""
        deadline = time.monotonic() + (max(poll_s, IDLE_LOOK_S) if self._hears else poll_s)
        while not stop.is_set() and (left := deadline - time.monotonic()) > 0:
            if self._rung.wait(min(left, _STOP_LOOK_S)):
                self._rung.clear()
                return

    def close(self) -> None:
        """The thread leaves within a second or two."""
        self._closed.set()

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                self._listen_once()
            except psycopg.Error as error:
                _log.warning("wakeup.lost", extra={"what": self._work.value, "error": type(error).__name__})
                self._closed.wait(_AGAIN_S)
            finally:
                self._hears = False

    def _listen_once(self) -> None:
        with _connect(self._url) as connection:
            connection.execute(f"LISTEN {self._work.value}".encode())
            self._hears = True
            self._rung.set()  # something may have come while nobody listened
            while not self._closed.is_set():
                for _ in connection.notifies(timeout=_HEAR_S, stop_after=1):
                    self._rung.set()


class Bell:
    """Rings for others, from a thread of its own, so that no receiver waits for it."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._wanted: set[Work] = set()
        self._lock = threading.Lock()
        self._any = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def ring(self, work: Iterable[Work]) -> None:
        """Ask for a ring; returns at once, and never fails."""
        with self._lock:
            self._wanted.update(work)
            if not self._wanted or self._closed.is_set():
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep_ringing, name="bell", daemon=True)
                self._thread.start()
        self._any.set()

    def ear(self, work: Work) -> Ear:
        """Somebody who waits for it; to be closed."""
        return Ear(self._url, work)

    def close(self) -> None:
        """What was asked for is still rung if the database answers; waits for that a moment."""
        self._closed.set()
        self._any.set()
        if self._thread is not None:
            self._thread.join(_AGAIN_S)

    def _keep_ringing(self) -> None:
        while not self._closed.is_set():
            try:
                self._ring_as_asked()
            except psycopg.Error as error:  # they will look by themselves
                _log.warning("wakeup.not_rung", extra={"error": type(error).__name__})
                self._closed.wait(_AGAIN_S)

    def _ring_as_asked(self) -> None:
        with _connect(self._url) as connection:
            while True:
                self._any.wait()
                self._any.clear()
                with self._lock:
                    wanted, self._wanted = self._wanted, set()
                for work in wanted:
                    connection.execute("SELECT pg_notify(%s, '')", (work.value,))
                if self._closed.wait(RING_PAUSE_S):
                    return


def _connect(url: URL) -> BoundedConnection:
    """Outside any transaction. Raises psycopg.Error."""
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return BoundedConnection.connect(plain, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S, **vanishing.OURS)
