"""Orthanc where the stand-in PACS is otherwise: taken down, killed, and asked by REST what it holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom import Dataset

from dicom_node.domain import ResultKind
from tests.acceptance.pacs import kind_of, source_of
from tests.integration.orthanc import OrthancServer, orthanc_server


@dataclass(frozen=True)
class Kept:
    """A result that Orthanc holds. `digest` is that of its content, however it is encoded: Orthanc writes it anew."""

    sop_instance_uid: str
    source: str
    kind: ResultKind
    digest: str


class OrthancPacs:
    """The same ports and archive through every end and start."""

    def __init__(self, server: OrthancServer) -> None:
        self._server = server
        self.ae_title, self.host, self.port = server.orthanc.ae_title, server.orthanc.host, server.orthanc.port
        self._known: dict[str, Kept] = {}

    def up(self) -> None:
        self._server.start()

    def down(self) -> None:
        self._server.stop()

    def kill(self) -> None:
        self._server.kill()

    def holds(self) -> dict[str, Kept]:
        """What it holds now, by SOP Instance UID; each object is fetched once. Raises OSError while it is down."""
        listed: list[str] = self._server.orthanc.get("/instances")
        for name in listed:
            if name not in self._known:
                self._known[name] = kept(self._server.orthanc.get_bytes(f"/instances/{name}/file"))
        held = {self._known[name].sop_instance_uid: self._known[name] for name in listed}
        assert len(held) == len(listed), "one SOP Instance UID, several objects"
        return held


@contextmanager
def orthanc_pacs(folder: Path) -> Iterator[OrthancPacs]:
    """One that is up when the block begins and gone when it ends."""
    server = orthanc_server(folder)
    try:
        server.start()
        yield OrthancPacs(server)
    finally:
        server.stop()


def kept(file: bytes) -> Kept:
    ds = pydicom.dcmread(BytesIO(file))
    return Kept(str(ds.SOPInstanceUID), source_of(ds), kind_of(ds), digest_of(ds))


def digest_of(ds: Dataset) -> str:
    """sha256 over all elements as DICOM JSON: the same for every encoding of the same content."""
    return hashlib.sha256(ds.to_json().encode()).hexdigest()
