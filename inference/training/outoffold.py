"""Out-of-fold predictions: each image by the network that never saw its exam, through the node's own examiner.

A run folder holds `average.pt` and `recipe.json`; the recipe must hold out the fold it stands for. Limits of
the gate and intervals are set for each fold from the other folds' rows, so that no exam takes part in its own
(cross-conformal, Vovk 2015).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from inference.checkpoint import for_inference
from inference.dating import HADLOCK_1984
from inference.examine import Examiner
from inference.models import ModelEntry, sha256_of
from inference.quality import Gate
from inference.segment import Segmenter
from inference.training.challenge import Annotated, exam_of, read_challenge
from inference.training.evaluate import Row, predict_one, read_rows, write_rows, write_summary
from inference.training.export import Shipment, interval_of, with_interval
from inference.training.folds import FOLDS, divide, fold_of
from inference.training.gating import calibrate_gate, regate
from inference.training.recipe import AVERAGE, Recipe, RecipeError, exams_of, network_of, recipe_of, settled
from inference.training.summary import measured_of
from inference.uncertainty import ConformalInterval

log = logging.getLogger(__name__)

HISTORY = "history.jsonl"
SAVE_EVERY = 25
BUILT_ON = {"start_from": "start_from_sha256", "teachers": "teachers_sha256"}
"""What a run builds on is its fold's own: where it lay, and the hash by which it is told."""


class RunError(ValueError):
    """A run cannot stand for the fold it is asked for."""


@dataclass(frozen=True, slots=True)
class FoldRun:
    """One finished training that never saw `fold`."""

    fold: int
    path: Path
    sha256: str
    recipe: Recipe

    def history(self) -> list[dict[str, float]]:
        """One line per epoch; empty where the file is gone."""
        path = self.path / HISTORY
        if not path.is_file():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_runs(runs: Path, folds: Sequence[int] = range(FOLDS)) -> list[FoldRun]:
    """The runs `fold0` to `fold4` below `runs`.

    Raises:
        RunError: a run is missing or unfinished, does not hold out its fold, builds on weights that may have seen it,
            or was made by another recipe than the others.
    """
    found = [_read_run(runs / f"fold{fold}", fold) for fold in folds]
    for run in found[1:]:
        different = _differences(found[0].recipe, run.recipe)
        if different:
            raise RunError(f"{run.path.name} was made by another recipe than {found[0].path.name}: {different}")
    return found


def _read_run(path: Path, fold: int) -> FoldRun:
    if not (path / AVERAGE).is_file():
        raise RunError(f"{path.name}/{AVERAGE} is missing: every fold needs its finished run")
    try:
        recipe = _shown(recipe_of(path))
    except RecipeError as error:
        raise RunError(f"{path.name}: {error}") from error
    if recipe.held_out_fold != fold:
        raise RunError(f"{path.name} holds out fold {recipe.held_out_fold}, so it has seen fold {fold}")
    return FoldRun(fold, path, sha256_of(path / AVERAGE), recipe)


def _shown(recipe: Recipe) -> Recipe:
    """The recipe, once what it builds on has held out the same fold.

    Training has refused anything else and then written down the hash, so the hash does where the weights are gone.

    Raises:
        RecipeError: it builds on weights that have seen other exams, or whose hash was never written.
    """
    here = [Path(weights).is_file() for weights in (*filter(None, [recipe.start_from]), *recipe.teachers)]
    written = bool(recipe.start_from) == bool(recipe.start_from_sha256)
    if written and len(recipe.teachers) == len(recipe.teachers_sha256) and not all(here):
        return recipe
    return settled(recipe)


def _differences(one: Recipe, other: Recipe) -> str:
    return ", ".join(sorted(key for key in shared(one) if shared(one)[key] != shared(other)[key]))


def shared(recipe: Recipe) -> dict[str, Any]:
    """What the runs of all folds have in common; what each fold builds on is its own."""
    own = {"held_out_fold", "threads", "seed", *BUILT_ON, *BUILT_ON.values()}
    return {key: value for key, value in asdict(recipe).items() if key not in own}


