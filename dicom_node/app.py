"""Composition root: configuration -> repository -> role. The only place that knows how the parts fit together."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext, suppress
from enum import StrEnum
from functools import partial
from pathlib import Path

from dicom_node import __version__, ageing, logs
from dicom_node.arenas import bound_arenas
from dicom_node.audit import NODE, AuditEntry, AuditEvent
from dicom_node.config import Config
from dicom_node.deliver import courier
from dicom_node.deliver.teller import told_to_fhir
from dicom_node.errors import DatabaseRefused, NodeError
from dicom_node.notifier import telling
from dicom_node.queue import utc_now
from dicom_node.schedule import SealTick, StudyTick, housekeeping
from dicom_node.sharing import Share, shares
from dicom_node.storage.engine import sqlite_file
from dicom_node.storage.pairing import alone, paired
from dicom_node.storage.repository import Repository
from dicom_node.supervisor import READY_LINE, Supervisor

STANDARD_OUTPUT = 1
_LONGEST_GOODBYE_S = 30.0
_STOPPING = frozenset({signal.SIGTERM.value, signal.SIGINT.value})


class Role(StrEnum):
    RECEIVER = "receiver"
    WORKER = "worker"
    COURIER = "courier"
    WEB = "web"


def serve(config: Config, config_path: Path | None, supervised: bool = False) -> None:
    """Receiver, worker, courier and console as processes of their own, until SIGTERM, SIGINT or end of input.

    The end of standard input counts only if supervised itself.

    Raises:
        NodeError: the database cannot be used, or a process could not start.
    """
    logs.configure(config.logging.level, config.logging.format)
    with ExitStack() as held:
        with open_repository(config) as repository:  # migrated once, before anybody uses it
            held.enter_context(paired(config.node.data_dir.resolve(), repository))
        stop = stop_on_signals()
        if supervised:
            stop_at_end_of_input(stop)
        roles = [role for role in Role if role is not Role.WEB or config.web.enabled]
        _supervise(roles, config, config_path, stop)


def _supervise(roles: Sequence[Role], config: Config, config_path: Path | None, stop: threading.Event) -> None:
    """Each in a process, but as many receivers as the configuration says, which then share their ports."""
    with ExitStack() as held:
        commands = {role.value: command_of(role, config_path) for role in roles}
        descriptors: dict[str, Sequence[int]] = {}
        if Role.RECEIVER in roles and config.node.receivers > 1:
            for share in held.enter_context(shares(config.node)):
                name = Role.RECEIVER.value if share.is_first else f"{Role.RECEIVER.value}-{share.number}"
                commands[name] = (*command_of(Role.RECEIVER, config_path), "--share", share.text)
                descriptors[name] = share.descriptors
        Supervisor(commands, spare=frozenset({Role.WEB.value}), descriptors=descriptors).run(stop)


def command_of(role: Role, config_path: Path | None) -> tuple[str, ...]:
    """The command line of a supervised process."""
    with_config = () if config_path is None else ("--config", str(config_path))
    return (sys.executable, "-m", "dicom_node", role.value, *with_config, "--supervised")


def run_role(
    role: Role, config: Config, supervised: bool, config_path: Path | None = None, share: Share | None = None
) -> None:
    """One role in this process until SIGTERM or SIGINT or, if supervised, until standard input ends.

    `config_path`: where the configuration came from, for what is taken up from there without a restart. `share`: which
    of several receivers this is; without it, and where there are to be several, they are started and looked after.

    Raises:
        NodeError: the role cannot start.
    """
    handler = logs.configure(config.logging.level, config.logging.format)
    stop = stop_on_signals()
    if supervised:
        stop_at_end_of_input(stop)
        tell_when_ready(role)
    if role is Role.RECEIVER and share is None and config.node.receivers > 1:
        _supervise([role], config, config_path, stop)
        return
    run = _RUN[role] if share is None else partial(_receive, share=share)
    with open_repository(config) as repository, paired(config.node.data_dir.resolve(), repository):
        repository.record(_process(AuditEvent.PROCESS_STARTED, role), utc_now())
        run(config, config_path, repository, stop)
        with suppress(NodeError):  # it is over in either case
            repository.record(_process(AuditEvent.PROCESS_STOPPED, role), utc_now())
    handler.flush()


def _process(event: AuditEvent, role: Role) -> AuditEntry:
    return AuditEntry(event, NODE, outcome=role.value, detail={"version": __version__, "pid": os.getpid()})


@contextmanager
def open_repository(config: Config) -> Iterator[Repository]:
    """The repository, with its tables brought up to date."""
    with closing(Repository.open(config.database_url)) as repository:
        repository.migrate()
        yield repository


@contextmanager
def existing_repository(config: Config) -> Iterator[Repository]:
    """The repository for those who only look or change a row: none is made, and none is upgraded under a running node.

    Raises:
        DatabaseRefused: there is no database yet, or its tables are not this version's.
    """
    expect_database(config)
    with closing(Repository.open(config.database_url)) as repository:
        repository.check_tables()
        yield repository


def expect_database(config: Config) -> None:
    """Raises DatabaseRefused: there is no SQLite file, so this may be a wrong folder."""
    file = sqlite_file(config.database_url)
    if file is not None and not file.is_file():
        raise DatabaseRefused(f"There is no database at {file}: is this the right configuration, has `serve` run yet?")


@contextmanager
def undisturbed(config: Config) -> Iterator[None]:
    """Nobody else works on the data folder. Raises NodeRunning."""
    with alone(config.node.data_dir.resolve()):
        yield


def _receive(
    config: Config,
    config_path: Path | None,
    repository: Repository,
    stop: threading.Event,
    share: Share | None = None,
) -> None:
    from dicom_node.receive import server  # noqa: PLC0415  each role loads only what it needs

    bound_arenas()
    is_housekeeper = share is None or share.is_first
    gc.collect()
    gc.freeze()  # what is here now stays: associations come and go, and looking for their remains must be cheap
    gc.collect()
    with _housekeeping(config, repository) if is_housekeeper else nullcontext():
        server.run(config, repository, stop, config_path, repository.additions, share)


def _housekeeping(config: Config, repository: Repository) -> AbstractContextManager[object]:
    tick = StudyTick(repository, config.quiet())
    others = (*ageing.ticks(config, repository), SealTick(repository.seal_trail))
    return housekeeping(config.node.data_dir.resolve(), repository.known_paths, tick, others)


def _work(config: Config, _config_path: Path | None, repository: Repository, stop: threading.Event) -> None:
    from dicom_node import worker  # noqa: PLC0415  torch stays out of the other roles

    worker.run(config, repository, stop, repository.additions)


def _deliver(config: Config, _config_path: Path | None, repository: Repository, stop: threading.Event) -> None:
    with told_to_fhir(config, repository, stop), telling(config, repository, stop):
        courier.run(config, repository, stop, repository.additions)


def _show(config: Config, config_path: Path | None, repository: Repository, stop: threading.Event) -> None:
    from dicom_node.web import server  # noqa: PLC0415  the web framework stays out of the other roles

    server.run(config, config_path, repository, stop)


_RUN: dict[Role, Callable[[Config, Path | None, Repository, threading.Event], None]] = {
    Role.RECEIVER: _receive,
    Role.WORKER: _work,
    Role.COURIER: _deliver,
    Role.WEB: _show,
}


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set; only for the main thread of a process."""
    stop = threading.Event()
    heard, said = socket.socketpair()
    said.setblocking(False)
    signal.set_wakeup_fd(said.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _unheeded)

    def listen() -> None:
        with heard, said:
            while not _STOPPING & set(heard.recv(64)):
                pass
            stop.set()
            threading.Event().wait()  # keeps both ends open for signals that still come

    threading.Thread(target=listen, name="signals", daemon=True).start()
    return stop


def _unheeded(_number: int, _frame: object) -> None:
    """Only there so that the signal does not end the process: its number goes to the wake-up socket.

    A handler runs between two steps of the main thread, which may hold the lock of the very event to be set.
    """


def stop_at_end_of_input(stop: threading.Event) -> None:
    """Set `stop` when the supervisor is gone, whatever became of it; leave by force if that is not heeded."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        stop.set()
        timer = threading.Timer(_LONGEST_GOODBYE_S, os._exit, (1,))
        timer.daemon = True
        timer.start()

    threading.Thread(target=watch, name="supervisor-watch", daemon=True).start()


def tell_when_ready(role: Role) -> None:
    """Pass the role's own "<role>.ready" event on to the supervisor as a line on standard output."""
    logging.getLogger().addHandler(_ReadyTeller(f"{role.value}.ready"))


class _ReadyTeller(logging.Handler):
    def __init__(self, event: str) -> None:
        super().__init__(logging.INFO)
        self._event = event

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg == self._event:
            os.write(STANDARD_OUTPUT, READY_LINE)
