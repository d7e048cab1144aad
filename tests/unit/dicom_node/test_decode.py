from __future__ import annotations

import copy
import io
import logging
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.filewriter import dcmwrite
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import (
    MPEG4HP41,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    SMPTEST211020UncompressedProgressiveActiveVideo,
    generate_uid,
)

from dicom_node import streams
from dicom_node.decode import read_instance, read_picture
from dicom_node.errors import InstanceRefused
from inference.domain import CalibrationSource, PixelSpacingMm, Reason
from sr_templates.uids import MANUFACTURER, MODEL_NAME, UID_ROOT
from tests.encoders import H264, video_stream, with_video
from tests.ultrasound import (
    US_IMAGE_RETIRED,
    US_MULTIFRAME_RETIRED,
    save,
    us_image,
    us_multiframe,
    us_palette,
    us_region,
)

RNG = np.random.default_rng(5)
GREY = RNG.integers(0, 256, (40, 51), dtype=np.uint8)
RGB = RNG.integers(0, 256, (40, 51, 3), dtype=np.uint8)
CINE = RNG.integers(0, 256, (4, 40, 51), dtype=np.uint8)
REGION = [us_region((0, 0, 50, 39), (0.02, 0.02))]


def refusal(path: Path) -> Reason:
    with pytest.raises(InstanceRefused) as caught:
        list(read_instance(path).frames([1]))
    return caught.value.reason


def display(dataset: FileDataset, folder: Path, number: int = 1) -> Any:
    return read_instance(save(dataset, folder / "image.dcm")).display(number)


@pytest.mark.parametrize(
    ("samples", "delta", "reason"),
    [
        (Fraction(4, 5), (0.02, 0.02), Reason.CALIBRATION_CONFLICT),
        (Fraction(4, 5), (0.02, 0.025), None),
        (Fraction(1, 1), (0.02, 0.025), None),
        (None, (0.02, 0.025), None),
    ],
)
def test_samples_of_a_video_must_have_the_shape_of_its_scale(
    samples: Fraction | None, delta: tuple[float, float], reason: Reason | None, tmp_path: Path
) -> None:
    frames = np.zeros((2, 64, 96), np.uint8)
    stream = video_stream(frames, H264, sample_aspect=samples)
    dataset = with_video(us_multiframe(frames, [us_region((0, 0, 95, 63), delta)]), [stream], MPEG4HP41)
    assert read_instance(save(dataset, tmp_path / "video.dcm")).calibration.reason is reason


