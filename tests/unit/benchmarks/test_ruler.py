"""The reader behind decision 0015 reads rulers of known step, and none where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from benchmarks._ruler import compare, read_ruler
from benchmarks._ruler_study import STYLES, Style, draw, measurement_list, screens
from inference.domain import Luminance
from tests.phantoms import head_phantom, screen

DOTS = Style("dots", 2, 2, 4, 5, 200, 34)


@pytest.fixture(scope="module", name="picture")
def phantom_screen() -> Luminance:
    return np.ascontiguousarray(screen(head_phantom(3).luminance)[0][:, :, 0])


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_a_ruler_on_a_phantom_screen_gives_its_step(picture: Luminance, style: Style) -> None:
    ruler = read_ruler(draw(picture, style, 38.1, seed=1))

    assert ruler is not None
    assert ruler.tick_px == pytest.approx(38.1, rel=0.005)


def test_a_picture_without_ruler_gives_none(picture: Luminance) -> None:
    assert read_ruler(picture) is None


@pytest.mark.parametrize("seed", range(8))
def test_dots_and_dashes_of_a_list_of_measurements_are_no_ruler(seed: int) -> None:
    assert read_ruler(measurement_list(seed)) is None


def test_a_ruler_beside_a_list_of_measurements_is_read() -> None:
    ruler = read_ruler(draw(measurement_list(2), DOTS, 38.1, seed=1))

    assert ruler is not None
    assert ruler.tick_px == pytest.approx(38.1, rel=0.005)


def test_four_ticks_are_too_few() -> None:
    frame = draw(np.zeros((400, 600), np.uint8), DOTS, 110.0, seed=0)

    assert read_ruler(frame) is None


@settings(max_examples=40)
@given(tick_px=st.floats(7.0, 60.0), noise=st.floats(0.0, 10.0), seed=st.integers(0, 999))
def test_the_step_is_read_to_half_a_percent_through_noise(tick_px: float, noise: float, seed: int) -> None:
    frame = draw(np.zeros((400, 80), np.uint8), DOTS, tick_px, seed)
    grain = np.abs(np.random.default_rng(seed).normal(0.0, noise, frame.shape))

    ruler = read_ruler(np.clip(frame + grain, 0, 255).astype(np.uint8))

    assert ruler is not None
    assert ruler.tick_px == pytest.approx(tick_px, rel=0.005)


@pytest.mark.parametrize(
    ("factor", "agrees"), [(1.0, True), (1.04, True), (0.8, False), (0.9, False), (1.1, False), (1.25, False)]
)
def test_a_wrong_calibration_is_seen_from_five_percent_on(factor: float, agrees: bool) -> None:
    assert compare(38.1, factor * 10.0 / 38.1).agrees is agrees


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_factor_of_two_cannot_be_seen(factor: float) -> None:
    assert compare(38.1, factor * 10.0 / 38.1).agrees


@pytest.mark.parametrize("name", ["OBXXXX1A.dcm", "gdcm-US-ALOKA-16.dcm", "color3d_jpeg_baseline.dcm"])
def test_rulers_of_real_screens_agree_with_their_header(name: str) -> None:
    (row,) = screens([Path(str(get_testdata_file(name, download=False)))])

    assert [region["tick_mm"] for region in row["regions"]] == pytest.approx([10.0] * len(row["regions"]), rel=0.005)
