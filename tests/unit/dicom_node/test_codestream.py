from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom.encaps import get_frame
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from dicom_node.codestream import FrameHeader, frame_header, without_application_segments
from tests.ultrasound import us_image

GREY = np.random.default_rng(3).integers(0, 256, (64, 80), dtype=np.uint8)


def pillow(name: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(GREY).save(stream, name, **options)
    return stream.getvalue()


@pytest.mark.parametrize("name", ["JPEG", "JPEG2000"])
def test_header_of_files_that_pillow_writes(name: str) -> None:
    assert frame_header(pillow(name)) == FrameHeader(*GREY.shape, bits=8, signed=False, components=1)


def test_a_box_of_a_jp2_file_that_holds_another_header_does_not_count() -> None:
    """The decoder goes from box to box; so must whoever reads the size before it."""
    whole = pillow("JPEG2000")
    decoy = pillow("JPEG2000", no_jp2=True)[:60]
    decoy = decoy[:8] + (7).to_bytes(4) + decoy[12:]
    place = whole.index(b"jp2c") - 4
    box = (8 + len(decoy)).to_bytes(4) + b"xml " + decoy
    assert frame_header(whole[:place] + box + whole[place:]) == frame_header(whole)
    assert frame_header(whole[:place] + box) is None


@pytest.mark.parametrize(
    ("syntax", "header"),
    [
        (JPEGLSLossless, FrameHeader(*GREY.shape, 8, False, 1)),
        (JPEG2000Lossless, FrameHeader(*GREY.shape, 8, False, 1)),
        (RLELossless, None),
    ],
)
def test_header_of_dicom_frames(syntax: str, header: FrameHeader | None) -> None:
    dataset = us_image(GREY)
    dataset.compress(syntax)
    assert frame_header(get_frame(dataset.PixelData, 0, number_of_frames=1)) == header


def test_application_segments_are_left_out_and_the_picture_stays() -> None:
    whole = pillow("JPEG", comment=b"a comment stays", exif=b"Exif\0\0 and this goes")
    bare = without_application_segments(whole)
    assert b"JFIF" in whole
    assert b"JFIF" not in bare
    assert b"Exif" not in bare
    assert b"a comment stays" in bare
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(bare))), np.asarray(Image.open(io.BytesIO(whole))))


@given(st.sampled_from([b"", b"\xff\xd8", b"\xff\x4f\xff\x51", b"\xff\xd8\xff\xc0"]), st.binary(max_size=60))
def test_any_bytes_have_a_header_or_none(start: bytes, rest: bytes) -> None:
    found = frame_header(start + rest)
    assert found is None or isinstance(found, FrameHeader)
    assert len(without_application_segments(start + rest)) <= len(start + rest)
