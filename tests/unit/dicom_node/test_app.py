"""A process is told to stop at the worst moment."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from dicom_node import app
from dicom_node.config import Config
from dicom_node.receive import server
from dicom_node.sharing import Share
from dicom_node.storage.repository import Repository

HOLDING_THE_LOCK = """
import os, signal, time
from dicom_node.app import stop_on_signals
stop = stop_on_signals()
with stop._cond:  # where Event.wait is between two steps
    os.kill(os.getpid(), signal.{name})
    time.sleep(0.05)
assert stop.wait(5)
os.kill(os.getpid(), signal.{name})  # impatience ends nothing half-way
time.sleep(0.05)
print("left in order")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_event_is_locked_stops_the_process(number: signal.Signals) -> None:
    command = [sys.executable, "-c", HOLDING_THE_LOCK.format(name=number.name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (0, "left in order\n")


@pytest.mark.parametrize(("share", "times"), [(None, 1), (Share(1, 5, 6, None), 1), (Share(2, 5, 6, None), 0)])
def test_of_several_receivers_the_first_keeps_house(
    share: Share | None, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[object] = []

    def housekeeping(*arguments: object) -> Any:
        kept.append(arguments)
        return nullcontext()

    monkeypatch.setattr(app, "housekeeping", housekeeping)
    monkeypatch.setattr(app, "bound_arenas", lambda: None)
    monkeypatch.setattr(app.gc, "freeze", lambda: None)
    monkeypatch.setattr(server, "run", lambda *_: None)
    repository = Repository.open(f"sqlite:///{tmp_path}/node.sqlite3")
    app._receive(Config(), None, repository, threading.Event(), share)
    repository.close()
    assert len(kept) == times


def test_a_share_is_the_same_after_the_command_line() -> None:
    for share in (Share(1, 5, 6, 7), Share(2, 5, None, 7), Share(3, 5, 6, None)):
        assert Share.of(share.text) == share
