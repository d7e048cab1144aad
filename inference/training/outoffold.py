"""Out-of-fold predictions: each image by the network that never saw its exam, through the node's own examiner.

A run folder holds `average.pt` and `recipe.json`; the recipe must hold out the fold it stands for. Intervals are set
for each fold from the other folds' rows, so that no exam takes part in its own (cross-conformal, Vovk 2015).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from inference.architectures.registry import ArchitectureError, build_network
from inference.dating import HADLOCK_1984
from inference.examine import Examiner
from inference.models import ModelEntry, sha256_of
from inference.preprocess import Grid, Normalisation
from inference.segment import Segmenter
from inference.training.challenge import Annotated, read_challenge
from inference.training.evaluate import Row, predict_one, read_rows, write_rows, write_summary
from inference.training.export import Shipment, interval_of, with_interval
from inference.training.folds import FOLDS, divide, fold_of
from inference.training.recipe import AVERAGE, RECIPE, RecipeError, recipe_from_json
from inference.training.summary import measured_of

log = logging.getLogger(__name__)

HISTORY = "history.jsonl"
FOLDER = "folds"
SAVE_EVERY = 25
PATHS = ("start_from", "teachers")
HASHES = ("start_from_sha256", "teachers_sha256")
"""What a run builds on is its fold's own (`recipe.settled` refuses another fold's); the hash is told, not the place."""


class RunError(ValueError):
    """A run cannot stand for the fold it is asked for."""


@dataclass(frozen=True, slots=True)
class FoldRun:
    """One finished training that never saw `fold`; `recipe` as it was written beside the weights."""

    fold: int
    path: Path
    sha256: str
    recipe: dict[str, Any]

    @property
    def grid(self) -> Grid:
        """The one it was trained on last."""
        return Grid(**self.recipe["grid" if self.recipe["fine_epochs"] else "coarse_grid"])

    @property
    def architecture(self) -> str:
        return str(self.recipe["architecture"])

    @property
    def width(self) -> float:
        """Share of the architecture's channels."""
        return float(self.recipe["width"])

    def history(self) -> list[dict[str, float]]:
        """One line per epoch; empty where the file is gone."""
        path = self.path / HISTORY
        if not path.is_file():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_runs(runs: Path, folds: Sequence[int] = range(FOLDS)) -> list[FoldRun]:
    """The runs `fold0` to `fold4` below `runs`.

    Raises:
        RunError: a run is missing or unfinished, does not hold out its fold, learnt from a teacher that may have seen
            the fold, or was made by another recipe than the others.
    """
    found = [_read_run(runs / f"fold{fold}", fold) for fold in folds]
    for run in found[1:]:
        different = _differences(found[0].recipe, run.recipe)
        if different:
            raise RunError(f"{run.path.name} was made by another recipe than {found[0].path.name}: {different}")
    return found


def _read_run(path: Path, fold: int) -> FoldRun:
    for needed in (AVERAGE, RECIPE):
        if not (path / needed).is_file():
            raise RunError(f"{path.name}/{needed} is missing: every fold needs its finished run")
    text = (path / RECIPE).read_text(encoding="utf-8")
    written: dict[str, Any] = json.loads(text)
    if written.get("pseudo_labels") and written.get("teacher_held_out_fold") != fold:
        raise RunError(f"{path.name} learnt from pseudo-labels whose teacher may have seen fold {fold}")
    try:
        recipe = asdict(recipe_from_json(text))  # with what older versions left out, so that runs compare
    except RecipeError as error:
        raise RunError(f"{path.name}: {error}") from error
    if recipe["held_out_fold"] != fold:
        raise RunError(f"{path.name} holds out fold {recipe['held_out_fold']}, so it has seen fold {fold}")
    return FoldRun(fold, path, sha256_of(path / AVERAGE), recipe)


def _differences(one: dict[str, Any], other: dict[str, Any]) -> str:
    free = {"held_out_fold", "threads", "seed", *PATHS, *HASHES}
    return ", ".join(sorted(key for key in {*one, *other} - free if one.get(key) != other.get(key)))


def network_of(run: FoldRun) -> nn.Module:
    """The averaged network of a run, in evaluation mode. Raises RunError where it does not fit its architecture."""
    try:
        network = build_network(run.architecture, run.width)
        network.load_state_dict(torch.load(run.path / AVERAGE, map_location="cpu", weights_only=True))
    except ArchitectureError as error:
        raise RunError(f"{run.path.name}: {error}") from error
    except RuntimeError as error:
        raise RunError(f"{run.path.name}/{AVERAGE} does not fit {run.architecture}") from error
    return network.eval()


