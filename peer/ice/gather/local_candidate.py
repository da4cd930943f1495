"""``LocalCandidate``: a candidate of this side, with what the other side is not told."""

import hashlib
import secrets
from enum import StrEnum

from aioice import Candidate
from aioice.candidate import candidate_priority
from aioice.ice import StunProtocol

from ..server_urls import Transport
from .interfaces import Kind

HIDDEN = {4: ("0.0.0.0", 9), 6: ("::", 9)}
"""The related address where the real one is not to be shown (RFC 8839 section 5.1)."""


class NetworkType(StrEnum):
    """What a candidate's interface is (W3C webrtc-stats, ``RTCNetworkType``)."""

    BLUETOOTH = "bluetooth"
    CELLULAR = "cellular"
    ETHERNET = "ethernet"
    WIFI = "wifi"
    WIMAX = "wimax"
    VPN = "vpn"
    UNKNOWN = "unknown"


def network_type(kind: Kind | None) -> NetworkType:
    """Return the W3C name for a kind of interface; ``unknown`` for what W3C has no name for."""
    try:
        return NetworkType(str(kind))
    except ValueError:
        return NetworkType.UNKNOWN


class Foundations:
    """Computes foundations (RFC 8445 section 5.1.1.3) that give no address away.

    Two candidates have the same one if their type, base address, server and transport are the
    same. A key of its own keeps the other side from finding the address by trying all of them.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(16)

    def of(self, *properties: str) -> str:
        """Return the foundation that stands for these properties, 16 characters."""
        text = "|".join(properties).encode()
        return hashlib.blake2b(text, key=self._key, digest_size=8).hexdigest()


class LocalCandidate(Candidate):
    """A local candidate with what only this side knows.

    Args:
        base: The socket that sends for it; that of the host candidate for ``srflx``.
        foundation: See :class:`Foundations`.
        type: ``host``, ``srflx`` or ``relay``.
        address: IP address and port.
        local_preference: RFC 8445 section 5.1.2.1, 0 to 65535.
        related: The related address and port (RFC 8839 section 5.1).
        url: The server's URL, for ``srflx`` and ``relay``.
        relay_protocol: How the TURN server is spoken to.
        network_type: What the interface is.
        announced_host: The address or name that the other side is told; ``None`` for none, in
            which case the candidate is not announced at all. By default the real address.
        hides_related: Whether the other side is not told the related address.

    Attributes:
        base: As above, and so are ``url``, ``relay_protocol``, ``network_type`` and
            ``local_preference``.
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
    ) -> None:
        super().__init__(
            foundation=foundation,
            component=1,
            transport="udp",
            priority=candidate_priority(1, type, local_preference),
            host=address[0],
            port=address[1],
            type=type,
            related_address=related[0] if related else None,
            related_port=related[1] if related else None,
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

    def is_seen_as(self, address: tuple[str, int]) -> bool:
        """Whether others see this candidate at an address: the real one, or the external one."""
        return address in (self.address, (self._announced_host, self.port))

    def announced(self) -> Candidate | None:
        """Return what is told to the other side; ``None`` if it is told nothing.

        The address may be another one or an mDNS name, and the related address hidden.
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
        )