def entry_of(run: FoldRun, shipment: Shipment) -> ModelEntry:
    """What the manifest would say of a run: weights, grid and grey of the run, gate, level and passes as shipped.

    It has no interval: one that was set on other exams of the fold would flatter it.
    """
    return ModelEntry(
        name=shipment.name,
        architecture=run.recipe.architecture,
        file=AVERAGE,
        sha256=run.sha256,
        parameters=0,
        grid=run.recipe.last_grid,
        normalisation=run.recipe.normalisation,
        probability=shipment.level,
        slope_power=shipment.slope_power,
        look=shipment.look,
        gate=shipment.gate,
        interval=None,
        figures={},
        data="",
        card="",
        width=run.recipe.width,
        trained_on=exams_of(run.recipe),
    )


def examiner_of(run: FoldRun, shipment: Shipment) -> Examiner:
    """The node's examiner around a run. Raises RecipeError where its weights are not those of its architecture."""
    entry = entry_of(run, shipment)
    network = network_of(run.path)
    for_inference(network)
    return Examiner(Segmenter(network, entry.grid, entry.normalisation, entry.look), entry, HADLOCK_1984)


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
    rows = calibrated_crosswise([done[image.name] for image in images if image.name in done], shipment.gate)
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


def calibrated_crosswise(rows: Sequence[Row], gate: Gate) -> list[Row]:
    """Rows of each fold as limits and interval from the other folds would have them; of one fold as they are.

    Both are set on the other folds alone, also the limits that say which of their rows the interval is set on.
    """
    folds = {row.fold for row in rows}
    if len(folds) < 2:
        return list(rows)
    settings = {fold: _limits_and_interval([row for row in rows if row.fold != fold], gate) for fold in folds}
    return [_judged_by(row, *settings[row.fold]) for row in rows]


def calibrated_by(rows: Sequence[Row], entry: ModelEntry) -> ModelEntry:
    """The entry of a refit on every exam with limits and interval from all folds, which it has no exams left to set."""
    gate, interval = _limits_and_interval(rows, entry.gate)
    return replace(entry, gate=gate, interval=interval)


def _limits_and_interval(rows: Sequence[Row], gate: Gate) -> tuple[Gate, ConformalInterval | None]:
    """`gate` with the limits that the rows give, and the interval of those that it lets through; None for too few."""
    limited = calibrate_gate(rows, gate)
    return limited, interval_of(measured_of(regate(rows, limited)))


def _judged_by(row: Row, gate: Gate, interval: ConformalInterval | None) -> Row:
    (judged,) = regate([row], gate)
    return judged if interval is None else with_interval(judged, interval)


def settings_of(entry: ModelEntry) -> dict[str, Any]:
    """What besides weights, grid and gate decides the rows."""
    return {
        "probability": entry.probability,
        "slope_power": entry.slope_power,
        "look": asdict(entry.look),
    }


def check_rows(rows: Sequence[Row], name: str, runs: Mapping[str, Any]) -> None:
    """Refuse rows that a network may have made which saw the exam; `runs` as `predict_folds` wrote it beside them.

    Raises:
        RunError: a row stands in another fold than the hash of its image's exam says, was not made by the weights of
            that fold, or stands twice.
    """
    wrong = [row.image for row in rows if row.exam != exam_of(row.image) or row.fold != fold_of(row.exam)]
    if wrong:
        raise RunError(f"{name}: {', '.join(wrong[:5])} not in the fold of the exam")
    weights = {run["fold"]: run["weights_sha256"] for run in runs["runs"]}
    others = [row.image for row in rows if row.weights_sha256 != weights.get(row.fold)]
    if others:
        raise RunError(f"{name}: {', '.join(others[:5])} not made by the weights of the fold's run")
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
    first = entry_of(runs[0], shipment)
    return {
        "architecture": first.architecture,
        "grid": asdict(first.grid),
        "width": first.width,
        "settings": settings_of(first),
        "recipe": shared(runs[0].recipe),
        "runs": [_told_run(run) for run in runs],
    }


def _told_run(run: FoldRun) -> dict[str, Any]:
    """Weights and history of one fold, and the hashes of what it builds on: hashes, not places."""
    hashes = {name: getattr(run.recipe, name) for name in BUILT_ON.values()}
    told = {"fold": run.fold, "weights_sha256": run.sha256, "history": run.history()}
    return told | {name: value for name, value in hashes.items() if value}
