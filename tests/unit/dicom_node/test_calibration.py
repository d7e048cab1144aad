from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_node.calibration import calibrate, given
from inference.domain import CalibrationSource, PixelSpacingMm, Reason, RegionPx
from tests.ultrasound import COLOR_FLOW, M_MODE, SECONDS, SPECTRAL, us_region

ROWS, COLUMNS = 480, 640
BOX = (100, 50, 499, 399)
WHOLE = RegionPx(0, 0, COLUMNS - 1, ROWS - 1)


def header(*regions: Dataset, **attributes: Any) -> Dataset:
    dataset = Dataset()
    if regions:
        dataset.SequenceOfUltrasoundRegions = Sequence(regions)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def reasons(dataset: Dataset) -> list[Reason | None]:
    return [region.reason for region in calibrate(dataset, ROWS, COLUMNS).regions]


def test_region_gives_row_spacing_from_delta_y_and_column_spacing_from_delta_x() -> None:
    calibration = calibrate(header(us_region(BOX, (0.02, 0.03))), ROWS, COLUMNS)
    (region,) = calibration.regions
    assert region.box == RegionPx(100, 50, 499, 399)
    assert region.spacing_mm is not None
    assert (region.spacing_mm.column, region.spacing_mm.row) == pytest.approx((0.2, 0.3))
    assert region.calibration_source is CalibrationSource.ULTRASOUND_REGION
    assert calibration.reason is None


def test_negative_deltas_are_directions_not_errors() -> None:
    (region,) = calibrate(header(us_region(BOX, (0.02, -0.02))), ROWS, COLUMNS).regions
    assert region.spacing_mm == PixelSpacingMm(0.2, 0.2)


