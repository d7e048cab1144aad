"""RGB declared as YBR and YBR declared as RGB: the frame's own evidence decides, and a contradiction is refused."""

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
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLosslessSV1

from dicom_node.decode import read_instance
from dicom_node.errors import InstanceRefused
from dicom_node.frame_colour import ColourModel, colour_model
from inference.domain import Reason
from tests.encoders import encode, with_frames
from tests.ultrasound import save, us_image

ROWS, COLUMNS = 32, 48
ACROSS, DOWN = np.meshgrid(np.linspace(20, 230, COLUMNS), np.linspace(20, 230, ROWS))
PICTURE = np.stack([ACROSS, DOWN, 255 - ACROSS], axis=2).round().astype(np.uint8)
"""Smooth, so that JPEG changes little, and coloured, so that a wrong colour model changes much."""

ADOBE = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"


def jpeg(model: ColourModel, mark: str, subsampling: int = 0) -> bytes:
    """`PICTURE` with components of `model` and one kind of evidence of it: jfif, adobe, ids, none."""
    stream = io.BytesIO()
    kept = {"keep_rgb": True} if model is ColourModel.RGB else {"subsampling": subsampling}
    Image.fromarray(PICTURE).save(stream, "JPEG", quality=95, **kept)
    data = stream.getvalue()
    start = min(data.index(b"\xff\xdb"), data.index(b"\xff\xc0"))
    body = data[start:]
    body = _with_ids(body, b"RGB" if mark == "ids" else b"\1\2\3")
    jfif = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    adobe = ADOBE + (b"\0" if model is ColourModel.RGB else b"\1")
    return b"\xff\xd8" + {"jfif": jfif, "adobe": adobe}.get(mark, b"") + body


def _with_ids(data: bytes, ids: bytes) -> bytes:
    """Other component identifiers in start of frame and start of scan."""
    changed = bytearray(data)
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    for i in range(3):
        changed[frame + 10 + 3 * i] = changed[scan + 5 + 2 * i] = ids[i]
    return bytes(changed)


def image(encoded: bytes, photometric: str) -> FileDataset:
    return with_frames(us_image(PICTURE, PhotometricInterpretation=photometric), [encoded], JPEGBaseline8Bit)


def display(dataset: FileDataset, folder: Path) -> Any:
    return read_instance(save(dataset, folder / "a.dcm")).display(1)


def refusal(dataset: FileDataset, folder: Path) -> Reason:
    with pytest.raises(InstanceRefused) as caught:
        display(dataset, folder)
    return caught.value.reason


def difference(picture: Any) -> float:
    return float(np.abs(picture.astype(int) - PICTURE).max())


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "YBR_FULL_422"])
@pytest.mark.parametrize(
    ("model", "mark"),
    [
        (ColourModel.YCBCR, "jfif"),
        (ColourModel.YCBCR, "adobe"),
        (ColourModel.RGB, "adobe"),
        (ColourModel.RGB, "ids"),
    ],
)
def test_evidence_goes_before_the_declaration(model: ColourModel, mark: str, photometric: str, tmp_path: Path) -> None:
    encoded = jpeg(model, mark)
    assert colour_model(encoded) is model
    assert difference(display(image(encoded, photometric), tmp_path)) < 12


@pytest.mark.parametrize(("model", "photometric"), [(ColourModel.RGB, "RGB"), (ColourModel.YCBCR, "YBR_FULL_422")])
def test_without_evidence_the_declaration_decides(model: ColourModel, photometric: str, tmp_path: Path) -> None:
    encoded = jpeg(model, "none")
    assert colour_model(encoded) is None
    assert difference(display(image(encoded, photometric), tmp_path)) < 12


def test_a_wrong_colour_model_would_be_seen(tmp_path: Path) -> None:
    """What the tests above would find if the evidence were not read."""
    assert difference(display(image(jpeg(ColourModel.YCBCR, "none"), "RGB"), tmp_path)) > 60


@pytest.mark.parametrize("subsampling", [1, 2])
def test_subsampled_components_are_chroma(subsampling: int, tmp_path: Path) -> None:
    encoded = jpeg(ColourModel.YCBCR, "none", subsampling)
    assert colour_model(encoded) is ColourModel.YCBCR
    assert difference(display(image(encoded, "RGB"), tmp_path)) < 20


