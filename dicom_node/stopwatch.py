"""How long each stage of a job took: for the log, and so for whoever asks where the time goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """`seconds` holds "<stage>_s" -> seconds, the fields of a log event."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time the block, also where it raises."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[f"{stage}_s"] = time.perf_counter() - began
