"""Looks what is wrong, remembers it as incidents, and tells an administrator: a thread of the courier's own.

Whatever a mail server or webhook does holds up nobody else. A message is in the database before it is tried, and is
tried until it is taken or a day old: a stop in between makes it late, or tells it twice, and loses none.
"""

from __future__ import annotations

import logging
import shutil
import socket
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Protocol

from dicom_node import mail, webhook
from dicom_node.additions import standing
from dicom_node.config import Config, NotificationsSection
from dicom_node.domain import DeliveryState, DestinationState, JobState
from dicom_node.errors import NodeError
from dicom_node.incidents import Incident, IncidentKind, Notice, NoticeWay, Trouble, document, heading, text
from dicom_node.mail import MailServer, NotSent
from dicom_node.queue import utc_now
from dicom_node.storage.repository import Repository

_log = logging.getLogger(__name__)

LOOK_EVERY_S = 15.0
LEASE = timedelta(minutes=5)
"""Far longer than one message can take."""

GOODBYE_S = 2.0
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=1)
GIVEN_UP_AFTER = timedelta(days=1)
ROOM_AGAIN = 1.1
"""So much above the mark the disk has to be before it counts as having room: no message at every turn of a file."""

_MEGABYTE = 1024 * 1024
Sender = Callable[[Notice, datetime], None]
"""Tells it on its way. Raises NotSent."""


class Ledger(Protocol):
    """Incidents and their messages; see storage/incidents.py."""

    def standing(self) -> tuple[Incident, ...]: ...
    def begin(self, trouble: Trouble, ways: Collection[NoticeWay], now: datetime) -> None: ...
    def end(self, incident_id: int, ways: Collection[NoticeWay], now: datetime) -> None: ...
    def claim(self, ways: Collection[NoticeWay], lease: timedelta, now: datetime) -> Notice | None: ...
    def told(self, notice: Notice, now: datetime) -> None: ...
    def put_off(self, notice: Notice, until: datetime | None) -> None: ...


class Watched(Protocol):
    """The end of the repository that is looked at; all may raise NodeError."""

    @property
    def incidents(self) -> Ledger: ...
    def destination_states(self) -> dict[str, DestinationState]: ...
    def counts(self, now: datetime) -> dict[str, int]: ...


@dataclass(frozen=True)
class Notifier:
    """`config`: gives the configuration with what was added since; `senders`: the ways that are configured."""

    config: Callable[[], Config]
    watched: Watched
    senders: Mapping[NoticeWay, Sender]
    now: Callable[[], datetime] = utc_now

    def run(self, stop: threading.Event) -> None:
        """Look and tell until `stop` is set."""
        while True:
            try:
                self.look()
                while not stop.is_set() and self.tell_next():
                    pass
            except NodeError as error:
                _log.warning("notify.failed", extra={"error": type(error).__name__})
            except Exception:  # noqa: BLE001  a thread that ends would be silent when it matters
                _log.exception("notify.broken")
            if stop.wait(LOOK_EVERY_S):
                return

    def look(self) -> None:
        """Begin and end incidents by what is wrong now. What another machine's disk does is its own affair."""
        config, ledger, now, ways = self.config(), self.watched.incidents, self.now(), tuple(self.senders)
        known = {(one.trouble.kind, one.trouble.name): one for one in ledger.standing()}
        troubles = {(one.kind, one.name): one for one in self._troubles(config, now, known.keys())}
        for key in troubles.keys() - known.keys():
            ledger.begin(troubles[key], ways, now)
            _log.warning("notify.incident", extra={"kind": key[0].value})
        for key in known.keys() - troubles.keys():
            if key[0] is not IncidentKind.DISK or key[1] == socket.gethostname():
                ledger.end(known[key].id, ways, now)
                _log.info("notify.over", extra={"kind": key[0].value})

    def _troubles(self, config: Config, now: datetime, known: Collection[tuple[IncidentKind, str]]) -> list[Trouble]:
        """What is wrong; what stands already has to be well again before it counts as over."""
        found = []
        patience = timedelta(minutes=config.notifications.destination_away_min)
        states = self.watched.destination_states()
        for destination in config.destinations:
            state = states.get(destination.name)
            if state is not None and not state.reachable:
                told = (IncidentKind.DESTINATION, destination.name) in known
                if told or now - state.since >= patience:
                    found.append(Trouble(IncidentKind.DESTINATION, destination.name, state.cause or "no answer"))
        found += _disk(config, known)
        counts = self.watched.counts(now)
        jobs, deliveries = counts[f"jobs_{JobState.DEAD.value}"], counts[f"deliveries_{DeliveryState.DEAD.value}"]
        if jobs or deliveries:
            amount = f"{jobs} jobs and {deliveries} deliveries"
            found.append(Trouble(IncidentKind.DEAD_LETTERS, config.node.ae_title, amount))
        return found

    def tell_next(self) -> bool:
        """Try the next message that is due; False where there is none."""
        ledger, now = self.watched.incidents, self.now()
        notice = ledger.claim(tuple(self.senders), LEASE, now)
        if notice is None:
            return False
        facts = {"kind": notice.incident.trouble.kind.value, "what": notice.way.value, "attempts": notice.attempt}
        try:
            self.senders[notice.way](notice, now)
        except NotSent as error:
            given_up = now - notice.made_at >= GIVEN_UP_AFTER
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(notice.attempt - 1, 10))
            ledger.put_off(notice, None if given_up else now + wait)
            cause = type(error.__cause__ or error).__name__
            if given_up:
                _log.warning("notify.given_up", extra={**facts, "cause": cause})
            else:
                _log.warning("notify.not_sent", extra={**facts, "cause": cause})
        else:
            ledger.told(notice, now)
            _log.info("notify.sent", extra=facts)
        return True


