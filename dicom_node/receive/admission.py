"""Who gets in: the wire side of authorisation, and what whoever got in may still do."""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.transport import AddressInformation

from dicom_node.addresses import canonical_host
from dicom_node.domain import Peer, Right
from dicom_node.receive import authorisation
from dicom_node.receive.authorisation import Allowed, Caller, Lookup, Policy, Refusal, RefusalReason, Rejection
from dicom_node.receive.contexts import contexts_for, in_the_order_of, missing_rights
from dicom_node.receive.names import Names
from dicom_node.receive.pace import Paces
from dicom_node.receive.refusals import RefusalBook, log_fields
from dicom_node.receive.tally import Tally
from dicom_node.receive.toolkit import BoundedSocket

_log = logging.getLogger(__name__)

_TRANSIENT: Rejection = (0x02, 0x01, 0x01)
"""A-ASSOCIATE-RJ: rejected transient, by the service user, no reason given (PS3.8 9.3.4)."""

_CLASSES_LOGGED = 5
"""Some senders propose every storage class there is."""

PLACE_WAIT_S = 2.0
"""A scanner that opens one association per image opens the next before we have put the last one away."""

_PLACE_POLL_S = 0.02
_TLS_HANDSHAKE = b"\x16\x03"
_ASSOCIATE_RQ = b"\x01"


@dataclass(frozen=True, slots=True)
class Admission:
    """On which terms an association was let in."""

    caller: Caller
    policy: Policy
    peer: Peer | None
    may: tuple[Right, ...]


@dataclass(slots=True)
class Gate:
    """Lets associations in or rejects them, and knows who is in. `policy` may be exchanged at any time.

    `tally`: what it knows of other receivers at the same ports.
    """

    policy: Policy
    book: RefusalBook
    stop: threading.Event = field(default_factory=threading.Event)
    lookup: Lookup = field(default_factory=lambda: Names().lookup)
    tally: Tally = field(default_factory=Tally)
    _inside: dict[Association, Admission] = field(default_factory=dict)
    _paces: Paces = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._paces = Paces(self.tally)

    def on_requested(self, event: Event) -> None:
        """EVT_REQUESTED: reject here, before negotiation. Whatever goes wrong, nobody gets in by accident."""
        association = event.assoc
        try:
            self._decide(association)
        except Exception:  # noqa: BLE001  pynetdicom would swallow it and accept the association
            _log.exception("receive.authorisation_failed")
            if not association.is_rejected:
                _reject(association, _TRANSIENT)

    def on_accepted(self, event: Event) -> None:
        """EVT_ACCEPTED: name what the sender proposed and we do not take; its send job may fail for it."""
        association = event.assoc
        caller = caller_of(association)
        refused = sorted({str(context.abstract_syntax) for context in association.rejected_contexts})
        for sop_class_uid in refused[:_CLASSES_LOGGED]:
            fields = {"sop_class_uid": sop_class_uid, "count": len(refused)}
            _log.info("receive.context_refused", extra={**log_fields(caller), **fields})
        self._note_what_was_missing(association, caller, refused)

    def on_connection_closed(self, event: Event) -> None:
        """EVT_CONN_CLOSE: forget who left, and let go of a connection that never asked for anything.

        The thread of such a one (the probe of a load balancer) would go on waiting for a request until the time-out.
        """
        association = event.assoc
        self._leave(association)
        if association.requestor.primitive is None:
            association.dul.to_user_queue.put(cast(A_ASSOCIATE, None))
            self._note_who_spoke_no_dicom(association)

    def on_over(self, event: Event) -> None:
        """EVT_RELEASED, EVT_ABORTED: the place is free, however long the peer keeps its connection open."""
        self._leave(event.assoc)

    def may_store(self, association: Association) -> Refusal | None:
        """Whether the peer may (still) store; asked for each object, since the rules may change meanwhile."""
        admission = self._admission(association)
        if admission is None:
            return Refusal(RefusalReason.CALLING_AE_UNKNOWN, "The association was not admitted.")
        if admission.policy is not self.policy:
            match authorisation.authorise(admission.caller, self.policy, self.lookup):
                case Refusal() as refusal:
                    return refusal
                case Allowed(may=may) if Right.STORE not in may:
                    calling_ae = admission.caller.calling_ae
                    advice = authorisation.rights_advice(calling_ae, may, [Right.STORE])
                    return Refusal(RefusalReason.RIGHT_MISSING, advice)
        return None

    def await_turn(self, association: Association) -> bool:
        """Wait until the peer may send its next object; False where that is too far away, or the node stops."""
        peer = self._peer(association)
        if peer is None or peer.limits.objects_per_minute is None:
            return True
        wait = self._paces.turn(peer.ae_title, peer.limits.objects_per_minute, time.monotonic())
        return wait is not None and not (wait and self.stop.wait(wait))

    def largest_object(self, association: Association) -> int | None:
        """Bytes that one data set of this peer may have; None: any number."""
        peer = self._peer(association)
        return None if peer is None else peer.limits.object_bytes

    def peer_of(self, association: Association) -> Peer | None:
        """Who that is, as the configuration has it now; None: our own health check, or nobody who was let in."""
        return self._peer(association)

    def note_handshake(self, host: str, advice: str) -> None:
        """A caller with whom no TLS connection came about."""
        self.book.note(Caller("", "", host), Refusal(RefusalReason.TLS_FAILED, advice))

    def _decide(self, association: Association) -> None:
        caller, policy = caller_of(association), self.policy
        decision = authorisation.authorise(caller, policy, self.lookup)
        if isinstance(decision, Allowed):
            admission = Admission(caller, policy, decision.peer, decision.may)
            decision = self._enter(association, admission) or decision
        match decision:
            case Refusal() as refusal:
                _reject(association, refusal.reason.rejection)
                self.book.note(caller, refusal)
            case Allowed(may=may):
                request = cast(A_ASSOCIATE, association.requestor.primitive)
                proposed = request.presentation_context_definition_list
                association.acceptor.supported_contexts = in_the_order_of(proposed, contexts_for(may))
                _channel(association).admit()

    def _enter(self, association: Association, admission: Admission) -> Refusal | None:
        """Take a place; a Refusal where none is free, also after a moment."""
        deadline = time.monotonic() + PLACE_WAIT_S
        while True:
            with self._lock, self.tally.alone():
                full = self._full(admission)
                if full is None:
                    self._inside[association] = admission
                    self.tally.note_inside(self._peers_inside())
                    return None
            if time.monotonic() > deadline:
                return full
            time.sleep(_PLACE_POLL_S)

    def _full(self, admission: Admission) -> Refusal | None:
        """Why there is no place. The health check always has one: else a busy node would be taken for a dead one."""
        peer, most = admission.peer, admission.policy.maximum_associations
        if peer is None:
            return None
        for gone in [association for association in self._inside if not _is_under_way(association)]:
            del self._inside[gone]
        peers = [*self._peers_inside(), *self.tally.others()]
        own = peer.limits.associations
        if own is not None and peers.count(peer.ae_title) >= own:
            advice = authorisation.associations_advice(own, peer.ae_title)
        elif len(peers) >= most:
            advice = authorisation.associations_advice(most, None)
        else:
            return None
        return Refusal(RefusalReason.TOO_MANY_ASSOCIATIONS, advice)

    def _leave(self, association: Association) -> None:
        with self._lock:
            if self._inside.pop(association, None) is not None:
                with self.tally.alone():
                    self.tally.note_inside(self._peers_inside())

    def _peers_inside(self) -> list[str]:
        """The AE title of the peer of each association, but for our own health checks."""
        return [inside.peer.ae_title for inside in self._inside.values() if inside.peer is not None]

    def _admission(self, association: Association) -> Admission | None:
        with self._lock:
            return self._inside.get(association)

    def _peer(self, association: Association) -> Peer | None:
        """The peer as it stands in the policy of now, or as it was let in."""
        admission = self._admission(association)
        if admission is None or admission.peer is None:
            return None
        before = admission.peer
        alike = (p for p in self.policy.peers if (p.ae_title, p.hosts) == (before.ae_title, before.hosts))
        return next(alike, before)

    def _note_what_was_missing(self, association: Association, caller: Caller, refused: Sequence[str]) -> None:
        """Rejected contexts look like a network fault at the sender; so the list of refusals says what they are."""
        admission = self._admission(association)
        if admission is None or admission.peer is None:
            return
        missing = missing_rights(admission.may, refused)
        if missing:
            advice = authorisation.rights_advice(caller.calling_ae, admission.may, missing)
            self.book.note(caller, Refusal(RefusalReason.RIGHT_MISSING, advice))
        elif refused and not association.accepted_contexts:
            advice = f"None of what it proposed is taken here, as {refused[0]}; see what the node takes in its manual."
            self.book.note(caller, Refusal(RefusalReason.NOTHING_TAKEN, advice))

    def _note_who_spoke_no_dicom(self, association: Association) -> None:
        said = _channel(association).first_bytes
        if not said or said.startswith(_ASSOCIATE_RQ):
            return
        if said.startswith(_TLS_HANDSHAKE):
            port = self.policy.secure_port
            where = "there is none: set node.tls.port" if port is None else f"it is {port}"
            advice = f"The machine began TLS on the port without; of the port over TLS, {where}."
            refusal = Refusal(RefusalReason.TLS_FAILED, advice)
        else:
            refusal = Refusal(RefusalReason.NOT_DICOM, "What came was no DICOM association request.")
        self.book.note(Caller("", "", _host(association)), refusal)


