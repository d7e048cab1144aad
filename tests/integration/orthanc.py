"""Orthanc and DCMTK's storescp as PACS: started for a test on free ports, asked, and gone afterwards."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.receiving import free_port, wait_until_listening

START_S = 120.0


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc; `port` speaks DICOM, `http_port` REST."""

    ae_title: str
    host: str
    port: int
    http_port: int

    def instances(self) -> set[str]:
        """The SOP Instance UIDs that it holds."""
        return {one["MainDicomTags"]["SOPInstanceUID"] for one in self.find("Instance")}

    def get(self, path: str) -> Any:
        return json.loads(self.get_bytes(path))

    def store(self, file: bytes) -> None:
        """Put a DICOM file into the archive."""
        with urllib.request.urlopen(f"http://{self.host}:{self.http_port}/instances", data=file, timeout=30) as answer:
            answer.read()

    def get_bytes(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://{self.host}:{self.http_port}{path}", timeout=30) as answer:
            content: bytes = answer.read()
        return content

    def find(self, level: str, **query: str) -> list[dict[str, Any]]:
        """Resources of a level ("Study", "Series", "Instance") by attribute keyword, with their main tags."""
        body = json.dumps({"Level": level, "Query": query, "Expand": True}).encode()
        with urllib.request.urlopen(f"http://{self.host}:{self.http_port}/tools/find", data=body, timeout=30) as answer:
            found: list[dict[str, Any]] = json.loads(answer.read())
        return found

    def is_up(self) -> bool:
        try:
            self.get("/system")
        except urllib.error.HTTPError:  # it wants a password
            return True
        except (urllib.error.URLError, ConnectionError):
            return False
        return True


@dataclass
class OrthancServer:
    """The process of an Orthanc whose configuration and archive lie in `folder`; `start` it again after any end."""

    orthanc: Orthanc
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        with (self.folder / "orthanc.log").open("ab") as log:
            command = ["Orthanc", str(self.folder / "orthanc.json")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while not self.orthanc.is_up():
            assert self.process.poll() is None, (self.folder / "orthanc.log").read_text(encoding="utf-8")
            assert time.monotonic() < deadline, "Orthanc does not answer"
            time.sleep(0.1)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=START_S)
            self.process = None


@contextmanager
def running_orthanc(
    folder: Path,
    plugins: Sequence[Path] = (),
    more: Mapping[str, Any] | None = None,
) -> Iterator[Orthanc]:
    """Orthanc with nothing stored and no users; it knows no modality and takes what it is sent.

    `more`: further settings of its configuration file. Not HTTPS: Debian's Orthanc 1.10.1 dies at the first request.
    """
    server = orthanc_server(folder, plugins, more)
    try:
        server.start()
        yield server.orthanc
    finally:
        server.stop()


def orthanc_server(folder: Path, plugins: Sequence[Path] = (), more: Mapping[str, Any] | None = None) -> OrthancServer:
    """One that is not started yet; see `running_orthanc`."""
    folder.mkdir(parents=True)
    orthanc = Orthanc("ORTHANC", "127.0.0.1", free_port(), free_port())
    settings = {
        "Name": "Test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "DicomAet": orthanc.ae_title,
        "DicomCheckCalledAet": True,
        "DicomPort": orthanc.port,
        "HttpPort": orthanc.http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "Plugins": [str(plugin) for plugin in plugins],
        **(more or {}),
    }
    (folder / "orthanc.json").write_text(json.dumps(settings), encoding="utf-8")
    return OrthancServer(orthanc, folder)


@dataclass(frozen=True)
class Storescp:
    """DCMTK's storescp; `folder` holds what it was sent, bit by bit as it came."""

    ae_title: str
    host: str
    port: int
    folder: Path


@contextmanager
def running_storescp(folder: Path) -> Iterator[Storescp]:
    folder.mkdir(parents=True)
    peer = Storescp("STORESCP", "127.0.0.1", free_port(), folder)
    command = ["storescp", "-aet", peer.ae_title, "+B", "+xa", "-od", str(folder), str(peer.port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_listening(peer.port, lambda: process.poll() is None)
        yield peer
    finally:
        process.terminate()
        process.wait(timeout=30)
