"""Colours of a compressed frame: its own word against Photometric Interpretation, which is often merely copied along.

A JPEG encoder leaves evidence: a JFIF segment means YCbCr, Adobe's APP14 segment says which, component identifiers may
spell RGB, and only chroma is ever stored with fewer samples (JFIF 1.02; ISO/IEC 10918-6 6.5.3; PS3.5 8.2.1). JPEG 2000
says whether its components were transformed (ISO/IEC 15444-1 A.6.1; PS3.5 8.2.4).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.pixels.processing import convert_color_space

from dicom_node.codestream import START_OF_FRAME, jpeg2000_segments, jpeg_segments
from dicom_node.errors import InstanceRefused
from inference.domain import Reason


class ColourModel(StrEnum):
    """What the three components of a frame are."""

    RGB = "RGB"
    YCBCR = "YCbCr"


_ADOBE_TRANSFORM = {0: ColourModel.RGB, 1: ColourModel.YCBCR}
_JFIF, _ADOBE = 0xE0, 0xEE
_CODING_STYLE = 0x52
_TRANSFORMED = frozenset({"YBR_ICT", "YBR_RCT"})
_GAMUT_SLACK = 32
_OUTSIDE_GAMUT = 0.05
"""Share of pixels that are no colour at all from which on a frame is not YBR. Halved chroma makes some, at the edges of
coloured text; dark greys, which every ultrasound screen is full of, become such when RGB is read as YBR. Three zeros do
not count: they are no colour of YBR either, and what is left where somebody blanked a name."""

_OVER_A_TRANSFORM = _TRANSFORMED | {"RGB", "YBR_FULL_422"}


def decode_jpeg(encoded: bytes, photometric: str) -> NDArray[np.uint8]:
    """A baseline or 8-bit extended frame of three components as RGB, [rows, columns, 3].

    The frame's own evidence goes before Photometric Interpretation; where it leaves none, the latter decides.

    Raises:
        InstanceRefused: UNSUPPORTED_PHOTOMETRIC.
        OSError, ValueError: the frame cannot be decoded.
    """
    said = colour_model(encoded)
    with Image.open(io.BytesIO(encoded), formats=("JPEG",)) as image:
        if said is None and photometric == "RGB":
            image.draft("YCbCr", image.size)  # as stored: the decoder takes what bears no mark for YCbCr
        return np.array(image)


def rgb_of_ybr(samples: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.unsignedinteger[Any]]:
    """YBR_FULL samples as RGB, both [rows, columns, 3] (PS3.3 C.7.6.3.1.2).

    Raises:
        InstanceRefused: UNSUPPORTED_PHOTOMETRIC: they cannot have been made from RGB, so they are something else.
    """
    if samples.dtype == np.uint8 and _share_outside_gamut(samples[::2, ::2]) > _OUTSIDE_GAMUT:
        raise InstanceRefused(Reason.UNSUPPORTED_PHOTOMETRIC, "(the samples are not YBR)")
    return convert_color_space(samples, "YBR_FULL", "RGB")


def _share_outside_gamut(ybr: NDArray[np.unsignedinteger[Any]]) -> float:
    y, cb, cr = (ybr[..., i].astype(np.float32) for i in range(3))
    cb, cr = cb - 128, cr - 128
    rgb = (y + 1.402 * cr, y - 0.344 * cb - 0.714 * cr, y + 1.772 * cb)
    outside = [(colour < -_GAMUT_SLACK) | (colour > 255 + _GAMUT_SLACK) for colour in rgb]
    counted = ybr.any(axis=2)
    return float(np.logical_or.reduce(outside)[counted].mean()) if counted.any() else 0.0


def check_lossless_jpeg(encoded: bytes, photometric: str) -> None:
    """Encoders of lossless JPEG transform nothing and may yet leave either mark, so a contradiction stays one.

    Raises:
        InstanceRefused: UNSUPPORTED_PHOTOMETRIC.
    """
    said = colour_model(encoded)
    if said is not None and (said is ColourModel.RGB) != (photometric == "RGB"):
        raise InstanceRefused(Reason.UNSUPPORTED_PHOTOMETRIC, f"({photometric}, while the frame says {said})")


def jpeg_2000_photometric(encoded: bytes, photometric: str) -> str:
    """What the decoder gives for a frame of three components: it undoes a transform that the codestream names.

    RGB over a transform says what comes out. YBR_FULL_422 over one is copied from a JPEG: three components that are
    transformed have the same number of samples, so none can have been halved.

    Raises:
        InstanceRefused: UNSUPPORTED_PHOTOMETRIC: a transform that is declared and absent, or present over YBR_FULL.
    """
    for marker, start, end in jpeg2000_segments(encoded):
        if marker == _CODING_STYLE and end - start > 8:
            transformed = encoded[start + 8] == 1
            if transformed and photometric in _OVER_A_TRANSFORM:
                return "RGB"
            if transformed or photometric in _TRANSFORMED:
                detail = "is" if transformed else "is not"
                raise InstanceRefused(
                    Reason.UNSUPPORTED_PHOTOMETRIC, f"({photometric}, while the frame {detail} transformed)"
                )
            return photometric
    raise InstanceRefused(Reason.PIXELS_UNDECODABLE, "(the compressed frame has no coding style)")


def colour_model(encoded: bytes) -> ColourModel | None:
    """What a JPEG frame of three components says of itself; None where it says nothing.

    Raises:
        InstanceRefused: UNSUPPORTED_PHOTOMETRIC: it says both.
    """
    segments = ((marker, encoded[start + 4 : end]) for marker, start, end in jpeg_segments(encoded))
    evidence = {model for marker, content in segments for model in _evidence(marker, content)}
    if len(evidence) > 1:
        raise InstanceRefused(Reason.UNSUPPORTED_PHOTOMETRIC, "(the frame calls itself both RGB and YCbCr)")
    return evidence.pop() if evidence else None


def _evidence(marker: int, content: bytes) -> Iterator[ColourModel]:
    if marker == _JFIF and content.startswith(b"JFIF\0"):
        yield ColourModel.YCBCR
    elif marker == _ADOBE and content.startswith(b"Adobe") and len(content) >= 12 and content[11] in _ADOBE_TRANSFORM:
        yield _ADOBE_TRANSFORM[content[11]]
    elif marker in START_OF_FRAME and len(content) >= 15 and content[5] == 3:
        if content[6:15:3].upper() == b"RGB":
            yield ColourModel.RGB
        if len(set(content[7:15:3])) > 1:
            yield ColourModel.YCBCR
