"""How often one address, one name or one browser may try to sign in, and how much computing that may cost."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from dicom_node import addresses
from dicom_node.errors import Transient

_KEYS = 10_000
AT_ONCE = 2
MOST_WAITING = 8


class Throttle:
    """At most `most` tries in `seconds` with one key; the memory of the longest silent ones goes first."""

    def __init__(self, most: int = 20, seconds: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._tries: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def allows(self, key: str) -> bool:
        """Counts this try."""
        now = self._clock()
        with self._lock:
            tries = self._tries.setdefault(key, deque())
            self._tries.move_to_end(key)
            while tries and now - tries[0] >= self._seconds:
                tries.popleft()
            if len(tries) >= self._most:
                return False
            tries.append(now)
            if len(self._tries) > _KEYS:
                self._tries.popitem(last=False)
            return True


class TooManyAtOnce(Transient):
    """Too many people sign in at this moment; try again in a few seconds."""


class Places:
    """Few passwords are computed at a time: each takes 64 MB and a processor, for somebody still unknown."""

    def __init__(self, at_once: int = AT_ONCE, most_waiting: int = MOST_WAITING) -> None:
        self._computing = threading.Semaphore(at_once)
        self._here = threading.Semaphore(at_once + most_waiting)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Raises TooManyAtOnce, at once: who waits keeps a thread that pages need."""
        if not self._here.acquire(blocking=False):
            raise TooManyAtOnce
        try:
            with self._computing:
                yield
        finally:
            self._here.release()


@dataclass(frozen=True, slots=True)
class Doors:
    """Who may try a password now. A browser that its user knows has a door of its own, which no flood shuts."""

    addresses: Throttle = field(default_factory=Throttle)
    names: Throttle = field(default_factory=lambda: Throttle(30))
    known: Throttle = field(default_factory=lambda: Throttle(10, 600.0))
    noted: Throttle = field(default_factory=lambda: Throttle(60))
    """Refusals that are written down although nothing depends on them: no flood fills the disk."""
    places: Places = field(default_factory=Places)
    places_of_known: Places = field(default_factory=lambda: Places(1))
    places_of_others: Places = field(default_factory=Places)
    """Of those whom another service signs in: a slow one keeps a few threads busy, and no pages waiting."""

    def lets_stranger_try(self, host: str, name: str) -> bool:
        """Whether the name exists or not: no difference may tell."""
        return self.addresses.allows(network_of(host)) and self.names.allows(name)


def network_of(host: str) -> str:
    """What counts as one caller; what is no address, as it is."""
    try:
        return addresses.network_of(host)
    except ValueError:
        return host
