"""Sizes at which a model is known to be worse than at others: told with every measurement, never hidden in a mean."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WeakSize:
    """HC from `from_mm` up to, not including, `below_mm` (None: no upper end)."""

    from_mm: float
    below_mm: float | None

    def holds(self, hc_mm: float) -> bool:
        return self.from_mm <= hc_mm and (self.below_mm is None or hc_mm < self.below_mm)


def is_weak(sizes: Iterable[WeakSize], hc_mm: float) -> bool:
    """Whether an HC, as measured, lies in one of the sizes."""
    return any(size.holds(hc_mm) for size in sizes)
