"""What the picture shows along an outline: each figure moves with its cause, and only with it."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from inference.appearance import ANGLES, UNSEEN, Appearance, appearance, marked_share, outside_sector_share
from inference.domain import EllipseMm, EllipsePx, Luminance, PixelSpacingMm
from inference.measure import inside_distance_px, outline_px, to_pixels

SPACING = PixelSpacingMm(0.2, 0.2)
HEAD = EllipseMm(80.0, 54.0, 44.0, 34.0, 25.0)
SHAPE = (540, 800)


def picture(head: EllipseMm = HEAD, spacing: PixelSpacingMm = SPACING, ring: int = 150) -> Luminance:
    """A grey head in grey tissue with a bright ring of bone, under speckle."""
    inside = inside_distance_px(to_pixels(head, spacing), *SHAPE)
    grey = np.where(inside > 0, 40.0, 55.0)
    grey = np.where((inside > -6) & (inside < 6), ring, grey)
    speckle = np.random.default_rng(7).rayleigh(0.8, SHAPE)
    return np.clip(grey * cv2.GaussianBlur(speckle, (0, 0), 2.5), 0, 255).astype(np.uint8)


def seen(luminance: Luminance, head: EllipseMm = HEAD, spacing: PixelSpacingMm = SPACING) -> Appearance:
    return appearance(luminance, head, spacing)


def test_a_skull_in_the_middle_of_a_picture_gives_no_cause_for_complaint() -> None:
    found = seen(picture())
    assert found.weak_echo < 0.05
    assert found.outside_sector == 0.0
    assert found.marks == 0.0
    assert found.saturated < 0.01
    assert found.bright_level > 40


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_the_share_without_an_echo_is_told(share: float) -> None:
    luminance = picture()
    outline = to_pixels(HEAD, SPACING)
    bare = picture(ring=45)
    row, column = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]]
    turn = np.radians(outline.angle_deg)
    x, y = column - outline.center_col_px, row - outline.center_row_px
    u = (x * np.cos(turn) + y * np.sin(turn)) / outline.semi_major_px
    v = (-x * np.sin(turn) + y * np.cos(turn)) / outline.semi_minor_px
    gone = np.arctan2(v, u) < np.pi * (2 * share - 1)
    assert seen(np.where(gone, bare, luminance)).weak_echo == pytest.approx(share, abs=0.06)


def test_a_ring_that_is_as_bright_all_round_is_told_from_bone_that_fades_at_the_sides() -> None:
    """The drawn ring has speckle only; bone is bright where a beam meets it and fades where it runs along."""
    even, dim = picture(), picture(ring=60)
    outline = to_pixels(HEAD, SPACING)
    row, column = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]]
    across, down = np.abs(column - outline.center_col_px), np.abs(row - outline.center_row_px)
    fading = np.where(across > down, dim, even).astype(np.uint8)
    assert seen(even).echo_variation < 0.15
    assert seen(fading).echo_variation > 1.5 * seen(even).echo_variation
    half = (fading // 2).astype(np.uint8)
    assert seen(half).echo_variation == pytest.approx(seen(fading).echo_variation, rel=0.05)


@pytest.mark.parametrize("gain", [0.5, 1.5])
def test_the_echo_does_not_depend_on_gain_nor_on_size(gain: float) -> None:
    luminance = np.clip(picture() * gain, 0, 255).astype(np.uint8)
    assert seen(luminance).weak_echo < 0.05
    half = cv2.resize(picture(), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.uint8)
    assert seen(half, spacing=PixelSpacingMm(0.4, 0.4)).weak_echo < 0.05


def test_pixels_that_are_not_square_show_the_same() -> None:
    narrow = cv2.resize(picture(), (400, 540), interpolation=cv2.INTER_AREA).astype(np.uint8)
    found, square = seen(narrow, spacing=PixelSpacingMm(0.2, 0.4)), seen(picture())
    assert found.weak_echo < 0.05
    assert found.bright_level == pytest.approx(square.bright_level, rel=0.15)


def test_dark_white_and_blurred_pictures_are_told() -> None:
    plain = picture()
    dark = seen((plain * 0.1).astype(np.uint8))
    white = seen(np.clip(plain * 8.0, 0, 255).astype(np.uint8))
    blurred = seen(cv2.GaussianBlur(plain, (0, 0), 12.0).astype(np.uint8))
    assert dark.bright_level < 12
    assert white.saturated > 0.5
    assert blurred.sharpness < 0.5 * seen(plain).sharpness


def test_a_head_that_leaves_the_fan_is_told_and_one_inside_is_not() -> None:
    row, column = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]]
    fan = np.abs(column - 400) < 120 + 0.8 * row
    luminance = np.where(fan, picture(), 0).astype(np.uint8)
    outline = to_pixels(HEAD, SPACING)
    assert outside_sector_share(luminance, outline) == 0.0
    at_the_edge = replace(outline, center_col_px=outline.center_col_px - 230)
    assert 0.1 < outside_sector_share(luminance, at_the_edge) < 0.6


def test_a_dark_inside_or_a_shadow_is_not_the_end_of_the_picture() -> None:
    luminance = picture()
    luminance[200:, 380:430] = 0
    luminance[inside_distance_px(to_pixels(HEAD, SPACING), *SHAPE) > 15] = 0
    assert outside_sector_share(luminance, to_pixels(HEAD, SPACING)) == 0.0


def test_letters_beside_the_picture_do_not_make_it_larger() -> None:
    luminance = np.zeros(SHAPE, np.uint8)
    luminance[:, :420] = picture()[:, :420]
    cv2.putText(luminance, "12 cm", (650, 80), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 255, 2)
    assert outside_sector_share(luminance, to_pixels(HEAD, SPACING)) > 0.2


def test_calipers_and_letters_on_the_outline_are_marks_and_bone_is_none() -> None:
    luminance = picture(ring=80)
    outline = to_pixels(HEAD, SPACING)
    assert marked_share(luminance, outline) == 0.0
    assert marked_share(picture(ring=220), outline) == 0.0
    for x, y in outline_px(outline, 48).round().astype(int):
        cv2.drawMarker(luminance, (int(x), int(y)), 255, cv2.MARKER_CROSS, 9, 1)
    assert 48 / ANGLES <= marked_share(luminance, outline) <= 1.0
    beside = picture()
    cv2.putText(beside, "HC 23 cm", (330, 280), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 255, 2)
    assert marked_share(beside, outline) == 0.0


def test_an_outline_that_no_head_has_is_not_looked_at() -> None:
    assert seen(picture(), replace(HEAD, semi_major_mm=9000.0, semi_minor_mm=7000.0)) is UNSEEN
    assert seen(picture(), replace(HEAD, semi_minor_mm=0.01)) is UNSEEN


def test_an_outline_over_nothing_lies_in_the_dark() -> None:
    nothing = np.zeros(SHAPE, np.uint8)
    found = seen(nothing)
    assert found.outside_sector == 1.0
    assert found.weak_echo == 1.0
    assert marked_share(nothing, EllipsePx(-500.0, -500.0, 50.0, 40.0, 0.0)) == 0.0
