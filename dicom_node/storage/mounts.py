"""On which kind of file system a path lies."""

from __future__ import annotations

from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")

NETWORK = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "9p", "virtiofs", "ceph", "lustre", "gpfs", "beegfs"),
        *("gfs2", "ocfs2", "orangefs", "pvfs2", "glusterfs", "fuse.glusterfs", "fuse.sshfs", "fuse.ceph", "fuse.s3fs"),
        *("fuse.rclone", "fuse.mfs", "fuse.moosefs", "fuse.juicefs", "fuse.davfs", "davfs", "coda"),
    }
)
"""Kinds, as Linux calls them, that other machines may write to at the same time."""


def network_filesystem(path: Path) -> str | None:
    """The kind of the network file system that `path` (or the nearest folder that exists) lies on.

    None where it lies on this machine, or where the system does not tell (no Linux).
    """
    kind = _kind_of(path.resolve())
    return kind if kind in NETWORK else None


def _kind_of(path: Path) -> str | None:
    """Of the innermost mount; the last one listed hides those before it (proc(5), /proc/pid/mountinfo)."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    mounts = [_mount(line) for line in lines]
    around = [(len(point.parts), number) for number, (point, _) in enumerate(mounts) if path.is_relative_to(point)]
    return mounts[max(around)[1]][1] if around else None


def _mount(line: str) -> tuple[Path, str]:
    """Mount point and kind. Blanks, tabs, line ends and backslashes in a name are written as octal escapes."""
    before, _, after = line.partition(" - ")
    point = before.split(" ")[4]
    for escape in ("\\040", "\\011", "\\012", "\\134"):
        point = point.replace(escape, chr(int(escape[1:], 8)))
    return Path(point), after.split(" ")[0]
