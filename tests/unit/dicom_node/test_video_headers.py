"""Headers of a coded video: written here bit by bit, as the Recommendations say, and read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node.errors import InstanceRefused
from dicom_node.video_headers import H264Format, VideoHeaders, h264_format, is_progressive_source
from inference.domain import Reason

START = b"\0\0\1"


def unsigned(number: int) -> str:
    """Exp-Golomb, H.264 9.1."""
    bits = f"{number + 1:b}"
    return "0" * (len(bits) - 1) + bits


def signed(number: int) -> str:
    return unsigned(2 * number - 1 if number > 0 else -2 * number)


def fixed(width: int, *numbers: int) -> str:
    return "".join(f"{number:0{width}b}" for number in numbers)


@st.composite
def formats(draw: st.DrawFn) -> H264Format:
    number, byte = st.integers(0, 100), st.integers(0, 255)
    chroma = draw(st.integers(0, 3))
    aspects = st.one_of(
        st.just(()),
        st.tuples(st.integers(0, 254)),
        st.tuples(st.just(255), st.integers(0, 65535), st.integers(0, 65535)),
    )
    return H264Format(
        chroma=(chroma, draw(st.integers(0, 1)) if chroma == 3 else 0, draw(st.integers(0, 6)), 2),
        size=(draw(number), draw(number)),
        frames_only=draw(st.booleans()),
        cropping=draw(st.one_of(st.just((0, 0, 0, 0)), st.tuples(number, number, number, number))),
        shape=draw(aspects),
        colours=draw(
            st.one_of(st.just(()), st.tuples(st.integers(0, 1)), st.tuples(st.integers(0, 1), byte, byte, byte))
        ),
    )


@st.composite
def parameter_sets(draw: st.DrawFn, said: H264Format) -> bytes:
    """A sequence parameter set of H.264 (7.3.2.1.1) that says this, and what it likes of all the rest."""
    small, flag = st.integers(0, 40), st.sampled_from("01")
    profile = draw(st.sampled_from([100, 110, 122, 244] if said.chroma != (1, 0, 0, 0) else [66, 77, 88]))
    bits = unsigned(draw(st.integers(0, 31)))
    if profile >= 100:
        bits += draw(chroma_formats(said.chroma))
    bits += unsigned(draw(small))
    order = draw(st.integers(0, 2))
    bits += unsigned(order)
    if order == 0:
        bits += unsigned(draw(small))
    elif order == 1:
        offsets = draw(st.lists(st.integers(-50, 50), max_size=5))
        bits += "1" + signed(-3) + signed(5) + unsigned(len(offsets)) + "".join(map(signed, offsets))
    bits += unsigned(draw(small)) + draw(flag) + "".join(map(unsigned, said.size))
    bits += ("1" if said.frames_only else "0" + draw(flag)) + draw(flag)
    bits += "1" + "".join(map(unsigned, said.cropping)) if any(said.cropping) else "0"
    bits += "1" + usability(said, "0" + draw(st.text("01", max_size=60)), draw(st.sampled_from(["0", "10", "11"])))
    bits += "1" + "0" * (-(len(bits) + 1) % 8)
    return bytes([0x67, profile, 0, draw(st.integers(10, 52))]) + int(bits, 2).to_bytes(len(bits) // 8, "big")


def usability(said: H264Format, times: str, overscan: str) -> str:
    """Video usability information, H.264 E.1.1; `times`: what follows the colours."""
    aspect = "1" + fixed(8, said.shape[0]) + fixed(16, *said.shape[1:]) if said.shape else "0"
    if not said.colours:
        return aspect + overscan + "0" + times
    full_range, *matrix = said.colours
    return aspect + overscan + "1101" + str(full_range) + ("1" + fixed(8, *matrix) if matrix else "0") + times


@st.composite
def chroma_formats(draw: st.DrawFn, said: tuple[int, ...]) -> str:
    chroma, separate, *depths = said
    bits = unsigned(chroma) + (str(separate) if chroma == 3 else "") + "".join(map(unsigned, depths)) + "0"
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


@given(formats(), st.data())
def test_what_an_h264_parameter_set_says(said: H264Format, data: st.DataObject) -> None:
    assert h264_format(data.draw(parameter_sets(said))) == said


def test_h264_without_usability_information() -> None:
    bits = "1" * 2 + unsigned(2) + unsigned(1) + "0" + unsigned(5) + unsigned(3) + "1100" + "1"
    bits += "0" * (-len(bits) % 8)
    data = bytes([0x67, 66, 0, 40]) + int(bits, 2).to_bytes(len(bits) // 8, "big")
    assert h264_format(data) == H264Format((1, 0, 0, 0), (5, 3), True, (0, 0, 0, 0), (), ())


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
