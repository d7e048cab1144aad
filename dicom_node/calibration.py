"""Millimetres from a header: the only place that decides which attribute gives the scale, and when none does.

The rule, in this order:

1. Sequence of Ultrasound Regions (0018,6011), PS3.3 C.8.5.5.1. Two-dimensional regions (Region Spatial Format 1) of
   tissue or colour flow (Region Data Type 1, 2) are kept, one Region each; without any there is nothing to measure
   (NO_TWO_DIMENSIONAL_REGION). Scale = |Physical Delta| x 10 where both units are cm (3): rows from Delta Y, columns
   from Delta X; vendors send negative deltas for axes that point up.
2. Without regions: Pixel Spacing (0028,0030), the whole frame.
3. Without both: the whole frame, no scale. Never Imager Pixel Spacing, which is the detector's, not the body's, and
   never Pixel Aspect Ratio, which has no scale.

A region that is there but cannot be trusted keeps its box, loses its scale and says why (`Region.reason`), so that the
outline can still be shown:

* NOT_CALIBRATED: deltas missing, zero or not finite, or units other than cm;
* IMPLAUSIBLE_SPACING: outside 0.02 to 1.0 mm per pixel;
* CALIBRATION_CONFLICT: Pixel Spacing is there too and agrees with no region within 2 %, or the box leaves the image by
  more than the one pixel of a bound written exclusively (the picture was resized after it was calibrated);
* OVERLAPPING_REGION: an M-mode, spectral or waveform region lies over it, or a two-dimensional one of another scale.
  Which pixels belong to which is then a guess.

A two-dimensional region inside another of the same scale (a colour box) is part of the same picture and left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from inference.domain import CalibrationSource, PixelSpacingMm, Reason, Region, RegionPx

TWO_DIMENSIONAL = 1
OTHER_PICTURES = (2, 3, 4)  # M-mode, spectral, waveform; 5 is graphics
IMAGE_DATA_TYPES = (1, 2)  # tissue, colour flow
CENTIMETRES = 3
MM_PER_CM = 10.0
PLAUSIBLE_MM = (0.02, 1.0)
AGREEMENT = 0.02
EXCLUSIVE_BOUND_PX = 1


@dataclass(frozen=True, slots=True)
class Calibration:
    """What can be measured in every frame. `reason` is set where no region has a scale; it is the first region's."""

    regions: tuple[Region, ...]
    reason: Reason | None


def calibrate(header: Dataset, rows: int, columns: int) -> Calibration:
    """Apply the rule of this module to the header of a frame of `rows` x `columns` pixels. Never raises."""
    items = [item for item in _sequence(header) if isinstance(item, Dataset)]
    whole = RegionPx(0, 0, columns - 1, rows - 1)
    spacing = pixel_spacing(header)
    if not items:
        return _summary([_from_pixel_spacing(whole, spacing)])
    regions = [_from_item(item, whole) for item in items if _is_image(item)]
    if not regions:
        return Calibration((), Reason.NO_TWO_DIMENSIONAL_REGION)
    others = [box for item in items if item.get("RegionSpatialFormat") in OTHER_PICTURES and (box := _box(item))]
    regions = _without_parts(regions)
    regions = [_without_scale(r, Reason.OVERLAPPING_REGION) if _is_covered(r, others, regions) else r for r in regions]
    if spacing is not None and not _agrees_with_any(spacing, regions):
        regions = [_without_scale(r, Reason.CALIBRATION_CONFLICT) for r in regions]
    return _summary(regions)


def given(spacing: PixelSpacingMm | None, rows: int, columns: int) -> Calibration:
    """The whole frame with a spacing that the user gave, or none."""
    whole = RegionPx(0, 0, columns - 1, rows - 1)
    if spacing is None:
        return _summary([_uncalibrated(whole, Reason.NOT_CALIBRATED)])
    return _summary([_with_scale(whole, spacing, CalibrationSource.GIVEN)])


