"""What the picture itself shows along an outline and inside it, whatever the network thought of it.

Everything but the thin marks and the sector is read from a patch in which the head always has the same size, so that
one set of limits holds for every depth setting.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inference.domain import EllipseMm, EllipsePx, Luminance, PixelSpacingMm
from inference.measure import inside_distance_px, outline_px, shift, to_pixels

ANGLES = 128
"""Places along the outline that are looked at."""

PATCH_SEMI_MINOR_PX = 64.0
MARGIN = 1.45
"""How far the patch reaches, in units of the head."""

NARROWEST = 0.25
"""Ratio of the axes."""

REACH = 0.28
"""How far inside and outside the outline the picture is compared with it, as a share of the semi-minor axis."""

NEAR = 0.08
"""How far from the outline its echo may lie: an outline may be a little off the bone."""

STEPS = 57
SMOOTHING_PX = 0.8
WEAK_ECHO = 0.4
"""An echo counts that stands out by this share of the head's own bright level (its 90th percentile)."""

DARKEST_LEVEL = 8.0
"""Grey levels; a head darker than this is not made bright by dividing by it."""

SATURATED_FROM = 250
MARK_WIDTH_PX = 5
MARK_CONTRAST = 90
MARK_LEVEL = 200
MARK_SURROUNDINGS = 120
MARK_REACH_PX = 11
MARK_CROWD = 0.35
SECTOR_COLUMNS = 200
SECTOR_LEVEL = 6
SECTOR_GAP = 9


@dataclass(frozen=True, slots=True)
class Appearance:
    """Shares are 0..1; levels are grey levels 0..255.

    `weak_echo`: share of the outline without an echo that stands out from what lies inside and outside of it.
    `outside_sector`: share of the outline that leaves the part of the region where there is a picture. `marks`: share
    of the outline over thin near-white structures (calipers, letters). `bright_level`: 90th percentile inside.
    `saturated`: share of the inside at the top of the grey scale. `sharpness`: standard deviation of the Laplacian over
    that of the grey levels, inside. `echo_variation`: standard deviation of the brightest level across the outline,
    from place to place along it, over its mean: bone that the beam runs along echoes less than bone that it meets.
    """

    weak_echo: float
    outside_sector: float
    marks: float
    bright_level: float
    saturated: float
    sharpness: float
    echo_variation: float


UNSEEN = Appearance(0.0, 0.0, 0.0, 255.0, 0.0, math.inf, math.inf)
"""Where no picture was looked at: objects to nothing."""


def appearance(luminance: Luminance, ellipse: EllipseMm, spacing: PixelSpacingMm) -> Appearance:
    """Look at an outline in a region, uint8 [rows, columns]; `ellipse` with its origin at the region's first pixel.

    UNSEEN for an outline that no head has: larger than the region, or far too narrow.
    """
    outline = to_pixels(ellipse, spacing)
    if (
        outline.semi_major_px > math.hypot(*luminance.shape)
        or ellipse.semi_minor_mm < NARROWEST * ellipse.semi_major_mm
    ):
        return UNSEEN
    patch, placed = _patch(luminance, ellipse, spacing)
    inside = inside_distance_px(placed, *patch.shape) > 0
    grey = patch[inside].astype(np.float32)
    bright = float(np.percentile(grey, 90))
    detail = cv2.Laplacian(patch.astype(np.float32), cv2.CV_32F)[inside]
    echo = _echo(patch, placed)
    return Appearance(
        weak_echo=echo.weak_share(max(bright, DARKEST_LEVEL)),
        outside_sector=outside_sector_share(luminance, outline),
        marks=marked_share(luminance, outline),
        bright_level=bright,
        saturated=float(np.mean(grey >= SATURATED_FROM)),
        sharpness=float(detail.std() / max(1.0, float(grey.std()))),
        echo_variation=echo.variation,
    )


@dataclass(frozen=True, slots=True)
class _Echo:
    """Grey levels at ANGLES places along an outline: the brightest near it, and the means inside and outside of it."""

    peak: NDArray[np.float32]
    inside: NDArray[np.float32]
    outside: NDArray[np.float32]

    def weak_share(self, bright_level: float) -> float:
        """Share of the places where nothing near the outline outshines both its inside and its outside."""
        return float(np.mean(self.peak - np.maximum(self.inside, self.outside) < WEAK_ECHO * bright_level))

    @property
    def variation(self) -> float:
        return float(self.peak.std() / max(1.0, float(self.peak.mean())))


def _echo(patch: Luminance, ellipse: EllipsePx) -> _Echo:
    """What is seen across the outline; all in patch pixels."""
    offset = np.linspace(-REACH, REACH, STEPS)
    smooth = np.asarray(cv2.GaussianBlur(patch, (0, 0), SMOOTHING_PX), np.uint8)
    across = _profiles(smooth, ellipse, offset * ellipse.semi_minor_px)  # [ANGLES, STEPS]
    return _Echo(
        peak=across[:, np.abs(offset) <= NEAR].max(axis=1),
        inside=across[:, offset < -NEAR - 0.02].mean(axis=1),
        outside=across[:, offset > NEAR + 0.02].mean(axis=1),
    )


