"""Published regressions as data: sums of powers and logarithms, as biometry papers print them."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Term:
    """coefficient * x^power * (ln x)^log_power."""

    coefficient: float
    power: int = 0
    log_power: int = 0


@dataclass(frozen=True, slots=True)
class FractionalPolynomial:
    """A sum of terms in one positive variable (Royston & Altman 1994, Appl Statist 43:429-467)."""

    terms: tuple[Term, ...]

    def __call__(self, x: float) -> float:
        """The value at x > 0; raises ValueError elsewhere."""
        log = math.log(x)
        return math.fsum(term.coefficient * x**term.power * log**term.log_power for term in self.terms)
