"""Each thing that keeps the node from taking an object is named, without a word about folders or addresses."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from dicom_node.config import NodeSection
from dicom_node.errors import DatabaseUnavailable
from dicom_node.readiness import probes


@pytest.fixture
def listening() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def node(data_dir: Path, port: int, **keys: object) -> NodeSection:
    return NodeSection(data_dir=data_dir, port=port, host="0.0.0.0", **{"minimum_free_mb": 0, **keys})  # noqa: S104


def told(section: NodeSection, ask=lambda: True) -> dict[str, bool]:
    return {probe.name: probe.ok for probe in probes(section, ask)}


def test_a_node_that_works_is_ready(tmp_path: Path, listening: int) -> None:
    assert told(node(tmp_path, listening)) == {"database": True, "disk": True, "receiver": True}


def test_no_database(tmp_path: Path, listening: int) -> None:
    def silent() -> None:
        raise DatabaseUnavailable("The database postgresql://secret@host does not answer.")

    assert told(node(tmp_path, listening), silent) == {"database": False, "disk": True, "receiver": True}
    assert not any("secret" in probe.text for probe in probes(node(tmp_path, listening), silent))


def test_no_room(tmp_path: Path, listening: int) -> None:
    assert told(node(tmp_path, listening, minimum_free_mb=10**9))["disk"] is False
    assert told(node(tmp_path / "gone", listening))["disk"] is False


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as bound:  # bound and not listening: nobody else can take the port meanwhile
        bound.bind(("127.0.0.1", 0))
        assert told(node(tmp_path, bound.getsockname()[1]))["receiver"] is False
