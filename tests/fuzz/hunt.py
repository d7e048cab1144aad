"""Hands mutated files to worker processes and judges what comes back.

File number n of a hunt depends on the seed and on n alone, so any file can be made again. Those that fail are kept with
what was found; the folder is printed.
"""

from __future__ import annotations

import json
import os
import random
import selectors
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom

from inference.domain import Reason, Status
from tests.fuzz.corpus import Seed
from tests.fuzz.mutations import Mutant, mutate

ROOT = Path(__file__).resolve().parents[2]
HANG_S = 10.0
OVER_MB = 1000.0
START_S = 120.0
REAL_EVERY = 25
"""Every so many files the real network looks; otherwise one that costs nothing."""

FORBIDDEN_IN_LOGS = ("Traceback", "measure.failed")
CONFIRMED = ("hangs", "over_memory")
"""A busy machine is slow and an old process is large: these count only if they happen again in a fresh process."""

KINDS = ("crashes", *CONFIRMED, "unanswered", "bad_answers", "leaks", "noise")


@dataclass(frozen=True)
class Hunt:
    """What to do. It ends after `files` files or `seconds` seconds, whichever comes first."""

    seeds: Sequence[Seed]
    folder: Path
    seed: int
    files: int
    seconds: float
    workers: int = 2
    subject: str = "tests.fuzz.worker:measuring"
    hang_s: float = HANG_S


@dataclass
class Tally:
    """What a hunt came to. Of `failures` there must be none: kind of failure, file, and what was seen."""

    files: int = 0
    seconds: float = 0.0
    peak_mb: float = 0.0
    slowest_s: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    mutations: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, str, str]] = field(default_factory=list)

    def count(self, kind: str) -> int:
        return sum(failure[0] == kind for failure in self.failures)

    def row(self) -> dict[str, Any]:
        """As benchmarks/fuzz.json holds it."""
        return {
            "files": self.files,
            "seconds": round(self.seconds),
            **{kind: self.count(kind) for kind in KINDS},
            "highest_peak_mb": round(self.peak_mb),
            "slowest_s": round(self.slowest_s, 1),
            "answers": dict(sorted(self.statuses.items())),
        }


class Lost(Exception):
    """The worker died (a status) or did not answer in time (None)."""

    def __init__(self, status: int | None) -> None:
        super().__init__(status)
        self.status = status


