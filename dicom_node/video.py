"""MPEG-2, H.264 and HEVC (PS3.5 8.2.5 to 8.2.8): one stream over all fragments, decoded frame after frame.

FFmpeg decodes, as OpenCV brings it (LGPL). It reads the fragments where they lie in the file, through a stream of ours:
nothing is copied to a disk, and it never learns a name that it could open. It does not guess either: the first bytes
tell the container, and a playlist in Pixel Data is refused before anything follows it.

Colours: OpenCV asks FFmpeg's scaler for 8-bit RGB by the matrix (BT.601, BT.709) and range (limited, full) that the
stream names, BT.601 and limited where it names none. Grey stays grey, and levels are those of the screen that was
recorded, within what 8-bit YCbCr can keep: about two grey levels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import cast

import cv2
import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import HEVCM10P51, HEVCMP51, MPEG2MPHL, MPEG2MPHLF, MPEG2MPML, MPEG2MPMLF, UID

from dicom_node.errors import InstanceRefused
from dicom_node.fragments import FragmentStream, Span, find_fragments
from dicom_node.part10 import Part10File, PixelElement, untrusted
from dicom_node.photometric import Samples
from dicom_node.pixels import PixelDescription, describe_size
from inference.domain import Reason

CODECS = "mpeg1video,mpeg2video,h264,hevc"
"""MPEG-1 only because FFmpeg begins every MPEG-2 stream with its decoder; it is not accepted."""

CODEC_TAGS = frozenset({b"mpg2", b"h264", b"hevc"})
"""What the decoder that OpenCV has opened calls itself."""

CAPTURE_PARAMETERS = (cv2.CAP_PROP_N_THREADS, 1)

MPEG2 = frozenset({MPEG2MPML, MPEG2MPMLF, MPEG2MPHL, MPEG2MPHLF})
HEVC = frozenset({HEVCMP51, HEVCM10P51})

_SIGNATURE_BYTES = 400
_TRANSPORT_PACKETS = ((0, 188), (4, 192))
"""Where the sync byte of a transport stream stands, and how far it is to the next: plain, and with time codes (BD)."""


class VideoPixels:
    """The frames of a video, in memory one at a time. Going forward decodes on; going back begins again."""

    def __init__(self, file: Part10File, element: PixelElement) -> None:
        self.file = file
        self.element = element
        self.description = describe_video(file.header)
        self._container = ""
        self._capture: cv2.VideoCapture | None = None
        self._stream: FragmentStream | None = None
        self._passed = 0

    def check_extent(self) -> None:
        """Look for the end of the fragments and at the first bytes, without decoding. To be called before `samples`.

        Raises:
            InstanceRefused: TRUNCATED, UNREADABLE, BAD_PIXEL_DESCRIPTION or UNSUPPORTED_TRANSFER_SYNTAX.
        """
        if self.element.length is not None:
            raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, "(pixel data and transfer syntax do not match)")
        stream = FragmentStream(self.file.open, self._fragments)
        start = stream.read(_SIGNATURE_BYTES)
        if stream.failure is not None:
            raise stream.failure
        if not start:
            raise InstanceRefused(Reason.TRUNCATED)
        self._container = container_of(start, self.file.transfer_syntax)

    def samples(self, number: int) -> Samples:
        """Decode up to frame `number` (1-based): uint8 RGB [rows, columns, 3].

        Raises:
            InstanceRefused: TRUNCATED where the video has fewer frames than Number of Frames says,
                BAD_PIXEL_DESCRIPTION where they have another size, or PIXELS_UNDECODABLE.
            ValueError: there is no such frame.
        """
        if not 1 <= number <= self.description.frames:
            raise ValueError(f"frame {number} of {self.description.frames}")
        with untrusted(Reason.PIXELS_UNDECODABLE, "video"), _ffmpeg(self._container):
            capture = self._capture
            if capture is None or number <= self._passed:
                capture = self._begin()
            self._skip_to(number, capture)
            ok, picture = capture.retrieve()
        if not ok or picture is None or picture.ndim != 3:
            raise InstanceRefused(Reason.PIXELS_UNDECODABLE, "(video)")
        self._check_size(*picture.shape[:2])
        return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)

    @cached_property
    def sample_aspect(self) -> float | None:
        """Height over width of one sample, as in Pixel Aspect Ratio; None where neither stream nor container says.

        Raises:
            InstanceRefused: as `samples`.
        """
        with untrusted(Reason.PIXELS_UNDECODABLE, "video"), _ffmpeg(self._container):
            capture = self._capture or self._begin()
            width, height = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
        return height / width if width > 0 and height > 0 else None

    @cached_property
    def _fragments(self) -> tuple[Span, ...]:
        with self.file.open() as stream:
            return find_fragments(stream, self.element.offset, self.file.stream_size)

    def _begin(self) -> cv2.VideoCapture:
        """Open the stream from its first frame."""
        stream = FragmentStream(self.file.open, self._fragments)
        # OpenCV takes any buffered stream here; its type hints name its own class only
        capture = cv2.VideoCapture(cast(cv2.IStreamReader, stream), cv2.CAP_FFMPEG, CAPTURE_PARAMETERS)
        if stream.failure is not None:
            raise stream.failure
        # a rotation that the container asks for would turn the picture under its regions
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        tag = int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF if capture.isOpened() else 0
        rows, columns = (int(capture.get(p)) for p in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH))
        if tag.to_bytes(4, "little") not in CODEC_TAGS or rows <= 0:
            raise InstanceRefused(Reason.PIXELS_UNDECODABLE, "(not a video that is decoded here)")
        self._check_size(rows, columns)
        self._capture, self._stream, self._passed = capture, stream, 0
        return capture

    def _skip_to(self, number: int, capture: cv2.VideoCapture) -> None:
        """Decode, without converting, up to and with this frame: every frame needs those before it."""
        while self._passed < number:
            if not capture.grab():
                there, self._capture = self._passed, None
                if self._stream is not None and self._stream.failure is not None:
                    raise self._stream.failure
                detail = f"(the video ends after {there} of {self.description.frames} frames)"
                raise InstanceRefused(Reason.TRUNCATED, detail)
            self._passed += 1

    def _check_size(self, rows: int, columns: int) -> None:
        if (rows, columns) != (self.description.rows, self.description.columns):
            raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, f"(the video has {rows} rows x {columns} columns)")


def describe_video(header: Dataset) -> PixelDescription:
    """Rows, columns and frames as promised; the samples as they come out: RGB of 8 bits.

    The header's photometric interpretation and bits are not used: the stream has its own, and they are what was coded.

    Raises:
        InstanceRefused: BAD_PIXEL_DESCRIPTION.
    """
    rows, columns, frames = describe_size(header)
    return PixelDescription(rows, columns, frames, 3, "RGB", 0, 8, 8, 7)


def container_of(start: bytes, syntax: UID) -> str:
    """FFmpeg's name for what begins with these bytes: an MP4 file, a program or transport stream, or a bare stream.

    Raises:
        InstanceRefused: UNSUPPORTED_TRANSFER_SYNTAX for anything else.
    """
    if start[4:8] == b"ftyp":
        return "mov"
    if start[:4] == b"\0\0\1\xba":
        return "mpeg"
    if start[:3] == b"\0\0\1" or start[:4] == b"\0\0\0\1":
        if syntax in HEVC:
            return "hevc"
        return "mpegvideo" if syntax in MPEG2 else "h264"
    if any(start[first : first + 1 + step : step] == b"\x47\x47" for first, step in _TRANSPORT_PACKETS):
        return "mpegts"
    raise InstanceRefused(Reason.UNSUPPORTED_TRANSFER_SYNTAX, "(the pixel data is not an MPEG stream)")


@contextmanager
def _ffmpeg(container: str) -> Iterator[None]:
    """Tell FFmpeg what it may do, which OpenCV takes from the environment; no words of either on standard error."""
    options = {"input_format": container, "codec_whitelist": CODECS, "protocol_whitelist": "none"}
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "|".join(f"{name};{value}" for name, value in options.items())
    os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
