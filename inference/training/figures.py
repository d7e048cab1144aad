"""Figures of an evaluation as PNG, from its rows; no image of the data set appears in any of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from inference.training.evaluate import Row
from inference.training.summary import groupings, measured_of, scores

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#777777"
"""Okabe & Ito: distinct for colour-blind readers."""
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, "#E69F00", "#56B4E9")
SIZE_INCHES = (7.0, 4.2)
# every legend has its place: matplotlib warns where looking for the best one takes long, and machines differ

DPI = 110
MOST_REFUSED = 0.2

Drawing = Callable[[Axes, Sequence[Row]], None]
History = Sequence[Mapping[str, Any]]


def draw_all(rows: Sequence[Row], folder: Path, stem: str, title: str) -> list[Path]:
    """Dice histogram, errors by group, Bland-Altman, scatter and risk-coverage as `<stem>-*.png`."""
    drawings: dict[str, Drawing] = {
        "dice-histogram": _dice_histogram,
        "error-boxplot": _error_boxes,
        "bland-altman": _bland_altman,
        "scatter": _scatter,
        "risk-coverage": _risk_coverage,
    }
    return [_save(folder / f"{stem}-{name}.png", drawing, rows, title) for name, drawing in drawings.items()]


def draw_learning_curve(history: Path, path: Path) -> Path:
    """Training loss per epoch from one run's `history.jsonl`."""
    return draw_learning_curves({"": [json.loads(line) for line in history.read_text("utf-8").splitlines()]}, path)


def draw_learning_curves(histories: Mapping[str, History], path: Path) -> Path:
    """Training loss per epoch of several runs, by name."""
    figure, axes = plt.subplots(figsize=SIZE_INCHES, layout="constrained")
    for (name, epochs), colour in zip(histories.items(), COLOURS, strict=False):
        axes.plot(
            [e["epoch"] + 1 for e in epochs], [e["loss"] for e in epochs], color=colour, marker=".", label=name or None
        )
    axes.set(xlabel="epoch", ylabel="training loss", title="Learning curve", yscale="log")
    axes.grid(alpha=0.3)
    if any(histories):
        axes.legend(loc="upper right", fontsize="small")
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    plt.close(figure)
    return path


def _save(path: Path, draw: Drawing, rows: Sequence[Row], title: str) -> Path:
    figure, axes = plt.subplots(figsize=SIZE_INCHES, layout="constrained")
    draw(axes, rows)
    axes.set_title(f"{title}, n = {len(rows)}")
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    plt.close(figure)
    return path


def _dice_histogram(axes: Axes, rows: Sequence[Row]) -> None:
    values = np.array([r.dice for r in rows]) * 100.0
    lowest = min(float(np.floor(values.min())), 95.0)
    axes.hist(values, bins=np.linspace(lowest, 100.0, 61).tolist(), color=BLUE)
    axes.axvline(float(values.mean()), color=ORANGE, label=f"mean {values.mean():.2f} %")
    axes.axvline(float(np.median(values)), color=GREEN, linestyle="--", label=f"median {np.median(values):.2f} %")
    axes.set(xlabel="Dice of fitted and expert ellipse (%)", ylabel="images")
    axes.legend(loc="upper left")


def _error_boxes(axes: Axes, rows: Sequence[Row]) -> None:
    """One box for all, then one for each group, a gap between groupings."""
    boxes, labels, places = [[r.error_mm for r in rows]], ["all"], [0.0]
    for grouping in groupings(rows):
        start = places[-1] + 1.6
        places.extend(start + k for k in range(len(grouping.groups)))
        boxes.extend([r.error_mm for r in group.rows] for group in grouping.groups)
        name = grouping.name.replace("reference_trimester", "reference").replace("_", " ")
        labels.extend(f"{name} {group.label}" for group in grouping.groups)
    drawn = axes.boxplot(
        boxes, positions=places, widths=0.7, showmeans=True, flierprops={"markersize": 2.5},
        medianprops={"color": ORANGE}, meanprops={"markersize": 4, "marker": "D", "markerfacecolor": GREEN},
    )  # fmt: skip
    axes.legend(
        [drawn["medians"][0], drawn["means"][0]], ["median", "mean"], loc="upper left", fontsize="small", framealpha=0.5
    )
    axes.set_xticks(places, labels, rotation=40, ha="right", fontsize=6)
    axes.axhline(0.0, color=GREY, linewidth=0.8)
    axes.set(ylabel="HC error, measured − expert (mm)")
    axes.grid(axis="y", alpha=0.3)


def _bland_altman(axes: Axes, rows: Sequence[Row]) -> None:
    error = np.array([r.error_mm for r in rows])
    middle = np.array([(r.hc_true_mm + r.hc_forced_mm) / 2.0 for r in rows])
    axes.scatter(middle, error, s=10, color=BLUE, alpha=0.6)
    mean, spread = float(error.mean()), 1.96 * float(error.std(ddof=1))
    for level, style, name in (
        (mean, "-", "bias"), (mean - spread, "--", "lower limit"), (mean + spread, "--", "upper limit"),
    ):  # fmt: skip
        axes.axhline(level, color=ORANGE, linestyle=style, label=f"{name} {level:+.2f} mm")
    axes.set(xlabel="mean of measured and expert HC (mm)", ylabel="measured − expert (mm)")
    axes.legend(loc="upper left", fontsize="small")


def _scatter(axes: Axes, rows: Sequence[Row]) -> None:
    expert, ours = np.array([r.hc_true_mm for r in rows]), np.array([r.hc_forced_mm for r in rows])
    said = np.array([r.status == "measured" for r in rows])
    ends = [float(min(expert.min(), ours.min())), float(max(expert.max(), ours.max()))]
    axes.plot(ends, ends, color=GREY, linewidth=0.8)
    axes.scatter(expert[said], ours[said], s=10, color=BLUE, alpha=0.6, label=f"measured ({said.sum()})")
    if not said.all():
        axes.scatter(
            expert[~said], ours[~said], s=18, color=ORANGE, marker="x", label=f"abstained, forced ({(~said).sum()})"
        )
    axes.set(xlabel="expert's HC (mm)", ylabel="measured HC (mm)")
    axes.legend(loc="upper left", fontsize="small")


def _risk_coverage(axes: Axes, rows: Sequence[Row]) -> None:
    """MAE of those kept when the doubtful are refused first, by each score; what knowing the error would reach."""
    size = np.array([abs(r.error_mm) for r in rows])
    for (name, score), colour in zip(scores(rows).items(), COLOURS, strict=False):
        axes.plot(*_curve(size[np.argsort(score, kind="stable")]), color=colour, label=name)
    axes.plot(*_curve(np.sort(size)), color=GREY, linestyle=":", label="if the error were known")
    kept = [abs(r.error_mm) for r in measured_of(rows)]
    if kept:
        refused = 100.0 * (1.0 - len(kept) / len(rows))
        axes.plot(refused, float(np.mean(kept)), "k*", markersize=10, label=f"the gate ({refused:.1f} % refused)")
    axes.set(xlabel="refused (%)", ylabel="MAE of those kept (mm)")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", fontsize="small")


def _curve(ordered: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Per cent refused, and the mean of those kept; `ordered` with those to be refused first at its end."""
    refused = np.arange(round(MOST_REFUSED * len(ordered)) + 1)
    means = ordered.cumsum() / np.arange(1, len(ordered) + 1)
    return 100.0 * refused / len(ordered), means[len(ordered) - 1 - refused]
