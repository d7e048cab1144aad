"""Thousands of broken conversations with a receiver, slow senders, endless ones: it lives, and others are served.

The receiver is the process that an operator starts. It fails the test if it ends, writes a stack or a patient's name
into its log, keeps memory, threads or descriptors, refuses an honest sender or loses what it acknowledged. CI talks for
20 seconds from a fixed seed; `make soak` until 50,000 mutated PDUs were sent, and writes benchmarks/bad_peers.json.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml

from dicom_node.storage.repository import Repository
from tests.fuzz import bad_peers, exchanges
from tests.fuzz.bad_peers import HONEST, Costs, Hunt, Tally, costs, honest_sender, store_one
from tests.fuzz.protocol_mutations import MUTATIONS, break_exchange
from tests.receiving import OUR_AE, SCANNER, eventually, free_port, wait_until_listening
from tests.scu import ABORT, ASSOCIATE_AC, associate_request
from tests.ultrasound import us_image

ROOT = Path(__file__).resolve().parents[2]
SEED = 20261122
CI_SECONDS = 20.0
SOAK_MUTATED = int(os.environ.get("SOAK_PDUS", "50000"))
SOAK_SEED = int(os.environ.get("SOAK_SEED", "1"))
SLOW_SENDERS = 24
MEMORY_MB = 40.0
"""How much more than after the first conversations: allocators do not give everything back."""

MOST_BYTES = 400 * 1024 * 1024
"""Of what has no end: enough to be seen in the memory."""

THREADS = DESCRIPTORS = 4
DATABASE_DESCRIPTORS = 2 * 69 + 1
"""SQLite's main file and log, for each connection that the pool may have open at the same time, and the index."""

FORBIDDEN_IN_LOG = ("Traceback", exchanges.PATIENT)

pytestmark = pytest.mark.peer(*exchanges.PROGRAMS)


@dataclass(frozen=True)
class Node:
    """A running receiver."""

    process: psutil.Process
    port: int
    folder: Path

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.folder / 'data' / 'node.sqlite3'}"

    def log(self) -> str:
        return (self.folder / "receiver.log").read_text(encoding="utf-8", errors="replace")

    def check(self, tally: Tally, before: Costs) -> None:
        """All that must hold after whatever was done to it."""
        assert self.process.is_running()
        assert self.process.status() != psutil.STATUS_ZOMBIE, self.log()[-2000:]
        assert tally.unserved == []
        assert tally.honest
        with closing(Repository.open(self.database_url)) as repository:
            assert [uid for uid in tally.honest if not repository.versions(uid)] == []
        eventually(lambda: costs(self.process).threads <= before.threads + THREADS, seconds=120)
        eventually(lambda: costs(self.process).descriptors <= before.descriptors + DESCRIPTORS, seconds=120)
        assert costs(self.process).database <= DATABASE_DESCRIPTORS
        assert costs(self.process).memory_mb <= before.memory_mb + MEMORY_MB
        assert [word for word in FORBIDDEN_IN_LOG if word in self.log()] == []
        assert unforeseen(self.log()) == []
        assert list((self.folder / "data" / "spool").rglob("*.part")) == []


def unforeseen(log: str) -> list[str]:
    """Log lines about an exception that was not pynetdicom's own about what came: a fault of ours, then."""
    lines = [json.loads(line) for line in log.splitlines()]
    return [str(line) for line in lines if "exception" in line and not line.get("logger", "").startswith("pynetdicom")]


