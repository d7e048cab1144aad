"""Colour flow is found on grey and on tinted images; tints, chroma noise, text and calipers are not taken for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.data import get_testdata_file

from dicom_node.colour import coloured
from dicom_node.decode import read_instance
from inference.domain import RegionPx
from tests.phantoms import head_phantom
from tests.ultrasound import save, us_image, us_region

GREY = head_phantom(1, shape=(270, 400)).luminance
WHOLE = [RegionPx(0, 0, 399, 269)]
TINTS = {
    "none": [(0, 0, 0), (255, 255, 255)],
    "sepia": [(0, 0, 0), (120, 88, 50), (255, 225, 180)],
    "blue": [(0, 0, 0), (10, 60, 200), (150, 200, 255)],
    "green": [(0, 0, 0), (60, 140, 70), (220, 255, 225)],
    "candle": [(0, 0, 0), (150, 30, 0), (240, 140, 20), (255, 255, 230)],
}


def tinted(name: str) -> NDArray[np.uint8]:
    """The phantom through a chroma map: RGB [270, 400, 3]."""
    stops = np.array(TINTS[name])
    places = np.linspace(0, 255, len(stops))
    table = np.stack([np.interp(np.arange(256), places, stops[:, i]) for i in range(3)], axis=1)
    mapped: NDArray[np.uint8] = table.round().astype(np.uint8)[GREY]
    return mapped


def jpeg(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """There and back with chroma at half the rows and columns."""
    half = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    data = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality, *half])[1]
    decoded: NDArray[np.uint8] = cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1].astype(np.uint8)
    return decoded


def with_flow(picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A red and a blue vessel inside the head; the picture and where they are."""
    mask = np.zeros(picture.shape[:2], np.uint8)
    cv2.ellipse(mask, (180, 130), (26, 7), 20, 0, 360, 1, -1)
    cv2.ellipse(mask, (225, 140), (26, 7), -30, 0, 360, 2, -1)
    painted = picture.copy()
    painted[mask == 1] = (200, 30, 0)
    painted[mask == 2] = (0, 60, 220)
    return painted, mask > 0


@pytest.mark.parametrize("quality", [None, 90, 70])
@pytest.mark.parametrize("tint", TINTS)
def test_no_tint_and_no_compression_looks_like_colour(tint: str, quality: int | None) -> None:
    picture = tinted(tint)
    assert coloured(picture if quality is None else jpeg(picture, quality), WHOLE) is None


@pytest.mark.parametrize("quality", [None, 85])
@pytest.mark.parametrize("tint", TINTS)
def test_flow_is_found_where_it_is(tint: str, quality: int | None) -> None:
    picture, truth = with_flow(tinted(tint))
    mask = coloured(picture if quality is None else jpeg(picture, quality), WHOLE)
    assert mask is not None
    # over an image that is itself blue or red, half of a vessel may be of the image's own colour
    assert np.count_nonzero(mask & truth) >= (0.85 if tint in ("none", "sepia", "green") else 0.45) * truth.sum()
    near = cv2.dilate(truth.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert not (mask & ~near).any()


def test_power_doppler_fills_the_bright_classes_and_is_still_found() -> None:
    picture = tinted("sepia")
    cv2.ellipse(picture, (200, 135), (40, 25), 0, 0, 360, (255, 230, 0), -1)
    mask = coloured(picture, WHOLE)
    assert mask is not None
    assert mask[135, 200]
    assert np.count_nonzero(mask) == pytest.approx(np.pi * 40 * 25, rel=0.1)


def test_text_calipers_and_a_dotted_outline_do_not_count() -> None:
    picture = tinted("none")
    cv2.putText(picture, "HC 176 mm", (120, 120), cv2.FONT_HERSHEY_PLAIN, 1.0, (255, 255, 0), 1)
    cv2.drawMarker(picture, (150, 100), (0, 255, 0), cv2.MARKER_CROSS, 11, 1)
    for turn in range(0, 360, 6):
        cv2.ellipse(picture, (200, 135), (90, 70), 10, turn, turn + 3, (0, 255, 0), 1)
    mask = coloured(picture, WHOLE)
    assert mask is None or np.count_nonzero(mask) < 0.002 * np.pi * 90 * 70


def test_only_the_two_dimensional_regions_are_looked_at() -> None:
    picture = tinted("none")
    picture[10:60, 10:60] = (250, 120, 0)
    assert coloured(picture, [RegionPx(100, 0, 399, 269)]) is None
    assert coloured(picture, []) is None
    mask = coloured(picture, [RegionPx(30, 0, 399, 269)])
    assert mask is not None
    assert mask.shape == GREY.shape
    assert not mask[:, :30].any()
    assert mask[20:50, 30:50].all()


def test_a_grey_image_beside_a_tinted_one_keeps_its_own_tint() -> None:
    picture = np.hstack([tinted("none"), tinted("blue")])
    boxes = [RegionPx(0, 0, 399, 269), RegionPx(400, 0, 799, 269)]
    assert coloured(picture, boxes) is None


def test_an_empty_image_has_no_colour() -> None:
    assert coloured(np.zeros((20, 30, 3), np.uint8), [RegionPx(0, 0, 29, 19)]) is None


def test_frames_carry_their_colour(tmp_path: Path) -> None:
    picture, truth = with_flow(tinted("none"))
    box = (0, 0, 399, 269)
    (frame,) = read_instance(save(us_image(picture, [us_region(box, (0.02, 0.02))]), tmp_path / "a.dcm")).frames([1])
    assert frame.colour is not None
    assert np.count_nonzero(frame.colour & truth) > 0.85 * truth.sum()
    (plain,) = read_instance(save(us_image(GREY, [us_region(box, (0.02, 0.02))]), tmp_path / "b.dcm")).frames([1])
    assert plain.colour is None


REAL = {
    # power Doppler of a lymph node; 2-D colour Doppler
    "US1_UNCI.dcm": (RegionPx(30, 110, 620, 350), 0.09, 0.13),
    "color-pl.dcm": (RegionPx(0, 0, 255, 119), 0.08, 0.13),
    # grey images: an obstetric one, a heart, two pelvic ones with green marks, a whole screen
    "OBXXXX1A.dcm": (RegionPx(80, 80, 700, 500), 0.0, 0.001),
    "color3d_jpeg_baseline.dcm": (RegionPx(80, 40, 560, 460), 0.0, 0.001),
    "gdcm-US-ALOKA-16.dcm": (RegionPx(25, 40, 615, 430), 0.0, 0.002),
    "JPGLosslessP14SV1_1s_1f_8b.dcm": (RegionPx(0, 0, 1023, 767), 0.0, 0.0),
}


@pytest.mark.parametrize("name", REAL)
def test_real_images(name: str) -> None:
    box, least, most = REAL[name]
    picture: Any = read_instance(Path(str(get_testdata_file(name, download=False)))).display(1)
    mask = coloured(picture, [box])
    share = 0.0 if mask is None else np.count_nonzero(mask) / (box.rows * box.columns)
    assert least <= share <= most
