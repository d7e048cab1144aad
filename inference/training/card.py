"""Model cards (Mitchell et al. 2019), generated from the manifest: no figure in them is typed by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from inference.models import ModelEntry
from inference.training.tables import CAVEAT, NOTES, coverage_sentence, figure_table, groups_of, per_cent
from inference.uncertainty import Scale

INTENDED = (
    "Research use only; not cleared as a medical device. It proposes the outer outline of the fetal skull on a still "
    "ultrasound frame, from which head circumference and gestational age are computed. A clinician checks every value."
)
LIMITS = (
    "The standard plane is not verified: a wrong plane gives a wrong number with a good fit.",
    "No demographics are known, so nothing can be said about groups of women.",
    "Sizes outside HC18's (HC 44 to 346 mm), fetuses with anomalies and other machines were not seen.",
    "The interval says how far HC may be from an expert's HC on the same image of machines like HC18's; it covers "
    "neither plane nor scanner.",
    "Phantoms (synthetic) took part in training, from families that neither demonstration nor tests use.",
)


def write_card(weights: Path, entry: ModelEntry) -> Path:
    """Write `weights/<card>` and return its path."""
    path = weights / entry.card
    path.write_text("\n".join(_lines(entry)).rstrip() + "\n", encoding="utf-8")
    return path


def _lines(entry: ModelEntry) -> list[str]:
    return [
        f"# Model card: {entry.name}",
        "",
        "Written by `dicom-node train --export` and `dicom-node evaluate --record`; not edited by hand.",
        "",
        "## Intended use",
        "",
        INTENDED,
        "",
        "## Model",
        "",
        f"- Architecture: {entry.architecture}, {entry.parameters / 1e6:.2f} million parameters",
        f"- Input: grey, {entry.grid.rows} x {entry.grid.columns}, square millimetres, letterboxed",
        f"- File: `{entry.file}`, sha256 `{entry.sha256}`",
        f"- Outline at probability {entry.probability}; points weighted by slope ** {entry.slope_power:g}; "
        f"mirrored average: {'yes' if entry.look.flip_average else 'no'}; dropout passes: {entry.look.dropout_passes}",
        "",
        "## Data",
        "",
        f"{entry.data}. The weights carry that attribution with them.",
        "",
        "## Figures",
        "",
        *[line for split, figures in sorted(entry.figures.items()) for line in _figures(split, figures)],
        CAVEAT,
        "",
        *_interval(entry),
        "## Known limits",
        "",
        *[f"- {limit}" for limit in LIMITS],
    ]


def _figures(split: str, figures: dict[str, Any]) -> list[str]:
    forced = figures["forced"]
    return [
        f"### {split.capitalize()} exams",
        "",
        f"{forced['n']} images of {forced['exams']} exams, 95 % bootstrap intervals in brackets; abstention rate "
        f"{per_cent(figures['abstention_rate'])}. {NOTES[split]} {coverage_sentence(figures)}",
        "",
        *figure_table(groups_of(figures)),
        "",
    ]


def _interval(entry: ModelEntry) -> list[str]:
    if entry.interval is None:
        return ["## Interval", "", "Not calibrated.", ""]
    cuts = ", ".join(f"{edge:.0f}" for edge in entry.interval.edges_mm)
    classes = zip(entry.interval.quantiles, entry.interval.counts, strict=True)
    widths = ", ".join(f"{quantile:.2f} (n = {count})" for quantile, count in classes)
    return [
        "## Interval",
        "",
        f"{entry.interval.coverage:.0%} by conformal calibration: half width = quantile x scale. Scale in mm: "
        f"{_powers(entry.interval.scale)}. Quantiles by size (cut at {cuts} mm): {widths}.",
        "",
    ]


def _powers(scale: Scale) -> str:
    doubts = ("HC", "spread of passes", "spread of levels", "blur")
    factors = [f"{name} ^ {power:.2f}" for name, power in zip(doubts, scale.powers[1:], strict=True) if power]
    return " x ".join([f"{math.exp(scale.intercept):.3g}", *factors])
