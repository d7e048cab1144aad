"""C-STORE and C-ECHO as user (SCU): files go out byte for byte, and what the peer said comes back as an outcome.

The four outcomes differ in what to do next: `Sent` is over, `TransientFailure` and `Unknown` are tried again with the
same UIDs, `PermanentFailure` needs a person.
"""

from __future__ import annotations

import errno
import logging
import socket
import ssl
import struct
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID
from pynetdicom import AE, _config, build_context, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from pynetdicom.transport import AssociationSocket

from dicom_node.deliver.transcode import FALLBACKS, NotConvertible, is_convertible, uncompressed
from dicom_node.domain import CallerTls
from dicom_node.errors import ConfigError, InstanceRefused
from dicom_node.tls import TlsFiles, calling_context
from inference.domain import Reason

logger = logging.getLogger(__name__)

# Files are sent from disk as they lie there: nothing is decoded, re-encoded or held in memory as a whole.
_config.STORE_SEND_CHUNKED_DATASET = True

MAXIMUM_PDU = 131072  # large enough that a cine is not chopped into thousands of P-DATA
_LONGEST_PROBE_S = 3.0
_IDLE_MARGIN_S = 60.0
_GRACE_S = 0.5
_MOST_CONTEXTS = 128  # PS3.8 9.3.2.2: odd numbers of one byte


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where an application entity listens."""

    ae_title: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Link:
    """Who we are, whom we call, and how long we wait: for the connection and association, and for one response."""

    calling_ae: str
    peer: PeerAddress
    connect_s: float
    response_s: float
    tls: CallerTls | None = None

    def tls_context(self) -> ssl.SSLContext | None:
        """Read anew for each association, so that a renewed certificate is used without a restart.

        Raises:
            ConfigError: a file cannot be used.
        """
        if self.tls is None:
            return None
        files = TlsFiles(self.tls.certificate, self.tls.private_key, self.tls.authorities)
        return calling_context(files, check_host_name=self.tls.check_host_name)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A DICOM file that can be sent; the three UIDs are those of its file meta information."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str

    @property
    def syntax(self) -> tuple[str, str]:
        return self.sop_class_uid, self.transfer_syntax_uid


class Cause(StrEnum):
    """Why nothing, or no status, came back."""

    NAME_UNKNOWN = "name_unknown"
    NO_ROUTE = "no_route"
    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_TIMEOUT = "connection_timeout"
    TLS_FAILED = "tls_failed"
    ASSOCIATION_TIMEOUT = "association_timeout"
    ASSOCIATION_REJECTED = "association_rejected"
    CALLING_AE_REFUSED = "calling_ae_refused"
    CALLED_AE_REFUSED = "called_ae_refused"
    ASSOCIATION_ABORTED = "association_aborted"
    CONTEXT_REFUSED = "context_refused"
    SERVICE_REFUSED = "service_refused"  # DICOMweb: not with this address or these credentials
    SERVICE_DOWN = "service_down"  # DICOMweb: the service says that it cannot serve now
    HTTP_STATUS = "http_status"
    NO_ANSWER = "no_answer"
    FILE_UNREADABLE = "file_unreadable"  # the file system said no, perhaps only for now
    FILE_DAMAGED = "file_damaged"
    STATUS = "status"  # there was an answer; its status word says the rest


@dataclass(frozen=True, slots=True)
class Sent:
    """The peer has the object: Success, or a Warning that is kept as a remark."""

    status_word: int
    comment: str
    cause: Cause = Cause.STATUS


@dataclass(frozen=True, slots=True)
class TransientFailure:
    """Not stored; the same object may be taken later."""

    cause: Cause
    status_word: int | None
    comment: str


@dataclass(frozen=True, slots=True)
class PermanentFailure:
    """Not stored, and waiting will not change that."""

    cause: Cause
    status_word: int | None
    comment: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The data went out and no valid status came back: perhaps stored. Sending the same UID again settles it."""

    cause: Cause
    comment: str
    status_word: int | None = None


Outcome = Sent | TransientFailure | PermanentFailure | Unknown
Step = tuple[Outgoing, Outcome]


# --- what a status means -------------------------------------------------------------------------------------------

_TRANSIENT, _PERMANENT, _WARNING = "transient", "permanent", "warning"

