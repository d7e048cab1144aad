"""Rows of an evaluation with known errors."""

from collections.abc import Sequence
from dataclasses import replace

from inference.domain import EllipseMm
from inference.training.evaluate import Row
from inference.training.folds import fold_of
from inference.uncertainty import Evidence

EXPERT = EllipseMm(60.0, 50.0, 32.0, 25.0, 10.0)
ROW = Row(
    "000_HC", "000", 0.1, 180.0, 180.0, None, None, "measured", "", 0.98, 1.0, 0.99,
    fold=0, weights_sha256="ab" * 32, sharpness=150.0, expert=EXPERT, found=EXPERT, evidence=Evidence(0.01, 0.02, 0.03),
)  # fmt: skip


def row(number: int, hc_mm: float, error_mm: float) -> Row:
    """One image of one exam; doubt grows with the error, and the found ellipse is longer by a third of it."""
    exam = f"{number:03d}"
    return replace(
        ROW,
        image=f"{exam}_HC",
        exam=exam,
        fold=fold_of(exam),
        pixel_size_mm=0.05 + 0.001 * hc_mm,
        hc_true_mm=hc_mm,
        hc_forced_mm=round(hc_mm + error_mm, 1),
        sharpness=100.0 + number,
        found=replace(EXPERT, semi_major_mm=EXPERT.semi_major_mm + error_mm / 6.0),
        evidence=Evidence(0.001 * (1.0 + abs(error_mm)), 0.02, 0.03),
    )


def rows(errors_mm: Sequence[float], sizes_mm: tuple[float, float] = (60.0, 330.0)) -> list[Row]:
    """One row for each error, sizes evenly spread."""
    low, high = sizes_mm
    step = (high - low) / max(1, len(errors_mm) - 1)
    return [row(k, round(low + k * step, 1), error) for k, error in enumerate(errors_mm)]
