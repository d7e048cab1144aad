"""Markers of the whole suite.

`@pytest.mark.peer("storescu", "Orthanc")`: needs these programs. Absent, the test skips with the line that installs
them; with CI=true it fails instead, so that a green run never hides a peer that was not there.

`@pytest.mark.slow`: the full count of a test that is cheap to run in small; only with `--run-slow` (`make soak`).
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.peers import missing_peers, use_outside_path
from tests.postgresql import Server, running_server


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-slow", action="store_true", help="also run the tests marked slow")


def pytest_configure() -> None:
    use_outside_path()
    # a property is about values; how long an example takes on a busy machine is none
    settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("busy")


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Python waits for such a thread for ever when it exits; name it and fail instead."""
    if stuck := _lingering_threads(seconds=10):
        print("threads that do not end:", *stuck, file=sys.stderr)
        faulthandler.dump_traceback(sys.__stderr__)
        os._exit(1)


def _lingering_threads(seconds: float) -> list[str]:
    def lingering() -> Iterator[threading.Thread]:
        return (t for t in threading.enumerate() if not t.daemon and t is not threading.main_thread())

    deadline = time.monotonic() + seconds
    while any(lingering()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return [thread.name for thread in lingering()]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--run-slow") or "slow" in (config.getoption("markexpr") or ""):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


def pytest_runtest_setup(item: pytest.Item) -> None:
    programs = [str(program) for marker in item.iter_markers("peer") for program in marker.args]
    reason = missing_peers(programs)
    if reason is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """One PostgreSQL server for the whole run, for tests marked `peer("postgres")`."""
    with running_server() as server:
        yield server
