"""The receiver process: listen, take objects, stop when told to."""

from __future__ import annotations

import logging
import socket
import threading
import time
from typing import Protocol

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.transport import ThreadedAssociationServer

from dicom_node.config import Config
from dicom_node.errors import ConfigError
from dicom_node.receive import admission, store
from dicom_node.receive.admission import Gate, RefusalLog
from dicom_node.receive.contexts import supported_contexts
from dicom_node.receive.spool import Spool, own_folder
from dicom_node.receive.store import Register, Shelf
from dicom_node.receive.toolkit import BoundedSocket, adapted
from dicom_node.storage.files import SPOOL
from sr_templates.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_log = logging.getLogger(__name__)

MAXIMUM_PDU_BYTES = 131072
"""Eight times pynetdicom's default: a cine arrives twice as fast, and no larger value was faster."""

ASSOCIATION_TIMEOUT_S = 30.0
IDLE_TIMEOUT_S = 600.0
"""An ultrasound machine may keep its association open between two images of an exam."""

STOP_GRACE_S = 5.0
STOP_POLL_S = 0.5
_MEGABYTE = 1024 * 1024


class Inbox(Register, RefusalLog, Protocol):
    """The end of the repository that the receiver uses."""


class NodeServer(ThreadedAssociationServer):
    """Sets what pynetdicom leaves at the system's default on accepted connections.

    Without TCP_NODELAY every C-STORE response waits up to 40 ms for the sender's delayed acknowledgement. The timeout
    ends a peer that falls silent in the middle of a PDU; keep-alive finds one that has vanished.
    """

    request_queue_size = 64

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.settimeout(self.ae.network_timeout)
        return connection, address


def run(config: Config, repository: Inbox, stop: threading.Event) -> None:
    """Serve C-STORE and C-ECHO until `stop` is set; returns when no association is left.

    Raises:
        ConfigError: the address cannot be listened on.
        DiskFull, StorageUnavailable: the data folder cannot be made.
    """
    data_dir = config.node.data_dir.resolve()
    with own_folder(data_dir / SPOOL) as folder, adapted(Spool(folder, config.node.minimum_free_mb * _MEGABYTE)):
        server = _listen(config, repository)
        if not config.peers:
            _log.warning("receiver.no_peers")  # everyone is refused until the configuration names a machine
        _serve(server, stop)


def _serve(server: NodeServer, stop: threading.Event) -> None:
    listener = threading.Thread(target=server.serve_forever, name="receiver-listener", daemon=True)
    listener.start()
    host, port = server.server_address[:2]
    _log.info("receiver.ready", extra={"host": host, "port": port, "ae_title": server.ae_title})
    while not stop.wait(STOP_POLL_S):
        pass  # a signal that comes just before an endless wait would not be noticed until the wait ends
    server.shutdown()
    _end_associations(server)
    _log.info("receiver.stopped")


def _listen(config: Config, repository: Inbox) -> NodeServer:
    entity = _application_entity(config)
    address = (config.node.host, config.node.port)
    try:
        server = NodeServer(
            entity,
            address,
            entity.ae_title,
            entity.supported_contexts,
            evt_handlers=_handlers(config, repository),
        )
    except OSError as error:
        raise ConfigError(f"cannot listen on {address[0]} port {address[1]} ({error.strerror})") from error
    entity._servers.append(server)  # where shutdown() takes it out again
    return server


def _application_entity(config: Config) -> AE:
    entity = AE(config.node.ae_title)
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    entity.supported_contexts = supported_contexts()
    entity.maximum_pdu_size = MAXIMUM_PDU_BYTES
    entity.maximum_associations = config.node.maximum_associations
    entity.acse_timeout = ASSOCIATION_TIMEOUT_S
    entity.network_timeout = IDLE_TIMEOUT_S
    entity.dimse_timeout = IDLE_TIMEOUT_S
    return entity


def _handlers(config: Config, repository: Inbox) -> list[evt.EventHandlerType]:
    gate = Gate(config.node.ae_title, config.peer_list(), repository)
    captures = config.inference.secondary_captures == "measure"
    shelf = Shelf(config.node.data_dir.resolve(), repository, captures, config.router())
    return [
        (evt.EVT_REQUESTED, gate.on_requested),
        (evt.EVT_ACCEPTED, admission.on_accepted),
        (evt.EVT_REJECTED, admission.on_rejected),
        (evt.EVT_C_ECHO, admission.on_c_echo),
        (evt.EVT_C_STORE, shelf.on_c_store),
        (evt.EVT_CONN_CLOSE, admission.on_connection_closed),
        (evt.EVT_CONN_CLOSE, store.on_connection_closed),
    ]


def _end_associations(server: NodeServer) -> None:
    """Give objects that are on their way a moment, then abort: the sender keeps what was not acknowledged."""
    deadline = time.monotonic() + STOP_GRACE_S
    while _established(server) and time.monotonic() < deadline:
        time.sleep(0.05)
    for association in _established(server):
        association.abort()
    for association in server.active_associations:
        channel = association.dul.socket
        if isinstance(channel, BoundedSocket):
            channel.hang_up()


def _established(server: NodeServer) -> list[Association]:
    return [association for association in server.active_associations if association.is_established]
