"""Judge a model on exams it never saw: one row per image, a summary with bootstrap intervals, figures.

Every image gets a forced answer (the ellipse whatever its quality) and the product's own (measured or abstained). It
is summarised over both, so that abstaining buys no figure.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from inference.domain import (
    CalibrationSource,
    EllipsePx,
    Frame,
    Measurement,
    PixelSpacingMm,
    Region,
    RegionPx,
    Status,
)
from inference.evidence import LOST
from inference.examine import Examiner, Outline
from inference.measure import circumference_mm, inside_distance_px, outline_px
from inference.quality import Objection
from inference.training.challenge import Annotated, Split, read_challenge, split_of
from inference.training.conformal import Judged
from inference.training.tables import SIZE_CLASSES
from inference.uncertainty import Evidence

BOOTSTRAP_ROUNDS = 2000
BOOTSTRAP_SEED = 20180817
HAUSDORFF_POINTS = 360
NOTHING_SEEN = Evidence(LOST, LOST, LOST)


@dataclass(frozen=True, slots=True)
class Row:
    """One image: truth, forced answer, and what the product would have said. Lengths in mm."""

    image: str
    exam: str
    pixel_size_mm: float
    hc_true_mm: float
    hc_forced_mm: float
    hc_low_mm: float | None
    hc_high_mm: float | None
    status: str
    reason: str
    dice: float
    hausdorff_mm: float
    quality: float
    evidence_relative_spread: float
    evidence_relative_level_spread: float
    evidence_relative_blur: float

    @property
    def error_mm(self) -> float:
        return self.hc_forced_mm - self.hc_true_mm

    @property
    def judged(self) -> Judged:
        """What intervals are calibrated on."""
        doubts = (self.evidence_relative_spread, self.evidence_relative_level_spread, self.evidence_relative_blur)
        return Judged(self.hc_forced_mm, self.error_mm, Evidence(*doubts))


def predict(images: Sequence[Annotated], examiner: Examiner) -> list[Row]:
    """Run the node's own examiner over annotated images. An image without any outline counts as HC 0, Dice 0."""
    return [_row(image, examiner) for image in images]


def _row(image: Annotated, examiner: Examiner) -> Row:
    luminance = image.luminance()
    spacing = PixelSpacingMm(image.pixel_size_mm, image.pixel_size_mm)
    box = RegionPx(0, 0, luminance.shape[1] - 1, luminance.shape[0] - 1)
    region = Region(box, spacing, CalibrationSource.GIVEN)
    outline = examiner.outline(Frame(1, luminance, (region,)), region)
    finding = examiner.judge(1, region, outline)
    interval = finding.hc_interval if isinstance(finding, Measurement) else None
    return Row(
        image=image.name,
        exam=image.exam,
        pixel_size_mm=image.pixel_size_mm,
        hc_true_mm=image.hc_mm,
        hc_low_mm=None if interval is None else interval.low,
        hc_high_mm=None if interval is None else interval.high,
        status=str(Status.MEASURED if isinstance(finding, Measurement) else Status.ABSTAINED),
        reason="" if isinstance(finding, Measurement) else str(finding.reason),
        **_forced(outline, image.ellipse(), luminance.shape, image.pixel_size_mm),
    )


def _forced(
    outline: Outline | Objection, truth: EllipsePx, shape: tuple[int, ...], pixel_size_mm: float
) -> dict[str, float]:
    """The answer whatever its quality; where nothing was found HC is 0 and the outline as far off as it can be."""
    if isinstance(outline, Objection):
        farthest = float(np.hypot(shape[0], shape[1])) * pixel_size_mm
        return {"hc_forced_mm": 0.0, "dice": 0.0, "hausdorff_mm": farthest, "quality": 0.0, **_doubts(NOTHING_SEEN)}
    return {
        "hc_forced_mm": round(circumference_mm(outline.ellipse_mm), 1),
        "dice": dice(outline.ellipse, truth, shape),
        "hausdorff_mm": hausdorff_px(outline.ellipse, truth) * pixel_size_mm,
        "quality": outline.overlap,
        **_doubts(outline.evidence),
    }


def _doubts(evidence: Evidence) -> dict[str, float]:
    return {f"evidence_{name}": value for name, value in asdict(evidence).items()}


def dice(one: EllipsePx, other: EllipsePx, shape: tuple[int, ...]) -> float:
    """Overlap of two filled ellipses on the source pixels."""
    first = inside_distance_px(one, shape[0], shape[1]) > 0
    second = inside_distance_px(other, shape[0], shape[1]) > 0
    return float(2.0 * np.sum(first & second) / (np.sum(first) + np.sum(second)))


