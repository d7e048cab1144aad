"""A presentation state: outline and figures that a viewer draws over the original image (PS3.3 A.33.1, A.33.2).

The image itself is neither copied nor changed, and who reads it can switch the drawing off. Grayscale Softcopy
Presentation State for grey images, Color Softcopy Presentation State for all others. highdicom makes graphics, text and
layer; its document classes read attributes that scanners omit, and take every multi-frame image for an enhanced one.
"""

from __future__ import annotations

import pkgutil
from fractions import Fraction
from functools import lru_cache

import numpy as np
from highdicom.color import CIELabColor
from highdicom.pr import GraphicAnnotation, GraphicLayer, GraphicObject, SoftcopyVOILUTTransformation, TextObject
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.uid import (
    ColorSoftcopyPresentationStateStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    UltrasoundImageStorage,
)

from inference.domain import EllipsePx, PixelSpacingMm
from sr_templates import wording
from sr_templates.content import outline_scoord
from sr_templates.drawing import OUTLINE_COLOR
from sr_templates.overlay import panel_lines
from sr_templates.panel import place_panel
from sr_templates.report import Picture, ReportInput
from sr_templates.source import Shell, begin, copy_element, copy_request, image_reference, items_of

SERIES = "AI unverified: graphics over the image"
GRAY = Shell("presentation", GrayscaleSoftcopyPresentationStateStorage, "PR", SERIES, 6)
COLOR = Shell("presentation", ColorSoftcopyPresentationStateStorage, "PR", SERIES, 6)

LABEL = "AI_FETAL_HEAD"
"""Content Label and name of the graphic layer, of VR CS."""

ORANGE = CIELabColor.from_rgb(*OUTLINE_COLOR)
"""As on the overlay, for viewers that have colours."""

GREY = ("MONOCHROME1", "MONOCHROME2")

_SRGB = "_icc_profiles/sRGB_v4_ICC_preference.icc"
"""Of class "spac", as C.11.15 asks; the International Color Consortium lets its profile be copied and embedded."""


def build_presentation_state(report: ReportInput, picture: Picture) -> FileDataset:
    """The drawing alone, ready to be written as Explicit VR Little Endian.

    `picture`: RGB uint8 [rows, columns, 3], the measured frame; it only decides where the figures hide least.
    """
    grey = str(report.source.get("PhotometricInterpretation", "")).strip() in GREY
    made = begin(report, GRAY if grey else COLOR)
    copy_request(report.source, made)
    _identify(made)
    _relate(report, made)
    _draw(report, picture, made)
    _show_all(report, picture, made)
    if grey:
        _grey_as_the_image_says(report.source, made)
    else:
        _colors(report.source, made)
    return made


def _identify(made: Dataset) -> None:
    """Presentation State Identification module (PS3.3 C.11.10)."""
    made.PresentationCreationDate, made.PresentationCreationTime = made.ContentDate, made.ContentTime
    del made.ContentDate, made.ContentTime  # no module of this object has them
    made.ContentLabel = LABEL
    made.ContentDescription = wording.AI_NOT_VERIFIED
    made.ContentCreatorName = ""


def _relate(report: ReportInput, made: Dataset) -> None:
    """Presentation State Relationship module (C.11.11): it holds for all frames, one of them has the drawing."""
    series, image = Dataset(), Dataset()
    image.ReferencedSOPClassUID = report.source.SOPClassUID
    image.ReferencedSOPInstanceUID = report.source.SOPInstanceUID
    series.SeriesInstanceUID = report.source.SeriesInstanceUID
    series.ReferencedImageSequence = [image]
    made.ReferencedSeriesSequence = [series]


def _draw(report: ReportInput, picture: Picture, made: Dataset) -> None:
    """Graphic Annotation and Graphic Layer modules (C.10.5, C.10.7)."""
    layer = GraphicLayer(LABEL, 1, "Outline and figures of an AI, not verified", ORANGE)
    annotation = GraphicAnnotation(
        [_still(report.source, picture)],
        layer,
        graphic_objects=[GraphicObject("POLYLINE", _outline(report.measurement.ellipse, picture), "PIXEL")],
        text_objects=[_text(report, picture)],
    )
    reference = image_reference(report.source, report.measurement.frame)
    annotation["ReferencedImageSequence"].value = [reference]
    made.GraphicAnnotationSequence = [annotation]
    made.GraphicLayerSequence = [layer]


