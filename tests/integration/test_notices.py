"""An administrator is told, by a real mail server over TLS and a real address of a webhook, once and in the end."""

from __future__ import annotations

import hmac
import json
import smtplib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope
from pydantic import SecretStr, ValidationError

from dicom_node import notifier
from dicom_node.checks import Verdict, check
from dicom_node.config import (
    Config,
    DestinationEntry,
    EmailSection,
    NodeSection,
    NotificationsSection,
    WebhookSection,
)
from dicom_node.domain import Attempt, AttemptOutcome, DestinationState
from dicom_node.incidents import NoticeWay
from dicom_node.mail import MailServer, NotSent, send
from dicom_node.notifier import GIVEN_UP_AFTER, Notifier, senders_of, telling
from dicom_node.storage.repository import Repository
from dicom_node.tls import listening_context
from dicom_node.webhook import SIGNATURE_HEADER, TIME_HEADER
from tests.certificates import Authority, make_authority
from tests.receiving import free_port
from tests.unit.dicom_node.storage.rooms import measured

START = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
SECRET = "a secret of the webhook"  # noqa: S105
PASSWORD = "of the mail server"  # noqa: S105
AWAY = DestinationState("pacs", False, START, START, "no_route", "Doe^Jane was not stored")


@dataclass
class Mailbox:
    """What a mail server was given, and by whom."""

    envelopes: list[Envelope] = field(default_factory=list)
    port: int = 0

    async def handle_DATA(self, _server: Any, session: Any, envelope: Envelope) -> str:
        assert session.ssl is not None
        assert session.authenticated
        self.envelopes.append(envelope)
        return "250 OK"

    @property
    def texts(self) -> list[str]:
        return [bytes(envelope.content or b"").decode() for envelope in self.envelopes]


@dataclass
class Hook:
    """What an address was given; `status` is what it answers."""

    asked: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    status: int = 204
    url: str = ""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def mailbox(authority: Authority) -> Iterator[Mailbox]:
    box = Mailbox()
    context = listening_context(authority.issue("mail").files())

    def knows(_server: Any, _session: Any, _envelope: Any, _mechanism: Any, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"node", PASSWORD.encode()), handled=False)

    box.port = free_port()
    offered = {"tls_context": context, "require_starttls": True, "auth_required": True, "authenticator": knows}
    controller = Controller(box, "127.0.0.1", box.port, ready_timeout=60.0, **offered)  # type: ignore[arg-type]
    controller.start()
    yield box
    controller.stop()


