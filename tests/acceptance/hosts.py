"""Several hosts on one machine: network namespaces with an address each, on one switch, whose cables can be pulled.

The switch is a bridge in a namespace of its own, so that nothing of the machine's own network changes. What the hosts
share is the kernel: one clock, one page cache, one disk. A thread may enter a namespace too; what it opens and starts
is then of that host.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from tests.background import InBackground

NETWORK = "198.18.0.0/15"
"""For tests between devices (RFC 2544); no namespace has a way out of it."""

_PREFIX = "fhc"
_NAMESPACES = Path("/run/netns")
_NEW_NETWORK = 0x40000000
"""CLONE_NEWNET of sched.h."""

_GONE_S = 300.0
_RENAME = 'echo "$0" > /proc/sys/kernel/hostname && exec "$@"'

Answer = TypeVar("Answer")


def need_hosts() -> None:
    """Skip the test where there can be none; as root in CI there must be, so that a green run does not hide it."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    try:
        with lan() as network:
            network.host("one")
    except RuntimeError as error:
        reason = f"network namespaces need CAP_SYS_ADMIN and CAP_NET_ADMIN, which this root lacks: {error}"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


@dataclass(frozen=True)
class Host:
    """A namespace with one cable to the switch. Its processes see `name` as the name of their machine."""

    name: str
    namespace: str
    switch: str
    address: str

    @property
    def port_of_switch(self) -> str:
        return f"to-{self.address.rpartition('.')[2]}"

    def start(self, command: Sequence[str], log: Path, more: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """A process there, whose output goes to `log`. `more`: environment beside ours."""
        inside = ["ip", "netns", "exec", self.namespace, "unshare", "--uts", "sh", "-c", _RENAME, self.name, *command]
        with log.open("ab") as end:
            return subprocess.Popen(
                inside, env={**os.environ, **more}, stdin=subprocess.DEVNULL, stdout=end, stderr=end
            )

    def call(self, work: Callable[[], Answer]) -> Answer:
        """Do it in a thread that is there; also what it starts and opens stays there."""
        answers: list[Answer] = []

        def there() -> None:
            _enter(self.namespace)
            answers.append(work())

        InBackground(there).join()
        return answers[0]

    def pull(self) -> None:
        """The cable: whatever is sent from now on arrives nowhere, and nobody is told."""
        _ip("-n", self.switch, "link", "set", self.port_of_switch, "down")

    def plug(self) -> None:
        _ip("-n", self.switch, "link", "set", self.port_of_switch, "up")

    def card_off(self) -> None:
        """The host's own interface: here every attempt to send fails at once."""
        _ip("-n", self.namespace, "link", "set", "eth0", "down")

    def card_on(self) -> None:
        _ip("-n", self.namespace, "link", "set", "eth0", "up")

    def tell(self, number: signal.Signals) -> int:
        """A signal to every process; to how many."""
        return _tell(self.namespace, number)

    def kill(self) -> None:
        """kill -9 of every process; returns when all are gone."""
        _kill(self.namespace)


@dataclass
class Lan:
    """A switch and the hosts on it."""

    prefix: str
    _addresses: Iterator[int] = field(default_factory=lambda: iter(range(1, 255)))

    @property
    def switch(self) -> str:
        return f"{self.prefix}-switch"

    def host(self, name: str) -> Host:
        """One more, with its cable plugged in. Raises RuntimeError."""
        host = Host(name, f"{self.prefix}-{name}", self.switch, f"198.18.0.{next(self._addresses)}")
        _ip("netns", "add", host.namespace)
        pair = ("name", host.port_of_switch, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
        _ip("-n", self.switch, "link", "add", *pair)
        _ip("-n", self.switch, "link", "set", host.port_of_switch, "master", "bridge", "up")
        _ip("-n", host.namespace, "link", "set", "lo", "up")
        _ip("-n", host.namespace, "address", "add", f"{host.address}/24", "dev", "eth0")
        _ip("-n", host.namespace, "link", "set", "eth0", "up")
        return host

    def remove(self, host: Host) -> None:
        """With whatever runs there."""
        _remove(host.namespace)


@contextmanager
def lan() -> Iterator[Lan]:
    """A switch without hosts; when the block ends all are gone, with whatever ran there. Raises RuntimeError."""
    _remove_leftovers()
    network = Lan(f"{_PREFIX}-{_self()}-{time.monotonic_ns()}")
    try:
        _ip("netns", "add", network.switch)
        _ip("-n", network.switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", network.switch, "link", "set", "bridge", "up")
        yield network
    finally:
        for namespace in _namespaces(f"{network.prefix}-"):
            _remove(namespace)


def _self() -> str:
    """This process, and no later one of the same number."""
    return _named(psutil.Process())


def _named(process: psutil.Process) -> str:
    return f"{process.pid}-{int(process.create_time())}"


def _remove_leftovers() -> None:
    """Hosts of a run that was killed."""
    alive = {_named(process) for process in psutil.process_iter()}
    for namespace in _namespaces(f"{_PREFIX}-"):
        if "-".join(namespace.split("-")[1:3]) not in alive:
            _remove(namespace)


def _tell(namespace: str, number: signal.Signals) -> int:
    pids = [int(pid) for pid in _ip("netns", "pids", namespace).split()]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    return len(pids)


def _kill(namespace: str) -> None:
    deadline = time.monotonic() + _GONE_S
    while _tell(namespace, signal.SIGKILL):
        if time.monotonic() > deadline:
            raise RuntimeError(f"processes of {namespace} do not go")
        time.sleep(0.02)


def _remove(namespace: str) -> None:
    _kill(namespace)
    _ip("netns", "delete", namespace)


def _namespaces(prefix: str) -> list[str]:
    return sorted(path.name for path in _NAMESPACES.glob(f"{prefix}*"))


def _enter(namespace: str) -> None:
    """This thread moves there, for good (setns(2))."""
    with (_NAMESPACES / namespace).open("rb") as door:
        if ctypes.CDLL(None, use_errno=True).setns(door.fileno(), _NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _ip(*words: str) -> str:
    """What it prints. Raises RuntimeError with what it complains of."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
