"""From frame to finding, with a network whose answer is known: what is bright is the head."""

from dataclasses import replace

import numpy as np
import pytest

from inference.dating import HADLOCK_1984
from inference.domain import (
    Abstention,
    CalibrationSource,
    EllipseMm,
    EllipsePx,
    Finding,
    Frame,
    Measurement,
    PixelSpacingMm,
    Reason,
    Region,
    RegionPx,
    Remark,
)
from inference.examine import Examiner
from inference.measure import circumference_mm, inside_distance_px, to_pixels
from inference.models import ModelEntry
from inference.preprocess import Grid, Normalisation
from inference.quality import Gate
from inference.segment import Segmenter
from inference.uncertainty import SizeInterval
from tests.unit.inference.test_segment import BrightIsHead

GATE = Gate(0.95, 0.02, 0.01, 40.0, 400.0, 62.0, 98.0)
MODEL = ModelEntry(
    "bright", "none", "none", "0" * 64, 0, Grid(256, 384), Normalisation(0.18, 0.2), 0.5, False, GATE,
    SizeInterval(0.95, (200.0,), (2.0, 4.0), (40, 40)), {}, "", "",
)  # fmt: skip
WHOLE = RegionPx(0, 0, 799, 539)
SQUARE = PixelSpacingMm(0.15, 0.15)


def examiner(model: ModelEntry = MODEL) -> Examiner:
    segmenter = Segmenter(BrightIsHead(), model.grid, model.normalisation, flip_average=False)
    return Examiner(segmenter, model, HADLOCK_1984)


def frame_of(*ellipses: EllipsePx, regions: tuple[Region, ...], shape: tuple[int, int] = (540, 800)) -> Frame:
    picture = np.zeros(shape, np.float32)
    for ellipse in ellipses:
        picture = np.maximum(picture, np.clip(0.5 + inside_distance_px(ellipse, *shape), 0, 1))
    return Frame(1, (picture * 255).astype(np.uint8), regions)


def finding(head: EllipsePx, region: Region | None = None, model: ModelEntry = MODEL) -> Finding:
    region = region or Region(WHOLE, SQUARE, CalibrationSource.ULTRASOUND_REGION)
    return examiner(model).examine([frame_of(head, regions=(region,))]).finding


@pytest.mark.parametrize("spacing", [SQUARE, PixelSpacingMm(0.12, 0.2), PixelSpacingMm(0.2, 0.12)])
def test_a_head_in_a_region_off_the_corner_is_measured(spacing: PixelSpacingMm) -> None:
    head_mm = EllipseMm(60.0, 35.0, 28.0, 22.0, 20.0)
    in_region = to_pixels(head_mm, spacing)
    box = RegionPx(130, 90, 929, 689)
    on_frame = replace(
        in_region, center_col_px=in_region.center_col_px + 130, center_row_px=in_region.center_row_px + 90
    )
    region = Region(box, spacing, CalibrationSource.ULTRASOUND_REGION)
    result = examiner().examine([frame_of(on_frame, regions=(region,), shape=(768, 1024))]).finding
    assert isinstance(result, Measurement)
    assert result.hc_mm == pytest.approx(circumference_mm(head_mm), rel=4e-3)
    assert result.bpd_mm == pytest.approx(44.0, rel=6e-3)
    assert result.ofd_mm == pytest.approx(56.0, rel=6e-3)
    assert result.ellipse.center_col_px == pytest.approx(on_frame.center_col_px, abs=0.5)
    assert result.ellipse.center_row_px == pytest.approx(on_frame.center_row_px, abs=0.5)


def test_a_measurement_is_rounded_and_carries_interval_age_and_remarks() -> None:
    result = finding(EllipsePx(400, 270, 220, 170, 10))
    assert isinstance(result, Measurement)
    assert result.hc_mm == round(result.hc_mm, 1)
    assert result.hc_interval is not None
    assert result.hc_interval.low < result.hc_mm < result.hc_interval.high
    assert result.age.days is not None
    assert {Remark.PLANE_NOT_VERIFIED, Remark.DO_NOT_REDATE} <= set(result.warnings)
    assert result.quality > 0.98


def test_without_a_calibrated_interval_there_is_none() -> None:
    result = finding(EllipsePx(400, 270, 220, 170, 10), model=replace(MODEL, interval=None))
    assert isinstance(result, Measurement)
    assert result.hc_interval is None
    assert result.age.interval is None
    assert Remark.INTERVAL_NOT_CALIBRATED in result.warnings


