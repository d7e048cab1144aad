"""The same picture in every encoding that DCMTK and pydicom can make, against the uncompressed original."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset
from pydicom.uid import JPEG2000, JPEG2000Lossless, JPEGLSLossless, RLELossless

from dicom_node.comparison import same_content
from dicom_node.decode import read_instance
from dicom_node.domain import Relation
from dicom_node.errors import InstanceRefused
from dicom_node.photometric import luminance
from inference.domain import PixelSpacingMm, Reason
from tests.phantoms import head_phantom
from tests.ultrasound import save, us_image, us_multiframe, us_phantom, us_region

SMALL = head_phantom(3, shape=(130, 180)).luminance
REGION = [us_region((0, 0, 179, 129), (0.02, 0.02))]
LOSSLESS = {
    "jpeg_lossless_sv1": ["dcmcjpeg", "+e1"],
    "jpeg_lossless_14": ["dcmcjpeg", "+el"],
    "jpeg_ls": ["dcmcjpls", "+el"],
    "rle": ["dcmcrle"],
    "deflated": ["dcmconv", "+td"],
    "big_endian": ["dcmconv", "+tb"],
    "implicit": ["dcmconv", "+ti"],
}
LOSSY = {
    "baseline_422": ["dcmcjpeg", "+eb", "+q", "95", "+s2"],
    "baseline_444": ["dcmcjpeg", "+eb", "+q", "95", "+s4"],
    "baseline_rgb": ["dcmcjpeg", "+eb", "+q", "95", "+cr"],
    "jpeg_ls_near": ["dcmcjpls", "+en", "+md", "2"],
}


def sources() -> dict[str, FileDataset]:
    colour = np.dstack([SMALL, SMALL // 2, 255 - SMALL])
    return {
        "grey": us_image(SMALL, REGION),
        "colour": us_image(colour, REGION),
        "cine": us_multiframe(np.stack([SMALL, SMALL[::-1], SMALL[:, ::-1]]), REGION),
        "colour_cine": us_multiframe(np.stack([colour, colour[::-1]]), REGION),
    }


def encode(command: list[str], source: Path, target: Path) -> Path:
    subprocess.run([*command, str(source), str(target)], check=True, capture_output=True)
    return target


def pictures(path: Path) -> list[Any]:
    decoded = read_instance(path)
    assert decoded.calibration.regions[0].spacing_mm == PixelSpacingMm(0.2, 0.2)
    return [decoded.display(number) for number in range(1, decoded.frame_count + 1)]


@pytest.mark.peer("dcmcjpeg", "dcmcjpls", "dcmcrle", "dcmconv")
@pytest.mark.parametrize("name", list(sources()))
@pytest.mark.parametrize("encoding", list(LOSSLESS))
def test_lossless_encodings_change_no_pixel(name: str, encoding: str, tmp_path: Path) -> None:
    original = save(sources()[name], tmp_path / "a.dcm")
    encoded = encode(LOSSLESS[encoding], original, tmp_path / "b.dcm")
    for before, after in zip(pictures(original), pictures(encoded), strict=True):
        np.testing.assert_array_equal(after, before)
    assert same_content(original, encoded) is Relation.DUPLICATE


@pytest.mark.peer("dcmcjpeg", "dcmcjpls")
@pytest.mark.parametrize("name", list(sources()))
@pytest.mark.parametrize("encoding", list(LOSSY))
def test_lossy_encodings_stay_close(name: str, encoding: str, tmp_path: Path) -> None:
    original = save(sources()[name], tmp_path / "a.dcm")
    encoded = encode(LOSSY[encoding], original, tmp_path / "b.dcm")
    for before, after in zip(pictures(original), pictures(encoded), strict=True):
        assert np.abs(luminance(after).astype(int) - luminance(before)).mean() < 2
        assert np.abs(after.astype(int) - before).mean() < 10  # subsampled chroma of single-pixel colour
    assert same_content(original, encoded) is Relation.CONFLICT


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_encodings_of_our_own_library(syntax: str, tmp_path: Path) -> None:
    dataset = sources()["colour_cine"]
    original = save(dataset, tmp_path / "a.dcm")
    dataset.compress(syntax, generate_instance_uid=False)
    encoded = save(dataset, tmp_path / "b.dcm")
    for before, after in zip(pictures(original), pictures(encoded), strict=True):
        np.testing.assert_array_equal(after, before)


def test_jpeg_2000_ict(tmp_path: Path) -> None:
    dataset = sources()["colour"]
    before = pictures(save(dataset, tmp_path / "a.dcm"))[0]
    dataset.PhotometricInterpretation = "YBR_ICT"
    dataset.compress(JPEG2000, j2k_psnr=[45], generate_instance_uid=False)
    after = pictures(save(dataset, tmp_path / "b.dcm"))[0]
    assert np.abs(after.astype(int) - before).mean() < 3


@pytest.mark.peer("dcmcjpeg")
@pytest.mark.parametrize("options", [["+ff"], ["+fs", "1"]])
def test_fragmented_frames(options: list[str], tmp_path: Path) -> None:
    original = save(us_phantom(1), tmp_path / "a.dcm")
    encoded = encode(["dcmcjpeg", "+e1", *options], original, tmp_path / "b.dcm")
    np.testing.assert_array_equal(read_instance(encoded).display(1), read_instance(original).display(1))


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
            ("ExplVR_LitEndNoMeta.dcm", Reason.NOT_DICOM),
            ("meta_missing_tsyntax.dcm", Reason.UNREADABLE),
            ("rtplan_truncated.dcm", Reason.TRUNCATED),
            ("badVR.dcm", Reason.UNSUPPORTED_SOP_CLASS),
        ],
    )
    def test_named_refusals(self, name: str, reason: Reason) -> None:
        with pytest.raises(InstanceRefused) as caught:
            read_instance(self.path(name))
        assert caught.value.reason is reason
