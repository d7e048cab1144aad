"""Housekeeping by the clock: each job is one call. It only ticks; it is never the queue."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, timedelta
from pathlib import Path

from apscheduler.schedulers.background import BackgroundScheduler

from dicom_node.errors import NodeError
from dicom_node.queue import utc_now
from dicom_node.storage.files import KnownPaths, sweep_orphans

_log = logging.getLogger(__name__)

SWEEP_EVERY_MINUTES = 30
ORPHAN_AGE = timedelta(hours=1)
"""Far longer than any object is under way between its first byte and its commit."""


@contextmanager
def housekeeping(data_dir: Path, known_paths: KnownPaths) -> Iterator[BackgroundScheduler]:
    """Run the jobs in the background for as long as the block lasts."""
    scheduler = BackgroundScheduler(timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1})
    scheduler.add_job(
        sweep, "interval", (data_dir, known_paths), minutes=SWEEP_EVERY_MINUTES, next_run_time=utc_now(), id="sweep"
    )
    scheduler.start()
    try:
        yield scheduler
    finally:
        scheduler.shutdown()


def sweep(data_dir: Path, known_paths: KnownPaths) -> int:
    """Delete files of the data folder that a crash left without a row; returns how many.

    Trouble is logged, not raised: the next tick tries again.
    """
    try:
        removed = sweep_orphans(data_dir, known_paths, utc_now() - ORPHAN_AGE)
    except (NodeError, OSError) as error:
        _log.warning("schedule.failed", extra={"task": "sweep", "error": type(error).__name__})
        return 0
    if removed:
        _log.info("schedule.swept", extra={"removed": removed})
    return removed
