"""Frames in, findings out: segment -> outline -> ellipse -> gate -> measurement or abstention, region by region."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.dating import Equation, date_by_hc, dating_warnings
from inference.domain import (
    Abstention,
    CalibrationSource,
    EllipseMm,
    EllipsePx,
    Examination,
    Finding,
    Frame,
    Measurement,
    ModelIdentity,
    PixelSpacingMm,
    Reason,
    Region,
    Remark,
)
from inference.measure import DegenerateFitError, circumference_mm, fit_ellipse_mm, inside_distance_px, shift, to_pixels
from inference.models import ModelEntry
from inference.preprocess import Letterbox
from inference.quality import Objection, object_to_outline, object_to_size
from inference.segment import Segmenter, largest_component, outline_points

SQUARE = PixelSpacingMm(1.0, 1.0)

NOTABLE_COLOUR_SHARE = 0.01
"""Share of the head's area from which colour is remarked (docs/decisions/0012): text and calipers stay below it, the
smallest colour box that shows a vessel does not."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What was seen in one region: the ellipse in region pixels and in mm (pixels where there is no scale)."""

    ellipse: EllipsePx
    ellipse_mm: EllipseMm
    overlap: float
    colour_share: float = 0.0


class Examiner:
    """One model and one equation, applied to frames."""

    def __init__(self, segmenter: Segmenter, model: ModelEntry, equation: Equation) -> None:
        self._segmenter = segmenter
        self._model = model
        self._equation = equation

    @property
    def model(self) -> ModelIdentity:
        return self._model.identity

    def examine(self, frames: Iterable[Frame]) -> Examination:
        """Look at every region of every frame; the measured finding of the best quality speaks for all."""
        began = time.perf_counter()
        findings: list[Finding] = []
        numbers: list[int] = []
        for frame in frames:
            numbers.append(frame.number)
            findings.extend(self.examine_region(frame, region) for region in frame.regions)
        if not findings:
            raise ValueError("an examination needs at least one region")
        return Examination(tuple(findings), _choose(findings), tuple(numbers), self.model, time.perf_counter() - began)

    def examine_region(self, frame: Frame, region: Region) -> Finding:
        """One region of one frame."""
        return self.judge(frame.number, region, self.outline(frame, region))

    def judge(self, frame: int, region: Region, outline: Outline | Objection) -> Finding:
        """What may be said about an outline in frame number `frame`."""
        if isinstance(outline, Objection):
            return _abstain(frame, region, outline, None)
        objection = object_to_outline(self._model.gate, outline.overlap, outline.ellipse, region.box)
        if objection is None and region.spacing_mm is None:
            objection = Objection(region.reason or Reason.NOT_CALIBRATED, "")
        elif objection is None:
            objection = object_to_size(self._model.gate, outline.ellipse_mm)
        if objection is not None:
            return _abstain(frame, region, objection, outline)
        return self._measure(frame, region, outline)

    def outline(self, frame: Frame, region: Region) -> Outline | Objection:
        """Find the head in one region, whatever its quality; an objection where nothing is found."""
        box = region.box
        crop = np.ascontiguousarray(frame.luminance[box.min_row : box.max_row + 1, box.min_column : box.max_column + 1])
        spacing = region.spacing_mm or SQUARE
        segmentation = self._segmenter(crop, region.spacing_mm)
        level = self._model.probability
        component = largest_component(segmentation.probability, level)
        if component.sum() < self._model.gate.lowest_area * segmentation.letterbox.area(*crop.shape):
            return Objection(Reason.NO_HEAD_FOUND, "")
        points = segmentation.letterbox.to_region(outline_points(segmentation.probability, component, level))
        try:
            fitted = fit_ellipse_mm(points * np.array([spacing.column, spacing.row]))
        except DegenerateFitError:
            return Objection(Reason.NO_HEAD_FOUND, "")
        ellipse = to_pixels(fitted, spacing)
        overlap = _overlap(component, ellipse, segmentation.letterbox)
        return Outline(ellipse, fitted, overlap, _colour_share(frame, region, ellipse))

    def _measure(self, frame: int, region: Region, outline: Outline) -> Measurement:
        """Round once, here."""
        assert region.spacing_mm is not None  # noqa: S101  the caller has checked
        hc_mm = round(circumference_mm(outline.ellipse_mm), 1)
        interval = None if self._model.interval is None else self._model.interval.around(hc_mm)
        age = date_by_hc(hc_mm, interval, self._equation)
        warnings = [Remark.PLANE_NOT_VERIFIED, *dating_warnings(hc_mm, age)]
        if interval is None:
            warnings.append(Remark.INTERVAL_NOT_CALIBRATED)
        if outline.colour_share >= NOTABLE_COLOUR_SHARE:
            warnings.append(Remark.COLOUR_OVER_HEAD)
        semi_major, semi_minor = outline.ellipse_mm.semi_major_mm, outline.ellipse_mm.semi_minor_mm
        return Measurement(
            frame=frame,
            region=region.box,
            spacing_mm=region.spacing_mm,
            calibration_source=region.calibration_source,
            ellipse=_to_frame(outline.ellipse, region),
            hc_mm=hc_mm,
            hc_interval=interval,
            bpd_mm=round(2.0 * semi_minor, 1),
            ofd_mm=round(2.0 * semi_major, 1),
            cephalic_index_percent=round(100.0 * semi_minor / semi_major, 1),
            age=age,
            quality=round(outline.overlap, 4),
            warnings=tuple(warnings),
            colour_share=round(outline.colour_share, 4),
        )