class TestReading:
    def test_grey_image(self, tmp_path: Path) -> None:
        decoded = read_instance(save(us_image(GREY, REGION), tmp_path / "a.dcm"))
        (frame,) = decoded.frames([1])
        assert (decoded.rows, decoded.columns, decoded.frame_count) == (40, 51, 1)
        assert frame.number == 1
        np.testing.assert_array_equal(frame.luminance, GREY)
        np.testing.assert_array_equal(decoded.display(1), np.dstack([GREY] * 3))
        assert frame.regions == decoded.calibration.regions
        assert frame.regions[0].spacing_mm == PixelSpacingMm(0.2, 0.2)

    def test_missing_region_sequence_shows_the_whole_frame_without_scale(self, tmp_path: Path) -> None:
        decoded = read_instance(save(us_image(GREY), tmp_path / "a.dcm"))
        (region,) = decoded.calibration.regions
        assert (region.spacing_mm, region.calibration_source) == (None, CalibrationSource.NONE)
        assert decoded.calibration.reason is Reason.NOT_CALIBRATED

    @pytest.mark.parametrize("uid", [US_IMAGE_RETIRED, US_MULTIFRAME_RETIRED])
    def test_retired_classes_are_measured(self, uid: str, tmp_path: Path) -> None:
        assert display(us_image(GREY, SOPClassUID=uid), tmp_path).shape == (40, 51, 3)

    def test_frames_are_numbered_from_1_and_come_in_the_order_asked(self, tmp_path: Path) -> None:
        decoded = read_instance(save(us_multiframe(CINE), tmp_path / "a.dcm"))
        frames = list(decoded.frames([3, 1]))
        assert [f.number for f in frames] == [3, 1]
        np.testing.assert_array_equal(frames[0].luminance, CINE[2])
        np.testing.assert_array_equal(frames[1].luminance, CINE[0])
        for number in (0, 5):
            with pytest.raises(ValueError, match=f"frame {number} of 4"):
                decoded.display(number)

    def test_only_the_frames_asked_for_are_decoded(self, tmp_path: Path) -> None:
        dataset = us_multiframe(CINE)
        dataset.compress(RLELossless, generate_instance_uid=False)
        damaged = bytearray(save(dataset, tmp_path / "a.dcm").read_bytes())
        start = damaged.rindex(b"\xfe\xff\x00\xe0") + 8
        damaged[start : start + 64] = b"\xff" * 64  # the RLE header of the last frame
        (tmp_path / "a.dcm").write_bytes(damaged)
        frames = read_instance(tmp_path / "a.dcm").frames([1, 4])
        np.testing.assert_array_equal(next(frames).luminance, CINE[0])
        with pytest.raises(InstanceRefused) as caught:
            next(frames)
        assert caught.value.reason is Reason.PIXELS_UNDECODABLE

    def test_changing_a_shown_picture_does_not_change_the_next(self, tmp_path: Path) -> None:
        decoded = read_instance(save(us_image(GREY), tmp_path / "a.dcm"))
        decoded.display(1)[:] = 0
        np.testing.assert_array_equal(decoded.display(1)[:, :, 0], GREY)

    @pytest.mark.parametrize(
        ("syntax", "little"),
        [(ImplicitVRLittleEndian, True), (ExplicitVRBigEndian, False), (DeflatedExplicitVRLittleEndian, True)],
    )
    def test_native_transfer_syntaxes(self, syntax: str, little: bool, tmp_path: Path) -> None:
        dataset = us_image(RGB, REGION)
        dataset.file_meta.TransferSyntaxUID = syntax
        if not little:
            dataset["PixelData"].VR = "OB"
        if little:
            save(dataset, tmp_path / "a.dcm")
        else:  # the library converts the byte order of the header only when forced
            dcmwrite(tmp_path / "a.dcm", dataset, implicit_vr=False, little_endian=False, force_encoding=True)
        decoded = read_instance(tmp_path / "a.dcm")
        np.testing.assert_array_equal(decoded.display(1), RGB)
        assert decoded.header.file_meta.TransferSyntaxUID == syntax
        assert decoded.calibration.reason is None


