"""Disk marks, clocks that are set, and deletion by age that trusts neither."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dicom_node.ageing import (
    ClockTick,
    RetentionTick,
    SpaceTick,
    cutoffs,
    longest_wait_s,
    ticks,
)
from dicom_node.clocks import JUMP_S, TRUSTED_AFTER_S, Clocks
from dicom_node.config import Config, QueueSection, RetentionSection
from dicom_node.errors import DatabaseUnavailable
from dicom_node.storage.retention import Cutoffs
from tests.unit.dicom_node.storage.rooms import START

WHOLE_DISK = 1 << 62


class Time:
    """Both clocks; `pass_s` moves them together, `set_s` only the wall clock."""

    def __init__(self) -> None:
        self.steady_s, self.wall = 0.0, START

    def pass_s(self, seconds: float) -> None:
        self.steady_s += seconds
        self.set_s(seconds)

    def set_s(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)

    def clocks(self) -> Clocks:
        return Clocks(lambda: self.wall, lambda: self.steady_s)


class Archive:
    """Two studies are due; `trouble` comes instead, or after the first."""

    def __init__(self, trouble: Exception | None = None) -> None:
        self.trouble = trouble
        self.asked: list[Cutoffs] = []
        self.mended = 0

    def forget_old_studies(self, cutoffs: Cutoffs, now: datetime) -> Iterator[tuple[str, ...]]:
        self.asked.append(cutoffs)
        yield "objects/ab/1.dcm", "results/cd/2.dcm"
        if self.trouble is not None:
            raise self.trouble
        yield ("objects/ab/gone.dcm",)

    def mend_times(self, longest_wait_s: float, now: datetime) -> int:
        assert now.tzinfo is not None
        if self.trouble is not None:
            raise self.trouble
        self.mended += 1
        return 3


@pytest.mark.parametrize(
    ("soft", "hard", "event"),
    [(0, 0, None), (WHOLE_DISK, 0, "disk.low"), (WHOLE_DISK, WHOLE_DISK, "disk.full")],
)
def test_marks_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, soft: int, hard: int, event: str | None
) -> None:
    SpaceTick(tmp_path, soft, hard)()
    assert [record.message for record in caplog.records] == ([] if event is None else [event])


def test_a_folder_that_is_away_does_not_end_the_tick(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    SpaceTick(tmp_path / "away", 1, 1)()
    assert [record.message for record in caplog.records] == ["schedule.failed"]


@pytest.mark.parametrize("set_s", [-7200.0, 7200.0])
def test_a_clock_that_is_set_is_noticed_once(set_s: float, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    time = Time()
    archive = Archive()
    tick = ClockTick(time.clocks(), archive, 60.0)
    time.pass_s(60)
    tick()
    assert [record.message for record in caplog.records] == ["clock.mended"]
    time.pass_s(60)
    time.set_s(set_s)
    tick()
    (jumped,) = [record for record in caplog.records if record.message == "clock.jumped"]
    assert vars(jumped)["seconds"] == set_s
    time.pass_s(60)
    tick()
    assert archive.mended == 3
    assert len([record for record in caplog.records if record.message == "clock.jumped"]) == 1


def test_small_corrections_are_no_jump() -> None:
    time = Time()
    clocks = time.clocks()
    for _ in range(100):
        time.pass_s(60)
        time.set_s(JUMP_S / 2)
        assert clocks.look() == 0.0
    assert clocks.trusted


def test_a_database_that_is_away_does_not_end_the_ticks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    time, archive = Time(), Archive(DatabaseUnavailable())
    clocks = time.clocks()
    time.pass_s(TRUSTED_AFTER_S)
    ClockTick(clocks, archive, 60.0)()
    assert RetentionTick(clocks, archive, RetentionSection(), tmp_path)() == 1
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == ["schedule.failed"] * 2


def test_nothing_is_deleted_until_the_clock_has_gone_evenly_for_a_while(tmp_path: Path) -> None:
    (tmp_path / "objects" / "ab").mkdir(parents=True)
    (kept := tmp_path / "objects" / "ab" / "3.dcm").write_bytes(b"")
    (old := tmp_path / "objects" / "ab" / "1.dcm").write_bytes(b"")
    time, archive = Time(), Archive()
    clocks = time.clocks()
    tick = RetentionTick(clocks, archive, RetentionSection(delivered_days=2.0), tmp_path)
    assert tick() == 0
    time.pass_s(TRUSTED_AFTER_S / 2)
    time.set_s(JUMP_S)
    clocks.look()
    time.pass_s(TRUSTED_AFTER_S - 1)
    assert (tick(), archive.asked) == (0, [])
    time.pass_s(1)
    assert tick() == 2
    assert (old.exists(), kept.exists()) == (False, True)


def test_days_are_counted_back_from_now() -> None:
    found = cutoffs(RetentionSection(delivered_days=2.0), START)
    two_days_ago = START - timedelta(days=2)
    assert (found.delivered, found.nothing_to_send, found.committed) == (two_days_ago, None, two_days_ago)
    sooner = cutoffs(RetentionSection(delivered_days=2.0, committed_days=1.0), START)
    assert (sooner.delivered, sooner.committed) == (two_days_ago, START - timedelta(days=1))
    assert found.latest == START - timedelta(days=2)
    assert cutoffs(RetentionSection(), START).latest is None


def test_no_wait_of_the_queue_seems_too_long() -> None:
    queue = QueueSection(lease_s=10, backoff_cap_s=100)
    assert longest_wait_s(queue) > 110


def test_a_receiver_has_every_tick(tmp_path: Path) -> None:
    config = Config.model_validate({"node": {"data_dir": tmp_path, "low_free_mb": 2, "minimum_free_mb": 1}})
    space, clock, retention = ticks(config, Archive())
    assert (space.soft, space.hard) == (2 << 20, 1 << 20)
    assert retention.clocks is clock.clocks
