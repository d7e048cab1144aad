"""Judge a model on exams it never saw: one row per image, from the node's own examiner.

Every image gets a forced answer (the ellipse whatever its quality) and the product's own (measured or abstained), so
that abstaining buys no figure. The rows carry both ellipses: every figure and drawing is made from the rows again,
without the images.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.spatial.distance import cdist

from inference.appearance import Appearance
from inference.domain import (
    CalibrationSource,
    EllipseMm,
    EllipsePx,
    Finding,
    Frame,
    Luminance,
    Measurement,
    PixelSpacingMm,
    Region,
    RegionPx,
    Status,
)
from inference.evidence import LOST
from inference.examine import Examiner, Outline
from inference.measure import circumference_mm, inside_distance_px, outline_px, to_millimetres
from inference.preprocess import Grid, plan, to_grid
from inference.quality import Mask, Objection
from inference.training.challenge import Annotated, Split, read_challenge, split_of
from inference.training.conformal import Judged
from inference.uncertainty import Doubts, Evidence

HAUSDORFF_POINTS = 360
NOTHING_SEEN = Evidence(LOST, LOST, LOST)
SHARPNESS_GRID = Grid(256, 384)
DIGITS = 6
"""Significant digits in the files of rows."""

FACTS = ("image", "exam", "fold", "weights_sha256", "pixel_size_mm", "hc_true_mm", "hc_forced_mm", "hc_low_mm",
         "hc_high_mm", "status", "reason", "dice", "hausdorff_mm", "quality", "sharpness")  # fmt: skip
ELLIPSE = ("center_x_mm", "center_y_mm", "semi_major_mm", "semi_minor_mm", "angle_deg")
APPEARANCE = tuple(f"picture_{field.name}" for field in fields(Appearance))
MASK = tuple(f"mask_{field.name}" for field in fields(Mask))
EVIDENCE = tuple(f"evidence_{field.name}" for field in fields(Evidence))


class RowsError(ValueError):
    """A file of rows does not have the columns that `write_rows` writes."""


@dataclass(frozen=True, slots=True)
class Row:
    """One image: truth, forced answer, and what the product would have said. Lengths in mm.

    `sharpness` is that of `sharpness()`; `evidence`, `appearance` and `mask` what the gate knew of
    the outline; `expert` and `found` are the two ellipses. Files of the first shipped model have none of them.
    """

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
    fold: int | None = None
    weights_sha256: str = ""
    sharpness: float | None = None
    expert: EllipseMm | None = None
    found: EllipseMm | None = None
    evidence: Evidence | None = None
    appearance: Appearance | None = None
    mask: Mask | None = None

    @property
    def error_mm(self) -> float:
        return self.hc_forced_mm - self.hc_true_mm

    @property
    def judged(self) -> Judged:
        """What intervals are calibrated on."""
        echo = 1.0 if self.appearance is None else self.appearance.weak_echo
        return Judged(Doubts(self.hc_forced_mm, self.evidence or NOTHING_SEEN, echo), self.error_mm)

    @property
    def width_mm(self) -> float | None:
        """Of the interval; None where there is none."""
        return None if self.hc_low_mm is None or self.hc_high_mm is None else self.hc_high_mm - self.hc_low_mm


def predict(images: Sequence[Annotated], examiner: Examiner) -> list[Row]:
    """Run the node's own examiner over annotated images."""
    return [predict_one(image, examiner) for image in images]


def predict_one(image: Annotated, examiner: Examiner) -> Row:
    """The row of one image. An image without any outline counts as HC 0, Dice 0."""
    luminance = image.luminance()
    spacing = PixelSpacingMm(image.pixel_size_mm, image.pixel_size_mm)
    box = RegionPx(0, 0, luminance.shape[1] - 1, luminance.shape[0] - 1)
    region = Region(box, spacing, CalibrationSource.GIVEN)
    outline = examiner.outline(Frame(1, luminance, (region,)), region)
    finding = examiner.judge(1, region, outline)
    expert = image.ellipse()
    return Row(
        image=image.name,
        exam=image.exam,
        pixel_size_mm=image.pixel_size_mm,
        hc_true_mm=image.hc_mm,
        sharpness=sharpness(luminance),
        expert=to_millimetres(expert, spacing),
        **_said(finding),
        **_forced(outline, expert, luminance.shape, image.pixel_size_mm),
    )


def _said(finding: Finding) -> dict[str, Any]:
    """What the product would have said."""
    if not isinstance(finding, Measurement):
        return {"status": str(Status.ABSTAINED), "reason": str(finding.reason), "hc_low_mm": None, "hc_high_mm": None}
    low, high = (None, None) if finding.hc_interval is None else (finding.hc_interval.low, finding.hc_interval.high)
    return {"status": str(Status.MEASURED), "reason": "", "hc_low_mm": low, "hc_high_mm": high}


def _forced(
    outline: Outline | Objection, expert: EllipsePx, shape: tuple[int, ...], pixel_size_mm: float
) -> dict[str, Any]:
    """The answer whatever its quality; where nothing was found HC is 0 and the outline as far off as it can be."""
    if isinstance(outline, Objection):
        farthest = float(np.hypot(shape[0], shape[1])) * pixel_size_mm
        return {"hc_forced_mm": 0.0, "dice": 0.0, "hausdorff_mm": farthest, "quality": 0.0, "evidence": NOTHING_SEEN}
    return {
        "hc_forced_mm": round(circumference_mm(outline.ellipse_mm), 1),
        "dice": dice(outline.ellipse, expert, shape),
        "hausdorff_mm": hausdorff_px(outline.ellipse, expert) * pixel_size_mm,
        "quality": outline.overlap,
        "found": outline.ellipse_mm,
        "evidence": outline.evidence,
        "appearance": outline.appearance,
        "mask": outline.mask,
    }


