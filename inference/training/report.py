"""The written evaluation: rows (CSV), summaries (JSON), figures (PNG) and one page; what ships is told from them.

Rows need networks and images, once. Everything else is made from the committed rows again: `renew`.
"""

from __future__ import annotations

import csv
import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inference.domain import ModelError
from inference.examine import Examiner
from inference.models import EVERY_EXAM, FIRST_SPLIT, ModelEntry, read_manifest
from inference.training import outoffold
from inference.training.card import write_card
from inference.training.challenge import SPLIT_SALT, Annotated, Split, read_challenge
from inference.training.evaluate import Row, images_of, predict, read_rows, write_rows, write_summary
from inference.training.export import Shipment, write_entry
from inference.training.figures import draw_all, draw_learning_curve, draw_learning_curves
from inference.training.folds import FOLDS, read_folds
from inference.training.outoffold import HISTORY, calibrated_by, check_rows, read_runs, settings_of
from inference.training.page import FOLDER, LEARNING_CURVE, RUNS, read_doubtful, read_summaries, write_page
from inference.training.pictures import CASES, draw_worst_images, draw_worst_outlines
from inference.training.residual import residual
from inference.training.summary import details, summarise, weak_sizes, worst
from inference.training.tables import CAVEAT, headline
from inference.weakness import WeakSize

OPENINGS = "test-openings.csv"
FOLDS_SPLIT = "folds"
README = "README.md"
PAGE_WIDTH = 120
BEGIN, END = "<!-- figures: written by dicom-node evaluate -->", "<!-- end of figures -->"


@dataclass(frozen=True, slots=True)
class Place:
    """The challenge's images, the folder of the written evaluation, and that of the weights and test openings."""

    data: Path
    out: Path
    weights: Path


def predict_folds(place: Place, runs: Path, shipment: Shipment, folds: Sequence[int] | None = None) -> Path:
    """Predict every image by the run that never saw its exam; returns the file of rows, `out/folds/<name>.csv`.

    With only some folds its name says which, so that it never stands for all. `shipment`: name, gate, level and passes.

    Raises:
        RunError: a run is missing or cannot stand for its fold.
    """
    wanted = tuple(range(FOLDS)) if not folds else tuple(sorted(set(folds)))
    stem = shipment.name
    if len(wanted) < FOLDS:
        stem += "-fold-" + "-".join(map(str, wanted))
    path = place.out / FOLDER / f"{stem}.csv"
    outoffold.predict_folds(place.data, read_runs(runs, wanted), shipment, path)
    return path


def judge_split(
    place: Place, split: Split, examiner: Examiner, entry: ModelEntry, run: Path | None = None
) -> dict[str, Any]:
    """Judge a file on one split of its exams, write rows, summary and figures, and return the summary.

    An opening of the test exams is recorded before anything is computed. `run` has the loss history of the file.

    Raises:
        ModelError: the file learnt from exams of the split.
    """
    if split is not Split.TRAIN and entry.trained_on != FIRST_SPLIT:
        raise ModelError(f"model {entry.name} was trained on {entry.trained_on}, {split} exams among them")
    place.out.mkdir(parents=True, exist_ok=True)
    images = images_of(place.data, split)
    if split is Split.TEST:
        record_opening(place.weights / OPENINGS, entry, images)
    write_rows(predict(images, examiner), place.out / f"{entry.name}-{split}.csv")
    facts = {
        "model": entry.name,
        "sha256": entry.sha256,
        "calibration_sha256": entry.calibration_sha256,
        "split": str(split),
        "split_salt": SPLIT_SALT,
    }
    if run is not None:
        draw_learning_curve(run / HISTORY, place.out / LEARNING_CURVE)
    return _renew_split(place.out, facts)


def renew(place: Place, pictures: Path | None = None) -> list[str]:
    """Write every summary, figure and the page again, from the rows below `out`; returns the headlines.

    With `pictures`, the worst cases over their ultrasound images go there.
    """
    doubtful = read_doubtful(place.out)
    told = []
    for path in sorted((place.out / FOLDER).glob("*.csv")):
        told.append(f"{path.stem}: {headline(_renew_folds(path, doubtful))}")
        if pictures is not None:
            write_pictures(place.data, path, pictures)
    for facts in read_summaries(place.out):
        told.append(f"{facts['model']}, {facts['split']} exams: {headline(_renew_split(place.out, facts))}")
    write_page(place.out, place.weights / OPENINGS)
    return told