class Worker:
    """One process of tests/fuzz/worker.py with its output in files."""

    def __init__(self, folder: Path, subject: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._out, self._err = folder / "stdout", folder / "stderr"
        reading, writing = os.pipe()
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.worker", str(writing), subject],
                stdin=subprocess.PIPE, stdout=out, stderr=err, pass_fds=[writing], cwd=ROOT,
            )  # fmt: skip
        os.close(writing)
        self._answers = os.fdopen(reading, "r", encoding="utf-8")
        self._read = {self._out: 0, self._err: 0}
        self._receive(START_S)

    def look(self, path: Path, real: bool, seconds: float) -> dict[str, Any]:
        """The worker's answer; raises Lost."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"file": str(path), "real": real}).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Lost(self._process.wait()) from None
        return self._receive(seconds)

    def _receive(self, seconds: float) -> dict[str, Any]:
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            ready = selector.select(seconds)
        line = self._answers.readline() if ready else None
        if line is None:
            raise Lost(None)
        if not line:
            raise Lost(self._process.wait())
        parsed: dict[str, Any] = json.loads(line)
        return parsed

    def printed(self) -> tuple[str, str]:
        """What came on standard output and error since the last call."""
        return self._new(self._out), self._new(self._err)

    def _new(self, path: Path) -> str:
        with path.open("rb") as file:
            file.seek(self._read[path])
            data = file.read()
        self._read[path] += len(data)
        return data.decode("utf-8", "replace")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._answers.close()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()


def case(hunt: Hunt, number: int) -> tuple[Seed, Mutant]:
    """File `number` of a hunt, and from which seed."""
    rng = random.Random(f"{hunt.seed}/{number}")
    chosen = rng.choice(hunt.seeds)
    return chosen, mutate(chosen.content, rng)


def run(hunt: Hunt) -> Tally:
    """Look at every file of the hunt."""
    tally = Tally()
    began = time.monotonic()
    lock = threading.Lock()
    numbers = iter(range(hunt.files))

    def work(name: str) -> None:
        with _Desk(hunt, hunt.folder / name) as desk:
            while time.monotonic() - began < hunt.seconds:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                verdict = desk.judge(number)
                with lock:
                    _add(tally, verdict)

    with _tolerant_library(), ThreadPoolExecutor(hunt.workers) as pool:
        list(pool.map(work, (f"worker{n}" for n in range(hunt.workers))))
    tally.seconds = time.monotonic() - began
    return tally


@dataclass
class Verdict:
    """What one file came to."""

    names: tuple[str, ...]
    said: dict[str, Any] = field(default_factory=dict)
    status: str = "none"
    failures: list[tuple[str, str, str]] = field(default_factory=list)


def _add(tally: Tally, verdict: Verdict) -> None:
    tally.files += 1
    tally.peak_mb = max(tally.peak_mb, verdict.said.get("peak_mb", 0.0))
    tally.slowest_s = max(tally.slowest_s, verdict.said.get("seconds", 0.0))
    tally.statuses[verdict.status] += 1
    tally.mutations.update(verdict.names)
    tally.failures += verdict.failures
    for failure in verdict.failures:
        print("FUZZ", *failure, flush=True)


class _Desk:
    """One worker at a time, replaced when it is lost."""

    def __init__(self, hunt: Hunt, folder: Path) -> None:
        self._hunt, self._folder = hunt, folder
        self._worker: Worker | None = None

    def __enter__(self) -> _Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self._drop()

    def judge(self, number: int) -> Verdict:
        seed, mutant = case(self._hunt, number)
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / "mutant.dcm"
        mutant.write(path)
        verdict = Verdict(mutant.names)
        found = self._look(path, number % REAL_EVERY == 0, verdict)
        if found and found[0] in CONFIRMED:
            self._drop()
            found = self._look(path, number % REAL_EVERY == 0, verdict)
        found += self._check_print(seed.secrets)
        found += check_answer(verdict.said, seed.secrets, str(path))
        verdict.status = _status(verdict.said)
        label = f"{self._hunt.seed}/{number} {seed.name} {'+'.join(mutant.names)}"
        verdict.failures = [(kind, label, json.dumps(verdict.said)[:600]) for kind in dict.fromkeys(found)]
        if verdict.failures:
            self._keep(mutant, number, verdict)
        return verdict

    def _look(self, path: Path, real: bool, verdict: Verdict) -> list[str]:
        if self._worker is None:
            self._worker = Worker(self._folder, self._hunt.subject)
        try:
            verdict.said = self._worker.look(path, real, self._hunt.hang_s)
        except Lost as lost:
            verdict.said = {"lost": lost.status, "stderr": self._worker.printed()[1][-300:]}
            self._drop()
            return ["hangs" if lost.status is None else "crashes"]
        return ["over_memory"] if verdict.said["peak_mb"] > OVER_MB else []

    def _check_print(self, secrets: Sequence[str]) -> list[str]:
        """Nothing on standard output, which carries the answers, and in the log no stack and no patient."""
        if self._worker is None:
            return []
        out, err = self._worker.printed()
        found = ["noise"] if out else []
        if any(secret in out + err for secret in secrets):
            found.append("leaks")
        return found + (["bad_answers"] if any(word in err for word in FORBIDDEN_IN_LOGS) else [])

    def _keep(self, mutant: Mutant, number: int, verdict: Verdict) -> None:
        folder = self._hunt.folder / "failures"
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / f"{self._hunt.seed}-{number}.dcm"
        mutant.write(kept)
        kept.with_suffix(".json").write_text(json.dumps(verdict.failures, indent=1), encoding="utf-8")

    def _drop(self) -> None:
        if self._worker is not None:
            self._worker.stop()
            self._worker = None


def check_answer(said: dict[str, Any], secrets: Sequence[str], path: str) -> list[str]:
    """What is wrong with what the worker said of a file; nothing where it was lost."""
    if "lost" in said:
        return []
    if "answer" not in said:
        return ["unanswered"]
    answer = json.loads(said["answer"])
    if not isinstance(answer, dict):
        return ["unanswered"]
    found = [] if _is_sound(answer) and answer.get("file") == path else ["bad_answers"]
    return found + (["leaks"] if any(secret in said["answer"] for secret in secrets) else [])


def _is_sound(answer: dict[str, Any]) -> bool:
    """In the vocabulary, foreseen, and with a number if and only if it says so."""
    findings = [answer, *answer["measurements"]]
    return all(_is_sound_finding(finding) for finding in findings)


def _is_sound_finding(finding: dict[str, Any]) -> bool:
    measured = finding["status"] == Status.MEASURED
    named = finding["reason"] is None if measured else finding["reason"] in set(Reason) and finding["reason_text"]
    foreseen = "unexpected" not in str(finding["reason_text"])
    numbers = [finding[key] for key in ("hc_mm", "bpd_mm", "ofd_mm")]
    complete = all(n is not None and 0 < n < 1000 for n in numbers) if measured else numbers == [None] * 3
    return finding["status"] in set(Status) and bool(named) and foreseen and complete


def _status(said: dict[str, Any]) -> str:
    answer = json.loads(said.get("answer", "null"))
    if not isinstance(answer, dict):
        return "none"
    return str(answer["status"]) if answer["reason"] is None else f"{answer['status']}: {answer['reason']}"


@contextmanager
def _tolerant_library() -> Iterator[None]:
    """Let the mutations write what no writer should."""
    settings = pydicom.config.settings
    modes = settings.reading_validation_mode, settings.writing_validation_mode
    settings.reading_validation_mode = settings.writing_validation_mode = pydicom.config.IGNORE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            settings.reading_validation_mode, settings.writing_validation_mode = modes
