"""What decides how a network comes out of training, as one value that is written beside its weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inference.architectures.head_network import HeadNetwork
from inference.architectures.registry import EFFICIENTNET, RESIDUAL, build_network
from inference.models import EVERY_EXAM, FIRST_SPLIT, sha256_of
from inference.preprocess import Grid, Normalisation
from inference.training.augmentation_range import PLAIN, RANGES, AugmentationRange

COARSE_GRID = Grid(160, 256)
GRID = Grid(256, 384)
NORMALISATION = Normalisation(0.18, 0.20)
RECIPE = "recipe.json"
LAST = "last.pt"
AVERAGE = "average.pt"


class RecipeError(ValueError):
    """The recipe contradicts itself, or the run that it starts from."""


class Target(StrEnum):
    """What the network is asked to reproduce."""

    ELLIPSE = "ellipse"
    """The ellipse fitted through the expert's line: unbiased, and it knows where the head goes beyond the border."""

    OUTLINE = "outline"
    """The expert's hollow line, flood-filled: the very drawing, its bulges and breaks included."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what comes out.

    `held_out_fold`: train on the other four folds; None: on the exams that the first shipped model's split calls
    training, or with `every_exam` on all of them, for a refit whose figures come from the folds.
    `start_from`: weights of a finished run (its `average.pt`) to go on from, by a cycle of their own; `teachers`: such
    weights whose mean probability replaces the target of every exam. Both must have held out the same exams; a run on
    every exam judges nothing, so it may build on any run.
    `exam_share`: train on this share of the exams only, the same ones each time, to see what more exams would bring.
    `epoch_examples`: how many examples an epoch draws; 0: all of them. `negatives`: how many pictures of other things
    (`inference.training.negatives`) take part; a quarter as many phantom heads on the same drawn machines go with them.
    """

    architecture: str = EFFICIENTNET
    width: float = 1.0
    coarse_grid: Grid = COARSE_GRID
    grid: Grid = GRID
    normalisation: Normalisation = NORMALISATION
    coarse_epochs: int = 24
    fine_epochs: int = 16
    batch: int = 8
    encoder_rate: float = 1e-3
    decoder_rate: float = 2.5e-3
    weight_decay: float = 1e-2
    average_decay: float = 0.995
    phantoms_with_head: int = 64
    phantoms_without_head: int = 40
    seed: int = 18
    threads: int = 2
    augmentation: AugmentationRange = PLAIN
    held_out_fold: int | None = None
    every_exam: bool = False
    exam_share: float = 1.0
    target: Target = Target.ELLIPSE
    circumference_share: float = 0.0
    epoch_examples: int = 0
    negatives: int = 0
    start_from: str = ""
    start_from_sha256: str = ""
    teachers: tuple[str, ...] = ()
    teachers_sha256: tuple[str, ...] = ()

    @property
    def epochs(self) -> int:
        return self.coarse_epochs + self.fine_epochs

    @property
    def last_grid(self) -> Grid:
        """The grid that training ends on, which is the one to use the network with."""
        return self.grid if self.fine_epochs else self.coarse_grid

    def examples_per_epoch(self, available: int) -> int:
        """How many of the examples one epoch sees."""
        return min(available, self.epoch_examples or available)


RECIPES: dict[str, Recipe] = {
    EFFICIENTNET: Recipe(),
    RESIDUAL: Recipe(architecture=RESIDUAL, encoder_rate=2.5e-3, target=Target.OUTLINE),
}
"""Where each architecture starts from. The residual network has no pretrained encoder that a high rate could spoil."""


def basic_recipe(architecture: str | None) -> Recipe:
    """The recipe that an architecture starts from; without a name that of the network that ships.

    Raises:
        RecipeError: no architecture has that name.
    """
    name = architecture or EFFICIENTNET
    if name not in RECIPES:
        raise RecipeError(f"architecture {name!r} is not known to this version; known: {', '.join(RECIPES)}")
    return RECIPES[name]


