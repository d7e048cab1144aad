"""The node as it runs in production: its own processes, started, watched, questioned and killed from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

import psutil
import yaml

from dicom_node.domain import InstanceRef
from dicom_node.errors import DatabaseUnavailable
from dicom_node.storage.repository import Repository
from tests.objects import EVERY_IMAGE
from tests.receiving import OUR_AE, SCANNER, free_port

ROOT = Path(__file__).resolve().parents[2]
ROLES = ("receiver", "worker", "courier")
START_S = 180.0
"""Importing torch takes seconds on a busy machine."""

LOOK_S = 0.05

Found = TypeVar("Found")


class Pacs(Protocol):
    """Where a node may deliver to."""

    ae_title: str
    host: str
    port: int


@dataclass
class Node:
    """A data folder, a configuration with short leases and objects for each image, and `dicom-node serve` over them.

    `sections` replaces or adds keys of the configuration, by section: {"inference": {"weights_dir": ...}}. `peers`: AE
    titles that may send. `asked_at`: the URL of its database for our questions, where it is another one for us.
    """

    folder: Path
    destinations: Mapping[str, Pacs]
    sections: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    peers: Sequence[str] = (SCANNER,)
    process: subprocess.Popen[bytes] | None = None
    asked_at: str | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(yaml.safe_dump(self._configuration()), encoding="utf-8")
        self._repository: Repository | None = None

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "node.log"

    @property
    def repository(self) -> Repository:
        """The node's database, for questions."""
        if self._repository is None:
            usual = f"sqlite:///{self.data_dir / 'node.sqlite3'}"
            told = self.asked_at or self.sections.get("database", {}).get("url")
            self._repository = Repository.open(told or usual)
        return self._repository

    def _configuration(self) -> dict[str, Any]:
        defaults: dict[str, dict[str, Any]] = {
            "node": {
                "ae_title": OUR_AE,
                "host": "127.0.0.1",
                "port": self.port,
                "data_dir": str(self.data_dir),
                "minimum_free_mb": 0,
            },
            "queue": {"lease_s": 3.0, "poll_s": 0.05, "backoff_first_s": 0.2, "backoff_cap_s": 1.0},
            "delivery": {"connect_timeout_s": 10.0, "response_timeout_s": 20.0},
            "results": EVERY_IMAGE,
            "web": {"enabled": False},
        }
        merged: dict[str, Any] = {
            name: {**defaults.get(name, {}), **self.sections.get(name, {})} for name in {*defaults, *self.sections}
        }
        merged["peers"] = [{"ae_title": ae_title} for ae_title in self.peers]
        merged["destinations"] = [
            {"name": name, "ae_title": pacs.ae_title, "host": pacs.host, "port": pacs.port}
            for name, pacs in self.destinations.items()
        ]
        return merged

    # Processes

    def start(self) -> None:
        """Start the supervisor and wait until all three roles say that they are ready."""
        ready = {role: self.ready_count(role) for role in ROLES}
        command = [sys.executable, "-m", "dicom_node", "serve", "--config", str(self.config)]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **self.environment}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        for role in ROLES:
            self.wait_ready(role, ready[role] + 1)

    def stop(self) -> int:
        """Ask the supervisor to leave; its exit status. Whatever does not leave is killed."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(timeout=30)
        finally:
            self.kill_all()

    def kill_all(self) -> None:
        """The end of a test, however it ended."""
        if self.process is not None and self.is_running():
            children = self.supervisor.children(recursive=True)
            self.process.kill()  # first, or it would start the others again
            self.process.wait(timeout=10)
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        self._close()

    def _close(self) -> None:
        if self._repository is not None:
            self._repository.close()
            self._repository = None

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def supervisor(self) -> psutil.Process:
        assert self.process is not None
        return psutil.Process(self.process.pid)

    def role(self, name: str, seconds: float = START_S) -> psutil.Process:
        """The process that plays a role now; waits for its restart if need be."""
        return wait_for(lambda: self._find(name), f"no {name} process", seconds, self)

    def _find(self, name: str) -> psutil.Process | None:
        for child in self.supervisor.children(recursive=True):
            try:
                if name in child.cmdline() and not gone(child):
                    return child
            except psutil.NoSuchProcess:
                continue
        return None

    def kill(self, name: str) -> int:
        """kill -9 of the process that plays a role; its pid."""
        process = self.role(name)
        process.send_signal(signal.SIGKILL)
        return int(process.pid)

    def kill_supervisor(self) -> list[psutil.Process]:
        """kill -9 of `serve` itself; the children that it leaves behind."""
        assert self.process is not None
        children = self.supervisor.children(recursive=True)
        self.process.kill()
        self.process.wait(timeout=10)
        return children

    def cli(self, *arguments: str, seconds: float = 120.0) -> subprocess.CompletedProcess[str]:
        """`dicom-node ...` with this node's configuration, which it finds by environment."""
        environment = {**os.environ, "DICOM_NODE_CONFIG": str(self.config)}
        command = [sys.executable, "-m", "dicom_node", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )

    # What it says

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """The log so far, by event name; lines that are not events are {"event": "", "line": ...}."""
        if not self.log.exists():
            return []
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        found = [_event(line) for line in lines]
        return found if name is None else [event for event in found if event["event"] == name]

    def ready_count(self, role: str) -> int:
        return len(self.events(f"{role}.ready"))

    def wait_ready(self, role: str, count: int) -> None:
        def ready() -> bool:
            assert self.is_running(), f"serve ended with status {self.process and self.process.poll()}{self.tail()}"
            return self.ready_count(role) >= count

        wait_for(ready, f"{role} is not ready", START_S, self)

    def tail(self, lines: int = 40) -> str:
        """The end of the log, for the message of a failed test."""
        if not self.log.exists():
            return ""
        return "\n" + "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    # What it did

    def counts(self) -> dict[str, int]:
        return self.repository.counts(datetime.now(UTC))

    def wait_settled(self, instances: int, seconds: float = 120.0, every_s: float = LOOK_S) -> dict[str, int]:
        """Wait until that many instances are stored and nothing is queued, running, waiting or on its way."""
        busy = ("jobs_queued", "jobs_running", "deliveries_pending", "deliveries_sending")

        def settled() -> dict[str, int] | None:
            try:
                counts = self.counts()
            except DatabaseUnavailable:  # a test that kills its server
                return None
            return counts if counts["instances"] >= instances and not any(counts[key] for key in busy) else None

        return wait_for(settled, "the node did not settle", seconds, self, every_s)

    def instance(self, sop_instance_uid: str, revision: int = 0) -> InstanceRef:
        return next(v for v in self.repository.versions(sop_instance_uid) if v.revision == revision)

    def wait_answer(self, sop_instance_uid: str, revision: int = 0, seconds: float = 60.0) -> dict[str, Any]:
        """The committed answer for one image."""
        instance = self.instance(sop_instance_uid, revision)
        what = f"no answer for instance {instance.id}"
        result = wait_for(lambda: self.repository.result_of(instance.id), what, seconds, self)
        answer: dict[str, Any] = json.loads(result.document)
        return answer

    def files(self, *folders: str) -> list[Path]:
        """Every file below these folders of the data folder."""
        return sorted(p for folder in folders for p in (self.data_dir / folder).rglob("*") if p.is_file())


