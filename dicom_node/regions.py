"""Sequence of Ultrasound Regions (0018,6011), PS3.3 C.8.5.5.1: which pictures a screen shows, and at which scale.

Items of Region Spatial Format 1 (2D) and Region Data Type 1 or 2 (tissue, colour flow) are pictures; M-mode, spectral
and waveform regions (formats 2, 3, 4) and Doppler data in a 2D format are traces. Everything else (colour bars,
graphics) is no matter. The scale of a picture is |Physical Delta| x 10 where both units are cm (3): rows from Delta Y,
columns from Delta X; vendors send negative deltas for axes that point up.

* **Several pictures** are handled one by one, in the order in which they stand on the screen, whatever the order of the
  items. Two that stand beside one another are two pictures, even at the same scale: a dual screen looks just so.
* **One picture** are only those of identical deltas that overlap by at least half of the smaller and make a rectangle
  together: a colour box inside the tissue image, a region that was written twice.
* **Over one another** at different scales: the pixels belong to the one of high priority (Region Flags bit 0 clear).
  With equal priority, and under every trace, the shared pixels belong to nobody (`Region.covered`); an outline may lie
  elsewhere. A region that says nothing about its scale takes no pixels from one that lies inside it.
* **Boxes** are inclusive. One pixel more than the image is a bound written exclusively, and clipped. Anything beyond
  shows that the image was resized or cropped after its regions were written: then no scale of any region is used, be
  Pixel Spacing as it may, for who forgets the regions forgets that too. Items without a box, or with one that no head
  fits into, are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset

from inference.domain import CalibrationSource, PixelSpacingMm, Reason, Region, RegionPx

TWO_DIMENSIONAL = 1
TRACES = (2, 3, 4)  # M-mode, spectral, waveform; 5 is graphics
PICTURE_DATA = (1, 2)  # tissue, colour flow
DOPPLER_DATA = (3, 4)  # pulsed wave, continuous wave
LOW_PRIORITY = 1  # bit 0 of Region Flags
NO_UNIT = 0
CENTIMETRES = 3
MM_PER_CM = 10.0
PLAUSIBLE_MM = (0.02, 1.0)
EXCLUSIVE_BOUND_PX = 1

SMALLEST_PX = 16
"""The smallest head that is measured is larger at the coarsest plausible scale."""

MOST_PICTURES = 8
"""No machine shows more than four; a header that names a hundred shall not cost a hundred looks."""

IDENTICAL = 5e-3
"""Relative; the same number, written with three digits or with more."""

MOST_ITEMS = 64
"""Traces, bars and graphics included; comparing them pair by pair shall stay short."""

SHARED_BY_ONE_PICTURE = 0.5
"""Share of the smaller region. Halves of a dual screen share a few columns at most."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What one item says about the scale of its pixels; `silent` where it says nothing at all."""

    spacing_mm: PixelSpacingMm | None
    reason: Reason | None = None
    detail: str = ""
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """One two-dimensional item: where, at which scale, and whether it gives way to others."""

    box: RegionPx
    scale: Scale
    low_priority: bool

    @property
    def order(self) -> tuple[Any, ...]:
        """From left to right, then from top to bottom; the rest makes the order total."""
        box, spacing = self.box, self.scale.spacing_mm
        place = (box.min_column, box.min_row, box.max_column, box.max_row, self.low_priority)
        return (*place, spacing is None, (spacing.row, spacing.column) if spacing else (), self.scale.detail)

    def has_scale_of(self, other: Picture) -> bool:
        a, b = self.scale.spacing_mm, other.scale.spacing_mm
        return a is not None and b is not None and same_spacing(a, b, IDENTICAL)


def read_regions(items: Sequence[Dataset], whole: RegionPx, pixel_aspect: float | None) -> tuple[Region, ...]:
    """The pictures of a frame `whole`, each with what is known of its scale; () where no item is a picture.

    `pixel_aspect` (height over width) is the shape of pixels about which the regions are silent. Never raises.
    """
    pictures = [item for item in items if _is_picture(item)]
    if not pictures:
        return ()
    if len(items) > MOST_ITEMS:
        return (_whole_frame(whole, Reason.CALIBRATION_CONFLICT, f"It names {len(items)} regions.", None),)
    traces = [item for item in items if _is_trace(item)]
    if (detail := _resized([*pictures, *traces], whole)) is not None:
        return _uncalibrated_boxes(pictures, whole, detail)
    found = _one_each([p for item in pictures if (p := _picture(item, whole)) is not None])
    if not found:
        return (_whole_frame(whole, Reason.NOT_CALIBRATED, "The region has no box.", pixel_aspect),)
    if len(found) > MOST_PICTURES:
        detail = f"It names {len(found)} two-dimensional regions."
        return (_whole_frame(whole, Reason.CALIBRATION_CONFLICT, detail, None),)
    covers = [box for item in traces if (box := _clipped(_ordered_box(item), whole)) is not None]
    return tuple(_region(picture, found, covers, pixel_aspect) for picture in found)


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


