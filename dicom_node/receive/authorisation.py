"""Who may open an association: a pure decision on AE titles and address, with advice for the one who was refused.

Decoding of AE titles is lenient (machines pad with NUL, with spaces on either side, or send bytes outside the
repertoire); comparison is strict and case-sensitive (PS3.8 7.1.1.3, PS3.5 6.2).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from dicom_node.domain import Peer

REJECTED_PERMANENT = 0x01
SOURCE_SERVICE_USER = 0x01

_PADDING = " \0"
_LAST_PRINTABLE_ASCII = 126


class RefusalReason(StrEnum):
    """Why an association was refused."""

    CALLED_AE_UNKNOWN = "called_ae_unknown"
    CALLING_AE_BLANK = "calling_ae_blank"
    CALLING_AE_UNKNOWN = "calling_ae_unknown"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"

    @property
    def diagnostic(self) -> int:
        """Reason/Diag. of the A-ASSOCIATE-RJ from the service user (PS3.8 9.3.4).

        3: calling AE title not recognised, 7: called AE title not recognised.
        """
        return 0x07 if self is RefusalReason.CALLED_AE_UNKNOWN else 0x03


@dataclass(frozen=True, slots=True)
class Caller:
    """What an association request says about itself; AE titles as `decode_ae_title` gives them."""

    calling_ae: str
    called_ae: str
    host: str


@dataclass(frozen=True, slots=True)
class Allowed:
    """The association may be negotiated; `storage` False offers C-ECHO only."""

    storage: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """The association is rejected. `advice` tells an administrator what would let the caller in."""

    reason: RefusalReason
    advice: str


def decode_ae_title(field: bytes) -> str:
    r"""The AE title in a 16-byte field of an A-ASSOCIATE-RQ; never raises.

    Padding (spaces, NULs) goes away on both sides. What is not printable ASCII stays visible as `\xNN`, so that such
    a title can be shown and never equals one that an administrator can configure.
    """
    text = field.decode("latin-1").strip(_PADDING)
    return "".join(c if _printable(c) else f"\\x{ord(c):02x}" for c in text)


def authorise(caller: Caller, our_ae: str, peers: Sequence[Peer]) -> Allowed | Refusal:
    """Decide on one association request.

    A caller must use our AE title as the called one, and its own must be among `peers`, at an address that the peer is
    bound to. No peers: everyone is refused. Our own AE title calling from this very machine may echo, nothing else;
    that is the health check.
    """
    if caller.called_ae != our_ae:
        return Refusal(RefusalReason.CALLED_AE_UNKNOWN, _called_advice(caller, our_ae))
    named = [peer for peer in peers if peer.ae_title == caller.calling_ae]
    if any(_comes_from(caller.host, peer.hosts) for peer in named):
        return Allowed(storage=True)
    if caller.calling_ae == our_ae and _is_this_machine(caller.host):
        return Allowed(storage=False)
    if named:
        return Refusal(RefusalReason.ADDRESS_NOT_ALLOWED, _address_advice(caller, named))
    if not caller.calling_ae:
        return Refusal(RefusalReason.CALLING_AE_BLANK, "The machine sent no AE title of its own; set one on it.")
    return Refusal(RefusalReason.CALLING_AE_UNKNOWN, _unknown_advice(caller, peers))


def canonical_host(host: str) -> str:
    """The address without zone; an IPv4 address mapped into IPv6 (::ffff:10.0.0.1) as IPv4."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _comes_from(host: str, allowed: Sequence[str]) -> bool:
    if not allowed:
        return True
    address = ipaddress.ip_address(canonical_host(host))
    return any(address in ipaddress.ip_network(network, strict=False) for network in allowed)


def _is_this_machine(host: str) -> bool:
    return ipaddress.ip_address(canonical_host(host)).is_loopback


def _called_advice(caller: Caller, our_ae: str) -> str:
    called = f"'{caller.called_ae}'" if caller.called_ae else "no AE title"
    if caller.called_ae.lower() == our_ae.lower():
        return f"The machine called {called}; this node is '{our_ae}', upper and lower case count."
    return f"The machine called {called}; set the AE title of this node on it to '{our_ae}'."


def _address_advice(caller: Caller, named: Sequence[Peer]) -> str:
    known = ", ".join(host for peer in named for host in peer.hosts)
    host = canonical_host(caller.host)
    return f"AE title '{caller.calling_ae}' is known, but from {known}; this came from {host}."


def _unknown_advice(caller: Caller, peers: Sequence[Peer]) -> str:
    if not _configurable(caller.calling_ae):
        return f"AE title '{caller.calling_ae}' is not printable ASCII; set a plain one on the machine."
    alike = [peer.ae_title for peer in peers if peer.ae_title.lower() == caller.calling_ae.lower()]
    if alike:
        return f"AE title '{caller.calling_ae}' is unknown; '{alike[0]}' is known, upper and lower case count."
    host = canonical_host(caller.host)
    return f'To let it in, add to peers: {{ae_title: "{caller.calling_ae}", hosts: ["{host}"]}}'


def _configurable(ae_title: str) -> bool:
    """A backslash is what `decode_ae_title` marks the unprintable with, and is itself not allowed (PS3.5 6.2)."""
    return "\\" not in ae_title


def _printable(character: str) -> bool:
    return ord(" ") <= ord(character) <= _LAST_PRINTABLE_ASCII
