"""What time and a filling disk ask of a node: warnings, retention, and sense where the clock has none."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from dicom_node.clocks import Clocks
from dicom_node.config import Config, QueueSection, RetentionSection
from dicom_node.errors import NodeError
from dicom_node.queue import utc_now
from dicom_node.storage.retention import Cutoffs

_log = logging.getLogger(__name__)

SPACE_TICK_S = 60.0
CLOCK_TICK_S = 60.0
RETENTION_TICK_S = 600.0
_MEGABYTE = 1024 * 1024


class Archive(Protocol):
    """The end of the repository that is asked here; all may raise NodeError."""

    def forget_old_studies(self, cutoffs: Cutoffs, now: datetime) -> Iterator[tuple[str, ...]]: ...

    def mend_times(self, longest_wait_s: float, now: datetime) -> int: ...


@dataclass(frozen=True, slots=True)
class SpaceTick:
    """Warns where the disk fills; marks in bytes of free space. Below `hard` the receiver takes no more objects."""

    folder: Path
    soft: int
    hard: int
    every_s: float = SPACE_TICK_S

    def __call__(self) -> None:
        try:
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            _log.warning("schedule.failed", extra={"task": "space", "error": type(error).__name__})
            return
        if free < self.hard:
            _log.error("disk.full", extra={"free_mb": free // _MEGABYTE})
        elif free < self.soft:
            _log.warning("disk.low", extra={"free_mb": free // _MEGABYTE})


@dataclass(frozen=True, slots=True)
class ClockTick:
    """Notices a clock that was set, and mends what it has put off into a future far away."""

    clocks: Clocks
    archive: Archive
    longest_wait_s: float
    every_s: float = CLOCK_TICK_S

    def __call__(self) -> None:
        jumped_s = self.clocks.look()
        if jumped_s:
            _log.warning("clock.jumped", extra={"seconds": jumped_s})
        try:
            mended = self.archive.mend_times(self.longest_wait_s, utc_now())
        except NodeError as error:
            _log.warning("schedule.failed", extra={"task": "clock", "error": type(error).__name__})
            return
        if mended:
            _log.warning("clock.mended", extra={"count": mended})


@dataclass(frozen=True, slots=True)
class RetentionTick:
    """Deletes studies that are old enough and settled; rows first, so that no row ever lacks its file."""

    clocks: Clocks
    archive: Archive
    retention: RetentionSection
    data_dir: Path
    every_s: float = RETENTION_TICK_S
    committing: tuple[str, ...] = ()
    """Destinations that are asked for storage commitment."""

    def __call__(self) -> int:
        """How many studies were deleted; none while the clock is not to be trusted."""
        if not self.clocks.trusted:
            return 0
        removed = 0
        try:
            now = utc_now()
            for paths in self.archive.forget_old_studies(self._cutoffs(now), now):
                for path in paths:  # a crash here leaves files without a row, which the sweep knows
                    (self.data_dir / path).unlink(missing_ok=True)
                removed += 1
        except (NodeError, OSError) as error:
            _log.warning("schedule.failed", extra={"task": "retention", "error": type(error).__name__})
        if removed:
            _log.info("retention.deleted", extra={"count": removed})
        return removed

    def _cutoffs(self, now: datetime) -> Cutoffs:
        return replace(cutoffs(self.retention, now), committing=self.committing)


def cutoffs(retention: RetentionSection, now: datetime) -> Cutoffs:
    """Since when nothing may have happened to a study that is deleted now."""

    def before(days: float | None) -> datetime | None:
        return None if days is None else now - timedelta(days=days)

    committed_days = retention.delivered_days if retention.committed_days is None else retention.committed_days
    return Cutoffs(before(retention.delivered_days), before(retention.nothing_to_send_days), before(committed_days))


def longest_wait_s(queue: QueueSection) -> float:
    """No job or delivery is put off for longer, and no lease lasts longer."""
    return 2.0 * (queue.backoff_cap_s + queue.lease_s)


def ticks(config: Config, archive: Archive) -> tuple[SpaceTick, ClockTick, RetentionTick]:
    """Those of one receiver; several receivers may tick at once."""
    data_dir, clocks = config.node.data_dir.resolve(), Clocks()
    committing = tuple(destination.name for destination in config.destination_list() if destination.commitment)
    return (
        SpaceTick(data_dir, config.node.low_free_mb * _MEGABYTE, config.node.minimum_free_mb * _MEGABYTE),
        ClockTick(clocks, archive, longest_wait_s(config.queue)),
        RetentionTick(clocks, archive, config.retention, data_dir, committing=committing),
    )
