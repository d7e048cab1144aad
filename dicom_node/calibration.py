"""Millimetres from a header: the only place that decides which attribute gives the scale, and when none does.

The rule, in this order:

1. Sequence of Ultrasound Regions (0018,6011): regions.py says which pictures there are and at which scale. Without a
   two-dimensional one there is nothing to measure (NO_TWO_DIMENSIONAL_REGION), and a region without a scale does not
   get one from elsewhere.
2. Without regions: Pixel Spacing (0028,0030), the whole frame, with its calibration type (PS3.3 10.7.1.3). One that
   only repeats Imager Pixel Spacing (0018,1164) and has no calibration type is the detector's, not the body's.
3. Without both, in a secondary capture: Nominal Scanned Pixel Spacing (0018,2010), which is that of the scanned film or
   paper (PS3.3 C.8.6.2); the measurement says so.
4. Without all: the whole frame, no scale. Never Imager Pixel Spacing. Pixel Aspect Ratio (0028,0034) gives shape only,
   and 1:1 is what it says by being absent (PS3.3 C.7.6.3.1.7).

A region that is there but cannot be trusted keeps its box, loses its scale and says why (`Region.reason`), so that the
outline can still be shown:

* NOT_CALIBRATED: no scale, or one that is not in cm;
* IMPLAUSIBLE_SPACING: outside 0.02 to 1.0 mm per pixel;
* CALIBRATION_CONFLICT: Pixel Spacing is there too and differs from this region's scale by more than 2 %; or a box
  leaves the image; or its bounds are reversed. Pixel Spacing speaks for the whole frame, so on a dual screen of two
  scales it can only agree with one: the other is not measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_node.receive.contexts import is_secondary_capture
from dicom_node.regions import is_plausible, read_regions, same_spacing, spacing_of, told
from inference.domain import CalibrationSource, PixelSpacingMm, Reason, Region, RegionPx, Remark

AGREEMENT = 0.02
"""Relative; between a region's scale and Pixel Spacing."""

SQUARE_PIXELS = 1.0
PLAUSIBLE_ASPECT = (0.2, 5.0)
CALIBRATION_TYPES = ("GEOMETRY", "FIDUCIAL")
"""Defined terms of Pixel Spacing Calibration Type (0028,0A02)."""

_UNPRINTABLE = re.compile(r"[^ -\[\]-~]+")  # all but printable ASCII, and the backslash


@dataclass(frozen=True, slots=True)
class Calibration:
    """What can be measured in every frame. `reason` is set where no region has a scale; it is the first region's."""

    regions: tuple[Region, ...]
    reason: Reason | None


def calibrate(header: Dataset, rows: int, columns: int) -> Calibration:
    """Apply the rule of this module to the header of a frame of `rows` x `columns` pixels. Never raises."""
    items = [item for item in _sequence(header) if isinstance(item, Dataset)]
    whole = _whole(rows, columns)
    regions = read_regions(items, whole, pixel_aspect(header)) if items else (_whole_frame(header, whole),)
    if not regions:
        return Calibration((), Reason.NO_TWO_DIMENSIONAL_REGION)
    spacing = pixel_spacing(header)
    if items and spacing is not None:
        regions = tuple(_checked(region, spacing) for region in regions)
    if is_secondary_capture(str(header.get("SOPClassUID", ""))):
        regions = tuple(replace(region, remarks=(Remark.SECONDARY_CAPTURE, *region.remarks)) for region in regions)
    return _summary(regions)


def given(spacing: PixelSpacingMm | None, rows: int, columns: int) -> Calibration:
    """The whole frame with a spacing that the user gave, or none."""
    whole = _whole(rows, columns)
    if spacing is None:
        return _summary((_uncalibrated(whole, SQUARE_PIXELS),))
    return _summary((_scaled(whole, spacing, CalibrationSource.GIVEN),))


def pixel_spacing(header: Dataset) -> PixelSpacingMm | None:
    """Pixel Spacing (0028,0030): row spacing first, then column spacing, in mm (PS3.3 10.7.1.3)."""
    return _pair(header, "PixelSpacing")


