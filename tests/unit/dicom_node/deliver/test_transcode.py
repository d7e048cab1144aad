"""Objects for peers that refuse their transfer syntax."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from dicom_node.deliver import transcode
from dicom_node.deliver.transcode import NotConvertible, is_convertible, uncompressed
from tests.ultrasound import save, us_image

PIXELS = np.random.default_rng(3).integers(0, 256, (16, 24), dtype=np.uint8)


@pytest.mark.parametrize(
    ("syntax", "convertible"),
    [
        (ExplicitVRLittleEndian, True),
        (ImplicitVRLittleEndian, True),
        (DeflatedExplicitVRLittleEndian, True),
        (RLELossless, True),
        (JPEGBaseline8Bit, True),
        (MPEG2MPML, False),
        (ExplicitVRBigEndian, False),
        ("1.2.3.4", False),
    ],
)
def test_what_can_be_sent_without_its_compression(syntax: str, convertible: bool) -> None:
    assert is_convertible(str(syntax)) is convertible


def test_pixels_and_uid_stay(tmp_path: Path) -> None:
    dataset = us_image(PIXELS)
    uid = dataset.SOPInstanceUID
    dataset.compress(RLELossless, generate_instance_uid=False)
    path = save(dataset, tmp_path / "rle.dcm")
    before = path.read_bytes()

    plain = uncompressed(path)

    assert plain.SOPInstanceUID == uid
    assert plain.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert np.array_equal(plain.pixel_array, PIXELS)
    assert path.read_bytes() == before
    assert dcmread(path).file_meta.TransferSyntaxUID == RLELossless


def test_damaged_pixel_data_is_told(tmp_path: Path) -> None:
    dataset = us_image(PIXELS)
    dataset.compress(RLELossless, generate_instance_uid=False)
    path = save(dataset, tmp_path / "rle.dcm")
    header = b"\x01\x00\x00\x00\x40\x00\x00\x00"  # of the RLE frame: one segment, 64 bytes on (PS3.5 G.5)
    content = path.read_bytes()
    assert header in content
    path.write_bytes(content.replace(header, b"\xff" * 8))
    with pytest.raises(NotConvertible):
        uncompressed(path)


def test_what_would_fill_the_memory_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = us_image(PIXELS)
    dataset.compress(RLELossless, generate_instance_uid=False)
    path = save(dataset, tmp_path / "rle.dcm")
    monkeypatch.setattr(transcode, "LARGEST_BYTES", PIXELS.size - 1)
    with pytest.raises(NotConvertible, match="too large"):
        uncompressed(path)


def test_a_missing_file_is_a_matter_of_the_file_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        uncompressed(tmp_path / "gone.dcm")
