"""Millimetres from a header: the only place that decides which attribute gives the scale, and when none does.

The rule, in this order:

1. Sequence of Ultrasound Regions (0018,6011): regions.py says which pictures there are and at which scale. Without a
   two-dimensional one there is nothing to measure (NO_TWO_DIMENSIONAL_REGION), and a region without a scale does not
   get one from elsewhere.
2. Without regions: Pixel Spacing (0028,0030), the whole frame, with its calibration type (PS3.3 10.7.1.3). One that
   only repeats Imager Pixel Spacing (0018,1164) and has no calibration type is the detector's, not the body's.
3. Without both, in a secondary capture: Nominal Scanned Pixel Spacing (0018,2010), which is that of the scanned film or
   paper (PS3.3 C.8.6.2); the measurement says so.
4. Without all: the whole frame, no scale. Never Imager Pixel Spacing. Pixel Aspect Ratio (0028,0034) gives shape only.

In 2 and 3 exactly 1\\1 without a calibration type is what toolkits write where they know nothing, and no scale.

A region that is there but cannot be trusted keeps its box, loses its scale and says why (`Region.reason`), so that the
outline can still be shown:

* NOT_CALIBRATED: no scale, or one that is not in cm;
* IMPLAUSIBLE_SPACING: outside 0.02 to 1.0 mm per pixel;
* CALIBRATION_CONFLICT: Pixel Spacing is there too and differs from this region's scale by more than 2 % and by more
  than its last digit tells; or Pixel Aspect Ratio, or the samples of a video, have another shape than the scale; or a
  box leaves the image; or its bounds are reversed. Pixel Spacing speaks for the whole frame, so on a dual screen of two
  scales it can only agree with one: the other is not measured.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_node.pixel_aspect import AspectClaim, aspect_claims, contradiction, pixel_aspect
from dicom_node.receive.contexts import is_secondary_capture
from dicom_node.regions import read_regions
from dicom_node.spacing import AGREEMENT, is_plausible, spacing_in, told, values_of
from inference.domain import SQUARE_PIXELS, CalibrationSource, PixelSpacingMm, Reason, Region, RegionPx, Remark

LARGEST_ROUNDING = 0.1
"""Relative. A last digit that stands for more (0.1 for anything from 0.05 to 0.15) would agree with everything."""

PLACEHOLDER = PixelSpacingMm(1.0, 1.0)

CALIBRATION_TYPES = ("GEOMETRY", "FIDUCIAL")
"""Defined terms of Pixel Spacing Calibration Type (0028,0A02)."""

_UNPRINTABLE = re.compile(r"[^ -\[\]-~]+")  # all but printable ASCII, and the backslash


@dataclass(frozen=True, slots=True)
class Calibration:
    """What can be measured in every frame. `reason` is set where no region has a scale; it is the first region's."""

    regions: tuple[Region, ...]
    reason: Reason | None


def calibrate(header: Dataset, rows: int, columns: int, sample_aspect: float | None = None) -> Calibration:
    """Apply the rule of this module to the header of a frame of `rows` x `columns` pixels. Never raises.

    `sample_aspect`: height over width of the samples of a video, None where it does not say.
    """
    items = [item for item in _sequence(header) if isinstance(item, Dataset)]
    whole, aspect = _whole(rows, columns), pixel_aspect(header, sample_aspect)
    regions = read_regions(items, whole, aspect) if items else (_whole_frame(header, whole, aspect),)
    if not regions:
        return Calibration((), Reason.NO_TWO_DIMENSIONAL_REGION)
    claims = aspect_claims(header, sample_aspect)
    regions = tuple(_without_conflict(region, header, claims) for region in regions)
    if is_secondary_capture(str(header.get("SOPClassUID", ""))):
        regions = tuple(replace(region, remarks=(Remark.SECONDARY_CAPTURE, *region.remarks)) for region in regions)
    return _summary(regions)


def given(spacing: PixelSpacingMm | None, rows: int, columns: int) -> Calibration:
    """The whole frame with a spacing that the user gave, or none."""
    whole = _whole(rows, columns)
    if spacing is None:
        return _summary((_uncalibrated(whole, SQUARE_PIXELS),))
    return _summary((_scaled(whole, spacing, CalibrationSource.GIVEN),))


