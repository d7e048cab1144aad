"""How often a network is asked about one picture."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Look:
    """Part of a model, since it decides results.

    `flip_average`: the answer is the mean of the picture's and its mirror image's. `dropout_passes`: decoder passes
    with dropout (Gal & Ghahramani 2016), which with the mirror image never enter the answer, only the doubt.
    """

    flip_average: bool = False
    dropout_passes: int = 0

    @property
    def mirrored(self) -> bool:
        """Whether the mirror image is looked at."""
        return self.flip_average or self.dropout_passes > 0
