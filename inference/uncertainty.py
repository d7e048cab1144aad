"""How far an HC may be from the expert's: evidence of one look, and the calibrated interval made of it.

The half width is a scale times a quantile (locally weighted split conformal: Papadopoulos et al. 2008, Lei et al. 2018,
JASA 113:1094, section 5.2), the quantile by size class (Mondrian form, Vovk et al. 2003). The scale says how much worse
than another this image is; the quantile, taken from exams that no network of the fold had seen, makes the promise.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import asdict, dataclass
from typing import Any

from inference.domain import IntervalMm

LEAST = 1e-4
"""Added to every relative measure of doubt: below it the grid, not the network, is what is seen."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """How sure the network was of one outline. Relative numbers, so that they need no millimetres.

    `relative_spread`: standard deviation of ln HC over mirrored and dropout passes; `relative_level_spread`: ln of the
    ratio of HC at the lower to HC at the upper level of probability; `relative_blur`: root mean square of the inverse
    slope of the probability across the outline, as a share of its length.
    """

    relative_spread: float
    relative_level_spread: float
    relative_blur: float


NO_EVIDENCE = Evidence(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Scale:
    """Typical absolute error in mm as a product of powers: of HC in mm and of each doubt in `Evidence`."""

    intercept: float = 0.0
    hc: float = 0.0
    spread: float = 0.0
    level_spread: float = 0.0
    blur: float = 0.0

    def of(self, hc_mm: float, evidence: Evidence) -> float:
        """The scale in mm; 1 for a scale without powers."""
        return math.exp(math.fsum(p * x for p, x in zip(self.powers, logarithms(hc_mm, evidence), strict=True)))

    @property
    def powers(self) -> tuple[float, ...]:
        """In the order of `logarithms`."""
        return (self.intercept, self.hc, self.spread, self.level_spread, self.blur)


def logarithms(hc_mm: float, evidence: Evidence) -> tuple[float, ...]:
    """What the powers of a scale are applied to: 1, ln HC and the logarithm of each doubt."""
    doubts = (evidence.relative_spread, evidence.relative_level_spread, evidence.relative_blur)
    return (1.0, math.log(hc_mm), *(math.log(max(doubt, 0.0) + LEAST) for doubt in doubts))


@dataclass(frozen=True, slots=True)
class ConformalInterval:
    """Quantiles of |error| / scale for HC classes cut at `edges_mm` (ascending); `counts` images stand behind each."""

    coverage: float
    scale: Scale
    edges_mm: tuple[float, ...]
    quantiles: tuple[float, ...]
    counts: tuple[int, ...]

    def half_width_mm(self, hc_mm: float, evidence: Evidence) -> float:
        """Half the interval before rounding."""
        return self.quantiles[bisect.bisect_right(self.edges_mm, hc_mm)] * self.scale.of(hc_mm, evidence)

    def around(self, hc_mm: float, evidence: Evidence) -> IntervalMm:
        """The interval for one HC, rounded outward to 0.1 mm."""
        half = self.half_width_mm(hc_mm, evidence)
        return IntervalMm(math.floor((hc_mm - half) * 10.0) / 10.0, math.ceil((hc_mm + half) * 10.0) / 10.0)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> ConformalInterval:
        """Raises ValueError unless there is one quantile and one count more than edges."""
        scale = Scale(**{name: float(power) for name, power in raw["scale"].items()})
        made = cls(float(raw["coverage"]), scale, tuple(raw["edges_mm"]), tuple(raw["quantiles"]), tuple(raw["counts"]))
        if not len(made.edges_mm) + 1 == len(made.quantiles) == len(made.counts):
            raise ValueError("an interval needs one quantile and one count per size class")
        return made