@contextmanager
def running_node(
    folder: Path,
    destinations: Mapping[str, Pacs],
    environment: Mapping[str, str] | None = None,
    **sections: dict[str, Any],
) -> Iterator[Node]:
    """A node that is ready when the block begins, and of which nothing is left when it ends."""
    node = Node(folder, destinations, sections, environment or {})
    try:
        node.start()
        yield node
    finally:
        node.kill_all()


def wait_for(
    look: Callable[[], Found | None], what: str, seconds: float, node: Node | None = None, every_s: float = LOOK_S
) -> Found:
    """The first true thing that `look` gives. Raises AssertionError with the end of the log."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} after {seconds:g} s{node.tail() if node else ''}")
        time.sleep(every_s)


def gone(process: psutil.Process) -> bool:
    """Ended, whether or not somebody has asked for its exit status yet."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def coarse_weights(folder: Path) -> Path:
    """A weights folder with the product's network on a grid a quarter of the size: for tests about something else."""
    product = ROOT / "weights"
    manifest = json.loads((product / "manifest.json").read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    for model in manifest["models"]:
        model["grid"] = {"rows": 128, "columns": 192}
        model["look"] = {"flip_average": False, "dropout_passes": 0}
        model["gate"]["highest_strangeness"] = None  # on a coarse grid the network hesitates more
        (folder / model["file"]).symlink_to(product / model["file"])
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def _event(line: str) -> dict[str, Any]:
    try:
        parsed = json.loads(line)
    except ValueError:
        parsed = None
    return parsed if isinstance(parsed, dict) and "event" in parsed else {"event": "", "line": line}
