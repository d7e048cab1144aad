"""Model cards (Mitchell et al. 2019), generated from the manifest: nothing in them is typed by hand twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inference.models import ModelEntry

INTENDED = (
    "Research use only; not cleared as a medical device. It proposes the outer outline of the fetal skull on a still "
    "ultrasound frame, from which head circumference and gestational age are computed. A clinician checks every value."
)
LIMITS = (
    "The standard plane is not verified: a wrong plane gives a wrong number with a good fit.",
    "One site and the machines of HC18; no demographics are known, so no statement about groups of women is possible.",
    "Fetuses without growth or skull anomalies; HC 44 to 346 mm.",
    "Faint skulls of the first trimester and lateral skull borders lost in shadow late in pregnancy give the largest "
    "errors.",
    "The interval covers the expert's outline on this image for machines like HC18's; neither plane nor scanner.",
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
        "Written by `dicom-node train` and `dicom-node evaluate --record`; not edited by hand.",
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
        f"- Outline at probability {entry.probability}; mirrored average: {'yes' if entry.flip_average else 'no'}",
        "",
        "## Data",
        "",
        entry.data + ".",
        "",
        "## Figures",
        "",
        *[line for split, figures in sorted(entry.figures.items()) for line in _figures(split, figures)],
        *_interval(entry),
        "## Known limits",
        "",
        *[f"- {limit}" for limit in LIMITS],
    ]


def _figures(split: str, figures: dict[str, Any]) -> list[str]:
    forced = figures["forced"]
    note = " Gate and interval were set on these exams." if split == "validation" else ""
    return [
        f"{split.capitalize()} exams, n = {forced['n']} images of {forced['exams']} exams, answer forced on all: "
        f"MAE {_mm(forced['mae_mm'])}, median {_mm(forced['median_mm'])}, P95 {_mm(forced['p95_mm'])}, largest "
        f"{_mm(forced['max_mm'])}, bias {_mm(forced['bias_mm'])}, Dice {forced['dice_mean'][0]:.2%}, within 3 mm "
        f"{forced['within_3mm'][0]:.1%}; abstention rate {figures['abstention_rate']:.1%}.{note}",
        "",
    ]


def _mm(figure: list[float]) -> str:
    value, low, high = figure
    return f"{value:.2f} mm (95 % interval {low:.2f} to {high:.2f})"


def _interval(entry: ModelEntry) -> list[str]:
    if entry.interval is None:
        return ["No calibrated interval.", ""]
    cuts = ", ".join(f"{edge:.0f}" for edge in entry.interval.edges_mm)
    widths = ", ".join(f"± {w:.1f} mm (n = {n})" for w, n in zip(entry.interval.half_widths_mm, entry.interval.counts,
                                                                  strict=True))  # fmt: skip
    return [
        f"{entry.interval.coverage:.0%} interval by split-conformal calibration on the validation exams, by size "
        f"(cut at {cuts} mm): {widths}.",
        "",
    ]
