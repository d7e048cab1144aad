"""The same picture in every transfer syntax, by real encoders, against the uncompressed original."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset
from pydicom.encaps import get_frame
from pydicom.pixels.processing import convert_color_space

from dicom_node.codestream import without_application_segments
from dicom_node.comparison import same_content
from dicom_node.decode import read_instance
from dicom_node.domain import Relation
from dicom_node.errors import InstanceRefused
from dicom_node.photometric import luminance
from dicom_node.transfer_syntaxes import DECODERS
from inference.domain import PixelSpacingMm, Reason
from tests.encoders import ENCODINGS, dcmtk, encode, with_frames
from tests.phantoms import head_phantom
from tests.ultrasound import save, us_image, us_multiframe, us_phantom, us_region

SMALL = head_phantom(3, shape=(130, 180)).luminance
COLOUR = np.dstack([SMALL, SMALL // 2, 255 - SMALL])
REGION = [us_region((0, 0, 179, 129), (0.02, 0.02))]
LOSSLESS = [name for name, encoding in ENCODINGS.items() if encoding.lossless]
LOSSY = [name for name, encoding in ENCODINGS.items() if not encoding.lossless]
SOURCES = ("grey", "colour", "cine", "colour_cine")
all_peers = pytest.mark.peer(*sorted({peer for encoding in ENCODINGS.values() for peer in encoding.peers}))


@cache
def source(name: str) -> FileDataset:
    return {
        "grey": lambda: us_image(SMALL, REGION),
        "colour": lambda: us_image(COLOUR, REGION),
        "cine": lambda: us_multiframe(np.stack([SMALL, SMALL[::-1], SMALL[:, ::-1]]), REGION),
        "colour_cine": lambda: us_multiframe(np.stack([COLOUR, COLOUR[::-1]]), REGION),
    }[name]()


def pictures(path: Path) -> list[Any]:
    decoded = read_instance(path)
    assert decoded.calibration.regions[0].spacing_mm == PixelSpacingMm(0.2, 0.2)
    return [decoded.display(number) for number in range(1, decoded.frame_count + 1)]


def test_there_is_an_encoder_for_everything_that_is_decoded() -> None:
    assert {encoding.syntax for encoding in ENCODINGS.values()} == set(DECODERS)


@all_peers
@pytest.mark.parametrize("encoding", LOSSLESS)
def test_lossless_encodings_change_no_pixel(encoding: str, tmp_path: Path) -> None:
    for name in SOURCES:
        original = save(source(name), tmp_path / "a.dcm")
        encoded = encode(source(name), encoding, tmp_path)
        assert dcmread(encoded, stop_before_pixels=True).file_meta.TransferSyntaxUID == ENCODINGS[encoding].syntax
        for before, after in zip(pictures(original), pictures(encoded), strict=True):
            np.testing.assert_array_equal(after, before)
        assert same_content(original, encoded) is Relation.DUPLICATE


@all_peers
@pytest.mark.parametrize("encoding", LOSSY)
def test_lossy_encodings_stay_close(encoding: str, tmp_path: Path) -> None:
    for name in SOURCES:
        original = save(source(name), tmp_path / "a.dcm")
        encoded = encode(source(name), encoding, tmp_path)
        for before, after in zip(pictures(original), pictures(encoded), strict=True):
            assert np.abs(luminance(after).astype(int) - luminance(before)).mean() < 4
            assert np.abs(after.astype(int) - before).mean() < 13  # subsampled chroma of single-pixel colour
        assert same_content(encoded, encoded) is Relation.DUPLICATE
    assert same_content(original, encoded) is Relation.CONFLICT


class TestJpegLossless:
    """Process 14: seven predictors and a point transform; samples come out as they were stored."""

    NOISE = np.random.default_rng(1).integers(0, 256, (61, 83, 3), dtype=np.uint8)

    @pytest.mark.peer("dcmcjpeg")
    @pytest.mark.parametrize("predictor", range(1, 8))
    def test_every_predictor(self, predictor: int, tmp_path: Path) -> None:
        for pixels in (self.NOISE, self.NOISE[:, :, 0]):
            dcmtk("dcmcjpeg", "+el", "+sv", str(predictor))(us_image(pixels), tmp_path / "a.dcm")
            shown = read_instance(tmp_path / "a.dcm").display(1)
            np.testing.assert_array_equal(shown, pixels if pixels.ndim == 3 else np.dstack([pixels] * 3))

    @pytest.mark.peer("dcmcjpeg")
    def test_a_point_transform_takes_the_low_bits(self, tmp_path: Path) -> None:
        dcmtk("dcmcjpeg", "+el", "+sv", "7", "+pt", "2")(us_image(self.NOISE), tmp_path / "a.dcm")
        np.testing.assert_array_equal(read_instance(tmp_path / "a.dcm").display(1), self.NOISE & 0xFC)

    @pytest.mark.peer("dcmcjpeg")
    @pytest.mark.parametrize(
        ("segment", "photometric"),
        [
            (bytes.fromhex("ffe000104a46494600010100000100010000"), "YBR_FULL"),  # JFIF
            (b"\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0\x01", "YBR_FULL"),  # Adobe, YCbCr
            (b"\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0\x00", "RGB"),  # Adobe, none
        ],
    )
    def test_a_marker_that_agrees_with_the_header_changes_nothing(
        self, segment: bytes, photometric: str, tmp_path: Path
    ) -> None:
        samples = self.NOISE if photometric == "RGB" else convert_color_space(self.NOISE, "RGB", "YBR_FULL")
        path = encode(us_image(samples, PhotometricInterpretation=photometric), "jpeg_lossless_sv1", tmp_path)
        before = read_instance(path).display(1)
        dataset = dcmread(path)
        bare = without_application_segments(get_frame(dataset.PixelData, 0, number_of_frames=1))
        frame = bare[:2] + segment + bare[2:]
        save(with_frames(dataset, [frame], dataset.file_meta.TransferSyntaxUID), path)
        np.testing.assert_array_equal(read_instance(path).display(1), before)

    @pytest.mark.peer("dcmcjpeg")
    @pytest.mark.parametrize("encoding", ["jpeg_lossless", "jpeg_lossless_sv1", "jpeg_extended"])
    def test_more_than_8_bits_are_refused_by_name(self, encoding: str, tmp_path: Path) -> None:
        deep = us_image(SMALL.astype(np.uint16) * 16, BitsStored=12, HighBit=11)
        with pytest.raises(InstanceRefused) as caught:
            read_instance(encode(deep, encoding, tmp_path)).display(1)
        assert caught.value.reason is Reason.UNSUPPORTED_TRANSFER_SYNTAX
        assert caught.value.detail == "(JPEG of more than 8 bits)"


class TestOtherPixels:
    @all_peers
    @pytest.mark.parametrize("encoding", ["big_endian", "rle", "jpeg_ls", "jpeg_2000_lossless", "htj2k_lossless"])
    def test_16_bits(self, encoding: str, tmp_path: Path) -> None:
        deep = us_image(SMALL.astype(np.uint16) * 16 + 3, REGION, BitsStored=12, HighBit=11)
        before = pictures(save(copy.deepcopy(deep), tmp_path / "a.dcm"))[0]
        np.testing.assert_array_equal(pictures(encode(deep, encoding, tmp_path))[0], before)


@pytest.mark.peer("dcmcjpeg")
@pytest.mark.parametrize("options", [["+ff"], ["+fs", "1"]])
def test_fragmented_frames(options: list[str], tmp_path: Path) -> None:
    original = save(us_phantom(1), tmp_path / "a.dcm")
    dcmtk("dcmcjpeg", "+e1", *options)(us_phantom(1), tmp_path / "b.dcm")
    np.testing.assert_array_equal(read_instance(tmp_path / "b.dcm").display(1), read_instance(original).display(1))


class TestRealObjects:
    """Ultrasound objects of real machines that pydicom ships."""

    @staticmethod
    def path(name: str) -> Path:
        return Path(str(get_testdata_file(name, download=False)))

    def test_a_cropped_palette_image_is_shown_and_not_trusted(self) -> None:
        """Its regions reach to row 576 of an image that has 350."""
        decoded = read_instance(self.path("examples_palette.dcm"))
        assert decoded.display(1).shape == (350, 800, 3)
        assert decoded.calibration.reason is Reason.CALIBRATION_CONFLICT

    def test_a_cine_that_was_halved_without_its_regions_is_not_trusted(self) -> None:
        """320 x 240 pixels with a region of 640 x 480: the deltas are wrong by a factor of two."""
        decoded = read_instance(self.path("examples_ybr_color.dcm"))
        frames = list(decoded.frames([1, 30]))
        assert [f.luminance.shape for f in frames] == [(240, 320)] * 2
        assert decoded.calibration.reason is Reason.CALIBRATION_CONFLICT

    def test_retired_ultrasound_class_with_rgb(self) -> None:
        decoded = read_instance(self.path("examples_rgb_color.dcm"))
        assert decoded.display(1).shape == (240, 320, 3)
        assert decoded.calibration.reason is Reason.NOT_CALIBRATED

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("CT_small.dcm", Reason.UNSUPPORTED_SOP_CLASS),
            ("test-SR.dcm", Reason.UNSUPPORTED_SOP_CLASS),
            ("ExplVR_LitEndNoMeta.dcm", Reason.UNSUPPORTED_SOP_CLASS),
            ("meta_missing_tsyntax.dcm", Reason.UNREADABLE),
            ("rtplan_truncated.dcm", Reason.TRUNCATED),
            ("badVR.dcm", Reason.UNSUPPORTED_SOP_CLASS),
        ],
    )
    def test_named_refusals(self, name: str, reason: Reason) -> None:
        with pytest.raises(InstanceRefused) as caught:
            read_instance(self.path(name))
        assert caught.value.reason is reason