STATUS_TABLE: tuple[tuple[int, int, str, str], ...] = (
    # first, last, class, meaning. The first row that matches speaks.
    (0x0001, 0x0001, _WARNING, "Requested optional attributes are not supported"),  # PS3.7 Annex C
    (0x0107, 0x0107, _WARNING, "Attribute list error"),  # PS3.7 Annex C
    (0x0116, 0x0116, _WARNING, "Attribute value out of range"),  # PS3.7 Annex C
    (0xB000, 0xB000, _WARNING, "Coercion of data elements"),  # PS3.4 Table B.2-1
    (0xB006, 0xB006, _WARNING, "Elements discarded"),  # PS3.4 Table B.2-1
    (0xB007, 0xB007, _WARNING, "Data set does not match SOP class"),  # PS3.4 Table B.2-1
    (0xB000, 0xBFFF, _WARNING, "Warning"),  # PS3.7 Annex C
    (0xA700, 0xA7FF, _TRANSIENT, "Refused: out of resources"),  # PS3.4 Table B.2-1
    (0x0110, 0x0110, _TRANSIENT, "Processing failure"),  # PS3.7 Annex C; what archives say while their database is away
    (0x0210, 0x0210, _TRANSIENT, "Duplicate invocation"),  # PS3.7 Annex C: the message ID, not the object
    (0x0213, 0x0213, _TRANSIENT, "Resource limitation"),  # PS3.7 Annex C
    (0xA900, 0xA9FF, _PERMANENT, "Error: data set does not match SOP class"),  # PS3.4 Table B.2-1
    (0xC000, 0xCFFF, _PERMANENT, "Error: cannot understand"),  # PS3.4 Table B.2-1
    (0x0111, 0x0111, _PERMANENT, "Duplicate SOP instance: the destination says it already has this UID; check there"),
    (0x0117, 0x0117, _PERMANENT, "Refused: invalid SOP instance"),  # PS3.7 9.1.1.1.9
    (0x0122, 0x0122, _PERMANENT, "Refused: SOP class not supported"),  # PS3.7 9.1.1.1.9
    (0x0124, 0x0124, _PERMANENT, "Refused: not authorised"),  # PS3.7 9.1.1.1.9
    (0x0211, 0x0211, _PERMANENT, "Unrecognised operation"),  # PS3.7 9.1.1.1.9
    (0x0212, 0x0212, _PERMANENT, "Mistyped argument"),  # PS3.7 9.1.1.1.9
    (0x0100, 0x02FF, _PERMANENT, "Failure"),  # PS3.7 Annex C: 01xx and 02xx
    (0xA000, 0xAFFF, _PERMANENT, "Failure"),  # PS3.7 Annex C
)


def classify_status(status_word: int | None, comment: str = "") -> Outcome:
    """What a C-STORE status (0000,0900) means for the object; None is the empty status data set.

    `comment` is the peer's Error Comment (0000,0902) and is kept, since it often tells more than the number.
    """
    if status_word is None:
        return Unknown(Cause.NO_ANSWER, comment or "no valid response came back")
    if status_word == 0x0000:  # PS3.7 Annex C
        return Sent(status_word, comment)
    for first, last, verdict, meaning in STATUS_TABLE:
        if first <= status_word <= last:
            text = f"{meaning}: {comment}" if comment else meaning
            return _outcome(verdict, status_word, text)
    # Pending (FFxx), Cancel (FE00) and private words say nothing about storage: PS3.7 Annex C.
    return Unknown(Cause.STATUS, f"status 0x{status_word:04X} is not one of C-STORE", status_word)


DUPLICATE_INSTANCE = 0x0111
"""PS3.7 Annex C: the destination has an object of this UID."""


