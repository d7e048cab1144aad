"""Whether the node can take an object now: its database answers, its disk has room, its receiver listens.

What `check-config` looks at before a start is looked at here while the node runs; nothing is changed, and the words
that are given back name no folder, address or person, so that anybody may ask.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dicom_node.config import NodeSection
from dicom_node.errors import NodeError

CONNECT_S = 2.0
_MEGABYTE = 1024 * 1024
_LISTENS_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  where such a one is asked


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing that was looked at; `text` says what is wrong, or what was found."""

    name: str
    ok: bool
    text: str


def probes(node: NodeSection, ask_database: Callable[[], object]) -> Iterator[Probe]:
    """Database, disk and receiver, in this order. `ask_database` raises NodeError where nobody answers."""
    yield _database(ask_database)
    yield _disk(node)
    yield _receiver(node)


def _database(ask: Callable[[], object]) -> Probe:
    try:
        ask()
    except NodeError as error:
        return Probe("database", ok=False, text=f"does not answer ({type(error).__name__})")
    return Probe("database", ok=True, text="answers")


def _disk(node: NodeSection) -> Probe:
    """Not ready below `node.minimum_free_mb`: then every object is refused with 0xA700."""
    try:
        free_mb = shutil.disk_usage(node.data_dir).free // _MEGABYTE
    except OSError as error:
        return Probe("disk", ok=False, text=f"the data folder cannot be looked at ({error.strerror})")
    if free_mb < node.minimum_free_mb:
        return Probe("disk", ok=False, text=f"{free_mb} MB are free, less than node.minimum_free_mb: nothing is taken")
    return Probe("disk", ok=True, text=f"{free_mb} MB are free")


def _receiver(node: NodeSection) -> Probe:
    """A connection that asks for nothing, which the receiver takes for the probe of a load balancer."""
    host, port = _LISTENS_EVERYWHERE.get(node.host, node.host), node.port or node.tls.port
    try:
        with socket.create_connection((host, port or 0), timeout=CONNECT_S):
            return Probe("receiver", ok=True, text="listens")
    except OSError as error:
        return Probe("receiver", ok=False, text=f"does not listen ({error.strerror or type(error).__name__})")
