"""Frames in fragments: with a table, with a wrong one, without any."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset
from pydicom.encaps import generate_frames
from pydicom.uid import JPEGLSLossless, RLELossless

from dicom_node.decode import read_instance
from dicom_node.encapsulated import STARTS, find_frames, read_frame
from dicom_node.errors import InstanceRefused
from inference.domain import Reason
from tests.ultrasound import save, us_multiframe

CINE = np.random.default_rng(6).integers(0, 256, (3, 20, 30), dtype=np.uint8)
FRAMES = [STARTS[0] + bytes([n]) * 21 for n in range(3)]


def item(value: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<L", len(value)) + value


def encapsulated(fragments: Sequence[bytes], table: Sequence[int] = ()) -> bytes:
    parts = [item(struct.pack(f"<{len(table)}L", *table)), *map(item, fragments)]
    return b"".join(parts) + b"\xfe\xff\xdd\xe0\0\0\0\0"


def found(data: bytes, frames: int) -> list[bytes]:
    stream = io.BytesIO(data)
    return [read_frame(stream, spans, 1000) for spans in find_frames(stream, 0, len(data), frames)]


def refusal(data: bytes, frames: int) -> Reason:
    with pytest.raises(InstanceRefused) as caught:
        found(data, frames)
    return caught.value.reason


def in_pieces(frames: Sequence[bytes], size: int = 8) -> list[bytes]:
    return [frame[i : i + size] for frame in frames for i in range(0, len(frame), size)]


@pytest.mark.parametrize("table", [(), (0, 32, 64), (0, 0, 0), (0, 64, 32), (8, 40, 72), (0,), (0, 7, 9)])
def test_one_fragment_for_each_frame_needs_no_table(table: tuple[int, ...]) -> None:
    assert found(encapsulated(FRAMES, table), 3) == FRAMES


@pytest.mark.parametrize("table", [(), (0, 48, 96), (0, 0, 0), (0, 50, 96), (0, 0xFFFFFFF0, 0xFFFFFFF8)])
def test_several_fragments_for_each_frame(table: tuple[int, ...]) -> None:
    assert found(encapsulated(in_pieces(FRAMES), table), 3) == FRAMES


@pytest.mark.parametrize("table", [b"\1", b"\1\2\3", b"\0\0\0\0\1"])
def test_a_table_that_is_not_one(table: bytes) -> None:
    data = item(table) + encapsulated(in_pieces(FRAMES))[8:]
    assert found(data, 3) == FRAMES


def test_only_the_table_tells_frames_apart_that_have_no_mark() -> None:
    frames = [bytes([n]) * 24 for n in range(3)]
    assert found(encapsulated(in_pieces(frames), (0, 48, 96)), 3) == frames
    assert refusal(encapsulated(in_pieces(frames)), 3) is Reason.PIXELS_UNDECODABLE
    assert refusal(encapsulated(in_pieces(frames), (0, 0, 0)), 3) is Reason.PIXELS_UNDECODABLE


def test_all_fragments_are_the_only_frame() -> None:
    for frame in (FRAMES[0], bytes(24)):
        assert found(encapsulated(in_pieces([frame])), 1) == [frame]


def test_frames_beyond_the_declared_ones_are_not_looked_at() -> None:
    assert found(encapsulated(FRAMES), 2) == FRAMES[:2]
    assert found(encapsulated(in_pieces(FRAMES), (0, 48, 96)), 1) == FRAMES[:1]


def test_too_few_and_too_long() -> None:
    assert refusal(encapsulated(FRAMES), 4) is Reason.TRUNCATED
    assert refusal(encapsulated([*FRAMES[:2], bytes(1002)]), 3) is Reason.BAD_PIXEL_DESCRIPTION


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
@pytest.mark.parametrize("table", [(0, 0, 0), (0, 4, 8), ()])
def test_a_cine_whose_offset_table_is_wrong(syntax: str, table: tuple[int, ...], tmp_path: Path) -> None:
    dataset: FileDataset = us_multiframe(CINE)
    dataset.compress(syntax, generate_instance_uid=False)
    dataset.PixelData = encapsulated(list(generate_frames(dataset.PixelData, number_of_frames=3)), table)
    dataset["PixelData"].is_undefined_length = True
    decoded = read_instance(save(dataset, tmp_path / "a.dcm"))
    for number in (3, 1, 2):
        np.testing.assert_array_equal(decoded.display(number)[:, :, 0], CINE[number - 1])
