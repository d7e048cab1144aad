"""A network file system is recognised from the system's own list of mounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicom_node.storage import mounts

LISTED = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
40 27 0:45 / /srv/share rw,relatime shared:2 master:1 - nfs4 server:/export rw,vers=4.2
41 40 254:2 / /srv/share/local rw - xfs /dev/vdb1 rw
42 27 0:46 / /srv/two\040words rw - cifs //server/share rw
43 27 254:3 / /srv/hidden rw - nfs server:/old rw
44 27 254:3 / /srv/hidden rw - ext4 /dev/vdc1 rw
45 27 0:47 / /home/someone/remote rw - fuse.sshfs someone@server: rw
"""


@pytest.fixture(autouse=True)
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mountinfo").write_text(LISTED.strip(), encoding="utf-8")
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "mountinfo")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/share", "nfs4"),
        ("/srv/share/data/node.sqlite3", "nfs4"),
        ("/srv/share/local/data", None),
        ("/srv/shared", None),
        ("/srv/two words/data", "cifs"),
        ("/srv/hidden/data", None),
        ("/home/someone/remote/data", "fuse.sshfs"),
        ("/var/lib/fetalhc", None),
    ],
)
def test_the_innermost_mount_counts(path: str, kind: str | None) -> None:
    assert mounts.network_filesystem(Path(path)) == kind


def test_where_the_system_does_not_tell_nothing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "absent")
    assert mounts.network_filesystem(Path("/srv/share")) is None
