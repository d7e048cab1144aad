"""The file that a data set streams into: right bytes, right hash, and no exception whatever the disk does."""

from __future__ import annotations

import errno
import gc
import hashlib
import io
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom.dsutils import create_file_meta

from dicom_node.errors import DiskFull, StorageUnavailable
from dicom_node.receive import spool
from dicom_node.receive.spool import Identity, Sender, Spool, SpoolFile, own_folder
from sr_templates.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

MEGABYTE = 1024 * 1024


def file_start() -> bytes:
    """Preamble, prefix and file meta information as pynetdicom writes them."""
    buffer = io.BytesIO()
    meta = create_file_meta(
        sop_class_uid=UID("1.2.3"), sop_instance_uid=UID("1.2.3.4"), transfer_syntax=ExplicitVRLittleEndian
    )
    write_file_meta_info(buffer, meta)
    return bytes(128) + b"DICM" + buffer.getvalue()


@pytest.mark.parametrize(("uid", "title"), [("1.2.3", "SCANNER"), ("1.2.34", "SCANNER1")])
def test_the_file_begins_as_the_library_would_begin_it(tmp_path: Path, uid: str, title: str) -> None:
    buffer = io.BytesIO()
    meta = create_file_meta(
        sop_class_uid=UID(f"{uid}.1"),
        sop_instance_uid=UID(uid),
        transfer_syntax=ExplicitVRLittleEndian,
        implementation_uid=IMPLEMENTATION_CLASS_UID,
        implementation_version=IMPLEMENTATION_VERSION_NAME,
    )
    meta.SourceApplicationEntityTitle = title
    meta.ReceivingApplicationEntityTitle = "FETALHC"
    meta.SourcePresentationAddress = "dicom://[2001:db8::1]"
    write_file_meta_info(buffer, meta)
    part = Spool(tmp_path, 0).open_part()

    part.begin(Identity(f"{uid}.1", uid, ExplicitVRLittleEndian), Sender(title, "FETALHC", "dicom://[2001:db8::1]"))
    part.write(b"data set")
    part.close()

    assert part.path.read_bytes() == bytes(128) + b"DICM" + buffer.getvalue() + b"data set"
    assert part.sha256 == hashlib.sha256(b"data set").hexdigest()
    part.discard()


def write_refusal(code: int) -> object:
    def refuse(_descriptor: int, _data: object) -> int:
        raise OSError(code, os.strerror(code))

    return refuse


@pytest.mark.parametrize("stride", [spool._WRITE_BACK_STRIDE, 300])
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(dataset=st.binary(min_size=1, max_size=5000), pieces=st.lists(st.integers(1, 900), max_size=30))
def test_bytes_and_hash_do_not_depend_on_how_they_arrive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stride: int, dataset: bytes, pieces: list[int]
) -> None:
    """Nor on the thread that hashes them."""
    monkeypatch.setattr(spool, "_WRITE_BACK_STRIDE", stride)
    start = file_start()
    whole = io.BytesIO(start + dataset)
    part = Spool(tmp_path, 0).open_part()

    for size in pieces:
        part.write(whole.read(size))
    part.write(whole.read())
    part.file.flush()
    part.close()

    assert part.error is None
    assert part.path.read_bytes() == start + dataset
    assert part.size_bytes == len(start + dataset)
    assert part.dataset_offset == len(start)
    assert part.sha256 == hashlib.sha256(dataset).hexdigest()
    part.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_part_is_for_its_owner_only(tmp_path: Path) -> None:
    part = Spool(tmp_path, 0).open_part()

    assert stat.S_IMODE(part.path.stat().st_mode) == 0o600
    assert part.path.suffix == ".part"
    part.discard()


@pytest.mark.parametrize(
    ("code", "kind"),
    [(errno.ENOSPC, DiskFull), (errno.EFBIG, DiskFull), (errno.EDQUOT, DiskFull), (errno.EIO, StorageUnavailable)],
)
def test_a_failed_write_is_remembered_and_frees_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception]
) -> None:
    part = Spool(tmp_path, 0).open_part()
    part.write(b"before")
    with monkeypatch.context() as broken:
        broken.setattr("dicom_node.receive.spool.os.write", write_refusal(code))
        assert part.write(b"x" * 100) == 100

    assert isinstance(part.error, kind)
    assert list(tmp_path.iterdir()) == []
    assert part.write(b"more") == 4
    part.flush()
    part.close()
    assert list(tmp_path.iterdir()) == []


def test_a_short_write_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr("dicom_node.receive.spool.os.write", lambda fd, data: real(fd, data[:7]))
    part = Spool(tmp_path, 0).open_part()

    part.write(b"0123456789" * 10)
    part.close()

    assert part.path.read_bytes() == b"0123456789" * 10
    part.discard()


def hashing() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "digest"]


def nothing_is_hashed() -> None:
    """Any more, also of what other tests have left."""
    gc.collect()
    for thread in hashing():
        thread.join(30)
    assert not hashing()