def is_plausible(spacing: PixelSpacingMm) -> bool:
    low, high = PLAUSIBLE_MM
    return low <= spacing.row <= high and low <= spacing.column <= high


def same_spacing(a: PixelSpacingMm, b: PixelSpacingMm, relative: float) -> bool:
    return math.isclose(a.row, b.row, rel_tol=relative) and math.isclose(a.column, b.column, rel_tol=relative)


def told(spacing: PixelSpacingMm) -> str:
    """`0.2000 x 0.2050 mm`."""
    return f"{spacing.row:.4g} x {spacing.column:.4g} mm"


def _is_picture(item: Dataset) -> bool:
    return item.get("RegionSpatialFormat") == TWO_DIMENSIONAL and item.get("RegionDataType") in PICTURE_DATA


def _is_trace(item: Dataset) -> bool:
    spatial_format = item.get("RegionSpatialFormat")
    return spatial_format in TRACES or (
        spatial_format == TWO_DIMENSIONAL and item.get("RegionDataType") in DOPPLER_DATA
    )


def _picture(item: Dataset, whole: RegionPx) -> Picture | None:
    """None where the item has no box that could hold a head."""
    declared = _box(item)
    ordered = _ordered_box(item)
    box = _clipped(ordered, whole)
    if box is None or min(box.rows, box.columns) < SMALLEST_PX:
        return None
    scale = _scale(item)
    if declared != ordered:
        scale = Scale(None, Reason.CALIBRATION_CONFLICT, "The bounds of the region are reversed.")
    flags = item.get("RegionFlags")
    return Picture(box, scale, isinstance(flags, int) and bool(flags & LOW_PRIORITY))


def _scale(item: Dataset) -> Scale:
    units = [item.get(f"PhysicalUnits{axis}Direction") for axis in "XY"]
    if any(isinstance(unit, int) and unit not in (NO_UNIT, CENTIMETRES) for unit in units):
        return Scale(None, Reason.NOT_CALIBRATED, "The region is not scaled in centimetres along both axes.")
    deltas = [number_of(item.get(f"PhysicalDelta{axis}")) for axis in "XY"]
    x, y = (None if delta is None else abs(delta) * MM_PER_CM for delta in deltas)
    spacing = spacing_of(y, x)
    if units != [CENTIMETRES, CENTIMETRES] or spacing is None:
        return Scale(None, Reason.NOT_CALIBRATED, "The region has no scale in centimetres.", silent=True)
    if not is_plausible(spacing):
        return Scale(None, Reason.IMPLAUSIBLE_SPACING, f"The region says {told(spacing)} per pixel (row x column).")
    return Scale(spacing)


def _region(picture: Picture, pictures: Sequence[Picture], traces: Sequence[RegionPx], aspect: float | None) -> Region:
    scale = picture.scale
    if scale.spacing_mm is None:
        aspect = aspect if scale.silent else None
        return Region(picture.box, None, CalibrationSource.NONE, scale.reason, detail=scale.detail, pixel_aspect=aspect)
    strangers = [other for other in pictures if other is not picture and not other.has_scale_of(picture)]
    over = [other.box for other in strangers if _lies_over(other, picture)]
    return Region(
        picture.box,
        scale.spacing_mm,
        CalibrationSource.ULTRASOUND_REGION,
        covered=tuple(shared for box in (*over, *traces) if (shared := picture.box.intersection(box)) is not None),
        beside=(*(other.box for other in strangers), *traces),
    )


def _lies_over(other: Picture, picture: Picture) -> bool:
    """Whether pixels of `picture` may belong to `other`, which has another scale or none."""
    if other.scale.silent and picture.box.intersection(other.box) == picture.box:
        return False
    return not (other.low_priority and not picture.low_priority)


