"""How figures are told: the same rows, formats and caveats on the evaluation page, the model cards and the README."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from inference.training.summary import SIZE_CLASSES

CAVEAT = (
    "551 women stand behind HC18's 1,141 exam numbers; splitting by exam number is necessary and still not a proof "
    "of separate patients. One site, machines of HC18 only."
)
NOTES = {
    "folds": (
        "Each image was predicted by a network that never saw its exam. A file that ships is a refit on all exams: "
        "these are figures of the **cross-validated recipe, not this file**. Ideas and fixed limits were tried on fold "
        "0 first, so its images helped to choose the recipe."
    ),
    "train": "The network was trained on these exams: these figures say nothing about new ones.",
    "validation": (
        "Recipe, epoch and interval were settled on these exams, so figures and coverage flatter the model a little."
    ),
    "test": "Nothing was tuned on these exams; every look at them is recorded.",
}
SEEN = {
    "train": "that the network was trained on",
    "validation": "on which recipe, epoch and interval were settled",
    "test": "that the network never saw",
}
TITLES = {
    "folds": "Out of fold", "train": "Train exams", "validation": "Validation exams", "test": "Test exams"
}  # fmt: skip
NEAR_NOTE = "“Within ± 3 mm” is there to compare with the reference system; it is not a rule of ISUOG."

Format = Callable[[float], str]


def millimetres(value: float) -> str:
    return f"{value:.2f}"


def per_cent(value: float) -> str:
    return f"{100.0 * value:.2f} %"


def plain(value: float) -> str:
    return f"{value:.4f}"


ROWS: tuple[tuple[str, str, Format], ...] = (
    ("mae_mm", "MAE (mm)", millimetres),
    ("median_mm", "median absolute error (mm)", millimetres),
    ("p95_mm", "P95 of absolute error (mm)", millimetres),
    ("max_mm", "largest absolute error (mm)", millimetres),
    ("bias_mm", "bias, measured − expert (mm)", millimetres),
    ("within_3mm", "share within ± 3 mm", per_cent),
    ("r2", "R²", plain),
    ("dice_mean", "Dice, mean", per_cent),
    ("dice_median", "Dice, median", per_cent),
    ("hausdorff_mm_mean", "Hausdorff distance, mean (mm)", millimetres),
)
WITHOUT_R2 = tuple(row for row in ROWS if row[0] != "r2")
"""For groups: within a narrow range of sizes R² is small whatever the error, so it is not told there."""


def told(figure: Sequence[float] | None, how: Format) -> str:
    """`value [low, high]`; the value alone where there is no interval; a dash where there is nothing."""
    if not figure:
        return "–"
    value, *interval = map(how, figure)
    return f"{value} [{', '.join(interval)}]" if interval else value


def figure_table(groups: Mapping[str, Mapping[str, Any]], rows: Sequence[tuple[str, str, Format]] = ROWS) -> list[str]:
    """Markdown: one column per group of images, one row per figure."""
    header = ["", *(f"{name} (n = {group['n']})" for name, group in groups.items())]
    lines = [[label, *(told(group.get(key), how) for group in groups.values())] for key, label, how in rows]
    return table([header, *lines])


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Markdown; the first row is the head."""
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return [head, "|" + " --- |" * len(rows[0]), *body]


def groups_of(figures: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The columns: all images, the measured ones, and the thirds by true size."""
    by_size = {name.replace("_", " "): {**figures["by_size"][name], "r2": None} for name in SIZE_CLASSES}
    return {"all, answer forced": figures["forced"], "measured": figures["measured"], **by_size}


def group_tables(details: Mapping[str, Any], level: str = "####") -> list[str]:
    """One table for each grouping, with its title and how many of each group were abstained from."""
    lines = []
    for grouping in details["groups"]:
        groups = {group["label"]: group for group in grouping["groups"]}
        abstained = ["abstained", *(str(group["abstained"]) for group in groups.values())]
        lines += [f"{level} {grouping['title']}", "", *figure_table(groups, WITHOUT_R2), *table([abstained])[:1], ""]
    return lines


def coverage_sentence(figures: Mapping[str, Any]) -> str:
    """How often the interval held the expert's HC, with n; width and rank correlation where they are known."""
    coverage = figures["interval_coverage"]
    if coverage is None:
        return "The model has no calibrated interval."
    held = f"HC intervals held the expert's value in {told(coverage['share'], per_cent)} of {coverage['n']} measured"
    width, rank = coverage.get("mean_width_mm"), coverage.get("spearman_width_error")
    if width:
        held += f"; mean width {told(width, millimetres)} mm"
    if rank:
        held += f"; Spearman's correlation of width and error {told(rank, millimetres)}"
    return held + "."


def coverage_table(figures: Mapping[str, Any]) -> list[str]:
    """Coverage and width, overall and by third of size; nothing without intervals."""
    coverage = figures["interval_coverage"]
    if coverage is None or "by_size" not in coverage:
        return []
    groups = {"all measured": coverage, **{n.replace("_", " "): coverage["by_size"][n] for n in SIZE_CLASSES}}
    rows = (("share", "interval holds the expert's HC", per_cent), ("mean_width_mm", "mean width (mm)", millimetres))
    return [*figure_table(groups, rows), ""]


def headline(summary: Mapping[str, Any]) -> str:
    """The sentences that stand in the README, from the summary of the folds or of the test exams."""
    figures = summary["figures"]
    forced = figures["forced"]
    names = ("mae_mm", "median_mm", "p95_mm", "max_mm", "bias_mm")
    mae, median, p95, largest, bias = (f"{told(forced[name], millimetres)} mm" for name in names)
    within, dice = (told(forced[name], per_cent) for name in ("within_3mm", "dice_mean"))
    return (
        f"{forced['n']} images of {forced['exams']} exams of HC18 {_seen(summary)}, answer forced on all: "
        f"mean absolute error {mae}, median {median}, P95 {p95}, largest {largest}, bias {bias}, within 3 mm {within}, "
        f"mean Dice {dice}. {_silence(figures)} {_intervals(figures)}"
    ).strip()


def _seen(summary: Mapping[str, Any]) -> str:
    if summary["split"] == "folds":
        return f"in {len(summary['folds'])} folds by exam, each predicted by a network that never saw its exam"
    return SEEN[summary["split"]]


def _silence(figures: Mapping[str, Any]) -> str:
    share = per_cent(figures["abstention_rate"])
    if figures["abstention_rate"] == 0:
        return f"{share} were abstained from."
    mae = told(figures["measured"].get("mae_mm"), millimetres)
    return f"{share} were abstained from; the measured ones have a mean absolute error of {mae} mm."


def _intervals(figures: Mapping[str, Any]) -> str:
    interval = figures["interval_coverage"]
    if interval is None:
        return ""
    return f"Intervals held the expert's value in {told(interval['share'], per_cent)} of {interval['n']}."
