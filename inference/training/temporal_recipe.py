"""What decides how a temporal network comes out of training, as one value that is written beside its weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from inference.models import sha256_of
from inference.synthetic_cine import Sweep
from inference.training.recipe import AVERAGE, RECIPE, RecipeError, recipe_of

WEIGHTS = "temporal.pt"

SAMPLED = Sweep(frames=16, frame_time_s=0.2)
"""Sixteen frames of a sweep of three seconds: what a window sees of it at run time."""


@dataclass(frozen=True, slots=True)
class TemporalRecipe:
    """The clips and the three stages. `still_sha256` names the still's network that the run begins with.

    Stage 1 trains the module on cached maps; stage 2 module and decoder, on cached features, by the outlines of
    `stage2_frames` frames drawn anew each time, attention seeing all; stage 3 everything at a low rate, on
    `stage3_frames` frames of each of `stage3_clips` clips. `attention` False trains the same network on
    the same clips with the module shut, to tell what the clips taught from what attention adds.
    """

    still_sha256: str = ""
    held_out_fold: int | None = None
    every_exam: bool = False
    clips: int = 320
    shares: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75)
    stage1_epochs: int = 12
    stage2_epochs: int = 2
    stage3_epochs: int = 1
    stage1_rate: float = 1e-3
    stage2_rate: float = 2e-4
    stage3_rate: float = 3e-5
    stage2_frames: int = 16
    stage3_clips: int = 120
    stage3_frames: int = 8
    weight_decay: float = 1e-2
    seed: int = 18
    threads: int = field(default=1, compare=False)
    attention: bool = True

    @property
    def epochs(self) -> tuple[int, int, int]:
        """Of the three stages."""
        return self.stage1_epochs, self.stage2_epochs, self.stage3_epochs

    @property
    def rates(self) -> tuple[float, float, float]:
        """Highest learning rates of the three stages."""
        return self.stage1_rate, self.stage2_rate, self.stage3_rate


BRIEF = TemporalRecipe(clips=64, stage2_epochs=3, stage2_frames=4, stage3_clips=32, stage3_frames=4)
"""Minutes of one core a fold, so that all five folds and their controls can be trained and compared."""


def begun_from(run: Path, recipe: TemporalRecipe) -> TemporalRecipe:
    """The recipe with the still's run that it starts from: its hash, and the exams that it held out.

    Raises:
        RecipeError: `run` is no finished run, or the recipe was written for other weights.
    """
    still = recipe_of(run)
    if not (run / AVERAGE).is_file():
        raise RecipeError(f"{run}: {AVERAGE} is missing, so the run has not finished")
    sha256 = sha256_of(run / AVERAGE)
    if recipe.still_sha256 not in {"", sha256}:
        raise RecipeError(f"{run}: the weights are not those that the recipe was written for")
    values = asdict(recipe) | {"still_sha256": sha256}
    return TemporalRecipe(**values | {"held_out_fold": still.held_out_fold, "every_exam": still.every_exam})


def temporal_recipe_of(run: Path) -> TemporalRecipe:
    """The recipe of a run of `train-cine`.

    Raises:
        RecipeError: the folder is no such run.
    """
    try:
        raw: dict[str, Any] = json.loads((run / RECIPE).read_text(encoding="utf-8"))
        known = {one.name for one in fields(TemporalRecipe)}
        if unknown := sorted(set(raw) - known):
            raise RecipeError(f"{run}: {', '.join(unknown)} is not known to this version")
        return TemporalRecipe(**raw | {"shares": tuple(raw["shares"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, RecipeError):
            raise
        raise RecipeError(f"{run}: {RECIPE} is not that of a run of `train-cine`") from error


def write_temporal_recipe(recipe: TemporalRecipe, run: Path) -> None:
    """Write `recipe.json` into the folder of a run."""
    (run / RECIPE).write_text(json.dumps(asdict(recipe), indent=1) + "\n", encoding="utf-8")
