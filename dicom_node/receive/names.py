"""Addresses of the host names that peers are bound to."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

_log = logging.getLogger(__name__)

FRESH_S = 60.0
"""How long an answer of the name service is believed."""

Ask = Callable[[str], Sequence[str]]


def ask_the_system(name: str) -> Sequence[str]:
    """All addresses of a host. Raises OSError."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]


@dataclass(slots=True)
class Names:
    """Looks names up and remembers. A name service that is away locks nobody out: its last answer stands."""

    ask: Ask = ask_the_system
    clock: Callable[[], float] = time.monotonic
    _known: dict[str, tuple[float, tuple[str, ...]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def lookup(self, name: str) -> tuple[str, ...]:
        """The addresses of `name`; none where it was never known. May take as long as the name service does."""
        with self._lock:
            asked_at, addresses = self._known.get(name, (float("-inf"), ()))
        now = self.clock()
        if now - asked_at < FRESH_S:
            return addresses
        try:
            addresses = tuple(dict.fromkeys(self.ask(name)))
        except (OSError, UnicodeError):
            _log.warning("receive.name_unknown", extra={"host": name})
        with self._lock:
            self._known[name] = (now, addresses)
        return addresses
