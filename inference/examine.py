"""Frames in, findings out: segment -> outline -> ellipse -> gate -> measurement or abstention, region by region."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inference.agreement import agree
from inference.appearance import UNSEEN, Appearance, appearance
from inference.consensus import consensus, sizes_of, two_sizes
from inference.dating import Equation, date_by_hc, dating_warnings
from inference.domain import (
    SQUARE_PIXELS,
    Abstention,
    CalibrationSource,
    EllipseMm,
    EllipsePx,
    Examination,
    Explanation,
    Finding,
    Frame,
    Map,
    Measurement,
    ModelIdentity,
    PixelSpacingMm,
    Reason,
    Region,
    RegionPx,
    Remark,
)
from inference.evidence import LOST, gather_evidence
from inference.explain import deviation_among_frames, explain
from inference.measure import (
    DegenerateFitError,
    circumference_mm,
    fit_ellipse_mm,
    inside_distance_px,
    relative_residual,
    shift,
    to_pixels,
)
from inference.models import ModelEntry
from inference.preprocess import Letterbox
from inference.quality import (
    FAULTLESS,
    NOTABLE_COLOUR_SHARE,
    NOTABLE_MARK_SHARE,
    Mask,
    Objection,
    object_to_colour,
    object_to_doubt,
    object_to_mask,
    object_to_outline,
    object_to_picture,
    object_to_place,
    object_to_shape,
    object_to_size,
    object_to_strangeness,
)
from inference.segment import Segmentation, Segmenter, hesitation, second_part, trace
from inference.uncertainty import Doubts, Evidence
from inference.weakness import is_weak


@dataclass(frozen=True, slots=True)
class Outline:
    """What was seen in one region: the ellipse in region pixels and in mm (pixels where there is no scale)."""

    ellipse: EllipsePx
    ellipse_mm: EllipseMm
    overlap: float
    evidence: Evidence
    colour_share: float = 0.0
    mask: Mask = FAULTLESS
    appearance: Appearance = UNSEEN


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
        """Look at every region of every frame; one measured finding speaks for all.

        It is of the region that has the one of the best quality; of several frames of that region it is the one that
        their consensus chooses (`inference.consensus`). Where another region contradicts it, or its own frames show two
        sizes, nobody does: `Examination.objection`.
        """
        began = time.perf_counter()
        findings: list[Finding] = []
        doubts: list[float] = []
        numbers: list[int] = []
        for frame in frames:
            numbers.append(frame.number)
            for region in frame.regions:
                outline = self.outline(frame, region)
                findings.append(self.judge(frame.number, region, outline))
                doubts.append(doubt_of(outline))
        if not findings:
            raise ValueError("an examination needs at least one region")
        seconds = time.perf_counter() - began
        chosen, objection = _choose(findings), _disagreement(findings)
        places = [place for place, finding in enumerate(findings) if finding.region == findings[chosen].region]
        beside = [findings[place] for place in places]
        objection = objection or _two_heads(beside)
        together = None
        if len(beside) > 1 and objection is None:
            together = consensus(beside, [doubts[place] for place in places])
        if together is not None:
            chosen = _place_of(findings, findings[chosen].region, together.freeze_frame)
        return Examination(tuple(findings), chosen, tuple(numbers), self.model, seconds, objection, together)

    def examine_region(self, frame: Frame, region: Region) -> Finding:
        """One region of one frame."""
        return self.judge(frame.number, region, self.outline(frame, region))

    def judge(self, frame: int, region: Region, outline: Outline | Objection) -> Finding:
        """What may be said about an outline in frame number `frame`."""
        if isinstance(outline, Objection):
            return _abstain(frame, region, outline, None)
        objection = self._object_to_outline(region, outline)
        if objection is None and region.spacing_mm is None:
            return self._not_calibrated(frame, region, outline)
        objection = objection or object_to_size(self._model.gate, outline.ellipse_mm)
        if objection is not None:
            return _abstain(frame, region, objection, outline)
        return self._measure(frame, region, outline)

    def _object_to_outline(self, region: Region, outline: Outline) -> Objection | None:
        """The first objection that needs no scale."""
        gate = self._model.gate
        return (
            object_to_place(_to_frame(outline.ellipse, region), region)
            or object_to_outline(gate, outline.overlap, outline.ellipse, region.box)
            or object_to_mask(gate, outline.mask)
            or object_to_colour(outline.colour_share)
            or object_to_picture(gate, outline.appearance)
            or object_to_strangeness(gate, outline.mask, outline.appearance)
            or object_to_doubt(gate, outline.evidence)
        )

    def _not_calibrated(self, frame: int, region: Region, outline: Outline) -> Abstention:
        """No millimetres; the shape is told where that of the pixels is known and the outline could be a head."""
        objection = Objection(region.reason or Reason.NOT_CALIBRATED, region.detail)
        if region.pixel_aspect is None:
            return _abstain(frame, region, objection, outline)
        shape = object_to_shape(self._model.gate, outline.ellipse_mm)
        if shape is not None:
            return _abstain(frame, region, shape, outline)
        return replace(_abstain(frame, region, objection, outline), cephalic_index_percent=_cephalic_index(outline))

    def outline(self, frame: Frame, region: Region) -> Outline | Objection:
        """Find the head in one region, whatever its quality; an objection where nothing is found."""
        segmentation = self._segmenter(frame.within(region.box), _spacing_or_shape(region))
        return self.outline_in(segmentation, frame, region)

    def outline_in(self, segmentation: Segmentation, frame: Frame, region: Region) -> Outline | Objection:
        """The head in what a network answered for the region, as `outline` reads it; whichever network it was."""
        crop = frame.within(region.box)
        spacing = _spacing_or_shape(region)
        seen = trace(segmentation.probability, self._model.probability, self._model.slope_power)
        if seen is None or seen.component.sum() < self._model.gate.lowest_area * segmentation.letterbox.area(
            *crop.shape
        ):
            return Objection(Reason.NO_HEAD_FOUND, "")
        points_mm = segmentation.letterbox.to_region(seen.points) * np.array([spacing.column, spacing.row])
        try:
            fitted = fit_ellipse_mm(points_mm, seen.weights)
        except DegenerateFitError:
            return Objection(Reason.NO_HEAD_FOUND, "")
        ellipse = to_pixels(fitted, spacing)
        overlap = _overlap(seen.component, ellipse, segmentation.letterbox)
        evidence = gather_evidence(segmentation, self._model.probability, self._model.slope_power)
        return Outline(
            ellipse,
            fitted,
            overlap,
            evidence,
            _colour_share(frame, region, ellipse),
            Mask(
                relative_residual(fitted, points_mm),
                second_part(segmentation.probability, self._model.probability),
                hesitation(segmentation.probability, seen.component),
            ),
            appearance(crop, fitted, spacing),
        )

    def explain(self, frame: Frame, measurement: Measurement) -> Explanation:
        """Why a measurement of this frame has its outline: a second look of its own, only for who asks."""
        return explain(self._segmenter, frame, measurement, self._model.probability)

    def differ(self, seen: Iterable[tuple[Frame, Measurement]], speaks: Measurement) -> Map:
        """How far frames of a cine differ about the outline of the one that speaks; a look at each, for who asks."""
        return deviation_among_frames(self._segmenter, seen, speaks)

    def _measure(self, frame: int, region: Region, outline: Outline) -> Measurement:
        """Round once, here."""
        assert region.spacing_mm is not None  # noqa: S101  the caller has checked
        hc_mm = round(circumference_mm(outline.ellipse_mm), 1)
        doubts = Doubts(hc_mm, outline.evidence, outline.appearance.weak_echo)
        interval = None if self._model.interval is None else self._model.interval.around(doubts)
        age = date_by_hc(hc_mm, interval, self._equation)
        warnings = [Remark.PLANE_NOT_VERIFIED, *dating_warnings(hc_mm, age)]
        if interval is None:
            warnings.append(Remark.INTERVAL_NOT_CALIBRATED)
        if is_weak(self._model.weak_sizes, hc_mm):
            warnings.append(Remark.WEAK_AT_THIS_SIZE)
        if outline.colour_share >= NOTABLE_COLOUR_SHARE:
            warnings.append(Remark.COLOUR_OVER_HEAD)
        if outline.appearance.marks >= NOTABLE_MARK_SHARE:
            warnings.append(Remark.MARKS_ON_SKULL)
        warnings += region.remarks
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
            cephalic_index_percent=_cephalic_index(outline),
            age=age,
            quality=round(outline.overlap, 4),
            warnings=tuple(warnings),
            colour_share=round(outline.colour_share, 4),
            calibration_detail=region.calibration_detail,
        )


def doubt_of(outline: Outline | Objection) -> float:
    """How unsure an outline is: how far HC moves with the level of probability at which it is drawn (ln of a ratio)."""
    return LOST if isinstance(outline, Objection) else outline.evidence.relative_level_spread


def _spacing_or_shape(region: Region) -> PixelSpacingMm:
    """The spacing; without one, the shape of the pixels in units of their own width."""
    return region.spacing_mm or PixelSpacingMm(region.pixel_aspect or SQUARE_PIXELS, 1.0)


def _cephalic_index(outline: Outline) -> float:
    return round(100.0 * outline.ellipse_mm.semi_minor_mm / outline.ellipse_mm.semi_major_mm, 1)


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
        calibration_detail=region.calibration_detail,
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


def _disagreement(findings: list[Finding]) -> Abstention | None:
    """An abstention where the best findings of two regions do not fit together: two heads, or one wrong scale."""
    best: dict[RegionPx, Measurement] = {}
    for finding in findings:
        if isinstance(finding, Measurement):
            known = best.get(finding.region)
            best[finding.region] = finding if known is None or finding.quality > known.quality else known
    if agree(best.values()):
        return None
    values = " and ".join(f"{m.hc_mm:.1f}" for m in best.values())
    frame = max(best.values(), key=lambda m: m.quality).frame
    detail = f"HC would be {values} mm."
    return Abstention(frame, None, None, CalibrationSource.NONE, Reason.REGIONS_DISAGREE, detail, None, None)


def _choose(findings: list[Finding]) -> int:
    """The measured finding of the best quality; without one, the first that saw an outline; else the first."""

    def rank(finding: Finding) -> tuple[int, float]:
        if isinstance(finding, Measurement):
            return (2, finding.quality)
        return (0, 0.0) if finding.ellipse is None else (1, finding.quality or 0.0)

    return max(range(len(findings)), key=lambda i: (rank(findings[i]), -i))


def _two_heads(beside: Sequence[Finding]) -> Abstention | None:
    """An abstention where the frames of one region show two sizes: a sweep over two heads, or over more than a head."""
    sizes = two_sizes(sizes_of(beside))
    if sizes is None:
        return None
    values = " or ".join(f"{size.low:.1f} to {size.high:.1f}" for size in sizes)
    frame = max((f for f in beside if isinstance(f, Measurement)), key=lambda head: head.quality).frame
    return Abstention(
        frame, None, None, CalibrationSource.NONE, Reason.TWO_SIZES, f"HC would be {values} mm.", None, None
    )


def _place_of(findings: list[Finding], region: RegionPx | None, frame: int) -> int:
    return next(place for place, one in enumerate(findings) if (one.region, one.frame) == (region, frame))
