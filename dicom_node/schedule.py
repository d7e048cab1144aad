"""Housekeeping by the clock: each job is one call. It only ticks; it is never the queue."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from apscheduler.schedulers.background import BackgroundScheduler

from dicom_node.domain import Quiet
from dicom_node.errors import NodeError
from dicom_node.queue import utc_now
from dicom_node.storage.files import KnownPaths, clear_away, orphans

_log = logging.getLogger(__name__)

SWEEP_EVERY_MINUTES = 30
ORPHAN_AGE = timedelta(hours=1)
"""Far longer than any object is under way between its first byte and its commit."""


STUDY_TICK_S = 5.0
"""How late a study may be reported at most, besides what its quiet period says."""


class Tick(Protocol):
    """Something to do again and again; trouble is logged, not raised."""

    @property
    def every_s(self) -> float: ...

    def __call__(self) -> object: ...


class Studies(Protocol):
    """The part of the repository that the tick of the studies needs."""

    def enqueue_quiet_studies(self, quiet: Quiet, now: datetime) -> int: ...


@dataclass(frozen=True, slots=True)
class StudyTick:
    """Whose studies are looked at, and how long one must have been quiet."""

    studies: Studies
    quiet: Quiet

    @property
    def every_s(self) -> float:
        """A short quiet period is not made longer by the tick."""
        return min(STUDY_TICK_S, self.quiet.usual_s)


@dataclass(frozen=True, slots=True)
class SealTick:
    """Seals what was recorded in the audit trail; `every_s`: how long a record may lie unsealed, in seconds."""

    seal_trail: Callable[[], int]
    every_s: float = 5.0

    def __call__(self) -> int:
        """How many records. Trouble is logged, not raised."""
        sealed = 0
        try:
            while count := self.seal_trail():
                sealed += count
        except NodeError as error:
            _log.warning("schedule.failed", extra={"task": "seal", "error": type(error).__name__})
        return sealed


@contextmanager
def housekeeping(
    data_dir: Path, known_paths: KnownPaths, study_tick: StudyTick | None = None, ticks: Sequence[Tick] = ()
) -> Iterator[BackgroundScheduler]:
    """Run the jobs in the background for as long as the block lasts."""
    scheduler = BackgroundScheduler(timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1})
    scheduler.add_job(
        Sweep(data_dir, known_paths), "interval", minutes=SWEEP_EVERY_MINUTES, next_run_time=utc_now(), id="sweep"
    )
    if study_tick is not None:
        scheduler.add_job(enqueue_studies, "interval", (study_tick,), seconds=study_tick.every_s, id="studies")
    for tick in ticks:
        scheduler.add_job(tick, "interval", seconds=tick.every_s, next_run_time=utc_now(), id=type(tick).__name__)
    scheduler.start()
    try:
        yield scheduler
    finally:
        scheduler.shutdown()


class Sweep:
    """Clears away files of the data folder that a crash left without a row; whole objects are set aside, not deleted.

    One that is seen for the first time is only remembered: it goes when it has been without a row for ORPHAN_AGE by a
    clock that nobody sets. Else a wall clock that jumps ahead would make an orphan of a file that is being committed.
    """

    def __init__(self, data_dir: Path, known_paths: KnownPaths, steady_s: Callable[[], float] = time.monotonic) -> None:
        self._data_dir = data_dir
        self._known_paths = known_paths
        self._steady_s = steady_s
        self._seen_at_s: dict[Path, float] = {}

    def __call__(self) -> int:
        """How many are gone from their place. Trouble is logged, not raised: the next tick tries again."""
        try:
            found = orphans(self._data_dir, self._known_paths, utc_now() - ORPHAN_AGE)
            removed = self._remove(found)
        except (NodeError, OSError) as error:
            _log.warning("schedule.failed", extra={"task": "sweep", "error": type(error).__name__})
            return 0
        if removed:
            _log.info("schedule.swept", extra={"removed": removed})
        return removed

    def _remove(self, found: Sequence[Path]) -> int:
        now_s = self._steady_s()
        self._seen_at_s = {path: self._seen_at_s.get(path, now_s) for path in found}
        gone = [path for path, at_s in self._seen_at_s.items() if now_s - at_s >= ORPHAN_AGE.total_seconds()]
        aside = 0
        for path in gone:
            aside += clear_away(self._data_dir, path)
            del self._seen_at_s[path]
        if aside:
            _log.warning("schedule.set_aside", extra={"count": aside})
        return len(gone)


def enqueue_studies(tick: StudyTick) -> int:
    """Queue a job for each study that has been quiet; returns how many. Trouble is logged, not raised."""
    try:
        enqueued = tick.studies.enqueue_quiet_studies(tick.quiet, utc_now())
    except NodeError as error:
        _log.warning("schedule.failed", extra={"task": "studies", "error": type(error).__name__})
        return 0
    if enqueued:
        _log.info("schedule.studies", extra={"count": enqueued})
    return enqueued
