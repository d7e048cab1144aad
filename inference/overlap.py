"""An outline against somebody else's mask of the same picture: how far both overlap, and what HC the mask has."""

from __future__ import annotations

from dataclasses import dataclass

import contourpy
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes

from inference.domain import EllipsePx, PixelSpacingMm
from inference.measure import DegenerateFitError, circumference_mm, fit_ellipse_mm, inside_distance_px

PixelMask = NDArray[np.bool_]
"""bool [rows, columns] of the frame."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Pixels of the ellipse (`found`) and of the mask (`true`), bool [rows, columns], and what they come to.

    `dice` in 0..1, to 0.0001. `true_hc_mm`: circumference of the ellipse through the mask's border, to 0.1 mm; None
    without a scale, or where no ellipse fits.
    """

    found: PixelMask
    true: PixelMask
    dice: float
    true_hc_mm: float | None


def filled(drawn: PixelMask) -> PixelMask:
    """A mask as it is, an outline with what it encloses."""
    mask: PixelMask = binary_fill_holes(drawn)
    return mask


def overlap_with(ellipse: EllipsePx, true: PixelMask, spacing: PixelSpacingMm | None) -> Overlap:
    """`true` bool [rows, columns] of the frame that `ellipse` lies in.

    Raises:
        ValueError: the mask is empty.
    """
    if not true.any():
        raise ValueError("the mask is empty")
    found = inside_distance_px(ellipse, *true.shape) > 0
    common, total = int((found & true).sum()), int(found.sum()) + int(true.sum())
    return Overlap(found, true, round(2.0 * common / total, 4), _circumference_mm(true, spacing))


def _circumference_mm(mask: PixelMask, spacing: PixelSpacingMm | None) -> float | None:
    """Of an ellipse through the border between the last pixels inside and the first ones outside."""
    if spacing is None:
        return None
    lines = contourpy.contour_generator(z=np.pad(mask.astype(np.float32), 1)).lines(0.5)
    points = max((np.asarray(line, np.float64) for line in lines), key=len)[:-1] - 1.0
    try:
        fitted = fit_ellipse_mm(points * np.array([spacing.column, spacing.row]))
    except DegenerateFitError:
        return None
    return round(circumference_mm(fitted), 1)
