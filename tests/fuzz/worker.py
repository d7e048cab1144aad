"""The process that looks at mutated files: `python -m tests.fuzz.worker ANSWER_FD [SUBJECT]`.

It reads one order a line from standard input, does what `dicom-node measure` does for one file, and writes one answer
a line to the descriptor. Whatever else comes out of it, by whichever library, is found on its standard output or error.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

SPARE_BYTES = 3 << 30
"""How far the address space may grow beyond what the idle process has: keeps a runaway from taking the machine down."""

OF_SKULL_AND_DOUBT = ("highest_strangeness", "highest_hesitation", "highest_weak_echo", "lowest_echo_variation")

Subject = Callable[[Path, bool], Any]
"""(file, whether with the real network) -> the answer."""


def main() -> None:
    answers = os.fdopen(int(sys.argv[1]), "w", encoding="utf-8")
    module, _, function = (sys.argv[2] if len(sys.argv) > 2 else "tests.fuzz.worker:measuring").partition(":")
    subject: Subject = getattr(importlib.import_module(module), function)()
    _keep_within(SPARE_BYTES)
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(_look(subject, Path(order["file"]), order["real"])), file=answers, flush=True)


def _look(subject: Subject, path: Path, real: bool) -> dict[str, Any]:
    _forget_peak()
    began = time.perf_counter()
    try:
        said = {"answer": json.dumps(subject(path, real), allow_nan=False)}
    except BaseException as error:  # noqa: BLE001  that it came out is the finding
        said = {"escaped": type(error).__name__}
    seconds = time.perf_counter() - began
    ctypes.CDLL(None).fflush(None)
    return {**said, "seconds": round(seconds, 3), "peak_mb": _peak_mb()}


def measuring() -> Subject:
    """`measure_file` with the configured network, or with one that calls bright what is head and costs nothing.

    That one is never sure, and the head it sees has no skull: the limits on both are left out.
    """
    from dicom_node import logs
    from dicom_node.config import Config
    from dicom_node.examiner import build_examiner, find_entry
    from dicom_node.measuring import measure_file
    from inference.dating import EQUATIONS
    from inference.examine import Examiner
    from inference.look import Look
    from inference.segment import Segmenter
    from tests.unit.inference.test_segment import BrightIsHead

    config = Config()
    config = config.model_copy(update={"inference": config.inference.model_copy(update={"threads": 1})})
    logs.configure(config.logging.level, config.logging.format)
    entry = find_entry(config)
    real = build_examiner(config, entry)
    segmenter = Segmenter(BrightIsHead(), entry.grid, entry.normalisation, Look())
    quick = Examiner(
        segmenter,
        replace(entry, gate=replace(entry.gate, **dict.fromkeys(OF_SKULL_AND_DOUBT))),
        EQUATIONS[config.inference.equation],
    )
    return lambda path, with_network: measure_file(
        path, real if with_network else quick, config.inference.cine_frames, None
    )


def _keep_within(spare_bytes: int) -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + spare_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _forget_peak() -> None:
    """Start the peak of the resident set afresh (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
