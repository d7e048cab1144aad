from __future__ import annotations

import math
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import astuple, replace
from random import Random
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_node.calibration import calibrate, given
from inference.domain import CalibrationSource, PixelSpacingMm, Reason, Region, RegionPx, Remark
from tests.ultrasound import COLOR_FLOW, M_MODE, SECONDS, SPECTRAL, US_IMAGE, us_region

ROWS, COLUMNS = 480, 640
BOX = (100, 50, 499, 399)
INSET = (200, 100, 300, 200)
WHOLE = RegionPx(0, 0, COLUMNS - 1, ROWS - 1)
WAVEFORM = 4
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


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


@pytest.mark.parametrize("spatial_format", [M_MODE, SPECTRAL, WAVEFORM])
@pytest.mark.parametrize("low_priority", [False, True])
def test_a_trace_over_the_image_takes_its_pixels_whatever_its_priority(spatial_format: int, low_priority: bool) -> None:
    image = us_region((0, 0, 639, 239), (0.02, 0.02))
    beside = us_region((0, 240, 639, 479), (0.001, 0.02), spatial_format=spatial_format, units=(SECONDS, 3))
    over = us_region(
        (0, 230, 639, 479), (0.001, 0.02), spatial_format=spatial_format, units=(SECONDS, 3), low_priority=low_priority
    )
    (region,) = calibrate(header(image, beside), ROWS, COLUMNS).regions
    assert (region.reason, region.covered, region.beside) == (None, (), (RegionPx(0, 240, 639, 479),))
    (region,) = calibrate(header(over, image), ROWS, COLUMNS).regions
    assert (region.reason, region.covered) == (None, (RegionPx(0, 230, 639, 239),))


def test_doppler_data_in_a_two_dimensional_format_is_a_trace() -> None:
    image, doppler = us_region((0, 0, 639, 239), (0.02, 0.02)), us_region((0, 200, 639, 479), (0.02, 0.02), data_type=3)
    (region,) = calibrate(header(image, doppler), ROWS, COLUMNS).regions
    assert region.covered == (RegionPx(0, 200, 639, 239),)


def test_a_colour_bar_over_the_image_is_no_matter() -> None:
    bar = us_region((110, 60, 120, 160), (0.02, 0.02), data_type=0xE)
    (region,) = calibrate(header(bar, us_region(BOX, (0.02, 0.02))), ROWS, COLUMNS).regions
    assert (region.box, region.covered, region.beside) == (RegionPx(*BOX), (), ())


def test_dual_screen_gives_two_regions_each_with_its_own_scale() -> None:
    left, right = us_region((0, 0, 319, 479), (0.01, 0.01)), us_region((320, 0, 639, 479), (0.02, 0.02))
    calibration = calibrate(header(left, right), ROWS, COLUMNS)
    assert [r.spacing_mm for r in calibration.regions] == [PixelSpacingMm(0.1, 0.1), PixelSpacingMm(0.2, 0.2)]


def test_a_colour_box_inside_the_tissue_region_is_not_a_second_picture() -> None:
    box, tissue = us_region((200, 100, 300, 200), (0.02, 0.02), data_type=COLOR_FLOW), us_region(BOX, (0.02, 0.02))
    (region,) = calibrate(header(box, tissue, tissue), ROWS, COLUMNS).regions
    assert region.box == RegionPx(*BOX)


def test_two_scales_over_one_another_are_not_guessed_apart() -> None:
    outer, inset = calibrate(
        header(us_region(BOX, (0.02, 0.02)), us_region(INSET, (0.05, 0.05))), ROWS, COLUMNS
    ).regions
    assert outer.covered == inset.covered == (RegionPx(*INSET),)


def test_where_two_overlap_the_pixels_belong_to_the_one_of_high_priority() -> None:
    low = us_region(BOX, (0.02, 0.02), low_priority=True)
    outer, inset = calibrate(header(low, us_region(INSET, (0.05, 0.05))), ROWS, COLUMNS).regions
    assert outer.covered == (RegionPx(*INSET),)
    assert (inset.covered, inset.beside) == ((), (RegionPx(*BOX),))


