"""Files that change."""

from __future__ import annotations

import os
from pathlib import Path

from dicom_node.file_watch import FileWatch


def test_every_way_to_change_a_file_is_seen_once(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    watch = FileWatch([file, None])
    assert not watch.changed()

    def seen() -> list[bool]:
        return [watch.changed(), watch.changed()]

    file.write_text("a")
    assert seen() == [True, False]
    file.write_text("ab")
    assert seen() == [True, False]
    os.utime(file, ns=(1, 1))
    assert seen() == [True, False]
    other = tmp_path / "new"
    other.write_text("ab")
    os.utime(other, ns=(1, 1))
    other.replace(file)  # same size, same time
    assert seen() == [True, False]
    file.unlink()
    assert seen() == [True, False]