def entry_of(run: FoldRun, shipment: Shipment) -> ModelEntry:
    """What the manifest would say of a run: weights, grid and grey of the run, gate, level and passes as shipped.

    It has no interval: one that was set on other exams of the fold would flatter it.
    """
    return ModelEntry(
        name=shipment.name,
        architecture=run.architecture,
        file=AVERAGE,
        sha256=run.sha256,
        parameters=0,
        grid=run.grid,
        normalisation=Normalisation(**run.recipe["normalisation"]),
        probability=shipment.level,
        slope_power=shipment.slope_power,
        look=shipment.look,
        gate=shipment.gate,
        interval=None,
        figures={},
        data="",
        card="",
        width=run.width,
    )


def examiner_of(run: FoldRun, shipment: Shipment) -> Examiner:
    """The node's examiner around a run."""
    entry = entry_of(run, shipment)
    return Examiner(Segmenter(network_of(run), entry.grid, entry.normalisation, entry.look), entry, HADLOCK_1984)


def predict_folds(data: Path, runs: Sequence[FoldRun], shipment: Shipment, path: Path) -> list[Row]:
    """Predict the held-out images of all runs, write `path` (CSV) and `<stem>-runs.json` beside it, return the rows.

    What was done before an interruption is kept beside `path` and taken up by the same weights, limits and code only.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    images = read_challenge(data)
    part = path.with_name(f"{path.stem}-{_key(runs, shipment)}.part")
    done = {row.image: row for row in read_rows(part)} if part.is_file() else {}
    for run in runs:
        _, outside = divide(images, run.fold)
        for row in _predicted(run, shipment, [image for image in outside if image.name not in done]):
            done[row.image] = row
            if len(done) % SAVE_EVERY == 0:
                write_rows(list(done.values()), part)
        log.info("evaluate.fold", extra={"fold": run.fold, "images": len(outside)})
    rows = with_cross_intervals([done[image.name] for image in images if image.name in done])
    write_rows(rows, path)
    write_summary(_told_runs(runs, shipment), path.with_name(f"{path.stem}-runs.json"))
    part.unlink(missing_ok=True)
    return rows


def _predicted(run: FoldRun, shipment: Shipment, images: Sequence[Annotated]) -> Iterator[Row]:
    if not images:
        return
    examiner = examiner_of(run, shipment)
    for image in images:
        yield replace(predict_one(image, examiner), fold=run.fold, weights_sha256=run.sha256)


def with_cross_intervals(rows: Sequence[Row]) -> list[Row]:
    """Rows with intervals set on the measured rows of the other folds; none where those are too few."""
    intervals = {
        fold: interval_of([row for row in measured_of(rows) if row.fold != fold]) for fold in {row.fold for row in rows}
    }
    out = []
    for row in rows:
        interval = intervals[row.fold]
        out.append(row if interval is None else with_interval(row, interval))
    return out


def settings_of(entry: ModelEntry) -> dict[str, Any]:
    """What besides weights and grid decides the rows."""
    return {
        "probability": entry.probability,
        "slope_power": entry.slope_power,
        "look": asdict(entry.look),
        "gate": asdict(entry.gate),
    }


def check_rows(rows: Sequence[Row], name: str) -> None:
    """Raises RunError where a row stands in another fold than its exam's hash says, or an image stands twice."""
    wrong = [row.image for row in rows if row.fold != fold_of(row.exam)]
    if wrong:
        raise RunError(f"{name}: {', '.join(wrong[:5])} not in the fold of the exam")
    if len({row.image for row in rows}) != len(rows):
        raise RunError(f"{name}: an image stands there twice")


def _key(runs: Sequence[FoldRun], shipment: Shipment) -> str:
    """What the rows depend on: weights, limits and level, and the code that looks."""
    digest = hashlib.sha256()
    for run in runs:
        digest.update(f"{run.sha256} {entry_of(run, shipment).calibration_sha256}".encode())
    for source in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]


def _told_runs(runs: Sequence[FoldRun], shipment: Shipment) -> dict[str, Any]:
    """What is kept of the runs: recipe and settings that they share, and of each fold its weights and loss by epoch."""
    first = runs[0]
    own = {"held_out_fold", "threads", *PATHS, *HASHES}
    recipe = {key: value for key, value in first.recipe.items() if key not in own}
    return {
        "architecture": first.architecture,
        "grid": {"rows": first.grid.rows, "columns": first.grid.columns},
        "width": first.width,
        "settings": settings_of(entry_of(first, shipment)),
        "recipe": recipe,
        "runs": [
            {
                "fold": run.fold,
                "weights_sha256": run.sha256,
                "history": run.history(),
                **{name: run.recipe[name] for name in HASHES if run.recipe[name]},
            }
            for run in runs
        ],
    }
