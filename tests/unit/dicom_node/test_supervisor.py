"""The supervisor with small real processes."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from dicom_node.supervisor import REFUSED_STATUS, ChildFailed, Patience, Supervisor

QUICK = Patience(first_s=0.05, longest_s=0.2, well_after_s=0.2, grace_s=1.0)
READY = "import sys, time; print('ready', flush=True); "
OBEDIENT = READY + "sys.stdin.read()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + READY + "time.sleep(60)"


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", code)


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def running(**codes: str) -> Iterator[Supervisor]:
    supervisor = Supervisor({role: python(code) for role, code in codes.items()}, QUICK)
    stop = threading.Event()
    thread = threading.Thread(target=supervisor.run, args=(stop,))
    thread.start()
    try:
        yield supervisor
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.msg for record in caplog.records]


def test_ready_is_told_once_all_are(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with running(receiver=OBEDIENT, worker="import time; time.sleep(0.4); " + OBEDIENT):
        time.sleep(0.2)
        assert "serve.ready" not in events(caplog)
        wait_until(lambda: "serve.ready" in events(caplog))


def test_killed_child_is_started_again_and_the_others_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with running(receiver=OBEDIENT, worker=OBEDIENT) as supervisor:
        wait_until(lambda: "serve.ready" in events(caplog))
        before = supervisor.pids
        os.kill(before["worker"], signal.SIGKILL)
        wait_until(lambda: supervisor.pids.get("worker") not in (None, before["worker"]))
        assert supervisor.pids["receiver"] == before["receiver"]
    (died,) = [record for record in caplog.records if record.msg == "serve.child_died"]
    assert vars(died)["role"] == "worker"
    assert vars(died)["exit_status"] == -signal.SIGKILL


def test_waits_grow_while_a_child_keeps_dying(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with running(worker=READY + "sys.exit(1)"):
        wait_until(lambda: events(caplog).count("serve.child_died") >= 4)
    delays = [vars(r)["delay_s"] for r in caplog.records if r.msg == "serve.child_died"]
    assert delays[:4] == [0.05, 0.1, 0.2, 0.2]


def test_child_that_refuses_to_start_ends_all() -> None:
    supervisor = Supervisor(
        {"receiver": python(f"raise SystemExit({REFUSED_STATUS})"), "worker": python(OBEDIENT)}, QUICK
    )
    with pytest.raises(ChildFailed, match="the receiver could not start"):
        supervisor.run(threading.Event())
    assert supervisor.pids == {}


def test_child_that_failed_for_now_is_started_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    second_time = f"import os, sys; f = {str(tmp_path / 'f')!r}; os.path.exists(f) or (open(f, 'w'), sys.exit(1)); "
    with running(worker=second_time + OBEDIENT):
        wait_until(lambda: "serve.ready" in events(caplog))


def test_stubborn_child_is_killed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with running(worker=STUBBORN) as supervisor:
        wait_until(lambda: "serve.ready" in events(caplog))
        process = psutil.Process(supervisor.pids["worker"])
    assert "serve.child_killed" in events(caplog)
    assert not process.is_running()


def test_no_orphan_is_left_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    child = "from dicom_node.app import stop_at_end_of_input as w; import threading; "
    child += "s = threading.Event(); w(s); print('ready', flush=True); s.wait()"
    script = tmp_path / "supervise.py"
    script.write_text(
        "import sys, threading, logging; from dicom_node.supervisor import Supervisor\n"
        "logging.basicConfig(level='INFO', stream=sys.stdout)\n"
        f"Supervisor({{'worker': [sys.executable, '-c', {child!r}]}}).run(threading.Event())\n"
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "serve.ready" not in process.stdout.readline():
            assert process.poll() is None
        (orphan,) = psutil.Process(process.pid).children()
        process.kill()
    psutil.wait_procs([orphan], timeout=10)
    assert not orphan.is_running()