def _outcome(verdict: str, status_word: int, text: str) -> Outcome:
    if verdict == _WARNING:
        return Sent(status_word, text)
    if verdict == _TRANSIENT:
        return TransientFailure(Cause.STATUS, status_word, text)
    return PermanentFailure(Cause.STATUS, status_word, text)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no association. `permanent`: a person must change something before it can work."""

    cause: Cause
    text: str
    permanent: bool = False

    def outcome(self) -> Outcome:
        if self.permanent:
            return PermanentFailure(self.cause, None, self.text)
        return TransientFailure(self.cause, None, self.text)


REJECTIONS: dict[tuple[int, int], tuple[Cause, str]] = {
    # (source, reason) of A-ASSOCIATE-RJ, PS3.8 Table 9-21
    (1, 1): (Cause.ASSOCIATION_REJECTED, "no reason given"),
    (1, 2): (Cause.ASSOCIATION_REJECTED, "application context name not supported"),
    (1, 3): (Cause.CALLING_AE_REFUSED, "calling AE title not recognised: the peer must be told our AE title"),
    (1, 7): (Cause.CALLED_AE_REFUSED, "called AE title not recognised: check the peer's AE title"),
    (2, 1): (Cause.ASSOCIATION_REJECTED, "no reason given by its association layer"),
    (2, 2): (Cause.ASSOCIATION_REJECTED, "protocol version not supported"),
    (3, 1): (Cause.ASSOCIATION_REJECTED, "temporary congestion"),
    (3, 2): (Cause.ASSOCIATION_REJECTED, "local limit of associations exceeded"),
}


def classify_rejection(result: int, source: int, reason: int) -> Failure:
    """What an A-ASSOCIATE-RJ means (PS3.8 9.3.4).

    Even one that the peer calls permanent is worth another try: it says that the two are not yet configured for each
    other, nothing about the objects, and whoever puts that right should not have to look for what waited.
    """
    unnamed = Cause.ASSOCIATION_REJECTED, f"source {source}, reason {reason}"
    cause, meaning = REJECTIONS.get((source, reason), unnamed)
    kind = {1: "permanently", 2: "for now"}.get(result, f"with result {result}")
    return Failure(cause, f"association rejected {kind}: {meaning}")


def classify_connection_error(error: OSError) -> Failure:
    """What the network said when no connection came about."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Failure(Cause.TLS_FAILED, f"the peer's certificate is not believed: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return Failure(Cause.TLS_FAILED, f"no TLS connection: {_TLS_REASONS.get(error.reason, error.reason)}")
    if isinstance(error, socket.gaierror):
        return Failure(Cause.NAME_UNKNOWN, "the host name is not known")
    if isinstance(error, ConnectionRefusedError):
        return Failure(Cause.CONNECTION_REFUSED, "connection refused: nothing listens on that port")
    if isinstance(error, TimeoutError):
        return Failure(Cause.CONNECTION_TIMEOUT, "no answer to the connection request in time")
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN):
        return Failure(Cause.NO_ROUTE, "no route to the host")
    return Failure(Cause.NO_ROUTE, f"the connection failed: {error.strerror or type(error).__name__}")


_TLS_REASONS = {
    "WRONG_VERSION_NUMBER": "the peer speaks no TLS on that port",
    "UNEXPECTED_EOF_WHILE_READING": "the peer hung up; does it speak TLS on that port?",
}


# --- files ---------------------------------------------------------------------------------------------------------


def outgoing(path: Path) -> Outgoing:
    """Read the file meta information (PS3.10 7.1) of a file that is to be sent.

    Raises:
        InstanceRefused: the file is no DICOM file or lacks one of the three UIDs.
        OSError: it could not be read, which says nothing about what is in it.
    """
    try:
        meta = dcmread(path, specific_tags=[], stop_before_pixels=True).file_meta
        return Outgoing(
            path,
            str(meta.MediaStorageSOPClassUID),
            str(meta.MediaStorageSOPInstanceUID),
            str(meta.TransferSyntaxUID),
        )
    except InvalidDicomError as error:
        raise InstanceRefused(Reason.NOT_DICOM) from error
    except (AttributeError, ValueError, EOFError, NotImplementedError) as error:
        raise InstanceRefused(Reason.NOT_DICOM, "Its file meta information is incomplete.") from error


def unreadable(error: OSError) -> TransientFailure:
    """A disk or a mount that fails comes back, mostly, and then for all files at once."""
    name = error.strerror or type(error).__name__
    return TransientFailure(Cause.FILE_UNREADABLE, None, f"the stored file cannot be read ({name})")


# --- associations --------------------------------------------------------------------------------------------------


class _Entity(AE):
    """An AE that keeps the raw socket: pynetdicom neither tunes it nor closes it when the connection fails."""

    def __init__(self, link: Link, tls: ssl.SSLContext | None) -> None:
        super().__init__(ae_title=link.calling_ae)
        self._tls, self._host = tls, link.peer.host
        self.connection_timeout = link.connect_s
        self.acse_timeout = link.connect_s
        self.dimse_timeout = link.response_s
        self.network_timeout = link.response_s + _IDLE_MARGIN_S
        self.raw: socket.socket | None = None

    def _create_socket(self, *arguments: Any) -> AssociationSocket:
        wrapped = super()._create_socket(*arguments)
        self.raw = wrapped.socket
        if self.raw is not None:
            _tune(self.raw, self.dimse_timeout or _IDLE_MARGIN_S)
            if self._tls is not None:  # here, and not by pynetdicom's tls_args, which lose sight of the socket
                wrapped.socket = self.raw = self._tls.wrap_socket(self.raw, server_hostname=self._host)
        return wrapped