def test_of_two_of_low_priority_neither_wins() -> None:
    low = us_region(BOX, (0.02, 0.02), low_priority=True), us_region(INSET, (0.05, 0.05), low_priority=True)
    outer, inset = calibrate(header(*low), ROWS, COLUMNS).regions
    assert outer.covered == inset.covered == (RegionPx(*INSET),)


def test_one_picture_has_the_higher_priority_of_its_items() -> None:
    tissue, colour = (
        us_region(BOX, (0.02, 0.02), low_priority=True),
        us_region(INSET, (0.02, 0.02), data_type=COLOR_FLOW),
    )
    across = us_region((50, 150, 150, 250), (0.05, 0.05), low_priority=True)
    low, picture = calibrate(header(tissue, colour, across), ROWS, COLUMNS).regions
    assert (picture.box, picture.covered) == (RegionPx(*BOX), ())
    assert low.covered == (RegionPx(100, 150, 150, 250),)


def test_a_region_that_says_nothing_hides_nothing() -> None:
    silent, low = us_region(BOX, (0.0, 0.0)), us_region(INSET, (0.05, 0.05), low_priority=True)
    calibrated = [r for r in calibrate(header(silent, low), ROWS, COLUMNS).regions if r.reason is None]
    assert [(r.box, r.covered) for r in calibrated] == [(RegionPx(*INSET), ())]


def test_what_lies_wholly_under_one_of_high_priority_is_not_looked_at() -> None:
    under = us_region(INSET, (0.05, 0.05), low_priority=True)
    (region,) = calibrate(header(under, us_region(BOX, (0.02, 0.02))), ROWS, COLUMNS).regions
    assert region.spacing_mm == PixelSpacingMm(0.2, 0.2)


