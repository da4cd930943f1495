"""Local candidates, with the private properties that are not signalled, and foundations."""

import hashlib
import secrets
from enum import StrEnum

from aioice import Candidate
from aioice.candidate import candidate_priority
from aioice.ice import StunProtocol

from ..server_urls import Transport
from .interfaces import Kind

HIDDEN = {4: ("0.0.0.0", 9), 6: ("::", 9)}
"""Related address and port for candidates whose real one is hidden, by IP version (RFC 8839 section
5.1)."""


class NetworkType(StrEnum):
    """The type of a candidate's network interface (W3C webrtc-stats, ``RTCNetworkType``)."""

    BLUETOOTH = "bluetooth"
    CELLULAR = "cellular"
    ETHERNET = "ethernet"
    WIFI = "wifi"
    WIMAX = "wimax"
    VPN = "vpn"
    UNKNOWN = "unknown"


def network_type(kind: Kind | None) -> NetworkType:
    """Return the W3C type for a kind of interface; ``unknown`` if W3C defines none for it."""
    try:
        return NetworkType(str(kind))
    except ValueError:
        return NetworkType.UNKNOWN


_TCP_TYPE_PREFERENCE = {"host": 90, "prflx": 80, "srflx": 70}
"""Type preferences of TCP candidates: below those of all direct UDP candidates (100 to 126), above
those of relayed ones (RFC 6544 section 4.2)."""

_DIRECTION_PREFERENCE = {
    "host": {"active": 6, "passive": 4},
    "prflx": {"active": 6, "passive": 4},
    "srflx": {"active": 4, "passive": 2},
}
"""Preferences of the direction in which a connection is opened (RFC 6544 section 4.2)."""


def candidate_priority_of(type: str, local_preference: int, tcptype: str | None = None) -> int:
    """Return a candidate's priority (RFC 8445 section 5.1.2.1; RFC 6544 section 4.2).

    Args:
        type: ``host``, ``srflx``, ``prflx`` or, only over UDP, ``relay``.
        local_preference: 0 to 65535; over TCP the lower 13 bits of it tell interfaces apart.
        tcptype: ``active`` or ``passive`` for a TCP candidate.
    """
    if tcptype is None:
        return candidate_priority(1, type, local_preference)
    local = (_DIRECTION_PREFERENCE[type][tcptype] << 13) + (local_preference & 0x1FFF)
    return (_TCP_TYPE_PREFERENCE[type] << 24) + (local << 8) + 255


class Foundations:
    """Computes foundations (RFC 8445 section 5.1.1.3) that do not disclose addresses.

    Candidates of the same type, base address, server and transport have the same foundation. The
    hash has a random key, so the remote peer cannot find the address by brute force.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(16)

    def of(self, *properties: str) -> str:
        """Return the foundation for these properties, 16 hexadecimal digits."""
        text = "|".join(properties).encode()
        return hashlib.blake2b(text, key=self._key, digest_size=8).hexdigest()


class LocalCandidate(Candidate):
    """A local candidate, with properties that are not signalled.

    Args:
        base: The socket that sends for the candidate; for ``srflx`` the host candidate's.
        foundation: See :class:`Foundations`.
        type: ``host``, ``srflx``, ``prflx`` or ``relay``.
        address: IP address and port.
        local_preference: RFC 8445 section 5.1.2.1, 0 to 65535.
        related: The related address and port (RFC 8839 section 5.1).
        url: The server's URL, for ``srflx`` and ``relay``.
        relay_protocol: Transport protocol to the TURN server, for ``relay``.
        network_type: Type of the network interface.
        announced_host: The address or mDNS name announced to the remote peer. By default the real
            address; with ``None`` the candidate is not announced.
        hides_related: True to hide the related address from the remote peer.
        tcptype: ``active`` or ``passive`` for a TCP candidate (RFC 6544 section 4.5).

    Attributes:
        base: As above.
        url: As above.
        relay_protocol: As above.
        network_type: As above.
        local_preference: As above.
    """

    def __init__(
        self,
        *,
        base: StunProtocol,
        foundation: str,
        type: str,
        address: tuple[str, int],
        local_preference: int,
        related: tuple[str, int] | None = None,
        url: str | None = None,
        relay_protocol: Transport | None = None,
        network_type: NetworkType = NetworkType.UNKNOWN,
        announced_host: str | None = "",
        hides_related: bool = False,
        tcptype: str | None = None,
    ) -> None:
        super().__init__(
            foundation=foundation,
            component=1,
            transport="tcp" if tcptype else "udp",
            priority=candidate_priority_of(type, local_preference, tcptype),
            host=address[0],
            port=address[1],
            type=type,
            related_address=related[0] if related else None,
            related_port=related[1] if related else None,
            tcptype=tcptype,
        )
        self.base = base
        self.url = url
        self.relay_protocol = relay_protocol
        self.network_type = network_type
        self.local_preference = local_preference
        self._announced_host = self.host if announced_host == "" else announced_host
        self._hides_related = hides_related

    @property
    def address(self) -> tuple[str, int]:
        """The real address and port."""
        return self.host, self.port

    @property
    def own_address(self) -> str | None:
        """The local address that its packets are sent from; ``None`` if unknown."""
        if self.type != "relay":
            return self.base.local_candidate.host
        local = self.base.transport.get_extra_info("local_address")
        return str(local[0]) if local else None

    def has_address(self, address: tuple[str, int]) -> bool:
        """Return whether an address is the candidate's real or announced one."""
        return address in (self.address, (self._announced_host, self.port))

    def announced(self) -> Candidate | None:
        """Return the candidate to announce to the remote peer; ``None`` if it is not announced.

        Its address may be an external address or an mDNS name, and its related address hidden.
        """
        if self._announced_host is None:
            return None
        related = self.related_address, self.related_port
        if self._hides_related and self.related_address is not None:
            related = HIDDEN[6 if ":" in self.host else 4]
        return Candidate(
            foundation=self.foundation,
            component=self.component,
            transport=self.transport,
            priority=self.priority,
            host=self._announced_host,
            port=self.port,
            type=self.type,
            related_address=related[0],
            related_port=related[1],
            tcptype=self.tcptype,
        )