@contextmanager
def running(folder: Path) -> Iterator[Node]:
    port = free_port()
    node = {"host": "127.0.0.1", "port": port, "data_dir": str(folder / "data"), "minimum_free_mb": 0}
    peers = [{"ae_title": SCANNER}, {"ae_title": HONEST}]
    (folder / "config.yaml").write_text(yaml.safe_dump({"node": {"ae_title": OUR_AE, **node}, "peers": peers}))
    command = [sys.executable, "-m", "dicom_node", "receiver", "--config", str(folder / "config.yaml")]
    with (folder / "receiver.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            wait_until_listening(port, lambda: process.poll() is None)
            yield Node(psutil.Process(process.pid), port, folder)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running(tmp_path_factory.mktemp("node")) as node:
        yield node


@pytest.fixture(scope="module")
def recorded(node: Node) -> tuple[exchanges.Exchange, ...]:
    return exchanges.record(node.port, node.folder)


@pytest.fixture(scope="module")
def before(node: Node, recorded: tuple[exchanges.Exchange, ...]) -> Costs:
    """What the node costs once it has loaded all that it needs, and is idle."""
    bad_peers.run(Hunt(node.port, recorded, SEED - 1, mutated=150, seconds=60))
    eventually(lambda: costs(node.process).threads <= 12, seconds=120)
    return costs(node.process)


def vars_of(spent: Costs) -> dict[str, float]:
    counted = {"threads": spent.threads, "descriptors": spent.descriptors, "database_descriptors": spent.database}
    return {"memory_mb": round(spent.memory_mb, 1), **counted}


def told(tally: Tally, before: Costs, after: Costs) -> str:
    return json.dumps({**tally.row(), "before": vars_of(before), "after": vars_of(after)}, indent=2)


def test_broken_conversations(node: Node, recorded: tuple[exchanges.Exchange, ...], before: Costs) -> None:
    tally = bad_peers.run(Hunt(node.port, recorded, SEED, SOAK_MUTATED, CI_SECONDS))

    node.check(tally, before)
    assert tally.mutated > CI_SECONDS
    assert tally.answers["accepted"], tally.answers
    assert "receive.broken_off" in node.log()  # it got beyond the door


@pytest.mark.slow
def test_soak_of_broken_conversations(node: Node, recorded: tuple[exchanges.Exchange, ...], before: Costs) -> None:
    tally = bad_peers.run(Hunt(node.port, recorded, SOAK_SEED, SOAK_MUTATED, float("inf")))
    text = told(tally, before, costs(node.process))
    print(text, flush=True)
    path = os.environ.get("SOAK_JSON")
    if path:
        Path(path).with_name("bad_peers.json").write_text(text + "\n", encoding="utf-8")
    node.check(tally, before)


def test_slow_senders_keep_nobody_waiting(node: Node, recorded: tuple[exchanges.Exchange, ...], before: Costs) -> None:
    """As many as a department has scanners, each in the middle of a request or of an object, a byte now and then."""
    tally = Tally()
    (storing,) = (exchange for exchange in recorded if exchange.name == "storescu")
    with ExitStack() as stack:
        slow = [stack.enter_context(_connected(node.port)) for _ in range(SLOW_SENDERS)]
        left = [_begun(connection, storing.pdus, associated=number % 2 == 0) for number, connection in enumerate(slow)]
        eventually(lambda: costs(node.process).descriptors > before.descriptors + SLOW_SENDERS / 2)
        with honest_sender(node.port, tally, pause_s=0.05):
            until = time.monotonic() + 5.0
            while time.monotonic() < until or len(tally.honest) < 10:
                left = [_byte_more(connection, bytes_left) for connection, bytes_left in zip(slow, left, strict=True)]
                time.sleep(0.02)
                assert time.monotonic() < until + 120

    node.check(tally, before)


def test_connections_that_ask_for_nothing_keep_nobody_out(node: Node, before: Costs) -> None:
    tally = Tally()
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(_connected(node.port))
        _store_honestly(node, tally)
        eventually(lambda: costs(node.process).descriptors < before.descriptors + 100)

    node.check(tally, before)


@pytest.mark.parametrize("what", ["command", "data set", "requests"])
def test_what_has_no_end_is_ended(node: Node, before: Costs, what: str) -> None:
    """Each would be kept in memory for as long as it comes."""
    tally = Tally()
    endless = {
        "command": (b"", _pdv(0x01, b"\0" * 16000)),
        "data set": (_pdv(0x03, _echo_command(has_data_set=True)), _pdv(0x00, b"\0" * 16000)),
        "requests": (b"", _pdv(0x03, _echo_command()) * 200),
    }
    first, again = endless[what]
    with _connected(node.port) as connection:
        connection.sendall(associate_request(SCANNER.encode(), OUR_AE.encode()))
        assert connection.recv(4096)[0] == ASSOCIATE_AC
        with pytest.raises(OSError):  # noqa: PT011, PT012  whatever the system calls it when the other side has gone
            connection.sendall(first)
            for _ in range(MOST_BYTES // len(again)):
                connection.sendall(again)
    _store_honestly(node, tally)

    node.check(tally, before)


@pytest.mark.parametrize(
    "pdu",
    [
        *(struct.pack(">BBL", kind, 0, 4) + bytes(4) for kind in (2, 3, 4, 5, 6, 7)),
        *(struct.pack(">BBL", kind, 0, 0xFFFFFFFF) + bytes(100) for kind in (1, 4)),
        b"\x04\0\0\0\0\x06" + struct.pack(">L", 0xFFFFFFFF) + b"\x01\x03",
    ],
)
def test_what_comes_at_the_wrong_time_ends_its_connection(node: Node, pdu: bytes) -> None:
    """First of all, and once more after the association was accepted."""
    for greeting in (b"", associate_request(SCANNER.encode(), OUR_AE.encode())):
        with _connected(node.port) as connection, suppress(ConnectionError):
            connection.sendall(greeting)
            if greeting:
                assert connection.recv(4096)[0] == ASSOCIATE_AC
            connection.sendall(pdu)
            with suppress(OSError):  # it has ended already
                connection.shutdown(socket.SHUT_WR)
            said = _everything(connection)
            assert said[:1] in {b"", bytes([ABORT]), b"\x06"}

    assert store_one(node.port, us_image(np.full((8, 8), 100, np.uint8)))


class TestTheHunt:
    """It must be able to find something."""

    def test_a_conversation_depends_on_seed_and_number_alone(self) -> None:
        recorded = (exchanges.Exchange("made up", (associate_request(b"A", b"B"), _pdv(0x03, _echo_command()))),)
        one, two = Hunt(1, recorded, 1, 1, 1.0), Hunt(1, recorded, 2, 1, 1.0)
        assert [bad_peers.conversation(one, n)[0] for n in range(50)] == [
            bad_peers.conversation(one, n)[0] for n in range(50)
        ]
        assert bad_peers.conversation(one, 1)[0] != bad_peers.conversation(two, 1)[0]

    def test_every_mutation_breaks_something(self) -> None:
        conversation = (associate_request(b"A", b"B"), *[_pdv(0x03, _echo_command()), _pdv(0x00, bytes(200))] * 3)
        exchange, broken = exchanges.Exchange("made up", conversation), set()
        for seed in range(5000):
            bad = break_exchange(exchange, (exchange,), random.Random(seed))
            if bad.pdus != conversation:
                broken.update(bad.name.partition(": ")[2].split("+"))
        assert broken == {mutation.__name__ for mutation in MUTATIONS}

    def test_whoever_is_not_served_is_told(self) -> None:
        tally = Tally()
        with honest_sender(free_port(), tally, pause_s=0.01):
            eventually(lambda: tally.unserved)
        assert tally.honest == []


def _connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def _store_honestly(node: Node, tally: Tally) -> None:
    image = us_image(np.full((8, 8), 100, np.uint8))
    assert store_one(node.port, image)
    tally.honest.append(str(image.SOPInstanceUID))


def _everything(connection: socket.socket) -> bytes:
    said = b""
    while data := connection.recv(4096):
        said += data
    return said


def _begun(connection: socket.socket, pdus: tuple[bytes, ...], associated: bool) -> bytes:
    """What a slow sender has left to say: of its request, or, once `associated`, of its object."""
    if not associated:
        return pdus[0]
    connection.sendall(pdus[0])
    assert connection.recv(65536)[0] == ASSOCIATE_AC
    connection.sendall(pdus[1])
    return b"".join(pdus[2:])


def _byte_more(connection: socket.socket, left: bytes) -> bytes:
    """Not the last one: the object never gets whole."""
    if len(left) > 1:
        with suppress(OSError):  # the node may have had enough of it
            connection.sendall(left[:1])
        return left[1:]
    return left


def _pdv(control: int, fragment: bytes, context_id: int = 1) -> bytes:
    """A P-DATA-TF PDU with one fragment (PS3.8 9.3.5)."""
    item = struct.pack(">LBB", len(fragment) + 2, context_id, control) + fragment
    return struct.pack(">BBL", 4, 0, len(item)) + item


def _echo_command(has_data_set: bool = False) -> bytes:
    """C-ECHO-RQ (PS3.7 9.3.5.1); it has no data set, whatever it says."""
    uid = b"1.2.840.10008.1.1\0"
    data_set = 0x0001 if has_data_set else 0x0101
    values = ((0x0002, uid), (0x0100, b"\x30\0"), (0x0110, b"\x07\0"), (0x0800, struct.pack("<H", data_set)))
    body = b"".join(struct.pack("<HHL", 0, element, len(value)) + value for element, value in values)
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body
