"""Local candidates, with what only this side knows of them."""

from enum import StrEnum

from aioice.candidate import Candidate
from aioice.ice import StunProtocol

from .servers import Transport


class NetworkType(StrEnum):
    """The kind of network behind a candidate (W3C webrtc-stats, RTCNetworkType)."""

    BLUETOOTH = "bluetooth"
    CELLULAR = "cellular"
    ETHERNET = "ethernet"
    WIFI = "wifi"
    WIMAX = "wimax"
    VPN = "vpn"
    UNKNOWN = "unknown"


class LocalCandidate(Candidate):
    """A local candidate, and the socket that sends for it."""

    def __init__(
        self,
        *,
        foundation: str,
        priority: int,
        host: str,
        port: int,
        type: str,
        base: StunProtocol,
        related_address: str | None = None,
        related_port: int | None = None,
        url: str | None = None,
        relay_protocol: Transport | None = None,
        network_type: NetworkType = NetworkType.UNKNOWN,
        local_preference: int = 65535,
    ) -> None:
        super().__init__(
            foundation=foundation,
            component=1,
            transport="udp",
            priority=priority,
            host=host,
            port=port,
            type=type,
            related_address=related_address,
            related_port=related_port,
        )
        self.base = base
        self.url = url
        self.relay_protocol = relay_protocol
        self.network_type = network_type
        self.local_preference = local_preference

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port
