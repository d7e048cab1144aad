"""Video streams as FFmpeg writes them, and what is refused before FFmpeg sees it."""

from __future__ import annotations

import ctypes
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from pydicom.uid import HEVCMP51, MPEG2MPML, MPEG4HP41, MPEG4HP41F, UID

from dicom_node.decode import DecodedInstance, read_instance
from dicom_node.errors import InstanceRefused
from dicom_node.part10 import Part10File, read_part10
from dicom_node.photometric import luminance
from dicom_node.video import UNWRITTEN, VideoPixels, container_of
from dicom_node.video_headers import VideoHeaders
from inference.domain import PixelSpacingMm, Reason
from tests import encoders
from tests.encoders import VideoStream, video_stream, with_video
from tests.ultrasound import save, us_multiframe, us_region

ROWS, COLUMNS, COUNT = 64, 96, 12
REGION = [us_region((0, 0, COLUMNS - 1, ROWS - 1), (0.02, 0.02))]
WRAPPED = {
    "transport stream": encoders.MPEG2,
    "program stream": VideoStream("mpeg2video", "mpeg", options=encoders.MPEG2.options),
    "bare MPEG-2": encoders.MPEG2_BARE,
    "MP4": encoders.H264,
    "bare H.264": encoders.H264_BARE,
    "H.264 in a transport stream": VideoStream("libx264", "mpegts", options=encoders.H264.options),
    "bare HEVC": encoders.HEVC,
    "HEVC of 10 bits": encoders.HEVC_10,
}
OPTIONS = {
    "mpeg2video": (("flags", "+ildct+ilme"),),
    "libx264": (("x264-params", "tff=1"),),
    "libx265": (("x265-params", "log-level=none:interlace=1"),),
}
INTERLACED = {name: replace(wrapped, options=OPTIONS[wrapped.codec]) for name, wrapped in WRAPPED.items()}
MATRICES = {
    "YCgCo": VideoStream("libx264", "mp4", options=(("x264-params", "colormatrix=YCgCo"),)),
    "BT.2020 with constant luminance": VideoStream(
        "libx265", "hevc", options=(("x265-params", "log-level=none:colormatrix=bt2020c"),)
    ),
}
"""What the scaler that OpenCV uses does not know."""
OTHER_PARAMETERS = ["sps-id=3", "level=4.1", "ref=1:bframes=0", "nal-hrd=vbr:vbv-maxrate=5000:vbv-bufsize=5000"]
FULL_RANGE = VideoStream("libx264", "mp4", "yuvj420p", (("crf", "8"), ("profile", "high")))


def cine() -> NDArray[np.uint8]:
    """A bar that moves by four columns a frame over a ramp of all levels: every frame can be told from the others."""
    ramp = np.tile(np.linspace(0, 255, COLUMNS).astype(np.uint8), (ROWS, 1))
    frames = np.repeat(ramp[None], COUNT, axis=0)
    for number in range(COUNT):
        frames[number, 8:24, 8 + 4 * number : 16 + 4 * number] = 255
    return frames


@cache
def stream(name: str) -> bytes:
    return video_stream(cine(), WRAPPED[name])


def syntax_of(name: str) -> UID:
    codec = WRAPPED[name].codec
    return {"mpeg2video": MPEG2MPML, "libx264": MPEG4HP41, "libx265": HEVCMP51}[codec]


def video(folder: Path, *fragments: bytes, syntax: UID = MPEG4HP41, **attributes: Any) -> DecodedInstance:
    dataset = with_video(us_multiframe(cine(), REGION), fragments or [stream("MP4")], syntax)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return read_instance(save(dataset, folder / "video.dcm"))


def refusal(folder: Path, *fragments: bytes, number: int = 1, **attributes: Any) -> InstanceRefused:
    with pytest.raises(InstanceRefused) as caught:
        video(folder, *fragments, **attributes).display(number)
    return caught.value


