from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom.encaps import get_frame
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from dicom_node.codestream import frame_size
from tests.ultrasound import us_image

GREY = np.random.default_rng(3).integers(0, 256, (64, 80), dtype=np.uint8)


@pytest.mark.parametrize("name", ["JPEG", "JPEG2000"])
def test_size_of_files_that_pillow_writes(name: str) -> None:
    stream = io.BytesIO()
    Image.fromarray(GREY).save(stream, name)
    assert frame_size(stream.getvalue()) == GREY.shape


@pytest.mark.parametrize(
    ("syntax", "size"), [(JPEGLSLossless, GREY.shape), (JPEG2000Lossless, GREY.shape), (RLELossless, None)]
)
def test_size_of_dicom_frames(syntax: str, size: tuple[int, int] | None) -> None:
    dataset = us_image(GREY)
    dataset.compress(syntax)
    assert frame_size(get_frame(dataset.PixelData, 0, number_of_frames=1)) == size


@given(st.sampled_from([b"", b"\xff\xd8", b"\xff\x4f\xff\x51", b"\xff\xd8\xff\xc0"]), st.binary(max_size=60))
def test_any_bytes_have_a_size_or_none(start: bytes, rest: bytes) -> None:
    size = frame_size(start + rest)
    assert size is None or len(size) == 2
