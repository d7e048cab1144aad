"""A plugin for pydicom: JPEG lossless (process 14, ISO/IEC 10918-1 H) of 8 bits, through Pillow's libjpeg-turbo 3.

libjpeg-turbo decodes all seven predictors, point transforms and restart intervals, of one or three components. Samples
come out as they were stored; what colour they are, pydicom decides as for every other JPEG.
"""

from __future__ import annotations

import io

from PIL import Image, features
from pydicom.pixels.decoders.base import DecodeRunner
from pydicom.uid import JPEGLossless, JPEGLosslessSV1

from dicom_node.codestream import without_application_segments

DECODER_DEPENDENCIES = {JPEGLossless: ("pillow>=11",), JPEGLosslessSV1: ("pillow>=11",)}
"""Pillow's wheels carry libjpeg-turbo 3 since version 11; a Pillow built elsewhere may have an older one."""

MODES = {1: "L", 3: "RGB"}


def is_available(uid: str) -> bool:
    """Whether Pillow was built with a libjpeg-turbo that knows lossless JPEG; an interface that pydicom prescribes."""
    if uid not in DECODER_DEPENDENCIES or not features.check_feature("libjpeg_turbo"):
        return False
    return int(str(features.version_feature("libjpeg_turbo")).partition(".")[0]) >= 3


def decode_frame(src: bytes, runner: DecodeRunner) -> bytes:
    """The samples of one frame, colour by pixel; an interface that pydicom prescribes.

    Raises:
        ValueError, OSError: not a lossless JPEG of 8 bits with that many components, or a damaged one.
    """
    # A JFIF or Adobe marker would make the library ask for a colour conversion, which lossless JPEG does not have.
    with Image.open(io.BytesIO(without_application_segments(src)), formats=("JPEG",)) as image:
        if image.mode != MODES.get(runner.samples_per_pixel):
            raise ValueError("another number of components than Samples per Pixel")
        runner.set_option("bits_allocated", 8)
        return image.tobytes()
