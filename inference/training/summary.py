"""All figures of an evaluation from its rows: over all, measured, by group, intervals, refusals; no images needed.

Each figure is [value, low, high] with a 95 % bootstrap interval by exam. The largest error is [value] alone: no
resample can show a larger one, so an interval would promise too much.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.dating import HADLOCK_1984
from inference.domain import Status
from inference.training import bootstrap
from inference.training.bootstrap import Counts, Values
from inference.training.evaluate import Row
from inference.weakness import WeakSize

SIZE_CLASSES = ("smallest_third", "middle_third", "largest_third")
NEAR_MM = 3.0
WEAK_RATIO = 1.25
WEAK_LEAST_IMAGES = 20
REFUSED_SHARES = (0.0, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2)

Figure = list[float] | None


@dataclass(frozen=True, slots=True)
class Group:
    """Some of the rows, under the name by which the page calls them."""

    label: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Grouping:
    """All rows, each in one group; `name` is the key in the JSON."""

    name: str
    title: str
    groups: tuple[Group, ...]


def expert_weeks(row: Row) -> float:
    """Age by the expert's HC (Hadlock 1984), also below the equation's range: it only sorts images here."""
    return HADLOCK_1984.weeks(row.hc_true_mm)


def groupings(rows: Sequence[Row]) -> tuple[Grouping, ...]:
    """By trimester, by the classes of the reference system, and by thirds of size, pixel size and sharpness."""
    made = [
        _cut(rows, "trimester", "Trimester by the expert's HC", (14.0, 28.0),
             ("below 14 weeks", "14 to < 28 weeks", "from 28 weeks")),
        _cut(rows, "reference_trimester", "The reference system's classes of age", (20.0, np.nextafter(30.0, 31.0)),
             ("below 20 weeks", "20 to 30 weeks", "above 30 weeks")),
        _thirds(rows, "size", "Size (expert's HC)", lambda row: row.hc_true_mm, "{:.1f} mm"),
        _thirds(rows, "pixel_size", "Pixel size", lambda row: row.pixel_size_mm, "{:.3f} mm"),
    ]  # fmt: skip
    sharp = [row.sharpness for row in rows if row.sharpness is not None]
    if len(sharp) == len(rows):
        made.append(
            _thirds(rows, "sharpness", "Sharpness (Laplacian variance)", lambda row: row.sharpness or 0.0, "{:.0f}")
        )
    return tuple(made)


def _cut(rows: Sequence[Row], name: str, title: str, edges: Sequence[float], labels: Sequence[str]) -> Grouping:
    place = np.searchsorted(edges, [expert_weeks(row) for row in rows], side="right")
    return Grouping(name, title, _groups(rows, place, labels))


def _thirds(rows: Sequence[Row], name: str, title: str, value: Callable[[Row], float], how: str) -> Grouping:
    edges, place = thirds([value(row) for row in rows])
    low, high = (how.format(edge) for edge in edges)
    return Grouping(name, title, _groups(rows, place, (f"below {low}", f"{low} to {high}", f"from {high}")))


def thirds(values: Sequence[float]) -> tuple[Values, NDArray[np.intp]]:
    """The two cuts, and for each value its third, 0 to 2."""
    edges = np.quantile(values, [1 / 3, 2 / 3])
    return edges, np.searchsorted(edges, values, side="right")


def _groups(rows: Sequence[Row], place: NDArray[np.intp], labels: Sequence[str]) -> tuple[Group, ...]:
    return tuple(
        Group(label, tuple(row for row, at in zip(rows, place, strict=True) if at == index))
        for index, label in enumerate(labels)
    )


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """The figures that travel with a model: forced, measured, by third of true size, and its intervals."""
    measured = measured_of(rows)
    edges, place = thirds([row.hc_true_mm for row in rows])
    by_size = {
        name: figures_of([row for row, at in zip(rows, place, strict=True) if at == index])
        for index, name in enumerate(SIZE_CLASSES)
    }
    return {
        "forced": figures_of(rows),
        "measured": figures_of(measured),
        "abstention_rate": 1.0 - len(measured) / len(rows),
        "by_size": by_size,
        "size_edges_mm": [round(float(edge), 1) for edge in edges],
        "interval_coverage": coverage(measured, edges),
    }


def measured_of(rows: Sequence[Row]) -> list[Row]:
    """The rows that the product would have answered with a number."""
    return [row for row in rows if row.status == Status.MEASURED]


def figures_of(rows: Sequence[Row]) -> dict[str, Any]:
    """Every figure over some rows, n and exams first; only n where there are none."""
    if not rows:
        return {"n": 0, "exams": 0}
    errors = np.array([row.error_mm for row in rows])
    truth, size = np.array([row.hc_true_mm for row in rows]), np.abs(errors)
    dice = np.array([row.dice for row in rows])
    statistics: dict[str, bootstrap.Statistic] = {
        "mae_mm": partial(bootstrap.mean, size),
        "median_mm": partial(bootstrap.quantile, size, share=0.5),
        "p95_mm": partial(bootstrap.quantile, size, share=0.95),
        "bias_mm": partial(bootstrap.mean, errors),
        "within_3mm": partial(bootstrap.mean, (size <= NEAR_MM).astype(np.float64)),
        "r2": partial(bootstrap.explained, truth, errors),
        "dice_mean": partial(bootstrap.mean, dice),
        "dice_median": partial(bootstrap.quantile, dice, share=0.5),
        "hausdorff_mm_mean": partial(bootstrap.mean, np.array([row.hausdorff_mm for row in rows])),
    }
    counts = bootstrap.draw([row.exam for row in rows])
    out: dict[str, Any] = {"n": len(rows), "exams": len({row.exam for row in rows})}
    out |= {name: bootstrap.with_interval(statistic, counts) for name, statistic in statistics.items()}
    out["max_mm"] = [round(float(size.max()), 4)]
    return out


def coverage(measured: Sequence[Row], size_edges_mm: Values) -> dict[str, Any] | None:
    """How often intervals hold the expert's HC, overall and by third of size, how wide they are, and whether the
    wider ones stand where the errors are larger; None where no row has an interval."""
    held = [row for row in measured if row.width_mm is not None]
    if not held:
        return None
    counts = bootstrap.draw([row.exam for row in held])
    place = np.searchsorted(size_edges_mm, [row.hc_true_mm for row in held], side="right")
    widths, size = np.array([row.width_mm for row in held]), np.array([abs(row.error_mm) for row in held])
    return {
        "n": len(held),
        **_held(held, counts),
        "spearman_width_error": bootstrap.with_interval(partial(bootstrap.rank_correlation, widths, size), counts),
        "by_size": {
            name: _third_held([row for row, at in zip(held, place, strict=True) if at == index])
            for index, name in enumerate(SIZE_CLASSES)
        },
    }


def _third_held(rows: Sequence[Row]) -> dict[str, Any]:
    return {"n": len(rows), **(_held(rows, bootstrap.draw([row.exam for row in rows])) if rows else {})}


def _held(rows: Sequence[Row], counts: Counts) -> dict[str, Figure]:
    inside = [(row.hc_low_mm or 0.0) <= row.hc_true_mm <= (row.hc_high_mm or 0.0) for row in rows]
    widths = np.array([row.width_mm for row in rows])
    return {
        "share": bootstrap.with_interval(partial(bootstrap.mean, np.array(inside, np.float64)), counts),
        "mean_width_mm": bootstrap.with_interval(partial(bootstrap.mean, widths), counts),
    }


def details(rows: Sequence[Row], doubtful: Sequence[str] = ()) -> dict[str, Any]:
    """What the page tells beyond `summarise`: groups, reasons, refusing by score, the worst images.

    `doubtful` names images whose expert outline visibly leaves the skull; they are never left out of other figures.
    """
    kept = [row for row in rows if row.image not in set(doubtful)]
    return {
        "groups": [
            {"name": one.name, "title": one.title, "groups": [{"label": g.label, **_group(g)} for g in one.groups]}
            for one in groupings(rows)
        ],
        "reasons": reasons(rows),
        "risk_coverage": {name: risk_coverage(rows, score) for name, score in scores(rows).items()},
        "doubtful_outlines": sorted({row.image for row in rows} & set(doubtful)),
        "without_doubtful_outlines": figures_of(kept),
        "worst": [_worst(row, doubtful) for row in worst(rows, 12)],
    }


def _group(group: Group) -> dict[str, Any]:
    figures = figures_of(group.rows)
    abstained = len(group.rows) - len(measured_of(group.rows))
    return {**figures, "abstained": abstained}


def reasons(rows: Sequence[Row]) -> dict[str, int]:
    """How many rows abstained for which reason, the commonest first."""
    said = [row.reason for row in rows if row.status != Status.MEASURED]
    return {reason: said.count(reason) for reason in sorted(set(said), key=lambda r: (-said.count(r), r))}


def worst(rows: Sequence[Row], count: int) -> list[Row]:
    """The rows of the largest errors."""
    return sorted(rows, key=lambda row: (-abs(row.error_mm), row.image))[:count]


def _worst(row: Row, doubtful: Sequence[str]) -> dict[str, Any]:
    return {
        "image": row.image,
        "weeks": round(expert_weeks(row), 1),
        "hc_true_mm": row.hc_true_mm,
        "hc_forced_mm": row.hc_forced_mm,
        "error_mm": round(row.error_mm, 2),
        "dice": row.dice,
        "said": row.reason or row.status,
        "doubtful_outline": row.image in doubtful,
    }


def scores(rows: Sequence[Row]) -> dict[str, Values]:
    """Values that could decide whom to refuse, the doubtful ones high; only those that every row has."""
    made = {"overlap of mask and ellipse": -np.array([row.quality for row in rows])}
    known = [asdict(row.evidence) for row in rows if row.evidence is not None]
    if len(known) == len(rows):
        made |= {name.replace("_", " "): np.array([one[name] for one in known]) for name in known[0]}
    return {name: values for name, values in made.items() if values.min() < values.max()} or made


def risk_coverage(rows: Sequence[Row], score: Values) -> list[dict[str, float]]:
    """MAE and P95 of those kept when the highest scores are refused (El-Yaniv & Wiener 2010, JMLR 11:1605)."""
    size = np.array([abs(row.error_mm) for row in rows])[np.argsort(score, kind="stable")]
    out = []
    for share in REFUSED_SHARES:
        kept = size[: len(size) - round(share * len(size))]
        figures = {"mae_mm": np.mean(kept), "p95_mm": np.quantile(kept, 0.95), "max_mm": np.max(kept)}
        out.append({"refused": share, **{name: round(float(value), 3) for name, value in figures.items()}})
    return out


def weak_sizes(rows: Sequence[Row]) -> tuple[WeakSize, ...]:
    """Trimesters, by the HC that was measured, in which the MAE is more than WEAK_RATIO times that of all rows.

    By measured HC, since that is what is known at use; small groups prove nothing and are left out.
    """
    overall = float(np.mean([abs(row.error_mm) for row in rows]))
    first, second = hc_at(14.0), hc_at(28.0)
    sizes = (WeakSize(0.0, first), WeakSize(first, second), WeakSize(second, None))
    weak = []
    for size in sizes:
        errors = [abs(row.error_mm) for row in rows if size.holds(row.hc_forced_mm)]
        if len(errors) >= WEAK_LEAST_IMAGES and float(np.mean(errors)) > WEAK_RATIO * overall:
            weak.append(size)
    return tuple(weak)


def hc_at(weeks: float) -> float:
    """The HC, in mm to 0.1, that Hadlock 1984 dates to an age."""
    tenths = np.arange(HADLOCK_1984.range_mm.low * 10, HADLOCK_1984.range_mm.high * 10 + 1)
    ages = np.array([HADLOCK_1984.weeks(t / 10) for t in tenths])
    return float(tenths[np.searchsorted(ages, weeks)] / 10)
