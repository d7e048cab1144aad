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
        return [watch.changed(), watch.changed(), watch.changed()]

    file.write_text("a")
    assert seen() == [False, True, False]
    file.write_text("ab")
    assert seen() == [False, True, False]
    os.utime(file, ns=(1, 1))
    assert seen() == [False, True, False]
    other = tmp_path / "new"
    other.write_text("ab")
    os.utime(other, ns=(1, 1))
    other.replace(file)  # same size, same time
    assert seen() == [False, True, False]
    file.unlink()
    assert seen() == [False, True, False]


def test_a_file_that_is_being_written_waits_until_it_rests(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("peers: [one, two]")
    watch = FileWatch([file])
    seen = []
    for text in ("", "peers: [one]", "peers: [one, two, three]"):
        file.write_text(text)
        seen.append(watch.changed())
    assert seen == [False, False, False]
    assert watch.changed()
    assert not watch.changed()


def test_what_is_again_as_it_was_is_no_change(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("a")
    os.utime(file, ns=(1, 1))
    watch = FileWatch([file])
    file.write_text("ab")
    assert not watch.changed()
    file.write_text("a")
    os.utime(file, ns=(1, 1))
    assert not watch.changed()
    assert not watch.changed()
