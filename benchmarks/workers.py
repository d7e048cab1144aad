"""How many images a second workers of one thread answer, one alone and two beside each other; how fast a courier is.

The receiver takes all images first and is stopped; then as many `dicom-node worker` processes as asked for share two
processors until nothing waits. Counted is from the moment at which each of them has answered its second image, so that
their start is not. "As it comes": what is made without a word about objects in the configuration, which is one of each
image here (those of studies wait); else three of each image. The courier then sends these to DCMTK's storescp, with
TCP_NODELAY. SQLite; fp32, avx2.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from benchmarks.record import Record
from tests.acceptance.node import wait_for
from tests.acceptance.scanner import MEASURED_HEADS, SUCCESS, Scanner, head_image
from tests.objects import EVERY_IMAGE
from tests.peers import use_outside_path
from tests.receiving import OUR_AE, SCANNER, free_port, wait_until_listening
from tests.ultrasound import save

SHAPE = (540, 800)
IMAGES = 50
CORES = 2
WARM = 2
PATIENCE_S = 300.0
ROOT = Path(__file__).resolve().parents[1]
OBJECTS: Mapping[str, dict[str, Any]] = {"as it comes": {}, "three objects of each": dict(EVERY_IMAGE)}


def run() -> Iterator[Record]:
    use_outside_path()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    with tempfile.TemporaryDirectory() as folder:
        images = [_image(Path(folder), number) for number in range(IMAGES)]
        for what, results in OBJECTS.items():
            for workers in (1, CORES):
                node = Installation(Path(folder) / f"{what} {workers}", results, free_port(), free_port())
                node.take(images)
                rate = node.answered(workers)
                yield Record(f"images answered, {what}, workers of one thread: {workers}", rate, "images/s", IMAGES)
        rate, count = node.delivered()
        yield Record("objects sent by one courier, one destination", rate, "objects/s", count)


def _image(folder: Path, number: int) -> Path:
    return save(head_image(MEASURED_HEADS[number % 10], SHAPE), folder / f"{number}.dcm")


@dataclass(frozen=True)
class Installation:
    """A data folder, its configuration, and the roles that are started over it, one kind after the other."""

    folder: Path
    results: dict[str, Any]
    port: int
    pacs_port: int

    def take(self, images: Sequence[Path]) -> None:
        """Raises RuntimeError where one is refused."""
        self.folder.mkdir()
        data_dir = str(self.folder / "data")
        pacs = {"name": "pacs", "ae_title": "STORESCP", "host": "127.0.0.1", "port": self.pacs_port}
        configuration = {
            "node": {"ae_title": OUR_AE, "host": "127.0.0.1", "port": self.port, "data_dir": data_dir},
            "inference": {"threads": 1},
            "results": {"study_quiet_s": 3600.0, **self.results},
            "peers": [{"ae_title": SCANNER}],
            "destinations": [pacs],
        }
        (self.folder / "config.yaml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
        with self._role("receiver") as process:
            wait_until_listening(self.port, lambda: process.poll() is None)
            if set(Scanner(self.port).send(*images)) != {SUCCESS}:
                raise RuntimeError("the node did not take the images")

    def answered(self, workers: int) -> float:
        """Images a second."""
        with ExitStack() as running:
            for number in range(workers):
                running.enter_context(self._role("worker", str(number)))
            wait_for(
                lambda: self._count("worker", "pipeline.answered") == IMAGES, "not answered", PATIENCE_S, every_s=1
            )
        logs = [self._times(f"worker{number}", "pipeline.answered") for number in range(workers)]
        warm_at = max(times[WARM - 1] for times in logs)
        later = [time for times in logs for time in times if time > warm_at]
        return round(len(later) / (max(later) - warm_at), 2)

    def delivered(self) -> tuple[float, int]:
        """Objects a second, from the first that was sent to the last, and how many."""
        files = self.folder / "sent"
        files.mkdir()
        command = ["storescp", "--fork", "+B", "--max-pdu", "131072", "-od", str(files), str(self.pacs_port)]
        wanted = len(list((self.folder / "data" / "results").rglob("*.dcm")))
        with _process(command, self.folder / "storescp.log", {"TCP_NODELAY": "1"}) as process:
            wait_until_listening(self.pacs_port, lambda: process.poll() is None)
            with self._role("courier"):
                wait_for(lambda: self._count("courier", "deliver.sent") == wanted, "not sent", PATIENCE_S, every_s=1)
        times = self._times("courier", "deliver.sent")
        return round((wanted - 1) / (times[-1] - times[0]), 1), wanted

    def _role(self, name: str, number: str = "") -> Any:
        command = [sys.executable, "-m", "dicom_node", name, "--config", str(self.folder / "config.yaml")]
        return _process(command, self.folder / f"{name}{number}.log", {"ATEN_CPU_CAPABILITY": "avx2"})

    def _count(self, log: str, event: str) -> int:
        return len(self._times(log, event))

    def _times(self, log: str, event: str) -> list[float]:
        """When it was said, in order, by whichever processes have logs that are called so."""
        lines = [line for path in self.folder.glob(f"{log}*.log") for line in path.read_text("utf-8").splitlines()]
        told = (json.loads(line) for line in lines if f'"{event}"' in line and line.endswith("}"))
        return sorted(datetime.fromisoformat(one["time"]).timestamp() for one in told)


@contextmanager
def _process(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stdout=stream, stderr=stream)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
