"""What a running courier says once a day: certificates that end, and objects that wait for a destination nobody knows.

`check-config` says the same to whoever asks; a node that was left alone is asked by nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from dicom_node.config import Config
from dicom_node.domain import CallerTls, DeliveryState
from dicom_node.errors import ConfigError, NodeError
from dicom_node.tls import EXPIRY_WARNING, expires_at

_log = logging.getLogger(__name__)

EVERY = timedelta(days=1)
WAITING = (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.HELD)


class Counted(Protocol):
    """The end of the repository that is asked here; may raise DatabaseUnavailable."""

    def delivery_counts(self) -> dict[str, dict[DeliveryState, int]]: ...


class Reminders:
    """For the destinations and peers of one configuration."""

    def __init__(self, config: Config, outbox: Counted) -> None:
        self._config, self._outbox = config, outbox
        self._due_at = datetime.min.replace(tzinfo=UTC)

    def look(self, now: datetime) -> None:
        """Say what there is to say, if it is time. Never raises: other lines tell of what could not be looked at."""
        if now < self._due_at:
            return
        self._due_at = now + EVERY
        for facts, file in _certificates(self._config):
            left = _left(file, now)
            if left is not None and left <= EXPIRY_WARNING:
                _log.warning("courier.certificate_ends", extra={**facts, "days_left": left.days})
        try:
            stranded = waiting_for_nobody(self._config, self._outbox.delivery_counts())
        except NodeError:
            return
        for name, count in stranded.items():
            _log.warning("courier.destination_unknown", extra={"destination": name, "count": count})


def waiting_for_nobody(config: Config, counts: Mapping[str, Mapping[DeliveryState, int]]) -> dict[str, int]:
    """How many deliveries wait for each destination that is not configured: no lane will ever take them."""
    known = {destination.name for destination in config.destination_list()}
    waiting = {name: sum(by_state.get(one, 0) for one in WAITING) for name, by_state in sorted(counts.items())}
    return {name: count for name, count in waiting.items() if count and name not in known}


def _certificates(config: Config) -> Iterator[tuple[dict[str, str], Path]]:
    """Files that hold one, with whom they are for."""
    for destination in config.destination_list():
        if destination.tls is not None:
            yield from (({"destination": destination.name, **what}, file) for what, file in _files(destination.tls))
    for peer in config.peer_list():
        if peer.listens is not None and peer.listens.tls is not None:
            yield from (({"ae_title": peer.ae_title, **what}, file) for what, file in _files(peer.listens.tls))


def _files(tls: CallerTls) -> Iterator[tuple[dict[str, str], Path]]:
    for what, file in (("certificate", tls.certificate), ("authorities", tls.authorities)):
        if file is not None:
            yield {"what": what}, file


def _left(file: Path, now: datetime) -> timedelta | None:
    try:
        return expires_at(file) - now
    except ConfigError:  # each call says so
        return None
