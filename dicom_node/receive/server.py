"""The receiver process: listen, take objects, stop when told to."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, cast

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.transport import ThreadedAssociationServer

from dicom_node.additions import Added, nothing_added
from dicom_node.addresses import canonical_host
from dicom_node.commitment import Ledger, SpeaksFor, report_taker
from dicom_node.config import Config
from dicom_node.errors import ConfigError
from dicom_node.receive import admission, store
from dicom_node.receive.admission import Gate
from dicom_node.receive.auditing import Witness
from dicom_node.receive.authorisation import Policy
from dicom_node.receive.contexts import verification_context
from dicom_node.receive.handshake import NoHandshake, shake_hands
from dicom_node.receive.questions import Desk, Questions
from dicom_node.receive.refusals import RefusalBook, RefusalLog
from dicom_node.receive.reloading import Reloading, policy_of
from dicom_node.receive.spool import Spool, own_folder
from dicom_node.receive.steps import StepDesk, Steps
from dicom_node.receive.store import Register, Shelf
from dicom_node.receive.tally import SharedTally, Tally
from dicom_node.receive.toolkit import REQUEST_S, BoundedSocket, adapted, hang_up
from dicom_node.receive.waiting import WaitingRoom
from dicom_node.sharing import Share
from dicom_node.storage.files import SPOOL
from dicom_node.tls import listening_context
from sr_templates.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_log = logging.getLogger(__name__)

MAXIMUM_PDU_BYTES = 131072
"""Eight times pynetdicom's default: a cine arrives twice as fast, and no larger value was faster."""

IDLE_TIMEOUT_S = 600.0
"""An ultrasound machine may keep its association open between two images of an exam."""

WAITING_PLACES = 64
"""Connections that have not asked for an association yet."""

STOP_GRACE_S = 5.0
ABORT_GRACE_S = 1.0
STOP_POLL_S = 0.5

COURTESY_S, LONGEST_COURTESY_S = 0.002, 0.02
"""For each association that a receiver has, it lets others at the same port go first for so long, and no longer."""

_MEGABYTE = 1024 * 1024
_UNBOUNDED = 1_000_000


class Inbox(Register, RefusalLog, Ledger, Questions, Steps, Protocol):
    """The end of the repository that the receiver uses."""


NoteHandshake = Callable[[str, str], None]
"""Host and advice, for each caller with whom no TLS connection came about."""


class NodeServer(ThreadedAssociationServer):
    """Sets what pynetdicom leaves at the system's default on accepted connections, and shakes hands for TLS.

    Without TCP_NODELAY every C-STORE response waits up to 40 ms for the sender's delayed acknowledgement. The timeout
    ends a peer that falls silent in the middle of a PDU; keep-alive finds one that has vanished. The handshake runs in
    the connection's own thread: in that of the listener, where pynetdicom has it, one silent caller keeps out all.
    """

    request_queue_size = 64
    daemon_threads = True

    waiting: WaitingRoom
    note_handshake: NoteHandshake
    tls: ssl.SSLContext | None = None

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.settimeout(REQUEST_S)
        if self.tls is not None:
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self.waiting.enter(connection)
        return connection, address

    def service_actions(self) -> None:
        """Not the library's collection of garbage, which stops all threads for a while, every so many connections."""

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Runs in a thread of its own; the association has two further ones and outlives it."""
        if isinstance(request, ssl.SSLSocket):
            try:
                shake_hands(request)
            except NoHandshake as error:
                self.waiting.leave(request)
                if error.advice is not None:
                    self.note_handshake(canonical_host(client_address[0]), error.advice)
                request.close()
                return
        super().finish_request(request, client_address)


class SharingServer(NodeServer):
    """Accepts at a socket at which other receivers do so too: the one that has the least to do, as a rule."""

    def __init__(self, listening: socket.socket, *arguments: Any, **named: Any) -> None:
        self._listening = listening
        super().__init__(*arguments, **named)

    def server_bind(self) -> None:
        cast(socket.socket, self.socket).close()
        self.socket = self._listening
        self.server_address = self._listening.getsockname()

    def server_activate(self) -> None:
        """It is listened on already."""

    def server_close(self) -> None:
        """Without the library's shutting down, which would be for all."""
        self._listening.close()

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        time.sleep(min(COURTESY_S * len(self.active_associations), LONGEST_COURTESY_S))
        return super().get_request()


