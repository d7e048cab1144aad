"""Split-conformal intervals for HC, by size.

Lei et al. 2018 (JASA 113:1094), in its Mondrian form (Vovk et al. 2003): within each size class the half width is the
ceil((n + 1) * coverage)-th smallest absolute error among the validation images. The promise holds class by class for
images like those, and nearly so only: a few exams gave several images, and the class edges come from the same exams.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from inference.domain import IntervalMm


@dataclass(frozen=True, slots=True)
class SizeInterval:
    """Half widths in mm for HC classes cut at `edges_mm` (ascending); `counts` validation images stand behind each."""

    coverage: float
    edges_mm: tuple[float, ...]
    half_widths_mm: tuple[float, ...]
    counts: tuple[int, ...]

    def around(self, hc_mm: float) -> IntervalMm:
        """The interval for one HC, rounded outward to 0.1 mm."""
        half = self.half_widths_mm[bisect.bisect_right(self.edges_mm, hc_mm)]
        return IntervalMm(math.floor((hc_mm - half) * 10.0) / 10.0, math.ceil((hc_mm + half) * 10.0) / 10.0)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> SizeInterval:
        """Raises ValueError unless there is one half width and one count more than edges."""
        made = cls(float(raw["coverage"]), tuple(raw["edges_mm"]), tuple(raw["half_widths_mm"]), tuple(raw["counts"]))
        if not len(made.edges_mm) + 1 == len(made.half_widths_mm) == len(made.counts):
            raise ValueError("an interval needs one half width and one count per size class")
        return made


class TooFewExamsError(ValueError):
    """The class is too small for the coverage asked of it."""


def conformal_half_width(errors_mm: Sequence[float], coverage: float) -> float:
    """The half width that covers a new image with probability `coverage`.

    Raises:
        TooFewExamsError: fewer than coverage / (1 - coverage) errors, for which no finite width keeps the promise.
    """
    rank = math.ceil((len(errors_mm) + 1) * coverage)
    if rank > len(errors_mm):
        raise TooFewExamsError(f"{len(errors_mm)} errors cannot promise {coverage:.0%}")
    return sorted(abs(e) for e in errors_mm)[rank - 1]


def calibrate_by_size(
    predicted_mm: Sequence[float], errors_mm: Sequence[float], edges_mm: Sequence[float], coverage: float
) -> SizeInterval:
    """Half widths per class of the *predicted* HC, since that is what is known at use."""
    classes: list[list[float]] = [[] for _ in range(len(edges_mm) + 1)]
    for predicted, error in zip(predicted_mm, errors_mm, strict=True):
        classes[bisect.bisect_right(edges_mm, predicted)].append(error)
    widths = tuple(round(conformal_half_width(c, coverage), 3) for c in classes)
    return SizeInterval(coverage, tuple(edges_mm), widths, tuple(map(len, classes)))