class TestReading:
    @pytest.mark.parametrize("container", ["h264", "mp4", "mpegts"])
    def test_progressive_frames_where_fields_are_allowed(self, container: str, tmp_path: Path) -> None:
        """Blu-ray wants progressive video to be written so."""
        options = (*encoders.H264.options, ("x264-params", "fake-interlaced=1"))
        decoded = video(tmp_path, video_stream(cine(), VideoStream("libx264", container, options=options)))
        for frame, original in zip(decoded.frames(range(1, COUNT + 1)), cine(), strict=True):
            assert np.abs(frame.luminance.astype(int) - original).mean() < 3

    @pytest.mark.parametrize("name", WRAPPED)
    def test_every_container_gives_every_frame(self, name: str, tmp_path: Path) -> None:
        decoded = video(tmp_path, stream(name), syntax=syntax_of(name))
        assert decoded.calibration.regions[0].spacing_mm == PixelSpacingMm(0.2, 0.2)
        frames = list(decoded.frames(range(1, COUNT + 1)))
        for frame, original in zip(frames, cine(), strict=True):
            assert np.abs(frame.luminance.astype(int) - original).mean() < 3

    @pytest.mark.parametrize("name", WRAPPED)
    def test_grey_stays_grey_and_levels_stay(self, name: str, tmp_path: Path) -> None:
        levels = np.repeat(np.arange(0, 256, 17, dtype=np.uint8), 16).reshape(1, -1).repeat(64, axis=0)
        frames = np.repeat(levels[None], 3, axis=0)
        dataset = with_video(us_multiframe(frames), [video_stream(frames, WRAPPED[name])], syntax_of(name))
        shown = read_instance(save(dataset, tmp_path / "a.dcm")).display(2)
        assert np.ptp(shown.astype(int), axis=2).max() <= 3
        flat = np.s_[:, 8::16]  # the middle of every step, away from the ringing at its edges
        assert np.abs(luminance(shown)[flat].astype(int) - levels[flat]).max() <= 4

    def test_full_range_is_taken_as_such(self, tmp_path: Path) -> None:
        frames = np.stack([np.full((64, 96), level, np.uint8) for level in (0, 64, 128, 192, 255)])
        dataset = with_video(us_multiframe(frames), [video_stream(frames, FULL_RANGE)], MPEG4HP41)
        decoded = read_instance(save(dataset, tmp_path / "a.dcm"))
        assert [int(f.luminance.mean()) for f in decoded.frames(range(1, 6))] == pytest.approx(
            [0, 64, 128, 192, 255], abs=4
        )

    def test_colours(self, tmp_path: Path) -> None:
        colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
        frames = np.repeat(np.array([[*colours]], np.uint8).repeat(64, axis=1), 64, axis=0)[None].repeat(2, axis=0)
        dataset = with_video(us_multiframe(frames), [video_stream(frames, encoders.H264)], MPEG4HP41)
        shown = read_instance(save(dataset, tmp_path / "a.dcm")).display(1)
        assert np.abs(shown[32, 32::64].astype(int) - np.array(colours)).max() <= 6

    def test_fragments_are_one_stream_wherever_they_were_cut(self, tmp_path: Path) -> None:
        whole = stream("MP4")
        cut = [whole[i : i + 1000] for i in range(0, len(whole), 1000)]  # even lengths: no padding in between
        pieces = video(tmp_path, *cut, syntax=MPEG4HP41F).display(COUNT)
        np.testing.assert_array_equal(pieces, video(tmp_path).display(COUNT))

    def test_frames_backwards_are_the_same_frames(self, tmp_path: Path) -> None:
        decoded = video(tmp_path)
        forward = [f.luminance for f in decoded.frames([2, 5, 11])]
        for number, expected in ((11, forward[2]), (5, forward[1]), (2, forward[0])):
            np.testing.assert_array_equal(luminance(decoded.display(number)), expected)

    def test_going_forward_never_begins_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        begun = []
        real = cv2.VideoCapture

        def counted(*arguments: Any) -> Any:
            begun.append(1)
            return real(*arguments)

        monkeypatch.setattr(cv2, "VideoCapture", counted)
        decoded = video(tmp_path)
        begun.clear()
        list(decoded.frames([1, 4, 7, COUNT]))
        assert len(begun) == 1
        decoded.display(3)
        assert len(begun) == 2

    def test_no_file_is_made_and_none_is_kept_open(self, tmp_path: Path) -> None:
        decoded = video(tmp_path)
        before = psutil.Process().open_files()
        decoded.display(4)
        assert psutil.Process().open_files() == before
        assert [p.name for p in tmp_path.iterdir()] == ["video.dcm"]

    def test_a_rotation_that_the_container_asks_for_is_not_done(self, tmp_path: Path) -> None:
        """Regions are told in rows and columns as they are stored."""
        whole = stream("MP4")
        identity = b"\0\1\0\0" + b"\0" * 12 + b"\0\1\0\0" + b"\0" * 12 + b"\x40\0\0\0"
        quarter = b"\0" * 4 + b"\0\1\0\0" + b"\0" * 4 + b"\xff\xff\0\0" + b"\0" * 16 + b"\x40\0\0\0"
        track = whole.index(b"tkhd")
        place = whole.index(identity, track)
        rotated = whole[:place] + quarter + whole[place + len(identity) :]
        np.testing.assert_array_equal(video(tmp_path, rotated).display(1), video(tmp_path).display(1))


