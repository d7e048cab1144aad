"""Object files: whole and on the disk, or not there at all.

A file is first written under a name that nothing looks for, synced, renamed, and then its directory is synced, so that
a power cut leaves either the whole file or none (the order of rename(2) and fsync(2): the name is durable only once the
directory is). Names are random: no UID and no patient data ever becomes a path.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from dicom_node.errors import DiskFull, NodeError, StorageUnavailable, TemporaryFolderUnwritable

FILE_MODE = 0o600
FOLDER_MODE = 0o700
SPOOL = "spool"
OBJECTS = "objects"
RESULTS = "results"
ROOTS = (SPOOL, OBJECTS, RESULTS)
"""Of the data folder: made when a role of the node starts, and only then."""
UNKNOWN = "unknown"
"""Objects without a row, out of the way: a database that went back (restored, or a standby of a moment ago) knows
nothing of what was acknowledged since, so no node deletes them."""

PART_SUFFIX = ".part"
OBJECT_SUFFIX = ".dcm"

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_ROWS_AT_ONCE = 500

_names_synced: set[Path] = set()

KnownPaths = Callable[[Sequence[str]], set[str]]
"""Which of these paths, relative to the data folder, have a row."""


@contextmanager
def named_read_errors() -> Iterator[None]:
    """Raises StorageUnavailable instead of what the file system says while a stored file is read.

    What is deflated is read by way of the temporary folder, which may be full. A file that is not there is passing
    trouble too: nobody but the sweep deletes them, but a share may be away.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:  # a library's own complaint about the content
            raise
        if isinstance(error, TemporaryFolderUnwritable):
            raise StorageUnavailable(f"The temporary folder cannot be written ({os.strerror(error.errno)}).") from error
        raise StorageUnavailable(f"The file system does not let us read ({os.strerror(error.errno)}).") from error


@contextmanager
def named_disk_errors() -> Iterator[None]:
    """Raises DiskFull (no room, quota, file-size limit) or StorageUnavailable instead of OSError."""
    try:
        yield
    except OSError as error:
        raise disk_error(error) from error


def disk_error(error: OSError) -> NodeError:
    """The node's name for what the file system said; paths are left out of the message."""
    if error.errno in _NO_ROOM:
        return DiskFull()
    return StorageUnavailable(f"The file system does not let us write ({error.strerror or type(error).__name__}).")