def pixel_spacing(header: Dataset) -> PixelSpacingMm | None:
    """Pixel Spacing (0028,0030): row spacing first, then column spacing, in mm (PS3.3 10.7.1.3)."""
    value = header.get("PixelSpacing")
    numbers = list(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else []
    return _spacing(numbers[0], numbers[1]) if len(numbers) == 2 else None


def _summary(regions: list[Region]) -> Calibration:
    calibrated = any(region.spacing_mm is not None for region in regions)
    return Calibration(tuple(regions), None if calibrated else regions[0].reason)


def _from_pixel_spacing(whole: RegionPx, spacing: PixelSpacingMm | None) -> Region:
    if spacing is None:
        return _uncalibrated(whole, Reason.NOT_CALIBRATED)
    return _with_scale(whole, spacing, CalibrationSource.PIXEL_SPACING)


def _from_item(item: Dataset, whole: RegionPx) -> Region:
    """One two-dimensional item of the region sequence."""
    declared = _box(item)
    if declared is None:
        return _uncalibrated(whole, Reason.NOT_CALIBRATED)
    box = _intersection(declared, whole)
    if box is None:
        return _uncalibrated(whole, Reason.CALIBRATION_CONFLICT)
    if _overhang(declared, whole) > EXCLUSIVE_BOUND_PX:
        return _uncalibrated(box, Reason.CALIBRATION_CONFLICT)
    spacing = _delta_spacing(item)
    if spacing is None:
        return _uncalibrated(box, Reason.NOT_CALIBRATED)
    return _with_scale(box, spacing, CalibrationSource.ULTRASOUND_REGION)


def _delta_spacing(item: Dataset) -> PixelSpacingMm | None:
    if (item.get("PhysicalUnitsXDirection"), item.get("PhysicalUnitsYDirection")) != (CENTIMETRES, CENTIMETRES):
        return None
    x, y = _number(item.get("PhysicalDeltaX")), _number(item.get("PhysicalDeltaY"))
    return None if x is None or y is None else _spacing(abs(y) * MM_PER_CM, abs(x) * MM_PER_CM)


def _with_scale(box: RegionPx, spacing: PixelSpacingMm, source: CalibrationSource) -> Region:
    low, high = PLAUSIBLE_MM
    if not (low <= spacing.row <= high and low <= spacing.column <= high):
        return _uncalibrated(box, Reason.IMPLAUSIBLE_SPACING)
    return Region(box, spacing, source)


def _uncalibrated(box: RegionPx, reason: Reason) -> Region:
    return Region(box, None, CalibrationSource.NONE, reason)


def _without_scale(region: Region, reason: Reason) -> Region:
    """An earlier reason is the more telling one and stays."""
    if region.spacing_mm is None:
        return region
    return replace(region, spacing_mm=None, calibration_source=CalibrationSource.NONE, reason=reason)


def _is_image(item: Dataset) -> bool:
    return item.get("RegionSpatialFormat") == TWO_DIMENSIONAL and item.get("RegionDataType") in IMAGE_DATA_TYPES


def _without_parts(regions: list[Region]) -> list[Region]:
    """Leave out regions that lie inside another of the same scale; of equal ones the first stays."""
    kept: list[Region] = []
    for region in sorted(regions, key=lambda r: r.box.rows * r.box.columns, reverse=True):
        if not any(_intersection(region.box, other.box) == region.box and _agree(region, other) for other in kept):
            kept.append(region)
    return [region for region in regions if any(region is k for k in kept)]


def _is_covered(region: Region, others: list[RegionPx], regions: list[Region]) -> bool:
    if any(_intersection(region.box, box) is not None for box in others):
        return True
    overlapping = (r for r in regions if r is not region and _intersection(region.box, r.box) is not None)
    return any(not _agree(region, other) for other in overlapping)


def _agrees_with_any(spacing: PixelSpacingMm, regions: list[Region]) -> bool:
    calibrated = [r.spacing_mm for r in regions if r.spacing_mm is not None]
    return not calibrated or any(_same_spacing(spacing, s) for s in calibrated)


def _agree(a: Region, b: Region) -> bool:
    if a.spacing_mm is None or b.spacing_mm is None:
        return a.spacing_mm is b.spacing_mm
    return _same_spacing(a.spacing_mm, b.spacing_mm)


def _same_spacing(a: PixelSpacingMm, b: PixelSpacingMm) -> bool:
    return math.isclose(a.row, b.row, rel_tol=AGREEMENT) and math.isclose(a.column, b.column, rel_tol=AGREEMENT)


def _box(item: Dataset) -> RegionPx | None:
    """Region Location Min X0, Min Y0, Max X1, Max Y1, inclusive; None where they do not span a rectangle."""
    corners = [item.get(f"RegionLocation{name}") for name in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
    values = [int(c) for c in corners if isinstance(c, int)]
    if len(values) < 4 or values[0] >= values[2] or values[1] >= values[3]:
        return None
    return RegionPx(*values)


def _intersection(a: RegionPx, b: RegionPx) -> RegionPx | None:
    left, top = max(a.min_column, b.min_column), max(a.min_row, b.min_row)
    right, bottom = min(a.max_column, b.max_column), min(a.max_row, b.max_row)
    return RegionPx(left, top, right, bottom) if left <= right and top <= bottom else None


def _overhang(box: RegionPx, whole: RegionPx) -> int:
    """By how many pixels the box leaves the image; minima are unsigned (VR UL) and cannot."""
    return max(0, box.max_column - whole.max_column, box.max_row - whole.max_row)


def _spacing(row: object, column: object) -> PixelSpacingMm | None:
    row_mm, column_mm = _number(row), _number(column)
    if row_mm is None or column_mm is None or row_mm <= 0 or column_mm <= 0:
        return None
    return PixelSpacingMm(row_mm, column_mm)


def _number(value: object) -> float | None:
    """A finite number, or None for anything else that a header may hold."""
    if not isinstance(value, int | float):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _sequence(header: Dataset) -> Sequence | tuple[()]:
    value = header.get("SequenceOfUltrasoundRegions")
    return value if isinstance(value, Sequence) else ()
