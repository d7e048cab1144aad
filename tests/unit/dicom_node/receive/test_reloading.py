"""What the receiver takes up from changed files, and what it leaves until the next start."""

from __future__ import annotations

import logging
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from dicom_node.config import load_config
from dicom_node.receive.authorisation import Policy
from dicom_node.receive.reloading import Reloading
from tests.certificates import Authority, make_authority

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Desk:
    """A configuration file and what became of its changes."""

    def __init__(self, folder: Path, **node: Any) -> None:
        self.file = folder / "config.yaml"
        self.policies: list[Policy] = []
        self.contexts: list[ssl.SSLContext] = []
        self.write(node=node)
        self.reloading = Reloading(load_config(self.file), self.file, self.policies.append, self.contexts.append)

    def write(self, **content: Any) -> None:
        self.file.write_text(yaml.safe_dump(content))

    def look(self, now: datetime = NOW) -> None:
        self.reloading.look(now)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="dicom_node")
    return caplog


def told(logged: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in logged.records]


def test_new_peers_and_titles_are_taken_up(tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    desk = Desk(tmp_path)
    desk.look()
    assert desk.policies == []

    desk.write(node={"other_ae_titles": ["FETALHC2"], "maximum_associations": 7}, peers=[{"ae_title": "NEW"}])
    desk.look()
    desk.look()

    (policy,) = desk.policies
    assert (policy.our_aes, policy.maximum_associations) == (("FETALHC", "FETALHC2"), 7)
    assert [peer.ae_title for peer in policy.peers] == ["NEW"]
    assert told(logged) == ["receiver.config_taken_up"]


@pytest.mark.parametrize(
    "broken", [b"peers: [", b"peers: 3", b"nonsense: 1", b"\xff\xfe", b"peers: [{ae_title: '\\'}]"]
)
def test_a_mistake_changes_nothing_until_it_is_put_right(
    tmp_path: Path, logged: pytest.LogCaptureFixture, broken: bytes
) -> None:
    desk = Desk(tmp_path)
    desk.file.write_bytes(broken)
    desk.look()
    desk.file.unlink()
    desk.look()
    assert desk.policies == []
    assert told(logged) == ["receiver.config_refused"] * 2

    desk.write(peers=[{"ae_title": "NEW"}])
    desk.look()
    assert len(desk.policies) == 1


def test_what_waits_for_a_restart_is_named(tmp_path: Path, logged: pytest.LogCaptureFixture) -> None:
    desk = Desk(tmp_path)
    desk.write(node={"port": 104}, destinations=[{"name": "a", "ae_title": "A", "host": "h", "port": 1}])
    desk.look()

    waiting = [vars(record)["what"] for record in logged.records if record.message == "receiver.restart_needed"]
    assert waiting == ["destinations", "node.port"]


@pytest.mark.peer("openssl")
class TestTls:
    @pytest.fixture
    def authority(self, tmp_path: Path) -> Authority:
        return make_authority(tmp_path / "ca")

    def desk(self, tmp_path: Path, authority: Authority, days: int = 90) -> Desk:
        issued = authority.issue("node", days=days)
        files = {"certificate": str(issued.certificate), "private_key": str(issued.private_key)}
        return Desk(tmp_path, tls={"port": 2762, **files})

    def test_a_renewed_certificate_is_taken_up(
        self, tmp_path: Path, authority: Authority, logged: pytest.LogCaptureFixture
    ) -> None:
        desk = self.desk(tmp_path, authority)
        desk.look(datetime.now(UTC))
        assert desk.contexts == []

        (tmp_path / "ca" / "node.pem").write_text("half of one")
        desk.look(datetime.now(UTC))
        assert desk.contexts == []
        assert told(logged) == ["receiver.tls_refused"]

        authority.issue("node")
        desk.look(datetime.now(UTC))
        assert len(desk.contexts) == 1

    def test_the_end_of_a_certificate_is_told_every_day(
        self, tmp_path: Path, authority: Authority, logged: pytest.LogCaptureFixture
    ) -> None:
        desk, now = self.desk(tmp_path, authority, days=10), datetime.now(UTC)
        for hours in (0, 1, 23, 25, 26):
            desk.look(now + timedelta(hours=hours))

        assert told(logged) == ["receiver.certificate_ends"] * 2
        assert vars(logged.records[0])["days_left"] in {9, 10}
