"""Sequence of Ultrasound Regions (0018,6011), PS3.3 C.8.5.5.1: which pictures a screen shows, and at which scale.

Items of Region Spatial Format 1 (2D) and Region Data Type 1 or 2 (tissue, colour flow) are pictures; M-mode, spectral
and waveform regions (formats 2, 3, 4) and Doppler data in a 2D format are traces. Everything else (bars, graphics,
items that do not say what they are) is no matter, unless it has a scale in cm that differs from the picture's by more
than 2 %: then it may be a picture that was not declared as one, and what lies under it is not measured. The scale of a
picture is |Physical Delta| x 10 where both units are cm (3): rows from Delta Y, columns from Delta X; vendors send
negative deltas for axes that point up.

* **Several pictures** are handled one by one, in the order in which they stand on the screen, whatever the order of the
  items. Two that stand beside one another are two pictures, even at the same scale: a dual screen looks just so.
* **One picture** are only those of identical deltas that overlap by at least half of the smaller and make a rectangle
  together: a region that was written twice, a colour box inside the tissue image. Deltas of that box may differ by 2 %
  (colour flow has a raster of its own); the tissue's are used.
* **Over one another** at different scales: the pixels belong to the one of high priority (Region Flags bit 0 clear).
  With equal priority, and under every trace, the shared pixels belong to nobody (`Region.covered`); an outline may lie
  elsewhere. A region that says nothing about its scale takes no pixels from one that lies inside it.
* **Boxes** are inclusive. A few pixels more than the image (`_slack_px`) are a bound written exclusively or rounded,
  and clipped. Anything beyond shows that the image was resized or cropped after its regions were written: then no
  scale of any region is used, be Pixel Spacing as it may, for who forgets the regions forgets that too. An image that
  was enlarged, or shrunk so little that all boxes still fit, cannot be told by its header. Items without a box, or with
  one that no head fits into, are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydicom.dataset import Dataset

from dicom_node.spacing import AGREEMENT, is_plausible, number_of, same_spacing, spacing_of, told
from inference.domain import CalibrationSource, PixelSpacingMm, Reason, Region, RegionPx

TWO_DIMENSIONAL = 1
TRACES = (2, 3, 4)  # M-mode, spectral, waveform
GRAPHICS = 5
TISSUE = 1
COLOUR_FLOW = 2
DOPPLER_DATA = (3, 4)  # pulsed wave, continuous wave
BARS = (0xD, 0xE)  # grey, colour
LOW_PRIORITY = 1  # bit 0 of Region Flags
NO_UNIT = 0
CENTIMETRES = 3
MM_PER_CM = 10.0
EXCLUSIVE_BOUND_PX = 1

SLACK = 0.005
"""Share of a side by which a box may leave the image. A box of full width that a resize leaves so little beyond was
resized by 0.5 %, which changes HC by as much. One that ends elsewhere would have to hit this strip by chance."""

MOST_SLACK_PX = 4

SMALLEST_PX = 16
"""No head is outlined in fewer pixels. The smallest that is measured (HC 40 mm, cephalic index 62 %) is 9.6 mm across,
which is more than 16 pixels at 0.6 mm and finer; at coarser scales it is not looked for."""

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


class Shows(Enum):
    """What an item says that it shows."""

    TISSUE = "tissue"
    COLOUR_FLOW = "colour flow"
    UNTOLD = "untold"  # no picture by its format and type, but it has a scale like one


@dataclass(frozen=True, slots=True)
class PictureItem:
    """One two-dimensional item: where, at which scale, whether it gives way to others, and what it shows."""

    box: RegionPx
    scale: Scale
    low_priority: bool
    shows: Shows

    @property
    def order(self) -> tuple[Any, ...]:
        """From left to right, then from top to bottom; the rest makes the order total."""
        box, spacing = self.box, self.scale.spacing_mm
        place = (box.min_column, box.min_row, box.max_column, box.max_row, self.low_priority, self.shows.value)
        return (*place, spacing is None, (spacing.row, spacing.column) if spacing else (), self.scale.detail)

    def has_scale_of(self, other: PictureItem) -> bool:
        roughly = Shows.UNTOLD in (self.shows, other.shows) or self.is_flow_in(other) or other.is_flow_in(self)
        a, b = self.scale.spacing_mm, other.scale.spacing_mm
        return a is not None and b is not None and same_spacing(a, b, AGREEMENT if roughly else IDENTICAL)

    def is_flow_in(self, other: PictureItem) -> bool:
        """Whether it is a colour box wholly inside the tissue image `other`."""
        kinds = self.shows is Shows.COLOUR_FLOW and other.shows is Shows.TISSUE
        return kinds and self.box.intersection(other.box) == self.box


def read_regions(items: Sequence[Dataset], whole: RegionPx, pixel_aspect: float | None) -> tuple[Region, ...]:
    """The pictures of a frame `whole`, each with what is known of its scale; () where no item is a picture.

    `pixel_aspect` (height over width) is the shape of pixels about which the regions are silent. Never raises.
    """
    pictures = [item for item in items if _is_picture(item)]
    if not pictures:
        return ()
    if len(items) > MOST_ITEMS:
        return (_screen_without_scale(whole, Reason.CALIBRATION_CONFLICT, f"It names {len(items)} regions.", None),)
    traces = [item for item in items if _is_trace(item)]
    untold = [item for item in items if _is_untold(item)]
    bounded = [*pictures, *traces, *(item for item in untold if not _is_decoration(item))]
    if (detail := _resized(bounded, whole)) is not None:
        return _uncalibrated_boxes(pictures, whole, detail)
    found = _one_each([p for item in pictures if (p := _picture(item, whole)) is not None])
    if not found:
        return (_screen_without_scale(whole, Reason.NOT_CALIBRATED, "The region has no box.", pixel_aspect),)
    if len(found) > MOST_PICTURES:
        detail = f"It names {len(found)} two-dimensional regions."
        return (_screen_without_scale(whole, Reason.CALIBRATION_CONFLICT, detail, None),)
    covers = [box for item in traces if (box := _clipped(_ordered_box(item), whole)) is not None]
    others = [*found, *(p for item in untold if (p := _picture(item, whole)) is not None)]
    return tuple(
        _without_scale(picture, pixel_aspect) if picture.scale.spacing_mm is None else _region(picture, others, covers)
        for picture in found
    )


def _is_picture(item: Dataset) -> bool:
    return item.get("RegionSpatialFormat") == TWO_DIMENSIONAL and item.get("RegionDataType") in (TISSUE, COLOUR_FLOW)


def _is_trace(item: Dataset) -> bool:
    spatial_format = item.get("RegionSpatialFormat")
    return spatial_format in TRACES or (
        spatial_format == TWO_DIMENSIONAL and item.get("RegionDataType") in DOPPLER_DATA
    )


def _is_untold(item: Dataset) -> bool:
    """Neither picture nor trace by format and type (missing, 0, unknown, a bar), but with a plausible scale in cm."""
    return not _is_picture(item) and not _is_trace(item) and _scale(item).spacing_mm is not None


def _is_decoration(item: Dataset) -> bool:
    return item.get("RegionSpatialFormat") == GRAPHICS or item.get("RegionDataType") in BARS


def _shows(item: Dataset) -> Shows:
    if not _is_picture(item):
        return Shows.UNTOLD
    return Shows.TISSUE if item.get("RegionDataType") == TISSUE else Shows.COLOUR_FLOW


def _picture(item: Dataset, whole: RegionPx) -> PictureItem | None:
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
    return PictureItem(box, scale, isinstance(flags, int) and bool(flags & LOW_PRIORITY), _shows(item))


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


def _without_scale(picture: PictureItem, aspect: float | None) -> Region:
    """`aspect` is the shape of pixels about which the item is silent; what it says wrongly leaves none."""
    scale = picture.scale
    shape = aspect if scale.silent else None
    return Region(picture.box, None, CalibrationSource.NONE, scale.reason, detail=scale.detail, pixel_aspect=shape)


def _region(picture: PictureItem, others: Sequence[PictureItem], traces: Sequence[RegionPx]) -> Region:
    """The picture at its scale, with what lies over it and beside it."""
    strangers = [other for other in others if other is not picture and not other.has_scale_of(picture)]
    over = [other.box for other in strangers if _lies_over(other, picture)]
    return Region(
        picture.box,
        picture.scale.spacing_mm,
        CalibrationSource.ULTRASOUND_REGION,
        covered=tuple(shared for box in (*over, *traces) if (shared := picture.box.intersection(box)) is not None),
        beside=(*(other.box for other in strangers), *traces),
    )


def _lies_over(other: PictureItem, picture: PictureItem) -> bool:
    """Whether pixels of `picture` may belong to `other`, which has another scale or none."""
    if other.scale.silent and picture.box.intersection(other.box) == picture.box:
        return False
    return not (other.low_priority and not picture.low_priority)


def _one_each(pictures: Iterable[PictureItem]) -> list[PictureItem]:
    """Every picture once, in order: items about the same picture joined, those that cannot be seen left out."""
    found = sorted(pictures, key=lambda p: p.order)
    joined = True
    while joined:
        joined = _join_one_pair(found)
    return [p for p in found if not any(_hides(other, p) for other in found if other is not p)]


def _join_one_pair(pictures: list[PictureItem]) -> bool:
    """Replace the first two that are one picture by their union, in place; False where there are none."""
    for i, a in enumerate(pictures):
        for j in range(i + 1, len(pictures)):
            if (union := _union(a, pictures[j])) is not None:
                del pictures[j]
                pictures[i] = union
                pictures.sort(key=lambda p: p.order)
                return True
    return False


def _union(a: PictureItem, b: PictureItem) -> PictureItem | None:
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
    larger = max(a, b, key=lambda p: (p.box.area, p.shows is Shows.TISSUE))
    return PictureItem(around, larger.scale, a.low_priority and b.low_priority, larger.shows)


def _hides(other: PictureItem, picture: PictureItem) -> bool:
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
        if bound > end + _slack_px(end + 1):
            return f"A region reaches to {name} {bound} of an image that ends at {end}."
    if any(min(box.min_column, box.min_row) < 0 for box in boxes):
        return "A region begins before the image does."
    return None


def _slack_px(side: int) -> int:
    """By how many pixels a box may leave a side of so many: 1 to 4."""
    return max(EXCLUSIVE_BOUND_PX, min(MOST_SLACK_PX, int(SLACK * side)))


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


def _screen_without_scale(whole: RegionPx, reason: Reason, detail: str, aspect: float | None) -> Region:
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
