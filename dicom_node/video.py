"""MPEG-2, H.264 and HEVC (PS3.5 8.2.5 to 8.2.8): one stream over all fragments, decoded frame after frame.

FFmpeg decodes, as OpenCV brings it (LGPL). It reads the fragments where they lie in the file, through a stream of ours:
nothing is copied to a disk, and it never learns a name that it could open. It does not guess either: the first bytes
tell the container, and a playlist in Pixel Data is refused before anything follows it.

Colours: OpenCV asks FFmpeg's scaler for 8-bit RGB by the matrix (BT.601, BT.709) and range (limited, full) that the
stream names, BT.601 and limited where it names none. Grey stays grey, and levels are those of the screen that was
recorded, within what 8-bit YCbCr can keep: four grey levels.

OpenCV does not ask whether the scaler did its work. Where it refuses (interlaced frames, unknown matrices), the picture
is memory as it was found, which may hold another patient, and from the second picture on it is the one before. So new
memory is filled with a pattern, and a picture that is the one before, byte for byte, is decoded again into new memory.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from hashlib import sha256
from threading import RLock
from typing import cast

import cv2
import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import HEVCM10P51, HEVCMP51, MPEG2MPHL, MPEG2MPHLF, MPEG2MPML, MPEG2MPMLF, UID

from dicom_node.errors import InstanceRefused
from dicom_node.fragments import FragmentStream, Span, find_fragments
from dicom_node.part10 import Part10File, PixelElement, untrusted
from dicom_node.photometric import Samples
from dicom_node.pixel_description import PixelDescription, describe_size
from dicom_node.video_headers import VideoHeaders, interlaced
from inference.domain import Reason

CODECS = "mpeg1video,mpeg2video,h264,hevc"
"""MPEG-1 only because FFmpeg begins every MPEG-2 stream with its decoder; it is not accepted."""

CODEC_TAGS = frozenset({b"mpg2", b"h264", b"hevc"})
"""What the decoder that OpenCV has opened calls itself."""

CAPTURE_PARAMETERS = (cv2.CAP_PROP_N_THREADS, 1)
PACKET_PARAMETERS = (*CAPTURE_PARAMETERS, cv2.CAP_PROP_FORMAT, -1)
"""For the packets as they are coded, in Annex B format, instead of pictures."""

MISSING_SHARE = 0.05
"""Frames that may be missing at the end, of those that the header promises, or one: encoders lose the last ones."""

REORDERED = 32
"""How many packets later than its own a frame may come out: twice what the codecs allow."""

UNWRITTEN = 0xAA
"""What memory holds that the decoder was given and did not write."""

MPEG2 = frozenset({MPEG2MPML, MPEG2MPMLF, MPEG2MPHL, MPEG2MPHLF})
HEVC = frozenset({HEVCMP51, HEVCM10P51})

_SIGNATURE_BYTES = 400
_TRANSPORT_PACKETS = ((0, 188), (4, 192))
"""Where the sync byte of a transport stream stands, and how far it is to the next: plain, and with time codes (BD)."""


class VideoPixels:
    """The frames of a video, in memory one at a time. Going forward decodes on; going back begins again.

    `sample_aspect`: height over width of one sample, as in Pixel Aspect Ratio; None where neither the stream nor its
    container says, and before `check_extent`.
    """

    def __init__(self, file: Part10File, element: PixelElement) -> None:
        self.file = file
        self.element = element
        self.description = describe_video(file.header)
        self.sample_aspect: float | None = None
        self._container = ""
        self._capture: cv2.VideoCapture | None = None
        self._stream: FragmentStream | None = None
        self._passed = 0
        self._shown = b""
        self._fields_allowed = False

    def check_extent(self) -> None:
        """Read the video through once without decoding: what it is, and how many frames. To be called before `samples`.

        A video that ends a little early has the frames that are there: `description.frames` becomes their number.

        Raises:
            InstanceRefused: TRUNCATED, UNREADABLE, BAD_PIXEL_DESCRIPTION, PIXELS_UNDECODABLE or
                UNSUPPORTED_TRANSFER_SYNTAX.
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
        with untrusted(Reason.PIXELS_UNDECODABLE, "video"), _ffmpeg(self._container):
            there = self._read_through()
        promised = self.description.frames
        if there == 0 or promised - there > max(1, int(promised * MISSING_SHARE)):
            raise self._ends_after(there)
        self.description = replace(self.description, frames=min(promised, there))

    def samples(self, number: int) -> Samples:
        """Decode up to frame `number` (1-based): uint8 RGB [rows, columns, 3].

        Raises:
            InstanceRefused: TRUNCATED where fewer frames come out than there are packets, or PIXELS_UNDECODABLE.
            ValueError: there is no such frame.
        """
        if not 1 <= number <= self.description.frames:
            raise ValueError(f"frame {number} of {self.description.frames}")
        with untrusted(Reason.PIXELS_UNDECODABLE, "video"), _ffmpeg(self._container):
            picture, seen_before = self._retrieve(number)
            if seen_before:  # frozen, or not converted: from the first frame on into new memory, which tells
                picture, _ = self._retrieve(number)
        if (picture == UNWRITTEN).all():
            if self._fields_allowed:
                raise interlaced()
            raise InstanceRefused(Reason.PIXELS_UNDECODABLE, "(the colours of this video are not converted here)")
        return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)

    def _retrieve(self, number: int) -> tuple[Samples, bool]:
        """Frame `number` as OpenCV shows it, uint8 BGR [rows, columns, 3], and whether its memory held just that.

        That memory is new after every opening, and holds the last picture that was retrieved from then on.
        """
        capture = self._capture
        if capture is None or number <= self._passed:
            self._capture, self._stream = self._open(CAPTURE_PARAMETERS)
            self._passed, self._shown, capture = 0, b"", self._capture
        self._skip_to(number, capture)
        picture = np.asarray(capture.retrieve()[1], np.uint8)
        before, self._shown = self._shown, sha256(picture.data).digest()
        return picture, self._shown == before

    @cached_property
    def _fragments(self) -> tuple[Span, ...]:
        with self.file.open() as stream:
            return find_fragments(stream, self.element.offset, self.file.stream_size)

    def _open(self, parameters: tuple[int, ...]) -> tuple[cv2.VideoCapture, FragmentStream]:
        """The video from its first frame."""
        stream = FragmentStream(self.file.open, self._fragments)
        # OpenCV takes any buffered stream here; its type hints name its own class only
        capture = cv2.VideoCapture(cast(cv2.IStreamReader, stream), cv2.CAP_FFMPEG, parameters)
        if stream.failure is not None:
            raise stream.failure
        # a rotation that the container asks for would turn the picture under its regions
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        rows, columns = (int(capture.get(p)) for p in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH))
        if _codec_tag(capture) not in CODEC_TAGS or rows <= 0:
            raise InstanceRefused(Reason.PIXELS_UNDECODABLE, "(not a video that is decoded here)")
        if (rows, columns) != (self.description.rows, self.description.columns):
            raise InstanceRefused(Reason.BAD_PIXEL_DESCRIPTION, f"(the video has {rows} rows x {columns} columns)")
        return capture, stream

    def _read_through(self) -> int:
        """How many packets there are, no more than count: one for each frame. Every one is looked at."""
        capture, stream = self._open(PACKET_PARAMETERS)
        width, height = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
        self.sample_aspect = height / width if width > 0 and height > 0 else None
        headers, there = VideoHeaders(_codec_tag(capture)), 0
        while there < self.description.frames + REORDERED and capture.grab():
            _, packet = capture.retrieve()
            headers.take(packet.reshape(-1).data)
            there += 1
        self._fields_allowed = headers.fields_allowed
        if stream.failure is not None:
            raise stream.failure
        return there

    def _skip_to(self, number: int, capture: cv2.VideoCapture) -> None:
        """Decode, without converting, up to and with this frame: every frame needs those before it."""
        while self._passed < number:
            if not capture.grab():
                there, self._capture = self._passed, None
                if self._stream is not None and self._stream.failure is not None:
                    raise self._stream.failure
                raise self._ends_after(there)
            self._passed += 1

    def _ends_after(self, there: int) -> InstanceRefused:
        detail = f"(the video ends after {there} of {self.description.frames} frames)"
        return InstanceRefused(Reason.TRUNCATED, detail)


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
    code = start.lstrip(b"\0")  # any number of zeros, at least two, may stand before the 1 of a start code
    if start.startswith(b"\0\0") and code.startswith(b"\1"):
        if code[1:2] == b"\xba":
            return "mpeg"
        if syntax in HEVC:
            return "hevc"
        return "mpegvideo" if syntax in MPEG2 else "h264"
    if any(start[first : first + 1 + step : step] == b"\x47\x47" for first, step in _TRANSPORT_PACKETS):
        return "mpegts"
    raise InstanceRefused(Reason.UNSUPPORTED_TRANSFER_SYNTAX, "(the pixel data is not an MPEG stream)")


