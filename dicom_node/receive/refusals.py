"""Who was refused: a word in the log for each, and a row in the database for as many as do it no harm."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from dicom_node.addresses import network_of
from dicom_node.errors import NodeError
from dicom_node.receive.authorisation import Caller, Refusal
from dicom_node.receive.pace import Pace

_log = logging.getLogger(__name__)

ROWS_PER_MINUTE = 60
"""From one address, or network of IPv6, of which a machine has a whole one to call from. Who knocks without pause
leaves room in the list for the others."""

ROWS_PER_MINUTE_OF_ALL = 600
"""Refusals stand in the audit trail, which is kept for ever: callers whom nobody knows do not decide its size."""

_HOSTS_WATCHED = 1000


class RefusalLog(Protocol):
    """The end of the repository that remembers who was refused."""

    def record_refusal(  # noqa: PLR0913, PLR0917  one parameter per column
        self, calling_ae: str, called_ae: str, host: str, reason: str, advice: str, now: datetime
    ) -> None: ...


@dataclass(slots=True)
class RefusalBook:
    """Remembers refusals. Threads may share it."""

    rows: RefusalLog
    clock: Callable[[], float] = time.monotonic
    _paces: OrderedDict[str, Pace] = field(default_factory=OrderedDict)
    _of_all: Pace = field(default_factory=lambda: Pace(ROWS_PER_MINUTE_OF_ALL))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, caller: Caller, refusal: Refusal) -> None:
        """Never raises for want of a database: whoever was refused stays refused."""
        _log.warning("receive.refused", extra={**log_fields(caller), "reason": refusal.reason.value})
        if not self._has_room(caller.host):
            return
        titles = (caller.calling_ae, caller.called_ae)
        try:
            self.rows.record_refusal(*titles, caller.host, refusal.reason.value, refusal.advice, datetime.now(UTC))
        except NodeError as error:
            _log.warning("receive.refusal_not_recorded", extra={"error": type(error).__name__})

    def _has_room(self, host: str) -> bool:
        now, machine = self.clock(), network_of(host)
        with self._lock:
            pace = self._paces.pop(machine, None) or Pace(ROWS_PER_MINUTE)
            self._paces[machine] = pace
            if len(self._paces) > _HOSTS_WATCHED:
                self._paces.popitem(last=False)
            if max(pace.next_s, self._of_all.next_s) > now:
                return False
            pace.turn(now)
            self._of_all.turn(now)
            return True


def log_fields(caller: Caller) -> dict[str, str]:
    """What a log line says about a caller."""
    return {"calling_ae": caller.calling_ae, "called_ae": caller.called_ae, "host": caller.host}