def test_a_frame_that_says_both_is_refused(tmp_path: Path) -> None:
    encoded = jpeg(ColourModel.YCBCR, "jfif")
    both = encoded[:20] + ADOBE + b"\0" + encoded[20:]
    assert refusal(image(both, "YBR_FULL_422"), tmp_path) is Reason.UNSUPPORTED_PHOTOMETRIC


def test_damage_says_nothing() -> None:
    encoded = jpeg(ColourModel.RGB, "adobe")
    for length in range(len(encoded)):
        assert colour_model(encoded[:length]) in (None, ColourModel.RGB)


@pytest.mark.peer("dcmcjpeg")
@pytest.mark.parametrize("name", ["jpeg_baseline", "jpeg_baseline_422", "jpeg_baseline_rgb"])
@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_dcmtk_s_frames_under_a_false_declaration(name: str, photometric: str, tmp_path: Path) -> None:
    path = encode(us_image(PICTURE), name, tmp_path)
    declared = read_instance(path).header.PhotometricInterpretation
    path.write_bytes(_declare(path.read_bytes(), declared, photometric))
    assert difference(read_instance(path).display(1)) < 30


@pytest.mark.peer("dcmcjpeg")
@pytest.mark.parametrize("mark", ["none", "jfif", "adobe"])
def test_a_lossless_frame_that_contradicts_its_declaration_is_not_guessed(mark: str, tmp_path: Path) -> None:
    path = encode(us_image(PICTURE), "jpeg_lossless_sv1", tmp_path)  # DCMTK leaves no mark
    segment = {"none": b"", "jfif": jpeg(ColourModel.YCBCR, "jfif")[2:20], "adobe": ADOBE + b"\1"}[mark]
    (encoded,) = generate_frames(dcmread(path).PixelData, number_of_frames=1)
    dataset = with_frames(us_image(PICTURE), [b"\xff\xd8" + segment + encoded[2:]], JPEGLosslessSV1)
    if mark == "none":
        np.testing.assert_array_equal(display(dataset, tmp_path), PICTURE)
    else:
        assert refusal(dataset, tmp_path) is Reason.UNSUPPORTED_PHOTOMETRIC


def _declare(content: bytes, old: str, new: str) -> bytes:
    """Another Photometric Interpretation in an explicit little endian file."""
    element = b"\x28\x00\x04\x00CS"

    def value(text: str) -> bytes:
        padded = text.encode() + b" " * (len(text) % 2)
        return element + len(padded).to_bytes(2, "little") + padded

    assert content.count(value(old)) == 1
    return content.replace(value(old), value(new))


class TestJpeg2000:
    """A transform that is declared and absent, or the other way round."""

    @staticmethod
    def stored(photometric: str, declared: str, folder: Path) -> FileDataset:
        dataset = us_image(PICTURE, PhotometricInterpretation=photometric)
        dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
        dataset.PhotometricInterpretation = declared
        save(dataset, folder / "a.dcm")
        return dataset

    @pytest.mark.parametrize(
        ("photometric", "declared"),
        [("YBR_RCT", "RGB"), ("RGB", "RGB"), ("YBR_RCT", "YBR_ICT"), ("YBR_RCT", "YBR_FULL_422")],
    )
    def test_the_decoder_undoes_the_transform_that_is_there(
        self, photometric: str, declared: str, tmp_path: Path
    ) -> None:
        self.stored(photometric, declared, tmp_path)
        np.testing.assert_array_equal(read_instance(tmp_path / "a.dcm").display(1), PICTURE)

    @pytest.mark.parametrize(
        ("photometric", "declared"), [("RGB", "YBR_RCT"), ("RGB", "YBR_ICT"), ("YBR_RCT", "YBR_FULL")]
    )
    def test_contradictions_are_refused(self, photometric: str, declared: str, tmp_path: Path) -> None:
        assert refusal(self.stored(photometric, declared, tmp_path), tmp_path) is Reason.UNSUPPORTED_PHOTOMETRIC

    def test_ybr_full_is_not_transformed(self, tmp_path: Path) -> None:
        ybr = np.asarray(Image.fromarray(PICTURE).convert("YCbCr"))
        dataset = us_image(ybr, PhotometricInterpretation="YBR_FULL")
        dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
        assert difference(display(dataset, tmp_path)) <= 3