def recipe_from_json(text: str) -> Recipe:
    """A recipe as `recipe.json` holds it; fields that are left out have their default, a range may go by its name.

    A field that this version does not know may stand there switched off, as in the runs of older versions.

    Raises:
        RecipeError: not a recipe, or a field of another version that is switched on.
    """
    try:
        raw: dict[str, Any] = dict(json.loads(text))
        known = {field.name for field in fields(Recipe)}
        if unknown := sorted(name for name, value in raw.items() if name not in known and value):
            raise RecipeError(f"recipe: {', '.join(unknown)} is not known to this version")
        made: dict[str, Any] = {name: value for name, value in raw.items() if name in known}
        for name, kind in (("coarse_grid", Grid), ("grid", Grid), ("normalisation", Normalisation)):
            if name in made:
                made[name] = kind(**made[name])
        if "augmentation" in made:
            span = made["augmentation"]
            made["augmentation"] = RANGES[span] if isinstance(span, str) else AugmentationRange(**span)
        for name in ("teachers", "teachers_sha256"):
            made[name] = tuple(made.get(name, ()))
        made["target"] = Target(made.get("target", Target.ELLIPSE))
        return Recipe(**made)
    except RecipeError:
        raise
    except (ValueError, TypeError, KeyError) as error:
        raise RecipeError(f"not a recipe ({type(error).__name__}: {error})") from error


def recipe_of(run: Path) -> Recipe:
    """The recipe that a run was trained by.

    Raises:
        RecipeError: the folder is no run of `train`.
    """
    path = run / RECIPE
    if not path.is_file():
        raise RecipeError(f"{run}: {RECIPE} is missing, so this is no run of `train`")
    return recipe_from_json(path.read_text(encoding="utf-8"))


def write_recipe(recipe: Recipe, run: Path) -> None:
    """Write `recipe.json` into the folder of a run."""
    (run / RECIPE).write_text(json.dumps(asdict(recipe), indent=1) + "\n", encoding="utf-8")


def network_of(run: Path) -> HeadNetwork:
    """The averaged network of a finished run, in evaluation mode.

    Raises:
        RecipeError: the folder is no finished run, or its weights are of another architecture.
    """
    recipe = recipe_of(run)
    if not (run / AVERAGE).is_file():
        raise RecipeError(f"{run}: {AVERAGE} is missing, so the run has not finished")
    state: dict[str, Tensor] = torch.load(run / AVERAGE, map_location="cpu", weights_only=True)
    network = build_network(recipe.architecture, recipe.width)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise RecipeError(f"{run}: the weights are not those of {recipe.architecture}") from error
    return network.eval()


def settled(recipe: Recipe) -> Recipe:
    """The recipe with the hashes of the weights that it builds on, once nothing contradicts it.

    Raises:
        RecipeError: a fold is held out of all exams; or weights to build on have seen other exams than this run may
            see, are of another network, or are not the ones that the recipe was written for.
    """
    if recipe.every_exam and recipe.held_out_fold is not None:
        raise RecipeError("a fold cannot be held out of a training on every exam")
    for weights in (*filter(None, [recipe.start_from]), *recipe.teachers):
        _refuse_other_exams(recipe, Path(weights))
    settled_recipe = replace(recipe, teachers_sha256=tuple(sha256_of(Path(path)) for path in recipe.teachers))
    if recipe.start_from:
        origin = recipe_of(Path(recipe.start_from).parent)
        if (origin.architecture, origin.width) != (recipe.architecture, recipe.width):
            raise RecipeError(
                f"{recipe.start_from} is {origin.architecture} of width {origin.width:g}: another network"
            )
        settled_recipe = replace(settled_recipe, start_from_sha256=sha256_of(Path(recipe.start_from)))
    for name in ("start_from_sha256", "teachers_sha256"):
        if (written := getattr(recipe, name)) and written != getattr(settled_recipe, name):
            raise RecipeError(f"{name}: the weights are not those that the recipe was written for")
    return settled_recipe


def _refuse_other_exams(recipe: Recipe, weights: Path) -> None:
    if weights.name != AVERAGE or not weights.is_file():
        raise RecipeError(f"{weights} is not the {AVERAGE} of a finished run")
    origin = recipe_of(weights.parent)
    if recipe.every_exam:
        return
    if (origin.held_out_fold, origin.every_exam) != (recipe.held_out_fold, False):
        seen, allowed = exams_of(origin), exams_of(recipe)
        raise RecipeError(f"{weights} was trained on {seen}, this run may see {allowed}: they must match")


def exams_of(recipe: Recipe) -> str:
    """Which exams a run may see, in words."""
    exams = FIRST_SPLIT if recipe.held_out_fold is None else f"all folds but {recipe.held_out_fold}"
    if recipe.every_exam:
        exams = EVERY_EXAM
    return exams if recipe.exam_share == 1.0 else f"{recipe.exam_share:.0%} of {exams}"
