"""Subjects for tests/fuzz/worker.py that go wrong on purpose, so that the hunt itself can be tested."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.fuzz.worker import Subject

REFUSAL: dict[str, Any] = {
    "status": "refused",
    "reason": "unreadable",
    "reason_text": "It cannot be parsed.",
    "measurements": [],
    **dict.fromkeys(("hc_mm", "bpd_mm", "ofd_mm")),
}
EVERY = 10


def _sometimes(fault: Subject) -> Subject:
    """A good refusal, and for every tenth file the fault."""
    seen = [0]

    def subject(path: Path, real: bool) -> Any:
        seen[0] += 1
        good = {**REFUSAL, "file": str(path)}
        return good if seen[0] % EVERY else fault(path, real) or good

    return subject


def crashes() -> Subject:
    return _sometimes(lambda *_: os.kill(os.getpid(), signal.SIGSEGV))


def hangs() -> Subject:
    return lambda *_: time.sleep(60)


def over_memory() -> Subject:
    def subject(path: Path, _: bool) -> Any:
        return {**REFUSAL, "file": str(path)} if len(b"x" * (1100 << 20)) else None

    return subject


def unanswered() -> Subject:
    return _sometimes(lambda *_: sys.exit(3))


def bad_answers() -> Subject:
    return _sometimes(lambda path, _: {**REFUSAL, "file": str(path), "reason": "because"})


def leaks() -> Subject:
    return _sometimes(lambda path, _: {**REFUSAL, "file": str(path), "reason_text": "Tweety cannot be parsed."})


def noise() -> Subject:
    return _sometimes(lambda *_: print("a library says something"))