def _codec_tag(capture: cv2.VideoCapture) -> bytes:
    tag = int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF if capture.isOpened() else 0
    return tag.to_bytes(4, "little")


_TRIED_BYTES = 100_000
_one_at_a_time = RLock()


@contextmanager
def _ffmpeg(container: str) -> Iterator[None]:
    """Tell FFmpeg what it may do, which OpenCV takes from the environment; no words of either on standard error.

    All of it holds for the whole process, so one video is decoded at a time, and everything is put back.
    """
    options = {"input_format": container, "codec_whitelist": CODECS, "protocol_whitelist": "none"}
    ours = {
        "OPENCV_FFMPEG_CAPTURE_OPTIONS": "|".join(f"{name};{value}" for name, value in options.items()),
        "OPENCV_FFMPEG_LOGLEVEL": "-8",
    }
    with _one_at_a_time, _memory_filled():
        before = {name: os.environ.get(name) for name in ours}
        level = cv2.utils.logging.getLogLevel()
        os.environ.update(ours)
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            yield
        finally:
            cv2.utils.logging.setLogLevel(level)
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


@contextmanager
def _memory_filled() -> Iterator[None]:
    """New memory is filled with UNWRITTEN (mallopt(3), M_PERTURB): a picture that was never written is told by it.

    Raises:
        InstanceRefused: UNSUPPORTED_TRANSFER_SYNTAX; memory comes from another library, and nothing else would tell.
    """
    perturb, mallopt = -6, getattr(ctypes.CDLL(None), "mallopt", lambda *_: 0)
    mallopt(perturb, UNWRITTEN ^ 0xFF)  # freed memory gets this byte, new memory its complement
    try:
        if not (np.empty(_TRIED_BYTES, np.uint8) == UNWRITTEN).all():
            raise InstanceRefused(Reason.UNSUPPORTED_TRANSFER_SYNTAX, "(video needs the GNU C library's memory)")
        yield
    finally:
        mallopt(perturb, 0)
