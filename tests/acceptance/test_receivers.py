"""Several receivers of one node at one port: limits hold for all of them together, and one may be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml

from dicom_node.storage.repository import Repository
from tests.acceptance.scanner import Scanner
from tests.receiving import OUR_AE, SCANNER, eventually, free_port
from tests.scu import ASSOCIATE_RJ, answer_to, associate_request, association
from tests.ultrasound import US_IMAGE, save, us_image

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Receivers:
    """Two of them and who looks after them."""

    port: int
    data_dir: Path
    supervisor: psutil.Process

    def processes(self) -> list[psutil.Process]:
        return sorted(self.supervisor.children(), key=lambda process: process.pid)

    def callers(self) -> list[int]:
        """How many connections each has."""
        open_ones = ([c for c in one.net_connections() if _is_open(c, self.port)] for one in self.processes())
        return [len(connections) for connections in open_ones]

    @contextmanager
    def associations(self, count: int) -> Iterator[None]:
        """So many, and each of the two has some: who has less to do takes the next one, as a rule."""
        while True:
            with ExitStack() as inside:
                for _ in range(count):
                    inside.enter_context(association(self.port, [US_IMAGE]))
                if all(self.callers()):
                    yield
                    return
            eventually(lambda: not any(self.callers()))


def _is_open(connection: Any, port: int) -> bool:
    return bool(connection.status == psutil.CONN_ESTABLISHED and connection.laddr.port == port)


@contextmanager
def two_receivers(folder: Path, **peer: object) -> Iterator[Receivers]:
    port, log = free_port(), folder / "log"
    node = {"ae_title": OUR_AE, "host": "127.0.0.1", "port": port, "data_dir": str(folder / "data"), "receivers": 2}
    config = {
        "node": {**node, "minimum_free_mb": 0},
        "peers": [{"ae_title": SCANNER, **peer}],
        "logging": {"format": "json"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [sys.executable, "-m", "dicom_node", "receiver", "--config", str(folder / "config.yaml")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with log.open("wb") as stream, subprocess.Popen(command, stdout=stream, stderr=stream, env=environment) as process:
        try:
            eventually(lambda: log.read_text().count('"receiver.ready"') == 2 or process.poll() is not None, 120)
            assert process.poll() is None, log.read_text()
            yield Receivers(port, folder / "data", psutil.Process(process.pid))
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            assert process.wait(60) == 0, log.read_text()


def is_refused(port: int) -> bool:
    return answer_to(port, associate_request(SCANNER.encode(), OUR_AE.encode()))[0] == ASSOCIATE_RJ


def test_a_limit_of_a_peer_holds_for_all_and_what_a_killed_one_had_is_free_at_once(tmp_path: Path) -> None:
    with two_receivers(tmp_path, maximum_associations=4) as node, node.associations(4):
        assert is_refused(node.port)
        node.supervisor.suspend()
        node.processes()[0].kill()
        eventually(lambda: not is_refused(node.port))


def test_one_of_two_is_killed_the_other_serves_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    picture = np.arange(40_000, dtype=np.uint8).reshape(200, 200)
    files = [[save(us_image(picture), tmp_path / f"{one}-{n}.dcm") for n in range(12)] for one in range(4)]
    with two_receivers(tmp_path) as node:
        scanners = [Scanner(node.port) for _ in files]
        pushing = [
            threading.Thread(target=scanner.push, args=(some,), kwargs={"seconds": 120.0, "pause_s": 0.05})
            for scanner, some in zip(scanners, files, strict=True)
        ]
        for one in pushing:
            one.start()
        eventually(lambda: all(len(scanner.acknowledged) >= 2 for scanner in scanners))
        node.supervisor.suspend()  # nobody takes the place of the one that is gone
        node.processes()[0].kill()
        for one in pushing:
            one.join(120)
        acknowledged = {uid for scanner in scanners for uid in scanner.acknowledged}
        assert len(acknowledged) == 48
        node.supervisor.resume()
        eventually(lambda: len(node.processes()) == 2, 60)
        with closing(Repository.open(f"sqlite:///{node.data_dir}/node.sqlite3")) as repository:
            for uid in acknowledged:
                (version,) = repository.versions(uid)
                assert (node.data_dir / version.path).stat().st_size == version.size_bytes