def pixel_aspect(header: Dataset) -> float | None:
    """Height over width of pixels by Pixel Aspect Ratio (0028,0034); 1 where absent, None where it is nonsense."""
    if not header.get("PixelAspectRatio"):
        return SQUARE_PIXELS
    pair = _pair(header, "PixelAspectRatio")
    low, high = PLAUSIBLE_ASPECT
    return pair.row / pair.column if pair is not None and low <= pair.row / pair.column <= high else None


def _whole(rows: int, columns: int) -> RegionPx:
    return RegionPx(0, 0, columns - 1, rows - 1)


def _summary(regions: tuple[Region, ...]) -> Calibration:
    calibrated = any(region.spacing_mm is not None for region in regions)
    return Calibration(regions, None if calibrated else regions[0].reason)


def _whole_frame(header: Dataset, whole: RegionPx) -> Region:
    """Steps 2 to 4 of the rule."""
    spacing = pixel_spacing(header)
    if spacing is not None:
        detail = _calibration_type(header)
        if not detail and spacing == _pair(header, "ImagerPixelSpacing"):
            return _uncalibrated(
                whole, None, "Pixel Spacing only repeats Imager Pixel Spacing, which is the detector's."
            )
        return _scaled(whole, spacing, CalibrationSource.PIXEL_SPACING, detail)
    scanned = _pair(header, "NominalScannedPixelSpacing")
    if scanned is not None and is_secondary_capture(str(header.get("SOPClassUID", ""))):
        region = _scaled(whole, scanned, CalibrationSource.NOMINAL_SCANNED_PIXEL_SPACING)
        return replace(region, remarks=(Remark.SCALE_OF_SCANNED_MEDIUM,))
    return _uncalibrated(whole, pixel_aspect(header))


def _calibration_type(header: Dataset) -> str:
    """`FIDUCIAL: depth marks`, ASCII, or "" where Pixel Spacing has no known calibration type."""
    kind = str(header.get("PixelSpacingCalibrationType", "")).strip()
    if kind not in CALIBRATION_TYPES:
        return ""
    value = header.get("PixelSpacingCalibrationDescription")
    parts = [value] if isinstance(value, str) else _list(value)  # a backslash in it made several values of one
    words = " ".join(part for part in parts if isinstance(part, str))
    description = " ".join(_UNPRINTABLE.sub(" ", words).split())[:64]
    return f"{kind}: {description}" if description else kind


def _scaled(whole: RegionPx, spacing: PixelSpacingMm, source: CalibrationSource, detail: str = "") -> Region:
    if not is_plausible(spacing):
        says = f"It says {told(spacing)} per pixel (row x column)."
        return Region(whole, None, CalibrationSource.NONE, Reason.IMPLAUSIBLE_SPACING, detail=says)
    return Region(whole, spacing, source, calibration_detail=detail)


def _uncalibrated(whole: RegionPx, aspect: float | None, detail: str = "") -> Region:
    return Region(whole, None, CalibrationSource.NONE, Reason.NOT_CALIBRATED, detail=detail, pixel_aspect=aspect)


def _checked(region: Region, spacing: PixelSpacingMm) -> Region:
    """The region, without its scale where Pixel Spacing has another."""
    if region.spacing_mm is None or same_spacing(region.spacing_mm, spacing, AGREEMENT):
        return region
    both = f"The region says {told(region.spacing_mm)} per pixel (row x column), Pixel Spacing {told(spacing)}."
    return Region(region.box, None, CalibrationSource.NONE, Reason.CALIBRATION_CONFLICT, detail=both)


def _pair(header: Dataset, keyword: str) -> PixelSpacingMm | None:
    """Two positive numbers, the vertical one first."""
    numbers = _list(header.get(keyword))
    return spacing_of(numbers[0], numbers[1]) if len(numbers) == 2 else None


def _list(value: object) -> list[object]:
    """The values of a multi-valued attribute; none of what is not one."""
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes | Dataset) else []


def _sequence(header: Dataset) -> Sequence | tuple[()]:
    value = header.get("SequenceOfUltrasoundRegions")
    return value if isinstance(value, Sequence) else ()