def _to_frame(ellipse: EllipsePx, region: Region) -> EllipsePx:
    return shift(ellipse, region.box.min_column, region.box.min_row)


def _abstain(frame: int, region: Region, objection: Objection, outline: Outline | None) -> Abstention:
    return Abstention(
        frame=frame,
        region=region.box,
        spacing_mm=region.spacing_mm,
        calibration_source=region.calibration_source if region.spacing_mm else CalibrationSource.NONE,
        reason=objection.reason,
        detail=objection.detail,
        ellipse=None if outline is None else _to_frame(outline.ellipse, region),
        quality=None if outline is None else round(outline.overlap, 4),
        colour_share=None if outline is None else round(outline.colour_share, 4),
    )


def _colour_share(frame: Frame, region: Region, ellipse: EllipsePx) -> float:
    """Share of the ellipse (region pixels), as far as it lies in the region, that shows colour."""
    if frame.colour is None:
        return 0.0
    box = region.box
    colour = frame.colour[box.min_row : box.max_row + 1, box.min_column : box.max_column + 1]
    inside = inside_distance_px(ellipse, *colour.shape) > 0
    return int((colour & inside).sum()) / max(1, int(inside.sum()))


def _overlap(component: NDArray[np.bool_], ellipse: EllipsePx, letterbox: Letterbox) -> float:
    """Dice overlap of the mask and the fitted ellipse on the network's grid; what lies beyond the grid is cut."""
    centre = letterbox.to_grid(np.array([[ellipse.center_col_px, ellipse.center_row_px]]))[0]
    on_grid = _scaled(ellipse, letterbox, centre)
    inside = inside_distance_px(on_grid, *component.shape) > 0
    total = int(inside.sum()) + int(component.sum())
    return 2.0 * int((inside & component).sum()) / total if total else 0.0


def _scaled(ellipse: EllipsePx, letterbox: Letterbox, centre: NDArray[np.float64]) -> EllipsePx:
    as_mm = EllipseMm(0.0, 0.0, ellipse.semi_major_px, ellipse.semi_minor_px, ellipse.angle_deg)
    scaled = to_pixels(as_mm, PixelSpacingMm(1.0 / letterbox.row_scale, 1.0 / letterbox.column_scale))
    return shift(scaled, float(centre[0]), float(centre[1]))


def _choose(findings: list[Finding]) -> int:
    """The measured finding of the best quality; without one, the first that saw an outline; else the first."""

    def rank(finding: Finding) -> tuple[int, float]:
        if isinstance(finding, Measurement):
            return (2, finding.quality)
        return (0, 0.0) if finding.ellipse is None else (1, finding.quality or 0.0)

    return max(range(len(findings)), key=lambda i: (rank(findings[i]), -i))