def random_path(folder: Path, suffix: str = OBJECT_SUFFIX) -> Path:
    """A name nothing has yet: `folder`/ab/<32 hex digits><suffix>, spread over 256 folders. Creates nothing."""
    name = uuid.uuid4().hex
    return folder / name[:2] / f"{name}{suffix}"


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents, 0700, each durable in its own parent.

    Raises:
        DiskFull, StorageUnavailable: it cannot be created.
    """
    with named_disk_errors():
        _make_folder(folder)


def open_part(folder: Path) -> tuple[int, Path]:
    """Open a new `.part` file (0600) in `folder` for writing; the caller owns the descriptor.

    `folder` is created if it is missing, what it lies in is not: a share that went away would be written to beneath its
    mount point, and hide what was acknowledged when it comes back.

    Raises:
        DiskFull, StorageUnavailable: it cannot be created.
    """
    with named_disk_errors():
        _make_last_folder(folder)
        part = folder / f"{uuid.uuid4().hex}{PART_SUFFIX}"
        return os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE), part


def durable_write(folder: Path, data: bytes, suffix: str = OBJECT_SUFFIX) -> Path:
    """Write `data` under a random name below `folder`; when this returns, a power cut cannot take it away.

    `folder` is there already, see `open_part`.

    Raises:
        DiskFull, StorageUnavailable: nothing was written, and no half file is left.
    """
    final = random_path(folder, suffix)
    descriptor, part = open_part(final.parent)
    try:
        with named_disk_errors(), os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        durable_rename(part, final)
    except BaseException:
        part.unlink(missing_ok=True)
        final.unlink(missing_ok=True)
        raise
    return final


def durable_rename(part: Path, final: Path, *, replacing: bool = False) -> None:
    """Move a written file to its place: fsync the file, rename it, fsync the directory that now names it.

    The folder of `final` is created (0700) and synced if it is missing, see `open_part`. Nothing is overwritten,
    unless `replacing` a damaged file.

    Raises:
        DiskFull, StorageUnavailable: the file may lie under either name; without a row it is an orphan.
    """
    with named_disk_errors():
        sync(part)
        _make_last_folder(final.parent)
        _sync_name_once(final.parent)
        if not replacing and os.path.lexists(final):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        os.rename(part, final)  # noqa: PTH104  one system call of this name is what the durability test looks for
        sync(final.parent)


def orphans(data_dir: Path, known_paths: KnownPaths, older_than: datetime) -> tuple[Path, ...]:
    """Files that no row knows and that were last written before `older_than` (aware): what a crash left behind.

    A `.part` file never has a row; any other file below objects/ and results/ is asked for in `known_paths`, after it
    was seen, so that a commit in between is noticed. One folder at a time: all names together can be more than memory.
    """
    limit = older_than.timestamp()
    found: list[Path] = []
    for name in ROOTS:
        for folder in _folders(data_dir / name):
            old = [path for path in folder if _written_at(path) < limit]
            found += (path for path in old if path.suffix == PART_SUFFIX)
            whole = [path for path in old if path.suffix == OBJECT_SUFFIX]
            found += _without_row(data_dir, whole, known_paths)
    return tuple(found)


def sweep_orphans(data_dir: Path, known_paths: KnownPaths, older_than: datetime) -> int:
    """Clear the orphans away; returns how many there were."""
    found = orphans(data_dir, known_paths, older_than)
    for path in found:
        clear_away(data_dir, path)
    return len(found)


def clear_away(data_dir: Path, orphan: Path) -> bool:
    """Delete an orphan, or set it aside in unknown/ if it is a whole object; True where it was set aside.

    Raises:
        DiskFull, StorageUnavailable: it stays where it is.
    """
    if orphan.suffix == PART_SUFFIX or not orphan.is_relative_to(data_dir / OBJECTS):
        with named_disk_errors():
            orphan.unlink(missing_ok=True)
        return False
    _move(orphan, data_dir / UNKNOWN / orphan.relative_to(data_dir / OBJECTS))
    return True


def bring_back(data_dir: Path) -> int:
    """Move what was set aside to where it had been; how many files.

    Raises:
        DiskFull, StorageUnavailable: some may lie in either place.
    """
    aside = [path for folder in _folders(data_dir / UNKNOWN) for path in folder if path.suffix == OBJECT_SUFFIX]
    for path in aside:
        _move(path, data_dir / OBJECTS / path.relative_to(data_dir / UNKNOWN))
    return len(aside)


def _move(path: Path, final: Path) -> None:
    make_folder(final.parent)
    with named_disk_errors():
        path.rename(final)
        sync(final.parent)


def _without_row(data_dir: Path, files: Sequence[Path], known_paths: KnownPaths) -> Iterator[Path]:
    for start in range(0, len(files), _ROWS_AT_ONCE):
        names = {path.relative_to(data_dir).as_posix(): path for path in files[start : start + _ROWS_AT_ONCE]}
        known = known_paths(tuple(names))
        yield from (path for name, path in names.items() if name not in known)


def _folders(root: Path) -> Iterator[list[Path]]:
    """The files of each folder below `root`."""
    for folder, _, files in os.walk(root):
        yield [Path(folder) / file for file in sorted(files)]


def _written_at(path: Path) -> float:
    """Seconds since the epoch, or never."""
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:  # renamed or deleted while we walked: not ours
        return float("inf")


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    _make_last_folder(folder)


def _make_last_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    try:
        folder.mkdir(mode=FOLDER_MODE)
    except FileExistsError:
        if not folder.is_dir():
            raise
    sync(folder.parent)


def _sync_name_once(folder: Path) -> None:
    """Another thread or process may have made `folder` and not come to its sync yet, so each process syncs once."""
    if folder not in _names_synced:
        sync(folder.parent)
        _names_synced.add(folder)


def begin_write_back(descriptor: int, begin: int, end: int) -> None:
    """Let the system begin to write these bytes of a file, so that its sync waits for less. Promises nothing.

    Linux does so when told that they will not be read soon; what is not written yet stays in memory nonetheless.
    """
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(descriptor, begin, end - begin, os.POSIX_FADV_DONTNEED)


def sync(path: Path) -> None:
    """fsync a file or a folder. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
