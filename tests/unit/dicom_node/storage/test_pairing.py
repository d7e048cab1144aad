"""A node does not start on a folder and a database that do not belong together."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from dicom_node.errors import DatabaseRefused
from dicom_node.storage.pairing import MARK, pair


class Installation:
    def __init__(self, serial: str, has_instances: bool) -> None:
        self._serial, self._has_instances = serial, has_instances

    def installation_serial(self) -> str:
        return self._serial

    def has_instances(self) -> bool:
        return self._has_instances


def with_object(folder: Path) -> Path:
    (folder / "objects" / "ab").mkdir(parents=True)
    (folder / "objects" / "ab" / "abc.dcm").write_bytes(b"")
    return folder


def test_the_first_use_leaves_a_mark_that_only_this_installation_passes(tmp_path: Path) -> None:
    pair(tmp_path / "data", Installation("one", False))
    pair(tmp_path / "data", Installation("one", False))
    assert stat.S_IMODE((tmp_path / "data" / MARK).stat().st_mode) == 0o600
    with pytest.raises(DatabaseRefused, match="another installation"):
        pair(tmp_path / "data", Installation("two", False))
    assert [path.name for path in (tmp_path / "data").iterdir()] == [MARK]


def test_a_node_of_before_gets_its_mark(tmp_path: Path) -> None:
    pair(with_object(tmp_path), Installation("one", True))
    assert (tmp_path / MARK).read_text() == "one\n"


def test_objects_that_the_database_does_not_know_are_left_alone(tmp_path: Path) -> None:
    with pytest.raises(DatabaseRefused, match="db adopt"):
        pair(with_object(tmp_path), Installation("one", False))
    assert not (tmp_path / MARK).exists()


def test_a_share_that_is_not_mounted_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(DatabaseRefused, match="mounted"):
        pair(tmp_path, Installation("one", True))
    assert not (tmp_path / MARK).exists()


def test_once_marked_an_empty_folder_is_well(tmp_path: Path) -> None:
    pair(tmp_path, Installation("one", False))
    pair(tmp_path, Installation("one", True))
