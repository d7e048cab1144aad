"""Distances between pixels as headers write them: read as numbers, compared, put into words."""

from __future__ import annotations

import math
from collections.abc import Iterable

from pydicom.dataset import Dataset

from inference.domain import PixelSpacingMm

PLAUSIBLE_MM = (0.02, 1.0)

AGREEMENT = 0.02
"""Relative; two statements of one scale, or of one shape, may differ so much."""


def spacing_in(header: Dataset, keyword: str) -> PixelSpacingMm | None:
    """Two positive numbers, the vertical one first (PS3.3 10.7.1.3); None where the attribute is not that."""
    numbers = values_of(header.get(keyword))
    return spacing_of(numbers[0], numbers[1]) if len(numbers) == 2 else None


def spacing_of(row: object, column: object) -> PixelSpacingMm | None:
    """Two finite, positive numbers as a spacing; None for anything else that a header may hold."""
    row_mm, column_mm = number_of(row), number_of(column)
    if row_mm is None or column_mm is None or row_mm <= 0 or column_mm <= 0:
        return None
    return PixelSpacingMm(row_mm, column_mm)


def number_of(value: object) -> float | None:
    """A finite number, or None."""
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def values_of(value: object) -> list[object]:
    """The values of a multi-valued attribute; none of what is not one."""
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes | Dataset) else []


def is_plausible(spacing: PixelSpacingMm) -> bool:
    low, high = PLAUSIBLE_MM
    return low <= spacing.row <= high and low <= spacing.column <= high


def same_spacing(a: PixelSpacingMm, b: PixelSpacingMm, relative: float) -> bool:
    return math.isclose(a.row, b.row, rel_tol=relative) and math.isclose(a.column, b.column, rel_tol=relative)


def told(spacing: PixelSpacingMm) -> str:
    """`0.2000 x 0.2050 mm`."""
    return f"{spacing.row:.4g} x {spacing.column:.4g} mm"
