"""Configuration of an ICE agent."""

import ipaddress
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .gather.interfaces import Selection

if TYPE_CHECKING:
    from .mux.udp_mux import UdpMux
    from .tcp.listening import Listening

MAX_REMOTES = 256
"""Default limit of remote candidates; further ones are ignored. Browsers send a few dozen."""


CONSENT_INTERVAL = 5.0
"""Seconds between checks of a path over which nothing is sent, on average (RFC 7675 section
5.1)."""

LONGEST_CONSENT_INTERVAL = 15.0
"""The most that may be set: a NAT may forget a binding after 30 s (RFC 4787 REQ-5), and consent
ends after as long."""


@dataclass(frozen=True, slots=True)
class IceConfiguration:
    """The settings of an ICE agent; times are in seconds.

    ``PeerConfiguration`` documents each setting for applications, and validates the values.
    """

    relay_only: bool = False
    """Gather and use only relayed candidates (``RTCIceTransportPolicy`` ``relay``)."""
    server_timeout: float = 5.0
    patience: float = 39.5
    checking_timeout: float = 60.0
    disconnected_timeout: float = 1.5
    failed_timeout: float = 25.0
    consent_interval: float = CONSENT_INTERVAL
    close_timeout: float = 0.5
    tls_context: ssl.SSLContext | None = None
    tls_ca_file: str | Path | None = None
    selection: Selection = field(default_factory=Selection)
    port_range: tuple[int, int] | None = None
    udp_mux: "UdpMux | None" = None
    external_addresses: Mapping[str | int, str] = field(default_factory=dict)
    """External addresses, as returned by :func:`external_pairs`."""
    external_as_host: bool = True
    """Announce external addresses as host candidates in place of the local addresses; otherwise
    as additional server-reflexive candidates."""
    hide_host_addresses: bool = False
    max_remote_candidates: int = MAX_REMOTES
    active_tcp: bool = False
    """Open TCP connections to passive candidates of the remote peer (RFC 6544)."""
    tcp_mux: "Listening | None" = None
    """Listener for passive TCP candidates."""


def external_pairs(addresses: Mapping[str, str] | Sequence[str]) -> dict[str | int, str]:
    """Parse ``external_addresses``.

    Args:
        addresses: A mapping from local to external address, or a sequence with at most one
            external address of each IP version, which applies to all local addresses.

    Returns:
        External addresses in canonical form. The key is the local address, or the IP version (4 or
        6) for an external address that applies to all local addresses.

    Raises:
        ValueError: An entry is not an IP address, the two addresses of a pair have different IP
            versions, or a sequence has two addresses of one IP version.
    """
    pairs: dict[str | int, str] = {}
    if isinstance(addresses, str):
        raise ValueError(f"give a sequence of addresses, for example ({addresses!r},)")
    if isinstance(addresses, Mapping):
        for local, external in addresses.items():
            inside, outside = ipaddress.ip_address(local), ipaddress.ip_address(external)
            if inside.version != outside.version:
                raise ValueError(f"{local} and {external} are of different IP versions")
            pairs[str(inside)] = str(outside)
        return pairs
    for external in addresses:
        outside = ipaddress.ip_address(external)
        if outside.version in pairs:
            raise ValueError(
                f"there are two external addresses for IPv{outside.version}; give a mapping"
            )
        pairs[outside.version] = str(outside)
    return pairs
