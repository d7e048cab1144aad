"""Who gets in: the wire side of authorisation, and a word in the log for everyone who did not."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, cast

from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.transport import AddressInformation

from dicom_node.domain import Peer
from dicom_node.errors import NodeError
from dicom_node.receive import authorisation
from dicom_node.receive.authorisation import Allowed, Caller, Refusal
from dicom_node.receive.contexts import verification_context

_log = logging.getLogger(__name__)

_TRANSIENT = (0x02, 0x01, 0x01)
"""A-ASSOCIATE-RJ: rejected transient, by the service user, no reason given (PS3.8 9.3.4)."""

_CLASSES_LOGGED = 5
"""Some senders propose every storage class there is."""


class RefusalLog(Protocol):
    """The end of the repository that remembers who was refused."""

    def record_refusal(  # noqa: PLR0913, PLR0917  one parameter per column
        self, calling_ae: str, called_ae: str, host: str, reason: str, advice: str, now: datetime
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Gate:
    """Lets associations in or rejects them."""

    our_ae: str
    peers: tuple[Peer, ...]
    refusals: RefusalLog

    def on_requested(self, event: Event) -> None:
        """EVT_REQUESTED: reject here, before negotiation. Whatever goes wrong, nobody gets in by accident."""
        association = event.assoc
        try:
            self._decide(association)
        except Exception:  # noqa: BLE001  pynetdicom would swallow it and accept the association
            _log.exception("receive.authorisation_failed")
            if not association.is_rejected:
                _reject(association, *_TRANSIENT)

    def _decide(self, association: Association) -> None:
        caller = caller_of(association)
        match authorisation.authorise(caller, self.our_ae, self.peers):
            case Refusal() as refusal:
                permanent = (authorisation.REJECTED_PERMANENT, authorisation.SOURCE_SERVICE_USER)
                _reject(association, *permanent, refusal.reason.diagnostic)
                self._remember(caller, refusal)
            case Allowed(storage=False):
                association.acceptor.supported_contexts = [verification_context()]
            case Allowed():
                pass

    def _remember(self, caller: Caller, refusal: Refusal) -> None:
        _log.warning("receive.refused", extra={**log_fields(caller), "reason": refusal.reason.value})
        titles = (caller.calling_ae, caller.called_ae)
        try:
            self.refusals.record_refusal(*titles, caller.host, refusal.reason.value, refusal.advice, datetime.now(UTC))
        except NodeError as error:
            _log.warning("receive.refusal_not_recorded", extra={"error": type(error).__name__})


def on_accepted(event: Event) -> None:
    """EVT_ACCEPTED: name what the sender proposed and we do not take; its send job may fail for it."""
    refused = sorted({str(context.abstract_syntax) for context in event.assoc.rejected_contexts})
    for sop_class_uid in refused[:_CLASSES_LOGGED]:
        fields = {"sop_class_uid": sop_class_uid, "count": len(refused)}
        _log.info("receive.context_refused", extra={**log_fields(caller_of(event.assoc)), **fields})


def on_rejected(event: Event) -> None:
    """EVT_REJECTED: only pynetdicom's own rejection triggers it, too many associations at once."""
    _log.warning("receive.too_many_associations", extra=log_fields(caller_of(event.assoc)))


def on_connection_closed(event: Event) -> None:
    """EVT_CONN_CLOSE: let go of a connection that never asked for anything, as the probe of a load balancer.

    Its thread would go on waiting for a request until the time-out and count as an association all the while.
    """
    if event.assoc.requestor.primitive is None:
        event.assoc.dul.to_user_queue.put(cast(A_ASSOCIATE, None))


def on_c_echo(event: Event) -> int:
    """EVT_C_ECHO: whoever got in gets Success."""
    _log.debug("receive.echo", extra=log_fields(caller_of(event.assoc)))
    return 0x0000


def caller_of(association: Association) -> Caller:
    """Both AE titles of the request and the address it came from."""
    request = cast(A_ASSOCIATE, association.requestor.primitive)
    address = cast(AddressInformation, association.requestor.address_info)
    return Caller(request.calling_ae_title, request.called_ae_title, authorisation.canonical_host(address.address))


def log_fields(caller: Caller) -> dict[str, str]:
    """What a log line says about a caller."""
    return {"calling_ae": caller.calling_ae, "called_ae": caller.called_ae, "host": caller.host}


def _reject(association: Association, result: int, source: int, diagnostic: int) -> None:
    association.acse.send_reject(result, source, diagnostic)
    association.kill()
