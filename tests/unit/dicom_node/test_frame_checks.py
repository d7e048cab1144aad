"""A compressed frame that says something else of itself than the header: refused, never masked or stretched."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.encaps import generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from dicom_node.decode import read_instance
from dicom_node.errors import InstanceRefused
from inference.domain import Reason
from tests.encoders import encode, with_frames
from tests.ultrasound import save, us_image

RNG = np.random.default_rng(7)
ROWS, COLUMNS = 64, 80
DEEP = ["jpeg_ls", "jpeg_2000_lossless", pytest.param("htj2k_lossless", marks=pytest.mark.peer("ojph_compress"))]


def grey(bits: int, brightest: int | None = None) -> np.ndarray[Any, np.dtype[Any]]:
    kind = np.uint8 if bits <= 8 else np.uint16
    pixels = RNG.integers(0, 2**bits if brightest is None else brightest + 1, (ROWS, COLUMNS)).astype(kind)
    pixels[0, 0] = 2**bits - 1 if brightest is None else brightest
    return pixels


def stored(encoding: str, folder: Path, stream_bits: int, brightest: int | None = None) -> FileDataset:
    """A frame of so many bits, and a header that agrees."""
    pixels = grey(stream_bits, brightest)
    if encoding == "jpeg_ls":
        dataset = us_image(pixels, BitsStored=stream_bits, HighBit=stream_bits - 1)
        dataset.compress(JPEGLSLossless, generate_instance_uid=False)
        return dataset
    dataset = us_image(pixels, BitsStored=stream_bits, HighBit=stream_bits - 1)
    return dcmread(encode(dataset, encoding, folder))


def declared(dataset: FileDataset, allocated: int, bits: int, folder: Path) -> Path:
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, bits, bits - 1
    return save(dataset, folder / "declared.dcm")


def refusal(path: Path) -> Reason:
    with pytest.raises(InstanceRefused) as caught:
        read_instance(path).display(1)
    return caught.value.reason


@pytest.mark.parametrize("encoding", DEEP)
@pytest.mark.parametrize(
    ("stream_bits", "allocated", "bits"),
    [(8, 16, 12), (8, 16, 9), (8, 16, 16), (12, 16, 10), (12, 16, 11), (12, 16, 16), (12, 8, 8), (10, 16, 12)],
)
def test_another_depth_than_bits_stored(
    encoding: str, stream_bits: int, allocated: int, bits: int, tmp_path: Path
) -> None:
    path = declared(stored(encoding, tmp_path, stream_bits), allocated, bits, tmp_path)
    assert refusal(path) is Reason.BAD_PIXEL_DESCRIPTION


@pytest.mark.parametrize("encoding", DEEP)
def test_all_allocated_bits_are_allowed_where_no_sample_needs_them(encoding: str, tmp_path: Path) -> None:
    fits = stored(encoding, tmp_path, 16, brightest=4095)
    expected = read_instance(declared(fits, 16, 12, tmp_path)).display(1)
    assert int(expected.max()) == 255
    assert refusal(declared(stored(encoding, tmp_path, 16, brightest=4096), 16, 12, tmp_path)) is (
        Reason.BAD_PIXEL_DESCRIPTION
    )


@pytest.mark.parametrize("jp2", [False, True])
def test_signed_components(jp2: bool, tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(grey(8)).save(file, "JPEG2000", no_jp2=not jp2)
    frame = bytearray(file.getvalue())
    frame += b"\0" * (len(frame) % 2)
    dataset = with_frames(us_image(grey(8)), [bytes(frame)], JPEG2000Lossless)
    assert read_instance(save(dataset, tmp_path / "a.dcm")).display(1).shape == (ROWS, COLUMNS, 3)
    depth = frame.index(b"\xff\x4f\xff\x51") + 4 + 38
    assert frame[depth] == 7
    frame[depth] |= 0x80
    dataset = with_frames(us_image(grey(8)), [bytes(frame)], JPEG2000Lossless)
    assert refusal(save(dataset, tmp_path / "a.dcm")) is Reason.BAD_PIXEL_DESCRIPTION


def test_another_number_of_components(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(grey(8)).convert("RGB").save(file, "JPEG")
    dataset = with_frames(us_image(grey(8)), [file.getvalue()], JPEGBaseline8Bit)
    assert refusal(save(dataset, tmp_path / "a.dcm")) is Reason.BAD_PIXEL_DESCRIPTION


def with_frame(encoding: str, change: str, folder: Path) -> Path:
    """A frame with bytes behind its end, or without that end."""
    pixels = grey(8)
    dataset = us_image(pixels)
    if encoding == "jpeg":
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG")
        frame, syntax = file.getvalue(), JPEGBaseline8Bit
    else:
        dataset.compress(JPEGLSLossless, generate_instance_uid=False)
        (frame,), syntax = generate_frames(dataset.PixelData, number_of_frames=1), JPEGLSLossless
    end = frame.rindex(b"\xff\xd9")
    frame = frame[:end] if change == "no end" else frame + b"\0" * int(change)
    return save(with_frames(dataset, [frame + b"\0" * (len(frame) % 2)], syntax), folder / "a.dcm")


@pytest.mark.parametrize("encoding", ["jpeg", "jpeg_ls"])
def test_zero_bytes_behind_the_end_are_padding_and_a_missing_end_is_a_cut(encoding: str, tmp_path: Path) -> None:
    for count in ("0", "64", "4096"):
        assert read_instance(with_frame(encoding, count, tmp_path)).display(1).shape == (ROWS, COLUMNS, 3)
    assert refusal(with_frame(encoding, "no end", tmp_path)) is Reason.TRUNCATED


def test_a_run_length_encoded_frame_says_nothing_and_may_carry_overlays(tmp_path: Path) -> None:
    pixels = grey(12)
    plain = us_image(pixels, BitsStored=12, HighBit=11)
    overlaid = us_image(pixels | np.uint16(0x8000), BitsStored=12, HighBit=11)
    overlaid.add_new(0x60000102, "US", 15)
    overlaid.compress(RLELossless, generate_instance_uid=False)
    expected = read_instance(save(plain, tmp_path / "a.dcm")).display(1)
    np.testing.assert_array_equal(read_instance(save(overlaid, tmp_path / "b.dcm")).display(1), expected)
