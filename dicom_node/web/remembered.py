"""A value that is looked up at most so often, however many ask and however long it takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

MOST_SHARE = 0.05
"""Of the time that a look may take: one that takes a second is made every twenty."""


class Remembered(Generic[T]):
    """Calls `look` again when what it gave is `seconds` old, or more where it takes long.

    Those who ask meanwhile wait for the one who looks.
    """

    def __init__(self, look: Callable[[], T], seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._look, self._seconds, self._clock = look, seconds, clock
        self._lock = threading.Lock()
        self._seen: list[T] = []
        self._again_at = -float("inf")

    def __call__(self) -> T:
        with self._lock:
            began = self._clock()
            if not self._seen or began >= self._again_at:
                self._seen = [self._look()]
                self._again_at = began + max(self._seconds, (self._clock() - began) / MOST_SHARE)
            return self._seen[0]
