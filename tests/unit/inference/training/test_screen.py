"""A screening answers the held-out fold and compares itself with the baseline's answers."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inference.architectures.registry import RESIDUAL, build_network
from inference.preprocess import Grid
from inference.training import screen as screening
from inference.training.folds import FOLDS, fold_of, read_folds
from inference.training.recipe import AVERAGE, RECIPES, write_recipe
from inference.training.screen import BASELINE, FOLD, IDEAS, main, screen
from tests.unit.inference.training.test_export import challenge_folder

HELD_OUT = [name.removesuffix("_HC") for name, fold in read_folds().items() if fold == FOLD and name.endswith("_HC")]


def finish(run: Path, idea: str, seed: int) -> None:
    """Leave a network that finds something, but nothing much, as if training had finished."""
    recipe = replace(IDEAS[idea], architecture=RESIDUAL, width=0.125, coarse_grid=Grid(64, 96))
    torch.manual_seed(seed)
    run.mkdir(parents=True)
    write_recipe(recipe, run)
    torch.save(build_network(RESIDUAL, 0.125).state_dict(), run / AVERAGE)


def test_a_quarter_of_the_exams_is_trained_on_as_long_as_all() -> None:
    quarter, plain = IDEAS["quarter"], IDEAS[BASELINE]
    assert quarter.exam_share * quarter.coarse_epochs == plain.coarse_epochs
    phantoms = [recipe.phantoms_with_head + recipe.phantoms_without_head for recipe in (quarter, plain)]
    assert phantoms == [26, 104]
    same = {"coarse_epochs": 14, "phantoms_with_head": 64, "phantoms_without_head": 40, "exam_share": 1.0}
    assert replace(quarter, **same) == plain


def test_every_idea_differs_from_the_baseline_in_one_thing_and_holds_out_the_fold() -> None:
    for idea, recipe in IDEAS.items():
        if idea == "quarter":
            continue
        start = RECIPES[recipe.architecture]
        plain = replace(start, width=recipe.width, coarse_epochs=14, fine_epochs=0, held_out_fold=FOLD)
        changed = [f for f in recipe.__slots__ if getattr(recipe, f) != getattr(plain, f)]
        assert len(changed) == (0 if idea in {BASELINE, "residual"} else 1), idea
    assert FOLD in range(FOLDS)


def test_what_is_trained_is_not_trained_again_and_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = challenge_folder(tmp_path, HELD_OUT[:3])
    runs = tmp_path / "runs"
    monkeypatch.setattr(screening, "train", lambda *_: pytest.fail("it had finished"))
    finish(runs / BASELINE / f"fold{FOLD}", BASELINE, 1)
    finish(runs / "harsh" / f"fold{FOLD}", "harsh", 2)
    assert screen(data, runs, BASELINE).difference_mm == ""
    main(["--data", str(data), "--runs", str(runs), "--idea", "harsh"])
    told = json.loads(capsys.readouterr().out)
    assert (told["idea"], told["n"]) == ("harsh", 3)
    assert float(told["difference_low_mm"]) <= float(told["difference_mm"]) <= float(told["difference_high_mm"])
    assert all(fold_of(exam) == FOLD for exam in HELD_OUT[:3])


def test_an_idea_may_branch_off_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = challenge_folder(tmp_path, HELD_OUT[:2])
    (tmp_path / "trunk.pt").write_bytes(b"checkpoint")

    def train(_: Path, out: Path, recipe: object) -> None:
        assert (out / "last.pt").read_bytes() == b"checkpoint"
        assert recipe == IDEAS["far"]
        (out / "last.pt").unlink()
        out.rmdir()
        finish(out, "far", 3)

    monkeypatch.setattr(screening, "train", train)
    assert screen(data, tmp_path / "runs", "far", tmp_path / "trunk.pt").n == 2
