"""Scopes of IP addresses: which remote candidates checks may be sent to. No I/O.

A candidate is an address that somebody else made up, and a check is a datagram sent to it. What
only this machine or its link can reach must not be reached for a stranger: a service on loopback,
or the metadata service of a cloud on 169.254.169.254.
"""

import ipaddress
from enum import StrEnum

_UNUSABLE = (
    ipaddress.ip_network("0.0.0.0/8"),  # RFC 1122 section 3.2.1.3
    ipaddress.ip_network("240.0.0.0/4"),  # RFC 1112 section 4, and the limited broadcast address
    ipaddress.ip_network("::ffff:0:0/96"),  # an IPv4 address in disguise
    ipaddress.ip_network("fec0::/10"),  # RFC 3879: deprecated
)


class Scope(StrEnum):
    """How far an address reaches (RFC 4007 section 4)."""

    GLOBAL = "global"
    """Any network, private ones included."""
    LINK_LOCAL = "link-local"
    LOOPBACK = "loopback"
    NONE = "none"
    """No single host: unspecified, multicast, broadcast and reserved addresses."""


def scope_of(host: str) -> Scope:
    """Return the scope of an address.

    Args:
        host: An IPv4 or IPv6 address.

    Raises:
        ValueError: It is no IP address.
    """
    address = ipaddress.ip_address(host)
    if address.is_loopback:
        return Scope.LOOPBACK
    if address.is_link_local:
        return Scope.LINK_LOCAL
    if address.is_unspecified or address.is_multicast:
        return Scope.NONE
    if any(address.version == n.version and address in n for n in _UNUSABLE):
        return Scope.NONE
    if isinstance(address, ipaddress.IPv6Address) and int(address) < 1 << 32:
        return Scope.NONE  # IPv4-compatible, deprecated by RFC 4291 section 2.5.5.1
    return Scope.GLOBAL
