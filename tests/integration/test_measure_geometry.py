"""Through whole objects: what stands around the region, how often a frame is repeated and where the region lies change
no digit of the measurement; graphics in the region's own dark corners change HC by 0.1 mm at most."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import FileDataset

from dicom_node.config import Config
from dicom_node.decode import read_instance
from dicom_node.looking import look
from dicom_node.worker import build_examiner, find_entry
from inference.domain import EllipsePx, Examination, Measurement
from inference.examine import Examiner
from inference.measure import circumference_mm, inside_distance_px, to_millimetres
from inference.phantom import PhantomImage
from tests.encoders import ENCODINGS, encode
from tests.phantoms import head_phantom
from tests.ultrasound import save, us_image, us_multiframe, us_region
from tests.unit.inference.test_geometry import EXACT, ROUNDED_MM, bright_examiner

Screen = NDArray[np.uint8]
"""RGB, uint8 [rows, columns, 3]."""

SHAPE = (360, 530)
"""Rows and columns of the phantoms; the screen around them is larger by MARGIN on every side."""

MARGIN = 90


@pytest.fixture(scope="module")
def network() -> Examiner:
    config = Config()
    return build_examiner(config, find_entry(config))


@pytest.fixture(scope="module", params=[2, 5])
def phantom(request: pytest.FixtureRequest) -> PhantomImage:
    return head_phantom(request.param, shape=SHAPE)


def examined(path: Path, examiner: Examiner) -> Examination:
    return look(read_instance(path), examiner, 16)


def measured(path: Path, examiner: Examiner) -> Measurement:
    finding = examined(path, examiner).finding
    assert isinstance(finding, Measurement)
    return finding


# --- around the region ---------------------------------------------------------------------------------------------


def black(_screen: Screen) -> None:
    pass


def text(screen: Screen) -> None:
    for row in range(25, screen.shape[0], 40):
        cv2.putText(
            screen, "OB  MI 0.9  TIs 0.4  12.0cm" * 3, (2, row), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2
        )


def logo(screen: Screen) -> None:
    cv2.circle(screen, (45, 45), 40, (255, 160, 0), -1)
    cv2.rectangle(screen, (screen.shape[1] - 85, 5), (screen.shape[1] - 5, 85), (255, 255, 255), -1)


def colour_bars(screen: Screen) -> None:
    ramp = np.linspace(255, 0, screen.shape[0])[:, None]
    screen[:, : MARGIN - 1, 0] = ramp  # touches the region's neighbourhood, red to black
    screen[:, -MARGIN:, 2] = ramp
    screen[:, -MARGIN // 2 :] = ramp[:, :, None]


def another_head(screen: Screen) -> None:
    """Right up to the region's border, brighter than everything in it."""
    screen[:] = 255
    cv2.ellipse(screen, (screen.shape[1] // 2, MARGIN), (200, 150), 0, 0, 360, (0, 0, 0), -1)


def noise(screen: Screen) -> None:
    screen[:] = np.random.default_rng(1).integers(0, 256, screen.shape)


AROUND: tuple[Callable[[Screen], None], ...] = (text, logo, colour_bars, another_head, noise)


def on_screen(phantom: PhantomImage, draw: Callable[[Screen], None]) -> FileDataset:
    rows, columns = phantom.luminance.shape
    screen = np.zeros((rows + 2 * MARGIN, columns + 2 * MARGIN, 3), np.uint8)
    draw(screen)
    screen[MARGIN : MARGIN + rows, MARGIN : MARGIN + columns] = phantom.luminance[:, :, None]
    box = (MARGIN, MARGIN, MARGIN + columns - 1, MARGIN + rows - 1)
    return us_image(screen, [us_region(box, (phantom.spacing_mm.column / 10, phantom.spacing_mm.row / 10))])


def test_nothing_outside_the_region_changes_a_digit(phantom: PhantomImage, network: Examiner, tmp_path: Path) -> None:
    alone = measured(save(on_screen(phantom, black), tmp_path / "black.dcm"), network)
    for draw in AROUND:
        assert measured(save(on_screen(phantom, draw), tmp_path / "a.dcm"), network) == alone, draw.__name__


# --- inside the region, beside the sector --------------------------------------------------------------------------


def corner_text(screen: Screen) -> None:
    for row, words in ((20, "GA=20w3d"), (42, "12.0cm"), (64, "45Hz Gn 12")):
        cv2.putText(screen, words, (6, row), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (255, 255, 255), 1)


def lines_of_text(screen: Screen) -> None:
    for row in range(18, screen.shape[0], 26):
        words = "OB  MI 0.9  TIs 0.4  12.0cm 45Hz Gn 12 " * 3
        cv2.putText(screen, words, (4, row), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (220, 220, 220), 1)


def scales_and_logo(screen: Screen) -> None:
    """A grey bar on the left, depth marks on the right, the maker's mark above them."""
    screen[60:240, 6:20] = np.linspace(255, 0, 180)[:, None, None]
    screen[::30, -10:-2] = 255
    cv2.circle(screen, (screen.shape[1] - 30, 22), 14, (255, 160, 0), -1)


BESIDE = (corner_text, lines_of_text, scales_and_logo)
BESIDE_MM = 0.1


def beside_sector(phantom: PhantomImage, draw: Callable[[Screen], None]) -> FileDataset:
    """The phantom alone in its region, with graphics where the sector is not."""
    screen = np.repeat(phantom.luminance[:, :, None], 3, axis=2)
    graphics = np.zeros_like(screen)
    draw(graphics)
    dark = cv2.blur(phantom.luminance, (41, 41)) < 4
    assert draw is black or np.count_nonzero(graphics[dark]) > 500
    screen[dark] = np.maximum(screen[dark], graphics[dark])
    rows, columns = phantom.luminance.shape
    deltas = (phantom.spacing_mm.column / 10, phantom.spacing_mm.row / 10)
    return us_image(screen, [us_region((0, 0, columns - 1, rows - 1), deltas)])


@pytest.mark.parametrize("seed", [2, 11])
def test_graphics_beside_the_sector_change_next_to_nothing(seed: int, network: Examiner, tmp_path: Path) -> None:
    phantom = head_phantom(seed, shape=SHAPE)  # whose sectors leave room in the corners
    alone = measured(save(beside_sector(phantom, black), tmp_path / "bare.dcm"), network)
    for draw in BESIDE:
        found = measured(save(beside_sector(phantom, draw), tmp_path / "a.dcm"), network)
        assert found.hc_mm == pytest.approx(alone.hc_mm, abs=BESIDE_MM + 1e-9), draw.__name__


# --- cines ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["explicit", "rle", "jpeg_2000_lossless"])
@pytest.mark.peer("dcmcrle")
def test_a_cine_of_one_repeated_frame_agrees_with_the_still_to_the_last_digit(
    encoding: str, network: Examiner, tmp_path: Path
) -> None:
    assert ENCODINGS[encoding].lossless
    phantom = head_phantom(5, shape=SHAPE)
    region = [
        us_region((0, 0, SHAPE[1] - 1, SHAPE[0] - 1), (phantom.spacing_mm.column / 10, phantom.spacing_mm.row / 10))
    ]
    still = measured(save(us_image(phantom.luminance, region), tmp_path / "still.dcm"), network)
    cine = encode(us_multiframe(np.stack([phantom.luminance] * 4), region), encoding, tmp_path)
    examination = examined(cine, network)
    assert [replace(finding, frame=1) for finding in examination.findings] == [still] * 4
    assert examination.finding == still
    assert examination.frames_used == (1, 2, 3, 4)


# --- any region of any object --------------------------------------------------------------------------------------


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    offset=st.tuples(st.integers(0, 300), st.integers(0, 200)),
    delta_cm=st.tuples(st.floats(0.005, 0.04), st.floats(0.7, 1.4)),
    signs=st.tuples(st.sampled_from([1, -1]), st.sampled_from([1, -1])),
    head=st.tuples(st.floats(0.6, 0.95), st.floats(0.7, 0.95), st.floats(0, 180)),
)
def test_head_in_any_region_is_measured_to_a_thousandth(
    offset: tuple[int, int],
    delta_cm: tuple[float, float],
    signs: tuple[int, int],
    head: tuple[float, float, float],
    tmp_path: Path,
) -> None:
    """`delta_cm`: Delta X, and Y as a multiple of it. `head`: share of the room, minor by major axis, angle."""
    rows, columns = 280, 360
    left, top = offset
    ellipse = EllipsePx(columns / 2 + 3.3, rows / 2 - 2.1, 128 * head[0], 128 * head[0] * head[1], head[2])
    inside = np.clip(0.5 + inside_distance_px(ellipse, rows, columns) / 4.0, 0, 1)
    frame = np.zeros((top + rows + 20, left + columns + 30), np.uint8)
    frame[top : top + rows, left : left + columns] = np.rint(inside * 255)
    deltas = (delta_cm[0] * signs[0], delta_cm[0] * delta_cm[1] * signs[1])
    region = us_region((left, top, left + columns - 1, top + rows - 1), deltas)
    result = measured(save(us_image(frame, [region]), tmp_path / "a.dcm"), bright_examiner())
    assert math.isclose(result.spacing_mm.column, delta_cm[0] * 10)
    truth = circumference_mm(to_millimetres(ellipse, result.spacing_mm))
    assert result.hc_mm == pytest.approx(truth, abs=EXACT * truth + ROUNDED_MM)
    assert result.ellipse.center_col_px == pytest.approx(ellipse.center_col_px + left, abs=0.1)
    assert result.ellipse.center_row_px == pytest.approx(ellipse.center_row_px + top, abs=0.1)
