"""How many objects a second are taken, beside Orthanc and DCMTK's storescp in the same run.

The sender is DCMTK's storescu in every case, one process per association, with TCP_NODELAY; every object gets a SOP
Instance UID of its own. Ours is the receiver's own process, as the supervisor starts it: file synced, renamed, folder
synced, rows committed with synchronous=FULL, then Success; and two of them at one port (`node.receivers: 2`). Senders
and receivers share the cores of one machine, so that a second process has what the senders leave. Orthanc writes with
SyncStorageArea on, once as Debian starts it and once with TCP_NODELAY in its environment; storescp has that too, and
syncs nothing. Each receiver is asked in turn, round after round, so that what else the machine does meets all; the
median of the rounds counts. The size of our receiver is the largest it ever was, of the largest where there are two.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import yaml

from benchmarks.record import Record
from tests.peers import use_outside_path
from tests.postgresql import running_server
from tests.receiving import OUR_AE, SCANNER, eventually, free_port, wait_until_listening
from tests.ultrasound import save, us_image, us_multiframe

ROUNDS = 3
NODELAY = {"TCP_NODELAY": "1"}
"""What makes DCMTK answer at once, see its documentation of environment variables."""

DURABLE = ("wal_buffers=4MB",)
"""PostgreSQL's defaults: every commit is on the disk."""

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Load:
    """`each` objects over each of `associations` at once."""

    name: str
    file: Path
    associations: int
    each: int

    @property
    def objects(self) -> int:
        return self.associations * self.each


@dataclass(frozen=True)
class Receiver:
    """Somebody who listens on `port`; `empty` deletes what was received, where that is not kept for ever."""

    name: str
    ae_title: str
    port: int
    empty: Callable[[], None] = lambda: None


def run() -> Iterator[Record]:
    use_outside_path()
    with tempfile.TemporaryDirectory() as name, ExitStack() as running:
        folder = Path(name)
        pid, ours = running.enter_context(_our_receiver(folder / "sqlite", None))
        pair, two = running.enter_context(_our_receiver(folder / "two", None, receivers=2))
        server = running.enter_context(running_server(DURABLE))
        _, on_postgresql = running.enter_context(_our_receiver(folder / "postgresql", server.create_database()))
        orthanc = running.enter_context(_orthanc(folder / "orthanc", {}))
        tuned = running.enter_context(_orthanc(folder / "tuned", NODELAY))
        storescp = running.enter_context(_storescp(folder / "storescp"))
        for load in _loads(folder):
            rates = measured(load, (ours, two, on_postgresql, orthanc, tuned, storescp))
            for peer in (orthanc, tuned, storescp):
                beside = (peer.name, rates[peer.name])
                yield Record(f"{load.name}, beside {peer.name}", rates[ours.name], "objects/s", ROUNDS, *beside)
            beside = (orthanc.name, rates[orthanc.name])
            yield Record(f"{load.name}, on PostgreSQL", rates[on_postgresql.name], "objects/s", ROUNDS, *beside)
            yield Record(f"{load.name}, two receivers, beside Orthanc", rates[two.name], "objects/s", ROUNDS, *beside)
            beside = (storescp.name, rates[storescp.name])
            yield Record(f"{load.name}, two receivers, beside storescp", rates[two.name], "objects/s", ROUNDS, *beside)
        yield Record("largest size of the receiver", _largest_mb(pid), "MB", 1)
        sizes = [_largest_mb(child.pid) for child in psutil.Process(pair).children()]
        yield Record("largest size of a receiver of two", max(sizes), "MB", 1)


def measured(load: Load, receivers: Sequence[Receiver]) -> Mapping[str, float]:
    """Objects a second of each, the median of the rounds."""
    rounds: dict[str, list[float]] = {receiver.name: [] for receiver in receivers}
    for _ in range(ROUNDS):
        for receiver in receivers:
            rounds[receiver.name].append(load.objects / send(load, receiver))
            receiver.empty()
    return {name: statistics.median(rates) for name, rates in rounds.items()}


