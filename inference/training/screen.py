"""Screen one idea on one held-out fold: a short training, forced answers, a paired difference to the baseline.

    python -m inference.training.screen --data hc18 --runs runs --idea harsh

Writes `runs/<idea>/fold0` (a run like any other, so that a finalist's other folds go beside it) and
`runs/<idea>/rows.csv` (as `dicom-node evaluate` writes them). The schedule is cheap on purpose (a third of the epochs,
coarse grid only), so its figures rank ideas and are no model's figures. With `--trunk` an idea branches off a
checkpoint of the baseline (its `last.pt` of some epoch) instead of starting anew: cheaper, and both share the noise of
the first epochs. The idea `again` (the baseline's recipe, other views) says how much of a difference is noise.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from inference.architectures.registry import RESIDUAL
from inference.look import Look
from inference.training.ablations import Ablation, Idea, compared, read_answers
from inference.training.augmentation_range import FAR, AugmentationRange
from inference.training.export import Shipment
from inference.training.outoffold import predict_folds, read_runs
from inference.training.recipe import AVERAGE, LAST, RECIPES, Recipe
from inference.training.train import train

FOLD = 0
BASELINE = "baseline"
ROWS = "rows.csv"
ASKED_ONCE = Shipment(look=Look())
CHEAP_RESIDUAL_WIDTH = 0.375
"""A training step then costs about as much as the baseline's; see docs/training.md."""

SCREEN = Recipe(coarse_epochs=14, fine_epochs=0, held_out_fold=FOLD)
STRETCHED = AugmentationRange(scale=0.30, aspect=0.22, shift=0.10)
HARSH = AugmentationRange(gamma=0.6, gain=0.5, gain_field=0.5, shadow=0.5, depth_gain=1.2, side_fade=0.3)
IDEAS: dict[str, Recipe] = {
    BASELINE: SCREEN,
    "again": replace(SCREEN, seed=19),
    "stretch": replace(SCREEN, augmentation=STRETCHED),
    "harsh": replace(SCREEN, augmentation=HARSH),
    "far": replace(SCREEN, augmentation=FAR),
    "circumference": replace(SCREEN, circumference_share=2.0),
    "longer": replace(SCREEN, coarse_epochs=28),
    "quarter": replace(SCREEN, exam_share=0.25, coarse_epochs=56, phantoms_with_head=16, phantoms_without_head=10),
    "residual": replace(
        RECIPES[RESIDUAL], width=CHEAP_RESIDUAL_WIDTH, coarse_epochs=14, fine_epochs=0, held_out_fold=FOLD
    ),
}


def screen(data: Path, runs: Path, idea: str, trunk: Path | None = None) -> Ablation:
    """Train unless that is done, answer the held-out fold, and compare with the baseline if that has answered."""
    out = runs / idea / f"fold{FOLD}"
    if trunk is not None and not (out / LAST).is_file():
        out.mkdir(parents=True, exist_ok=True)
        shutil.copy(trunk, out / LAST)
    if not (out / AVERAGE).is_file():
        train(data, out, IDEAS[idea])
    rows, before = runs / idea / ROWS, runs / BASELINE / ROWS
    predict_folds(data, read_runs(runs / idea, (FOLD,)), ASKED_ONCE, rows)
    told = Idea(idea, "screening: coarse grid, a third of the schedule", str(FOLD), "to be shown on five folds")
    old = read_answers(before) if idea != BASELINE and before.is_file() else None
    return compared(told, read_answers(rows), old)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; prints the line that `inference.training.ablations` would record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--idea", choices=IDEAS, required=True)
    parser.add_argument("--trunk", type=Path, help="a baseline's last.pt to branch off")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    print(json.dumps(asdict(screen(chosen.data, chosen.runs, chosen.idea, chosen.trunk)), indent=1))


if __name__ == "__main__":
    main()