def _disk(config: Config, known: Collection[tuple[IncidentKind, str]]) -> list[Trouble]:
    """This machine's data folder."""
    name = socket.gethostname()
    try:
        free_mb = shutil.disk_usage(config.node.data_dir).free // _MEGABYTE
    except OSError as error:
        return [Trouble(IncidentKind.DISK, name, f"the data folder cannot be looked at ({type(error).__name__})")]
    mark = config.node.low_free_mb * (ROOM_AGAIN if (IncidentKind.DISK, name) in known else 1.0)
    return [Trouble(IncidentKind.DISK, name, f"{free_mb} MB are free")] if free_mb < mark else []


def senders_of(config: Config) -> dict[NoticeWay, Sender]:
    """The ways that are configured; none: nobody is told anything."""
    section, node = config.notifications, config.node.ae_title
    found: dict[NoticeWay, Sender] = {}
    if section.email.host is not None:
        found[NoticeWay.EMAIL] = lambda notice, now: _mail(section, node, notice, now)
    hook = section.webhook
    if hook.url is not None:
        address = webhook.Hook(hook.url, hook.secret(), hook.authorities)
        found[NoticeWay.WEBHOOK] = lambda notice, now: webhook.post(
            address, document(notice, node), int(now.timestamp())
        )
    return found


def _mail(section: NotificationsSection, node: str, notice: Notice, now: datetime) -> None:
    email = section.email
    server = MailServer(email.host or "", email.port, email.security, email.authorities, email.user, email.password())
    mail.send(server, message_of(section, node, notice, now))


def message_of(section: NotificationsSection, node: str, notice: Notice, now: datetime) -> EmailMessage:
    """The same Message-ID however often it is tried, so that whoever gets it twice sees it once."""
    email, host = section.email, socket.gethostname()
    message = EmailMessage()
    message["From"], message["To"] = email.sender, ", ".join(email.recipients)
    message["Subject"] = f"[{node}] {heading(notice)}"
    message["Date"] = format_datetime(now)
    began = int(notice.incident.began_at.timestamp())
    message["Message-ID"] = f"<incident-{notice.incident.id}-{notice.turn.value}-{began}@{host}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(f"{text(notice)}\n{node} on {host}. Research use only.\n")
    return message


@contextmanager
def telling(config: Config, repository: Repository, stop: threading.Event) -> Iterator[None]:
    """An administrator is told as long as the block lasts, where any way is configured."""
    senders = senders_of(config)
    if not senders:
        yield
        return
    notifier = Notifier(lambda: standing(config, repository.additions()), repository, senders)
    thread = threading.Thread(target=notifier.run, args=(stop,), name="notifier", daemon=True)
    thread.start()
    yield
    thread.join(GOODBYE_S)  # not for as long as a mail server keeps silent: what was not told stays in the database
