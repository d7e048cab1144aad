"""Addresses of machines, as limits and rights compare them."""

from __future__ import annotations

import ipaddress

_BITS_OF_ONE_HOUSEHOLD = 64


def canonical_host(host: str) -> str:
    """The address without zone; an IPv4 address mapped into IPv6 (::ffff:10.0.0.1) as IPv4. Raises ValueError."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def network_of(host: str) -> str:
    """The address, or of IPv6 its /64: so much everybody has who has one address (RFC 6177). Raises ValueError."""
    address = ipaddress.ip_address(canonical_host(host))
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, _BITS_OF_ONE_HOUSEHOLD), strict=False))
