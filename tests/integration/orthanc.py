"""Orthanc and DCMTK's storescp as PACS: started for a test on free ports, asked, and gone afterwards."""

from __future__ import annotations

import json
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


@contextmanager
def running_orthanc(
    folder: Path,
    plugins: Sequence[Path] = (),
    more: Mapping[str, Any] | None = None,
) -> Iterator[Orthanc]:
    """Orthanc with nothing stored and no users; it knows no modality and takes what it is sent.

    `more`: further settings of its configuration file. Not HTTPS: Debian's Orthanc 1.10.1 dies at the first request.
    """
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
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen(["Orthanc", str(folder / "orthanc.json")], stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while not orthanc.is_up():
                assert process.poll() is None, (folder / "orthanc.log").read_text(encoding="utf-8")
                assert time.monotonic() < deadline, "Orthanc does not answer"
                time.sleep(0.1)
            yield orthanc
        finally:
            process.terminate()
            process.wait(timeout=30)


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
