"""The one place that asks the process which looks; see child.py. It is started when it is first needed, and ended when
nobody has needed it for a while, when it takes too long, and when it breaks.
"""

from __future__ import annotations

import json
import logging
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO, Any

from dicom_node.config import Config
from dicom_node.errors import Refused, Transient
from dicom_node.trial.asked import ANSWER, ERROR, Asked

_log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "dicom_node.trial.child")
IDLE_S = 600.0
MOST_WAITING = 4


class DeskBusy(Transient):
    """Others are being served and are waiting; try again in a moment."""


class LookEnded(Refused):
    """The file could not be looked at within the memory and the time that one file may take."""


class Desk:
    """Serves one at a time, at most so many wait. Threads may share it."""

    def __init__(self, config: Config, limit_s: float, command: Sequence[str] = COMMAND) -> None:
        self._config, self._limit_s, self._command = config, limit_s, tuple(command)
        self._places = threading.Semaphore(MOST_WAITING + 1)
        self._serving = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._idle: threading.Timer | None = None

    def ask(self, asked: Asked) -> dict[str, Any]:
        """What the process answered.

        Raises:
            DeskBusy: too many wait already.
            LookEnded: it took too long or too much memory, or broke; the next one is served by a new process.
            Refused: what the process refused by name.
        """
        if not self._places.acquire(blocking=False):
            raise DeskBusy
        try:
            with self._serving:
                return self._served(asked)
        finally:
            self._places.release()

    def close(self) -> None:
        """End the process, if it runs; it is started again by the next question."""
        with self._serving:
            self._end()

    def _served(self, asked: Asked) -> dict[str, Any]:
        if self._idle is not None:
            self._idle.cancel()
        process = self._running()
        line = self._exchanged(process, asked.model_dump_json().encode() + b"\n")
        if not line:
            self._end()
            _log.warning("trial.ended", extra={"exit_status": process.returncode})
            raise LookEnded
        self._wait_idle()
        answer: dict[str, Any] = json.loads(line)
        if ERROR in answer:
            raise Refused(str(answer[ERROR]))
        told: dict[str, Any] = answer[ANSWER]
        return told

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._end()
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
        _log.info("trial.started", extra={"pid": self._process.pid})
        assert self._process.stdin is not None  # noqa: S101  asked for above
        _write(self._process.stdin, self._config.model_dump_json().encode() + b"\n")
        return self._process

    def _exchanged(self, process: subprocess.Popen[bytes], line: bytes) -> bytes:
        """The answering line; empty where none came in time."""
        assert process.stdin is not None  # noqa: S101  see _running
        assert process.stdout is not None  # noqa: S101  see _running
        _write(process.stdin, line)
        return _line_within(process.stdout, self._limit_s)

    def _wait_idle(self) -> None:
        self._idle = threading.Timer(IDLE_S, self.close)
        self._idle.daemon = True
        self._idle.start()

    def _end(self) -> None:
        """Nothing of it is worth keeping: no grace."""
        if self._idle is not None:
            self._idle.cancel()
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process = None


def _write(stream: IO[bytes], line: bytes) -> None:
    try:
        stream.write(line)
        stream.flush()
    except BrokenPipeError:  # it is gone; whoever reads the answer finds out
        pass


def _line_within(stream: IO[bytes], seconds: float) -> bytes:
    """Up to the first line feed; empty where the stream ended or the time was over before."""
    deadline, line = time.monotonic() + seconds, bytearray()
    while not line.endswith(b"\n"):
        readable, _, _ = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
        piece = stream.raw.read(65536) if readable else b""  # type: ignore[attr-defined]
        if not piece:
            return b""
        line += piece
    return bytes(line)