def outside_sector_share(luminance: Luminance, ellipse: EllipsePx) -> float:
    """Share of the outline outside the convex hull of what is not black; `ellipse` in pixels of the region.

    Fans and rectangles are convex but for the arc at the probe. Letters away from the picture do not count: only the
    largest part does.
    """
    part = SECTOR_COLUMNS / max(luminance.shape)
    small = cv2.resize(luminance, None, fx=part, fy=part, interpolation=cv2.INTER_AREA)
    lit = cv2.morphologyEx(
        (small > SECTOR_LEVEL).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((SECTOR_GAP,) * 2, np.uint8)
    )
    count, labels, stats, _ = cv2.connectedComponentsWithStats(lit, connectivity=8)
    if count < 2:
        return 1.0
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    rows, columns = np.nonzero(labels == largest)
    hull = cv2.convexHull(np.stack([columns, rows], axis=1).astype(np.float32))
    points = (outline_px(ellipse, ANGLES) + 0.5) * part - 0.5
    slack = 1.0 + 0.02 * ellipse.semi_minor_px * part
    away = [cv2.pointPolygonTest(hull, (float(x), float(y)), measureDist=True) < -slack for x, y in points]
    return float(np.mean(away))


def marked_share(luminance: Luminance, ellipse: EllipsePx) -> float:
    """Share of the outline over near-white lines and dots that stand alone; in pixels of the region.

    Where much around a white pixel is bright too, it is speckle in bone; marks on bright bone are missed.
    """
    reach = math.ceil(ellipse.semi_major_px * (1.0 + NEAR)) + MARK_WIDTH_PX
    left, top = math.floor(ellipse.center_col_px) - reach, math.floor(ellipse.center_row_px) - reach
    crop = luminance[max(0, top) : top + 2 * reach + 1, max(0, left) : left + 2 * reach + 1]
    if not crop.size:
        return 0.0
    broad = cv2.morphologyEx(crop, cv2.MORPH_OPEN, np.ones((MARK_WIDTH_PX, MARK_WIDTH_PX), np.uint8))
    crowd = cv2.boxFilter((crop > MARK_SURROUNDINGS).astype(np.float32), -1, (MARK_REACH_PX, MARK_REACH_PX))
    thin = (crop >= MARK_LEVEL) & (crop.astype(np.int16) - broad > MARK_CONTRAST) & (crowd < MARK_CROWD)
    rows, columns = np.nonzero(thin)
    at = shift(ellipse, -max(0, left), -max(0, top))
    turn = math.radians(at.angle_deg)
    x, y = columns - at.center_col_px, rows - at.center_row_px
    u = (x * math.cos(turn) + y * math.sin(turn)) / at.semi_major_px
    v = (-x * math.sin(turn) + y * math.cos(turn)) / at.semi_minor_px
    near = np.abs(np.hypot(u, v) - 1.0) <= NEAR / 2.0
    places = np.floor((np.arctan2(v[near], u[near]) / (2.0 * math.pi) + 0.5) * ANGLES).astype(int) % ANGLES
    return len(np.unique(places)) / ANGLES


def _patch(luminance: Luminance, ellipse: EllipseMm, spacing: PixelSpacingMm) -> tuple[Luminance, EllipsePx]:
    """The head and its surroundings in square pixels, semi-minor axis PATCH_SEMI_MINOR_PX, black beyond the region."""
    outline = to_pixels(ellipse, spacing)
    reach_mm = ellipse.semi_major_mm * MARGIN
    across, down = math.ceil(reach_mm / spacing.column), math.ceil(reach_mm / spacing.row)
    left, top = math.floor(outline.center_col_px) - across, math.floor(outline.center_row_px) - down
    crop = _cut(luminance, (top, left), (2 * down + 1, 2 * across + 1))
    per_mm = PATCH_SEMI_MINOR_PX / ellipse.semi_minor_mm
    size = (max(8, round(crop.shape[1] * spacing.column * per_mm)), max(8, round(crop.shape[0] * spacing.row * per_mm)))
    shrinks = size[0] < crop.shape[1]
    patch = cv2.resize(crop, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    column = (outline.center_col_px - left + 0.5) * size[0] / crop.shape[1] - 0.5
    row = (outline.center_row_px - top + 0.5) * size[1] / crop.shape[0] - 0.5
    major = ellipse.semi_major_mm * per_mm
    placed = EllipsePx(column, row, major, PATCH_SEMI_MINOR_PX, ellipse.angle_deg)
    return np.asarray(patch, np.uint8), placed


def _cut(luminance: Luminance, first: tuple[int, int], shape: tuple[int, int]) -> Luminance:
    """Rows and columns from `first` (row, column) on, black where there is nothing."""
    out = np.zeros(shape, np.uint8)
    rows = slice(max(0, first[0]), max(0, first[0] + shape[0]))
    columns = slice(max(0, first[1]), max(0, first[1] + shape[1]))
    part = luminance[rows, columns]
    top, left = max(0, -first[0]), max(0, -first[1])
    out[top : top + part.shape[0], left : left + part.shape[1]] = part
    return out


def _profiles(image: Luminance, ellipse: EllipsePx, offset_px: NDArray[np.float64]) -> NDArray[np.float32]:
    """Grey levels across the outline along its normals, [ANGLES, len(offset_px)], positive offsets outwards."""
    points = outline_px(ellipse, ANGLES)
    t = np.linspace(0.0, 2.0 * np.pi, ANGLES, endpoint=False)
    turn = math.radians(ellipse.angle_deg)
    u, v = np.cos(t) / ellipse.semi_major_px, np.sin(t) / ellipse.semi_minor_px
    length = np.hypot(u, v)
    normal = np.stack([u * math.cos(turn) - v * math.sin(turn), u * math.sin(turn) + v * math.cos(turn)], axis=1)
    normal /= length[:, None]
    places = points[:, None, :] + normal[:, None, :] * offset_px[None, :, None]  # [ANGLES, offsets, 2]
    columns, rows = (places[..., axis].astype(np.float32) for axis in (0, 1))
    found = cv2.remap(image, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(found, np.float32)