def aspect_of(data: bytes, syntax: UID, folder: Path) -> float | None:
    file = read_part10(save(with_video(us_multiframe(cine()), [data], syntax), folder / "a.dcm"))
    assert file.pixel_element is not None
    pixels = VideoPixels(file, file.pixel_element)
    pixels.check_extent()
    return pixels.sample_aspect


class TestSampleAspect:
    @pytest.mark.parametrize("name", [name for name in WRAPPED if WRAPPED[name].codec != "mpeg2video"])
    @pytest.mark.parametrize(("said", "aspect"), [((8, 9), 9 / 8), ((16, 11), 11 / 16), ((1, 1), 1.0)])
    def test_as_the_stream_says(self, name: str, said: tuple[int, int], aspect: float, tmp_path: Path) -> None:
        data = video_stream(cine(), WRAPPED[name], sample_aspect=Fraction(*said))
        assert aspect_of(data, syntax_of(name), tmp_path) == pytest.approx(aspect)

    @pytest.mark.parametrize("name", ["transport stream", "program stream", "bare MPEG-2"])
    @pytest.mark.parametrize(("picture", "aspect"), [((1, 1), 1.0), ((4, 3), 9 / 8), ((16, 9), 27 / 32)])
    def test_of_mpeg2_by_the_aspect_of_the_picture(
        self, name: str, picture: tuple[int, int], aspect: float, tmp_path: Path
    ) -> None:
        """Pictures of 96 x 64 shown as 4:3 or 16:9; PS3.5 8.2.5, Rec. H.262 table 6-3."""
        said = Fraction(*picture) * ROWS / COLUMNS if picture != (1, 1) else Fraction(1)
        data = video_stream(cine(), WRAPPED[name], sample_aspect=said)
        assert aspect_of(data, MPEG2MPML, tmp_path) == pytest.approx(aspect)

    @pytest.mark.parametrize("name", ["MP4", "bare H.264", "bare HEVC"])
    def test_not_said(self, name: str, tmp_path: Path) -> None:
        assert aspect_of(stream(name), syntax_of(name), tmp_path) is None


def fields_from(number: int) -> bytes:
    """H.264 that says by picture timing messages (H.264 D.1.3) that frames from `number` on are fields."""
    options = (("crf", "8"), ("x264-params", "pic-struct=1:bframes=0:keyint=1:repeat-headers=1"))
    first, *others = video_stream(cine(), VideoStream("libx264", "h264", options=options)).split(b"\0\0\1\x06\x01")
    assert len(others) == COUNT
    for index in range(number - 1, COUNT):  # behind the size, pic_struct: 0 is a frame, 1 a field
        others[index] = others[index][:1] + bytes([others[index][1] | 0x10]) + others[index][2:]
    return b"\0\0\1\x06\x01".join([first, *others])


