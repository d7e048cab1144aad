"""Model cards in the form of Mitchell et al. 2019 ("Model cards for model reporting", FAT* 2019, section 4).

Generated from the manifest and the evaluation's summaries: no figure in them is typed by hand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from inference.models import ModelEntry
from inference.training.page import told_size
from inference.training.summary import WEAK_RATIO
from inference.training.tables import (
    CAVEAT,
    NEAR_NOTE,
    NOTES,
    TITLES,
    coverage_sentence,
    coverage_table,
    figure_table,
    group_tables,
    groups_of,
    per_cent,
)
from inference.uncertainty import Scale

Summaries = Mapping[str, Mapping[str, Any]]
ORDER = ("folds", "test", "validation", "train")

INTENDED = (
    "It proposes the outer outline of the fetal skull on a still grey ultrasound frame of the head, from which head "
    "circumference (HC) and gestational age are computed. For research on obstetric images by people who can read "
    "them: a sonographer or clinician checks every outline and every value."
)
OUT_OF_SCOPE = (
    "Clinical decisions, and redating a pregnancy from HC alone.",
    "Deciding whether an image shows the standard plane: a wrong plane gives a wrong number with a good fit.",
    "Anything but a fetal head: abdomen, femur, neonatal heads, phantoms without a skull, photographs.",
    "Fetuses with anomalies of head or skull, and sizes outside HC18's (HC 44 to 346 mm): none were seen.",
)
FACTORS = (
    "Size of the head (gestational age), scale of the picture (pixel size) and sharpness change the error; figures are "
    "given by each. Plane, shadow at the lateral ends of late heads, and faint first-trimester skulls matter too, and "
    "are not labelled in the data. Which machine made an image is not recorded image by image."
)
METRICS = (
    "HC error in mm against one expert's ellipse (mean, median, P95, largest, bias), Dice and Hausdorff distance of "
    "the two ellipses, share of intervals that hold the expert's HC, and share abstained from. Accuracy is given with "
    "an answer forced on every image, and over the measured ones: abstaining buys no figure."
)
ETHICS = (
    "HC18 tells nothing about the women: no age, origin, body mass index, parity or outcome. So nothing can be said "
    "about groups of women, and an even error over sizes is no proof of an even error over people. The images were "
    "published without identity; the weights cannot give one back. A wrong HC may lead to a wrong date or a missed "
    "growth restriction: this is why the node would rather say nothing."
)
CAVEATS = (
    "One expert drew the reference ellipses; some of them visibly leave the skull, and these are counted and named.",
    "All images come from one hospital and its machines. Judge the model on images of your own before trusting it; the "
    "outline convention (outer edge) may differ from yours by two to three per cent of HC.",
    "The interval says how far HC may be from an expert's HC on the same image of machines like HC18's; it covers "
    "neither plane nor scanner.",
    "Of a cine the node asks these weights about each frame by itself, and the frames' robust consensus chooses the "
    "one that speaks. A temporal network that sees the frames together was trained and judged on the same synthetic "
    "sweeps and not shown to be better, so the node does not use it; figures in docs/evaluation/cine.md.",
    "Phantoms (synthetic) took part in training, from families that neither demonstration nor tests use.",
)
REGULATORY = (
    "Research use only. Not a medical device: not CE-marked, not cleared by the FDA, assessed by no notified body."
)


def write_card(weights: Path, entry: ModelEntry, summaries: Summaries | None = None) -> Path:
    """Write `weights/<card>` and return its path. Without summaries it has the manifest's figures and no groups."""
    path = weights / entry.card
    path.write_text(card_text(entry, summaries or {}), encoding="utf-8")
    return path


def card_text(entry: ModelEntry, summaries: Summaries) -> str:
    """The card as Markdown; `summaries` by split, as `dicom-node evaluate` writes them."""
    return "\n".join(_lines(entry, summaries)).rstrip() + "\n"


def _lines(entry: ModelEntry, summaries: Summaries) -> list[str]:
    return [
        f"# Model card: {entry.name}",
        "",
        "In the form of Mitchell et al. 2019. Written by `dicom-node train --export` and "
        "`dicom-node evaluate --record`; not edited by hand.",
        "",
        *_details(entry),
        *["## Intended use", "", INTENDED, "", "Not for:", "", *[f"- {use}" for use in OUT_OF_SCOPE], ""],
        *["## Factors", "", FACTORS, ""],
        *["## Metrics", "", METRICS, "", NEAR_NOTE, "In brackets 95 % bootstrap intervals, resampled by exam.", ""],
        *_evaluation_data(entry),
        *["## Training data", "", f"{entry.data}. The weights carry that attribution with them.", ""],
        *[f"Learnt from: {entry.trained_on}.", ""],
        *["## Quantitative analyses", "", *_analyses(entry, summaries)],
        *_interval(entry),
        *_audit(entry, summaries),
        *["## Ethical considerations", "", ETHICS, ""],
        *["## Caveats and recommendations", "", *[f"- {caveat}" for caveat in CAVEATS], ""],
        *["## Regulatory status", "", REGULATORY],
    ]


