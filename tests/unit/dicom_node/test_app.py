"""A process is told to stop at the worst moment."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

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