class TestPicturesThatAreNotConverted:
    """OpenCV says that it has the picture, and it is whatever lay in memory: here, the head of somebody else."""

    @pytest.mark.parametrize("name", INTERLACED)
    def test_interlaced(self, name: str, tmp_path: Path) -> None:
        refused = refusal(tmp_path, video_stream(cine(), INTERLACED[name]), syntax=syntax_of(name))
        assert refused.reason is Reason.PIXELS_UNDECODABLE
        assert refused.detail == "(interlaced video is not decoded here)"

    @pytest.mark.parametrize("name", INTERLACED)
    def test_interlaced_though_no_header_said_so(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(VideoHeaders, "take", lambda _self, _packet: None)
        self.shown_before(tmp_path)
        refused = refusal(tmp_path, video_stream(cine(), INTERLACED[name]), syntax=syntax_of(name))
        assert refused.detail == "(the colours of this video are not converted here)"

    @pytest.mark.parametrize("name", MATRICES)
    def test_a_matrix_that_is_not_known(self, name: str, tmp_path: Path) -> None:
        self.shown_before(tmp_path)
        syntax = HEVCMP51 if MATRICES[name].codec == "libx265" else MPEG4HP41
        for number in (1, COUNT):
            refused = refusal(tmp_path, video_stream(cine(), MATRICES[name]), syntax=syntax, number=number)
            assert refused.detail == "(the colours of this video are not converted here)"

    @pytest.mark.parametrize("numbers", [range(1, COUNT + 1), [2, COUNT]])
    def test_some_frames_of_a_video(self, numbers: Sequence[int], tmp_path: Path) -> None:
        """Fields from frame 7 on, by nothing but a message: OpenCV would show the last that was asked for."""
        converted = video(tmp_path, fields_from(1 + COUNT))
        some = video(tmp_path, fields_from(7))
        for number in numbers:
            if number < 7:
                np.testing.assert_array_equal(some.display(number), converted.display(number))
                continue
            with pytest.raises(InstanceRefused) as caught:
                some.display(number)
            assert caught.value.detail == "(the colours of this video are not converted here)"

    def test_a_frozen_picture_is_one_that_was_converted(self, tmp_path: Path) -> None:
        frozen = np.repeat(cine()[:1], COUNT, axis=0)
        alike = VideoStream("libx264", "mp4", options=(("x264-params", "qp=10:keyint=1"),))
        shown = [f.luminance for f in video(tmp_path, video_stream(frozen, alike)).frames(range(1, COUNT + 1))]
        assert all(np.array_equal(one, other) for one, other in pairwise(shown))
        assert np.abs(shown[0].astype(int) - frozen[0]).mean() < 3

    def shown_before(self, folder: Path) -> None:
        list(video(folder).frames(range(1, COUNT + 1)))


class TestOneFormat:
    """Every frame would be shown in the size of the first one, and so in another scale."""

    @pytest.mark.parametrize("name", [name for name in WRAPPED if name != "MP4"])
    def test_another_size_later_on(self, name: str, tmp_path: Path) -> None:
        smaller = video_stream(cine()[:, :48, :64], WRAPPED[name])
        refused = refusal(tmp_path, stream(name) + smaller, syntax=syntax_of(name))
        assert refused.reason is Reason.BAD_PIXEL_DESCRIPTION
        assert refused.detail == "(the format of the video changes between its frames)"

    @pytest.mark.parametrize("name", [name for name in WRAPPED if name != "MP4"])
    def test_the_same_format_said_again(self, name: str, tmp_path: Path) -> None:
        decoded = video(tmp_path, stream(name) * 2, syntax=syntax_of(name), NumberOfFrames=2 * COUNT)
        again = luminance(decoded.display(COUNT + 4)).astype(int)
        assert np.abs(again - cine()[3]).mean() < 3

    def test_another_shape_of_the_samples_later_on(self, tmp_path: Path) -> None:
        shaped = video_stream(cine(), WRAPPED["bare H.264"], sample_aspect=Fraction(4, 5))
        refused = refusal(tmp_path, stream("bare H.264") + shaped)
        assert refused.reason is Reason.BAD_PIXEL_DESCRIPTION

    @pytest.mark.parametrize("other", OTHER_PARAMETERS)
    def test_other_parameters_that_change_no_picture(self, other: str, tmp_path: Path) -> None:
        said = VideoStream("libx264", "h264", options=(*encoders.H264_BARE.options, ("x264-params", other)))
        whole = stream("bare H.264") + video_stream(cine(), said)
        decoded = video(tmp_path, whole, NumberOfFrames=2 * COUNT)
        for number in (4, COUNT, COUNT + 4, 2 * COUNT):
            again = luminance(decoded.display(number)).astype(int)
            assert np.abs(again - cine()[(number - 1) % COUNT]).mean() < 3

    @pytest.mark.parametrize(
        ("pixels", "other"), [("yuvj420p", ""), ("yuv420p", "colormatrix=bt709"), ("yuv420p", "fake-interlaced=1")]
    )
    def test_other_colours_or_fields_later_on(self, pixels: str, other: str, tmp_path: Path) -> None:
        said = VideoStream("libx264", "h264", pixels, (*encoders.H264_BARE.options, ("x264-params", other)))
        refused = refusal(tmp_path, stream("bare H.264") + video_stream(cine(), said))
        assert refused.detail == "(the format of the video changes between its frames)"

    def test_another_size_behind_the_last_frame_does_not_matter(self, tmp_path: Path) -> None:
        smaller = video_stream(cine()[:, :48, :64], WRAPPED["bare H.264"])
        whole = stream("bare H.264") * 4 + smaller
        assert video(tmp_path, whole, NumberOfFrames=COUNT).display(COUNT).shape == (ROWS, COLUMNS, 3)


class TestTheProcessAfterwards:
    def test_environment_and_log_level_are_as_before(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "threads;2")
        before, level = dict(os.environ), cv2.utils.logging.getLogLevel()
        video(tmp_path).display(1)
        refusal(tmp_path, b"\0\0\1\xb3" + b" " * 500)
        assert dict(os.environ) == before
        assert cv2.utils.logging.getLogLevel() == level

    def test_memory_is_no_longer_filled(self, tmp_path: Path) -> None:
        video(tmp_path).display(1)
        fresh = [np.empty(1_000_000, np.uint8) for _ in range(4)]
        assert not any((block == UNWRITTEN).all() for block in fresh)

    def test_without_that_filling_no_video_is_decoded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another C library, or another allocator preloaded: nothing would tell a picture that was never written."""
        monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
        with pytest.raises(InstanceRefused) as caught:
            video(tmp_path)
        assert caught.value.reason is Reason.UNSUPPORTED_TRANSFER_SYNTAX

    def test_videos_in_two_threads(self, tmp_path: Path) -> None:
        decoded = [video(tmp_path), read_instance(tmp_path / "video.dcm")]
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(lambda one: [one.display(n) for n in range(1, COUNT + 1)], decoded)
        np.testing.assert_array_equal(first, second)


class TestRefusals:
    def test_fewer_frames_than_promised(self, tmp_path: Path) -> None:
        refused = refusal(tmp_path, NumberOfFrames=COUNT + 2)
        assert refused.reason is Reason.TRUNCATED
        assert refused.detail == f"(the video ends after {COUNT} of {COUNT + 2} frames)"

    @pytest.mark.parametrize(("there", "promised"), [(1, 2), (COUNT, COUNT + 1), (COUNT * 4, COUNT * 4 + 2)])
    def test_a_few_frames_too_many_promised(self, there: int, promised: int, tmp_path: Path) -> None:
        """Encoders lose the last ones; what is there can be looked at, and has the number it has in every viewer."""
        frames = np.concatenate([cine()] * 4)[:there]
        decoded = video(tmp_path, video_stream(frames, WRAPPED["MP4"]), NumberOfFrames=promised)
        assert decoded.frame_count == there
        assert np.abs(luminance(decoded.display(there)).astype(int) - frames[-1]).mean() < 3

    def test_frame_times_are_those_of_the_frames_that_are_there(self, tmp_path: Path) -> None:
        steps = [10.0 * number for number in range(COUNT + 1)]
        decoded = video(tmp_path, NumberOfFrames=COUNT + 1, FrameTimeVector=steps, FrameIncrementPointer=0x00181065)
        assert decoded.frame_times_ms == tuple(np.cumsum(steps)[:COUNT])

    def test_no_frame_at_all(self, tmp_path: Path) -> None:
        """A sequence header without a picture."""
        whole = stream("bare MPEG-2")
        header = whole[: whole.index(b"\0\0\1\xb8")]
        refused = refusal(tmp_path, header, syntax=MPEG2MPML, NumberOfFrames=1)
        assert refused.reason in {Reason.PIXELS_UNDECODABLE, Reason.TRUNCATED}

    def test_more_frames_than_promised_are_not_looked_at(self, tmp_path: Path) -> None:
        decoded = video(tmp_path, NumberOfFrames=5)
        assert decoded.frame_count == 5
        with pytest.raises(ValueError, match="frame 6 of 5"):
            decoded.display(6)

    def test_frames_of_another_size(self, tmp_path: Path) -> None:
        refused = refusal(tmp_path, Rows=ROWS * 2)
        assert (refused.reason, refused.detail) == (
            Reason.BAD_PIXEL_DESCRIPTION,
            "(the video has 64 rows x 96 columns)",
        )

    @pytest.mark.parametrize(
        "start",
        [
            b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n",
            b"ffconcat version 1.0\nfile '/etc/passwd'\n",
            b"RIFF\0\0\0\0AVI LIST",
            b"\x1aE\xdf\xa3" + b"\0" * 40,
            b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n",
            b"\xff\xd8\xff\xe0" + b"\0" * 40,
        ],
    )
    def test_playlists_and_other_containers(self, start: bytes, tmp_path: Path) -> None:
        assert refusal(tmp_path, start + b" " * 500).reason is Reason.UNSUPPORTED_TRANSFER_SYNTAX

    def test_a_start_code_before_something_else(self, tmp_path: Path) -> None:
        for start in (b"\0\0\1\xb3", b"\0\0\0\1\x67", b"\0\0\0\x18ftypmp42"):
            refused = refusal(tmp_path, start + b"#EXTM3U\nhttp://127.0.0.1:1/\n" * 40)
            assert refused.reason in {Reason.PIXELS_UNDECODABLE, Reason.TRUNCATED}

    def test_a_codec_that_has_no_transfer_syntax(self, tmp_path: Path) -> None:
        other = VideoStream("mpeg4", "mp4")
        assert refusal(tmp_path, video_stream(cine(), other)).reason is Reason.PIXELS_UNDECODABLE

    def test_native_pixels_and_none_at_all(self, tmp_path: Path) -> None:
        path = save(us_multiframe(cine()), tmp_path / "a.dcm")
        data = path.read_bytes().replace(b"\x14\x001.2.840.10008.1.2.1\0", b"\x18\x001.2.840.10008.1.2.4.102\0"[:26])
        length = data.index(b"UL\4\0") + 4
        path.write_bytes(data[:length] + (data[length] + 4).to_bytes(4, "little") + data[length + 4 :])
        with pytest.raises(InstanceRefused) as caught:
            read_instance(path)
        assert caught.value.reason is Reason.BAD_PIXEL_DESCRIPTION
        assert refusal(tmp_path, b"").reason is Reason.TRUNCATED

    def test_a_stream_that_was_cut(self, tmp_path: Path) -> None:
        noise = np.random.default_rng(1).integers(0, 256, (COUNT, ROWS, COLUMNS), dtype=np.uint8)
        whole = video_stream(noise, encoders.H264_BARE)
        assert refusal(tmp_path, whole[: len(whole) // 2], number=COUNT).reason is Reason.TRUNCATED

    def test_a_disk_that_fails_is_not_the_objects_fault(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        decoded = video(tmp_path)
        decoded.display(2)  # what was read to open the stream is in memory; going back reads again

        def gone(_file: Part10File) -> io.BytesIO:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(Part10File, "open", gone)
        with pytest.raises(OSError, match="Input/output"):
            decoded.display(1)


@pytest.mark.parametrize(
    ("start", "syntax", "container"),
    [
        (b"\x47" + b"x" * 187 + b"\x47", MPEG2MPML, "mpegts"),
        (b"time\x47" + b"x" * 191 + b"\x47", MPEG4HP41, "mpegts"),  # with time codes, as on a disc
        (b"\0\0\1\xba", MPEG2MPML, "mpeg"),
        (b"\0\0\1\xb3", MPEG2MPML, "mpegvideo"),
        (b"\0\0\0\1\x67", MPEG4HP41, "h264"),
        (b"\0\0\0\1\x40", HEVCMP51, "hevc"),
        (b"\0\0\0\x18ftyp", HEVCMP51, "mov"),
        (b"\0\0\0\0\1\x67", MPEG4HP41, "h264"),  # Annex B: leading_zero_8bits
    ],
)
def test_signatures(start: bytes, syntax: UID, container: str) -> None:
    assert container_of(start, syntax) == container
