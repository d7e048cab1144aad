"""What the first page shows: how much came, waits, was answered and sent, and who is there."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime

from dicom_node.config import Config
from dicom_node.domain import DeliveryState, Destination, DestinationState, JobState
from dicom_node.storage.browsing import Latest
from dicom_node.storage.repository import Repository
from dicom_node.web.texts import message
from inference.domain import REASON_TEXT, REMARK_TEXT, Reason, Remark

_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class DestinationView:
    """A destination, whether it answers (None: never asked), and how many deliveries are in which state."""

    destination: Destination
    state: DestinationState | None
    counts: dict[DeliveryState, int]

    @property
    def address(self) -> str:
        one = self.destination
        return one.url or f"{one.ae_title}@{one.host}:{one.port}"

    @property
    def waiting(self) -> int:
        return self.counts.get(DeliveryState.PENDING, 0) + self.counts.get(DeliveryState.SENDING, 0)

    @property
    def delivered(self) -> int:
        return self.counts.get(DeliveryState.SENT, 0) + self.counts.get(DeliveryState.COMMITTED, 0)

    @property
    def dead(self) -> int:
        return self.counts.get(DeliveryState.DEAD, 0)


@dataclass(frozen=True)
class Disk:
    """Of the data folder's file system. `low`: the log warns; `full`: new objects are refused."""

    free_gb: float
    used_percent: float
    low: bool
    full: bool


@dataclass(frozen=True)
class Overview:
    """At one moment. `counts` as Repository.counts gives them; `peers`: how many may send."""

    at: datetime
    counts: dict[str, int]
    latest: Latest
    destinations: tuple[DestinationView, ...]
    disk: Disk
    peers: int

    def jobs(self, *states: str) -> int:
        return sum(self.counts[f"jobs_{JobState(state)}"] for state in states)

    def deliveries(self, *states: str) -> int:
        return sum(self.counts[f"deliveries_{DeliveryState(state)}"] for state in states)

    @property
    def reasons(self) -> list[tuple[str, str, int]]:
        """Word, sentence and count of each reason of the latest answers, most frequent first."""
        return [(word, sentence_of(word), count) for word, count in self.latest.reasons.most_common()]


STATUSES = (message("measured"), message("abstained"), message("refused"))
"""As templates say them of an answer's status."""


def sentence_of(reason: str) -> str:
    """What a reason's word means; the word itself where another version of the software said it."""
    return REASON_TEXT[Reason(reason)] if reason in set(Reason) else reason


def remark_of(word: str) -> str:
    """The same for a remark."""
    return REMARK_TEXT[Remark(word)] if word in set(Remark) else word


def look(config: Config, repository: Repository, now: datetime) -> Overview:
    """Raises what the repository raises."""
    states, counts = repository.destination_states(), repository.delivery_counts()
    return Overview(
        at=now,
        counts=repository.counts(now),
        latest=repository.browsing.latest(),
        destinations=tuple(
            DestinationView(one, states.get(one.name), counts.get(one.name, {})) for one in config.destination_list()
        ),
        disk=_disk(config),
        peers=len(config.peers),
    )


def _disk(config: Config) -> Disk:
    usage = shutil.disk_usage(config.node.data_dir)
    free_mb = usage.free / _MEGABYTE
    return Disk(
        free_gb=usage.free / 1e9,
        used_percent=100.0 * usage.used / usage.total,
        low=free_mb < config.node.low_free_mb,
        full=free_mb < config.node.minimum_free_mb,
    )
