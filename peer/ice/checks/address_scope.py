"""IP address scopes: restrict the remote candidates that checks are sent to. No I/O.

A connectivity check is a datagram sent to an address that the remote peer chose. A remote peer must
not be able to have datagrams sent to services that only this machine or its link can reach, such as
a service on loopback or a cloud's metadata service on 169.254.169.254.
"""

import ipaddress
from enum import StrEnum
from functools import lru_cache

_UNUSABLE = (
    ipaddress.ip_network("0.0.0.0/8"),  # RFC 1122 section 3.2.1.3
    ipaddress.ip_network("240.0.0.0/4"),  # RFC 1112 section 4, and the limited broadcast address
    ipaddress.ip_network("::ffff:0:0/96"),  # IPv4-mapped
    ipaddress.ip_network("fec0::/10"),  # RFC 3879: deprecated
)


_PRIVATE = (
    ipaddress.ip_network("10.0.0.0/8"),  # RFC 1918
    ipaddress.ip_network("172.16.0.0/12"),
    ipaddress.ip_network("192.168.0.0/16"),
    ipaddress.ip_network("100.64.0.0/10"),  # RFC 6598
    ipaddress.ip_network("fc00::/7"),  # RFC 4193
)

_WELL_KNOWN_PORTS = range(1024)
_WEB_PORTS = (80, 443)


class Scope(StrEnum):
    """The scope of an address (RFC 4007 section 4)."""

    GLOBAL = "global"
    """Routable beyond the link; private networks are included."""
    LINK_LOCAL = "link-local"
    LOOPBACK = "loopback"
    NONE = "none"
    """Not a unicast address of a host: unspecified, multicast, broadcast or reserved."""


@lru_cache(maxsize=256)
def version_of(host: str) -> int:
    """Return the IP version of an address, 4 or 6.

    Raises:
        ValueError: ``host`` is not an IP address.
    """
    return ipaddress.ip_address(host).version


@lru_cache(maxsize=256)
def canonical(host: str) -> str:
    """Return an address as sockets report it.

    Raises:
        ValueError: ``host`` is not an IP address.
    """
    return str(ipaddress.ip_address(host))


@lru_cache(maxsize=256)
def packed_address(host: str) -> bytes:
    """Return the 4 or 16 bytes of an address, without its scope.

    Raises:
        ValueError: ``host`` is not an IP address.
    """
    return ipaddress.ip_address(host).packed


@lru_cache(maxsize=256)
def scope_of(host: str) -> Scope:
    """Return the scope of an address.

    Args:
        host: An IPv4 or IPv6 address.

    Raises:
        ValueError: ``host`` is not an IP address.
    """
    address = ipaddress.ip_address(host)
    # First of all: since Python 3.13 an IPv4-mapped address has the properties of the IPv4 address.
    if any(address.version == n.version and address in n for n in _UNUSABLE):
        return Scope.NONE
    if address.is_loopback:
        return Scope.LOOPBACK
    if address.is_link_local:
        return Scope.LINK_LOCAL
    if address.is_unspecified or address.is_multicast:
        return Scope.NONE
    if isinstance(address, ipaddress.IPv6Address) and int(address) < 1 << 32:
        return Scope.NONE  # IPv4-compatible, deprecated by RFC 4291 section 2.5.5.1
    return Scope.GLOBAL


def may_connect(address: tuple[str, int]) -> bool:
    """Return whether a TCP connection may be opened to a port that the remote peer chose.

    As browsers do it: of the well-known ports only those of the web, which firewalls let pass, and
    those only at public addresses. A mail server reads lines from whatever connects.

    Args:
        address: An IP address in canonical form, and a port.
    """
    host, port = address
    if port not in _WELL_KNOWN_PORTS:
        return True
    ip = ipaddress.ip_address(host)
    is_private = any(ip.version == n.version and ip in n for n in _PRIVATE)
    return port in _WEB_PORTS and scope_of(host) is Scope.GLOBAL and not is_private
