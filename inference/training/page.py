"""The evaluation page, from the summaries and tables that lie beside it; the order is that of trust."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inference.training.ablations import ABLATIONS, Ablation, read_ablations
from inference.training.agreement import AGREEMENT, Agreement, read_agreements
from inference.training.folds import FOLDS
from inference.training.summary import WEAK_RATIO
from inference.training.tables import (
    NEAR_NOTE,
    NOTES,
    coverage_sentence,
    coverage_table,
    figure_table,
    group_tables,
    groups_of,
    millimetres,
    per_cent,
    table,
    told,
)

PAGE = "README.md"
FOLDER = "folds"
RUNS = "-runs.json"
NON_HEADS = "non-heads.md"
DOUBTFUL = "doubtful-outlines.csv"
LEARNING_CURVE = "learning-curve.png"

Summary = Mapping[str, Any]


def read_summaries(folder: Path) -> list[Summary]:
    """Every summary of rows that lies in a folder, by name; other JSON there is not one."""
    found = (json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json")))
    return [summary for summary in found if "split" in summary]


def read_doubtful(out: Path) -> dict[str, str]:
    """Images whose expert outline visibly leaves the skull, with what was seen."""
    path = out / DOUBTFUL
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {row["image"]: row["reason"] for row in csv.DictReader(file)}


def write_page(out: Path, openings: Path) -> None:
    """`out/README.md`, from everything that lies there."""
    parts = ["# Evaluation", "", "Written by `dicom-node evaluate`; not edited by hand.", ""]
    parts += ["In brackets 95 % bootstrap intervals, resampled by exam.", NEAR_NOTE, ""]
    if (out / NON_HEADS).is_file():
        parts += [f"Pictures without a head: [{NON_HEADS}]({NON_HEADS}).", ""]
    for summary in read_summaries(out / FOLDER):
        parts += _folds_section(summary, out)
    parts += _ablations(read_ablations(out / ABLATIONS))
    parts += _agreements(read_agreements(out / AGREEMENT))
    parts += _doubtful(read_doubtful(out))
    for summary in read_summaries(out):
        parts += _split_section(summary)
    if openings.is_file():
        lines = openings.read_text(encoding="utf-8").splitlines()
        parts += ["## Openings of the test exams", "", *table([_shortened(row) for row in csv.reader(lines)]), ""]
    if (out / LEARNING_CURVE).is_file():
        parts += ["## Learning curve of the shipped file", "", f"![Learning curve]({LEARNING_CURVE})", ""]
    (out / PAGE).write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")


def _shortened(row: Sequence[str]) -> list[str]:
    """Hashes by their first 16 digits; the whole ones stand in the file."""
    return [cell[:16] + "…" if len(cell) == 64 else cell for cell in row]


# --- out of fold ---------------------------------------------------------------------------------------------------


def _folds_section(summary: Summary, out: Path) -> list[str]:
    figures, details, stem = summary["figures"], summary["details"], f"{FOLDER}/{summary['model']}"
    return [
        f"## {summary['model']}, out of fold",
        "",
        f"{_which_folds(summary)} {figures['forced']['n']} images of {figures['forced']['exams']} exams. "
        f"{NOTES['folds']} {summary['caveat']} Rows: [{summary['model']}.csv]({stem}.csv).",
        "",
        *figure_table(groups_of(figures)),
        "",
        f"Thirds of true HC cut at {' and '.join(map(str, figures['size_edges_mm']))} mm. {_abstained(summary)}",
        "",
        *_without_doubtful(details),
        *_networks(summary),
        *_intervals(figures),
        *_refusing(details),
        "### By group",
        "",
        "Answer forced on all. Age by the expert's HC through Hadlock 1984, also below the equation's range.",
        "",
        *group_tables(details),
        _weak(details),
        "",
        *_residual(summary["residual"]),
        *_worst(details, stem),
        "### Pictures",
        "",
        *[f"![{name}]({stem}-{file}.png)" for name, file in _pictures(stem, out)],
        "",
    ]


def _which_folds(summary: Summary) -> str:
    folds = summary["folds"]
    if len(folds) == FOLDS and not summary["missing"]:
        return f"All {FOLDS} folds of [folds.csv](../../inference/training/folds.csv), grouped by exam number."
    if len(folds) == FOLDS:
        return f"**{len(summary['missing'])} images of {FOLDS} folds have no row: not the figures of all images.**"
    which = f"fold{'s' if len(folds) > 1 else ''} {', '.join(map(str, folds))}"
    return f"**Only {which} of {FOLDS}: not the figures of all images.**"


def _abstained(summary: Summary) -> str:
    reasons = summary["details"]["reasons"]
    rate = per_cent(summary["figures"]["abstention_rate"])
    if not reasons:
        return f"Abstention rate {rate}."
    return f"Abstention rate {rate}: " + ", ".join(f"`{reason}` {count}" for reason, count in reasons.items()) + "."


def _without_doubtful(details: Summary) -> list[str]:
    names = details["doubtful_outlines"]
    if not names:
        return []
    rest = details["without_doubtful_outlines"]
    return [
        f"Without {', '.join(names)}, whose expert outline visibly leaves the skull (listed below, and counted in "
        f"every other figure): n = {rest['n']}, MAE {told(rest['mae_mm'], millimetres)} mm, P95 "
        f"{told(rest['p95_mm'], millimetres)} mm, bias {told(rest['bias_mm'], millimetres)} mm, mean Dice "
        f"{told(rest['dice_mean'], per_cent)}.",
        "",
    ]


def _networks(summary: Summary) -> list[str]:
    grid = summary["grid"]
    recipe = summary["recipe"]
    hashes = ", ".join(f"fold {fold} `{sha[:16]}…`" for fold, sha in sorted(summary["weights_sha256"].items()))
    return [
        f"Networks: {summary['architecture']}, grid {grid['rows']} x {grid['columns']}, "
        f"{recipe['coarse_epochs']} coarse and {recipe['fine_epochs']} fine epochs; {hashes}.",
        "",
    ]


def _intervals(figures: Summary) -> list[str]:
    calibrated = figures["interval_coverage"] is not None
    crosswise = " Each fold's gate and intervals were set on the other folds' rows." if calibrated else ""
    return [
        "### Intervals",
        "",
        f"{coverage_sentence(figures)}{crosswise}",
        "",
        *coverage_table(figures),
    ]


def _refusing(details: Summary) -> list[str]:
    curves = details["risk_coverage"]
    shares = [point["refused"] for point in next(iter(curves.values()))]
    lines = [["refused first by", *(f"{100 * share:g} %" for share in shares)]]
    for name, points in curves.items():
        lines.append([name, *(f"{point['mae_mm']:.2f} / {point['p95_mm']:.2f}" for point in points)])
    return ["### Refusing the doubtful", "", "MAE / P95 (mm) of those kept, by the share refused.", "",
            *table(lines), ""]  # fmt: skip


def _weak(details: Summary) -> str:
    if not details["weak_sizes"]:
        return f"No trimester (by measured HC) has an MAE above {WEAK_RATIO} times that of all."
    sizes = " and ".join(told_size(size) for size in details["weak_sizes"])
    return (
        f"Known weakness: at {sizes} (measured HC) the MAE is above {WEAK_RATIO} times that of all; report and PDF say "
        "so with every measurement of that size."
    )


def told_size(size: Summary) -> str:
    """`HC from 262.4 mm`."""
    if size["below_mm"] is None:
        return f"HC from {size['from_mm']:.1f} mm"
    if not size["from_mm"]:
        return f"HC below {size['below_mm']:.1f} mm"
    return f"HC {size['from_mm']:.1f} to {size['below_mm']:.1f} mm"


def _residual(residual: Summary) -> list[str]:
    """What the rest of the error consists of."""
    tail = residual["tail_above_mm"]
    parts = {f"errors above {tail:g} mm": residual["tail"], "the worst twentieth": residual["worst_twentieth"]}
    parts["expert outline leaves the skull"] = residual["doubtful_outlines"]
    parts |= {part["label"]: part for part in residual["trimester"]}
    lines = [["images", "n", "share of the images", "share of the MAE"]]
    lines += [
        [name, str(part["n"]), per_cent(part["share_of_images"]), per_cent(part["share_of_error"])]
        for name, part in parts.items()
    ]
    return ["### What the rest of the error consists of", "", *table(lines), "", *_exams(residual), *_axes(residual)]


def _exams(residual: Summary) -> list[str]:
    exams, repeats = residual["exams"], residual["repeats"]
    if exams is None or repeats is None:
        return []
    return [
        f"Among the {exams['images']} images of {exams['exams']} exams that gave several, the signed error varies by "
        f"{exams['sd_between_exams_mm']:.2f} mm (SD) between exams and by {exams['sd_within_exam_mm']:.2f} mm among "
        f"images of one exam: the latter is noise of the single image. In their {repeats['pairs']} pairs the "
        f"expert's two HC lie {repeats['expert_mm']:.2f} mm apart on average, ours {repeats['ours_mm']:.2f} mm, and "
        f"our two errors {repeats['errors_mm']:.2f} mm (an upper bound of what repeating costs: images of one exam "
        "need not show one plane).",
        "",
    ]


def _axes(residual: Summary) -> list[str]:
    axes = residual["axes"]
    if axes is None:
        return []
    lines = [["axis, outer to outer", "MAE (mm)", "bias (mm)", "SD (mm)"]]
    for name, key in (("long (OFD)", "long"), ("short (BPD)", "short")):
        axis = axes[key]
        lines.append([name, *(f"{axis[figure]:.2f}" for figure in ("mae_mm", "bias_mm", "sd_mm"))])
    return [*table(lines), ""]


def _worst(details: Summary, stem: str) -> list[str]:
    lines = [["image", "weeks", "expert (mm)", "ours (mm)", "error (mm)", "Dice", "said"]]
    for one in details["worst"]:
        said = f"`{one['said']}`" + (", expert outline leaves the skull" if one["doubtful_outline"] else "")
        facts = [f"{one[key]:.1f}" for key in ("weeks", "hc_true_mm", "hc_forced_mm")]
        lines.append([one["image"], *facts, f"{one['error_mm']:+.1f}", per_cent(one["dice"]), said])
    return [
        f"### The worst {len(details['worst'])}",
        "",
        *table(lines),
        "",
        "HC18's images are not in this repository, so the panel shows the outlines alone; `dicom-node evaluate` writes "
        "it with the ultrasound images to `runs/worst-cases` (or `--pictures`), which git ignores.",
        "",
        f"![Outlines of the worst cases]({stem}-worst.png)",
        "",
    ]


def _pictures(stem: str, out: Path) -> list[tuple[str, str]]:
    """Name and file of the drawings; the learning curve only where the runs left one."""
    drawn = [
        ("Bland-Altman", "bland-altman"),
        ("Measured against expert", "scatter"),
        ("Errors by group", "error-boxplot"),
        ("Dice", "dice-histogram"),
        ("Risk and coverage", "risk-coverage"),
        ("Learning curve", "learning-curve"),
    ]
    return [(name, file) for name, file in drawn if (out / f"{stem}-{file}.png").is_file()]


# --- what was tried, and the experts -------------------------------------------------------------------------------


def _ablations(lines: Sequence[Ablation]) -> list[str]:
    if not lines:
        return []
    head = ["idea", "what", "folds", "n", "MAE (mm)", "difference (mm)", "P95 (mm)", "bias (mm)", "Dice (%)", "kept"]
    rows = [
        [one.idea, one.what, one.folds, str(one.n), one.mae_mm, _told_difference(one), one.p95_mm or "–",
         one.bias_mm or "–", one.dice_percent or "–", one.kept]
        for one in lines
    ]  # fmt: skip
    return [
        "## What was tried",
        "",
        "One row per idea, also those that did not help. Differences of MAE to the baseline of the same images, "
        "paired, with 95 % bootstrap intervals by exam. Many ideas were tried on the same few images, so an interval "
        f"that leaves out 0 is no proof by itself. Table: [{ABLATIONS}]({ABLATIONS}).",
        "",
        *table([head, *rows]),
        "",
    ]


def _told_difference(one: Ablation) -> str:
    if not one.difference_mm:
        return "–"
    if not one.difference_low_mm:
        return one.difference_mm
    return f"{one.difference_mm} [{one.difference_low_mm}, {one.difference_high_mm}]"


def _agreements(lines: Sequence[Agreement]) -> list[str]:
    if not lines:
        return []
    head = [
        "one",
        "other",
        "folds",
        "n",
        "MAE of one",
        "of the other",
        "of their mean",
        "apart",
        "correlation of errors",
    ]
    rows = [
        [each.one, each.other, each.folds, str(each.n), each.mae_one_mm, each.mae_other_mm, each.mae_mean_mm,
         each.apart_mm, f"{each.correlation} [{each.correlation_low}, {each.correlation_high}]"]
        for each in lines
    ]  # fmt: skip
    return [
        "## What two networks get wrong alike",
        "",
        "In mm; signed errors by Pearson's correlation, with its 95 % bootstrap interval by exam. What networks of "
        "other design or start get wrong alike comes from what they share: the image, the expert's line, and the exams "
        "they learnt from. "
        f"Table: [{AGREEMENT}]({AGREEMENT}).",
        "",
        *table([head, *rows]),
        "",
    ]


def _doubtful(reasons: Mapping[str, str]) -> list[str]:
    if not reasons:
        return []
    return [
        "## Experts' outlines that visibly leave the skull",
        "",
        f"{len(reasons)} images, found by looking at the worst cases; no network can follow them. They count in every "
        f"figure unless a line says otherwise. List: [{DOUBTFUL}]({DOUBTFUL}).",
        "",
        *table([["image", "what is seen"], *([image, reason] for image, reason in reasons.items())]),
        "",
    ]


# --- the three-way split of the first model ------------------------------------------------------------------------


def _split_section(summary: Summary) -> list[str]:
    figures = summary["figures"]
    stem = f"{summary['model']}-{summary['split']}"
    return [
        f"## {summary['model']}, {summary['split']} exams",
        "",
        f"{figures['forced']['n']} images of {figures['forced']['exams']} exams; weights `{summary['sha256'][:16]}…`. "
        f"{NOTES[summary['split']]} "
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
