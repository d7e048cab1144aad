"""A training small enough to run in a test: it learns, it can be cut off, it can go on from another run."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inference.architectures.registry import RESIDUAL
from inference.preprocess import Grid
from inference.training.batches import ahead, batches
from inference.training.examples import load_examples
from inference.training.recipe import Recipe, RecipeError, recipe_of
from inference.training.train import Run, train
from tests.unit.inference.training.test_export import challenge_folder

TINY = Recipe(
    architecture=RESIDUAL,
    width=0.125,
    coarse_grid=Grid(32, 64),
    grid=Grid(64, 96),
    coarse_epochs=2,
    fine_epochs=1,
    batch=4,
    phantoms_with_head=0,
    phantoms_without_head=0,
    every_exam=True,
    threads=1,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return challenge_folder(tmp_path_factory.mktemp("hc18"), [f"{n:03d}" for n in range(12)])


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(data, tmp_path_factory.mktemp("finished"), TINY)


def history(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "history.jsonl").read_text().splitlines()]


def test_batches_made_ahead_are_the_same_in_the_same_order(data: Path) -> None:
    examples = load_examples(data, TINY)
    plain = list(batches(examples, TINY.grid, TINY, 1))
    prefetched = list(ahead(batches(examples, TINY.grid, TINY, 1)))
    assert len(plain) == len(prefetched) == 3
    for one, other in zip(plain, prefetched, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(plain[0][0], next(batches(examples, TINY.grid, TINY, 2))[0])


def test_a_batch_that_fails_fails_the_epoch_at_its_place() -> None:
    def broken() -> Iterator[int]:
        yield from range(5)
        raise ValueError("the sixth")

    taken = ahead(broken())
    assert [next(taken) for _ in range(5)] == list(range(5))
    with pytest.raises(ValueError, match="the sixth"):
        next(taken)


def test_training_lowers_the_loss_and_records_what_it_did(finished: Path) -> None:
    losses = history(finished.parent)
    assert len(losses) == 3
    assert losses[-1] < losses[0]
    assert recipe_of(finished.parent) == TINY


def test_a_run_that_was_cut_off_ends_where_it_would_have_ended(
    data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Run.save

    def cut(self: Run, epoch: int) -> None:
        whole(self, epoch)
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "save", cut)
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path, TINY)
    monkeypatch.setattr(Run, "save", whole)
    resumed = torch.load(train(data, tmp_path, TINY), weights_only=True)
    for name, value in torch.load(finished, weights_only=True).items():
        assert torch.equal(resumed[name], value), name


def test_fine_tuning_begins_with_the_other_runs_weights(data: Path, finished: Path, tmp_path: Path) -> None:
    recipe = replace(TINY, coarse_epochs=0, fine_epochs=1, start_from=str(finished), encoder_rate=0.0)
    before = torch.load(finished, weights_only=True)
    after = torch.load(train(data, tmp_path, recipe), weights_only=True)
    assert torch.equal(before["encoder.levels.0.shortcut.weight"], after["encoder.levels.0.shortcut.weight"])
    assert not torch.equal(before["head.2.weight"], after["head.2.weight"])
    assert recipe_of(tmp_path).start_from_sha256


def test_a_contradiction_is_refused_before_anything_is_written(data: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError):
        train(data, tmp_path / "run", replace(TINY, held_out_fold=1))
    assert not (tmp_path / "run").exists()