def send(load: Load, receiver: Receiver) -> float:
    """Seconds until all associations have ended; raises CalledProcessError where an object was refused."""
    command = ["storescu", "--repeat", str(load.each), "--invent-instance", "--max-pdu", "131072", "-aet", SCANNER]
    command += ["-aec", receiver.ae_title, "127.0.0.1", str(receiver.port), str(load.file)]
    environment = {**os.environ, **NODELAY}
    began = time.perf_counter()
    senders = [
        subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(load.associations)
    ]
    for sender in senders:
        if sender.wait(timeout=600):
            raise subprocess.CalledProcessError(sender.returncode, command)
    return time.perf_counter() - began


def _loads(folder: Path) -> Iterator[Load]:
    frame = np.random.default_rng(1).integers(0, 255, (600, 800), dtype=np.uint8)
    still = save(us_image(frame), folder / "still.dcm")
    for associations, each in ((1, 60), (4, 30), (16, 16)):
        yield Load(f"frames of 480 kB, associations: {associations}", still, associations, each)
    cine = np.broadcast_to(frame[None, :, :, None], (60, 600, 800, 3))
    yield Load("cines of 86 MB, associations: 1", save(us_multiframe(np.array(cine)), folder / "cine.dcm"), 1, 4)


@contextmanager
def _our_receiver(folder: Path, database: str | None, receivers: int = 1) -> Iterator[tuple[int, Receiver]]:
    """The pid of the receiver, or of who looks after several, and what it is."""
    port = free_port()
    data_dir = folder / "data"
    node = {"ae_title": OUR_AE, "host": "127.0.0.1", "port": port, "data_dir": str(data_dir), "minimum_free_mb": 0}
    node["receivers"] = receivers
    config = {"node": node, "database": {"url": database}, "peers": [{"ae_title": SCANNER}]}
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    name = f"ours {folder.name}"
    command = [sys.executable, "-m", "dicom_node", "receiver", "--config", str(folder / "config.yaml")]
    with _process(command, folder / "log", port, {}) as process:
        eventually(lambda: (folder / "log").read_text(encoding="utf-8").count("receiver.ready") == receivers, 60)
        yield process.pid, Receiver(name, OUR_AE, port, lambda: _empty(data_dir / "objects", "*/*.dcm"))


@contextmanager
def _orthanc(folder: Path, environment: Mapping[str, str]) -> Iterator[Receiver]:
    port = free_port()
    folder.mkdir(parents=True)
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "DicomAet": "ORTHANC",
        "DicomPort": port,
        "HttpPort": free_port(),
        "SyncStorageArea": True,
        "MaximumStorageSize": 4000,
        "DicomThreadsCount": 16,
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(settings), encoding="utf-8")
    with _process(["Orthanc", str(folder / "orthanc.json")], folder / "log", port, environment):
        yield Receiver("Orthanc with TCP_NODELAY" if environment else "Orthanc", "ORTHANC", port)


@contextmanager
def _storescp(folder: Path) -> Iterator[Receiver]:
    port = free_port()
    (folder / "files").mkdir(parents=True)
    command = ["storescp", "--fork", "+B", "--max-pdu", "131072", "-od", str(folder / "files"), str(port)]
    with _process(command, folder / "log", port, NODELAY):
        yield Receiver("storescp", "STORESCP", port, lambda: _empty(folder / "files", "*"))


@contextmanager
def _process(
    command: Sequence[str], log: Path, port: int, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stdout=stream, stderr=stream)
        try:
            wait_until_listening(port, lambda: process.poll() is None)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def _empty(folder: Path, pattern: str) -> None:
    for path in folder.glob(pattern):
        path.unlink(missing_ok=True)


def _largest_mb(pid: int) -> float:
    """The high-water mark of its resident memory (proc(5), VmHWM)."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    (largest_kb,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(largest_kb) / 1024
