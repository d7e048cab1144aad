"""Temporal training small enough for a test: three stages, cut off and gone on with, and refused where it must be."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.preprocess import Grid
from inference.synthetic_cine import Sweep
from inference.training import clips as clips_module
from inference.training.challenge import read_challenge
from inference.training.clips import ClipCache, View, read_clip, sweep_of
from inference.training.recipe import NORMALISATION, RecipeError, network_of
from inference.training.temporal import TemporalRun, finished_run, train_temporal
from inference.training.temporal_recipe import TemporalRecipe, begun_from, temporal_recipe_of
from tests.unit.inference.training.test_export import challenge_folder, untrained_run
from tests.unit.inference.training.test_train import TINY

STILL = replace(TINY, coarse_grid=Grid(32, 64), fine_epochs=0)
SMALL = TemporalRecipe(
    clips=3, shares=(0.0, 0.5), stage1_epochs=2, stage2_epochs=1, stage3_epochs=1, stage3_clips=2, stage3_frames=2
)
VIEW = View(Grid(32, 64), NORMALISATION)


@pytest.fixture(scope="module", autouse=True)
def _short_clips() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clips_module, "SAMPLED", Sweep(frames=4, frame_time_s=0.2))
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return challenge_folder(tmp_path_factory.mktemp("hc18"), [f"{n:03d}" for n in range(3)])


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("still")
    untrained_run(folder, STILL)
    return folder


@pytest.fixture(scope="module")
def finished(data: Path, still: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_temporal(data, still, tmp_path_factory.mktemp("finished"), SMALL)


def states(weights: Path) -> dict[str, torch.Tensor]:
    return torch.load(weights, weights_only=True)


def test_three_stages_leave_their_losses_and_the_weights(finished: Path, still: Path) -> None:
    lines = [json.loads(line) for line in (finished.parent / "history.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["epoch"]) for line in lines] == [(1, 0), (1, 1), (2, 0), (3, 0)]
    run = finished_run(still, finished.parent)
    assert run.recipe == begun_from(still, SMALL)
    assert run.network.temporal.receive.weight.abs().max() > 0.0
    assert (run.view, run.network.training) == (VIEW, False)


def test_a_run_that_was_cut_off_ends_where_it_would_have_ended(
    data: Path, still: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, saved = TemporalRun._save, []

    def cut(self: TemporalRun, epoch: int) -> None:
        whole(self, epoch)
        saved.append((self.stage, epoch))
        if len(saved) in {1, 3}:
            raise KeyboardInterrupt

    monkeypatch.setattr(TemporalRun, "_save", cut)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train_temporal(data, still, tmp_path, SMALL)
    resumed = states(train_temporal(data, still, tmp_path, SMALL))
    assert saved == [(0, 0), (0, 1), (1, 0), (2, 0)]
    for name, value in states(finished).items():
        assert torch.equal(resumed[name], value), name


def test_statistics_stay_the_stills(finished: Path, still: Path) -> None:
    before = network_of(still).state_dict()
    for name, value in states(finished).items():
        if "running_" in name:
            assert torch.equal(value, before[name.removeprefix("still.")]), name


def test_with_attention_shut_the_module_stays_as_it_was_and_the_rest_learns(
    data: Path, still: Path, tmp_path: Path
) -> None:
    shut = states(train_temporal(data, still, tmp_path / "shut", replace(SMALL, attention=False, stage1_epochs=0)))
    assert not shut["temporal.receive.weight"].any()
    before = network_of(still).state_dict()
    assert not torch.equal(shut["still.head.2.weight"], before["head.2.weight"])
    again = states(train_temporal(data, still, tmp_path / "again", replace(SMALL, attention=False)))
    assert all(torch.equal(value, again[name]) for name, value in shut.items()), "nothing is there for stage 1 to teach"


def test_a_folder_with_another_run_is_refused(data: Path, still: Path, finished: Path) -> None:
    with pytest.raises(RecipeError, match="another recipe"):
        train_temporal(data, still, finished.parent, replace(SMALL, seed=19))
    assert temporal_recipe_of(finished.parent).seed == SMALL.seed


def test_other_weights_than_those_it_began_with_are_refused(finished: Path, tmp_path: Path) -> None:
    untrained_run(tmp_path, replace(STILL, width=0.25))
    with pytest.raises(RecipeError, match="not those"):
        finished_run(tmp_path, finished.parent)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="train-cine"):
        temporal_recipe_of(tmp_path)
    (tmp_path / "recipe.json").write_text(json.dumps({"shares": [0.0], "sideways": 1}))
    with pytest.raises(RecipeError, match="sideways"):
        temporal_recipe_of(tmp_path)


def test_clips_hold_their_truth_and_are_made_once(data: Path, still: Path, tmp_path: Path) -> None:
    recipe = begun_from(still, SMALL)
    cache = ClipCache(tmp_path, network_of(still), VIEW, recipe)
    images = read_challenge(data)
    paths = cache.fill(images)
    written = [path.stat().st_mtime_ns for path in paths]
    assert [path.stat().st_mtime_ns for path in cache.fill(images)] == written
    clean, spoilt = read_clip(paths[0]), read_clip(paths[1])
    assert (sweep_of(recipe, 0).degraded, sweep_of(recipe, 1).degraded) == (0.0, 0.5)
    assert torch.equal(clean.features[-1], clean.clean)
    assert not torch.equal(spoilt.features[-1], spoilt.clean)
    mask, weight = clean.targets()
    assert mask.shape == weight.shape == (4, 1, 32, 64)
    bright = clean.grey.float() / 255.0
    overlap = 2.0 * torch.minimum(bright, mask[:, 0]).sum() / (bright.sum() + mask.sum())
    assert float(overlap) > 0.85  # the picture of these exams is their head; speckle and gain dim it
    assert np.all(spoilt.targets()[0][~spoilt.measurable].numpy() == 0.0)
