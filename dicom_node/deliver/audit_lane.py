"""Sends the audit trail to a collector (PS3.15 A.6 and A.7): one lane of the courier, in nobody's way.

The place that has been reached is in the database and moves only when a whole batch has been taken. So nothing is lost
while the collector is away; what was under way when a connection or this process ended is sent once more.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dicom_node.audit import AuditBatch
from dicom_node.audit_messages import Message, Source, messages_of
from dicom_node.config import Config
from dicom_node.deliver.syslog import (
    NOTICE,
    WARNING,
    Collector,
    CollectorAway,
    Header,
    TlsCollector,
    UdpCollector,
    message,
)
from dicom_node.domain import CallerTls
from dicom_node.errors import NodeError
from dicom_node.queue import utc_now
from dicom_node.retry import RetryPolicy, longest_wait_s

_log = logging.getLogger(__name__)

LOOK_S = 2.0
"""The trail is sealed every five seconds."""

BATCH = 500
LEASE_S = 300.0
"""Longer than a batch may take; a courier that died in the middle holds the trail up no longer."""

_PAUSE_AFTER_ERROR_S = 5.0


class Trail(Protocol):
    """The end of the repository that is sent; all may raise DatabaseUnavailable."""

    def begin_collecting(self) -> bool: ...
    def claim_audit(self, limit: int, lease_s: float, now: datetime) -> AuditBatch | None: ...
    def audit_settled(self, batch: AuditBatch, sent: bool) -> None: ...


@dataclass(slots=True)
class AuditLane:
    """`retry`: the waits while the collector is away, in seconds."""

    trail: Trail
    collector: Collector
    source: Source
    retry: RetryPolicy
    name: str = "audit"
    _in_vain: int = 0

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; whatever goes wrong is logged and tried again."""
        begun = False
        while not stop.is_set():
            pause_s = LOOK_S
            try:
                begun = begun or self._begin()
                pause_s = self.tick()
            except NodeError as error:
                _log.warning("courier.no_database", extra={"error": type(error).__name__})
                pause_s = _PAUSE_AFTER_ERROR_S
            except Exception:  # noqa: BLE001  the trail would not be sent any more, in silence
                _log.exception("courier.lane_failed", extra={"destination": self.name})
                pause_s = _PAUSE_AFTER_ERROR_S
            stop.wait(pause_s)

    def tick(self) -> float:
        """Send a batch, if there is one; after how many seconds to look again."""
        batch = self.trail.claim_audit(BATCH, LEASE_S, utc_now())
        if batch is None:
            return LOOK_S
        try:
            self._send(batch)
        except CollectorAway as error:
            return self._is_away(batch, error)
        self.trail.audit_settled(batch, sent=True)
        if self._in_vain:
            _log.info("audit.collector_back")
        self._in_vain = 0
        return 0.0 if len(batch.records) == BATCH else LOOK_S

    def _begin(self) -> bool:
        if self.trail.begin_collecting():
            _log.info("audit.collecting_begun")
        return True

    def _send(self, batch: AuditBatch) -> None:
        messages = messages_of(batch.records, batch.patients, self.source)
        if messages:
            self.collector.send(written(messages))
            _log.debug("audit.sent", extra={"count": len(messages)})

    def _is_away(self, batch: AuditBatch, error: CollectorAway) -> float:
        """Told when it begins and then with each wait of the longest kind; the trail waits."""
        self.trail.audit_settled(batch, sent=False)
        self._in_vain += 1
        longest = longest_wait_s(self._in_vain, self.retry)
        if self._in_vain == 1 or longest >= self.retry.cap_s:
            _log.error("audit.collector_away", extra={"cause": error.cause.value, "count": self._in_vain})
        return random.uniform(longest / 2, longest)


def written(messages: Sequence[Message]) -> tuple[bytes, ...]:
    """As syslog has them."""
    return tuple(message(_header(one), one.xml) for one in messages)


def _header(one: Message) -> Header:
    return Header(one.record.at, one.record.node, WARNING if one.failed else NOTICE)


def audit_lanes(config: Config, trail: Trail) -> list[AuditLane]:
    """One where a collector is configured, else none."""
    section = config.audit_messages
    if section.host is None:
        return []
    tls = CallerTls() if section.tls is None else section.tls.caller()
    collector: Collector = UdpCollector(section.host, section.port)
    if section.transport == "tls":
        collector = TlsCollector(section.host, section.port, tls, config.delivery.connect_timeout_s)
    retry = RetryPolicy(config.queue.backoff_first_s, config.delivery.ask_again_s, None)
    return [AuditLane(trail, collector, Source(config.node.ae_titles, section.site), retry)]
