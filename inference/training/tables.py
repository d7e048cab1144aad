"""How figures are told: the same rows, formats and caveats on the evaluation page and on the model card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

CAVEAT = (
    "551 women stand behind HC18's 1,141 exam numbers; splitting by exam number is necessary and still not a proof "
    "of separate patients. One site, machines of HC18 only."
)
NOTES = {
    "train": "The network was trained on these exams: these figures say nothing about new ones.",
    "validation": (
        "Recipe, epoch and interval were settled on these exams, so figures and coverage flatter the model a little."
    ),
    "test": "Nothing was tuned on these exams; every look at them is recorded.",
}

SIZE_CLASSES = ("smallest_third", "middle_third", "largest_third")

Format = Callable[[float], str]


def millimetres(value: float) -> str:
    return f"{value:.2f}"


def per_cent(value: float) -> str:
    return f"{100.0 * value:.2f} %"


ROWS: tuple[tuple[str, str, Format], ...] = (
    ("mae_mm", "MAE (mm)", millimetres),
    ("median_mm", "median absolute error (mm)", millimetres),
    ("p95_mm", "P95 of absolute error (mm)", millimetres),
    ("max_mm", "largest absolute error (mm)", millimetres),
    ("bias_mm", "bias, measured − expert (mm)", millimetres),
    ("within_3mm", "share within ± 3 mm", per_cent),
    ("dice_mean", "Dice, mean", per_cent),
    ("dice_median", "Dice, median", per_cent),
    ("hausdorff_mm_mean", "Hausdorff distance, mean (mm)", millimetres),
)


def told(figure: Sequence[float] | None, how: Format) -> str:
    """`value [low, high]`; the value alone where there is no interval; a dash where there is nothing."""
    if not figure:
        return "–"
    value, *interval = map(how, figure)
    return f"{value} [{', '.join(interval)}]" if interval else value


def figure_table(groups: Mapping[str, dict[str, Any]]) -> list[str]:
    """Markdown: one column per group of images, one row per figure."""
    header = ["", *(f"{name} (n = {group['n']})" for name, group in groups.items())]
    rows = [[label, *(told(group.get(key), how) for group in groups.values())] for key, label, how in ROWS]
    return table([header, *rows])


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Markdown; the first row is the head."""
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return [head, "|" + " --- |" * len(rows[0]), *body]


def groups_of(figures: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The columns: all images, the measured ones, and the thirds by true size."""
    by_size = {name.replace("_", " "): figures["by_size"][name] for name in SIZE_CLASSES}
    return {"all, answer forced": figures["forced"], "measured": figures["measured"], **by_size}


def coverage_sentence(figures: dict[str, Any]) -> str:
    """How often the interval held the expert's HC, with n."""
    coverage = figures["interval_coverage"]
    if coverage is None:
        return "The model has no calibrated interval."
    return f"HC intervals held the expert's value in {told(coverage['share'], per_cent)} of {coverage['n']} measured."


def headline(summary: dict[str, Any]) -> str:
    """The two sentences that stand in the README, from the summary of the test exams."""
    figures = summary["figures"]
    forced = figures["forced"]
    interval = figures["interval_coverage"]
    names = ("mae_mm", "median_mm", "p95_mm", "max_mm", "bias_mm")
    mae, median, p95, largest, bias = (f"{told(forced[name], millimetres)} mm" for name in names)
    within, dice, held = (told(v, per_cent) for v in (forced["within_3mm"], forced["dice_mean"], interval["share"]))
    return (
        f"{forced['n']} images of {forced['exams']} exams of HC18 that the network never saw, answer forced on all: "
        f"mean absolute error {mae}, median {median}, P95 {p95}, largest {largest}, bias {bias}, within 3 mm {within}, "
        f"mean Dice {dice}. Intervals held the expert's value in {held} of {interval['n']}; "
        f"{per_cent(figures['abstention_rate'])} were abstained from."
    )
