"""Connections that have not asked for anything yet: so many and no more, the newest rather than the oldest."""

from __future__ import annotations

import socket
import threading
import weakref
from collections.abc import Callable

HangUp = Callable[[socket.socket], None]


class WaitingRoom:
    """Whoever connects and then says nothing, or says it one byte a second, makes room for whoever comes after.

    So no number of idle connections keeps out those that ask at once. The room keeps no connection alive that everybody
    else has forgotten. Threads may share it.
    """

    def __init__(self, places: int, hang_up: HangUp) -> None:
        self._places, self._hang_up = places, hang_up
        self._waiting: list[weakref.ref[socket.socket]] = []
        self._lock = threading.Lock()

    def enter(self, connection: socket.socket) -> None:
        """Let it wait; the one that has waited the longest goes where there is no place left."""
        with self._lock:
            self._waiting = [one for one in self._waiting if _is_open(one())]
            oldest = self._waiting.pop(0)() if len(self._waiting) >= self._places else None
            self._waiting.append(weakref.ref(connection))
        if oldest is not None:
            self._hang_up(oldest)

    def leave(self, connection: socket.socket | None) -> None:
        """It asked, whatever the answer is."""
        with self._lock:
            self._waiting = [one for one in self._waiting if one() is not connection]

    def clear(self) -> None:
        """Send everybody away."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for connection in [one() for one in waiting]:
            if connection is not None:
                self._hang_up(connection)


def _is_open(connection: socket.socket | None) -> bool:
    return connection is not None and connection.fileno() >= 0