@pytest.fixture
def hook() -> Iterator[Hook]:
    taken = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.asked.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(taken.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        taken.url = f"http://127.0.0.1:{server.server_port}/hook?x=1"
        yield taken
        server.shutdown()
        thread.join()


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    made = Repository.open(f"sqlite:///{tmp_path / 'node.sqlite3'}")
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def config(tmp_path: Path, authority: Authority, mailbox: Mailbox, hook: Hook) -> Config:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    email = EmailSection(
        host="localhost",
        port=mailbox.port,
        authorities=authority.certificate,
        sender="node@example.org",
        recipients=("admin@example.org", "other@example.org"),
        user="node",
        password_file=tmp_path / "password",
    )
    told = NotificationsSection(email=email, webhook=WebhookSection(url=hook.url, secret_file=tmp_path / "secret"))
    node = NodeSection(data_dir=tmp_path, low_free_mb=0, minimum_free_mb=0)
    pacs = DestinationEntry(name="pacs", ae_title="PACS", host="localhost", port=104)
    return Config(node=node, destinations=(pacs,), notifications=told)


@dataclass
class Clock:
    at: datetime = START

    def __call__(self) -> datetime:
        return self.at

    def forward(self, **by: float) -> None:
        self.at += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def notifier_(config: Config, repository: Repository, clock: Clock) -> Notifier:
    return Notifier(lambda: config, repository, senders_of(config), clock)


def tell(one: Notifier) -> int:
    """Look, and tell all that is due; how many messages were tried."""
    one.look()
    count = 0
    while one.tell_next():
        count += 1
    return count


def test_a_destination_that_is_away_is_told_of_once_and_so_is_its_return(
    notifier_: Notifier, repository: Repository, clock: Clock, mailbox: Mailbox, hook: Hook
) -> None:
    """By both ways, signed and over TLS; no word of what the destination said, which may name a patient."""
    repository.tell_destination(AWAY)
    clock.forward(minutes=14)
    assert tell(notifier_) == 0
    clock.forward(minutes=2)
    assert tell(notifier_) == 2
    assert tell(notifier_) == 0
    repository.tell_destination(replace(AWAY, reachable=True, since=clock.at, cause=None, comment=None))
    clock.forward(minutes=1)
    assert tell(notifier_) == 2
    assert tell(notifier_) == 0

    assert [envelope.rcpt_tos for envelope in mailbox.envelopes] == [["admin@example.org", "other@example.org"]] * 2
    assert "Subject: [FETALHC] pacs does not answer" in mailbox.texts[0]
    assert "no_route" in mailbox.texts[0]
    assert "Subject: [FETALHC] pacs answers again" in mailbox.texts[1]
    headers, body = hook.asked[0]
    expected = hmac.new(SECRET.encode(), f"{headers[TIME_HEADER]}.".encode() + body, "sha256").hexdigest()
    assert headers[SIGNATURE_HEADER] == f"sha256={expected}"
    documents = [json.loads(document) for _, document in hook.asked]
    assert [(one["id"], one["turn"], one["kind"], one["name"]) for one in documents] == [
        (1, "began", "destination", "pacs"),
        (1, "ended", "destination", "pacs"),
    ]
    assert "Doe" not in str(mailbox.texts) + str(hook.asked)


def test_what_was_given_up_is_told_of_until_it_is_dealt_with(
    notifier_: Notifier, repository: Repository, clock: Clock, hook: Hook
) -> None:
    measured(repository, "1.2.3.1")
    (delivery, *_) = repository.claim_deliveries("courier", 60.0, 1, clock.at, "pacs")
    attempt = Attempt("pacs", AttemptOutcome.PERMANENT, "status", 0xA900, "Doe^Jane", clock.at, 0.1)
    repository.bury_delivery(delivery, attempt, "Refused", clock.at)
    assert tell(notifier_) == 2
    assert tell(notifier_) == 0
    repository.retry_delivery(delivery.id, clock.at)
    assert tell(notifier_) == 2
    assert [json.loads(body)["turn"] for _, body in hook.asked] == ["began", "ended"]
    assert "1 deliveries" in json.loads(hook.asked[0][1])["detail"]
    assert "Doe" not in str(hook.asked)


def test_a_disk_that_fills_is_told_of_and_has_room_only_well_above_the_mark(
    notifier_: Notifier, config: Config, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked = config.model_copy(update={"node": config.node.model_copy(update={"low_free_mb": 1000})})
    watching = replace(notifier_, config=lambda: marked)
    for free_mb, messages in ((2000, 0), (999, 2), (1050, 0), (999, 0), (1200, 2)):
        usage = type("Usage", (), {"free": free_mb << 20})()
        monkeypatch.setattr(notifier.shutil, "disk_usage", lambda _, usage=usage: usage)
        assert tell(watching) == messages, free_mb
    assert [json.loads(body)["kind"] for _, body in hook.asked] == ["disk", "disk"]


def test_what_nobody_takes_is_tried_again_by_whoever_runs_then_and_given_up_after_a_day(  # noqa: PLR0917
    notifier_: Notifier, config: Config, repository: Repository, clock: Clock, mailbox: Mailbox, hook: Hook
) -> None:
    """The one way does not wait for the other; a message is in the database before it is tried."""
    hook.status = 503
    repository.tell_destination(AWAY)
    clock.forward(minutes=16)
    assert tell(notifier_) == 2
    assert len(mailbox.envelopes) == 1
    clock.forward(seconds=29)
    assert tell(notifier_) == 0
    clock.forward(seconds=2)
    later = Notifier(lambda: config, repository, senders_of(config), clock)  # another process
    assert tell(later) == 1
    hook.status = 200
    clock.forward(hours=1)
    assert tell(later) == 1
    assert len(hook.asked) == 3
    assert len({body for _, body in hook.asked}) == 1
    hook.status = 503
    repository.tell_destination(replace(AWAY, reachable=True, since=clock.at))
    tell(later)
    clock.forward(hours=1 + GIVEN_UP_AFTER / timedelta(hours=1))
    assert tell(later) == 1
    clock.forward(days=2)
    assert tell(later) == 0


def test_two_couriers_tell_once(
    notifier_: Notifier, config: Config, repository: Repository, clock: Clock, mailbox: Mailbox
) -> None:
    repository.tell_destination(AWAY)
    clock.forward(minutes=16)
    other = Notifier(lambda: config, repository, senders_of(config), clock)
    notifier_.look()
    other.look()
    assert len(repository.incidents.standing()) == 1
    first = repository.incidents.claim((NoticeWay.EMAIL,), timedelta(minutes=5), clock.at)
    assert first is not None
    assert repository.incidents.claim((NoticeWay.EMAIL,), timedelta(minutes=5), clock.at) is None
    clock.forward(minutes=6)  # whoever claimed it is gone
    tell(other)
    assert len(mailbox.envelopes) == 1


def test_whatever_the_mail_server_does_holds_up_nobody(config: Config, repository: Repository) -> None:
    """It takes the connection and keeps silent: the courier's end does not wait for it."""
    import socket
    import time

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        email = config.notifications.email.model_copy(update={"port": port})
        section = config.notifications.model_copy(update={"email": email, "destination_away_min": 0.001})
        repository.tell_destination(replace(AWAY, since=START - timedelta(days=1)))
        stop, began = threading.Event(), time.monotonic()
        with telling(config.model_copy(update={"notifications": section}), repository, stop):
            silent.settimeout(60)
            connection, _ = silent.accept()
            stop.set()
        assert time.monotonic() - began < notifier.mail.TIMEOUT_S
        connection.close()


@contextmanager
def clear_text_server(box: Mailbox) -> Iterator[int]:
    """A mail server that offers no STARTTLS."""
    port = free_port()
    controller = Controller(box, "127.0.0.1", port, ready_timeout=60.0)
    controller.start()
    yield port
    controller.stop()


def test_nothing_goes_out_in_clear_or_to_a_stranger(
    mailbox: Mailbox, authority: Authority, config: Config, notifier_: Notifier
) -> None:
    """No STARTTLS, a certificate of another authority, or a wrong password: nothing is sent."""
    message = smtplib.email.message.EmailMessage()  # type: ignore[attr-defined]
    message["From"], message["To"] = "a@example.org", "b@example.org"
    with clear_text_server(Mailbox()) as port, pytest.raises(NotSent):
        send(MailServer("localhost", port, "starttls", authority.certificate), message)
    with pytest.raises(NotSent, match="SSLCertVerificationError"):
        send(MailServer("localhost", mailbox.port, "starttls"), message)
    wrong = MailServer("localhost", mailbox.port, "starttls", authority.certificate, "node", SecretStr("guess"))
    with pytest.raises(NotSent, match="SMTPAuthenticationError"):
        send(wrong, message)
    assert mailbox.envelopes == []


@pytest.mark.parametrize(
    "email",
    [
        {"host": "mail.example.org"},
        {"host": "mail.example.org", "sender": "a@example.org", "recipients": ["x\r\nBcc: y@example.org"]},
        {"host": "mail.example.org", "sender": "a", "recipients": ["b@example.org"]},
        {"host": "mail.example.org", "sender": "a@x.org", "recipients": ["b@x.org"], "security": "none"},
        {"host": "10.0.0.0/8", "sender": "a@x.org", "recipients": ["b@x.org"]},
    ],
)
def test_mail_settings_are_checked(email: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EmailSection(**email)


@pytest.mark.parametrize("url", ["http://example.org/", "https://u:p@example.org/", "ftp://x/", "https://x/\n"])
def test_addresses_of_webhooks_are_checked(url: str) -> None:
    with pytest.raises(ValidationError):
        WebhookSection(url=url)


def test_check_config_says_what_is_missing(config: Config, tmp_path: Path) -> None:
    told = {one.name: one.verdict for one in check(config)}
    assert (told["e-mail"], told["webhook"]) == (Verdict.OK, Verdict.OK)
    (tmp_path / "password").unlink()
    (tmp_path / "secret").write_text("")
    told = {one.name: one.verdict for one in check(config)}
    assert (told["e-mail"], told["webhook"]) == (Verdict.FAILED, Verdict.FAILED)


def test_without_a_way_nobody_looks(repository: Repository) -> None:
    threads = threading.active_count()
    with telling(Config(), repository, threading.Event()):
        assert threading.active_count() == threads
