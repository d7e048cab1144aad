"""What several receivers at the same ports know of each other, so that limits hold for all of them together.

They share a file: a part for each, which it alone writes, and a lock that it keeps for as long as it lives and that the
system lets go however it ends. So the associations of one that was killed count no more at once.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_PART_BYTES = 1 << 20
_LENGTH_BYTES = 4
_ONE_AT_A_TIME = 0
"""The byte whose lock lets one receiver read and write; byte n is that of receiver n, for as long as it lives."""

Turns = Mapping[str, tuple[int, float]]
"""Objects a minute and when the next is due, on the machine's steady clock, by AE title."""


class Tally:
    """Of a receiver that is alone: there is nothing to know."""

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else reads or writes meanwhile; threads of one receiver have a lock of their own."""
        yield

    def others(self) -> Sequence[str]:
        """The AE title of the peer, once for each association that another receiver has."""
        return ()

    def next_turn(self, _ae_title: str, _per_minute: int) -> float:
        """When the next one is due as far as others know; 0.0 where they know nothing of such a limit."""
        return 0.0

    def note_inside(self, ae_titles: Sequence[str]) -> None:
        """Tell the others which associations there are here."""

    def note_turns(self, turns: Turns) -> None:
        """Tell the others who may send when."""


@dataclass(slots=True)
class SharedTally(Tally):
    """Of receiver `number`, from 1; `descriptor`: of the file. All else is asked and told within `alone`."""

    number: int
    descriptor: int
    _inside: Sequence[str] = ()
    _turns: Turns = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Whoever had the number before is gone; what it let send goes on to count."""
        fcntl.lockf(self.descriptor, fcntl.LOCK_EX, 1, self.number)
        with self.alone():
            self._turns = self._read(self.number).get("turns", {})
            self._write()

    @contextmanager
    def alone(self) -> Iterator[None]:
        fcntl.lockf(self.descriptor, fcntl.LOCK_EX, 1, _ONE_AT_A_TIME)
        try:
            yield
        finally:
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN, 1, _ONE_AT_A_TIME)

    def others(self) -> Sequence[str]:
        living = filter(self._lives, self._numbers())
        return [title for number in living for title in self._read(number).get("inside", ())]

    def next_turn(self, ae_title: str, per_minute: int) -> float:
        known = [self._read(number).get("turns", {}).get(ae_title) for number in self._numbers()]
        return max((turn[1] for turn in known if turn is not None and turn[0] == per_minute), default=0.0)

    def note_inside(self, ae_titles: Sequence[str]) -> None:
        self._inside = ae_titles
        self._write()

    def note_turns(self, turns: Turns) -> None:
        self._turns = turns
        self._write()

    def _numbers(self) -> list[int]:
        """Of the others, as far as there is anything of them."""
        parts = os.fstat(self.descriptor).st_size // _PART_BYTES
        return [number for number in range(1, parts + 1) if number != self.number]

    def _lives(self, number: int) -> bool:
        try:
            fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except OSError:
            return True
        fcntl.lockf(self.descriptor, fcntl.LOCK_UN, 1, number)
        return False

    def _read(self, number: int) -> dict[str, Any]:
        start = number * _PART_BYTES
        length = int.from_bytes(os.pread(self.descriptor, _LENGTH_BYTES, start), "little")
        try:
            part = json.loads(os.pread(self.descriptor, length, start + _LENGTH_BYTES))
        except ValueError:  # nothing yet, or it was killed while it wrote
            return {}
        return part if isinstance(part, dict) else {}

    def _write(self) -> None:
        part = json.dumps({"inside": list(self._inside), "turns": dict(self._turns)}).encode("ascii")
        os.pwrite(self.descriptor, len(part).to_bytes(_LENGTH_BYTES, "little") + part, self.number * _PART_BYTES)
