"""Screen one idea on one held-out fold: a short training, forced answers, paired differences to the baseline.

    python -m inference.training.screen --data hc18 --runs runs --idea harsh

The schedule is cheap on purpose (coarse grid only), so its figures rank ideas and are no model's figures. With
`--trunk` an idea branches off a checkpoint of the baseline (its `last.pt` of some epoch) instead of starting anew:
cheaper, and both share the noise of the first epochs. The idea `again` (the baseline's recipe, other views) says how
much of a difference is noise.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from inference.domain import EllipsePx, PixelSpacingMm
from inference.look import Look
from inference.measure import DegenerateFitError, circumference_mm, fit_ellipse_mm, to_millimetres
from inference.preprocess import Grid, Letterbox, plan
from inference.segment import Probability, Segmenter, largest_component, outline_points, outline_weights
from inference.training.augmentation_range import FAR, AugmentationRange
from inference.training.bootstrap import ROUNDS as BOOTSTRAP_ROUNDS
from inference.training.bootstrap import SEED as BOOTSTRAP_SEED
from inference.training.challenge import Annotated, read_challenge
from inference.training.evaluate import dice
from inference.training.folds import divide
from inference.training.recipe import AVERAGE, LAST, NORMALISATION, Recipe, network_of
from inference.training.train import train

FOLD = 0
LEVEL = 0.5
POWERS = (0.0, 2.0, 3.0)
BASELINE = "baseline"
SCREEN = Recipe(coarse_epochs=14, fine_epochs=0, held_out_fold=FOLD)
STRETCHED = AugmentationRange(scale=0.30, aspect=0.22, shift=0.10)
HARSH = AugmentationRange(gamma=0.6, gain=0.5, gain_field=0.5, shadow=0.5, depth_gain=1.2, side_fade=0.3)
IDEAS: dict[str, Recipe] = {
    BASELINE: SCREEN,
    "again": replace(SCREEN, seed=19),
    "stretch": replace(SCREEN, augmentation=STRETCHED),
    "far": replace(SCREEN, augmentation=FAR),
    "harsh": replace(SCREEN, augmentation=HARSH),
    "circumference": replace(SCREEN, circumference_share=2.0),
    "longer": replace(SCREEN, coarse_epochs=28),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The forced answer for one image; lengths in mm."""

    image: str
    exam: str
    pixel_size_mm: float
    hc_true_mm: float
    hc_mm: float
    dice: float

    @property
    def error_mm(self) -> float:
        return self.hc_mm - self.hc_true_mm


def maps_of(network: nn.Module, images: Sequence[Annotated], grid: Grid, *, flip: bool) -> list[Probability]:
    """Probability on the grid for each image, one at a time."""
    segmenter = Segmenter(network, grid, NORMALISATION, Look(flip))
    maps = []
    for image in images:
        spacing = PixelSpacingMm(image.pixel_size_mm, image.pixel_size_mm)
        maps.append(segmenter(image.luminance(), spacing).probability)
    return maps


def ellipse_of(probability: Probability, letterbox: Letterbox, power: float = 0.0) -> EllipsePx | None:
    """Level 0.5, largest part, least-squares ellipse, in pixels of the image; `power` 0 is what the node does today."""
    points = outline_points(probability, largest_component(probability, LEVEL), LEVEL)
    try:
        weights = outline_weights(probability, points, power) if power and len(points) else None
        fitted = fit_ellipse_mm(letterbox.to_region(points), weights)
    except DegenerateFitError:
        return None
    return EllipsePx(
        fitted.center_x_mm, fitted.center_y_mm, fitted.semi_major_mm, fitted.semi_minor_mm, fitted.angle_deg
    )


def answer(image: Annotated, ellipse: EllipsePx | None) -> Answer:
    """HC and overlap with the expert's ellipse; 0 where nothing was found."""
    hc_mm, overlap = 0.0, 0.0
    if ellipse is not None:
        hc_mm = circumference_mm(to_millimetres(ellipse, PixelSpacingMm(image.pixel_size_mm, image.pixel_size_mm)))
        overlap = dice(ellipse, image.ellipse(), image.luminance().shape)
    return Answer(image.name, image.exam, image.pixel_size_mm, image.hc_mm, hc_mm, overlap)