def _still(source: Dataset, picture: Picture) -> Dataset:
    """What highdicom asks of an image, without the number of frames that it would take for an enhanced image's.

    Of a class that it knows; the reference to the image is put in afterwards.
    """
    still = Dataset()
    still.SOPClassUID = UltrasoundImageStorage
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        copy_element(source, still, keyword)
    still.Rows, still.Columns = picture.shape[:2]
    return still


def _outline(ellipse: EllipsePx, picture: Picture) -> NDArray[np.float64]:
    """The closed outline [n + 1, 2], (column, row), within the image as C.10.5.1.2 asks.

    In units of PIXEL, too, (0, 0) is the corner of the first pixel.
    """
    rows, columns = picture.shape[:2]
    return np.clip(outline_scoord(ellipse), 0.0, (columns, rows))


def _text(report: ReportInput, picture: Picture) -> TextObject:
    """The figures of the overlay's panel, without its colours, in the box that the panel would have."""
    panel, (left, top) = place_panel(panel_lines(report), picture, report.measurement)
    rows, columns = picture.shape[:2]
    right, bottom = min(left + panel.width, columns), min(top + panel.height, rows)
    text = "\r\n".join(line.text for line in panel.lines)
    return TextObject(text, "PIXEL", bounding_box=(left, top, right, bottom), text_justification="LEFT")


def _show_all(report: ReportInput, picture: Picture, made: Dataset) -> None:
    """Displayed Area module (C.10.4): the whole image, as large as it fits, in its true shape."""
    area = Dataset()
    area.DisplayedAreaTopLeftHandCorner = [1, 1]
    area.DisplayedAreaBottomRightHandCorner = [picture.shape[1], picture.shape[0]]
    area.PresentationSizeMode = "SCALE TO FIT"
    area.PresentationPixelAspectRatio = aspect_ratio(report.measurement.spacing_mm)
    made.DisplayedAreaSelectionSequence = [area]


def aspect_ratio(spacing: PixelSpacingMm) -> list[int]:
    """Height and width of a pixel in small whole numbers, within a thousandth (PS3.3 C.7.6.3.1.7)."""
    ratio = Fraction(spacing.row / spacing.column).limit_denominator(1000)
    return [ratio.numerator, ratio.denominator]


def _grey_as_the_image_says(source: Dataset, made: Dataset) -> None:
    """Modality LUT, Softcopy VOI LUT and Softcopy Presentation LUT modules (C.11.1, C.11.8, C.11.6)."""
    if items_of(source, "ModalityLUTSequence"):
        copy_element(source, made, "ModalityLUTSequence")
    elif _number(source, "RescaleSlope") is not None and _number(source, "RescaleIntercept") is not None:
        copy_element(source, made, "RescaleSlope")
        copy_element(source, made, "RescaleIntercept")
        made.RescaleType = str(source.get("RescaleType") or "US")
    window = _window(source)
    if window is not None:
        made.SoftcopyVOILUTSequence = [window]
    inverse = str(source.PhotometricInterpretation).strip() == "MONOCHROME1"
    made.PresentationLUTShape = "INVERSE" if inverse else "IDENTITY"


def _window(source: Dataset) -> Dataset | None:
    """The image's own VOI LUT, else its first window; None where it has none that can be used."""
    if items_of(source, "VOILUTSequence"):
        item = Dataset()
        copy_element(source, item, "VOILUTSequence")
        return item
    center, width = _number(source, "WindowCenter"), _number(source, "WindowWidth")
    if center is None or width is None or width < 1:
        return None
    return SoftcopyVOILUTTransformation(window_center=center, window_width=width)


def _number(source: Dataset, keyword: str) -> float | None:
    """The first value of a number, or None where there is none or it is malformed."""
    try:
        value = np.atleast_1d(np.asarray(source.get(keyword), np.float64))
    except (TypeError, ValueError):
        return None
    return float(value[0]) if value.size and np.isfinite(value[0]) else None


def _colors(source: Dataset, made: Dataset) -> None:
    """ICC Profile module (C.11.15): the image's own, else sRGB, which screens of scanners are taken for."""
    copy_element(source, made, "ICCProfile")
    if "ICCProfile" not in made:
        made.ICCProfile = srgb_profile()


@lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """Of even length."""
    profile = pkgutil.get_data("highdicom", _SRGB)
    assert profile is not None  # noqa: S101  part of the library
    return profile + b"\0" * (len(profile) % 2)