def on_c_echo(event: Event) -> int:
    """EVT_C_ECHO: whoever got in gets Success."""
    _log.debug("receive.echo", extra=log_fields(caller_of(event.assoc)))
    return 0x0000


def caller_of(association: Association) -> Caller:
    """Both AE titles of the request, the address it came from, and what TLS knows of it."""
    request = cast(A_ASSOCIATE, association.requestor.primitive)
    connection = _channel(association).socket
    secure = isinstance(connection, ssl.SSLSocket)
    names = _certificate_names(connection) if isinstance(connection, ssl.SSLSocket) else ()
    return Caller(request.calling_ae_title, request.called_ae_title, _host(association), secure, names)


def _certificate_names(connection: ssl.SSLSocket) -> tuple[str, ...]:
    """Subject CN and DNS names of the caller's certificate; none where it was not asked for one, or has left."""
    try:
        certificate = connection.getpeercert() or {}
    except (ValueError, OSError, AttributeError):  # closed meanwhile; shut down, it has lost what it asks (CPython)
        return ()
    subject = cast(Sequence[Sequence[tuple[str, str]]], certificate.get("subject", ()))
    common = [value for part in subject for name, value in part if name == "commonName"]
    others = cast(Sequence[tuple[str, str]], certificate.get("subjectAltName", ()))
    return tuple(dict.fromkeys([*common, *(value for kind, value in others if kind == "DNS")]))


def _host(association: Association) -> str:
    address = cast(AddressInformation, association.requestor.address_info)
    return canonical_host(address.address)


def _channel(association: Association) -> BoundedSocket:
    return cast(BoundedSocket, association.dul.socket)


def _is_under_way(association: Association) -> bool:
    over = association.is_released or association.is_aborted or association.is_rejected
    return association.is_alive() and not over


def _reject(association: Association, rejection: Rejection) -> None:
    association.acse.send_reject(*rejection)
    association.kill()
