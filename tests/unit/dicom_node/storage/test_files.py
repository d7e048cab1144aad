"""Object files are whole or absent, private, and never overwritten."""

from __future__ import annotations

import errno
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dicom_node.errors import DiskFull, StorageUnavailable
from dicom_node.storage import files


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def every_file(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_written_file_is_whole_private_and_randomly_named(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir(mode=files.FOLDER_MODE)
    first = files.durable_write(tmp_path / "results", b"one")
    second = files.durable_write(tmp_path / "results", b"two")

    assert first.read_bytes() == b"one"
    assert second.read_bytes() == b"two"
    assert first.parent.parent == tmp_path / "results"
    assert first.name.startswith(first.parent.name)
    assert len(first.stem) == 32
    assert first != second
    assert mode(first) == 0o600
    assert mode(first.parent) == mode(tmp_path / "results") == 0o700


def test_rename_syncs_file_then_renames_then_syncs_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, str]] = []
    real_sync, real_rename = os.fsync, os.rename

    def fsync(descriptor: int) -> None:
        calls.append(("fsync", str(Path(f"/proc/self/fd/{descriptor}").readlink())))
        real_sync(descriptor)

    def rename(source: Path, target: Path) -> None:
        calls.append(("rename", str(target)))
        real_rename(source, target)

    part = tmp_path / "x.part"
    part.write_bytes(b"data")
    final = tmp_path / "objects" / "ab" / "abc.dcm"
    final.parent.parent.mkdir()
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)

    files.durable_rename(part, final)

    assert calls[0] == ("fsync", str(part))
    assert ("fsync", str(tmp_path / "objects")) in calls  # names ab/
    assert calls[-2:] == [("rename", str(final)), ("fsync", str(final.parent))]


def test_a_folder_made_by_another_process_is_synced_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "objects" / "ab"
    folder.mkdir(parents=True)
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
    )
    for name in ("one", "two"):
        (tmp_path / f"{name}.part").write_bytes(b"")
        files.durable_rename(tmp_path / f"{name}.part", folder / f"{name}.dcm")

    assert synced.count(str(folder.parent)) == 1


def test_what_the_folder_lies_in_is_not_made_anew(tmp_path: Path) -> None:
    """A share that is gone: what is written beneath its mount point is hidden when it comes back."""
    part = tmp_path / "x.part"
    part.write_bytes(b"data")
    for write in (
        lambda: files.open_part(tmp_path / "share" / "spool"),
        lambda: files.durable_write(tmp_path / "share" / "results", b"data"),
        lambda: files.durable_rename(part, tmp_path / "share" / "objects" / "ab" / "abc.dcm"),
    ):
        with pytest.raises(StorageUnavailable):
            write()

    assert [path.name for path in tmp_path.iterdir()] == ["x.part"]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    part, final = tmp_path / "x.part", tmp_path / "x.dcm"
    part.write_bytes(b"new")
    final.write_bytes(b"old")

    with pytest.raises(StorageUnavailable):
        files.durable_rename(part, final)

    assert final.read_bytes() == b"old"
    assert part.exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_is_disk_full(number: int) -> None:
    with pytest.raises(DiskFull), files.named_disk_errors():
        raise OSError(number, os.strerror(number), "/data/a path that must stay out")


def test_other_disk_errors_are_named_without_the_path() -> None:
    with pytest.raises(StorageUnavailable, match="Read-only file system") as raised, files.named_disk_errors():
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "/data/secret")
    assert "secret" not in str(raised.value)


def test_read_errors_are_named_without_the_path() -> None:
    with pytest.raises(StorageUnavailable, match="Input/output error") as raised, files.named_read_errors():
        raise OSError(errno.EIO, os.strerror(errno.EIO), "/data/secret")
    assert "secret" not in str(raised.value)


def test_a_missing_file_is_passing_trouble_and_a_complaint_of_a_library_is_not(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable), files.named_read_errors():
        (tmp_path / "gone").read_bytes()
    with pytest.raises(OSError, match="cannot identify"), files.named_read_errors():
        raise OSError("cannot identify image file")


def test_disk_full_leaves_no_half_file(tmp_path: Path) -> None:
    """A real file-size limit in a process of its own: write(2) fails with EFBIG in the middle."""
    script = (
        "import resource, pathlib, sys\n"
        "from dicom_node.storage.files import durable_write\n"
        "from dicom_node.errors import DiskFull\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (65536, {resource.RLIM_INFINITY}))\n"
        "try:\n    durable_write(pathlib.Path(sys.argv[1]), bytes(1 << 20))\n"
        "except DiskFull:\n    sys.exit(7)\n"
    )
    (tmp_path / "results").mkdir()
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "results")], check=False)

    assert done.returncode == 7
    assert every_file(tmp_path) == []


def test_a_failing_sync_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    folder = tmp_path / "results"
    folder.mkdir()
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageUnavailable):
        files.durable_write(folder, b"data")

    assert every_file(tmp_path) == []


def test_orphans_are_old_files_without_a_row(tmp_path: Path) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    old, young = (now - timedelta(hours=2)).timestamp(), now.timestamp()
    for name in files.ROOTS:
        (tmp_path / name).mkdir()
    known = files.durable_write(tmp_path / files.OBJECTS, b"known")
    lost = files.durable_write(tmp_path / files.RESULTS, b"lost")
    fresh = files.durable_write(tmp_path / files.OBJECTS, b"being committed")
    descriptor, part = files.open_part(tmp_path / files.SPOOL)
    os.close(descriptor)
    database = tmp_path / "node.sqlite3"
    database.write_bytes(b"")
    for path, when in ((known, old), (lost, old), (fresh, young), (part, old), (database, old)):
        os.utime(path, (when, when))
    rows = {known.relative_to(tmp_path).as_posix()}
    asked: list[str] = []

    def known_paths(paths: Sequence[str]) -> set[str]:
        asked.extend(paths)
        return rows & set(asked)

    found = files.orphans(tmp_path, known_paths, now - timedelta(hours=1))

    assert set(found) == {lost, part}
    assert fresh.relative_to(tmp_path).as_posix() not in asked
    assert files.sweep_orphans(tmp_path, known_paths, now - timedelta(hours=1)) == 2
    assert set(every_file(tmp_path)) == {known, fresh, database}


def test_orphans_of_a_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    assert files.orphans(tmp_path / "nothing", lambda paths: set(), datetime.now(UTC)) == ()


def test_the_names_of_one_folder_are_held_at_a_time(tmp_path: Path) -> None:
    """An installation has millions of files, and every receiver looks for orphans."""
    (tmp_path / files.OBJECTS).mkdir()
    stored = [files.durable_write(tmp_path / files.OBJECTS, b"object") for _ in range(40)]
    folders = {path.parent.name for path in stored}
    asked: list[set[str]] = []

    def known_paths(paths: Sequence[str]) -> set[str]:
        asked.append({Path(path).parent.name for path in paths})
        return set(paths)

    assert files.orphans(tmp_path, known_paths, datetime.now(UTC) + timedelta(hours=1)) == ()
    assert all(len(some) == 1 for some in asked)
    assert set().union(*asked) == folders