def _tune(raw: socket.socket, longest_wait_s: float) -> None:
    """No Nagle, which costs 40 ms per object against delayed acknowledgements, and nothing that blocks for ever.

    A read starts only when there is something to read; it waits where the peer stops in the middle of a PDU.
    """
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    seconds = int(longest_wait_s)
    timeout = struct.pack("ll", seconds, int((longest_wait_s - seconds) * 1e6))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeout)


def _addresses(host: str, port: int) -> tuple[str, ...]:
    """Raises socket.gaierror."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def associate(
    link: Link,
    contexts: list[PresentationContext],
    handlers: Sequence[evt.EventHandlerType] = (),
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
) -> Association | Failure:
    """An established association, or why there is none. `roles`: where we are not the user of a service."""
    try:
        addresses = _addresses(link.peer.host, link.peer.port)
        tls = link.tls_context()
    except OSError as error:
        return classify_connection_error(error)
    except ConfigError as error:
        return Failure(Cause.TLS_FAILED, str(error))
    failure = Failure(Cause.NO_ROUTE, "the host name has no address")
    for address in addresses:
        opened: list[evt.Event] = []
        asked = time.monotonic()
        entity = _Entity(link, tls)
        association = entity.associate(
            address,
            link.peer.port,
            contexts=contexts,
            ae_title=link.peer.ae_title,
            max_pdu=MAXIMUM_PDU,
            ext_neg=list(roles),
            evt_handlers=[(evt.EVT_CONN_OPEN, opened.append), (evt.EVT_CONN_OPEN, _bound_tls_waits), *handlers],
        )
        if association.is_established:
            return association
        if entity.raw is not None:
            entity.raw.close()
        if opened:
            return _association_failure(association, link, time.monotonic() - asked)
        failure = _probe(address, link, tls)
    return failure


def leave(association: Association) -> None:
    """Release what is established, and close the socket: where the connection broke pynetdicom does not."""
    if association.is_established:
        association.release()
    association.join(_GRACE_S)
    entity = association.ae
    if isinstance(entity, _Entity) and entity.raw is not None and not association.dul.is_alive():
        entity.raw.close()


def _bound_tls_waits(event: evt.Event) -> None:
    """On a TLS socket the system's own time-outs only make OpenSSL ask again, so Python has to count."""
    channel = event.assoc.dul.socket
    connection = None if channel is None else channel.socket
    if isinstance(connection, ssl.SSLSocket):
        connection.settimeout(event.assoc.dimse_timeout)


def _association_failure(association: Association, link: Link, waited_s: float) -> Failure:
    """Why a connection that was made did not become an association."""
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        return classify_rejection(answer.result or 0, answer.result_source or 0, answer.diagnostic or 0)
    if association.rejected_contexts:
        return Failure(Cause.CONTEXT_REFUSED, "the peer takes none of these objects (no context accepted)", True)
    if waited_s >= link.connect_s:
        return Failure(Cause.ASSOCIATION_TIMEOUT, "connected, but the association request was not answered in time")
    hint = "" if link.tls is None else "; does it want, and believe, a certificate of ours?"
    return Failure(Cause.ASSOCIATION_ABORTED, f"connected, but the peer ended the association request{hint}")


def _probe(address: str, link: Link, tls: ssl.SSLContext | None) -> Failure:
    """pynetdicom keeps the reason of a failed connection to itself, so ask the network once more for its name."""
    try:
        with socket.create_connection((address, link.peer.port), min(link.connect_s, _LONGEST_PROBE_S)) as connection:
            if tls is not None:
                tls.wrap_socket(connection, server_hostname=link.peer.host).close()
            return Failure(Cause.CONNECTION_TIMEOUT, "the connection came about only at the second try")
    except OSError as error:
        return classify_connection_error(error)


def _comment(status: Dataset) -> str:
    return str(status.get("ErrorComment", "") or "").strip()[:64]


# --- the two services ----------------------------------------------------------------------------------------------


def send(objects: Sequence[Outgoing], link: Link) -> Generator[Step, None, None]:
    """C-STORE (PS3.4 B, PS3.7 9.1.1) of `objects` in order; yields one outcome per object as it becomes known.

    All go over one association, with exactly the contexts they need. An association that breaks is opened again for the
    objects after the one that was under way, so one object that upsets the peer does not hold up the others; a peer
    that falls silent is left alone.
    """
    waiting = list(objects)
    while waiting:
        association = associate(link, _contexts(waiting))
        if isinstance(association, Failure):
            yield from ((item, association.outcome()) for item in waiting)
            return
        try:
            silent = yield from _send_over(association, waiting, link)
        finally:
            leave(association)
        if silent:
            yield from ((item, _SILENT.outcome()) for item in waiting)
            return


_SILENT = Failure(Cause.NO_ANSWER, "not sent: the peer stopped answering")


