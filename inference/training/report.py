"""The written evaluation: CSV per image, JSON, figures and one Markdown page; test openings are recorded."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inference.examine import Examiner
from inference.models import ModelEntry, find_model
from inference.training.card import write_card
from inference.training.challenge import SPLIT_SALT, Split
from inference.training.evaluate import images_of, predict, summarise, write_rows, write_summary
from inference.training.export import write_entry
from inference.training.figures import draw_all

OPENINGS = "test-openings.csv"
CAVEAT = (
    "551 women stand behind HC18's 1,141 exam numbers; splitting by exam number is necessary and still not a proof "
    "of separate patients. One site, machines of HC18 only."
)
FIGURE_ROWS = (
    ("mae_mm", "MAE (mm)"),
    ("median_mm", "median absolute error (mm)"),
    ("p95_mm", "P95 of absolute error (mm)"),
    ("max_mm", "largest absolute error (mm)"),
    ("bias_mm", "bias (mm)"),
    ("within_3mm", "share within ± 3 mm"),
    ("dice_mean", "Dice, mean"),
    ("dice_median", "Dice, median"),
    ("hausdorff_mm_mean", "Hausdorff distance, mean (mm)"),
)


def evaluate(data: Path, examiner: Examiner, entry: ModelEntry, split: Split, out: Path) -> dict[str, Any]:
    """Judge the model on one split and write everything below `out`; returns the summary.

    An opening of the test exams is appended to `out/test-openings.csv` before anything is computed.
    """
    out.mkdir(parents=True, exist_ok=True)
    images = images_of(data, split)
    if split is Split.TEST:
        record_opening(out / OPENINGS, entry, len(images), len({image.exam for image in images}))
    rows = predict(images, examiner)
    summary = {
        "model": entry.name,
        "sha256": entry.sha256,
        "split": str(split),
        "split_salt": SPLIT_SALT,
        "caveat": CAVEAT,
        "figures": summarise(rows),
    }
    stem = f"{entry.name}-{split}"
    write_rows(rows, out / f"{stem}.csv")
    write_summary(summary, out / f"{stem}.json")
    draw_all(rows, out, stem, f"{entry.name}, {split} exams")
    write_page(out)
    return summary


def record_figures(weights: Path, name: str, split: Split, figures: dict[str, Any]) -> None:
    """Put the figures of a split into the manifest and renew the model card."""
    entry = find_model(weights, name)
    renewed = replace(entry, figures={**entry.figures, str(split): figures})
    write_entry(weights, renewed)
    write_card(weights, renewed)


def record_opening(path: Path, entry: ModelEntry, images: int, exams: int) -> None:
    """One line per look at the test exams."""
    new = not path.is_file()
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(["opened_at", "model", "sha256", "images", "exams"])
        writer.writerow([datetime.now(UTC).isoformat(timespec="seconds"), entry.name, entry.sha256, images, exams])


def write_page(out: Path) -> None:
    """`out/README.md`, from every summary that lies there."""
    parts = ["# Evaluation", "", "Written by `dicom-node evaluate`; not edited by hand.", ""]
    for path in sorted(out.glob("*.json")):
        parts += _section(path.stem, json.loads(path.read_text(encoding="utf-8")))
    openings = out / OPENINGS
    if openings.is_file():
        lines = openings.read_text(encoding="utf-8").splitlines()
        parts += ["## Openings of the test exams", "", *_table(list(csv.reader(lines))), ""]
    if (out / "learning-curve.png").is_file():
        parts += ["## Learning curve", "", "![Learning curve](learning-curve.png)", ""]
    (out / "README.md").write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")


def _section(stem: str, summary: dict[str, Any]) -> list[str]:
    figures = summary["figures"]
    groups = {
        "all, answer forced": figures["forced"],
        "measured": figures["measured"],
        **{name.replace("_", " "): group for name, group in figures["by_size"].items()},
    }
    header = ["", *(f"{name} (n = {group['n']})" for name, group in groups.items())]
    lines = [[label, *(_value(group[key]) for group in groups.values())] for key, label in FIGURE_ROWS]
    coverage = figures["interval_coverage"]
    return [
        f"## {summary['model']}, {summary['split']} exams",
        "",
        f"{figures['forced']['n']} images of {figures['forced']['exams']} exams; weights `{summary['sha256'][:16]}…`. "
        f"In brackets 95 % bootstrap intervals, resampled by exam. "
        f"Abstention rate {figures['abstention_rate']:.1%}; thirds of true HC cut at "
        f"{' and '.join(map(str, figures['size_edges_mm']))} mm.",
        *([] if coverage is None else [f"HC intervals held the expert's value in {coverage:.1%} of the measured."]),
        "",
        *_table([header, *lines]),
        "",
        f"{summary['caveat']} Rows: [{stem}.csv]({stem}.csv).",
        "",
        f"![Dice]({stem}-dice-histogram.png) ![Errors]({stem}-error-boxplot.png) "
        f"![Bland-Altman]({stem}-bland-altman.png)",
        "",
    ]


def _value(figure: Sequence[float]) -> str:
    value, low, high = figure
    return f"{value:.3g} [{low:.3g}, {high:.3g}]" if abs(value) < 0.9 else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return [head, "|" + " --- |" * len(rows[0]), *body]
