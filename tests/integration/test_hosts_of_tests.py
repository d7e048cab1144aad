"""The ground under tests/acceptance/test_hosts.py: a pulled cable carries nothing, and nothing is left behind."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.acceptance.hosts import Host, lan, need_hosts
from tests.acceptance.node import gone

PORT = 4000
SHORT_S, LONG_S = 0.3, 60.0

KILLED_RUN = """
import sys
from pathlib import Path
from tests.acceptance.hosts import lan
with lan() as network:
    print(network.host("one").start(["sleep", "600"], Path(sys.argv[1]), {}).pid, network.prefix, flush=True)
    input()
"""

pytestmark = pytest.mark.peer("ip")


@pytest.fixture(autouse=True)
def hosts() -> None:
    need_hosts()


@pytest.fixture
def pair() -> Iterator[tuple[Host, socket.socket, socket.socket]]:
    """A host, and both ends of a connection from it to another."""
    with lan() as network:
        here, there = network.host("here"), network.host("there")
        with (
            closing(there.call(lambda: socket.create_server((there.address, PORT)))) as listener,
            closing(here.call(lambda: socket.create_connection((there.address, PORT), LONG_S))) as caller,
            closing(listener.accept()[0]) as called,
        ):
            yield here, caller, called


def test_a_pulled_cable_carries_nothing_until_it_is_plugged_in_again(
    pair: tuple[Host, socket.socket, socket.socket],
) -> None:
    host, caller, called = pair
    host.pull()
    caller.sendall(b"late")
    called.settimeout(SHORT_S)
    with pytest.raises(TimeoutError):
        called.recv(4)
    host.plug()
    called.settimeout(LONG_S)
    assert called.recv(4) == b"late"


def test_a_host_whose_card_is_off_is_told_at_once(pair: tuple[Host, socket.socket, socket.socket]) -> None:
    host, caller, _ = pair
    host.card_off()
    with pytest.raises(OSError, match="unreachable"):
        host.call(lambda: socket.create_connection(caller.getpeername(), LONG_S))
    host.card_on()
    host.call(lambda: socket.create_connection(caller.getpeername(), LONG_S)).close()


def test_hosts_of_a_run_that_was_killed_are_removed_by_the_next(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED_RUN, str(tmp_path / "log")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid, prefix = run.stdout.readline().split()
        left = psutil.Process(int(pid))
        run.kill()
    assert not gone(left)
    with lan():
        pass
    assert gone(left)
    assert not [path for path in Path("/run/netns").iterdir() if path.name.startswith(prefix)]