class TestBareDataSets:
    """Without preamble or file meta information."""

    @staticmethod
    def bare(dataset: FileDataset, folder: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
        dataset.file_meta.TransferSyntaxUID = syntax
        dcmwrite(folder / "whole.dcm", dataset, enforce_file_format=True)
        data = (folder / "whole.dcm").read_bytes()
        length = int.from_bytes(data[140:144], "little")
        (folder / "bare.dcm").write_bytes(data[144 + length :])
        return folder / "bare.dcm"

    @pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
    def test_native_pixels(self, syntax: str, tmp_path: Path) -> None:
        decoded = read_instance(self.bare(us_multiframe(CINE, REGION), tmp_path, syntax))
        np.testing.assert_array_equal(decoded.display(4)[:, :, 0], CINE[3])
        assert decoded.calibration.reason is None
        assert decoded.header.file_meta.TransferSyntaxUID == syntax

    def test_file_meta_information_without_a_preamble(self, tmp_path: Path) -> None:
        dataset = us_image(GREY, REGION)
        dataset.compress(RLELossless, generate_instance_uid=False)
        whole = save(dataset, tmp_path / "whole.dcm").read_bytes()
        (tmp_path / "a.dcm").write_bytes(whole[132:])
        np.testing.assert_array_equal(read_instance(tmp_path / "a.dcm").display(1)[:, :, 0], GREY)

    def test_compressed_pixels_of_nobody_knows_which_syntax(self, tmp_path: Path) -> None:
        dataset = us_image(GREY, REGION)
        dataset.compress(RLELossless, generate_instance_uid=False)
        assert refusal(self.bare(dataset, tmp_path, RLELossless)) is Reason.BAD_PIXEL_DESCRIPTION

    def test_cut(self, tmp_path: Path) -> None:
        path = self.bare(us_image(GREY, REGION), tmp_path)
        path.write_bytes(path.read_bytes()[:-100])
        assert refusal(path) is Reason.TRUNCATED

    def test_big_endian_and_deflated_are_not_guessed(self, tmp_path: Path) -> None:
        path = self.bare(us_image(GREY), tmp_path, DeflatedExplicitVRLittleEndian)
        assert refusal(path) is Reason.NOT_DICOM
        path.write_bytes(b"\x00\x08\x00\x05CS\x00\x0aISO_IR 100" * 20)
        assert refusal(path) is Reason.NOT_DICOM


class TestHeader:
    def test_attributes_are_untouched_and_pixels_are_gone(self, tmp_path: Path) -> None:
        dataset = us_image(GREY, REGION, PatientName="Müller^Žofia", SpecificCharacterSet="ISO_IR 192")
        header = read_instance(save(dataset, tmp_path / "a.dcm")).header
        assert "PixelData" not in header
        assert header.SpecificCharacterSet == "ISO_IR 192"
        assert {e.tag for e in header} == {e.tag for e in dataset} - {dataset["PixelData"].tag}
        assert all(header[e.tag] == e for e in dataset if e.keyword != "PixelData")
        assert copy.deepcopy(header) == header

    def test_values_that_break_the_rules_do_not_trip_later_readers(self, tmp_path: Path) -> None:
        dataset = us_image(GREY, REGION, PatientAge="031Y")
        path = save_raw(dataset, tmp_path / "a.dcm", b"AS\x04\x00031Y", b"AS\x04\x00old?")
        header = read_instance(path).header  # warnings are errors in this suite
        assert header.PatientAge == "old?"

    def test_a_value_that_fits_no_number_is_kept_as_bytes(self, tmp_path: Path) -> None:
        dataset = us_image(GREY, REGION, SimpleFrameList=0x01020304)
        path = save_raw(dataset, tmp_path / "a.dcm", b"UL\x04\x00\4\3\2\1", b"FD\x04\x00\4\3\2\1")
        header = read_instance(path).header
        assert (header["SimpleFrameList"].VR, header.SimpleFrameList) == ("UN", b"\4\3\2\1")

    def test_library_messages_which_quote_values_reach_no_log(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        dataset = us_image(GREY, REGION, PatientID="Secret7")
        path = save_raw(dataset, tmp_path / "a.dcm", b"Secret7 ", b"Secret7" + b"\x1b")
        with caplog.at_level(logging.DEBUG):
            read_instance(path)
        assert "Secret7" not in caplog.text


def save_raw(dataset: FileDataset, path: Path, old: bytes, new: bytes) -> Path:
    """Write the object with one byte string replaced by another of the same length."""
    data = save(dataset, path).read_bytes()
    assert data.count(old) == 1
    assert len(old) == len(new)
    path.write_bytes(data.replace(old, new))
    return path


class TestColour:
    def test_luminance_is_bt601(self, tmp_path: Path) -> None:
        (frame,) = read_instance(save(us_image(RGB), tmp_path / "a.dcm")).frames([1])
        expected = RGB @ np.array([0.299, 0.587, 0.114])
        assert np.abs(frame.luminance - expected).max() <= 0.51
        np.testing.assert_array_equal(read_instance(tmp_path / "a.dcm").display(1), RGB)

    def test_planar_configuration_1(self, tmp_path: Path) -> None:
        dataset = us_image(RGB, PlanarConfiguration=1, PixelData=RGB.transpose(2, 0, 1).tobytes())
        np.testing.assert_array_equal(display(dataset, tmp_path), RGB)

    def test_monochrome1_is_inverted(self, tmp_path: Path) -> None:
        dataset = us_image(GREY, PhotometricInterpretation="MONOCHROME1")
        np.testing.assert_array_equal(display(dataset, tmp_path)[:, :, 0], 255 - GREY)

    def test_16_bits_are_scaled_by_bits_stored(self, tmp_path: Path) -> None:
        stored = np.array([[0, 1, 2047, 2048, 4094, 4095]] * 2, np.uint16)
        shown = display(us_image(stored, BitsStored=12, HighBit=11), tmp_path)
        assert shown[0, :, 0].tolist() == [0, 0, 127, 128, 255, 255]
        full = display(us_image(np.array([[0, 128, 32768, 65535]] * 2, np.uint16)), tmp_path)
        assert full[0, :, 0].tolist() == [0, 0, 128, 255]

    def test_16_bits_take_the_window_where_there_is_one(self, tmp_path: Path) -> None:
        stored = np.array([[0, 1000, 1500, 2000, 4095]] * 2, np.uint16)
        bits = {"BitsStored": 12, "HighBit": 11}
        shown = display(us_image(stored, WindowCenter="1500", WindowWidth="1000", **bits), tmp_path)
        assert shown[0, :, 0].tolist() == [0, 0, 128, 255, 255]
        unusable = display(us_image(stored, WindowCenter="1500", WindowWidth="0", **bits), tmp_path)
        np.testing.assert_array_equal(unusable, display(us_image(stored, **bits), tmp_path))

    @pytest.mark.parametrize("bits", [8, 10, 12])
    def test_overlay_bits_beside_the_stored_ones_do_not_count(self, bits: int, tmp_path: Path) -> None:
        stored = RNG.integers(0, 2**bits, (20, 30), dtype=np.uint16)
        plain = us_image(stored, BitsStored=bits, HighBit=bits - 1)
        overlaid = us_image(stored | np.uint16(0x8000), BitsStored=bits, HighBit=bits - 1)
        overlaid.add_new(0x60020102, "US", 15)
        expected = display(plain, tmp_path)
        np.testing.assert_array_equal(display(overlaid, tmp_path), expected)
        if bits == 8:
            np.testing.assert_array_equal(expected[:, :, 0], stored)

    def test_high_bit_above_the_stored_bits_moves_them(self, tmp_path: Path) -> None:
        stored = RNG.integers(0, 4096, (20, 30), dtype=np.uint16)
        expected = display(us_image(stored, BitsStored=12, HighBit=11), tmp_path)
        moved = us_image((stored << 4) | np.uint16(0b1011), BitsStored=12, HighBit=15)
        for number, position in enumerate((0, 1, 3)):
            moved.add_new(0x60000102 + 0x20000 * number, "US", position)
        np.testing.assert_array_equal(display(moved, tmp_path), expected)
        moved.compress(RLELossless, generate_instance_uid=False)
        np.testing.assert_array_equal(display(moved, tmp_path), expected)

    @pytest.mark.parametrize(("bits", "high_bit", "set_bit"), [(8, 7, 8), (12, 11, 15), (12, 15, 0), (9, 8, 12)])
    def test_bits_beside_the_stored_ones_that_no_overlay_has_named(
        self, bits: int, high_bit: int, set_bit: int, tmp_path: Path
    ) -> None:
        samples = np.zeros((20, 30), np.uint16)
        samples[3, 4] = 1 << set_bit
        dataset = us_image(samples, BitsStored=bits, HighBit=high_bit)
        dataset.add_new(0x60000102, "US", 13)
        assert refusal(save(dataset, tmp_path / "a.dcm")) is Reason.BAD_PIXEL_DESCRIPTION

    def test_high_bit_of_a_frame_that_has_its_own_depth_is_not_guessed(self, tmp_path: Path) -> None:
        dataset = us_image(np.zeros((20, 30), np.uint16), BitsStored=12, HighBit=11)
        dataset.compress(JPEGLSLossless, generate_instance_uid=False)
        dataset.HighBit = 15
        assert refusal(save(dataset, tmp_path / "a.dcm")) is Reason.BAD_PIXEL_DESCRIPTION

    def test_a_frame_of_fewer_bits_than_declared_would_look_dark(self, tmp_path: Path) -> None:
        dataset = us_image(GREY)
        dataset.compress(JPEGLSLossless, generate_instance_uid=False)
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        assert refusal(save(dataset, tmp_path / "a.dcm")) is Reason.BAD_PIXEL_DESCRIPTION

    def test_palette_indices_of_16_bits_lose_their_overlay_too(self, tmp_path: Path) -> None:
        lut = RNG.integers(0, 65536, (256, 3), dtype=np.uint16)
        indices = GREY.astype(np.uint16) | np.uint16(0x4000)
        dataset = us_palette(indices, lut, BitsStored=8, HighBit=7)
        dataset.add_new(0x60000102, "US", 14)
        np.testing.assert_array_equal(display(dataset, tmp_path), (lut >> 8)[GREY])

    def test_8_bits_are_the_screen_and_ignore_a_window(self, tmp_path: Path) -> None:
        shown = display(us_image(GREY, WindowCenter="10", WindowWidth="5"), tmp_path)
        np.testing.assert_array_equal(shown[:, :, 0], GREY)

    @pytest.mark.parametrize(("first", "entries"), [(0, 256), (10, 20), (0, 16)])
    def test_palette(self, first: int, entries: int, tmp_path: Path) -> None:
        lut = RNG.integers(0, 65536, (entries, 3), dtype=np.uint16)
        dataset = us_palette(GREY, lut, **{
            f"{c}PaletteColorLookupTableDescriptor": [entries, first, 16] for c in ("Red", "Green", "Blue")
        })  # fmt: skip
        expected = (lut >> 8)[np.clip(GREY.astype(int) - first, 0, entries - 1)]
        np.testing.assert_array_equal(display(dataset, tmp_path), expected)

    def test_palette_that_fills_8_of_its_16_bits(self, tmp_path: Path) -> None:
        lut = RNG.integers(0, 256, (256, 3), dtype=np.uint16)
        np.testing.assert_array_equal(display(us_palette(GREY, lut), tmp_path), lut[GREY])

    def test_a_palette_that_is_too_short_is_refused(self, tmp_path: Path) -> None:
        dataset = us_palette(GREY, np.zeros((256, 3), np.uint16), RedPaletteColorLookupTableData=b"\0\0")
        assert refusal(save(dataset, tmp_path / "a.dcm")) is Reason.BAD_LOOKUP_TABLE

    @pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422"])
    def test_native_ybr(self, photometric: str, tmp_path: Path) -> None:
        pairs = np.repeat(RGB[:, :50:2], 2, axis=1)  # equal neighbours, so that subsampling loses nothing
        ybr = np.asarray(Image.fromarray(pairs).convert("YCbCr"))
        data = ybr if photometric == "YBR_FULL" else _subsample(ybr)
        dataset = us_image(pairs, PhotometricInterpretation=photometric, PixelData=data.tobytes())
        assert np.abs(display(dataset, tmp_path).astype(int) - pairs).max() <= 3

    def test_ybr_full_422_over_pixels_that_were_not_subsampled(self, tmp_path: Path) -> None:
        ybr = np.asarray(Image.fromarray(RGB[:, :50]).convert("YCbCr"))
        dataset = us_image(RGB[:, :50], PhotometricInterpretation="YBR_FULL_422", PixelData=ybr.tobytes())
        assert np.abs(display(dataset, tmp_path).astype(int) - RGB[:, :50]).max() <= 3


def _subsample(ybr: Any) -> Any:
    """Y1 Y2 Cb Cr for every pair of pixels (PS3.3 C.7.6.3.1.2)."""
    return np.stack([ybr[:, 0::2, 0], ybr[:, 1::2, 0], ybr[:, 0::2, 1], ybr[:, 0::2, 2]], axis=2)


class TestRefusals:
    def test_empty_file(self, tmp_path: Path) -> None:
        (tmp_path / "a").touch()
        assert refusal(tmp_path / "a") is Reason.EMPTY_FILE

    @pytest.mark.parametrize("data", [b"x", b"\x89PNG\r\n" * 50, b"\0" * 132, b"\0" * 4096])
    def test_not_dicom(self, data: bytes, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(data)
        assert refusal(tmp_path / "a") is Reason.NOT_DICOM

    def test_a_missing_file_is_not_the_objects_fault(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            read_instance(tmp_path / "nowhere.dcm")

    def test_no_pixel_data(self, tmp_path: Path) -> None:
        assert refusal(save(us_image(GREY, PixelData=None), tmp_path / "a.dcm")) is Reason.NO_PIXEL_DATA

    def test_pixel_data_shorter_than_rows_and_columns_say(self, tmp_path: Path) -> None:
        dataset = us_image(GREY, PixelData=GREY.tobytes()[:-100])
        assert refusal(save(dataset, tmp_path / "a.dcm")) is Reason.TRUNCATED

    def test_fewer_frames_than_declared(self, tmp_path: Path) -> None:
        assert refusal(save(us_multiframe(CINE, NumberOfFrames=5), tmp_path / "a.dcm")) is Reason.TRUNCATED

    @pytest.mark.parametrize("compressed", [False, True])
    def test_cut_anywhere(self, compressed: bool, tmp_path: Path) -> None:
        dataset = us_multiframe(CINE[:, :10, :10], REGION)
        if compressed:
            dataset.compress(RLELossless, generate_instance_uid=False)
        data = save(dataset, tmp_path / "a.dcm").read_bytes()
        seen = set()
        for length in range(133, len(data) - 1, 17):
            (tmp_path / "a.dcm").write_bytes(data[:length])
            seen.add(refusal(tmp_path / "a.dcm"))
        # cut between two attributes of the header, the rest is a whole object without pixels, or without SOP class
        assert Reason.TRUNCATED in seen
        assert seen <= {Reason.TRUNCATED, Reason.NO_PIXEL_DATA, Reason.UNSUPPORTED_SOP_CLASS}

    @pytest.mark.parametrize(
        "change",
        [
            {"Rows": 0},
            {"Columns": 0},
            {"Rows": None},
            {"Rows": 65535, "Columns": 65535},
            {"SamplesPerPixel": 3},
            {"SamplesPerPixel": None},
            {"BitsAllocated": 1},
            {"BitsAllocated": 32},
            {"BitsAllocated": 12},
            {"BitsStored": 0},
            {"BitsStored": 9},
            {"BitsStored": 7, "HighBit": 5},
            {"HighBit": 8},
            {"PixelRepresentation": 1},
            {"PhotometricInterpretation": None},
            {"PhotometricInterpretation": ""},
            {"NumberOfFrames": 0},
            {"NumberOfFrames": -1},
            {"NumberOfFrames": 10**7},
        ],
    )
    def test_bad_pixel_description(self, change: dict[str, Any], tmp_path: Path) -> None:
        assert refusal(save(us_image(GREY, **change), tmp_path / "a.dcm")) is Reason.BAD_PIXEL_DESCRIPTION

    @pytest.mark.parametrize(
        "vr_and_value", [b"LO\x02\x00ab", b"DS\x02\x0040", b"US\x01\x00\x28 "[:6], b"ZZ\x02\x00\x28\x00"]
    )
    def test_rows_with_a_wrong_vr(self, vr_and_value: bytes, tmp_path: Path) -> None:
        path = save_raw(
            us_image(GREY),
            tmp_path / "a.dcm",
            b"\x28\x00\x10\x00US\x02\x00\x28\x00",
            b"\x28\x00\x10\x00" + vr_and_value,
        )
        assert refusal(path) in {Reason.BAD_PIXEL_DESCRIPTION, Reason.UNREADABLE, Reason.TRUNCATED}

    @pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422"])
    @pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless])
    def test_rgb_that_calls_itself_ybr_leaves_the_colours_of_a_screen(
        self, photometric: str, syntax: str | None, tmp_path: Path
    ) -> None:
        dataset = us_image(np.repeat(GREY[:, :, None] // 3, 3, axis=2))
        if syntax is not None:
            dataset.compress(syntax, generate_instance_uid=False)
        dataset.PhotometricInterpretation = photometric
        assert refusal(save(dataset, tmp_path / "a.dcm")) is Reason.UNSUPPORTED_PHOTOMETRIC

    def test_zeros_where_a_name_was_blanked_are_no_evidence(self, tmp_path: Path) -> None:
        ybr = convert_color_space(np.repeat(GREY[:, :, None], 3, axis=2), "RGB", "YBR_FULL")
        ybr[:10] = 0
        shown = display(us_image(ybr, PhotometricInterpretation="YBR_FULL"), tmp_path)
        np.testing.assert_allclose(shown[10:, :, 0], GREY[10:], atol=1)

    @pytest.mark.parametrize("photometric", ["HSV", "ARGB", "YBR_PARTIAL_420", "CMYK"])
    def test_unsupported_photometric(self, photometric: str, tmp_path: Path) -> None:
        dataset = us_image(RGB, PhotometricInterpretation=photometric)
        assert refusal(save(dataset, tmp_path / "a.dcm")) is Reason.UNSUPPORTED_PHOTOMETRIC

    def test_ct_and_other_classes(self, tmp_path: Path) -> None:
        for uid in ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.6.2", "1.2.840.10008.5.1.4.1.1.7"):
            assert refusal(save(us_image(GREY, SOPClassUID=uid), tmp_path / "a.dcm")) is Reason.UNSUPPORTED_SOP_CLASS

    def test_our_own_results(self, tmp_path: Path) -> None:
        by_uid = us_image(GREY, SOPInstanceUID=f"{UID_ROOT}.7")
        by_equipment = us_image(GREY, Manufacturer=MANUFACTURER, ManufacturerModelName=MODEL_NAME)
        for dataset in (by_uid, by_equipment):
            assert refusal(save(dataset, tmp_path / "a.dcm")) is Reason.OWN_RESULT

    def test_unknown_transfer_syntaxes(self, tmp_path: Path) -> None:
        for uid in (SMPTEST211020UncompressedProgressiveActiveVideo, "1.2.3.4", generate_uid()):
            dataset = us_image(GREY)
            dataset.compress(RLELossless, generate_instance_uid=False)
            dataset.file_meta.TransferSyntaxUID = uid
            assert refusal(save(dataset, tmp_path / "a.dcm")) is Reason.UNSUPPORTED_TRANSFER_SYNTAX

    def test_native_pixels_under_a_compressed_transfer_syntax(self, tmp_path: Path) -> None:
        path = save(us_image(GREY), tmp_path / "a.dcm")
        data = path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0")
        path.write_bytes(data)
        assert refusal(path) is Reason.BAD_PIXEL_DESCRIPTION

    def test_a_compressed_frame_larger_than_its_header_says(self, tmp_path: Path) -> None:
        huge = _jpeg(np.zeros((2000, 2000), np.uint8))
        dataset = us_image(GREY)
        dataset.PixelData = encapsulate([huge])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        assert refusal(save(dataset, tmp_path / "a.dcm")) is Reason.BAD_PIXEL_DESCRIPTION

    def test_a_deflated_bomb(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(streams, "MAXIMUM_INFLATED_BYTES", 1 << 16)
        dataset = us_image(np.zeros((600, 600), np.uint8))
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        path = save(dataset, tmp_path / "a.dcm")
        assert path.stat().st_size < 1 << 13
        assert refusal(path) is Reason.BAD_PIXEL_DESCRIPTION

    def test_a_deflated_file_that_was_cut(self, tmp_path: Path) -> None:
        dataset = us_image(GREY)
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        path = save(dataset, tmp_path / "a.dcm")
        path.write_bytes(path.read_bytes()[:-200])
        assert refusal(path) is Reason.TRUNCATED

    def test_a_deflated_file_that_is_not(self, tmp_path: Path) -> None:
        path = save(us_image(GREY), tmp_path / "a.dcm")
        path.write_bytes(path.read_bytes().replace(b"\x14\x001.2.840.10008.1.2.1\0", b"\x16\x001.2.840.10008.1.2.1.99"))
        assert refusal(path) in {Reason.UNREADABLE, Reason.TRUNCATED}

    def test_a_jpeg_ls_scan_without_an_end(self, tmp_path: Path) -> None:
        """Twenty-seven bytes of JPEG-LS keep its decoder busy for minutes; they must not reach it."""
        dataset = us_image(GREY)
        dataset.compress(JPEGLSLossless, generate_instance_uid=False)
        scan = get_frame(dataset.PixelData, 0, number_of_frames=1)
        dataset.PixelData = encapsulate([scan[:28]])
        dataset["PixelData"].is_undefined_length = True
        assert refusal(save(dataset, tmp_path / "a.dcm")) is Reason.TRUNCATED

    def test_a_length_of_four_gigabytes_is_not_allocated(self, tmp_path: Path) -> None:
        dataset = us_image(GREY)
        dataset.add_new(0x00091001, "OB", b"12345678")
        path = save_raw(dataset, tmp_path / "a.dcm", b"\x08\0\0\x0012345678", b"\xf0\xff\xff\xff12345678")
        assert refusal(path) is Reason.TRUNCATED

    def test_sequences_nested_beyond_reason(self, tmp_path: Path) -> None:
        opening = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
        data = save(us_image(GREY), tmp_path / "a.dcm").read_bytes()
        place = data.index(b"\x08\x00\x60\x00CS")
        (tmp_path / "a.dcm").write_bytes(data[:place] + opening * 5000 + data[place:])
        assert refusal(tmp_path / "a.dcm") in {Reason.UNREADABLE, Reason.TRUNCATED}

    def test_messages_name_no_patient(self, tmp_path: Path) -> None:
        path = save_raw(
            us_image(GREY, PatientName="Secret^Name"), tmp_path / "a.dcm", b"US\x02\x00\x28\x00", b"US\x01\x00\x28\x00"
        )
        with pytest.raises(InstanceRefused) as caught:
            read_instance(path)
        assert "Secret" not in str(caught.value) + repr(caught.value.__cause__)

    def test_the_next_image_is_unharmed(self, tmp_path: Path) -> None:
        (tmp_path / "bad.dcm").write_bytes(save(us_image(GREY), tmp_path / "a.dcm").read_bytes()[:-500])
        assert refusal(tmp_path / "bad.dcm") is Reason.TRUNCATED
        np.testing.assert_array_equal(read_instance(tmp_path / "a.dcm").display(1)[:, :, 0], GREY)


def _jpeg(pixels: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG")
    return stream.getvalue()


TURNED: dict[int, Callable[[Any], Any]] = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).T,
    8: np.rot90,
}
"""Exif orientation (2.3, tag 0112) to what a viewer shows."""


class TestPictureFiles:
    def test_png_with_a_given_spacing(self, tmp_path: Path) -> None:
        Image.fromarray(GREY).save(tmp_path / "a.png")
        decoded = read_picture(tmp_path / "a.png", PixelSpacingMm(0.1, 0.1))
        (frame,) = decoded.frames([1])
        np.testing.assert_array_equal(frame.luminance, GREY)
        assert frame.regions[0].calibration_source is CalibrationSource.GIVEN

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_turned_as_viewers_turn_it(self, orientation: int, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        for name in ("a.png", "a.tif"):
            Image.fromarray(GREY).save(tmp_path / name, exif=exif)
            decoded = read_picture(tmp_path / name, PixelSpacingMm(0.2, 0.1))
            seen = TURNED[orientation](GREY)
            np.testing.assert_array_equal(decoded.display(1)[:, :, 0], seen)
            assert (decoded.rows, decoded.columns) == seen.shape
            assert decoded.calibration.regions[0].spacing_mm == PixelSpacingMm(0.2, 0.1)
            assert (decoded.calibration.regions[0].box.rows, decoded.calibration.regions[0].box.columns) == seen.shape

    def test_colour_palette_and_16_bits(self, tmp_path: Path) -> None:
        Image.fromarray(RGB).save(tmp_path / "rgb.png")
        np.testing.assert_array_equal(read_picture(tmp_path / "rgb.png", None).display(1), RGB)
        Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "16.png")
        np.testing.assert_array_equal(read_picture(tmp_path / "16.png", None).display(1)[:, :, 0], GREY)

    def test_refusals(self, tmp_path: Path) -> None:
        Image.fromarray(RGB).save(tmp_path / "whole.png")
        files = {
            Reason.EMPTY_FILE: b"",
            Reason.NOT_DICOM: b"neither",
            Reason.PIXELS_UNDECODABLE: (tmp_path / "whole.png").read_bytes()[:2000],
        }
        for reason, data in files.items():
            (tmp_path / "a.png").write_bytes(data)
            with pytest.raises(InstanceRefused) as caught:
                read_picture(tmp_path / "a.png", None)
            assert caught.value.reason is reason
