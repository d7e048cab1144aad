"""Headers of a coded video: written here bit by bit, as the Recommendations say, and read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.errors import InstanceRefused
from dicom_node.video_headers import VideoHeaders, is_frames_only, is_progressive_source
from inference.domain import Reason

START = b"\0\0\1"


def unsigned(number: int) -> str:
    """Exp-Golomb, H.264 9.1."""
    bits = f"{number + 1:b}"
    return "0" * (len(bits) - 1) + bits


def signed(number: int) -> str:
    return unsigned(2 * number - 1 if number > 0 else -2 * number)


@st.composite
def parameter_sets(draw: st.DrawFn) -> tuple[bytes, bool]:
    """A sequence parameter set of H.264 (7.3.2.1.1) as far as frame_mbs_only_flag, and that flag."""
    small = st.integers(0, 40)
    profile = draw(st.sampled_from([66, 77, 88, 100, 110, 122, 244]))
    bits = unsigned(draw(st.integers(0, 31)))
    if profile >= 100:
        bits += draw(chroma_formats())
    bits += unsigned(draw(small))
    order = draw(st.integers(0, 2))
    bits += unsigned(order)
    if order == 0:
        bits += unsigned(draw(small))
    elif order == 1:
        offsets = draw(st.lists(st.integers(-50, 50), max_size=5))
        bits += "1" + signed(-3) + signed(5) + unsigned(len(offsets)) + "".join(map(signed, offsets))
    frames_only = draw(st.booleans())
    bits += unsigned(draw(small)) + "0" + unsigned(draw(small)) + unsigned(draw(small)) + str(int(frames_only))
    bits += "1" + "0" * (-(len(bits) + 1) % 8)
    return bytes([0x67, profile, 0, 40]) + int(bits, 2).to_bytes(len(bits) // 8, "big"), frames_only


@st.composite
def chroma_formats(draw: st.DrawFn) -> str:
    chroma = draw(st.integers(0, 3))
    bits = unsigned(chroma) + ("1" if chroma == 3 else "") + unsigned(0) + unsigned(2) + "0"
    if not draw(st.booleans()):
        return bits + "0"
    bits += "1"
    for index in range(12 if chroma == 3 else 8):
        size = 16 if index < 6 else 64
        kind = draw(st.sampled_from(["absent", "default", "flat", "short"]))
        lists = {
            "absent": "0",
            "default": "1" + signed(-8),  # the next scale is 0 at once
            "flat": "1" + signed(8) + signed(0) * (size - 1),
            "short": "1" + signed(2) + signed(-10),
        }
        bits += lists[kind]
    return bits


@given(parameter_sets())
def test_whether_an_h264_video_has_frames_only(case: tuple[bytes, bool]) -> None:
    data, frames_only = case
    assert is_frames_only(data) is frames_only


@given(st.binary(max_size=40))
def test_damaged_headers_are_refused_or_give_a_value_error(data: bytes) -> None:
    for tag, start in ((b"h264", b"\x67"), (b"hevc", b"\x42\x01"), (b"mpg2", b"\xb3"), (b"mpg2", b"\xb5")):
        try:
            VideoHeaders(tag).take(memoryview(START + start + data))
        except (InstanceRefused, IndexError, ValueError):
            continue


@pytest.mark.parametrize(
    ("flags", "progressive"), [(0b1001_0000, True), (0b0100_0000, False), (0b1100_0000, True), (0b0000_0000, True)]
)
def test_whether_the_source_of_an_hevc_video_was_progressive(flags: int, progressive: bool) -> None:
    assert is_progressive_source(b"\x42\x01\x01\x01\x60\0\0\0" + bytes([flags])) is progressive


def sequence(size: bytes = b"\x1f\x41\x90\x13", *, progressive: bool, rest: bytes = b"\xff\xff\xf5\xb0") -> bytes:
    """A sequence header and its extension, H.262 6.2.2."""
    flags = 0x4A if progressive else 0x42
    return START + b"\xb3" + size + rest + START + b"\xb5" + bytes([0x14, flags, 0, 1, 0, 0])


def picture(*, progressive: bool) -> bytes:
    coding = START + b"\xb5" + bytes([0x8F, 0xFF, 0xF3, 0x41, 0x80 if progressive else 0])
    return START + b"\0\0\x0f\xff\xf8" + coding + START + b"\x01\x22slice"


def take(headers: VideoHeaders, packet: bytes) -> None:
    headers.take(memoryview(packet))


class TestMpeg2:
    def test_progressive_frames(self) -> None:
        headers = VideoHeaders(b"mpg2")
        take(headers, sequence(progressive=False) + picture(progressive=True))
        take(headers, picture(progressive=True))

    def test_one_interlaced_frame_later_on(self) -> None:
        headers = VideoHeaders(b"mpg2")
        take(headers, sequence(progressive=False) + picture(progressive=True))
        with pytest.raises(InstanceRefused, match="interlaced"):
            take(headers, picture(progressive=False))

    def test_a_progressive_sequence_has_no_interlaced_frames(self) -> None:
        take(VideoHeaders(b"mpg2"), sequence(progressive=True) + picture(progressive=False))

    def test_bit_rates_may_change_and_shapes_may_not(self) -> None:
        headers = VideoHeaders(b"mpg2")
        take(headers, sequence(progressive=True) + picture(progressive=True))
        take(headers, sequence(progressive=True, rest=b"\x01\x02\x03\x04") + picture(progressive=True))
        with pytest.raises(InstanceRefused) as caught:
            take(headers, sequence(b"\x1f\x41\x90\x23", progressive=True))
        assert caught.value.reason is Reason.BAD_PIXEL_DESCRIPTION

    def test_a_picture_before_any_format(self) -> None:
        with pytest.raises(InstanceRefused) as caught:
            take(VideoHeaders(b"mpg2"), START + b"\0\0\x0f\xff\xf8")
        assert caught.value.reason is Reason.PIXELS_UNDECODABLE
