"""Who may open an association: a pure decision on AE titles, address and certificate, with advice for the refused.

Decoding of AE titles is lenient (machines pad with NUL, with spaces on either side, or send bytes outside the
repertoire); comparison is strict and case-sensitive (PS3.8 7.1.1.3, PS3.5 6.2).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from dicom_node.addresses import canonical_host
from dicom_node.domain import Peer, Right

Rejection = tuple[int, int, int]
"""Result, source and reason of an A-ASSOCIATE-RJ (PS3.8 9.3.4)."""

_NO_REASON: Rejection = (0x01, 0x01, 0x01)
_CALLING_NOT_RECOGNISED: Rejection = (0x01, 0x01, 0x03)
_CALLED_NOT_RECOGNISED: Rejection = (0x01, 0x01, 0x07)
_LIMIT_EXCEEDED: Rejection = (0x02, 0x03, 0x02)

_PADDING = " \0"
_LAST_PRINTABLE_ASCII = 126


class RefusalReason(StrEnum):
    """Why a caller was refused, wholly or (RIGHT_MISSING, NOTHING_TAKEN) in all that it asked for."""

    CALLED_AE_UNKNOWN = "called_ae_unknown"
    CALLING_AE_BLANK = "calling_ae_blank"
    CALLING_AE_UNKNOWN = "calling_ae_unknown"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    TLS_REQUIRED = "tls_required"
    CERTIFICATE_MISMATCH = "certificate_mismatch"
    TOO_MANY_ASSOCIATIONS = "too_many_associations"
    RIGHT_MISSING = "right_missing"
    NOTHING_TAKEN = "nothing_taken"
    TLS_FAILED = "tls_failed"
    NOT_DICOM = "not_dicom"

    @property
    def rejection(self) -> Rejection:
        """What the caller is told. 3: calling AE title not recognised, 7: called AE title not recognised."""
        return _REJECTIONS.get(self, _NO_REASON)


_REJECTIONS = {
    RefusalReason.CALLED_AE_UNKNOWN: _CALLED_NOT_RECOGNISED,
    RefusalReason.CALLING_AE_BLANK: _CALLING_NOT_RECOGNISED,
    RefusalReason.CALLING_AE_UNKNOWN: _CALLING_NOT_RECOGNISED,
    RefusalReason.ADDRESS_NOT_ALLOWED: _CALLING_NOT_RECOGNISED,
    RefusalReason.TOO_MANY_ASSOCIATIONS: _LIMIT_EXCEEDED,
}


@dataclass(frozen=True, slots=True)
class Caller:
    """What is known of who calls; AE titles as `decode_ae_title` gives them.

    `secure`: it came over TLS. `certificate_names`: subject CN and DNS names of the certificate that was verified.
    """

    calling_ae: str
    called_ae: str
    host: str
    secure: bool = False
    certificate_names: tuple[str, ...] = ()


Lookup = Callable[[str], Sequence[str]]
"""The addresses of a host name; none where it is not known."""


def _no_names(_name: str) -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class Policy:
    """Who we are and who may talk to us. `secure_port` is for the advice only."""

    our_aes: tuple[str, ...]
    peers: tuple[Peer, ...]
    maximum_associations: int = 32
    secure_port: int | None = None


@dataclass(frozen=True, slots=True)
class Allowed:
    """The association may be negotiated, for what `may` says. No `peer`: the health check of this machine."""

    peer: Peer | None
    may: tuple[Right, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The association is rejected. `advice` tells an administrator what would let the caller in."""

    reason: RefusalReason
    advice: str


def decode_ae_title(field: bytes) -> str:
    r"""The AE title in a 16-byte field of an A-ASSOCIATE-RQ; never raises.

    Spaces on both sides are no part of it (PS3.5 6.2). NULs before it go away, and one behind it ends it: programs that
    keep the title as a C string send whatever lay behind it in memory. What is not printable ASCII stays visible as
    `\xNN`, so that such a title can be shown and never equals one that an administrator can configure.
    """
    text = field.decode("latin-1").lstrip(_PADDING).partition("\0")[0].strip(_PADDING)
    return "".join(c if _printable(c) else f"\\x{ord(c):02x}" for c in text)