def _renew_split(out: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    stem = f"{facts['model']}-{facts['split']}"
    rows = read_rows(out / f"{stem}.csv")
    kept = {key: facts[key] for key in ("model", "sha256", "calibration_sha256", "split", "split_salt")}
    summary = kept | {"caveat": CAVEAT} | _figures(rows, read_doubtful(out))
    write_summary(summary, out / f"{stem}.json")
    draw_all(rows, out, stem, f"{facts['model']}, {facts['split']} exams")
    return summary


def _renew_folds(path: Path, doubtful: Mapping[str, str]) -> dict[str, Any]:
    rows = read_rows(path)
    runs = json.loads(path.with_name(path.stem + RUNS).read_text(encoding="utf-8"))
    check_rows(rows, path.name, runs)
    folds = {row.fold for row in rows if row.fold is not None}
    expected = {image for image, fold in read_folds().items() if fold in folds}
    summary = {
        "model": path.stem,
        "split": FOLDS_SPLIT,
        "folds": sorted(folds),
        "missing": sorted(expected - {row.image for row in rows}),
        "weights_sha256": {str(row.fold): row.weights_sha256 for row in rows},
        "architecture": runs["architecture"],
        "grid": runs["grid"],
        "width": runs["width"],
        "settings": runs["settings"],
        "recipe": runs["recipe"],
        "caveat": CAVEAT,
        **_figures(rows, doubtful),
    }
    write_summary(summary, path.with_suffix(".json"))
    draw_all(rows, path.parent, path.stem, f"{path.stem}, out of fold")
    draw_worst_outlines(rows, path.with_name(f"{path.stem}-worst.png"))
    histories = {f"without fold {run['fold']}": run["history"] for run in runs["runs"] if run["history"]}
    if histories:
        draw_learning_curves(histories, path.with_name(f"{path.stem}-learning-curve.png"))
    return summary


def _figures(rows: Sequence[Row], doubtful: Mapping[str, str]) -> dict[str, Any]:
    more = details(rows, list(doubtful)) | {"weak_sizes": [asdict(size) for size in weak_sizes(rows)]}
    return {"figures": summarise(rows), "details": more, "residual": residual(rows, list(doubtful))}


def write_pictures(data: Path, rows: Path, folder: Path) -> Path:
    """The worst cases of a file of rows over their ultrasound images: to look at, never to commit."""
    told = read_rows(rows)
    wanted = {row.image for row in worst(told, CASES)}
    images = {image.name: image.luminance() for image in read_challenge(data) if image.name in wanted}
    return draw_worst_images(told, images, folder / f"{rows.stem}-worst.png")


# --- what ships is told from it ------------------------------------------------------------------------------------


def record(place: Place, shown: str) -> None:
    """Put the figures below `out` into the manifest, every model card, and, those of the model `shown`, the README.

    A file takes the figures of its own splits (by its hash), and those of the folds that carry its name. Its known
    weaknesses are those of the folds, else of the validation exams; never of the test exams. A refit, which only folds
    can judge, also takes the limits of its gate and its interval from all their rows. Splits of a file that ships no
    more are taken away: their rows are in the history.

    Raises:
        ModelError: the folds that carry a file's name were run with another architecture, grid or setting, or the file
            is no refit on every exam.
    """
    for known in read_manifest(place.weights):
        summaries = summaries_of(place.out, known)
        weak = next((summaries[split] for split in (FOLDS_SPLIT, str(Split.VALIDATION)) if split in summaries), None)
        entry = known
        if FOLDS_SPLIT in summaries:
            entry = calibrated_by(read_rows(place.out / FOLDER / f"{known.name}.csv"), known)
        renewed = replace(
            entry,
            figures={**entry.figures, **{split: summary["figures"] for split, summary in summaries.items()}},
            weak_sizes=entry.weak_sizes if weak is None else _weak(weak),
        )
        write_entry(place.weights, renewed)
        write_card(place.weights, renewed, summaries)
        if entry.name == shown:
            record_readme(place.out.resolve().parents[1] / README, summaries)
    _forget_unshipped(place)
    write_page(place.out, place.weights / OPENINGS)


def _forget_unshipped(place: Place) -> None:
    shipped = {(entry.name, entry.sha256) for entry in read_manifest(place.weights)}
    for summary in read_summaries(place.out):
        if (summary["model"], summary["sha256"]) not in shipped:
            stem = f"{summary['model']}-{summary['split']}"
            for path in (*place.out.glob(f"{stem}.*"), *place.out.glob(f"{stem}-*.png")):
                path.unlink()


def _weak(summary: Mapping[str, Any]) -> tuple[WeakSize, ...]:
    return tuple(WeakSize(**size) for size in summary["details"]["weak_sizes"])


def summaries_of(out: Path, entry: ModelEntry) -> dict[str, Mapping[str, Any]]:
    """The summaries of a file by split: its own, and those of the folds that carry its name.

    Raises:
        ModelError: the folds were run with another architecture, grid or setting than the file's, or the file is no
            refit on every exam, as all that is said of such figures supposes.
    """
    found = {
        str(summary["split"]): summary
        for summary in read_summaries(out)
        if (summary["model"], summary["sha256"]) == (entry.name, entry.sha256)
    }
    path = out / FOLDER / f"{entry.name}.json"
    if path.is_file():
        folds = json.loads(path.read_text(encoding="utf-8"))
        theirs = (folds["architecture"], folds["width"], folds["grid"], folds["settings"])
        if theirs != (entry.architecture, entry.width, asdict(entry.grid), settings_of(entry)):
            raise ModelError(f"model {entry.name}: the folds of that name have another architecture, grid or setting")
        if entry.trained_on != EVERY_EXAM:
            raise ModelError(f"model {entry.name} was trained on {entry.trained_on}: folds judge a refit on every exam")
        found[FOLDS_SPLIT] = folds
    return found


def record_readme(page: Path, summaries: Mapping[str, Mapping[str, Any]]) -> None:
    """Put the headline figures between the marks of a page; a page without marks is left alone."""
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    if BEGIN not in text or END not in text or not summaries:
        return
    before, rest = text.split(BEGIN)
    page.write_text(before + BEGIN + "\n" + told_in_readme(summaries) + "\n" + END + rest.split(END)[1], "utf-8")


def told_in_readme(summaries: Mapping[str, Mapping[str, Any]]) -> str:
    """The headline of the folds, where all are there, else that of the test exams, else of the validation exams."""
    split = next(split for split in (FOLDS_SPLIT, str(Split.TEST), str(Split.VALIDATION)) if split in summaries)
    lines = headline(summaries[split])
    if split == FOLDS_SPLIT:
        lines += " These are figures of the cross-validated recipe; the file that ships learnt from all exams."
    return textwrap.fill(lines, PAGE_WIDTH, break_long_words=False, break_on_hyphens=False)


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