@pytest.mark.parametrize("bad", [0.0, -0.0, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_delta_without_meaning_leaves_the_region_uncalibrated(bad: float, axis: int) -> None:
    delta = (bad, 0.02) if axis == 0 else (0.02, bad)
    calibration = calibrate(header(us_region(BOX, delta)), ROWS, COLUMNS)
    (region,) = calibration.regions
    assert region.spacing_mm is None
    assert region.box == RegionPx(*BOX)
    assert region.reason is calibration.reason is Reason.NOT_CALIBRATED


def test_an_uncalibrated_region_does_not_fall_back_to_pixel_spacing() -> None:
    assert reasons(header(us_region(BOX, (0.0, 0.0)), PixelSpacing=[0.2, 0.2])) == [Reason.NOT_CALIBRATED]


@pytest.mark.parametrize("units", [(SECONDS, 3), (3, SECONDS), (0, 0)])
def test_units_other_than_centimetres_are_no_calibration(units: tuple[int, int]) -> None:
    assert reasons(header(us_region(BOX, (0.02, 0.02), units=units))) == [Reason.NOT_CALIBRATED]


@pytest.mark.parametrize(
    "keyword", ["PhysicalDeltaX", "PhysicalDeltaY", "PhysicalUnitsXDirection", "RegionLocationMinX0"]
)
def test_missing_attributes_leave_the_region_uncalibrated(keyword: str) -> None:
    region = us_region(BOX, (0.02, 0.02))
    delattr(region, keyword)
    assert reasons(header(region)) == [Reason.NOT_CALIBRATED]


@pytest.mark.parametrize(
    ("millimetres", "reason"),
    [(0.0199, Reason.IMPLAUSIBLE_SPACING), (0.0201, None), (0.999, None), (1.001, Reason.IMPLAUSIBLE_SPACING)],
)
def test_plausible_spacing_is_0_02_to_1_mm(millimetres: float, reason: Reason | None) -> None:
    assert reasons(header(us_region(BOX, (millimetres / 10, 0.02)))) == [reason]
    assert reasons(header(PixelSpacing=[0.2, millimetres])) == [reason]


def test_color_flow_region_counts_as_two_dimensional() -> None:
    assert reasons(header(us_region(BOX, (0.02, 0.02), data_type=COLOR_FLOW))) == [None]


@pytest.mark.parametrize(("spatial_format", "data_type"), [(M_MODE, 1), (SPECTRAL, 3), (5, 1), (1, 3), (1, 0xE)])
def test_without_a_two_dimensional_region_there_is_nothing_to_measure(spatial_format: int, data_type: int) -> None:
    region = us_region(BOX, (0.02, 0.02), spatial_format=spatial_format, data_type=data_type)
    calibration = calibrate(header(region, PixelSpacing=[0.2, 0.2]), ROWS, COLUMNS)
    assert calibration.regions == ()
    assert calibration.reason is Reason.NO_TWO_DIMENSIONAL_REGION


def test_m_mode_beside_the_image_does_no_harm_and_over_it_takes_the_scale() -> None:
    image = us_region((0, 0, 639, 239), (0.02, 0.02))
    beside = us_region((0, 240, 639, 479), (0.001, 0.02), spatial_format=M_MODE, units=(SECONDS, 3))
    over = us_region((0, 239, 639, 479), (0.001, 0.02), spatial_format=M_MODE, units=(SECONDS, 3))
    assert reasons(header(image, beside)) == [None]
    assert reasons(header(image, over)) == [Reason.OVERLAPPING_REGION]


def test_dual_screen_gives_two_regions_each_with_its_own_scale() -> None:
    left, right = us_region((0, 0, 319, 479), (0.01, 0.01)), us_region((320, 0, 639, 479), (0.02, 0.02))
    calibration = calibrate(header(left, right), ROWS, COLUMNS)
    assert [r.spacing_mm for r in calibration.regions] == [PixelSpacingMm(0.1, 0.1), PixelSpacingMm(0.2, 0.2)]


def test_a_colour_box_inside_the_tissue_region_is_not_a_second_picture() -> None:
    box, tissue = us_region((200, 100, 300, 200), (0.02, 0.02), data_type=COLOR_FLOW), us_region(BOX, (0.02, 0.02))
    (region,) = calibrate(header(box, tissue, tissue), ROWS, COLUMNS).regions
    assert region.box == RegionPx(*BOX)


def test_two_scales_over_one_another_are_not_guessed_apart() -> None:
    inset = us_region((200, 100, 300, 200), (0.05, 0.05))
    assert reasons(header(us_region(BOX, (0.02, 0.02)), inset)) == [Reason.OVERLAPPING_REGION] * 2


def test_a_bound_written_exclusively_is_clipped() -> None:
    (region,) = calibrate(header(us_region((0, 0, COLUMNS, ROWS), (0.02, 0.02))), ROWS, COLUMNS).regions
    assert region.box == WHOLE
    assert region.reason is None


def test_a_box_that_leaves_the_image_shows_that_it_was_resized_after_calibration() -> None:
    beyond = us_region((100, 50, COLUMNS + 1, 399), (0.02, 0.02))
    outside = us_region((COLUMNS + 10, 0, COLUMNS + 90, 90), (0.02, 0.02))
    assert reasons(header(beyond)) == [Reason.CALIBRATION_CONFLICT]
    assert calibrate(header(beyond), ROWS, COLUMNS).regions[0].box == RegionPx(100, 50, COLUMNS - 1, 399)
    assert reasons(header(outside)) == [Reason.CALIBRATION_CONFLICT]


@pytest.mark.parametrize(
    ("spacing", "reason"),
    [([0.203, 0.2], None), ([0.205, 0.2], Reason.CALIBRATION_CONFLICT), ([0.2, 0.19], Reason.CALIBRATION_CONFLICT)],
)
def test_region_and_pixel_spacing_must_agree_within_2_percent(spacing: list[float], reason: Reason | None) -> None:
    assert reasons(header(us_region(BOX, (0.02, 0.02)), PixelSpacing=spacing)) == [reason]


def test_on_a_dual_screen_pixel_spacing_can_only_agree_with_one() -> None:
    left, right = us_region((0, 0, 319, 479), (0.01, 0.01)), us_region((320, 0, 639, 479), (0.02, 0.02))
    assert reasons(header(left, right, PixelSpacing=[0.2, 0.2])) == [None, None]
    assert reasons(header(left, right, PixelSpacing=[0.3, 0.3])) == [Reason.CALIBRATION_CONFLICT] * 2


def test_pixel_spacing_is_row_then_column_for_the_whole_frame() -> None:
    (region,) = calibrate(header(PixelSpacing=[0.3, 0.2]), ROWS, COLUMNS).regions
    assert region.box == WHOLE
    assert region.spacing_mm == PixelSpacingMm(row=0.3, column=0.2)
    assert region.calibration_source is CalibrationSource.PIXEL_SPACING


@pytest.mark.parametrize("value", [None, [], 0.2, [0.2], [0.2, 0.2, 0.2], [0.0, 0.2], [-0.2, 0.2]])
def test_a_malformed_pixel_spacing_is_none(value: Any) -> None:
    assert reasons(header(PixelSpacing=value)) == [Reason.NOT_CALIBRATED]


def test_imager_pixel_spacing_and_aspect_ratio_are_no_scale() -> None:
    assert reasons(header(ImagerPixelSpacing=[0.2, 0.2], PixelAspectRatio=[1, 1])) == [Reason.NOT_CALIBRATED]


def test_an_empty_or_unreadable_region_sequence_is_an_absent_one() -> None:
    empty = header(PixelSpacing=[0.2, 0.2])
    empty.SequenceOfUltrasoundRegions = Sequence()
    unreadable = header(PixelSpacing=[0.2, 0.2])
    put(unreadable, 0x00186011, b"\1\2\3")
    assert reasons(empty) == reasons(unreadable) == [None]


def test_a_spacing_given_by_the_user_covers_the_whole_frame() -> None:
    (region,) = given(PixelSpacingMm(0.1, 0.2), ROWS, COLUMNS).regions
    assert (region.box, region.calibration_source) == (WHOLE, CalibrationSource.GIVEN)
    assert given(None, ROWS, COLUMNS).reason is Reason.NOT_CALIBRATED
    assert given(PixelSpacingMm(2.0, 2.0), ROWS, COLUMNS).reason is Reason.IMPLAUSIBLE_SPACING


anything = st.one_of(
    st.none(), st.integers(-5, 2**31), st.floats(), st.lists(st.integers(0, 5), min_size=2, max_size=3), st.binary()
)
items = st.fixed_dictionaries(
    {},
    optional={
        0x00186012: st.one_of(st.just(1), anything),
        0x00186014: st.one_of(st.just(1), anything),
        0x00186018: st.one_of(st.integers(0, 700), anything),
        0x0018601A: st.one_of(st.integers(0, 700), anything),
        0x0018601C: st.one_of(st.integers(0, 700), anything),
        0x0018601E: st.one_of(st.integers(0, 700), anything),
        0x00186024: st.one_of(st.just(3), anything),
        0x00186026: st.one_of(st.just(3), anything),
        0x0018602C: st.one_of(st.floats(0.001, 0.2), anything),
        0x0018602E: st.one_of(st.floats(0.001, 0.2), anything),
    },
)


def put(dataset: Dataset, tag: int, value: Any) -> None:
    """Any value under any tag, whatever its VR would allow: what a parser may leave of a damaged header."""
    element = DataElement(tag, "UN", b"", already_converted=True)
    element.VR, element._value = "UN", value
    dataset[tag] = element


def region_item(values: dict[int, Any]) -> Dataset:
    item = Dataset()
    for tag, value in values.items():
        put(item, tag, value)
    return item


@for_all(st.lists(items, max_size=4), st.one_of(anything, st.lists(st.floats(), min_size=2, max_size=2)))
def test_whatever_the_header_says_regions_lie_inside_and_scales_are_plausible(
    regions: list[dict[int, Any]], spacing: Any
) -> None:
    dataset = header(*(region_item(values) for values in regions))
    put(dataset, 0x00280030, spacing)
    calibration = calibrate(dataset, ROWS, COLUMNS)
    for region in calibration.regions:
        box = region.box
        assert 0 <= box.min_column <= box.max_column < COLUMNS
        assert 0 <= box.min_row <= box.max_row < ROWS
        assert (region.spacing_mm is None) == (region.reason is not None)
        if region.spacing_mm is not None:
            assert 0.02 <= region.spacing_mm.row <= 1.0
            assert 0.02 <= region.spacing_mm.column <= 1.0
    assert (calibration.reason is None) == any(r.spacing_mm is not None for r in calibration.regions)


@for_all(st.floats(0.0021, 0.099), st.floats(0.0021, 0.099), st.sampled_from([1, -1]), st.sampled_from([1, -1]))
def test_mm_per_pixel_is_ten_times_the_delta_in_cm(x: float, y: float, sign_x: int, sign_y: int) -> None:
    (region,) = calibrate(header(us_region(BOX, (sign_x * x, sign_y * y))), ROWS, COLUMNS).regions
    assert region.spacing_mm is not None
    assert region.spacing_mm.row == pytest.approx(10 * y)
    assert region.spacing_mm.column == pytest.approx(10 * x)