def _one_each(pictures: Iterable[Picture]) -> list[Picture]:
    """Every picture once, in order: items about the same picture joined, those that cannot be seen left out."""
    found = sorted(pictures, key=lambda p: p.order)
    joined = True
    while joined:
        joined = _join_one_pair(found)
    return [p for p in found if not any(_hides(other, p) for other in found if other is not p)]


def _join_one_pair(pictures: list[Picture]) -> bool:
    """Replace the first two that are one picture by their union, in place; False where there are none."""
    for i, a in enumerate(pictures):
        for j in range(i + 1, len(pictures)):
            if (union := _union(a, pictures[j])) is not None:
                del pictures[j]
                pictures[i] = union
                pictures.sort(key=lambda p: p.order)
                return True
    return False


def _union(a: Picture, b: Picture) -> Picture | None:
    """Both as one picture, or None where they are two."""
    shared = a.box.intersection(b.box)
    if shared is None:
        return None
    if a.box == b.box and (a.scale.silent or b.scale.silent):
        return b if a.scale.silent else a  # the same place twice: who says nothing adds nothing
    if not a.has_scale_of(b) or shared.area < SHARED_BY_ONE_PICTURE * min(a.box.area, b.box.area):
        return None
    around = RegionPx(
        min(a.box.min_column, b.box.min_column),
        min(a.box.min_row, b.box.min_row),
        max(a.box.max_column, b.box.max_column),
        max(a.box.max_row, b.box.max_row),
    )
    if around.area != a.box.area + b.box.area - shared.area:
        return None
    larger = max(a, b, key=lambda p: p.box.area)
    return Picture(around, larger.scale, a.low_priority and b.low_priority)


def _hides(other: Picture, picture: Picture) -> bool:
    """Whether nothing of `picture` is on top: it lies wholly under one of high priority."""
    over = picture.low_priority and not other.low_priority and not other.scale.silent
    return over and picture.box.intersection(other.box) == picture.box


def _resized(items: Iterable[Dataset], whole: RegionPx) -> str | None:
    """What shows that the image is not the one that the regions were written for, or None."""
    boxes = [box for item in items if (box := _ordered_box(item)) is not None]
    for name, bound, end in (
        ("column", max((box.max_column for box in boxes), default=0), whole.max_column),
        ("row", max((box.max_row for box in boxes), default=0), whole.max_row),
    ):
        if bound > end + EXCLUSIVE_BOUND_PX:
            return f"A region reaches to {name} {bound} of an image that ends at {end}."
    if any(min(box.min_column, box.min_row) < 0 for box in boxes):
        return "A region begins before the image does."
    return None


def _uncalibrated_boxes(pictures: Iterable[Dataset], whole: RegionPx, detail: str) -> tuple[Region, ...]:
    """What is left of each box, or the whole frame; none has a scale, nor a shape."""
    boxes = {box for item in pictures if (box := _clipped(_ordered_box(item), whole)) is not None}
    large = sorted(
        (b for b in boxes if min(b.rows, b.columns) >= SMALLEST_PX), key=lambda b: (b.min_column, b.min_row, -b.area)
    )
    return tuple(
        Region(box, None, CalibrationSource.NONE, Reason.CALIBRATION_CONFLICT, detail=detail)
        for box in large[:MOST_PICTURES] or [whole]
    )


def _whole_frame(whole: RegionPx, reason: Reason, detail: str, aspect: float | None) -> Region:
    return Region(whole, None, CalibrationSource.NONE, reason, detail=detail, pixel_aspect=aspect)


def _box(item: Dataset) -> RegionPx | None:
    """Region Location Min X0, Min Y0, Max X1, Max Y1, as written; None where they do not span a rectangle."""
    corners = [item.get(f"RegionLocation{name}") for name in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
    values = [c for c in corners if isinstance(c, int)]
    if len(values) < 4 or values[0] == values[2] or values[1] == values[3]:
        return None
    return RegionPx(*map(int, values))


def _ordered_box(item: Dataset) -> RegionPx | None:
    """The rectangle, also where its bounds are written the wrong way round."""
    box = _box(item)
    if box is None:
        return None
    (left, right), (top, bottom) = sorted((box.min_column, box.max_column)), sorted((box.min_row, box.max_row))
    return RegionPx(left, top, right, bottom)


def _clipped(box: RegionPx | None, whole: RegionPx) -> RegionPx | None:
    return None if box is None else box.intersection(whole)
