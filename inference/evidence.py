"""Doubts about one outline, read from the probability map and from what the passes said besides."""

from __future__ import annotations

import math

import numpy as np

from inference.measure import DegenerateFitError, circumference_mm, fit_ellipse_mm
from inference.segment import Probability, Segmentation, outline_weights, trace
from inference.uncertainty import Evidence

LEVEL_STEP = 0.2
"""How far below and above its level the outline is looked for again."""

LOST = 1.0
"""The doubt where a pass, or a level, shows no head at all: as large as the head."""


def gather_evidence(segmentation: Segmentation, level: float, slope_power: float) -> Evidence:
    """The doubts about the outline at `level`; in grid pixels inside, relative outside."""
    answer = segmentation.probability
    outlines = [_circumference_px(p, level, slope_power) for p in (answer, *segmentation.passes)]
    lower, upper = (_circumference_px(answer, level + step, slope_power) for step in (-LEVEL_STEP, LEVEL_STEP))
    return Evidence(
        relative_spread=LOST if None in outlines else float(np.std(np.log(np.array(outlines, np.float64)))),
        relative_level_spread=LOST if lower is None or upper is None else math.log(lower / upper),
        relative_blur=_blur(answer, level),
    )


def _circumference_px(probability: Probability, level: float, slope_power: float) -> float | None:
    """Circumference of the ellipse in grid pixels; None where there is none."""
    seen = trace(probability, level, slope_power)
    try:
        return None if seen is None else circumference_mm(fit_ellipse_mm(seen.points, seen.weights))
    except DegenerateFitError:
        return None


def _blur(probability: Probability, level: float) -> float:
    """Root mean square of the inverse slope along the outline, as a share of its length."""
    seen = trace(probability, level, 0.0)
    if seen is None:
        return LOST
    length = outline_weights(probability, seen.points, 0.0)
    inverse_square = outline_weights(probability, seen.points, -2.0)
    return float(math.sqrt(inverse_square.sum() / length.sum()) / length.sum())
