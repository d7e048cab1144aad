"""How far an HC may be from the expert's: evidence of one look, and the calibrated interval made of it.

The half width is a scale times a quantile (locally weighted split conformal: Papadopoulos et al. 2008, Lei et al. 2018,
JASA 113:1094, section 5.2), the quantile by size class (Mondrian form, Vovk et al. 2003). The scale says how much worse
than another this image is; the quantile, taken from exams that no network of the fold had seen, makes the promise.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import asdict, astuple, dataclass
from typing import Any

from inference.domain import IntervalMm

LEAST = 1e-4
"""Added to every relative measure of doubt: below it the grid, not the network, is what is seen."""

LEAST_HC_MM = 0.1


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
class Doubts:
    """All that the width of an interval follows: HC, how sure the network was, and what the picture shows of the bone.

    `weak_echo`: share of the outline without a bright echo (inference.appearance.Appearance).
    """

    hc_mm: float
    evidence: Evidence
    weak_echo: float

    def terms(self) -> tuple[float, ...]:
        """What the factors of a `Scale` multiply: 1, logarithms of HC and of the evidence, and the share as it is."""
        shown = (self.evidence.relative_spread, self.evidence.relative_level_spread, self.evidence.relative_blur)
        return (1.0, math.log(self.hc_mm), *(math.log(max(doubt, 0.0) + LEAST) for doubt in shown), self.weak_echo)


@dataclass(frozen=True, slots=True)
class Scale:
    """Typical absolute error in mm: exp of a weighted sum of `Doubts.terms`, in their order."""

    intercept: float = 0.0
    hc: float = 0.0
    spread: float = 0.0
    level_spread: float = 0.0
    blur: float = 0.0
    weak_echo: float = 0.0

    def of(self, doubts: Doubts) -> float:
        """The scale in mm; 1 where all weights are 0."""
        return math.exp(math.fsum(w * term for w, term in zip(astuple(self), doubts.terms(), strict=True)))


@dataclass(frozen=True, slots=True)
class ConformalInterval:
    """Quantiles of |error| / scale for HC classes cut at `edges_mm` (ascending); `counts` images stand behind each."""

    coverage: float
    scale: Scale
    edges_mm: tuple[float, ...]
    quantiles: tuple[float, ...]
    counts: tuple[int, ...]

    def half_width_mm(self, doubts: Doubts) -> float:
        """Half the interval before rounding."""
        return self.quantiles[bisect.bisect_right(self.edges_mm, doubts.hc_mm)] * self.scale.of(doubts)

    def around(self, doubts: Doubts) -> IntervalMm:
        """The interval for one HC, rounded outward to 0.1 mm; it never reaches 0, where no age equation is defined."""
        hc_mm, half = doubts.hc_mm, self.half_width_mm(doubts)
        low = max(LEAST_HC_MM, math.floor((hc_mm - half) * 10.0) / 10.0)
        return IntervalMm(low, math.ceil((hc_mm + half) * 10.0) / 10.0)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> ConformalInterval:
        """Raises ValueError unless there is one quantile and one count more than edges, all finite, edges ascending."""
        scale = Scale(**{name: float(power) for name, power in raw["scale"].items()})
        made = cls(float(raw["coverage"]), scale, tuple(raw["edges_mm"]), tuple(raw["quantiles"]), tuple(raw["counts"]))
        if not len(made.edges_mm) + 1 == len(made.quantiles) == len(made.counts):
            raise ValueError("an interval needs one quantile and one count per size class")
        if not all(map(math.isfinite, (*made.edges_mm, *made.quantiles, *astuple(scale)))):
            raise ValueError("an interval needs finite numbers")
        if list(made.edges_mm) != sorted(made.edges_mm):
            raise ValueError("the edges of size classes ascend")
        return made