def run(  # noqa: PLR0913, PLR0917  what a process is given
    config: Config,
    repository: Inbox,
    stop: threading.Event,
    config_path: Path | None = None,
    added: Added = nothing_added,
    share: Share | None = None,
) -> None:
    """Serve C-STORE and C-ECHO until `stop` is set; returns when no association is left.

    With `config_path` the peers and the files of TLS are taken up from there when they change, and further peers from
    what was `added`. `share`: what this one has of ports that several receivers have in common.

    Raises:
        ConfigError: the address cannot be listened on, or a file of TLS is not what it should be.
        DiskFull, StorageUnavailable: the data folder cannot be made.
    """
    data_dir = config.node.data_dir.resolve()
    tally = Tally() if share is None else SharedTally(share.number, share.tally)
    gate = Gate(policy_of(config), RefusalBook(repository), stop, tally=tally)
    with (
        own_folder(data_dir / SPOOL) as folder,
        adapted(
            Spool(folder, config.node.minimum_free_mb * _MEGABYTE), gate.largest_object, Witness(repository).on_ended
        ),
    ):
        desk = Desk(repository, config.commitment_terms(), gate.peer_of, lambda: datetime.now(UTC))
        servers = _listen_everywhere(config, _handlers(config, repository, gate, desk), gate, share)
        if not config.peers:
            _log.warning("receiver.no_peers")  # everyone is refused until the configuration names a machine
        use_policy = _policy_setter(gate, Witness(repository))
        reloading = Reloading(config, config_path, use_policy, _tls_setter(servers), added)
        gate.policy = reloading.begin()  # before the first caller is judged
        with desk.open_until(stop):
            _serve(servers, reloading, stop)


def _serve(servers: Sequence[NodeServer], reloading: Reloading, stop: threading.Event) -> None:
    for server in servers:
        threading.Thread(target=server.serve_forever, name="receiver-listener", daemon=True).start()
    for server in servers:
        _log.info("receiver.listening", extra=_facts(server))
    _log.info("receiver.ready", extra=_facts(servers[-1]))
    reloading.look(datetime.now(UTC))
    while not stop.wait(STOP_POLL_S):  # a signal just before an endless wait would not be noticed until it ends
        reloading.look(datetime.now(UTC))
    for server in servers:
        server.shutdown()
        server.waiting.clear()
    for server in servers:
        _end_associations(server)
    _log.info("receiver.stopped")


def _facts(server: NodeServer) -> dict[str, str | int]:
    host, port = server.server_address[:2]
    kind = "plain" if server.tls is None else "tls"
    return {"host": host, "port": port, "ae_title": server.ae_title, "kind": kind}


def _listen_everywhere(
    config: Config, handlers: list[evt.EventHandlerType], gate: Gate, share: Share | None
) -> list[NodeServer]:
    """The port over TLS, where there is one, and the plain one."""
    node = config.node
    context = None if node.tls.port is None else listening_context(node.tls.files())
    waiting = WaitingRoom(WAITING_PLACES, hang_up)
    entity = _application_entity(config)
    asked = [(evt.EVT_REQUESTED, _leaver(waiting)), *handlers]
    servers: list[NodeServer] = []
    for port, tls in ((node.tls.port, context), (node.port, None)):
        if port is None:
            continue
        try:
            about = (entity, (node.host, port), entity.ae_title, [verification_context()])
            listening = None if share is None else share.listening(secure=tls is not None)
            if listening is None:
                server = NodeServer(*about, evt_handlers=asked)
            else:
                server = SharingServer(listening, *about, evt_handlers=asked)
        except OSError as error:
            for other in servers:
                other.server_close()
            raise ConfigError(f"cannot listen on {node.host} port {port} ({error.strerror})") from error
        server.waiting, server.note_handshake, server.tls = waiting, gate.note_handshake, tls
        entity._servers.append(server)  # where shutdown() takes it out again
        servers.append(server)
    return servers


