"""Whether the wall clock, by which age is told, can be believed."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from dicom_node.queue import utc_now

JUMP_S = 120.0
"""A wall clock that gains or loses so much against the steady one between two looks was set."""

TRUSTED_AFTER_S = 3600.0
"""How long the clock must have gone evenly before anything is deleted or given up for its age."""


class Clocks:
    """Compares the wall clock, which people and servers set, with one that nobody sets."""

    def __init__(self, wall: Callable[[], datetime] = utc_now, steady_s: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._steady_s = wall, steady_s
        self._wall_at, self._steady_at = wall(), steady_s()
        self._even_since_s = self._steady_at

    def look(self) -> float:
        """By how many seconds the wall clock was set since the last look; 0 where it was not."""
        wall, steady = self._wall(), self._steady_s()
        gained_s = (wall - self._wall_at).total_seconds() - (steady - self._steady_at)
        self._wall_at, self._steady_at = wall, steady
        if abs(gained_s) < JUMP_S:
            return 0.0
        self._even_since_s = steady
        return gained_s

    @property
    def trusted(self) -> bool:
        """Whether it has gone evenly long enough."""
        return self.even_for_s >= TRUSTED_AFTER_S

    @property
    def even_for_s(self) -> float:
        """For how long it has gone evenly, as far as anybody looked."""
        return self._steady_s() - self._even_since_s