def _details(entry: ModelEntry) -> list[str]:
    return [
        "## Model details",
        "",
        f"- Architecture: {entry.architecture}{_narrowed(entry)}, {entry.parameters / 1e6:.2f} million parameters",
        f"- Input: grey, {entry.grid.rows} x {entry.grid.columns}, square millimetres, letterboxed",
        f"- File: `{entry.file}`, sha256 `{entry.sha256}`",
        f"- Outline at probability {entry.probability}; points weighted by slope ** {entry.slope_power:g}; "
        f"mirrored average: {'yes' if entry.look.flip_average else 'no'}; dropout passes: {entry.look.dropout_passes}",
        "- Licence: Apache-2.0, with the attribution below",
        "",
    ]


def _narrowed(entry: ModelEntry) -> str:
    """Said only of a network that is smaller than its architecture's description."""
    return "" if entry.width == 1.0 else f" at {entry.width:g} of its channels"


def _evaluation_data(entry: ModelEntry) -> list[str]:
    splits = [split for split in ORDER if split in entry.figures]
    lines = [
        f"- {TITLES[split]}: {entry.figures[split]['forced']['n']} images of {entry.figures[split]['forced']['exams']} "
        f"exams of HC18. {NOTES[split]}"
        for split in splits
    ]
    return ["## Evaluation data", "", *lines, "", CAVEAT, ""]


def _analyses(entry: ModelEntry, summaries: Summaries) -> list[str]:
    lines = []
    for split in (split for split in ORDER if split in entry.figures):
        figures = entry.figures[split]
        lines += [
            f"### {TITLES[split]}",
            "",
            f"{NOTES['folds'] + ' ' if split == 'folds' else ''}Abstention rate "
            f"{per_cent(figures['abstention_rate'])}. {coverage_sentence(figures)}",
            "",
            *figure_table(groups_of(figures)),
            "",
            *coverage_table(figures),
        ]
    return lines


def _interval(entry: ModelEntry) -> list[str]:
    if entry.interval is None:
        return ["### Interval", "", "Not calibrated.", ""]
    cuts = ", ".join(f"{edge:.0f}" for edge in entry.interval.edges_mm)
    classes = zip(entry.interval.quantiles, entry.interval.counts, strict=True)
    widths = ", ".join(f"{quantile:.2f} (n = {count})" for quantile, count in classes)
    return [
        "### Interval",
        "",
        f"{entry.interval.coverage:.0%} by conformal calibration: half width = quantile x scale. Scale in mm: "
        f"{_powers(entry.interval.scale)}. Quantiles by size (cut at {cuts} mm): {widths}.",
        "",
    ]


def _powers(scale: Scale) -> str:
    powers = {
        "HC": scale.hc,
        "spread of passes": scale.spread,
        "spread of levels": scale.level_spread,
        "blur": scale.blur,
    }
    factors = [f"{name} ^ {power:.2f}" for name, power in powers.items() if power]
    if scale.weak_echo:
        factors.append(f"exp({scale.weak_echo:.2f} share of weak echo)")
    return " x ".join([f"{math.exp(scale.intercept):.3g}", *factors])


def _audit(entry: ModelEntry, summaries: Summaries) -> list[str]:
    """Figures by every group that the data let us form, and what they do not."""
    split = next((split for split in ORDER if split in summaries), None)
    lines = [
        "## Bias audit",
        "",
        "HC18 has no demographics and one site, so groups can be formed by the picture and the size of the head only; "
        "combinations of groups would be too small to tell anything.",
        "",
    ]
    if split is not None:
        lines += [f"{TITLES[split]}, answer forced on all. {NOTES[split]}", ""]
        lines += group_tables(summaries[split]["details"], "###")
    return [*lines, _weak(entry), "", *_failures(summaries, split)]


def _weak(entry: ModelEntry) -> str:
    if not entry.weak_sizes:
        return f"No trimester (by measured HC) is known to have an MAE above {WEAK_RATIO} times that of all."
    sizes = " and ".join(told_size(asdict(size)) for size in entry.weak_sizes)
    return (
        f"**Known weakness by size**: at {sizes} (as measured) the MAE is above {WEAK_RATIO} times that of all. Every "
        "structured report and PDF of such a head says so."
    )


def _failures(summaries: Summaries, split: str | None) -> list[str]:
    if split is None:
        return []
    details = summaries[split]["details"]
    doubtful = details["doubtful_outlines"]
    worst = ", ".join(f"{one['image']} {one['error_mm']:+.1f} mm" for one in details["worst"][:6])
    told = f"Known failures, largest first ({TITLES[split].lower()}): {worst}."
    if doubtful:
        told += f" The expert's outline itself visibly leaves the skull in {', '.join(doubtful)}."
    return [told, ""]
