"""A storage SCP that answers what it is told to: the fake that comes with `dicom_node.deliver`."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from pydicom.dataset import Dataset
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

Answer = int | Literal["abort", "hang_up"]
"""A status word, or: A-ABORT after the data; close the connection after the data."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class ScriptedScp:
    """Answers the n-th C-STORE with the n-th answer, then for ever with the last; remembers what arrived."""

    port: int
    answers: list[Answer]
    received: list[str] = field(default_factory=list)
    associations: int = 0
    think_s: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)
    sockets: list[socket.socket] = field(default_factory=list)

    def on_store(self, event: evt.Event) -> int | Dataset:
        with self.lock:
            answer = self.answers[min(len(self.received), len(self.answers) - 1)]
            self.received.append(str(event.request.AffectedSOPInstanceUID))
        time.sleep(self.think_s)
        if answer == "abort":
            event.assoc.abort()
            return 0xC000
        if answer == "hang_up":
            event.assoc.dul.socket.close()
            return 0xC000
        status = Dataset()
        status.Status = answer
        if answer != 0x0000:
            status.ErrorComment = "as told"
        return status

    def on_open(self, event: evt.Event) -> None:
        """pynetdicom leaves the socket of a connection that broke to the garbage collector."""
        self.sockets.append(event.assoc.dul.socket.socket)

    def on_accepted(self, _event: evt.Event) -> None:
        self.associations += 1


@contextmanager
def scripted_scp(
    answers: Sequence[Answer] = (0x0000,),
    *,
    port: int | None = None,
    ae_title: str = "PACS",
    syntaxes: Sequence[str] = tuple(ALL_TRANSFER_SYNTAXES),
    calling: Sequence[str] = (),
) -> Iterator[ScriptedScp]:
    """Listen on 127.0.0.1 until the block ends. `calling`: the AE titles it knows; none means all."""
    scp = ScriptedScp(port or free_port(), list(answers))
    entity = AE(ae_title=ae_title)
    entity.require_called_aet = True
    entity.require_calling_aet = list(calling)
    entity.add_supported_context(Verification)
    for context in AllStoragePresentationContexts[:120]:
        entity.add_supported_context(str(context.abstract_syntax), list(syntaxes))
    handlers: list[Any] = [
        (evt.EVT_C_STORE, scp.on_store),
        (evt.EVT_ACCEPTED, scp.on_accepted),
        (evt.EVT_CONN_OPEN, scp.on_open),
    ]
    server = entity.start_server(("127.0.0.1", scp.port), block=False, evt_handlers=handlers)
    assert server is not None
    try:
        yield scp
    finally:
        server.shutdown()
        for raw in scp.sockets:
            raw.close()
