"""Whatever happens to the process that looks: the desk answers by name, and the next one is served."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicom_node.config import Config
from dicom_node.errors import Refused
from dicom_node.trial.asked import Asked
from dicom_node.trial.desk import MOST_WAITING, Desk, DeskBusy, LookEnded

FILE = Asked(file=Path("a.dcm"))
ECHOING = """
import json, os, sys
sys.stdin.readline()
for line in sys.stdin:
    task = json.loads(line)
    {do}
    print(json.dumps({{"answer": {{"file": task["file"], "pid": os.getpid()}}}}), flush=True)
"""


@contextmanager
def desk(do: str = "pass", limit_s: float = 60.0) -> Iterator[Desk]:
    made = Desk(Config(), limit_s, (sys.executable, "-c", ECHOING.format(do=do)))
    try:
        yield made
    finally:
        made.close()


def test_one_process_serves_all() -> None:
    with desk() as ours:
        first, second = ours.ask(FILE), ours.ask(FILE)
    assert first["file"] == "a.dcm"
    assert first["pid"] == second["pid"]


def test_what_never_ends_is_ended_and_the_next_is_served() -> None:
    slow = Asked(file=Path("slow.dcm"))
    with desk("import time; 'slow' in task['file'] and time.sleep(600)", limit_s=5.0) as ours:
        with pytest.raises(LookEnded):
            ours.ask(slow)
        assert ours.ask(FILE)["file"] == "a.dcm"


@pytest.mark.parametrize("end", ["os._exit(1)", "os.kill(os.getpid(), 9)", "raise MemoryError"])
def test_what_breaks_the_process_breaks_nothing_else(end: str) -> None:
    with desk(f"if 'bad' in task['file']: {end}") as ours:
        with pytest.raises(LookEnded):
            ours.ask(Asked(file=Path("bad.dcm")))
        assert ours.ask(FILE)["file"] == "a.dcm"


def test_a_process_that_died_between_two_questions_is_started_again() -> None:
    with desk() as ours:
        pid = ours.ask(FILE)["pid"]
        assert ours._process is not None
        ours._process.kill()
        ours._process.wait()
        assert ours.ask(FILE)["pid"] != pid


def test_what_the_process_refuses_is_refused_in_its_words() -> None:
    refusing = "print(json.dumps({'error': 'no model x'}), flush=True); continue"
    with desk(refusing) as ours, pytest.raises(Refused, match="no model x"):
        ours.ask(FILE)


def test_more_than_can_wait_are_sent_away(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    wait = f"import time\n    while not os.path.exists({str(gate)!r}): time.sleep(0.05)"
    with desk(wait) as ours:
        served: list[object] = []
        threads = [threading.Thread(target=lambda: served.append(ours.ask(FILE))) for _ in range(MOST_WAITING + 1)]
        for thread in threads:
            thread.start()
        while ours._places._value:  # until all places are taken
            time.sleep(0.01)
        with pytest.raises(DeskBusy):
            ours.ask(FILE)
        gate.touch()
        for thread in threads:
            thread.join()
        assert len(served) == len(threads)
