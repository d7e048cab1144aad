"""A stand-in PACS: keeps what it is sent by SOP Instance UID and remembers every arrival, so that twice is seen."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import pydicom
from pydicom import Dataset
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from dicom_node.domain import ResultKind
from sr_templates import study
from tests.receiving import free_port

PACS_AE = "PACS"

COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
KIND_OF_TITLE = {"126000": ResultKind.TID1500, "125000": ResultKind.TID5000}
KIND_OF_CLASS = {
    "1.2.840.10008.5.1.4.1.1.104.1": ResultKind.PDF,  # Encapsulated PDF
    "1.2.840.10008.5.1.4.1.1.7": ResultKind.OVERLAY,  # Secondary Capture
    "1.2.840.10008.5.1.4.1.1.7.4": ResultKind.CINE_OVERLAY,  # Multi-frame True Color Secondary Capture
    "1.2.840.10008.5.1.4.1.1.11.1": ResultKind.PRESENTATION,  # Grayscale Softcopy Presentation State
    "1.2.840.10008.5.1.4.1.1.11.2": ResultKind.PRESENTATION,  # Color Softcopy Presentation State
    "1.2.840.10008.5.1.4.1.1.88.59": ResultKind.KEY_OBJECT,  # Key Object Selection Document
}
KIND_OF_SERIES = {
    study.SR.series_description: ResultKind.STUDY_SR,
    study.PDF.series_description: ResultKind.STUDY_PDF,
}


@dataclass(frozen=True)
class Arrival:
    """One C-STORE that was answered with Success. `sha256` is of the data set as it came, without file meta."""

    sop_class_uid: str
    sop_instance_uid: str
    sha256: str
    path: Path
    at: float

    @property
    def kind(self) -> ResultKind:
        return kind_of(self.read())

    def read(self, *, pixels: bool = False) -> Dataset:
        return pydicom.dcmread(self.path, stop_before_pixels=not pixels)


class StandInPacs:
    """A storage SCP in threads of the test. It can be taken off the network and put back on the same port."""

    def __init__(self, folder: Path, ae_title: str = PACS_AE) -> None:
        self.ae_title = ae_title
        self.host = "127.0.0.1"
        self.port = free_port()
        self.arrivals: list[Arrival] = []
        self.uids: set[str] = set()
        self._folder = folder
        self._lock = threading.Lock()
        self._count = 0
        self._server: Any = None
        self._sockets: list[socket.socket] = []
        folder.mkdir(parents=True, exist_ok=True)

    def up(self) -> None:
        entity = AE(ae_title=self.ae_title)
        entity.require_called_aet = True
        entity.maximum_associations = 50
        entity.add_supported_context(Verification)
        for sop_class_uid in (COMPREHENSIVE_SR, *KIND_OF_CLASS):
            entity.add_supported_context(sop_class_uid, list(ALL_TRANSFER_SYNTAXES))
        handlers: list[Any] = [(evt.EVT_C_STORE, self._on_store), (evt.EVT_CONN_OPEN, self._on_open)]
        self._server = entity.start_server((self.host, self.port), block=False, evt_handlers=handlers)

    def down(self) -> None:
        """Off the network at once: no listener, and who is connected is cut off."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server = None
        for raw in self._sockets:
            raw.close()
        self._sockets.clear()

    def held(self) -> dict[str, set[str]]:
        """SOP Instance UID -> the sha256 of everything that came under it; one each, if all is well."""
        found: dict[str, set[str]] = defaultdict(set)
        for arrival in list(self.arrivals):
            found[arrival.sop_instance_uid].add(arrival.sha256)
        return found

    def results(self) -> dict[str, dict[ResultKind, set[str]]]:
        """Source SOP Instance UID -> kind -> the SOP Instance UIDs of what was said about it."""
        found: dict[str, dict[ResultKind, set[str]]] = defaultdict(lambda: defaultdict(set))
        seen: set[str] = set()
        for arrival in list(self.arrivals):
            if arrival.sop_instance_uid not in seen:
                seen.add(arrival.sop_instance_uid)
                found[source_of(arrival.read())][arrival.kind].add(arrival.sop_instance_uid)
        return found

    def about(self, source: str) -> dict[ResultKind, Arrival]:
        """What came about one source, the last one of each kind."""
        return {a.kind: a for a in list(self.arrivals) if source_of(a.read()) == source}

    def _on_open(self, event: evt.Event) -> None:
        """pynetdicom leaves the socket of a peer that was killed to the garbage collector."""
        self._sockets.append(event.assoc.dul.socket.socket)

    def _on_store(self, event: evt.Event) -> int:
        content = event.encoded_dataset(include_meta=True)
        digest = hashlib.sha256(event.encoded_dataset(include_meta=False)).hexdigest()
        with self._lock:
            self._count += 1
            path = self._folder / f"{self._count:06}.dcm"
        path.write_bytes(content)
        request = event.request
        uids = str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID)
        self.arrivals.append(Arrival(*uids, digest, path, monotonic()))
        self.uids.add(uids[1])
        return 0x0000


@contextmanager
def stand_in_pacs(folder: Path, ae_title: str = PACS_AE) -> Iterator[StandInPacs]:
    """A PACS that is up when the block begins and gone when it ends."""
    pacs = StandInPacs(folder, ae_title)
    pacs.up()
    try:
        yield pacs
    finally:
        pacs.down()


def kind_of(ds: Dataset) -> ResultKind:
    """What kind of result of ours it is; structured reports differ by their title, those of a study by their series."""
    if ds.get("SeriesDescription") in KIND_OF_SERIES:
        return KIND_OF_SERIES[ds.SeriesDescription]
    if ds.SOPClassUID == COMPREHENSIVE_SR:
        return KIND_OF_TITLE[ds.ConceptNameCodeSequence[0].CodeValue]
    return KIND_OF_CLASS[ds.SOPClassUID]


def source_of(ds: Dataset) -> str:
    """SOP Instance UID of the image that a result of ours is about."""
    if "CurrentRequestedProcedureEvidenceSequence" in ds:
        study = ds.CurrentRequestedProcedureEvidenceSequence[0]
        return str(study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
    if "GraphicAnnotationSequence" in ds:
        return str(ds.GraphicAnnotationSequence[0].ReferencedImageSequence[0].ReferencedSOPInstanceUID)
    sources = ds.get("SourceInstanceSequence") or ds.SourceImageSequence
    return str(sources[0].ReferencedSOPInstanceUID)
