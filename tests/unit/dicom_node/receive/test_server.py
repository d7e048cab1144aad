"""Starting and stopping the receiver."""

from __future__ import annotations

import logging
import socket
import threading
from pathlib import Path

import pytest

from dicom_node.errors import ConfigError
from dicom_node.receive import server
from tests.fakes import FakeRepository
from tests.receiving import free_port, receiver_config, receiver_thread


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1 port {port}"):
            server.run(receiver_config(tmp_path, port), FakeRepository(), threading.Event())


def test_what_another_receiver_is_receiving_is_left_alone(tmp_path: Path) -> None:
    port = free_port()
    with receiver_thread(receiver_config(tmp_path, port), FakeRepository()):
        part = tmp_path / "spool" / "0123.part"
        part.write_bytes(b"on its way")
        with pytest.raises(ConfigError):
            server.run(receiver_config(tmp_path, port), FakeRepository(), threading.Event())
        assert part.exists()


def test_its_life_is_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="dicom_node")
    port = free_port()
    with receiver_thread(receiver_config(tmp_path, port, peers=[]), FakeRepository()):
        pass

    assert [r.message for r in caplog.records] == [
        *("receiver.no_peers", "receiver.listening", "receiver.ready", "receiver.stopped")
    ]
    assert vars(caplog.records[2])["port"] == port


def test_folders_are_for_the_node_only(tmp_path: Path) -> None:
    with receiver_thread(receiver_config(tmp_path / "data", free_port()), FakeRepository()):
        assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "data" / "spool").stat().st_mode & 0o777 == 0o700
