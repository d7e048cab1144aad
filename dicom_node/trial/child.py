"""The process that looks: a line of JSON in, a line of JSON out, until standard input ends. `python -m` this.

A file from a browser is opened here and nowhere else. What is too large for it runs out of this process's memory and
not of the machine's; what never ends is ended by the desk; what breaks it takes nothing with it. It steps back behind
the node's own work.
"""

from __future__ import annotations

import json
import os
import queue
import resource
import sys
import threading
from typing import Any

from dicom_node import logs
from dicom_node.config import Config
from dicom_node.errors import NodeError
from dicom_node.trial.asked import ANSWER, ERROR, Asked, TrialAsked

MEMORY_BYTES = 3 << 30
"""Of data: network, frames and libraries take 0.6 GB for a still of 0.8 million pixels."""

STEPS_BACK = 5
"""Niceness: an image that was received is measured first."""


def main() -> None:
    """The first line is the configuration, each further one a task; see desk.py."""
    os.nice(STEPS_BACK)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold the picture
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    config = Config.model_validate_json(sys.stdin.readline())
    logs.configure(config.logging.level, config.logging.format)
    from dicom_node.trial.looking import Looker  # noqa: PLC0415  torch, once the limits hold

    looker, tasks = Looker(config), _tasks()
    while True:
        print(json.dumps(_answered(looker, tasks.get())), file=answers, flush=True)


def _tasks() -> queue.SimpleQueue[str]:
    """The lines of standard input. When it ends nobody waits for an answer any more, not even for the one under way."""
    tasks: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            tasks.put(line)
        os._exit(0)

    threading.Thread(target=read, name="tasks", daemon=True).start()
    return tasks


def _answered(looker: Any, line: str) -> dict[str, Any]:
    """What was refused by name is an answer; anything else ends the process, and the desk says so."""
    try:
        task = json.loads(line)
        if "out" in task:
            return {ANSWER: looker.try_out(TrialAsked.model_validate(task))}
        return {ANSWER: looker.measure(Asked.model_validate(task))}
    except NodeError as error:
        return {ERROR: str(error)}


if __name__ == "__main__":
    main()
