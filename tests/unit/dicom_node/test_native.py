"""Native pixel data in another layout, or of another length, than the header says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dicom_node.decode import read_instance
from dicom_node.errors import InstanceRefused
from dicom_node.native import contradicts_planes, is_subsampled
from inference.domain import Reason
from tests.phantoms import head_phantom
from tests.ultrasound import save, us_image, us_multiframe

GREY = head_phantom(3, shape=(60, 80)).luminance
RGB = np.repeat(GREY[:, :, None], 3, axis=2)
DOPPLER = RGB.copy()
DOPPLER[20:40, 20:60] = (200, 40, 10)
FLAT = RGB.copy()
FLAT[5:] = (255, 255, 0)
FLAT[40:, :, 1] -= GREY[40:] // 2
"""Saturated flow almost everywhere, as a real object of GE has it (ExplVR_BigEnd.dcm of pydicom)."""
TINTED = (RGB * np.array([1.0, 0.9, 0.7])).astype(np.uint8)
ROWS, COLUMNS = GREY.shape


def shown(dataset: Any, folder: Path) -> Any:
    return read_instance(save(dataset, folder / "a.dcm")).display(1)


def refusal(dataset: Any, folder: Path) -> Reason:
    with pytest.raises(InstanceRefused) as caught:
        shown(dataset, folder)
    return caught.value.reason


@pytest.mark.parametrize(
    "picture", [RGB, DOPPLER, TINTED, FLAT, np.zeros_like(RGB)], ids=["grey", "flow", "tint", "flat", "black"]
)
@pytest.mark.parametrize("by_plane", [0, 1])
def test_the_declared_layout_is_believed(picture: Any, by_plane: int, tmp_path: Path) -> None:
    data = (np.moveaxis(picture, -1, 0) if by_plane else picture).tobytes()
    dataset = us_image(picture, PlanarConfiguration=by_plane, PixelData=data)
    np.testing.assert_array_equal(shown(dataset, tmp_path), picture)


@pytest.mark.parametrize("picture", [RGB, DOPPLER], ids=["grey", "flow"])
@pytest.mark.parametrize("by_plane", [0, 1])
def test_a_picture_that_is_grey_only_in_the_other_layout(picture: Any, by_plane: int, tmp_path: Path) -> None:
    data = (picture if by_plane else np.moveaxis(picture, -1, 0)).tobytes()
    dataset = us_image(picture, PlanarConfiguration=by_plane, PixelData=data)
    assert refusal(dataset, tmp_path) is Reason.BAD_PIXEL_DESCRIPTION


def test_noise_contradicts_nothing() -> None:
    noise = np.random.default_rng(1).integers(0, 256, RGB.shape, dtype=np.uint8)
    assert not contradicts_planes(noise, by_plane=False)
    assert not contradicts_planes(noise, by_plane=True)


def ybr(picture: Any) -> Any:
    return np.asarray(Image.fromarray(picture).convert("YCbCr"))


def halved(samples: Any) -> Any:
    """Y1 Y2 Cb Cr for every pair of pixels."""
    return np.stack([samples[:, 0::2, 0], samples[:, 1::2, 0], samples[:, 0::2, 1], samples[:, 0::2, 2]], axis=2)


def cine_422(data: bytes, frames: int) -> Any:
    pictures = np.stack([RGB] * frames)
    return us_multiframe(pictures, PhotometricInterpretation="YBR_FULL_422", PixelData=data)


@pytest.mark.parametrize("picture", [RGB, DOPPLER, TINTED], ids=["grey", "flow", "tint"])
@pytest.mark.parametrize("frames", [1, 2, 4])
def test_chroma_that_was_not_halved_after_all(picture: Any, frames: int, tmp_path: Path) -> None:
    data = ybr(picture).tobytes()
    assert not is_subsampled(data)
    assert is_subsampled(halved(ybr(picture)).tobytes())
    assert np.abs(shown(cine_422(data * frames, frames), tmp_path).astype(int) - picture).max() <= 3


@pytest.mark.parametrize(("there", "said"), [(2, 1), (3, 1), (3, 2), (6, 4), (6, 5)])
def test_more_subsampled_frames_than_declared(there: int, said: int, tmp_path: Path) -> None:
    """Three are as long as two that are not subsampled."""
    data = halved(ybr(RGB)).tobytes()
    assert refusal(cine_422(data * there, said), tmp_path) is Reason.BAD_PIXEL_DESCRIPTION


@pytest.mark.parametrize(
    "change",
    [{"NumberOfFrames": 7}, {"NumberOfFrames": None}, {"Rows": ROWS - 6}, {"Columns": COLUMNS - 1}],
    ids=["frames", "no frames", "rows", "columns"],
)
def test_more_pixel_data_than_declared(change: dict[str, Any], tmp_path: Path) -> None:
    assert refusal(us_multiframe(np.stack([GREY] * 8), **change), tmp_path) is Reason.BAD_PIXEL_DESCRIPTION


@pytest.mark.parametrize("surplus", [1, 3, 9, 57])
def test_padding_of_zeros_shorter_than_any_row_or_column(surplus: int, tmp_path: Path) -> None:
    odd = GREY[:59, :79]
    padded = us_image(odd, PixelData=odd.tobytes() + bytes(surplus))
    np.testing.assert_array_equal(shown(padded, tmp_path)[:, :, 0], odd)


@pytest.mark.parametrize("surplus", [bytes(59), b"\0\0\x01"], ids=["as long as a column", "not zero"])
def test_more_than_padding(surplus: bytes, tmp_path: Path) -> None:
    odd = GREY[:59, :79]
    assert refusal(us_image(odd, PixelData=odd.tobytes() + surplus), tmp_path) is Reason.BAD_PIXEL_DESCRIPTION


@pytest.mark.parametrize("spelling", [b"rgb ", b"Rgb ", b" RGB"])
def test_other_spellings_of_photometric_interpretation(spelling: bytes, tmp_path: Path) -> None:
    path = save(us_image(RGB), tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes().replace(b"CS\x04\0RGB ", b"CS\x04\0" + spelling))
    np.testing.assert_array_equal(read_instance(path).display(1), RGB)


def test_ultrasound_is_unsigned_so_pixel_representation_may_be_missing(tmp_path: Path) -> None:
    np.testing.assert_array_equal(shown(us_image(GREY, PixelRepresentation=None), tmp_path), RGB)