UNUSABLE = {
    "no deltas": us_region(BOX, (0.0, 0.0)),
    "nothing known of the whole screen": us_region((0, 0, COLUMNS - 1, ROWS - 1), (0.0, 0.0), units=(0, 0)),
    "m-mode elsewhere": us_region((0, 410, 639, 479), (0.001, 0.02), spatial_format=M_MODE, units=(SECONDS, 3)),
    "in seconds elsewhere": us_region((510, 0, 639, 479), (0.001, 0.02), units=(SECONDS, 3)),
    "no box": us_region((0, 0, 0, 0), (0.02, 0.02)),
    "a box of one pixel": us_region((639, 479, 639, 479), (0.05, 0.05)),
    "a box without rows": us_region((0, 100, 639, 100), (0.05, 0.05)),
    "too small for a head": us_region((0, 0, 14, 14), (0.05, 0.05)),
    "a colour bar": us_region((600, 100, 620, 300), (0.0, 0.0), data_type=0xE),
    "graphics beyond the image": us_region((600, 100, 900, 300), (0.0, 0.0), spatial_format=5),
    "an empty item": Dataset(),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_first_region_that_cannot_be_used_does_not_hide_the_second(name: str) -> None:
    regions = calibrate(header(UNUSABLE[name], us_region(BOX, (0.02, 0.03))), ROWS, COLUMNS).regions
    good = [region for region in regions if region.spacing_mm is not None]
    assert [(r.box, r.spacing_mm, r.covered) for r in good] == [(RegionPx(*BOX), PixelSpacingMm(0.3, 0.2), ())]


def test_a_region_in_seconds_over_the_image_is_a_trace_that_was_called_an_image() -> None:
    mislabelled = us_region((0, 300, 639, 479), (0.001, 0.02), units=(SECONDS, 3))
    image, other = sorted(
        calibrate(header(mislabelled, us_region(BOX, (0.02, 0.02))), ROWS, COLUMNS).regions,
        key=lambda region: region.spacing_mm is None,
    )
    assert image.covered == (RegionPx(100, 300, 499, 399),)
    assert (other.reason, other.pixel_aspect) == (Reason.NOT_CALIBRATED, None)


@pytest.mark.parametrize(
    ("a", "b", "together"),
    [
        ((100, 50, 400, 399), (200, 50, 499, 399), True),  # share two thirds of their columns
        ((100, 50, 299, 399), (300, 50, 499, 399), False),  # a dual screen of one scale
        ((100, 50, 300, 399), (300, 50, 499, 399), False),  # the same, bounds written exclusively
        ((100, 50, 400, 399), (200, 50, 499, 300), False),  # no rectangle together
    ],
)
def test_only_what_shares_half_its_pixels_is_one_picture(
    a: tuple[int, int, int, int], b: tuple[int, int, int, int], together: bool
) -> None:
    regions = calibrate(header(us_region(a, (0.02, -0.02)), us_region(b, (0.02, 0.02))), ROWS, COLUMNS).regions
    assert [r.box for r in regions] == ([RegionPx(*BOX)] if together else [RegionPx(*a), RegionPx(*b)])
    assert all(r.spacing_mm == PixelSpacingMm(0.2, 0.2) and not r.covered and not r.beside for r in regions)


def test_neighbours_of_another_scale_are_named() -> None:
    left, right = us_region((0, 0, 319, 479), (0.01, 0.01)), us_region((320, 0, 639, 479), (0.0101, 0.01))
    first, second = calibrate(header(left, right), ROWS, COLUMNS).regions
    assert (first.beside, second.beside) == ((second.box,), (first.box,))


def test_a_header_that_names_a_hundred_regions_costs_one_look() -> None:
    many = [us_region((20 * i, 0, 20 * i + 18, 100), (0.02, 0.02)) for i in range(30)]
    for regions in (many, many * 1000):
        (region,) = calibrate(header(*regions), ROWS, COLUMNS).regions
        assert (region.box, region.reason) == (WHOLE, Reason.CALIBRATION_CONFLICT)


@pytest.mark.parametrize("beyond", [(COLUMNS, ROWS), (COLUMNS + 2, ROWS - 1), (COLUMNS - 1, ROWS + 1)])
def test_a_bound_written_exclusively_or_rounded_is_clipped(beyond: tuple[int, int]) -> None:
    (region,) = calibrate(header(us_region((0, 0, *beyond), (0.02, 0.02))), ROWS, COLUMNS).regions
    assert region.box == WHOLE
    assert region.reason is None


@pytest.mark.parametrize(("side", "clipped"), [(100, 1), (399, 1), (400, 2), (640, 3), (800, 4), (4000, 4)])
def test_a_box_may_leave_the_image_by_half_a_percent_and_four_pixels_at_most(side: int, clipped: int) -> None:
    for bound, reason in ((side - 1 + clipped, None), (side + clipped, Reason.CALIBRATION_CONFLICT)):
        for box in ((0, 0, bound, side - 1), (0, 0, side - 1, bound)):
            assert calibrate(header(us_region(box, (0.02, 0.02))), side, side).reason is reason


def test_a_box_that_leaves_the_image_shows_that_it_was_resized_after_calibration() -> None:
    beyond = us_region((100, 50, COLUMNS + 3, 399), (0.02, 0.02))
    outside = us_region((COLUMNS + 10, 0, COLUMNS + 90, 90), (0.02, 0.02))
    assert reasons(header(beyond)) == [Reason.CALIBRATION_CONFLICT]
    assert calibrate(header(beyond), ROWS, COLUMNS).regions[0].box == RegionPx(100, 50, COLUMNS - 1, 399)
    assert reasons(header(outside)) == [Reason.CALIBRATION_CONFLICT]


def test_one_region_beyond_the_image_takes_the_scale_of_all() -> None:
    """Half the size, the old regions: the left picture's box still fits, its deltas are wrong all the same."""
    left, right = us_region((0, 0, 500, 400), (0.02, 0.02)), us_region((520, 0, 1020, 400), (0.02, 0.02))
    regions = calibrate(header(left, right, PixelSpacing=[0.2, 0.2]), ROWS, COLUMNS).regions
    assert [r.reason for r in regions] == [Reason.CALIBRATION_CONFLICT] * 2
    assert "column 1020" in regions[0].detail
    m_mode = us_region((0, 410, 900, 479), (0.001, 0.02), spatial_format=M_MODE, units=(SECONDS, 3))
    assert reasons(header(us_region(BOX, (0.02, 0.02)), m_mode)) == [Reason.CALIBRATION_CONFLICT]


def test_reversed_bounds_show_where_but_are_not_trusted() -> None:
    (region,) = calibrate(header(us_region((499, 50, 100, 399), (0.02, 0.02))), ROWS, COLUMNS).regions
    assert (region.box, region.reason) == (RegionPx(*BOX), Reason.CALIBRATION_CONFLICT)


def undeclared(spatial_format: Any, data_type: Any, delta: float, **changes: Any) -> Dataset:
    """The right half of the screen, not declared as a picture; None leaves the attribute out."""
    item = us_region((320, 0, 639, 479), (delta, delta), **changes)
    for keyword, value in (("RegionSpatialFormat", spatial_format), ("RegionDataType", data_type)):
        if value is None:
            delattr(item, keyword)
        else:
            setattr(item, keyword, value)
    return item


FULL = us_region((0, 0, 639, 479), (0.02, 0.02))
UNDECLARED = [
    (None, 1),
    (0, 1),
    (7, 1),
    (1, None),
    (1, 0),
    (1, 0xC),
    (1, 0xD),
    (1, 0xF),
    (0, 0),
    (None, None),
    (5, 0xE),
]


@pytest.mark.parametrize(("spatial_format", "data_type"), UNDECLARED)
def test_what_has_another_scale_in_cm_takes_its_pixels_whatever_it_is_called(
    spatial_format: int | None, data_type: int | None
) -> None:
    other = undeclared(spatial_format, data_type, 0.025)
    (region,) = calibrate(header(FULL, other), ROWS, COLUMNS).regions
    assert (region.reason, region.covered) == (None, (RegionPx(320, 0, 639, 479),))
    (region,) = calibrate(header(us_region((0, 0, 319, 479), (0.02, 0.02)), other), ROWS, COLUMNS).regions
    assert (region.covered, region.beside) == ((), (RegionPx(320, 0, 639, 479),))
    undeclared_low = undeclared(spatial_format, data_type, 0.025, low_priority=True)
    (region,) = calibrate(header(FULL, undeclared_low), ROWS, COLUMNS).regions
    assert region.covered == ()


@pytest.mark.parametrize(("spatial_format", "data_type"), UNDECLARED)
def test_what_is_no_picture_and_has_no_other_scale_in_cm_is_no_matter(
    spatial_format: int | None, data_type: int | None
) -> None:
    for item in (
        undeclared(spatial_format, data_type, 0.0203),
        undeclared(spatial_format, data_type, 1.0),
        undeclared(spatial_format, data_type, 0.0),
        undeclared(spatial_format, data_type, 0.025, units=(0, 0)),
        undeclared(spatial_format, data_type, 0.025, units=(0, 7)),
    ):
        (region,) = calibrate(header(FULL, item), ROWS, COLUMNS).regions
        assert (region.reason, region.covered, region.beside) == (None, (), ())


def test_what_was_not_declared_as_a_picture_is_never_measured_but_shows_a_resized_image() -> None:
    other = undeclared(0, 1, 0.025)
    assert calibrate(header(other), ROWS, COLUMNS).reason is Reason.NO_TWO_DIMENSIONAL_REGION
    other.RegionLocationMaxX1 = 1279
    assert reasons(header(us_region(BOX, (0.02, 0.02)), other)) == [Reason.CALIBRATION_CONFLICT]


@pytest.mark.parametrize(("spatial_format", "data_type"), [(1, 0xD), (1, 0xE), (5, 0)])
def test_bars_and_graphics_may_leave_the_image(spatial_format: int, data_type: int) -> None:
    bar = us_region((600, 40, 700, 500), (0.02, 0.02), spatial_format=spatial_format, data_type=data_type)
    (region,) = calibrate(header(us_region(BOX, (0.02, 0.02)), bar), ROWS, COLUMNS).regions
    assert (region.reason, region.covered, region.beside) == (None, (), ())


@pytest.mark.parametrize("inside", [INSET, BOX])
def test_a_colour_box_inside_the_tissue_may_differ_by_2_percent_and_the_tissues_scale_is_used(
    inside: tuple[int, int, int, int],
) -> None:
    tissue = us_region(BOX, (0.02, 0.02))
    near, far = (us_region(inside, (0.02 * by, 0.02), data_type=COLOR_FLOW) for by in (1.015, 1.03))
    (region,) = calibrate(header(near, tissue), ROWS, COLUMNS).regions
    assert (region.box, region.spacing_mm, region.covered) == (RegionPx(*BOX), PixelSpacingMm(0.2, 0.2), ())
    outer, _ = calibrate(header(far, tissue), ROWS, COLUMNS).regions
    assert outer.covered == (RegionPx(*inside),)


@pytest.mark.parametrize("box", [(90, 40, 300, 200), (50, 60, 450, 300)])
def test_a_colour_box_that_leaves_the_tissue_or_a_second_tissue_image_may_not(box: tuple[int, int, int, int]) -> None:
    tissue, flow = us_region(BOX, (0.02, 0.02)), us_region(box, (0.0203, 0.02), data_type=COLOR_FLOW)
    second = us_region(INSET, (0.0203, 0.02))
    around = us_region((0, 0, 639, 479), (0.0203, 0.02), data_type=COLOR_FLOW)
    for other in (flow, second, around):
        assert all(region.covered for region in calibrate(header(tissue, other), ROWS, COLUMNS).regions)


@pytest.mark.parametrize("box", [(0, 0, 0, 0), (5, 5, 5, 5), (0, 7, 639, 7), (0, 0, 14, 14)])
def test_a_box_that_holds_no_picture_leaves_the_whole_frame_uncalibrated(box: tuple[int, int, int, int]) -> None:
    (region,) = calibrate(header(us_region(box, (0.02, 0.02))), ROWS, COLUMNS).regions
    assert (region.box, region.reason) == (WHOLE, Reason.NOT_CALIBRATED)


@pytest.mark.parametrize(
    ("spacing", "reason"),
    [([0.203, 0.2], None), ([0.205, 0.2], Reason.CALIBRATION_CONFLICT), ([0.2, 0.19], Reason.CALIBRATION_CONFLICT)],
)
def test_region_and_pixel_spacing_must_agree_within_2_percent(spacing: list[float], reason: Reason | None) -> None:
    assert reasons(header(us_region(BOX, (0.02, 0.02)), PixelSpacing=spacing)) == [reason]


@pytest.mark.parametrize(
    ("region_mm", "written", "agrees"),
    [
        (0.1239, "0.12", True),
        (0.1251, "0.12", False),
        (0.1239, "0.120", False),
        (0.0843, "0.08", True),
        (0.0843, "0.1", False),  # the last digit stands for half of it: that is no witness
        (0.3249, "0.3", True),
        (0.16, "0.2", False),
        (0.1239, "1.2E-1", True),
        (0.1239, "1", False),
    ],
)
def test_pixel_spacing_may_be_rounded_to_the_digits_it_is_written_with(
    region_mm: float, written: str, agrees: bool
) -> None:
    region = us_region(BOX, (region_mm / 10, region_mm / 10))
    expected = None if agrees else Reason.CALIBRATION_CONFLICT
    assert reasons(header(region, PixelSpacing=[written, written])) == [expected]
    assert reasons(header(region, PixelSpacing=[written, str(region_mm)])) == [expected]


def test_a_conflict_says_both_values() -> None:
    (region,) = calibrate(header(us_region(BOX, (0.02, 0.025)), PixelSpacing=[0.25, 0.3]), ROWS, COLUMNS).regions
    assert "0.25 x 0.2 mm" in region.detail
    assert "0.25 x 0.3 mm" in region.detail


def test_on_a_dual_screen_only_the_region_that_pixel_spacing_agrees_with_is_measured() -> None:
    left, right = us_region((0, 0, 319, 479), (0.01, 0.01)), us_region((320, 0, 639, 479), (0.02, 0.02))
    conflict = Reason.CALIBRATION_CONFLICT
    assert reasons(header(left, right, PixelSpacing=[0.2, 0.2])) == [conflict, None]
    assert reasons(header(left, right, PixelSpacing=[0.3, 0.3])) == [conflict, conflict]


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


@pytest.mark.parametrize(
    ("kind", "description", "detail"),
    [
        ("FIDUCIAL", "depth marks", "FIDUCIAL: depth marks"),
        ("GEOMETRY", None, "GEOMETRY"),
        ("GEOMETRY", "Tiefe \\ 5 cm é", "GEOMETRY: Tiefe 5 cm"),
        ("GUESS", "by eye", ""),
        (None, "by eye", ""),
    ],
)
def test_pixel_spacing_carries_its_calibration_type(kind: str | None, description: str | None, detail: str) -> None:
    attributes = {"PixelSpacingCalibrationType": kind, "PixelSpacingCalibrationDescription": description}
    known = {keyword: value for keyword, value in attributes.items() if value is not None}
    (region,) = calibrate(header(PixelSpacing=[0.2, 0.2], **known), ROWS, COLUMNS).regions
    assert (region.reason, region.calibration_detail) == (None, detail)


def test_pixel_spacing_that_repeats_the_detectors_needs_a_calibration_type() -> None:
    detector = {"PixelSpacing": [0.2, 0.2], "ImagerPixelSpacing": [0.2, 0.2]}
    assert reasons(header(**detector)) == [Reason.NOT_CALIBRATED]
    assert reasons(header(**detector, PixelSpacingCalibrationType="GEOMETRY")) == [None]
    assert reasons(header(PixelSpacing=[0.2, 0.2], ImagerPixelSpacing=[0.3, 0.3])) == [None]


@pytest.mark.parametrize("one", ["1", "1.0", "1.000"])
def test_exactly_one_millimetre_without_a_type_is_a_placeholder(one: str) -> None:
    (region,) = calibrate(header(PixelSpacing=[one, one]), ROWS, COLUMNS).regions
    assert (region.spacing_mm, region.reason, region.pixel_aspect) == (None, Reason.NOT_CALIBRATED, 1.0)
    assert "placeholder" in region.detail
    assert reasons(header(PixelSpacing=[one, one], PixelSpacingCalibrationType="GEOMETRY")) == [None]
    assert reasons(header(PixelSpacing=[one, "0.99"])) == [None]
    scanned = header(NominalScannedPixelSpacing=[one, one], SOPClassUID=SECONDARY_CAPTURE)
    (region,) = calibrate(scanned, ROWS, COLUMNS).regions
    assert region.reason is Reason.NOT_CALIBRATED
    assert "placeholder" in region.detail


SCALED = {
    "region": header(us_region(BOX, (0.02, 0.025))),
    "pixel spacing": header(PixelSpacing=[0.25, 0.2]),
    "scanned": header(NominalScannedPixelSpacing=[0.25, 0.2], SOPClassUID=SECONDARY_CAPTURE),
}


@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize(
    ("ratio", "agrees"),
    [
        *(([5, 4], True), ([126, 100], True), ([1, 1], True), ([480, 480], True), ([0, 0], True), ([5], True)),
        *(([4, 5], False), ([4, 3], False), ([128, 100], False), ([100, 1], False)),
    ],
)
def test_the_shape_of_pixels_must_be_that_of_the_scale(name: str, ratio: list[int], agrees: bool) -> None:
    dataset = deepcopy(SCALED[name])
    dataset.PixelAspectRatio = ratio
    assert reasons(dataset) == [None if agrees else Reason.CALIBRATION_CONFLICT]
    if len(ratio) == 2 and ratio[1]:
        (region,) = calibrate(SCALED[name], ROWS, COLUMNS, ratio[0] / ratio[1]).regions
        assert (region.reason is None) is agrees


@pytest.mark.parametrize("name", SCALED)
def test_a_conflict_of_shape_names_both(name: str) -> None:
    dataset = deepcopy(SCALED[name])
    dataset.PixelAspectRatio = [4, 3]
    (region,) = calibrate(dataset, ROWS, COLUMNS, 0.5).regions
    assert (region.spacing_mm, region.pixel_aspect) == (None, None)
    for part in ("0.25 x 0.2 mm", "Pixel Aspect Ratio is 1.333", "the sample aspect ratio of the video is 0.5"):
        assert part in region.detail


def test_on_a_dual_screen_only_the_region_of_the_pixels_shape_is_measured() -> None:
    left, right = us_region((0, 0, 319, 479), (0.02, 0.02)), us_region((320, 0, 639, 479), (0.02, 0.025))
    assert reasons(header(left, right, PixelAspectRatio=[5, 4])) == [Reason.CALIBRATION_CONFLICT, None]


@pytest.mark.parametrize(
    ("ratio", "sample_aspect", "aspect"),
    [
        *((None, 1.25, 1.25), ([1, 1], 1.25, 1.25), ([5, 4], 1.0, 1.25), ([5, 4], 1.25, 1.25), ([4, 3], 1.25, None)),
        *((None, None, 1.0), (None, 7.0, None), ([0, 1], 1.25, None)),
    ],
)
def test_without_a_scale_the_video_tells_the_shape_too(
    ratio: list[int] | None, sample_aspect: float | None, aspect: float | None
) -> None:
    dataset = header() if ratio is None else header(PixelAspectRatio=ratio)
    (region,) = calibrate(dataset, ROWS, COLUMNS, sample_aspect).regions
    assert region.pixel_aspect == aspect


def test_nominal_scanned_pixel_spacing_is_for_secondary_captures_and_comes_last() -> None:
    scanned = {"NominalScannedPixelSpacing": [0.2, 0.3], "SOPClassUID": SECONDARY_CAPTURE}
    (region,) = calibrate(header(**scanned), ROWS, COLUMNS).regions
    assert region.spacing_mm == PixelSpacingMm(row=0.2, column=0.3)
    assert region.calibration_source is CalibrationSource.NOMINAL_SCANNED_PIXEL_SPACING
    assert region.remarks == (Remark.SECONDARY_CAPTURE, Remark.SCALE_OF_SCANNED_MEDIUM)
    (region,) = calibrate(header(**scanned, PixelSpacing=[0.1, 0.1]), ROWS, COLUMNS).regions
    assert region.calibration_source is CalibrationSource.PIXEL_SPACING
    assert region.remarks == (Remark.SECONDARY_CAPTURE,)
    assert reasons(header(**{**scanned, "SOPClassUID": US_IMAGE})) == [Reason.NOT_CALIBRATED]
    assert reasons(header(**{**scanned, "NominalScannedPixelSpacing": [3.0, 3.0]})) == [Reason.IMPLAUSIBLE_SPACING]


@pytest.mark.parametrize(
    ("ratio", "aspect"), [(None, 1.0), ([4, 3], 4 / 3), ([3, 4], 0.75), ([0, 1], None), ([1, 100], None), ([1], None)]
)
def test_without_a_scale_the_shape_of_pixels_is_told_where_it_is_known(
    ratio: list[int] | None, aspect: float | None
) -> None:
    shape = {} if ratio is None else {"PixelAspectRatio": ratio}
    for dataset in (header(**shape), header(us_region(BOX, (0.0, 0.0)), **shape)):
        (region,) = calibrate(dataset, ROWS, COLUMNS).regions
        assert region.pixel_aspect == aspect


@pytest.mark.parametrize(
    "dataset",
    [
        header(us_region(BOX, (0.02, 0.02)), PixelSpacing=[0.3, 0.3]),
        header(us_region((0, 0, 999, 399), (0.02, 0.02))),
        header(us_region(BOX, (0.2, 0.2))),
        header(us_region(BOX, (0.001, 0.02), units=(SECONDS, 3))),
    ],
)
def test_what_contradicts_itself_has_no_shape_either(dataset: Dataset) -> None:
    (region,) = calibrate(dataset, ROWS, COLUMNS).regions
    assert (region.spacing_mm, region.pixel_aspect) == (None, None)


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


pairs = st.one_of(anything, st.lists(st.one_of(st.floats(), st.booleans(), st.integers()), min_size=2, max_size=2))


@for_all(st.lists(items, max_size=4), pairs, pairs, st.one_of(st.none(), st.floats(1e-9, 1e9)))
def test_whatever_the_header_says_regions_lie_inside_and_scales_are_plausible(
    regions: list[dict[int, Any]], spacing: Any, aspect: Any, sample_aspect: float | None
) -> None:
    dataset = header(*(region_item(values) for values in regions))
    put(dataset, 0x00280030, spacing)
    put(dataset, 0x00280034, aspect)
    calibration = calibrate(dataset, ROWS, COLUMNS, sample_aspect)
    for region in calibration.regions:
        box = region.box
        assert 0 <= box.min_column <= box.max_column < COLUMNS
        assert 0 <= box.min_row <= box.max_row < ROWS
        assert (region.spacing_mm is None) == (region.reason is not None)
        if region.spacing_mm is not None:
            assert 0.02 <= region.spacing_mm.row <= 1.0
            assert 0.02 <= region.spacing_mm.column <= 1.0
        for other in region.covered:
            assert other.intersection(box) == other
    assert (calibration.reason is None) == any(r.spacing_mm is not None for r in calibration.regions)
    assert len(calibration.regions) <= 8


sane_items = st.builds(
    us_region,
    st.tuples(st.integers(0, 290), st.integers(0, 190), st.integers(310, 639), st.integers(210, 479)),
    st.tuples(st.sampled_from([0.02, -0.02, 0.0203, 0.03, 0.0, 0.3]), st.sampled_from([0.02, -0.02, 0.03])),
    spatial_format=st.sampled_from([1, 1, 1, M_MODE, SPECTRAL]),
    data_type=st.sampled_from([1, 1, COLOR_FLOW, 0, 0xD]),
    units=st.sampled_from([(3, 3), (3, 3), (SECONDS, 3), (0, 0)]),
    low_priority=st.booleans(),
)
some_items = st.lists(st.one_of(sane_items, st.builds(region_item, items)), max_size=5)


def facts(regions: Iterable[Region]) -> list[Region]:
    """With the lists inside in a fixed order."""
    return [replace(r, covered=sorted(map(astuple, r.covered)), beside=sorted(map(astuple, r.beside))) for r in regions]  # type: ignore[arg-type]


@for_all(some_items, st.randoms(use_true_random=False))
def test_the_order_of_the_items_does_not_matter(regions: list[Dataset], random: Random) -> None:
    shuffled = regions.copy()
    random.shuffle(shuffled)
    first, second = (calibrate(header(*order, PixelSpacing=[0.2, 0.2]), ROWS, COLUMNS) for order in (regions, shuffled))
    assert facts(first.regions) == facts(second.regions)
    assert first.reason is second.reason


@for_all(some_items, st.lists(st.booleans(), min_size=10, max_size=10))
def test_the_sign_of_a_delta_does_not_matter(regions: list[Dataset], turned: list[bool]) -> None:
    flipped = [deepcopy(region) for region in regions]
    deltas = [(item, tag) for item in flipped for tag in (0x0018602C, 0x0018602E) if tag in item]
    for (item, tag), turn in zip(deltas, turned, strict=False):
        if turn and isinstance(value := item[tag].value, int | float):
            put(item, tag, -value)
    assert calibrate(header(*regions), ROWS, COLUMNS) == calibrate(header(*flipped), ROWS, COLUMNS)


@for_all(st.lists(sane_items, min_size=1, max_size=4), st.integers(0, 200), st.integers(0, 200))
def test_moving_everything_moves_the_boxes_and_nothing_else(regions: list[Dataset], columns: int, rows: int) -> None:
    moved = [deepcopy(region) for region in regions]
    for item in moved:
        item.RegionLocationMinX0 += columns
        item.RegionLocationMaxX1 += columns
        item.RegionLocationMinY0 += rows
        item.RegionLocationMaxY1 += rows
    before = calibrate(header(*regions), ROWS, COLUMNS)
    after = calibrate(header(*moved), ROWS + rows, COLUMNS + columns)

    def shifted(box: RegionPx) -> RegionPx:
        return RegionPx(box.min_column + columns, box.min_row + rows, box.max_column + columns, box.max_row + rows)

    expected = [
        replace(r, box=shifted(r.box), covered=tuple(map(shifted, r.covered)), beside=tuple(map(shifted, r.beside)))
        for r in before.regions
    ]
    assert list(after.regions) == expected
    assert after.reason is before.reason


@for_all(st.floats(0.0021, 0.099), st.floats(0.0021, 0.099), st.sampled_from([1, -1]), st.sampled_from([1, -1]))
def test_mm_per_pixel_is_ten_times_the_delta_in_cm(x: float, y: float, sign_x: int, sign_y: int) -> None:
    (region,) = calibrate(header(us_region(BOX, (sign_x * x, sign_y * y))), ROWS, COLUMNS).regions
    assert region.spacing_mm is not None
    assert region.spacing_mm.row == pytest.approx(10 * y)
    assert region.spacing_mm.column == pytest.approx(10 * x)
