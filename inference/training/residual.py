"""What is left of the error: who makes it, in which direction, and how much of it is the images' own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.domain import EllipseMm
from inference.training.evaluate import Row
from inference.training.summary import groupings

TAIL_MM = 4.0


def residual(rows: Sequence[Row], doubtful: Sequence[str]) -> dict[str, Any]:
    """Shares of the summed absolute error, its parts between and within exams, and the errors of the two axes."""
    return {
        "tail_above_mm": TAIL_MM,
        "tail": _share(rows, lambda row: abs(row.error_mm) > TAIL_MM),
        "worst_twentieth": _worst_twentieth(rows),
        "doubtful_outlines": _share(rows, lambda row: row.image in doubtful),
        "trimester": [
            {"label": group.label, **_share(rows, _among(group.rows))} for group in groupings(rows)[0].groups
        ],
        "exams": between_and_within(rows),
        "repeats": repeats(rows),
        "axes": axes(rows),
    }


def _among(some: Sequence[Row]) -> Callable[[Row], bool]:
    names = {row.image for row in some}
    return lambda row: row.image in names


def _share(rows: Sequence[Row], chosen: Callable[[Row], bool]) -> dict[str, float]:
    """How many images, their share of all images, and of the summed absolute error."""
    size = np.array([abs(row.error_mm) for row in rows])
    inside = np.array([chosen(row) for row in rows])
    of_error = size[inside].sum() / size.sum() if size.sum() else 0.0
    return {
        "n": int(inside.sum()),
        "share_of_images": round(float(inside.mean()), 4),
        "share_of_error": round(float(of_error), 4),
    }


def _worst_twentieth(rows: Sequence[Row]) -> dict[str, float]:
    limit = float(np.quantile([abs(row.error_mm) for row in rows], 0.95))
    return _share(rows, lambda row: abs(row.error_mm) >= limit)


def between_and_within(rows: Sequence[Row]) -> dict[str, float] | None:
    """Standard deviations of the signed error between exams and among the images of one exam.

    One-way analysis of variance with unequal group sizes, over the exams with several images; None where there are
    fewer than two of them. What differs among images of one exam is the image's own: noise of picture, outline and
    expert, not of the head.
    """
    groups = [np.array(errors) for errors in _by_exam(rows, lambda row: row.error_mm) if len(errors) > 1]
    if len(groups) < 2:
        return None
    sizes = np.array([len(group) for group in groups], np.float64)
    total, everything = sizes.sum(), np.concatenate(groups)
    means = np.array([group.mean() for group in groups])
    within = sum(float(((group - group.mean()) ** 2).sum()) for group in groups) / (total - len(groups))
    between = float((sizes * (means - everything.mean()) ** 2).sum()) / (len(groups) - 1)
    typical = (total - (sizes**2).sum() / total) / (len(groups) - 1)
    return {
        "exams": len(groups),
        "images": int(total),
        "sd_between_exams_mm": round(float(np.sqrt(max(0.0, (between - within) / typical))), 3),
        "sd_within_exam_mm": round(float(np.sqrt(within)), 3),
    }


def repeats(rows: Sequence[Row]) -> dict[str, float] | None:
    """Images of one exam in pairs: how far the expert's two HC lie apart, ours, and our two errors; None without any.

    Exam numbers are not women and images of one exam need not show one plane, so this is an upper bound of what
    repeating costs the expert.
    """
    groups = [pair for members in _members(rows) for pair in combinations(members, 2)]
    if not groups:
        return None

    def apart(value: Callable[[Row], float]) -> float:
        return round(float(np.mean([abs(value(one) - value(other)) for one, other in groups])), 3)

    return {
        "pairs": len(groups),
        "expert_mm": apart(lambda row: row.hc_true_mm),
        "ours_mm": apart(lambda row: row.hc_forced_mm),
        "errors_mm": apart(lambda row: row.error_mm),
    }


def axes(rows: Sequence[Row]) -> dict[str, dict[str, float]] | None:
    """Errors of the long and the short axis (OFD and BPD, outer to outer); None without the ellipses."""
    pairs = [(row.expert, row.found) for row in rows if row.expert is not None and row.found is not None]
    if not pairs:
        return None
    return {
        "long": _axis([_difference(expert, found, "semi_major_mm") for expert, found in pairs]),
        "short": _axis([_difference(expert, found, "semi_minor_mm") for expert, found in pairs]),
    }


def _difference(expert: EllipseMm, found: EllipseMm, axis: str) -> float:
    return 2.0 * (float(getattr(found, axis)) - float(getattr(expert, axis)))


def _axis(errors: Sequence[float]) -> dict[str, float]:
    values: NDArray[np.float64] = np.array(errors)
    return {
        "n": len(errors),
        "mae_mm": round(float(np.abs(values).mean()), 3),
        "bias_mm": round(float(values.mean()), 3),
        "sd_mm": round(float(values.std()), 3),
    }


def _members(rows: Sequence[Row]) -> list[list[Row]]:
    exams: dict[str, list[Row]] = {}
    for row in rows:
        exams.setdefault(row.exam, []).append(row)
    return list(exams.values())


def _by_exam(rows: Sequence[Row], value: Callable[[Row], float]) -> list[list[float]]:
    return [[value(row) for row in members] for members in _members(rows)]
