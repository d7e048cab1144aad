"""The audit trail on its way to a collector: rsyslog over TLS, a strict one that breaks off, and UDP."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicom_node.audit import AuditEntry, AuditEvent
from dicom_node.config import Config
from dicom_node.deliver import audit_lane
from dicom_node.deliver.audit_lane import audit_lanes
from dicom_node.queue import utc_now
from dicom_node.storage.repository import Repository
from tests.audit_schema import parsed
from tests.certificates import Authority, Issued, make_authority
from tests.outbox import Node, node
from tests.receiving import eventually
from tests.syslog_peer import content, rsyslog, strict_collector

pytestmark = pytest.mark.peer("openssl")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_lane, "LOOK_S", 0.05)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def collector(authority: Authority) -> Issued:
    return authority.issue("collector")


def acts(repository: Repository, *names: str) -> None:
    for name in names:
        repository.record(AuditEntry(AuditEvent.USER_SIGNED_IN, name, "192.0.2.1"), utc_now())
    repository.seal_trail()


def who(messages: list[bytes]) -> list[str | None]:
    """Who signed in, as the collector has it."""
    return [parsed(content(one)).find("ActiveParticipant").get("UserID") for one in messages]  # type: ignore[union-attr]


@contextmanager
def sending(made: Node, **section: object) -> Iterator[None]:
    """The lane of the courier that sends the trail, as it is configured, in a thread."""
    told = made.config.model_dump(mode="json") | {"audit_messages": {"host": "localhost", **section}}
    (lane,) = audit_lanes(Config.model_validate(told), made.repository)
    stop = threading.Event()
    thread = threading.Thread(target=lane.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def tls(authority: Authority, own: Issued | None = None) -> dict[str, object]:
    named = {} if own is None else {"certificate": str(own.certificate), "private_key": str(own.private_key)}
    return {"authorities": str(authority.certificate), **named}


def events(caplog: pytest.LogCaptureFixture, event: str) -> Callable[[], list[object]]:
    return lambda: [getattr(record, "cause", True) for record in caplog.records if record.msg == event]


@pytest.mark.peer("rsyslogd")
def test_rsyslog_gets_every_message_whole_also_after_it_was_killed(
    authority: Authority, collector: Issued, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = authority.issue("node")
    with node(tmp_path) as made, rsyslog(tmp_path / "rsyslog", collector.files(authority.certificate)) as peer:
        made.repository.begin_collecting()
        with sending(made, port=peer.port, tls=tls(authority, own), site="Hospital"):
            acts(made.repository, "anna", "bernd")
            assert who(peer.wait_for(2)) == ["anna", "bernd"]
            peer.kill()
            acts(made.repository, "clara", "dora")
            eventually(events(caplog, "audit.collector_away"))
            peer.start()
            assert who(peer.wait_for(4)) == ["anna", "bernd", "clara", "dora"]


def test_what_a_connection_took_with_it_is_sent_again(
    authority: Authority, collector: Issued, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with node(tmp_path) as made, strict_collector(collector.files(), resets=2) as peer:
        made.repository.begin_collecting()
        acts(made.repository, "anna", "bernd")
        with sending(made, port=peer.port, tls=tls(authority)):
            eventually(lambda: len(peer.taken) == 2)
    assert peer.broken == 2
    assert who(peer.taken) == ["anna", "bernd"]


def test_a_long_trail_goes_in_batches_and_in_its_order(
    authority: Authority, collector: Issued, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_lane, "BATCH", 7)
    names = [f"user{number}" for number in range(40)]
    with node(tmp_path) as made, strict_collector(collector.files()) as peer:
        made.repository.begin_collecting()
        acts(made.repository, *names)
        with sending(made, port=peer.port, tls=tls(authority)):
            eventually(lambda: len(peer.taken) == 40)
    assert who(peer.taken) == names


@pytest.mark.parametrize("asks", [False, True], ids=["not believed", "does not believe us"])
def test_nothing_goes_to_one_who_is_not_the_collector_nor_without_our_certificate(
    asks: bool, authority: Authority, collector: Issued, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = make_authority(tmp_path / "other")
    files = collector.files(authority.certificate) if asks else other.issue("impostor").files()
    with node(tmp_path) as made, strict_collector(files) as peer:
        made.repository.begin_collecting()
        acts(made.repository, "anna")
        with sending(made, port=peer.port, tls=tls(authority)):
            eventually(events(caplog, "audit.collector_away"))
        assert peer.taken == []
        (waiting,) = made.repository.claim_audit(9, 60.0, utc_now()).records  # type: ignore[union-attr]
    assert waiting.entry.actor == "anna"


def test_a_datagram_holds_one_message(tmp_path: Path) -> None:
    with node(tmp_path) as made, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(60.0)
        made.repository.begin_collecting()
        acts(made.repository, "anna", "bernd")
        with sending(made, host="127.0.0.1", port=peer.getsockname()[1], transport="udp"):
            assert who([peer.recv(65536), peer.recv(65536)]) == ["anna", "bernd"]


def test_the_courier_sends_without_any_destination(
    authority: Authority, collector: Issued, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with node(tmp_path) as made, strict_collector(collector.files()) as peer:
        told = made.config.model_dump(mode="json")
        told |= {"audit_messages": {"host": "localhost", "port": peer.port, "tls": tls(authority)}}
        made.config = Config.model_validate(told)
        with made.courier():
            eventually(events(caplog, "audit.collecting_begun"))
            acts(made.repository, "anna")
            eventually(lambda: len(peer.taken) == 1)
    assert who(peer.taken) == ["anna"]
