"""The configuration of an ICE agent."""

import ipaddress
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .gather.interfaces import Selection

MAX_REMOTES = 256
"""Remote candidates that are kept by default; more are ignored. Browsers send a few dozen."""


@dataclass(frozen=True, slots=True)
class IceConfiguration:
    """The settings of an ICE agent; times are in seconds.

    ``PeerConfiguration`` documents each of them for applications, and checks them.
    """

    relay_only: bool = False
    """Gather and use relayed candidates alone (``RTCIceTransportPolicy`` ``relay``)."""
    server_timeout: float = 5.0
    patience: float = 39.5
    checking_timeout: float = 60.0
    disconnected_timeout: float = 1.5
    failed_timeout: float = 25.0
    close_timeout: float = 0.5
    tls_context: ssl.SSLContext | None = None
    tls_ca_file: str | Path | None = None
    selection: Selection = field(default_factory=Selection)
    port_range: tuple[int, int] | None = None
    external_addresses: Mapping[str | int, str] = field(default_factory=dict)
    """As :func:`external_pairs` reads them."""
    external_as_host: bool = True
    """Announce external addresses in the place of the local ones, not beside them."""
    hide_host_addresses: bool = False
    max_remote_candidates: int = MAX_REMOTES


def external_pairs(addresses: Mapping[str, str] | Sequence[str]) -> dict[str | int, str]:
    """Read ``externalAddresses``.

    Returns:
        External addresses in canonical form, by local address, or by IP version for those that
        stand for all local addresses.

    Raises:
        ValueError: One of them is no IP address, or the two of a pair are of different versions.
    """
    pairs: dict[str | int, str] = {}
    if isinstance(addresses, str):
        raise ValueError(f"give a sequence of addresses, as ({addresses!r},)")
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
            raise ValueError(f"there are two for IPv{outside.version}; give a mapping")
        pairs[outside.version] = str(outside)
    return pairs