def _send_over(association: Association, waiting: list[Outgoing], link: Link) -> Generator[Step, None, bool]:
    """Send from the front of `waiting` until it is empty or the association broke; True where the peer fell silent."""
    accepted = {(str(c.abstract_syntax), str(c.transfer_syntax[0])) for c in association.accepted_contexts}
    while waiting:
        item = waiting.pop(0)
        started = time.monotonic()
        outcome = _send_one(association, item, accepted)
        waited_s = time.monotonic() - started
        yield item, outcome
        if outcome.cause in (Cause.NO_ANSWER, Cause.ASSOCIATION_ABORTED):
            _end_broken(association)
            return waited_s >= link.response_s
    return False


def _end_broken(association: Association) -> None:
    """pynetdicom needs a moment to notice that the peer broke off; one that merely fell silent is aborted."""
    association.join(_GRACE_S)
    if association.is_alive():
        association.abort()


def _contexts(objects: Sequence[Outgoing]) -> list[PresentationContext]:
    """One context for each SOP class and transfer syntax and, while there is room, one with what any peer takes."""
    exact = dict.fromkeys(o.syntax for o in objects)
    contexts = [build_context(sop_class, [syntax]) for sop_class, syntax in exact]
    for sop_class in dict.fromkeys(sop_class for sop_class, syntax in exact if is_convertible(syntax)):
        others = [syntax for syntax in FALLBACKS if (sop_class, syntax) not in exact]
        if others and len(contexts) < _MOST_CONTEXTS:
            contexts.append(build_context(sop_class, others))
    return contexts


def _send_one(association: Association, item: Outgoing, accepted: set[tuple[str, str]]) -> Outcome:
    if item.syntax in accepted:
        return _store(association, item.path)
    fallback = next((syntax for syntax in FALLBACKS if (item.sop_class_uid, syntax) in accepted), None)
    if fallback is None or not is_convertible(item.transfer_syntax_uid):
        return PermanentFailure(Cause.CONTEXT_REFUSED, None, "the peer refused this SOP class or transfer syntax")
    try:
        dataset = uncompressed(item.path)
    except OSError as error:
        return unreadable(error)
    except NotConvertible as error:
        text = f"the peer refused this transfer syntax, and as {UID(fallback).name} it cannot be sent: {error}"
        return PermanentFailure(Cause.CONTEXT_REFUSED, None, text)
    outcome = _store(association, dataset)
    if not isinstance(outcome, Sent):
        return outcome
    remark = f"sent as {UID(fallback).name}, as the peer refused {UID(item.transfer_syntax_uid).name}"
    return replace(outcome, comment=f"{remark}; {outcome.comment}" if outcome.comment else remark)


def _store(association: Association, content: Path | Dataset) -> Outcome:
    try:
        status = association.send_c_store(content)
    except OSError as error:
        return unreadable(error)
    except (AttributeError, ValueError):  # it changed between the look at its header and now
        return PermanentFailure(Cause.FILE_DAMAGED, None, "the stored file is not the DICOM file it was")
    except RuntimeError:
        return TransientFailure(Cause.ASSOCIATION_ABORTED, None, "the association ended before the object was sent")
    if "Status" not in status:
        how = (
            "the association broke after the data" if not association.is_established else "no valid response came back"
        )
        return Unknown(Cause.NO_ANSWER, how)
    return classify_status(int(status.Status), _comment(status))


@dataclass(frozen=True, slots=True)
class EchoAnswer:
    """What became of a C-ECHO. `cause` is None when the peer said Success."""

    cause: Cause | None
    text: str
    status_word: int | None
    seconds: float

    @property
    def answered(self) -> bool:
        return self.cause is None


def echo(link: Link) -> EchoAnswer:
    """C-ECHO (PS3.4 A, PS3.7 9.1.5). Never raises for what the network or the peer does."""
    started = time.monotonic()
    association = associate(link, [build_context(Verification)])
    if isinstance(association, Failure):
        return EchoAnswer(association.cause, association.text, None, time.monotonic() - started)
    try:
        status = association.send_c_echo()
    except (RuntimeError, ValueError):
        status = Dataset()
    finally:
        leave(association)
    seconds = time.monotonic() - started
    if "Status" not in status:
        return EchoAnswer(Cause.NO_ANSWER, "the association was made, but the echo was not answered", None, seconds)
    word = int(status.Status)
    if word != 0x0000:
        return EchoAnswer(Cause.STATUS, f"the echo was answered with status 0x{word:04X}", word, seconds)
    return EchoAnswer(None, "answered", word, seconds)