def authorise(caller: Caller, policy: Policy, lookup: Lookup = _no_names) -> Allowed | Refusal:
    """Decide on one association request.

    A caller must use one of our AE titles as the called one, and its own must be among the peers, at an address that
    the peer is bound to, in the way the peer has to come. No peers: everyone is refused. Our own AE title calling from
    this very machine may echo, nothing else; that is the health check.
    """
    if caller.called_ae not in policy.our_aes:
        return Refusal(RefusalReason.CALLED_AE_UNKNOWN, _called_advice(caller, policy))
    named = [peer for peer in policy.peers if peer.ae_title == caller.calling_ae]
    placed = [peer for peer in named if _comes_from(caller.host, peer.hosts, lookup)]
    refusals = [_refusal_of(caller, peer, policy) for peer in placed]
    for peer, refusal in zip(placed, refusals, strict=True):
        if refusal is None:
            return Allowed(peer, peer.may)
    if caller.calling_ae in policy.our_aes and _is_this_machine(caller.host):
        return Allowed(None, (Right.ECHO,))
    for refusal in refusals:
        if refusal is not None:
            return refusal
    if named:
        return Refusal(RefusalReason.ADDRESS_NOT_ALLOWED, _address_advice(caller, named))
    if not caller.calling_ae:
        return Refusal(RefusalReason.CALLING_AE_BLANK, "The machine sent no AE title of its own; set one on it.")
    return Refusal(RefusalReason.CALLING_AE_UNKNOWN, _unknown_advice(caller, policy.peers))


def associations_advice(most: int, ae_title: str | None) -> str:
    """For who was one association too many: of this peer, or (None) of all."""
    if ae_title is None:
        return f"The node had its {most} associations; see node.maximum_associations."
    return f"AE title '{ae_title}' had its {most} associations; see maximum_associations of this peer."


def rights_advice(ae_title: str, may: Sequence[Right], missing: Sequence[Right]) -> str:
    """For who asked for something that others may."""
    has = ", ".join(may) or "nothing"
    wanted = ", ".join(missing)
    return f"AE title '{ae_title}' may {has}; to let it {wanted}, add that to `may` of this peer."


def _refusal_of(caller: Caller, peer: Peer, policy: Policy) -> Refusal | None:
    """Why this peer, at its right address, may not come the way it came."""
    if peer.secure and not caller.secure:
        advice = f"AE title '{peer.ae_title}' may come over TLS only: port {policy.secure_port}."
        return Refusal(RefusalReason.TLS_REQUIRED, advice)
    wanted = peer.certificate_name
    if wanted is not None and wanted.lower() not in map(str.lower, caller.certificate_names):
        has = ", ".join(caller.certificate_names) or "no name"
        advice = f"AE title '{peer.ae_title}' needs a certificate for {wanted}; this one is for {has}."
        return Refusal(RefusalReason.CERTIFICATE_MISMATCH, advice)
    return None


def _comes_from(host: str, allowed: Sequence[str], lookup: Lookup) -> bool:
    if not allowed:
        return True
    address = ipaddress.ip_address(canonical_host(host))
    return any(address in network for entry in allowed for network in _networks(entry, lookup))


def _networks(entry: str, lookup: Lookup) -> Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    try:
        return [ipaddress.ip_network(entry, strict=False)]
    except ValueError:
        return [ipaddress.ip_network(canonical_host(address)) for address in lookup(entry)]


def _is_this_machine(host: str) -> bool:
    return ipaddress.ip_address(canonical_host(host)).is_loopback


def _called_advice(caller: Caller, policy: Policy) -> str:
    called = f"'{caller.called_ae}'" if caller.called_ae else "no AE title"
    ours = " or ".join(f"'{title}'" for title in policy.our_aes)
    if caller.called_ae.lower() in map(str.lower, policy.our_aes):
        return f"The machine called {called}; this node is {ours}, upper and lower case count."
    return f"The machine called {called}; set the AE title of this node on it to {ours}."


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
