"""From a region of the frame to the network's grid and back: the one place where pixels are resampled.

Training draws its random views through the same `plan`, by pixel centres, and adds an affine jitter; a test holds the
two ways of resampling together, so that a half-pixel slip cannot hide between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.domain import Luminance, PixelSpacingMm


@dataclass(frozen=True, slots=True)
class Grid:
    """Size of the network's input in pixels."""

    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Affine map between region pixels and grid pixels, by pixel centres: grid = (region + 0.5) * scale - 0.5 + pad."""

    column_scale: float
    row_scale: float
    column_pad: int
    row_pad: int

    def area(self, rows: int, columns: int) -> float:
        """How many grid pixels a region of `rows` x `columns` covers."""
        return rows * self.row_scale * columns * self.column_scale

    def to_region(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Grid points [n, 2] (column, row) to region pixels."""
        scale = np.array([self.column_scale, self.row_scale])
        pad = np.array([self.column_pad, self.row_pad], dtype=np.float64)
        mapped: NDArray[np.float64] = (points - pad + 0.5) / scale - 0.5
        return mapped

    def to_grid(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Region points [n, 2] (column, row) to grid pixels."""
        scale = np.array([self.column_scale, self.row_scale])
        pad = np.array([self.column_pad, self.row_pad], dtype=np.float64)
        mapped: NDArray[np.float64] = (points + 0.5) * scale - 0.5 + pad
        return mapped


def plan(rows: int, columns: int, spacing: PixelSpacingMm | None, grid: Grid) -> Letterbox:
    """The largest centred fit of a region into the grid that keeps millimetres square (pixels, without a scale)."""
    aspect = 1.0 if spacing is None else spacing.row / spacing.column
    per_column = min(grid.columns / columns, grid.rows / (rows * aspect))
    new_columns = min(grid.columns, max(1, round(columns * per_column)))
    new_rows = min(grid.rows, max(1, round(rows * aspect * per_column)))
    return Letterbox(
        new_columns / columns, new_rows / rows, (grid.columns - new_columns) // 2, (grid.rows - new_rows) // 2
    )


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Grey levels 0..1 to the network's range. Fixed constants, not per image: gain is information."""

    mean: float
    standard_deviation: float

    def apply(self, grey: NDArray[np.float32]) -> NDArray[np.float32]:
        """Grey levels 0..255, float32 of any shape."""
        scaled: NDArray[np.float32] = (grey / np.float32(255.0) - np.float32(self.mean)) / np.float32(
            self.standard_deviation
        )
        return scaled


def to_grid(luminance: Luminance, letterbox: Letterbox, grid: Grid) -> NDArray[np.float32]:
    """Resample a region, uint8 [rows, columns], onto the grid: grey 0..255, float32 [grid.rows, grid.columns]."""
    rows, columns = luminance.shape
    size = (round(columns * letterbox.column_scale), round(rows * letterbox.row_scale))
    resized = _resized(luminance, size)
    canvas = np.zeros((grid.rows, grid.columns), np.float32)
    top, left = letterbox.row_pad, letterbox.column_pad
    canvas[top : top + size[1], left : left + size[0]] = resized
    return canvas


def from_grid(values: NDArray[np.float32], letterbox: Letterbox, rows: int, columns: int) -> NDArray[np.float32]:
    """The way back, for maps to look at: float32 on the grid to [rows, columns] of the region, interpolated."""
    size = (round(columns * letterbox.column_scale), round(rows * letterbox.row_scale))
    top, left = letterbox.row_pad, letterbox.column_pad
    shown = values[top : top + size[1], left : left + size[0]]
    return cv2.resize(shown, (columns, rows), interpolation=cv2.INTER_LINEAR).astype(np.float32, copy=False)


def _resized(luminance: Luminance, size: tuple[int, int]) -> Luminance:
    """`size`: columns, rows. Averages along an axis that shrinks, interpolates along one that grows."""
    rows, columns = luminance.shape
    smaller = (min(size[0], columns), min(size[1], rows))
    if smaller != (columns, rows):
        # alone: where the other axis grows, OpenCV's INTER_AREA does not average, and moves the picture
        luminance = cv2.resize(luminance, smaller, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    if size != smaller:
        luminance = cv2.resize(luminance, size, interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)
    return luminance
