"""The Secondary Capture object: same geometry, no calibration, honest about what it derives from and what was lost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import JPEGBaseline8Bit

import sr_templates.cine
from sr_templates.capture import build_cine_overlay, build_gradcam, build_overlay, build_uncertainty
from sr_templates.cine import draw_cine
from sr_templates.heat import draw_attention, draw_deviation
from sr_templates.overlay import draw_overlay
from sr_templates.report import Predecessor
from tests.reports import cine, explanation, multiframe_source, picture, report, source, written


def test_pixels_are_the_drawn_picture() -> None:
    facts = report()
    made = written(build_overlay(facts, picture())).dataset
    assert np.array_equal(made.pixel_array, draw_overlay(facts, picture()))


def test_odd_pictures_are_padded() -> None:
    made = written(build_overlay(report(), picture()[:239, :319])).dataset
    assert (made.Rows, made.Columns) == (239, 319)
    assert made.pixel_array.shape == (239, 319, 3)


def test_attributes() -> None:
    header = source(PixelSpacing=[0.5, 0.5])
    made = written(build_overlay(report(header), picture())).dataset
    assert list(made.ImageType) == ["DERIVED", "SECONDARY"]
    assert (made.ConversionType, made.BurnedInAnnotation, made.Modality) == ("WSD", "YES", "OT")
    (reference,) = made.SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == header.SOPInstanceUID
    assert reference.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"


def test_it_cannot_be_measured_again() -> None:
    made = build_overlay(report(source(PixelSpacing=[0.5, 0.5])), picture())
    for keyword in ("PixelSpacing", "NominalScannedPixelSpacing", "SequenceOfUltrasoundRegions", "PixelAspectRatio"):
        assert keyword not in made


def test_a_lossy_source_makes_a_lossy_result() -> None:
    header = source(
        LossyImageCompression="01", LossyImageCompressionRatio="12.5", LossyImageCompressionMethod="ISO_10918_1"
    )
    made = written(build_overlay(report(header), picture())).dataset
    assert made.LossyImageCompression == "01"
    assert made.LossyImageCompressionRatio == 12.5
    assert made.LossyImageCompressionMethod == "ISO_10918_1"


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, "1.2.840.10008.1.2.4.102"])
def test_a_lossy_transfer_syntax_speaks_for_a_source_that_is_silent(syntax: str) -> None:
    header = source(LossyImageCompression=None)
    assert "LossyImageCompression" not in build_overlay(report(header), picture())
    header.file_meta.TransferSyntaxUID = syntax
    assert build_overlay(report(header), picture()).LossyImageCompression == "01"


def test_a_frame_of_a_cine_becomes_a_single_image_that_names_it() -> None:
    made = build_overlay(report(multiframe_source()), picture())
    assert "NumberOfFrames" not in made
    assert made.SourceImageSequence[0].ReferencedFrameNumber == 1


def test_a_new_overlay_names_the_one_it_replaces() -> None:
    old = build_overlay(report(), picture())
    new = build_overlay(report(predecessors={"overlay": Predecessor.of(old)}), picture())
    assert str(old.SOPInstanceUID) in new.DerivationDescription
    assert len(new.DerivationDescription) <= 1024


class TestExplanations:
    """The two pictures that tell why: one series, side by side, as honest as the overlay."""

    def test_pixels_are_the_drawn_pictures(self) -> None:
        facts, why = report(), explanation()
        for build, draw in ((build_gradcam, draw_attention), (build_uncertainty, draw_deviation)):
            made = written(build(facts, picture(), why)).dataset
            assert np.array_equal(made.pixel_array, draw(facts, picture(), why))

    @pytest.mark.parametrize(
        ("build", "flavour", "said"),
        [
            (build_gradcam, "GRADCAM", "GradCAM++ of the last decoder convolution"),
            (build_uncertainty, "UNCERTAINTY", "head probability over 6 answers"),
        ],
    )
    def test_they_say_what_they_show(self, build: Callable[..., Dataset], flavour: str, said: str) -> None:
        header = source(PixelSpacing=[0.5, 0.5], LossyImageCompression="01", LossyImageCompressionRatio="12.5")
        made = written(build(report(header), picture(), explanation())).dataset
        assert list(made.ImageType) == ["DERIVED", "SECONDARY", "OTHER", flavour]
        assert said in made.DerivationDescription
        assert (made.ConversionType, made.BurnedInAnnotation, made.LossyImageCompression) == ("WSD", "YES", "01")
        assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == header.SOPInstanceUID
        assert (made.Rows, made.Columns) == picture().shape[:2]
        for keyword in ("PixelSpacing", "NominalScannedPixelSpacing", "SequenceOfUltrasoundRegions"):
            assert keyword not in made

    def test_they_stand_side_by_side_in_a_series_of_their_own(self) -> None:
        numbers = []
        for number in ("1", "2", None):
            facts = report(source(InstanceNumber=number))
            pair = [build(facts, picture(), explanation()) for build in (build_gradcam, build_uncertainty)]
            overlay = build_overlay(facts, picture())
            assert pair[0].SeriesInstanceUID == pair[1].SeriesInstanceUID != overlay.SeriesInstanceUID
            assert pair[0].SeriesNumber == pair[1].SeriesNumber != overlay.SeriesNumber
            assert pair[0].SeriesDescription == pair[1].SeriesDescription
            assert pair[0].SOPInstanceUID != pair[1].SOPInstanceUID
            numbers.append([int(made.InstanceNumber) for made in pair])
        assert numbers == [[1, 2], [3, 4], [1, 2]]

    def test_a_number_that_cannot_be_doubled_is_kept(self) -> None:
        facts = report(source(InstanceNumber="2147483647"))
        assert build_uncertainty(facts, picture(), explanation()).InstanceNumber == 2147483647

    def test_a_new_one_names_the_one_it_replaces(self) -> None:
        old = build_gradcam(report(), picture(), explanation())
        new = build_gradcam(report(predecessors={"gradcam": Predecessor.of(old)}), picture(), explanation())
        assert str(old.SOPInstanceUID) in new.DerivationDescription
        assert len(new.DerivationDescription) <= 1024


class TestCine:
    """All examined frames in one object: it says which they are, when they were taken, and which was chosen."""

    def test_pixels_are_the_drawn_frames(self) -> None:
        facts = report(multiframe_source())
        made = written(build_cine_overlay(facts, cine())).dataset
        assert np.array_equal(made.pixel_array, draw_cine(cine())[1])
        assert (made.NumberOfFrames, made.Columns) == (3, picture().shape[1])
        assert made.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7.4"

    def test_it_names_its_frames_and_the_chosen_one(self) -> None:
        header = multiframe_source(LossyImageCompression="01", LossyImageCompressionRatio="12.5")
        made = written(build_cine_overlay(report(header), cine(frames=(1, 4, 7, 10)))).dataset
        (reference,) = made.SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == header.SOPInstanceUID
        assert list(reference.ReferencedFrameNumber) == [1, 4, 7, 10]
        assert made.RepresentativeFrameNumber == 2
        assert (made.BurnedInAnnotation, made.LossyImageCompression) == ("YES", "01")
        assert "4 of 4 examined frames" in made.DerivationDescription
        for keyword in ("PixelSpacing", "NominalScannedPixelSpacing", "SequenceOfUltrasoundRegions"):
            assert keyword not in made

    def test_it_plays_as_fast_as_its_source(self) -> None:
        made = written(build_cine_overlay(report(multiframe_source()), cine(frames=(1, 4, 7, 10)))).dataset
        assert made.FrameIncrementPointer == 0x00181063
        assert made.FrameTime == 120.0

    def test_without_times_its_frames_have_names(self) -> None:
        made = written(build_cine_overlay(report(multiframe_source()), cine((1, 4, 7), times_ms=None))).dataset
        assert made.FrameIncrementPointer == 0x00182002
        assert list(made.FrameLabelVector) == ["frame 1", "frame 4", "frame 7"]
        assert "FrameTime" not in made

    def test_frames_that_are_left_out_are_not_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sr_templates.cine, "MOST_FRAMES", 3)
        made = written(build_cine_overlay(report(multiframe_source()), cine(frames=(1, 2, 3, 4, 5, 6, 7)))).dataset
        assert made.NumberOfFrames == 3
        assert list(made.SourceImageSequence[0].ReferencedFrameNumber) == [2, 4, 7]
        assert made.RepresentativeFrameNumber == 1
        assert made.FrameTime == 100.0
        assert "3 of 7 examined frames" in made.DerivationDescription
