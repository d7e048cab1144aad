"""A recipe says where weights come from, and nothing held out comes in by the back door."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from inference.architectures.registry import ARCHITECTURES, EFFICIENTNET, RESIDUAL, build_network
from inference.models import sha256_of
from inference.preprocess import Grid
from inference.training.augmentation_range import FAR, PLAIN
from inference.training.recipe import (
    AVERAGE,
    RECIPES,
    Recipe,
    RecipeError,
    Target,
    basic_recipe,
    network_of,
    recipe_from_json,
    recipe_of,
    settled,
    write_recipe,
)

TINY = Recipe(architecture=RESIDUAL, width=0.125, held_out_fold=0)
Finish = Callable[[str, Recipe], Path]


@pytest.fixture
def finish(tmp_path: Path) -> Finish:
    """Writes the folder of a run that has finished by a recipe, and returns its weights."""

    def write(name: str, recipe: Recipe) -> Path:
        (tmp_path / name).mkdir()
        write_recipe(recipe, tmp_path / name)
        torch.save(build_network(recipe.architecture, recipe.width).state_dict(), tmp_path / name / AVERAGE)
        return tmp_path / name / AVERAGE

    return write


def test_a_recipe_comes_back_from_its_file(tmp_path: Path) -> None:
    recipe = replace(TINY, augmentation=FAR, target=Target.OUTLINE, teachers=("a", "b"), teachers_sha256=("1", "2"))
    write_recipe(recipe, tmp_path)
    assert recipe_of(tmp_path) == recipe


def test_a_recipe_file_may_leave_out_what_it_does_not_change() -> None:
    assert recipe_from_json('{"seed": 5}') == Recipe(seed=5)
    assert recipe_from_json('{"augmentation": "far"}') == Recipe(augmentation=FAR)
    assert recipe_from_json('{"augmentation": {"text": 0.5}}') == Recipe(augmentation=replace(PLAIN, text=0.5))


def test_a_switch_of_an_older_version_may_stand_there_switched_off() -> None:
    raw = asdict(TINY) | {"distance_head": False, "pseudo_labels": ""}
    assert recipe_from_json(json.dumps(raw)) == TINY
    with pytest.raises(RecipeError, match="distance_head"):
        recipe_from_json(json.dumps(raw | {"distance_head": True}))


@pytest.mark.parametrize(
    "text", ["", "[3]", "3", '{"target": "moon"}', '{"grid": {"rows": 1}}', '{"augmentation": "near"}']
)
def test_what_is_no_recipe_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="not a recipe"):
        recipe_from_json(text)


def test_every_architecture_has_a_recipe_of_its_own() -> None:
    assert set(RECIPES) == set(ARCHITECTURES)
    assert all(recipe.architecture == name for name, recipe in RECIPES.items())
    assert basic_recipe(None).architecture == EFFICIENTNET
    with pytest.raises(RecipeError, match=r"vgg.*residual-unet"):
        basic_recipe("vgg")


def test_what_a_run_builds_on_is_recorded(finish: Finish) -> None:
    first, second = finish("first", TINY), finish("second", replace(TINY, seed=2))
    made = settled(replace(TINY, start_from=str(first), teachers=(str(first), str(second))))
    assert made.start_from_sha256 == sha256_of(first)
    assert made.teachers_sha256 == (sha256_of(first), sha256_of(second))
    assert settled(made) == made


@pytest.mark.parametrize("origin", [replace(TINY, held_out_fold=1), replace(TINY, held_out_fold=None),
                                    replace(TINY, held_out_fold=None, every_exam=True)])  # fmt: skip
@pytest.mark.parametrize("way", ["start_from", "teachers"])
def test_weights_that_saw_the_held_out_fold_are_refused(finish: Finish, origin: Recipe, way: str) -> None:
    weights = str(finish("other", origin))
    with pytest.raises(RecipeError, match="all folds but 0: they must match"):
        settled(replace(TINY, **{way: weights if way == "start_from" else (weights,)}))


@pytest.mark.parametrize("origin", [TINY, replace(TINY, held_out_fold=None, every_exam=True)])
def test_a_run_on_every_exam_may_build_on_any_run(finish: Finish, origin: Recipe) -> None:
    weights = finish("other", origin)
    made = settled(replace(TINY, held_out_fold=None, every_exam=True, start_from=str(weights)))
    assert made.start_from_sha256 == sha256_of(weights)


def test_weights_of_another_network_are_refused(finish: Finish) -> None:
    with pytest.raises(RecipeError, match="another network"):
        settled(replace(TINY, start_from=str(finish("wider", replace(TINY, width=0.25)))))


def test_other_weights_than_the_recipe_was_written_for_are_refused(finish: Finish) -> None:
    with pytest.raises(RecipeError, match="start_from_sha256"):
        settled(replace(TINY, start_from=str(finish("first", TINY)), start_from_sha256="0" * 64))


def test_only_the_average_of_a_finished_run_can_be_built_on(finish: Finish) -> None:
    weights = finish("first", TINY)
    with pytest.raises(RecipeError, match=r"not the average\.pt"):
        settled(replace(TINY, start_from=str(weights.with_name("last.pt"))))
    weights.unlink()
    with pytest.raises(RecipeError, match=r"not the average\.pt"):
        settled(replace(TINY, start_from=str(weights)))
    with pytest.raises(RecipeError, match="has not finished"):
        network_of(weights.parent)


def test_a_fold_cannot_be_held_out_of_every_exam() -> None:
    with pytest.raises(RecipeError, match="every exam"):
        settled(replace(TINY, every_exam=True))


def test_a_folder_without_a_recipe_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no run"):
        recipe_of(tmp_path)


def test_the_second_stage_of_the_documentation_is_a_recipe() -> None:
    text = Path("inference/training/second-stage.json").read_text(encoding="utf-8")
    made = recipe_from_json(text)
    assert (made.epochs, made.last_grid, made.augmentation, made.negatives) == (10, Grid(160, 256), FAR, 160)
    assert "inference/training/second-stage.json" in Path("docs/training.md").read_text(encoding="utf-8")
