"""Keeps the processes of a node alive: starts them, notices that one died, starts it again, ends them in order.

A child tells that it is ready by a line on its standard output, and leaves when its standard input ends, so that not
even `kill -9` of the supervisor leaves an orphan behind. Children log to the standard error they inherit.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dicom_node.errors import Refused

_log = logging.getLogger(__name__)

READY_LINE = b"ready\n"
REFUSED_STATUS = 3
"""Exit status of a supervised process that cannot start however often it is tried: configuration, model, schema."""
POLL_S = 0.05


class ChildFailed(Refused):
    """A process of the node could not start; its own message says why."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: first and longest wait before a restart, how long a child must live to be well, grace at the end."""

    first_s: float = 0.2
    longest_s: float = 10.0
    well_after_s: float = 2.0
    grace_s: float = 25.0


@dataclass(slots=True)
class Child:
    """One role and its process, if it runs. `deaths` counts those in a row; the node does its work without a spare.

    `descriptors` are open in the process under the same numbers.
    """

    role: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    ready: threading.Event = field(default_factory=threading.Event)
    was_ready: bool = False
    deaths: int = 0
    start_at: float = 0.0
    started_at: float = 0.0
    spare: bool = False
    descriptors: Sequence[int] = ()

    def start(self) -> None:
        # not in a `with`: the process outlives this function
        self.ready.clear()
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(  # noqa: S603
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=self.descriptors
        )
        threading.Thread(target=_listen, args=(self.process, self.ready), name=f"hear-{self.role}", daemon=True).start()
        _log.info("serve.child_started", extra={"role": self.role, "pid": self.process.pid})

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def bury(self) -> None:
        """Wait for an ended process and close our ends of its pipes (the listener closes standard output)."""
        if self.process is not None:
            self.process.wait()
            if self.process.stdin is not None:
                self.process.stdin.close()
            self.process = None


def _listen(process: subprocess.Popen[bytes], ready: threading.Event) -> None:
    if process.stdout is None:
        return
    with process.stdout as stream:
        for line in stream:
            if line == READY_LINE:
                ready.set()


class Supervisor:
    """Runs one process per role until told to stop."""

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        patience: Patience | None = None,
        spare: frozenset[str] = frozenset(),
        descriptors: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        """`spare` roles are kept alive too, but the node is ready, and goes on, without them.

        `descriptors` by role: what its process inherits beside the standard ones.
        """
        given = descriptors or {}
        self._children = [
            Child(role, command, spare=role in spare, descriptors=given.get(role, ()))
            for role, command in commands.items()
        ]
        self._patience = patience or Patience()
        self._announced = False

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the roles that run."""
        return {child.role: child.process.pid for child in self._children if child.process is not None}

    def run(self, stop: threading.Event) -> None:
        """Supervise until `stop` is set, then end all children.

        Raises:
            ChildFailed: a child was refused what it needs (exit status REFUSED_STATUS) before it had ever been ready;
                starting it again would say the same. What may pass, such as a locked database, is started again.
        """
        try:
            while not stop.is_set():
                for child in self._children:
                    self._look_after(child)
                self._announce()
                stop.wait(POLL_S)
        finally:
            self._end_all()

    def _look_after(self, child: Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if now >= child.start_at:
                child.start()
        elif (status := child.process.poll()) is not None:
            self._died(child, status, now)
        elif child.ready.is_set():
            child.was_ready = True
            if child.deaths and now - child.started_at > self._patience.well_after_s:
                child.deaths = 0

    def _died(self, child: Child, status: int, now: float) -> None:
        child.was_ready |= child.ready.is_set()
        child.bury()
        delay_s = min(self._patience.longest_s, self._patience.first_s * 2.0 ** min(child.deaths, 30))
        child.deaths += 1
        child.start_at = now + delay_s
        fields = {"role": child.role, "exit_status": status, "delay_s": delay_s, "count": child.deaths}
        _log.error("serve.child_died", extra=fields)
        if status == REFUSED_STATUS and not child.was_ready and not child.spare:
            raise ChildFailed(f"the {child.role} could not start")

    def _announce(self) -> None:
        needed = [child for child in self._children if not child.spare]
        if not self._announced and all(child.ready.is_set() for child in needed):
            self._announced = True
            _log.info("serve.ready", extra={"count": len(needed)})

    def _end_all(self) -> None:
        for child in self._children:
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + self._patience.grace_s
        for child in self._children:
            if child.process is None:
                continue
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _log.error("serve.child_killed", extra={"role": child.role, "pid": child.process.pid})
                child.signal(signal.SIGKILL)
            child.bury()
        _log.info("serve.stopped")