def dice(one: EllipsePx, other: EllipsePx, shape: tuple[int, ...]) -> float:
    """Overlap of two filled ellipses on the source pixels."""
    first = inside_distance_px(one, shape[0], shape[1]) > 0
    second = inside_distance_px(other, shape[0], shape[1]) > 0
    return float(2.0 * np.sum(first & second) / (np.sum(first) + np.sum(second)))


def hausdorff_px(one: EllipsePx, other: EllipsePx) -> float:
    """Largest distance from one outline to the other, both ways, in pixels."""
    distances = cdist(outline_px(one, HAUSDORFF_POINTS), outline_px(other, HAUSDORFF_POINTS))
    return float(max(distances.min(axis=0).max(), distances.min(axis=1).max()))


def sharpness(luminance: Luminance) -> float:
    """Variance of the Laplacian of the region, uint8 [rows, columns], at a size common to all images.

    Pech-Pacheco et al. 2000 (ICPR, "Diatom autofocusing in brightfield microscopy"). A larger picture of the same head
    has weaker edges per pixel, so all are brought to one grid first; its empty border does not count.
    """
    rows, columns = luminance.shape
    letterbox = plan(rows, columns, None, SHARPNESS_GRID)
    top, left = letterbox.row_pad, letterbox.column_pad
    bottom, right = top + round(rows * letterbox.row_scale), left + round(columns * letterbox.column_scale)
    picture = to_grid(luminance, letterbox, SHARPNESS_GRID)[top:bottom, left:right]
    return float(cv2.Laplacian(picture, cv2.CV_32F).var())


def images_of(data: Path, split: Split) -> list[Annotated]:
    """The annotated images of one split."""
    return [image for image in read_challenge(data) if split_of(image.exam) is split]


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """One CSV line per image, so that figures regenerate without the images."""
    names = [*FACTS, *EVIDENCE, *MASK, *APPEARANCE, *_ellipse_columns("expert"), *_ellipse_columns("found")]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(_cells(row) for row in rows)


def _ellipse_columns(which: str) -> list[str]:
    return [f"{which}_{name}" for name in ELLIPSE]


def _cells(row: Row) -> dict[str, Any]:
    cells: dict[str, Any] = {name: getattr(row, name) for name in FACTS}
    if row.evidence is not None:
        cells |= dict(zip(EVIDENCE, asdict(row.evidence).values(), strict=True))
    if row.mask is not None:
        cells |= dict(zip(MASK, asdict(row.mask).values(), strict=True))
    if row.appearance is not None:
        cells |= dict(zip(APPEARANCE, asdict(row.appearance).values(), strict=True))
    for which in ("expert", "found"):
        ellipse: EllipseMm | None = getattr(row, which)
        if ellipse is not None:
            cells |= {f"{which}_{name}": getattr(ellipse, name) for name in ELLIPSE}
    return {name: f"{value:.{DIGITS}g}" if isinstance(value, float) else value for name, value in cells.items()}


def read_rows(path: Path) -> list[Row]:
    """What `write_rows` wrote, also of earlier versions, which had fewer columns.

    Raises:
        RowsError: a column is missing or is no number.
    """
    with path.open(newline="", encoding="utf-8") as file:
        try:
            return [_row_of(cells) for cells in csv.DictReader(file)]
        except (KeyError, ValueError) as error:
            raise RowsError(f"{path.name} is not a file of rows ({type(error).__name__}: {error})") from error


def _row_of(cells: Mapping[str, str]) -> Row:
    return Row(
        image=cells["image"],
        exam=cells["exam"],
        pixel_size_mm=float(cells["pixel_size_mm"]),
        hc_true_mm=float(cells["hc_true_mm"]),
        hc_forced_mm=float(cells["hc_forced_mm"]),
        hc_low_mm=_number(cells["hc_low_mm"]),
        hc_high_mm=_number(cells["hc_high_mm"]),
        status=cells["status"],
        reason=cells["reason"],
        dice=float(cells["dice"]),
        hausdorff_mm=float(cells["hausdorff_mm"]),
        quality=float(cells["quality"]),
        fold=int(cells["fold"]) if cells.get("fold") else None,
        weights_sha256=cells.get("weights_sha256", ""),
        sharpness=_number(cells.get("sharpness", "")),
        expert=_ellipse_of(cells, "expert"),
        found=_ellipse_of(cells, "found"),
        evidence=_evidence_of(cells),
        appearance=_appearance_of(cells),
        mask=_mask_of(cells),
    )


def _number(text: str) -> float | None:
    return float(text) if text else None


def _evidence_of(cells: Mapping[str, str]) -> Evidence | None:
    texts = [cells.get(name, "") for name in EVIDENCE]
    return Evidence(*map(float, texts)) if all(texts) else None


def _appearance_of(cells: Mapping[str, str]) -> Appearance | None:
    texts = [cells.get(name, "") for name in APPEARANCE]
    return Appearance(*map(float, texts)) if all(texts) else None


def _mask_of(cells: Mapping[str, str]) -> Mask | None:
    texts = [cells.get(name, "") for name in MASK]
    return Mask(*map(float, texts)) if all(texts) else None


def _ellipse_of(cells: Mapping[str, str], which: str) -> EllipseMm | None:
    texts = [cells.get(name, "") for name in _ellipse_columns(which)]
    return EllipseMm(*map(float, texts)) if all(texts) else None


def write_summary(summary: Mapping[str, Any], path: Path) -> None:
    """JSON with sorted keys."""
    path.write_text(json.dumps(summary, indent=1, sort_keys=True) + "\n", encoding="utf-8")
