"""How fast a peer may send: evenly spaced turns with a small burst, and the wait until the next one."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from dicom_node.receive.tally import Tally

BURST_S = 10.0
"""A scanner sends an exam in one go: what a steady sender may in this time, a hasty one may at once."""

LONGEST_WAIT_S = 20.0
"""Senders wait for an answer 30 s and longer; who would have to wait longer than this is told to come back."""


@dataclass(slots=True)
class Pace:
    """The turns of one peer. `next_s` is when the next one is due, on the clock of whoever asks."""

    per_minute: int
    next_s: float = 0.0

    def turn(self, now_s: float) -> float | None:
        """Seconds to wait for a turn, which is taken; None, and nothing taken, where that is too long."""
        due = max(self.next_s, now_s - BURST_S)
        wait = max(0.0, due - now_s)
        if wait > LONGEST_WAIT_S:
            return None
        self.next_s = due + 60.0 / self.per_minute
        return wait


@dataclass(slots=True)
class Paces:
    """The pace of each peer, by its AE title. Threads may share it; `tally` knows of other receivers."""

    tally: Tally = field(default_factory=Tally)
    _paces: dict[str, Pace] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def turn(self, ae_title: str, per_minute: int, now_s: float) -> float | None:
        """As above; a new limit begins afresh."""
        with self._lock, self.tally.alone():
            pace = self._paces.get(ae_title)
            if pace is None or pace.per_minute != per_minute:
                pace = self._paces[ae_title] = Pace(per_minute, now_s - BURST_S)
            pace.next_s = max(pace.next_s, self.tally.next_turn(ae_title, per_minute))
            wait = pace.turn(now_s)
            recent = {title: one for title, one in self._paces.items() if one.next_s > now_s - BURST_S}
            self.tally.note_turns({title: (one.per_minute, one.next_s) for title, one in recent.items()})
            return wait