def figures(answers: Sequence[Answer]) -> dict[str, Any]:
    """Plain figures over all answers and by thirds of true size."""
    edges = np.quantile([a.hc_true_mm for a in answers], [1 / 3, 2 / 3])
    third = np.searchsorted(edges, [a.hc_true_mm for a in answers], side="right")
    errors = np.array([a.error_mm for a in answers])
    out: dict[str, Any] = {"n": len(answers), **_of(errors)}
    out["dice"] = round(float(np.mean([a.dice for a in answers])), 5)
    out["thirds"] = [_of(errors[third == index]) for index in range(3)]
    return out


def _of(errors: NDArray[np.float64]) -> dict[str, float]:
    size = np.abs(errors)
    values = {
        "mae": np.mean(size),
        "median": np.median(size),
        "p95": np.percentile(size, 95),
        "max": np.max(size),
        "bias": np.mean(errors),
    }
    return {name: round(float(value), 3) for name, value in values.items()}


def compare(answers: Sequence[Answer], baseline: Sequence[Answer]) -> dict[str, list[float]]:
    """Paired differences (idea minus baseline), each [value, low, high] with a 95 % bootstrap by exam.

    `tail` is the mean of the absolute errors above 4 mm, counted over all images: where the mean error is made.
    """
    before = {a.image: a for a in baseline}
    pairs = [(a, before[a.image]) for a in answers]
    groups: dict[str, list[int]] = {}
    for index, (one, _) in enumerate(pairs):
        groups.setdefault(one.exam, []).append(index)
    members = [np.array(g) for g in groups.values()]
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    draws = [
        np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        for _ in range(BOOTSTRAP_ROUNDS)
    ]
    new = np.array([abs(one.error_mm) for one, _ in pairs])
    old = np.array([abs(other.error_mm) for _, other in pairs])
    differences = {
        "mae": new - old,
        "tail": np.where(new > 4.0, new, 0.0) - np.where(old > 4.0, old, 0.0),
        "dice": np.array([one.dice - other.dice for one, other in pairs]),
    }
    out = {}
    for name, values in differences.items():
        low, high = np.percentile([values[d].mean() for d in draws], [2.5, 97.5])
        out[name] = [round(float(v), 4) for v in (values.mean(), low, high)]
    return out


def write_answers(answers: Sequence[Answer], path: Path) -> None:
    """One CSV line per image."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("image", "exam", "pixel_size_mm", "hc_true_mm", "hc_mm", "dice"))
        writer.writerows(
            (a.image, a.exam, a.pixel_size_mm, a.hc_true_mm, round(a.hc_mm, 3), round(a.dice, 5)) for a in answers
        )


def read_answers(path: Path) -> list[Answer]:
    """What `write_answers` wrote."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Answer(
                row["image"],
                row["exam"],
                float(row["pixel_size_mm"]),
                float(row["hc_true_mm"]),
                float(row["hc_mm"]),
                float(row["dice"]),
            )
            for row in csv.DictReader(file)
        ]


def screen(data: Path, runs: Path, idea: str, trunk: Path | None = None) -> dict[str, Any]:
    """Train unless that is done, answer the held-out fold, write maps, answers and figures into `runs/idea`."""
    recipe = IDEAS[idea]
    out = runs / idea
    if trunk is not None and not (out / LAST).is_file():
        out.mkdir(parents=True, exist_ok=True)
        shutil.copy(trunk, out / LAST)
    if not (out / AVERAGE).is_file():
        train(data, out, recipe)
    _, images = divide(read_challenge(data), FOLD)
    grid = recipe.last_grid
    maps = maps_of(network_of(out), images, grid, flip=False)
    np.savez_compressed(out / "maps.npz", maps=np.stack(maps).astype(np.float16), names=[i.name for i in images])
    result: dict[str, Any] = {"idea": idea}
    for power in POWERS:
        answers = []
        for image, probability in zip(images, maps, strict=True):
            rows, columns = image.luminance().shape
            answers.append(answer(image, ellipse_of(probability, plan(rows, columns, None, grid), power)))
        name = f"answers-{power:g}.csv"
        write_answers(answers, out / name)
        result[f"power {power:g}"] = figures(answers)
        before = runs / BASELINE / name
        if idea != BASELINE and before.is_file():
            result[f"power {power:g}"]["difference"] = compare(answers, read_answers(before))
    (out / "figures.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--idea", choices=IDEAS, required=True)
    parser.add_argument("--trunk", type=Path, help="a baseline's last.pt to branch off")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(2)
    print(json.dumps(screen(chosen.data, chosen.runs, chosen.idea, chosen.trunk), indent=1))


if __name__ == "__main__":
    main()