def _whole(rows: int, columns: int) -> RegionPx:
    return RegionPx(0, 0, columns - 1, rows - 1)


def _summary(regions: tuple[Region, ...]) -> Calibration:
    calibrated = any(region.spacing_mm is not None for region in regions)
    return Calibration(regions, None if calibrated else regions[0].reason)


def _whole_frame(header: Dataset, whole: RegionPx, aspect: float | None) -> Region:
    """Steps 2 to 4 of the rule."""
    spacing = spacing_in(header, "PixelSpacing")
    if spacing is not None:
        detail = _calibration_type(header)
        if not detail and spacing == PLACEHOLDER:
            return _uncalibrated(whole, aspect, "Pixel Spacing is exactly 1 mm and has no type: a placeholder.")
        if not detail and spacing == spacing_in(header, "ImagerPixelSpacing"):
            return _uncalibrated(
                whole, None, "Pixel Spacing only repeats Imager Pixel Spacing, which is the detector's."
            )
        return _scaled(whole, spacing, CalibrationSource.PIXEL_SPACING, detail)
    scanned = spacing_in(header, "NominalScannedPixelSpacing")
    if scanned is not None and is_secondary_capture(str(header.get("SOPClassUID", ""))):
        if scanned == PLACEHOLDER:
            return _uncalibrated(whole, aspect, "Nominal Scanned Pixel Spacing is exactly 1 mm: a placeholder.")
        region = _scaled(whole, scanned, CalibrationSource.NOMINAL_SCANNED_PIXEL_SPACING)
        return replace(region, remarks=(Remark.SCALE_OF_SCANNED_MEDIUM,))
    return _uncalibrated(whole, aspect)


def _calibration_type(header: Dataset) -> str:
    """`FIDUCIAL: depth marks`, ASCII, or "" where Pixel Spacing has no known calibration type."""
    kind = str(header.get("PixelSpacingCalibrationType", "")).strip()
    if kind not in CALIBRATION_TYPES:
        return ""
    value = header.get("PixelSpacingCalibrationDescription")
    parts = [value] if isinstance(value, str) else values_of(value)  # a backslash in it made several values of one
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


def _without_conflict(region: Region, header: Dataset, claims: tuple[AspectClaim, ...]) -> Region:
    """The region, without its scale where Pixel Spacing has another one or the pixels have another shape."""
    if region.spacing_mm is None:
        return region
    detail = _other_spacing(region.spacing_mm, header) or contradiction(region.spacing_mm, claims)
    if not detail:
        return region
    return Region(region.box, None, CalibrationSource.NONE, Reason.CALIBRATION_CONFLICT, detail=detail)


def _other_spacing(scale: PixelSpacingMm, header: Dataset) -> str:
    """What Pixel Spacing says where that is another scale, in words; "" where it agrees or is absent."""
    spacing = spacing_in(header, "PixelSpacing")
    if spacing is None:
        return ""
    row, column = values_of(header.get("PixelSpacing"))
    if _agrees(scale.row, spacing.row, row) and _agrees(scale.column, spacing.column, column):
        return ""
    return f"The region says {told(scale)} per pixel (row x column), Pixel Spacing {told(spacing)}."


def _agrees(scale_mm: float, value_mm: float, written: object) -> bool:
    """Whether a value of Pixel Spacing may be a scale, rounded to the digits with which it is written (`str`)."""
    if math.isclose(scale_mm, value_mm, rel_tol=AGREEMENT):
        return True
    return abs(scale_mm - value_mm) <= min(_half_digit(written) * (1 + 1e-9), LARGEST_ROUNDING * value_mm)


def _half_digit(written: object) -> float:
    """Half a unit of the last digit of a decimal string (DS keeps it): 0.005 for `0.12`."""
    try:
        exponent = Decimal(str(written)).as_tuple().exponent
    except InvalidOperation:
        return 0.0
    return 0.5 * 10.0**exponent if isinstance(exponent, int) else 0.0


def _sequence(header: Dataset) -> Sequence | tuple[()]:
    value = header.get("SequenceOfUltrasoundRegions")
    return value if isinstance(value, Sequence) else ()
