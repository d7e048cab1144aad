"""Housekeeping: what the tick removes, and that trouble does not end it."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest

from dicom_node.domain import Quiet
from dicom_node.errors import DatabaseUnavailable
from dicom_node.schedule import ORPHAN_AGE, STUDY_TICK_S, SealTick, StudyTick, Sweep, enqueue_studies, housekeeping
from dicom_node.storage.files import KnownPaths, bring_back


def old_file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    then = time.time() - ORPHAN_AGE.total_seconds() - 60
    os.utime(path, (then, then))
    return path


class Steady:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def swept_later(folder: Path, known_paths: KnownPaths) -> int:
    """What a tick deletes that comes an orphan's age after the first one."""
    steady = Steady()
    sweep = Sweep(folder, known_paths, steady)
    assert sweep() == 0
    steady.seconds += ORPHAN_AGE.total_seconds()
    return sweep()


def test_only_old_files_without_a_row_go(tmp_path: Path) -> None:
    orphan, known = old_file(tmp_path / "objects/ab/orphan.dcm"), old_file(tmp_path / "objects/ab/known.dcm")
    (fresh := tmp_path / "results/cd/fresh.dcm").parent.mkdir(parents=True)
    fresh.write_bytes(b"x")
    assert swept_later(tmp_path, lambda paths: {"objects/ab/known.dcm"} & set(paths)) == 1
    assert (orphan.exists(), known.exists(), fresh.exists()) == (False, True, True)


def test_an_object_without_a_row_is_set_aside_and_comes_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A restored database does not know it, and a sender was told that it is safe."""
    lost, result = old_file(tmp_path / "objects/ab/lost.dcm"), old_file(tmp_path / "results/ab/lost.dcm")
    half = old_file(tmp_path / "spool/one/half.part")
    assert swept_later(tmp_path, lambda _paths: set()) == 3
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [aside := tmp_path / "unknown/ab/lost.dcm"]
    assert not any(path.exists() for path in (lost, result, half))
    assert [vars(r)["count"] for r in caplog.records if r.message == "schedule.set_aside"] == [1]
    assert swept_later(tmp_path, lambda _paths: set()) == 0
    assert stat.S_IMODE(aside.parent.stat().st_mode) == 0o700
    assert bring_back(tmp_path) == 1
    assert lost.read_bytes() == b"x"
    assert bring_back(tmp_path) == 0


def test_a_wall_clock_that_jumps_ahead_deletes_nothing_that_is_being_committed(tmp_path: Path) -> None:
    steady, rows = Steady(), set[str]()
    sweep = Sweep(tmp_path, lambda paths: rows & set(paths), steady)
    being_committed = old_file(tmp_path / "objects/ab/new.dcm")  # old by a clock that was just set two hours ahead
    assert sweep() == 0
    rows.add("objects/ab/new.dcm")
    steady.seconds += ORPHAN_AGE.total_seconds()
    assert sweep() == 0
    rows.clear()  # and what had a row in between is new to us
    assert sweep() == 0
    assert being_committed.exists()


def test_nothing_is_deleted_while_the_database_is_away(tmp_path: Path) -> None:
    def away(_paths: Sequence[str]) -> set[str]:
        raise DatabaseUnavailable

    orphan = old_file(tmp_path / "objects/ab/orphan.dcm")
    assert swept_later(tmp_path, away) == 0
    assert orphan.exists()


class Studies:
    """Counts the ticks; `trouble` is what each of them raises."""

    def __init__(self, trouble: Exception | None = None) -> None:
        self.quiet: list[float] = []
        self.trouble = trouble

    def enqueue_quiet_studies(self, quiet: Quiet, now: datetime) -> int:
        assert now.tzinfo is not None
        self.quiet.append(quiet.usual_s)
        if self.trouble is not None:
            raise self.trouble
        return 2


def test_the_tick_of_the_studies_only_asks() -> None:
    studies = Studies()
    assert enqueue_studies(StudyTick(studies, Quiet(90.0))) == 2
    assert studies.quiet == [90.0]


def test_a_database_that_is_away_does_not_end_the_ticks(tmp_path: Path) -> None:
    studies = Studies(DatabaseUnavailable())
    with housekeeping(tmp_path, lambda _paths: set(), StudyTick(studies, Quiet(0.02))):
        deadline = time.monotonic() + 30
        while len(studies.quiet) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_short_quiet_period_is_not_made_longer_by_the_tick() -> None:
    assert StudyTick(Studies(), Quiet(1.0)).every_s == 1.0
    assert StudyTick(Studies(), Quiet(3600.0)).every_s == STUDY_TICK_S


def test_the_trail_is_sealed_until_nothing_is_left_and_trouble_waits_for_the_next_tick() -> None:
    counts = iter([1000, 7, 0])
    assert SealTick(lambda: next(counts))() == 1007

    def away() -> int:
        raise DatabaseUnavailable

    assert SealTick(away)() == 0
