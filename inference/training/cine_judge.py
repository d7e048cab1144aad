"""Judge the answers for cines on the held-out exams of the folds, and write page and figures from the rows again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from inference.checkpoint import channels_last
from inference.dating import HADLOCK_1984
from inference.examine import Examiner
from inference.models import sha256_of
from inference.segment import Segmenter
from inference.training.challenge import read_challenge
from inference.training.cine_report import summarise, write_report
from inference.training.cine_rows import FrameRow, StillByStill, Temporal, judge_clips, read_frame_rows
from inference.training.evaluate import Row, write_summary
from inference.training.export import Shipment
from inference.training.folds import divide
from inference.training.outoffold import FoldRun, calibrated_by, entry_of
from inference.training.recipe import network_of
from inference.training.temporal import FinishedRun, finished_run
from inference.training.temporal_recipe import WEIGHTS

FACTS = "facts.json"
STILL, TEMPORAL, CONTROL = "still.csv", "temporal.csv", "control.csv"


class CineJudgeError(ValueError):
    """There are no rows to make figures from, or they are of other weights."""


@dataclass(frozen=True, slots=True)
class CinePlace:
    """Where things are: the challenge's folder, and the folder of the evaluation, with the rows in `cine`."""

    data: Path
    out: Path

    @property
    def rows(self) -> Path:
        return self.out / "cine"


def calibrated_examiner(run: FoldRun, shipment: Shipment, rows: Sequence[Row]) -> Examiner:
    """The node's examiner around a run, with limits and interval from the other folds' stills."""
    entry = calibrated_by([row for row in rows if row.fold != run.fold], entry_of(run, shipment))
    network = network_of(run.path)
    channels_last(network)
    segmenter = Segmenter(network, entry.grid, entry.normalisation, entry.look)
    return Examiner(segmenter, entry, HADLOCK_1984)


def judge(place: CinePlace, run: FoldRun, examiner: Examiner, temporal: Path | None, most: int | None = None) -> None:
    """Look at the clips of the run's held-out fold, or of `most` of its images; goes on where it was cut off.

    `temporal`: a finished run of `train-cine` that began with `run`; None: the still's network alone. A run without
    attention is the control.

    Raises:
        RecipeError: `temporal` is no such run.
        CineJudgeError: rows of other weights stand there.
    """
    torch.set_num_threads(1)  # the maps are small: a second thread waits more than it works
    place.rows.mkdir(parents=True, exist_ok=True)
    other = None if temporal is None else finished_run(run.path, temporal)
    facts = {"still_sha256": run.sha256}
    if temporal is not None and other is not None:
        facts[f"{_rows_of(other).stem}_sha256"] = sha256_of(temporal / WEIGHTS)
    write_summary(_beside(place.rows, run.fold, facts), place.rows / FACTS)
    _, outside = divide(read_challenge(place.data), run.fold)
    judge_clips(outside, StillByStill(examiner), place.rows / STILL, most)
    if other is not None:
        judge_clips(outside, Temporal(other, examiner), place.rows / _rows_of(other), most)


def renew(place: CinePlace) -> str:
    """Page and figures from the rows; returns the headline.

    Raises:
        CineJudgeError: there are no rows.
    """
    if not (place.rows / STILL).is_file():
        raise CineJudgeError(f"{place.rows / STILL} is missing: name the runs to judge")
    facts: dict[str, Any] = json.loads((place.rows / FACTS).read_text(encoding="utf-8"))
    summary = summarise(*(_read(place.rows / name) for name in (STILL, TEMPORAL, CONTROL)))
    write_report(place.out, summary, facts)
    folds = ", ".join(sorted(facts["folds"]))
    return f"folds {folds}: {summary['images']} images of {summary['exams']} exams"


def _rows_of(run: FinishedRun) -> Path:
    """The file that the rows of a temporal network go to."""
    return Path(TEMPORAL if run.recipe.attention else CONTROL)


def _read(path: Path) -> list[FrameRow]:
    return read_frame_rows(path) if path.is_file() else []


def _beside(rows: Path, fold: int, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of all folds, with those of `fold` added; raises CineJudgeError where its rows are of other weights."""
    path = rows / FACTS
    folds = json.loads(path.read_text(encoding="utf-8"))["folds"] if path.is_file() else {}
    standing = folds.get(str(fold), {})
    if any(standing.get(name, value) != value for name, value in facts.items()):
        raise CineJudgeError(f"{rows} holds rows of other weights for fold {fold}; move them away first")
    return {"folds": {**folds, str(fold): {**standing, **facts}}}
