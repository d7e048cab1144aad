"""A value that is looked up at most so often, however many ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """Calls `look` again when what it gave is `seconds` old; those who ask meanwhile wait for the one who looks."""

    def __init__(self, look: Callable[[], T], seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._look, self._seconds, self._clock = look, seconds, clock
        self._lock = threading.Lock()
        self._seen: tuple[float, T] | None = None

    def __call__(self) -> T:
        with self._lock:
            if self._seen is None or self._clock() - self._seen[0] >= self._seconds:
                self._seen = (self._clock(), self._look())
            return self._seen[1]
