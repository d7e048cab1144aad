"""Figures of an evaluation as PNG; no image of the data set appears in any of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

from inference.training.evaluate import Row

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#777777"  # Okabe & Ito: distinct for colour-blind readers
SIZE_INCHES = (7.0, 4.2)
DPI = 130


Drawing = Callable[[Axes, Sequence[Row]], None]


def draw_all(rows: Sequence[Row], folder: Path, stem: str, title: str) -> list[Path]:
    """Dice histogram, error box plot by size and Bland-Altman plot as `<stem>-*.png`."""
    return [
        _save(folder / f"{stem}-dice-histogram.png", _dice_histogram, rows, title),
        _save(folder / f"{stem}-error-boxplot.png", _error_boxes, rows, title),
        _save(folder / f"{stem}-bland-altman.png", _bland_altman, rows, title),
    ]


def draw_learning_curve(history: Path, path: Path) -> Path:
    """Training loss per epoch from `history.jsonl`."""
    epochs = [json.loads(line) for line in history.read_text(encoding="utf-8").splitlines()]
    figure, axes = plt.subplots(figsize=SIZE_INCHES, layout="constrained")
    axes.plot([e["epoch"] + 1 for e in epochs], [e["loss"] for e in epochs], color=BLUE, marker=".")
    axes.set(xlabel="epoch", ylabel="training loss", title="Learning curve", yscale="log")
    axes.grid(alpha=0.3)
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
    axes.set(xlabel="Dice of fitted and expert ellipse (%)", ylabel="images")
    axes.legend()


def _error_boxes(axes: Axes, rows: Sequence[Row]) -> None:
    edges = np.quantile([r.hc_true_mm for r in rows], [1 / 3, 2 / 3])
    classes = np.searchsorted(edges, [r.hc_true_mm for r in rows], side="right")
    groups = [[r.error_mm for r, c in zip(rows, classes, strict=True) if c == k] for k in range(3)]
    names = [f"below {edges[0]:.0f} mm", f"{edges[0]:.0f} to {edges[1]:.0f} mm", f"from {edges[1]:.0f} mm"]
    axes.boxplot([[r.error_mm for r in rows], *groups], tick_labels=["all", *names], showmeans=True)
    axes.axhline(0.0, color=GREY, linewidth=0.8)
    axes.set(ylabel="HC error, measured − expert (mm)")
    axes.grid(axis="y", alpha=0.3)


def _bland_altman(axes: Axes, rows: Sequence[Row]) -> None:
    error = np.array([r.error_mm for r in rows])
    middle = np.array([(r.hc_true_mm + r.hc_forced_mm) / 2.0 for r in rows])
    axes.scatter(middle, error, s=12, color=BLUE, alpha=0.7)
    for level, style in ((error.mean(), "-"), (error.mean() - 1.96 * error.std(ddof=1), "--"),
                         (error.mean() + 1.96 * error.std(ddof=1), "--")):  # fmt: skip
        axes.axhline(float(level), color=ORANGE, linestyle=style, label=f"{level:+.2f} mm")
    axes.set(xlabel="mean of measured and expert HC (mm)", ylabel="measured − expert (mm)")
    axes.legend(fontsize="small")
