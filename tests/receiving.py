"""A receiver to send to: in a thread of the test, or as the process it is in production."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dicom_node.config import Config, NodeSection, PeerEntry
from dicom_node.receive import server
from dicom_node.receive.spool import LOCK
from dicom_node.storage.files import ROOTS, make_folder
from tests.fakes import FakeRepository

OUR_AE = "FETALHC"
SCANNER = "SCANNER"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def receiver_config(data_dir: Path, port: int, peers: Sequence[PeerEntry] | None = None, **node: object) -> Config:
    """A configuration whose only peer is SCANNER, from anywhere, unless `peers` says otherwise."""
    values = {"ae_title": OUR_AE, "host": "127.0.0.1", "minimum_free_mb": 0, **node}
    section = NodeSection.model_validate({"port": port, "data_dir": data_dir, **values})
    entries = (PeerEntry(ae_title=SCANNER),) if peers is None else tuple(peers)
    return Config(node=section, peers=entries)


@contextmanager
def receiver_thread(config: Config, repository: server.Inbox, config_path: Path | None = None) -> Iterator[None]:
    """The receiver in this process, listening when the block begins and gone when it ends."""
    make_roots(config.node.data_dir)
    stop = threading.Event()
    failure: list[BaseException] = []

    def serve() -> None:
        try:
            server.run(config, repository, stop, config_path)
        except BaseException as error:  # noqa: BLE001  raised again in the test's own thread
            failure.append(error)

    thread = threading.Thread(target=serve, name="receiver")
    thread.start()
    try:
        for port in filter(None, (config.node.tls.port, config.node.port)):
            wait_until_listening(port, lambda: not failure)
        yield
    finally:
        stop.set()
        thread.join(timeout=30)
        assert not failure, failure
        assert not thread.is_alive()


def wait_until_listening(port: int, alive: Callable[[], bool] = lambda: True, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert alive(), "the receiver ended before it listened"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port}")


@contextmanager
def receiver_process(
    data_dir: Path, port: int, *, before: Sequence[str] = (), largest_file: int = 0
) -> Iterator[subprocess.Popen[bytes]]:
    """The receiver in a process of its own with the real repository; `before` is put before the command line."""
    command = [*before, sys.executable, "-m", "tests.receiving", str(data_dir), str(port), str(largest_file)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with (data_dir.parent / "receiver.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            wait_until_listening(port, lambda: process.poll() is None)
            yield process
        finally:
            with suppress(ProcessLookupError):  # the whole group: a tracer leaves without what it traces
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


def eventually(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for something that another thread or process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def send(program: str, port: int, *files: Path, options: Sequence[str] = (), calling: str = SCANNER) -> tuple[int, str]:
    """Send files with DCMTK's storescu or dcmsend: exit status and everything it said."""
    titles = ["-aet", calling, "-aec", OUR_AE]
    command = [program, "-v", *titles, *options, "127.0.0.1", str(port), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


@dataclass(frozen=True)
class ReceivingNode:
    """A receiver in this process, and what it keeps."""

    port: int
    data_dir: Path
    repository: FakeRepository

    def files(self) -> list[Path]:
        return [path for path in self.data_dir.rglob("*") if path.is_file() and path.name != LOCK]


@contextmanager
def receiving_node(data_dir: Path) -> Iterator[ReceivingNode]:
    """Listens when the block begins; its database is a fake."""
    node = ReceivingNode(free_port(), data_dir, FakeRepository())
    with receiver_thread(receiver_config(node.data_dir, node.port), node.repository):
        yield node


def make_roots(data_dir: Path) -> None:
    """As whoever starts a role of the node does."""
    for name in ROOTS:
        make_folder(data_dir / name)


def main(data_dir: str, port: str, largest_file: str) -> None:
    """What `receiver_process` runs."""
    import resource

    from dicom_node.storage.repository import Repository

    logging.basicConfig(level=logging.INFO, format="%(message)s %(levelname)s")
    if int(largest_file):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest_file), int(largest_file)))
    config = receiver_config(Path(data_dir), int(port))
    make_roots(Path(data_dir))
    repository = Repository.open(config.database_url)
    repository.migrate()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    server.run(config, repository, stop)
    heavy = sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "cv2", "highdicom", "scipy"})
    print(f"heavy modules: {heavy}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
