"""From frame to finding, with a network whose answer is known: what is bright is the head."""

from dataclasses import replace

import numpy as np
import pytest

from inference.dating import HADLOCK_1984
from inference.domain import (
    REMARK_TEXT,
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
from inference.look import Look
from inference.measure import circumference_mm, inside_distance_px, outline_px, to_pixels
from inference.models import ModelEntry
from inference.preprocess import Grid, Normalisation
from inference.quality import Gate
from inference.segment import Segmenter
from inference.training.summary import WEAK_RATIO
from inference.uncertainty import ConformalInterval, Scale
from inference.weakness import WeakSize
from tests.unit.inference.test_segment import BrightIsHead

GATE = Gate(0.95, 0.02, 0.01, 40.0, 400.0, 62.0, 98.0)
MODEL = ModelEntry(
    "bright", "none", "none", "0" * 64, 0, Grid(256, 384), Normalisation(0.18, 0.2), 0.5, 0.0, Look(), GATE,
    ConformalInterval(0.95, Scale(), (200.0,), (2.0, 4.0), (40, 40)), {}, "", "",
)  # fmt: skip
WHOLE = RegionPx(0, 0, 799, 539)
SQUARE = PixelSpacingMm(0.15, 0.15)


def examiner(model: ModelEntry = MODEL) -> Examiner:
    segmenter = Segmenter(BrightIsHead(), model.grid, model.normalisation, Look())
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


def test_of_several_frames_the_one_nearest_to_their_consensus_speaks() -> None:
    region = Region(WHOLE, SQUARE, CalibrationSource.ULTRASOUND_REGION)
    sizes = (200.0, 203.0, 206.0, 240.0)
    frames = [
        replace(frame_of(EllipsePx(400, 270, size, 0.8 * size, 10), regions=(region,)), number=number)
        for number, size in enumerate(sizes, start=1)
    ]
    result = examiner().examine(frames)
    together = result.consensus
    assert together is not None
    assert (result.finding.frame, together.freeze_frame, together.weights[3]) == (2, 2, 0.0)
    assert isinstance(result.finding, Measurement)
    assert result.finding.hc_mm == pytest.approx(together.hc_mm, abs=0.2)
    assert examiner().examine(frames[:1]).consensus is None


def test_a_frame_with_a_soft_outline_does_not_speak_though_it_lies_nearest_to_the_consensus() -> None:
    region = Region(WHOLE, SQUARE, CalibrationSource.ULTRASOUND_REGION)
    frames = [
        replace(frame_of(EllipsePx(400, 270, axis, 0.8 * axis, 10), regions=(region,)), number=number)
        for number, axis in ((2, 217.0), (3, 221.0), (4, 222.0))
    ]
    inside = inside_distance_px(EllipsePx(400, 270, 220.0, 176.0, 10), 540, 800)
    soft = Frame(1, (np.clip(0.5 + inside / 60.0, 0, 1) * 255).astype(np.uint8), (region,))
    result = examiner().examine([soft, *frames])
    together = result.consensus
    assert together is not None
    assert all(isinstance(f, Measurement) for f in result.findings)
    assert (result.finding.frame, together.freeze_frame) == (3, 3)


@pytest.mark.parametrize(("columns", "remarked"), [(0, False), (4, False), (80, True)])
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


@pytest.mark.parametrize(("columns", "share"), [(145, 0.36), (65, 0.12)])
def test_under_a_tenth_of_colour_there_is_an_outline_and_no_number(columns: int, share: float) -> None:
    frame = frame_of(EllipsePx(400, 270, 220, 170, 10), regions=(Region(WHOLE, SQUARE, CalibrationSource.GIVEN),))
    colour = np.zeros(frame.luminance.shape, np.bool_)
    colour[:, 200 : 200 + columns] = True
    result = examiner().examine([replace(frame, colour=colour)]).finding
    assert isinstance(result, Abstention)
    assert result.reason is Reason.HEAD_UNDER_COLOUR
    assert result.detail == f"{result.colour_share:.0%} of the outline's area is coloured."
    assert result.colour_share == pytest.approx(share, abs=0.05)
    assert result.ellipse is not None


def test_an_outline_without_a_scale_has_its_share_of_colour_too() -> None:
    frame = frame_of(EllipsePx(400, 270, 220, 170, 10), regions=(Region(WHOLE, None, CalibrationSource.NONE),))
    result = examiner().examine([replace(frame, colour=np.ones(frame.luminance.shape, np.bool_))]).finding
    assert isinstance(result, Abstention)
    assert result.colour_share == 1.0
    assert finding(EllipsePx(400, 270, 3, 2, 0)).colour_share is None


@pytest.mark.parametrize("aspect", [1.0, 1.25, 0.8])
def test_without_a_scale_the_shape_is_told_where_that_of_the_pixels_is_known(aspect: float) -> None:
    head = EllipseMm(400.0, 270.0 * aspect, 170.0, 136.0, 30.0)  # in widths of a pixel
    region = Region(WHOLE, None, CalibrationSource.NONE, Reason.NOT_CALIBRATED, "Why.", pixel_aspect=aspect)
    result = finding(to_pixels(head, PixelSpacingMm(aspect, 1.0)), region)
    assert isinstance(result, Abstention)
    assert (result.reason, result.detail) == (Reason.NOT_CALIBRATED, "Why.")
    assert result.cephalic_index_percent == pytest.approx(80.0, abs=0.5)
    assert result.quality is not None
    assert result.quality > 0.98


def test_without_a_known_shape_of_the_pixels_there_is_no_index() -> None:
    region = Region(WHOLE, None, CalibrationSource.NONE, Reason.CALIBRATION_CONFLICT)
    result = finding(EllipsePx(400, 270, 170, 136, 30), region)
    assert isinstance(result, Abstention)
    assert result.ellipse is not None
    assert result.cephalic_index_percent is None


def test_an_outline_that_can_be_no_head_has_no_index_without_a_scale_either() -> None:
    region = Region(WHOLE, None, CalibrationSource.NONE, Reason.NOT_CALIBRATED, pixel_aspect=1.0)
    result = finding(EllipsePx(400, 270, 220, 110, 0), region)
    assert isinstance(result, Abstention)
    assert (result.reason, result.cephalic_index_percent) == (Reason.IMPLAUSIBLE_SHAPE, None)


@pytest.mark.parametrize(
    ("strip", "reason"),
    [
        (RegionPx(0, 500, 799, 539), None),  # far below the head
        (RegionPx(0, 430, 799, 539), Reason.OVERLAPPING_REGION),  # over its lower edge
        (RegionPx(390, 260, 410, 280), Reason.OVERLAPPING_REGION),  # wholly inside
        (RegionPx(180, 270, 182, 272), Reason.OVERLAPPING_REGION),  # a few pixels at one end
        (RegionPx(170, 100, 200, 130), None),  # in the corner of the box around the head, not in the head
    ],
)
def test_what_lies_over_the_head_takes_the_number_and_what_lies_elsewhere_does_not(
    strip: RegionPx, reason: Reason | None
) -> None:
    region = Region(WHOLE, SQUARE, CalibrationSource.ULTRASOUND_REGION, covered=(strip,), beside=(strip,))
    result = finding(EllipsePx(400, 270, 220, 170, 0), region)
    assert (result.reason if isinstance(result, Abstention) else None) is reason


def test_a_region_that_gives_way_takes_nothing_inside_the_other() -> None:
    below = RegionPx(0, 250, 799, 600)
    region = Region(WHOLE, SQUARE, CalibrationSource.ULTRASOUND_REGION, beside=(below,))
    assert isinstance(finding(EllipsePx(400, 270, 220, 170, 0), region), Measurement)


LEFT, RIGHT = RegionPx(0, 0, 399, 539), RegionPx(400, 0, 799, 539)
WIDER = PixelSpacingMm(0.3, 0.3)


def dual(left: PixelSpacingMm, right: PixelSpacingMm) -> tuple[Region, Region]:
    other = left != right
    return (
        Region(LEFT, left, CalibrationSource.ULTRASOUND_REGION, beside=(RIGHT,) if other else ()),
        Region(RIGHT, right, CalibrationSource.ULTRASOUND_REGION, beside=(LEFT,) if other else ()),
    )


@pytest.mark.parametrize("column", [395, 400, 402, 405, 350, 300, 281])
def test_a_head_that_crosses_into_another_scale_is_refused_by_name(column: int) -> None:
    head = EllipsePx(column, 270, 120, 95, 0)
    result = examiner().examine([frame_of(head, regions=dual(SQUARE, WIDER))])
    assert not [f for f in result.findings if isinstance(f, Measurement)]
    assert isinstance(result.finding, Abstention)
    assert result.finding.reason is Reason.CROSSES_REGIONS


def test_a_head_across_two_regions_of_one_scale_is_cut_by_their_border() -> None:
    result = examiner().examine([frame_of(EllipsePx(400, 270, 120, 95, 0), regions=dual(SQUARE, SQUARE))])
    assert not [f for f in result.findings if isinstance(f, Measurement)]


def test_heads_of_one_size_on_a_dual_screen_of_two_scales_agree() -> None:
    heads = EllipsePx(200, 270, 180, 144, 90), EllipsePx(600, 270, 90, 72, 90)
    result = examiner().examine([frame_of(*heads, regions=dual(SQUARE, WIDER))])
    assert all(isinstance(f, Measurement) for f in result.findings)
    assert isinstance(result.finding, Measurement)
    assert result.finding.hc_mm == pytest.approx(153.0, rel=5e-3)


def test_a_sweep_over_heads_of_two_sizes_has_no_number() -> None:
    heads = [EllipsePx(400, 270, half, 0.8 * half, 90) for half in (180, 130, 181, 131)]
    regions = (Region(WHOLE, SQUARE, CalibrationSource.ULTRASOUND_REGION),)
    frames = [replace(frame_of(one, regions=regions), number=number) for number, one in enumerate(heads, start=1)]
    result = examiner().examine(frames)
    assert all(isinstance(f, Measurement) for f in result.findings)
    assert isinstance(result.finding, Abstention)
    assert (result.finding.reason, result.consensus) == (Reason.TWO_SIZES, None)
    small, _, _, large = sorted(f.hc_mm for f in result.findings if isinstance(f, Measurement))
    assert f"{small:.1f} to " in result.finding.detail
    assert f"to {large:.1f} mm" in result.finding.detail


@pytest.mark.parametrize("interval", [MODEL.interval, None])
def test_heads_of_two_sizes_leave_no_number_to_speak_for_the_object(interval: ConformalInterval | None) -> None:
    heads = EllipsePx(200, 270, 180, 144, 90), EllipsePx(600, 270, 130, 104, 90)
    frame = frame_of(*heads, regions=dual(SQUARE, SQUARE))
    result = examiner(replace(MODEL, interval=interval)).examine([frame])
    small, large = sorted(f.hc_mm for f in result.findings if isinstance(f, Measurement))
    assert isinstance(result.finding, Abstention)
    assert (result.finding.reason, result.finding.ellipse) == (Reason.REGIONS_DISAGREE, None)
    assert f"{small:.1f}" in result.finding.detail
    assert f"{large:.1f}" in result.finding.detail


def test_one_region_whose_frames_differ_does_not_contradict_itself() -> None:
    region = Region(WHOLE, SQUARE, CalibrationSource.ULTRASOUND_REGION)
    frames = [frame_of(EllipsePx(400, 270, a, 0.8 * a, 10), regions=(region,)) for a in (150, 220)]
    assert isinstance(examiner().examine(frames).finding, Measurement)


def test_what_must_be_said_of_a_scale_is_said_of_the_measurement() -> None:
    remarks = (Remark.SCALE_OF_SCANNED_MEDIUM,)
    region = Region(WHOLE, SQUARE, CalibrationSource.NOMINAL_SCANNED_PIXEL_SPACING, remarks=remarks)
    result = finding(EllipsePx(400, 270, 220, 170, 10), region)
    assert isinstance(result, Measurement)
    assert Remark.SCALE_OF_SCANNED_MEDIUM in result.warnings


def test_the_calibration_type_travels_with_the_measurement() -> None:
    region = Region(WHOLE, SQUARE, CalibrationSource.PIXEL_SPACING, calibration_detail="FIDUCIAL")
    result = finding(EllipsePx(400, 270, 220, 170, 10), region)
    assert (result.calibration_source, result.calibration_detail) == (CalibrationSource.PIXEL_SPACING, "FIDUCIAL")


def test_two_heads_in_one_picture_are_not_measured() -> None:
    limited = replace(MODEL, gate=replace(GATE, highest_second_part=0.25))
    region = Region(WHOLE, SQUARE, CalibrationSource.ULTRASOUND_REGION)
    twins = frame_of(EllipsePx(220, 270, 150, 120, 80), EllipsePx(580, 270, 130, 100, 95), regions=(region,))
    result = examiner(limited).examine([twins]).finding
    assert isinstance(result, Abstention)
    assert result.reason is Reason.TWO_HEADS
    assert isinstance(examiner().examine([twins]).finding, Measurement)


def test_an_outline_without_an_echo_of_bone_is_not_measured_where_the_model_asks_for_one() -> None:
    limited = replace(MODEL, gate=replace(GATE, highest_weak_echo=0.8))
    result = finding(EllipsePx(400, 270, 220, 170, 10), model=limited)
    assert isinstance(result, Abstention)
    assert result.reason is Reason.SKULL_ECHO_WEAK
    assert result.ellipse is not None


def test_calipers_on_the_skull_are_remarked_and_refuse_nothing() -> None:
    head = EllipsePx(400, 270, 220, 170, 10)
    region = Region(WHOLE, SQUARE, CalibrationSource.ULTRASOUND_REGION)
    dark = frame_of(head, regions=(region,))
    dark = replace(dark, luminance=(dark.luminance * 0.6).astype(np.uint8))
    marked = dark.luminance.copy()
    for x, y in outline_px(replace(head, semi_major_px=224, semi_minor_px=174), 24).round().astype(int):
        marked[y - 4 : y + 5, x] = marked[y, x - 4 : x + 5] = 255
    with_marks, without = (examiner().examine([frame]).finding for frame in (replace(dark, luminance=marked), dark))
    assert isinstance(with_marks, Measurement)
    assert isinstance(without, Measurement)
    assert Remark.MARKS_ON_SKULL in with_marks.warnings
    assert Remark.MARKS_ON_SKULL not in without.warnings


def test_a_size_at_which_the_model_is_weak_is_remarked() -> None:
    """220 and 170 pixels of 0.15 mm: HC 184.5 mm."""
    head = EllipsePx(400, 270, 220, 170, 10)
    for weak, said in ((WeakSize(0.0, 184.0), False), (WeakSize(180.0, None), True), (WeakSize(180.0, 190.0), True)):
        result = finding(head, model=replace(MODEL, weak_sizes=(weak,)))
        assert isinstance(result, Measurement)
        assert (Remark.WEAK_AT_THIS_SIZE in result.warnings) == said


def test_the_remark_names_the_rule_of_the_evaluation() -> None:
    assert f"{WEAK_RATIO:g} times" in REMARK_TEXT[Remark.WEAK_AT_THIS_SIZE]
