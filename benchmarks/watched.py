"""What ten open overviews of the console cost the receiver.

The receiver's own process takes objects over a database that is full already, see _filled.py, while the console's own
process serves ten browsers with an open overview, and while nobody looks, in turn, round after round. Each overview
asks again for its changing part whenever it is told that something happened, as the page does. All of it is on this
machine, the ten browsers and DCMTK's storescu included. The sender of a round is as in receive.py.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import numpy as np
import yaml

from benchmarks._filled import PACS, fill
from benchmarks.console import STUDIES
from benchmarks.receive import NODELAY, ROOT, Load, Receiver, send
from benchmarks.record import Record
from dicom_node.config import Config, load_config
from dicom_node.storage.repository import Repository
from dicom_node.users import UserRole, new_secret
from dicom_node.web.console import Console
from tests.peers import use_outside_path
from tests.receiving import OUR_AE, SCANNER, free_port, wait_until_listening
from tests.ultrasound import save, us_image

DASHBOARDS = 10
ROUNDS = 5
ASSOCIATIONS, EACH = 4, 60
"""Objects over each association in one round."""

_WATCHER = "watcher"


def run() -> Iterator[Record]:
    use_outside_path()
    with tempfile.TemporaryDirectory() as name:
        file = _configuration(Path(name))
        config = load_config(file)
        with closing(Repository.open(config.database_url)) as repository:
            repository.migrate()
            fill(config.database_url, config.node.data_dir, STUDIES)
            repository.accounts.add_user(_WATCHER, UserRole.VIEWER, Console(config, repository).now())
        yield _watched(config, file)


def _watched(config: Config, file: Path) -> Record:
    """Objects a second with ten open overviews, beside those without; the median of the rounds of each."""
    load = Load("watched", _still(file.parent), ASSOCIATIONS, EACH)
    cookie = _session(config)
    rates: dict[bool, list[float]] = {True: [], False: []}
    ratios = []
    with _process("receiver", file, config.node.port), _process("web", file, config.web.port):
        receiver = Receiver("ours", OUR_AE, config.node.port)
        send(load, receiver)  # warm
        for number in range(ROUNDS):
            for watched in (True, False) if number % 2 else (False, True):
                rates[watched].append(_rate(load, receiver, config.web.port, cookie if watched else None))
            ratios.append(rates[True][-1] / rates[False][-1])
    print(f"   watched over unwatched, by round: {' '.join(f'{ratio:.3f}' for ratio in ratios)}", flush=True)
    name = f"receiving over {5 * STUDIES:,} objects, watched by {DASHBOARDS} open overviews"
    middle = {watched: statistics.median(taken) for watched, taken in rates.items()}
    return Record(name, middle[True], "objects/s", ROUNDS, "the same, nobody looks", middle[False])


def _rate(load: Load, receiver: Receiver, port: int, cookie: str | None) -> float:
    if cookie is None:
        return load.objects / send(load, receiver)
    with _overviews(port, cookie):
        return load.objects / send(load, receiver)


@contextmanager
def _overviews(port: int, cookie: str) -> Iterator[None]:
    """Open overviews, each with its stream of events and a connection on which it asks for what changed."""
    streams = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(DASHBOARDS)]
    seen: list[int] = []
    watchers = [threading.Thread(target=_watch, args=(stream, cookie, seen)) for stream in streams]
    for watcher in watchers:
        watcher.start()
    time.sleep(1.5)  # all of them are connected
    try:
        yield
    finally:
        for stream in streams:
            if stream.sock is not None:
                stream.sock.shutdown(socket.SHUT_RDWR)
        for watcher in watchers:
            watcher.join()
    if len(seen) < DASHBOARDS:
        raise RuntimeError(f"the {DASHBOARDS} overviews were told of {len(seen)} changes: they were not open")


def _watch(stream: http.client.HTTPConnection, cookie: str, seen: list[int]) -> None:
    headers = {"Cookie": cookie}
    with closing(stream), closing(http.client.HTTPConnection("127.0.0.1", stream.port, timeout=60)) as asking:
        stream.request("GET", "/events", headers=headers)
        lines = stream.getresponse()
        with suppress(OSError, http.client.HTTPException):  # it is hung up from outside
            while line := lines.readline():
                if line.startswith(b"event: changed"):
                    asking.request("GET", "/overview/now", headers=headers)
                    seen.append(len(asking.getresponse().read()))


def _session(config: Config) -> str:
    """The cookie of somebody who is signed in."""
    secret = new_secret()
    with closing(Repository.open(config.database_url)) as repository:
        console = Console(config, repository)
        repository.accounts.open_session(_WATCHER, secret, "127.0.0.1", console.now())
    return f"fetalhc={secret}"


def _still(folder: Path) -> Path:
    frame = np.random.default_rng(1).integers(0, 255, (600, 800), dtype=np.uint8)
    return save(us_image(frame), folder / "still.dcm")


def _configuration(folder: Path) -> Path:
    node = {"ae_title": OUR_AE, "host": "127.0.0.1", "port": free_port(), "data_dir": str(folder / "data")}
    destination = {"name": PACS, "ae_title": "PACS", "host": "127.0.0.1", "port": 104}
    content = {
        "node": {**node, "minimum_free_mb": 0},
        "peers": [{"ae_title": SCANNER}],
        "destinations": [destination],
        "web": {"port": free_port()},
    }
    (folder / "data").mkdir()
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


@contextmanager
def _process(role: str, file: Path, port: int) -> Iterator[None]:
    command = [sys.executable, "-m", "dicom_node", role, "--config", str(file)]
    with (file.parent / f"{role}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **NODELAY}, stdout=log, stderr=log)
        try:
            wait_until_listening(port, lambda: process.poll() is None)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