def _application_entity(config: Config) -> AE:
    entity = AE(config.node.ae_title)
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    entity.maximum_pdu_size = MAXIMUM_PDU_BYTES
    entity.maximum_associations = _UNBOUNDED  # the gate counts those that it lets in, and no others
    entity.acse_timeout = REQUEST_S
    entity.network_timeout = IDLE_TIMEOUT_S
    entity.dimse_timeout = IDLE_TIMEOUT_S
    return entity


def _handlers(config: Config, repository: Inbox, gate: Gate, desk: Desk) -> list[evt.EventHandlerType]:
    captures = config.inference.secondary_captures == "measure"
    shelf = Shelf(config.node.data_dir.resolve(), repository, gate, captures, config.router())
    return [
        (evt.EVT_REQUESTED, gate.on_requested),
        (evt.EVT_ACCEPTED, gate.on_accepted),
        (evt.EVT_ACCEPTED, Witness(repository).on_accepted),
        (evt.EVT_C_ECHO, admission.on_c_echo),
        (evt.EVT_C_STORE, shelf.on_c_store),
        (evt.EVT_N_EVENT_REPORT, report_taker(repository, lambda: datetime.now(UTC), _reporters(config))),
        *desk.handlers(),
        *StepDesk(repository, config.mpps.offer, gate.peer_of, lambda: datetime.now(UTC)).handlers(),
        (evt.EVT_RELEASED, gate.on_over),
        (evt.EVT_ABORTED, gate.on_over),
        (evt.EVT_CONN_CLOSE, gate.on_connection_closed),
        (evt.EVT_CONN_CLOSE, store.on_connection_closed),
    ]


def _reporters(config: Config) -> SpeaksFor:
    """A destination reports under its AE title, or from its address: some archives have another title for this."""
    committing = [destination for destination in config.destination_list() if destination.commitment]

    def speaks_for(event: evt.Event) -> Collection[str]:
        caller = admission.caller_of(event.assoc)
        return {d.name for d in committing if d.ae_title == caller.calling_ae or d.host == caller.host}

    return speaks_for


def _leaver(waiting: WaitingRoom) -> Callable[[evt.Event], None]:
    def leave(event: evt.Event) -> None:
        channel = event.assoc.dul.socket
        waiting.leave(None if channel is None else channel.socket)

    return leave


def _policy_setter(gate: Gate, witness: Witness) -> Callable[[Policy], None]:
    def use(policy: Policy) -> None:
        gate.policy = policy
        witness.policy_taken_up([peer.ae_title for peer in policy.peers])

    return use


def _tls_setter(servers: Sequence[NodeServer]) -> Callable[[ssl.SSLContext], None]:
    """For connections from now on."""

    def use(context: ssl.SSLContext) -> None:
        for server in servers:
            if server.tls is not None:
                server.tls = context

    return use


def _end_associations(server: NodeServer) -> None:
    """Give objects that are on their way a moment, then abort: the sender keeps what was not acknowledged."""
    deadline = time.monotonic() + STOP_GRACE_S
    while _established(server) and time.monotonic() < deadline:
        time.sleep(0.05)
    for association in _established(server):
        association.abort(block=False)  # its thread may be waiting for a database
    deadline = time.monotonic() + ABORT_GRACE_S
    while any(association.is_alive() for association in server.active_associations) and time.monotonic() < deadline:
        time.sleep(0.05)
    for association in server.active_associations:
        channel = association.dul.socket
        if isinstance(channel, BoundedSocket):
            channel.hang_up()


def _established(server: NodeServer) -> list[Association]:
    return [association for association in server.active_associations if association.is_established]