@pytest.mark.parametrize("reason", [None, Reason.IMPLAUSIBLE_SPACING, Reason.CALIBRATION_CONFLICT])
def test_without_a_scale_the_outline_is_shown_and_no_number(reason: Reason | None) -> None:
    region = Region(WHOLE, None, CalibrationSource.NONE, reason)
    result = finding(EllipsePx(400, 270, 220, 170, 10), region)
    assert isinstance(result, Abstention)
    assert result.reason is (reason or Reason.NOT_CALIBRATED)
    assert result.ellipse is not None
    assert result.ellipse.semi_major_px == pytest.approx(220, rel=5e-3)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (EllipsePx(400, 270, 3, 2, 0), Reason.NO_HEAD_FOUND),
        (EllipsePx(760, 270, 220, 170, 90), Reason.HEAD_CUT_BY_BORDER),
        (EllipsePx(400, 270, 220, 110, 0), Reason.IMPLAUSIBLE_SHAPE),
        (EllipsePx(400, 270, 170, 169, 0), Reason.IMPLAUSIBLE_SHAPE),
    ],
)
def test_what_cannot_be_a_whole_head_is_not_measured(head: EllipsePx, reason: Reason) -> None:
    result = finding(head)
    assert isinstance(result, Abstention)
    assert result.reason is reason


def test_a_head_too_small_for_any_age_is_not_measured() -> None:
    region = Region(WHOLE, PixelSpacingMm(0.05, 0.05), CalibrationSource.ULTRASOUND_REGION)
    result = finding(EllipsePx(400, 270, 100, 80, 0), region)
    assert isinstance(result, Abstention)
    assert result.reason is Reason.IMPLAUSIBLE_SIZE


def test_a_shape_that_is_no_ellipse_is_not_measured() -> None:
    picture = np.zeros((540, 800), np.uint8)
    picture[150:400, 250:550] = 255
    picture[150:270, 250:400] = 0
    region = Region(WHOLE, SQUARE, CalibrationSource.PIXEL_SPACING)
    result = examiner().examine([Frame(1, picture, (region,))]).finding
    assert isinstance(result, Abstention)
    assert result.reason is Reason.POOR_ELLIPSE_FIT


def test_an_empty_picture_has_no_head() -> None:
    region = Region(WHOLE, SQUARE, CalibrationSource.PIXEL_SPACING)
    result = examiner().examine([Frame(1, np.zeros((540, 800), np.uint8), (region,))]).finding
    assert isinstance(result, Abstention)
    assert result.reason is Reason.NO_HEAD_FOUND
    assert result.ellipse is None


def test_two_regions_are_measured_apart_and_the_measured_one_speaks() -> None:
    left = Region(RegionPx(0, 0, 399, 539), SQUARE, CalibrationSource.ULTRASOUND_REGION)
    right = Region(RegionPx(400, 0, 799, 539), PixelSpacingMm(0.3, 0.3), CalibrationSource.ULTRASOUND_REGION)
    heads = (EllipsePx(600, 270, 150, 120, 90),)
    result = examiner().examine([frame_of(*heads, regions=(left, right))])
    assert len(result.findings) == 2
    assert isinstance(result.findings[0], Abstention)
    assert isinstance(result.finding, Measurement)
    assert result.finding.spacing_mm == PixelSpacingMm(0.3, 0.3)


def test_the_best_frame_of_several_speaks_and_all_are_named() -> None:
    region = Region(WHOLE, SQUARE, CalibrationSource.ULTRASOUND_REGION)
    empty = Frame(1, np.zeros((540, 800), np.uint8), (region,))
    good = replace(frame_of(EllipsePx(400, 270, 220, 170, 10), regions=(region,)), number=5)
    result = examiner().examine([empty, good])
    assert result.frames_used == (1, 5)
    assert result.finding.frame == 5


@pytest.mark.parametrize(("columns", "remarked"), [(0, False), (4, False), (100, True)])
def test_colour_over_the_head_is_reported_by_its_share_of_the_area(columns: int, remarked: bool) -> None:
    head, box = EllipsePx(400, 270, 220, 170, 10), RegionPx(40, 30, 799, 539)
    frame = frame_of(head, regions=(Region(box, SQUARE, CalibrationSource.ULTRASOUND_REGION),))
    colour = np.zeros(frame.luminance.shape, np.bool_)
    colour[200:340, 300 : 300 + columns] = True
    colour[:, 700:] = True  # beside the head
    result = examiner().examine([replace(frame, colour=colour)]).finding
    assert isinstance(result, Measurement)
    assert result.colour_share == pytest.approx(140 * columns / (np.pi * 220 * 170), abs=5e-4)
    assert (Remark.COLOUR_OVER_HEAD in result.warnings) is remarked


def test_an_outline_without_a_scale_has_its_share_of_colour_too() -> None:
    frame = frame_of(EllipsePx(400, 270, 220, 170, 10), regions=(Region(WHOLE, None, CalibrationSource.NONE),))
    result = examiner().examine([replace(frame, colour=np.ones(frame.luminance.shape, np.bool_))]).finding
    assert isinstance(result, Abstention)
    assert result.colour_share == 1.0
    assert finding(EllipsePx(400, 270, 3, 2, 0)).colour_share is None
