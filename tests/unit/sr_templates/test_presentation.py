"""The presentation state: its outline lies where the measured ellipse is, and it shows the image as the image says."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ImageCms
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import ColorSoftcopyPresentationStateStorage, GrayscaleSoftcopyPresentationStateStorage

from inference.domain import EllipsePx, PixelSpacingMm
from inference.measure import outline_px
from sr_templates.presentation import aspect_ratio, build_presentation_state
from sr_templates.report import ReportInput
from tests.reports import (
    COLUMNS,
    ELLIPSE,
    ROWS,
    measurement,
    multiframe_source,
    picture,
    report,
    source,
    stored,
    written,
)
from tests.ultrasound import us_image, us_palette

GREY_MODULES = ("PresentationLUTShape", "SoftcopyVOILUTSequence", "RescaleSlope", "ModalityLUTSequence")


def made(facts: ReportInput | None = None) -> Dataset:
    return written(build_presentation_state(report() if facts is None else facts, picture())).dataset


def grey(**attributes: Any) -> Dataset:
    return stored(us_image(picture()[..., 0], **{"SOPInstanceUID": "1.2.3.4.5", **attributes}))


def drawn(state: Dataset) -> NDArray[np.float64]:
    """The points of the outline, [n, 2], in pixels from the centre of the first one, as the rest of the node counts."""
    (graphic,) = state.GraphicAnnotationSequence[0].GraphicObjectSequence
    assert (graphic.GraphicType, graphic.GraphicAnnotationUnits) == ("POLYLINE", "PIXEL")
    assert graphic.NumberOfGraphicPoints == len(graphic.GraphicData) / 2
    return np.array(graphic.GraphicData, np.float64).reshape(-1, 2) - 0.5  # C.10.5.1.2: (0, 0) is a corner


@pytest.mark.parametrize(
    "ellipse",
    [ELLIPSE, EllipsePx(160.0, 120.0, 100.0, 62.0, 171.0), EllipsePx(99.5, 80.25, 60.0, 59.0, 90.0)],
)
def test_the_drawn_outline_lies_within_a_pixel_of_the_measured_ellipse(ellipse: EllipsePx) -> None:
    points = drawn(made(report(measurement=measurement(ellipse=ellipse))))
    assert np.array_equal(points[0], points[-1])
    ends = np.linspace(0.0, 1.0, 6)[:, None, None]
    line = (points[:-1] * (1 - ends) + points[1:] * ends).reshape(-1, 2)
    measured = outline_px(ellipse, 1000)
    apart = np.linalg.norm(line[:, None] - measured[None], axis=2)
    assert apart.min(axis=1).max() < 0.5
    assert apart.min(axis=0).max() < 2.0  # from end to end of one stroke: all the way round


def test_an_outline_beyond_the_image_is_drawn_along_its_edge() -> None:
    points = drawn(made(report(measurement=measurement(ellipse=EllipsePx(300.0, 120.0, 100.0, 80.0, 0.0)))))
    assert points.min() >= -0.5
    assert points[:, 0].max() == COLUMNS - 0.5


def test_the_text_says_what_the_overlay_says_beside_the_head() -> None:
    (text,) = made().GraphicAnnotationSequence[0].TextObjectSequence
    lines = text.UnformattedTextValue.split("\r\n")
    assert lines[0] == "AI - research use"
    assert {"HC 197.1 mm", "GA 21w 6d", "Not verified by a clinician"} <= set(lines)
    box = np.array([text.BoundingBoxTopLeftHandCorner, text.BoundingBoxBottomRightHandCorner])
    assert text.BoundingBoxAnnotationUnits == "PIXEL"
    assert (box >= 0).all()
    assert (box[1] <= (COLUMNS, ROWS)).all()
    assert (box[0] < box[1]).all()


def test_in_a_cine_the_drawing_belongs_to_the_measured_frame_and_the_state_to_all() -> None:
    state = made(report(multiframe_source(), measurement=measurement(frame=2)))
    (image,) = state.GraphicAnnotationSequence[0].ReferencedImageSequence
    assert image.ReferencedFrameNumber == 2
    (series,) = state.ReferencedSeriesSequence
    (whole,) = series.ReferencedImageSequence
    assert whole.ReferencedSOPInstanceUID == image.ReferencedSOPInstanceUID
    assert "ReferencedFrameNumber" not in whole


def test_layer_and_annotation_belong_together() -> None:
    state = made()
    assert state.GraphicLayerSequence[0].GraphicLayer == state.GraphicAnnotationSequence[0].GraphicLayer
    assert len(state.ContentLabel) <= 16
    assert "ContentDate" not in state
    assert state.PresentationCreationDate == "20260102"


class TestGrey:
    def test_it_is_a_grayscale_state_without_a_window_of_its_own(self) -> None:
        state = made(report(grey()))
        assert state.SOPClassUID == GrayscaleSoftcopyPresentationStateStorage
        assert state.PresentationLUTShape == "IDENTITY"
        assert "ICCProfile" not in state
        assert not any(keyword in state for keyword in GREY_MODULES[1:])

    def test_the_images_window_and_scale_of_values_stay(self) -> None:
        header = grey(
            WindowCenter=[120, 60],
            WindowWidth=[200, 90],
            RescaleSlope=2,
            RescaleIntercept=-7,
            RescaleType="US",
        )
        state = made(report(header))
        (window,) = state.SoftcopyVOILUTSequence
        assert (window.WindowCenter, window.WindowWidth) == (120, 200)
        assert (state.RescaleSlope, state.RescaleIntercept, state.RescaleType) == (2, -7, "US")

    @pytest.mark.parametrize(
        "broken", [{"WindowCenter": 120}, {"WindowCenter": 120, "WindowWidth": 0}, {"RescaleSlope": 2}]
    )
    def test_half_a_description_is_none(self, broken: dict[str, Any]) -> None:
        state = made(report(grey(**broken)))
        assert "SoftcopyVOILUTSequence" not in state
        assert "RescaleSlope" not in state

    @pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom says what is odd; that is its job
    @pytest.mark.parametrize("keyword", ["WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept"])
    def test_letters_for_a_number_are_none(self, keyword: str) -> None:
        header = grey(WindowCenter=120, WindowWidth=200, RescaleSlope=2, RescaleIntercept=-7)
        header[keyword] = RawDataElement(Tag(keyword), "DS", 4, b"abc ", 0, False, True, True)
        state = made(report(header))
        assert ("SoftcopyVOILUTSequence" in state) == keyword.startswith("Rescale")
        assert ("RescaleSlope" in state) == keyword.startswith("Window")

    def test_what_is_stored_bright_for_dark_is_turned(self) -> None:
        assert made(report(grey(PhotometricInterpretation="MONOCHROME1"))).PresentationLUTShape == "INVERSE"


class TestColour:
    def test_it_is_a_colour_state_with_srgb(self) -> None:
        state = made()
        assert state.SOPClassUID == ColorSoftcopyPresentationStateStorage
        profile = ImageCms.ImageCmsProfile(io.BytesIO(state.ICCProfile)).profile
        assert profile.device_class == "spac"  # C.11.15 takes no profile of a monitor
        assert profile.xcolor_space.strip() == "RGB"
        assert not any(keyword in state for keyword in GREY_MODULES)

    def test_the_images_own_profile_goes_first(self) -> None:
        assert made(report(source(ICCProfile=b"OWN!"))).ICCProfile == b"OWN!"

    def test_a_palette_is_colour(self) -> None:
        lut = np.zeros((256, 3), np.uint16)
        header = stored(us_palette(picture()[..., 0], lut, SOPInstanceUID="1.2.3.4.5"))
        assert made(report(header)).SOPClassUID == ColorSoftcopyPresentationStateStorage


@pytest.mark.parametrize(
    ("spacing", "ratio"),
    [((0.2, 0.2), [1, 1]), ((0.3, 0.2), [3, 2]), ((0.123, 0.1229), [1, 1]), ((0.12, 0.37), [12, 37])],
)
def test_pixels_keep_their_shape(spacing: tuple[float, float], ratio: list[int]) -> None:
    found = aspect_ratio(PixelSpacingMm(*spacing))
    assert found[0] / found[1] == pytest.approx(spacing[0] / spacing[1], abs=0.001)
    if ratio != [1, 1] or spacing[0] == spacing[1]:
        assert found == ratio
    state = made(report(measurement=measurement(spacing_mm=PixelSpacingMm(*spacing))))
    (area,) = state.DisplayedAreaSelectionSequence
    assert list(area.PresentationPixelAspectRatio) == found
    assert list(area.DisplayedAreaBottomRightHandCorner) == [COLUMNS, ROWS]
