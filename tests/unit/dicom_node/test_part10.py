"""What a header may ask for: small files that want much time, memory or disk are refused, and honest long ones read."""

from __future__ import annotations

import gc
import logging
import os
import struct
import time
import zlib
from io import FileIO
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_node import streams
from dicom_node.decode import read_instance
from dicom_node.errors import InstanceRefused, StorageUnavailable
from dicom_node.part10 import read_part10, untrusted
from dicom_node.storage.files import named_read_errors
from dicom_node.streams import InflatedFile
from inference.domain import Reason
from tests.memory import peak_below
from tests.ultrasound import save, us_image, us_multiframe, us_region

GREY = np.random.default_rng(4).integers(0, 256, (40, 50), dtype=np.uint8)
REGION = [us_region((0, 0, 49, 39), (0.02, 0.02))]
PATIENT_NAME = b"\x10\x00\x10\x00"
ITEM = b"\xfe\xff\x00\xe0\0\0\0\0"
REFERENCED_IMAGES = b"\x08\x00\x40\x11"
UNKNOWN_LENGTH, DELIMITER = b"\xff\xff\xff\xff", b"\xfe\xff\xdd\xe0\0\0\0\0"


def with_element(element: bytes, folder: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    """An ultrasound image with this element before Patient's Name."""
    dataset = us_image(GREY, REGION)
    dataset.file_meta.TransferSyntaxUID = syntax
    data = save(dataset, folder / "a.dcm").read_bytes()
    start = 144 + int.from_bytes(data[140:144], "little")
    body = zlib.decompress(data[start:], -zlib.MAX_WBITS) if syntax == DeflatedExplicitVRLittleEndian else data[start:]
    place = body.index(PATIENT_NAME)
    body = body[:place] + element + body[place:]
    if syntax == DeflatedExplicitVRLittleEndian:
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        body = packer.compress(body) + packer.flush()
    (folder / "a.dcm").write_bytes(data[:start] + body)
    return folder / "a.dcm"


def length(value: bytes) -> bytes:
    return len(value).to_bytes(4, "little")


def refused(path: Path) -> str:
    """The detail of a refusal as unreadable."""
    with pytest.raises(InstanceRefused) as caught:
        read_part10(path)
    assert caught.value.reason is Reason.UNREADABLE
    return str(caught.value)


ITEMS = ITEM * 500_000
NESTED = REFERENCED_IMAGES + b"SQ\0\0" + UNKNOWN_LENGTH + ITEM + DELIMITER
ELEMENTS = ITEM[:4] + length(NESTED * 50_000) + NESTED * 50_000


@pytest.mark.parametrize(
    "element",
    [
        REFERENCED_IMAGES + b"SQ\0\0" + length(ITEMS) + ITEMS,
        REFERENCED_IMAGES + b"SQ\0\0" + UNKNOWN_LENGTH + ITEMS + DELIMITER,
        REFERENCED_IMAGES + b"UN\0\0" + UNKNOWN_LENGTH + ITEMS + DELIMITER,
        REFERENCED_IMAGES + b"SQ\0\0" + length(ELEMENTS) + ELEMENTS,
        (REFERENCED_IMAGES + b"UN\0\0" + length(ITEM * 8000) + ITEM * 8000) * 6,
        b"\x09\x00\x01\x10SQ\0\0" + UNKNOWN_LENGTH + ITEMS + DELIMITER,
    ],
    ids=["known length", "unknown length", "UN", "nested", "short UN", "private"],
)
def test_too_many_items(element: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAXIMUM_READS", 20_000)
    if element.count(ITEM) == 48_000:  # the library keeps the last of elements with one tag
        parts = [element[: len(element) // 6].replace(REFERENCED_IMAGES, tag) for tag in SIX_SEQUENCES]
        element = b"".join(parts)
    assert "too many elements" in refused(with_element(element, tmp_path))


def test_a_small_deflated_file_of_many_items_takes_little_time(tmp_path: Path) -> None:
    path = with_element(REFERENCED_IMAGES + b"SQ\0\0" + length(ITEMS) + ITEMS, tmp_path, DeflatedExplicitVRLittleEndian)
    assert path.stat().st_size < 20_000
    start = time.process_time()
    assert "too many elements" in refused(path)
    assert time.process_time() - start < 8


SIX_SEQUENCES = (
    b"\x08\x00\x10\x11",
    b"\x08\x00\x11\x11",
    b"\x08\x00\x15\x11",
    b"\x08\x00\x20\x11",
    b"\x08\x00\x25\x11",
    b"\x08\x00\x40\x11",
)


def test_a_header_of_many_items_that_is_honest(tmp_path: Path) -> None:
    items = ITEM * 20_000
    header = read_part10(with_element(REFERENCED_IMAGES + b"SQ\0\0" + length(items) + items, tmp_path)).header
    assert len(header.ReferencedImageSequence) == 20_000


def test_many_references_to_other_images(tmp_path: Path) -> None:
    reference = b"\x08\x00\x50\x11UI\x08\x001.2.3.45\x08\x00\x55\x11UI\x08\x001.2.3.67"
    items = (ITEM[:4] + length(reference) + reference) * 12_000
    header = read_part10(with_element(REFERENCED_IMAGES + b"SQ\0\0" + length(items) + items, tmp_path)).header
    assert len(header.ReferencedImageSequence) == 12_000
    assert header.ReferencedImageSequence[-1].ReferencedSOPInstanceUID == "1.2.3.67"


def test_many_small_private_attributes(tmp_path: Path) -> None:
    tags = (struct.pack("<HH", 9, 0x1000 + n) for n in range(45_000))
    header = read_part10(with_element(b"".join(tag + b"UL\x04\0\1\0\0\0" for tag in tags), tmp_path)).header
    assert not any(element.tag.is_private for element in header)


def test_long_private_attributes_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAXIMUM_HEADER_BYTES", 1 << 20)
    tags = (struct.pack("<HH", 9, 0x1000 + n) for n in range(4))
    value = bytes(900_000)
    read_part10(with_element(b"".join(tag + b"OB\0\0" + length(value) + value for tag in tags), tmp_path))


@pytest.mark.parametrize(
    ("element", "detail"),
    [
        (b"\x18\x00\x65\x10" + length(b"1\\" * 1_000_000) + b"1\\" * 1_000_000, "too many values"),
        (b"\x08\x00\x08\x00" + length(b"A\\" * 400_000) + b"A\\" * 400_000, "too many values"),
        (b"\x08\x00\x80\x10" + length(b"\x1b$" * 400_000) + b"\x1b$" * 400_000, "too many values"),
        (b"\x08\x00\x81\x00" + length(b"A" * 5_000_000) + b"A" * 5_000_000, "too long"),
        (b"\x18\x00\x60\x60" + length(bytes(2_000_000)) + bytes(2_000_000), "too many values"),
        (b"\x08\x00\x05\x00" + length(b"A\\" * 1000) + b"A\\" * 1000, "Specific Character Set"),
    ],
    ids=["frame times", "image types", "escapes", "text", "binary numbers", "character sets"],
)
def test_too_many_values(element: bytes, detail: str, tmp_path: Path) -> None:
    assert detail in refused(with_element(element, tmp_path, ImplicitVRLittleEndian))


def test_the_times_of_a_long_cine_are_read(tmp_path: Path) -> None:
    times = b"\\".join([b"0", *[b"33.333333"] * 99_999])
    element = b"\x18\x00\x65\x10" + length(times) + times
    assert len(read_part10(with_element(element, tmp_path, ImplicitVRLittleEndian)).header.FrameTimeVector) == 100_000


def test_private_attributes_are_not_read(tmp_path: Path) -> None:
    """Some machines keep a volume of hundreds of megabytes in one."""
    path = with_element(b"\x09\x00\x01\x10OB\0\0" + length(bytes(64 << 20)) + bytes(64 << 20), tmp_path)
    with peak_below(20_000_000):
        decoded = read_instance(path)
    np.testing.assert_array_equal(decoded.display(1)[:, :, 0], GREY)
    assert not any(element.tag.is_private for element in decoded.header)


def test_long_attributes_of_the_standard_are_read(tmp_path: Path) -> None:
    document = os.urandom(3 << 20)
    dataset = us_image(GREY, REGION, EncapsulatedDocument=document)
    assert read_part10(save(dataset, tmp_path / "a.dcm")).header.EncapsulatedDocument == document


def test_threads_leave_the_library_as_it_was() -> None:
    def enter(seconds: float) -> None:
        with untrusted(Reason.UNREADABLE, "nothing"):
            time.sleep(seconds)

    first, second = Thread(target=enter, args=(0.1,)), Thread(target=enter, args=(0.3,))
    first.start()
    time.sleep(0.05)
    second.start()
    first.join()
    second.join()
    assert logging.getLogger("pydicom").propagate


class TestDeflated:
    @staticmethod
    def cine(frames: int, folder: Path) -> Path:
        dataset = us_multiframe(np.stack([GREY] * frames), REGION)
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        return save(dataset, folder / "a.dcm")

    def test_beyond_the_old_limit_in_little_memory(self, tmp_path: Path) -> None:
        side = 4000
        frames = np.zeros((12, side, 2000), np.uint8)  # 96 MB
        frames[-1, :40, :50] = GREY
        dataset = us_multiframe(frames, [us_region((0, 0, 1999, side - 1), (0.01, 0.01))])
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        path = save(dataset, tmp_path / "a.dcm")
        del frames, dataset
        with peak_below(10_000_000):
            file = read_part10(path)
        assert file.stream_size > 90_000_000
        np.testing.assert_array_equal(read_instance(path).display(12)[:40, :50, 0], GREY)

    def test_two_streams_have_a_position_each(self, tmp_path: Path) -> None:
        file = read_part10(self.cine(3, tmp_path))
        with file.open() as first, file.open() as second:
            assert first.read(100) == second.read(100)
            first.seek(0)
            assert (first.tell(), second.tell()) == (0, 100)

    def test_the_space_is_given_back(self, tmp_path: Path) -> None:
        def open_files() -> set[str]:
            folder = Path("/proc/self/fd")
            return {str(link.readlink()) for link in folder.iterdir() if link.is_symlink()}

        before = open_files()
        for _ in range(3):
            read_instance(self.cine(3, tmp_path)).display(2)
        gc.collect()
        assert {name for name in open_files() - before if "deleted" in name} == set()

    def test_a_bomb_stops_at_the_limit(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(streams, "MAXIMUM_INFLATED_BYTES", 4000)
        with pytest.raises(InstanceRefused) as caught:
            read_part10(self.cine(3, tmp_path))
        assert caught.value.reason is Reason.BAD_PIXEL_DESCRIPTION

    @pytest.mark.parametrize("over", [0, 1, 5, 100, 195, 257, 258, 300])
    def test_the_last_bytes_come_out_when_nothing_more_goes_in(self, over: int, tmp_path: Path) -> None:
        """Zlib takes the whole of a run of zeros before it has given all of it, where a piece is full."""
        content = bytes(streams.PIECE_BYTES + over)
        packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        path = tmp_path / "a.deflated"
        path.write_bytes(packer.compress(content) + packer.flush())
        assert InflatedFile(path, 0).open().read() == content

    @pytest.mark.parametrize("folder", ["full", "missing"])
    def test_a_temporary_folder_that_takes_nothing(
        self, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def temporary_file(**_: object) -> FileIO:
            return FileIO("/dev/full" if folder == "full" else tmp_path / "none" / "file", "r+")

        monkeypatch.setattr(streams.tempfile, "TemporaryFile", temporary_file)
        path = self.cine(3, tmp_path)
        with pytest.raises(OSError, match="the temporary folder cannot be written: No s"):
            read_part10(path)
        with pytest.raises(StorageUnavailable, match="The temporary folder cannot be written"), named_read_errors():
            read_part10(path)

    def test_a_stream_that_breaks_off_is_truncated(self, tmp_path: Path) -> None:
        path = self.cine(3, tmp_path)
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(InstanceRefused) as caught:
            read_part10(path)
        assert caught.value.reason is Reason.TRUNCATED

    def test_a_large_file_that_only_says_deflated_is_not_read_whole(self, tmp_path: Path) -> None:
        path = self.cine(3, tmp_path)
        data = path.read_bytes()
        path.write_bytes(data[: 144 + int.from_bytes(data[140:144], "little")])
        os.truncate(path, 300_000_000)
        with peak_below(10_000_000):
            assert "damaged" in refused(path)
