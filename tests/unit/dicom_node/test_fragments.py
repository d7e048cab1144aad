from __future__ import annotations

import io
import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_node import fragments
from dicom_node.errors import InstanceRefused
from dicom_node.fragments import FragmentStream, find_fragments
from inference.domain import Reason

HEAD = b"header of the file"
END = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


def item(value: bytes) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(value)) + value


def encapsulated(values: Sequence[bytes], table: bytes = b"") -> bytes:
    return HEAD + item(table) + b"".join(map(item, values)) + END


def stream_of(data: bytes) -> FragmentStream:
    return FragmentStream(lambda: io.BytesIO(data), find_fragments(io.BytesIO(data), len(HEAD), len(data)))


def refusal(data: bytes) -> Reason:
    with pytest.raises(InstanceRefused) as caught:
        find_fragments(io.BytesIO(data), len(HEAD), len(data))
    return caught.value.reason


def test_the_offset_table_is_no_fragment() -> None:
    assert stream_of(encapsulated([b"one", b"", b"three"], table=b"\0\0\0\0")).read() == b"onethree"
    assert stream_of(encapsulated([])).read() == b""


def test_what_ends_too_early_and_what_is_no_item() -> None:
    whole = encapsulated([b"fragment"])
    assert refusal(whole[:-1]) is Reason.TRUNCATED
    assert refusal(whole[:-12]) is Reason.TRUNCATED
    assert refusal(whole.replace(END, b"\x08\0\x10\0" * 2)) is Reason.UNREADABLE


def test_more_fragments_than_any_cine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fragments, "MAXIMUM_FRAGMENTS", 3)
    assert stream_of(encapsulated([b"x"] * 3)).size == 3
    assert refusal(encapsulated([b"x"] * 4)) is Reason.UNREADABLE


Step = tuple[str, int, int]
steps = st.lists(
    st.tuples(st.sampled_from(["read", "seek"]), st.integers(-30, 60), st.sampled_from([0, 1, 2])), max_size=12
)


@given(values=st.lists(st.binary(max_size=30), max_size=6), piece=st.integers(1, 40), steps=steps)
def test_reads_and_seeks_like_one_file_in_memory(values: list[bytes], piece: int, steps: list[Step]) -> None:
    whole = io.BytesIO(b"".join(values))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fragments, "PIECE_BYTES", piece)
        stream = stream_of(encapsulated(values))
        for what, count, whence in steps:
            if what == "read":
                assert stream.read(count) == whole.read(count)
            else:
                place = max(0, (0, whole.tell(), stream.size)[whence] + count)
                assert stream.seek(count, whence) == whole.seek(place)
            assert stream.tell() == whole.tell()


def test_a_file_that_fails_ends_and_says_why() -> None:
    """An exception would crash the reader in C."""
    data = encapsulated([b"fragment"])
    spans = find_fragments(io.BytesIO(data), len(HEAD), len(data))
    for failure in (OSError(5, "Input/output error"), KeyboardInterrupt()):

        def gone(error: BaseException = failure) -> io.BytesIO:
            raise error

        stream = FragmentStream(gone, spans)
        assert stream.read() == b""
        assert stream.failure is failure
    shorter = FragmentStream(lambda: io.BytesIO(HEAD), spans)
    assert shorter.read() == b""
    assert "became shorter" in str(shorter.failure)
