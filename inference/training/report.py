"""The written evaluation: CSV per image, JSON, figures and one Markdown page; test openings are recorded."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inference.examine import Examiner
from inference.models import ModelEntry, find_model
from inference.training.card import write_card
from inference.training.challenge import SPLIT_SALT, Annotated, Split
from inference.training.evaluate import images_of, predict, summarise, write_rows, write_summary
from inference.training.export import write_entry
from inference.training.figures import draw_all, draw_learning_curve
from inference.training.tables import CAVEAT, NOTES, coverage_sentence, figure_table, groups_of, per_cent, table

OPENINGS = "test-openings.csv"
LEARNING_CURVE = "learning-curve.png"
HISTORY = "history.jsonl"


@dataclass(frozen=True, slots=True)
class Order:
    """What is judged on which exams. `weights` also keeps the record of test openings; `run` has the loss history."""

    data: Path
    split: Split
    out: Path
    weights: Path
    run: Path | None = None


def evaluate(order: Order, examiner: Examiner, entry: ModelEntry) -> dict[str, Any]:
    """Judge the model on one split, write everything below `order.out` and return the summary.

    An opening of the test exams is recorded before anything is computed.
    """
    order.out.mkdir(parents=True, exist_ok=True)
    images = images_of(order.data, order.split)
    if order.split is Split.TEST:
        record_opening(order.weights / OPENINGS, entry, images)
    rows = predict(images, examiner)
    summary = {
        "model": entry.name,
        "sha256": entry.sha256,
        "calibration_sha256": entry.calibration_sha256,
        "split": str(order.split),
        "split_salt": SPLIT_SALT,
        "caveat": CAVEAT,
        "figures": summarise(rows),
    }
    stem = f"{entry.name}-{order.split}"
    write_rows(rows, order.out / f"{stem}.csv")
    write_summary(summary, order.out / f"{stem}.json")
    draw_all(rows, order.out, stem, f"{entry.name}, {order.split} exams")
    if order.run is not None:
        draw_learning_curve(order.run / HISTORY, order.out / LEARNING_CURVE)
    write_page(order.out, order.weights / OPENINGS)
    return summary


def record_figures(weights: Path, name: str, split: Split, figures: dict[str, Any]) -> None:
    """Put the figures of a split into the manifest and renew the model card."""
    entry = find_model(weights, name)
    renewed = replace(entry, figures={**entry.figures, str(split): figures})
    write_entry(weights, renewed)
    write_card(weights, renewed)


def record_opening(path: Path, entry: ModelEntry, images: Sequence[Annotated]) -> None:
    """One line per look at the test exams."""
    new = not path.is_file()
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(["opened_at", "model", "sha256", "calibration_sha256", "images", "exams"])
        opened_at = datetime.now(UTC).isoformat(timespec="seconds")
        exams = len({image.exam for image in images})
        writer.writerow([opened_at, entry.name, entry.sha256, entry.calibration_sha256, len(images), exams])


def write_page(out: Path, openings: Path) -> None:
    """`out/README.md`, from every summary that lies there."""
    parts = ["# Evaluation", "", "Written by `dicom-node evaluate`; not edited by hand.", ""]
    for path in sorted(out.glob("*.json")):
        parts += _section(path.stem, json.loads(path.read_text(encoding="utf-8")))
    if openings.is_file():
        lines = openings.read_text(encoding="utf-8").splitlines()
        parts += ["## Openings of the test exams", "", *table([_shortened(row) for row in csv.reader(lines)]), ""]
    if (out / LEARNING_CURVE).is_file():
        parts += ["## Learning curve", "", f"Training loss.\n\n![Learning curve]({LEARNING_CURVE})", ""]
    (out / "README.md").write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")


def _shortened(row: Sequence[str]) -> list[str]:
    """Hashes by their first 16 digits; the whole ones stand in the file."""
    return [cell[:16] + "…" if len(cell) == 64 else cell for cell in row]


def _section(stem: str, summary: dict[str, Any]) -> list[str]:
    figures = summary["figures"]
    return [
        f"## {summary['model']}, {summary['split']} exams",
        "",
        f"{figures['forced']['n']} images of {figures['forced']['exams']} exams; weights `{summary['sha256'][:16]}…`. "
        f"{NOTES[summary['split']]} In brackets 95 % bootstrap intervals, resampled by exam. "
        f"Abstention rate {per_cent(figures['abstention_rate'])}; thirds of true HC cut at "
        f"{' and '.join(map(str, figures['size_edges_mm']))} mm. {coverage_sentence(figures)}",
        "",
        *figure_table(groups_of(figures)),
        "",
        f"{summary['caveat']} Rows: [{stem}.csv]({stem}.csv).",
        "",
        f"![Dice]({stem}-dice-histogram.png)",
        f"![Errors]({stem}-error-boxplot.png)",
        f"![Bland-Altman]({stem}-bland-altman.png)",
        "",
    ]