def hausdorff_px(one: EllipsePx, other: EllipsePx) -> float:
    """Largest distance from one outline to the other, both ways, in pixels."""
    distances = cdist(outline_px(one, HAUSDORFF_POINTS), outline_px(other, HAUSDORFF_POINTS))
    return float(max(distances.min(axis=0).max(), distances.min(axis=1).max()))


Statistic = Callable[[NDArray[np.float64]], float]
STATISTICS: dict[str, Statistic] = {
    "mae_mm": lambda e: float(np.mean(np.abs(e))),
    "median_mm": lambda e: float(np.median(np.abs(e))),
    "p95_mm": lambda e: float(np.percentile(np.abs(e), 95)),
    "bias_mm": lambda e: float(np.mean(e)),
    "within_3mm": lambda e: float(np.mean(np.abs(e) <= 3.0)),
}


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """All figures: forced, measured, by third of true size; each [value, low, high] with a 95 % bootstrap by exam.

    The largest error is [value] alone: no resample can show a larger one, so an interval would promise too much.
    """
    measured = [r for r in rows if r.status == "measured"]
    thirds = np.quantile([r.hc_true_mm for r in rows], [1 / 3, 2 / 3])
    classes = np.searchsorted(thirds, [r.hc_true_mm for r in rows], side="right")
    by_size = {
        name: _figures([r for r, c in zip(rows, classes, strict=True) if c == index])
        for index, name in enumerate(SIZE_CLASSES)
    }
    return {
        "forced": _figures(rows),
        "measured": _figures(measured),
        "abstention_rate": 1.0 - len(measured) / len(rows),
        "by_size": by_size,
        "size_edges_mm": [round(float(t), 1) for t in thirds],
        "interval_coverage": _coverage(measured),
    }


def _coverage(rows: Sequence[Row]) -> dict[str, Any] | None:
    """Share of the rows with an interval whose interval holds the true value; None where no row has one."""
    held = [(r.exam, r.hc_low_mm <= r.hc_true_mm <= r.hc_high_mm) for r in rows if r.hc_low_mm and r.hc_high_mm]
    if not held:
        return None
    values = np.array([inside for _, inside in held], np.float64)
    share = _with_interval(values, lambda v: float(np.mean(v)), _resamples([exam for exam, _ in held]))
    return {"n": len(held), "share": share}


def _figures(rows: Sequence[Row]) -> dict[str, Any]:
    if not rows:
        return {"n": 0, "exams": 0}
    errors = np.array([r.error_mm for r in rows])
    resamples = _resamples([r.exam for r in rows])
    out: dict[str, Any] = {"n": len(rows), "exams": len({r.exam for r in rows})}
    for name, statistic in STATISTICS.items():
        out[name] = _with_interval(errors, statistic, resamples)
    out["max_mm"] = [round(float(np.max(np.abs(errors))), 4)]
    for name in ("dice", "hausdorff_mm"):
        values = np.array([getattr(r, name) for r in rows])
        out[f"{name}_mean"] = _with_interval(values, lambda v: float(np.mean(v)), resamples)
    out["dice_median"] = _with_interval(np.array([r.dice for r in rows]), lambda v: float(np.median(v)), resamples)
    return out


def _with_interval(
    values: NDArray[np.float64], statistic: Statistic, resamples: Sequence[NDArray[np.intp]]
) -> list[float]:
    draws = [statistic(values[chosen]) for chosen in resamples]
    low, high = np.percentile(draws, [2.5, 97.5])
    return [round(statistic(values), 4), round(float(low), 4), round(float(high), 4)]


def _resamples(exams: Sequence[str]) -> list[NDArray[np.intp]]:
    """Row indices of BOOTSTRAP_ROUNDS resamples that draw whole exams with replacement."""
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    members: dict[str, list[int]] = {}
    for index, exam in enumerate(exams):
        members.setdefault(exam, []).append(index)
    groups = [np.array(indices, np.intp) for indices in members.values()]
    return [
        np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))]) for _ in range(BOOTSTRAP_ROUNDS)
    ]


def images_of(data: Path, split: Split) -> list[Annotated]:
    """The annotated images of one split."""
    return [image for image in read_challenge(data) if split_of(image.exam) is split]


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """One CSV line per image, so that figures regenerate without the images."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Row)], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(row).items()})


def write_summary(summary: dict[str, Any], path: Path) -> None:
    """JSON with sorted keys."""
    path.write_text(json.dumps(summary, indent=1, sort_keys=True) + "\n", encoding="utf-8")