@pytest.mark.parametrize("end", ["closed", "discarded", "forgotten"])
def test_a_large_object_leaves_neither_thread_nor_descriptor(tmp_path: Path, end: str) -> None:
    nothing_is_hashed()
    before = len(list(Path("/proc/self/fd").iterdir()))
    part: SpoolFile | None = Spool(tmp_path, 0).open_part()
    assert part is not None
    for piece in (file_start(), bytes(9 * MEGABYTE), bytes(MEGABYTE)):
        part.write(piece)
    assert hashing()
    if end == "closed":
        part.close()
        assert part.sha256 == hashlib.sha256(bytes(10 * MEGABYTE)).hexdigest()
    elif end == "discarded":
        part.discard()
    part = None
    nothing_is_hashed()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_large_object_without_a_thread_to_spare_is_hashed_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(spool, "HashedAside", none_left)
    part = Spool(tmp_path, 0).open_part()
    for piece in (file_start(), bytes(9 * MEGABYTE), bytes(MEGABYTE)):
        part.write(piece)
    part.close()
    assert (part.error, part.sha256) == (None, hashlib.sha256(bytes(10 * MEGABYTE)).hexdigest())


def test_a_large_object_that_cannot_be_read_again_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pread", broken)
    part = Spool(tmp_path, 0).open_part()
    for piece in (file_start(), bytes(9 * MEGABYTE), bytes(MEGABYTE)):
        part.write(piece)
    part.close()
    assert isinstance(part.error, StorageUnavailable)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("refuses", [False, True])
def test_what_was_written_of_a_large_object_begins_to_go_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses: bool
) -> None:
    asked: list[tuple[int, int]] = []

    def advise(_descriptor: int, begin: int, length: int, _advice: int) -> None:
        asked.append((begin, begin + length))
        if refuses:
            raise OSError(errno.EINVAL, "no")

    monkeypatch.setattr(os, "posix_fadvise", advise)
    data = os.urandom(1 << 20)
    part = Spool(tmp_path, 0).open_part()
    for _ in range(10):
        part.write(data)
    part.close()
    assert asked == [(0, 4 << 20), (4 << 20, 8 << 20)]
    assert part.error is None
    assert part.path.read_bytes() == 10 * data


def test_below_the_reserve_nothing_is_begun(tmp_path: Path) -> None:
    part = Spool(tmp_path, minimum_free_bytes=1 << 62).open_part()

    assert isinstance(part.error, DiskFull)
    assert part.write(b"abc") == 3
    part.close()
    part.discard()
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_eats_into_the_reserve_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = [1000 * MEGABYTE]
    usage = type("Usage", (), {"free": property(lambda _: free[0])})
    monkeypatch.setattr("dicom_node.receive.spool.shutil.disk_usage", lambda _: usage())
    part = Spool(tmp_path, minimum_free_bytes=500 * MEGABYTE).open_part()

    part.write(bytes(10 * MEGABYTE))
    assert part.error is None
    free[0] = 100 * MEGABYTE
    part.write(bytes(10 * MEGABYTE))

    assert isinstance(part.error, DiskFull)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_remembered_too(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file where a folder should be")

    part = Spool(tmp_path / "spool", 0).open_part()

    assert isinstance(part.error, StorageUnavailable)
    part.discard()


def test_a_forgotten_part_leaves_neither_file_nor_descriptor(tmp_path: Path) -> None:
    nothing_is_hashed()
    before = len(list(Path("/proc/self/fd").iterdir()))
    part = Spool(tmp_path, 0).open_part()
    part.write(b"half of an object")
    del part
    gc.collect()

    assert list(tmp_path.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_discarding_does_not_touch_the_file_that_was_moved_to_its_place(tmp_path: Path) -> None:
    part = Spool(tmp_path, 0).open_part()
    part.write(b"whole")
    part.close()
    final = part.path.rename(tmp_path / "final.dcm")

    part.discard()

    assert final.read_bytes() == b"whole"


def test_a_receiver_sweeps_what_ended_ones_of_its_machine_left_and_nothing_else(tmp_path: Path) -> None:
    ours, theirs = f"{spool._host()}.{'0' * 32}", f"other-machine.{'0' * 32}"
    for left in (ours, theirs):
        (tmp_path / left).mkdir()
        (tmp_path / left / "a.part").write_bytes(b"left by a crash")
    with own_folder(tmp_path) as running:
        part = Spool(running, 0).open_part()
        part.write(b"coming in")
        with own_folder(tmp_path) as second:
            assert second != running
            assert part.path.exists()
        assert not (tmp_path / ours).exists()
        assert (tmp_path / theirs / "a.part").exists()
        part.discard()
    assert [path.name for path in tmp_path.iterdir()] == [theirs]


def test_receivers_that_start_at_once_have_a_folder_each(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def take(_number: int) -> Path:
        together.wait(30)
        with own_folder(tmp_path) as folder:
            assert (folder / spool.LOCK).exists()
            together.wait(30)
        return folder

    with ThreadPoolExecutor(8) as receivers:
        assert len(set(receivers.map(take, range(8)))) == 8
    assert list(tmp_path.iterdir()) == []
