"""Which decoder takes which transfer syntax (PS3.5 section 10), and whether it is installed here.

One decoder for each syntax: a second one as a fallback would mix two roundings within one cine. None of them is GPL.
GDCM is not among them: it can end the whole process on data that the others refuse.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import cv2
from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    MPEGTransferSyntaxes,
    RLELossless,
)

LOSSLESS_JPEG_PLUGIN = "libjpeg_turbo"

DECODERS = {
    ImplicitVRLittleEndian: ("pydicom", ""),
    ExplicitVRLittleEndian: ("pydicom", ""),
    ExplicitVRBigEndian: ("pydicom", ""),
    DeflatedExplicitVRLittleEndian: ("pydicom", ""),
    RLELossless: ("pydicom", "pydicom"),
    JPEGBaseline8Bit: ("pillow", "pillow"),
    JPEGExtended12Bit: ("pillow", "pillow"),
    JPEGLossless: ("pillow", LOSSLESS_JPEG_PLUGIN),
    JPEGLosslessSV1: ("pillow", LOSSLESS_JPEG_PLUGIN),
    JPEGLSLossless: ("pyjpegls", "pyjpegls"),
    JPEGLSNearLossless: ("pyjpegls", "pyjpegls"),
    JPEG2000Lossless: ("pylibjpeg-openjpeg", "pylibjpeg"),
    JPEG2000: ("pylibjpeg-openjpeg", "pylibjpeg"),
    HTJ2KLossless: ("pylibjpeg-openjpeg", "pylibjpeg"),
    HTJ2KLosslessRPCL: ("pylibjpeg-openjpeg", "pylibjpeg"),
    HTJ2K: ("pylibjpeg-openjpeg", "pylibjpeg"),
    **dict.fromkeys(MPEGTransferSyntaxes, ("opencv-python-headless", "ffmpeg")),
}
"""Transfer syntax -> (package that brings the decoder, label of the plugin in pydicom; none where none is needed).

The order is that of PS3.6 table A-1. `ffmpeg` is not one of pydicom's: video is decoded by dicom_node.video."""

INSTALL = {"pylibjpeg-openjpeg": ("pylibjpeg", "pylibjpeg-openjpeg"), "pillow": ("pillow>=11",)}
"""What pip needs, where that is more than the package's name."""


@dataclass(frozen=True, slots=True)
class SyntaxSupport:
    """What this machine can do with one transfer syntax.

    `decoder` is the package and its version, None where there is none here; `install` then says what pip should bring.
    It is empty for a syntax that no decoder is known for.
    """

    uid: str
    name: str
    decoder: str | None
    install: tuple[str, ...]


def is_video(syntax: UID) -> bool:
    """MPEG-2, H.264 or HEVC: all frames are one stream (PS3.5 8.2.5 to 8.2.8)."""
    return syntax in MPEGTransferSyntaxes


def is_decodable(syntax: UID) -> bool:
    """Whether the decoder of this transfer syntax is installed here."""
    if syntax not in DECODERS:
        return False
    plugin = DECODERS[syntax][1]
    if plugin == "ffmpeg":
        return cv2.CAP_FFMPEG in cv2.videoio_registry.getStreamBufferedBackends()
    return not plugin or plugin in decoder_of(syntax).available_plugins


def decoder_of(syntax: UID) -> Decoder:
    """pydicom's decoder, with our plugin for JPEG lossless. Raises NotImplementedError for video and unknown ones."""
    decoder = get_decoder(syntax)
    if DECODERS[syntax][1] == LOSSLESS_JPEG_PLUGIN and not _has_plugin(decoder):
        decoder.add_plugin(LOSSLESS_JPEG_PLUGIN, ("dicom_node.lossless_jpeg", "decode_frame"))
    return decoder


def supported() -> Iterator[SyntaxSupport]:
    """Every transfer syntax of the standard that may carry pixels, those that are decoded here first."""
    for syntax, (package, _) in DECODERS.items():
        here = is_decodable(syntax)
        install = () if here else INSTALL.get(package, (package,))
        yield SyntaxSupport(str(syntax), syntax.name, _with_version(package) if here else None, install)
    for syntax in AllTransferSyntaxes:
        if syntax not in DECODERS:
            yield SyntaxSupport(str(syntax), syntax.name, None, ())


def _has_plugin(decoder: Decoder) -> bool:
    return LOSSLESS_JPEG_PLUGIN in decoder.available_plugins or any(
        text.startswith(LOSSLESS_JPEG_PLUGIN) for text in decoder.missing_dependencies
    )


def _with_version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:  # the same modules under another package name, as in opencv-python
        return package
