"""Addresses of candidates as signs of NATs, containers and private networks."""

import ipaddress
from collections.abc import Iterable

from ..ice.facts import CandidateFacts

_CONTAINERS = ipaddress.ip_network("172.16.0.0/12")
"""Networks that Docker takes by default: two machines that both have 172.17.0.2 share nothing."""

_SHARED = ipaddress.ip_network("100.64.0.0/10")
"""Addresses of a provider's NAT (RFC 6598)."""

_SAME_NETWORK = {4: 16, 6: 64}
"""Bits of a prefix that two private addresses of one network have in common."""


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def is_private(address: str) -> bool:
    """Return whether an address is of a private network; an mDNS name is."""
    parsed = _parsed(address)
    return parsed is None or parsed.is_private or (parsed.version == 4 and parsed in _SHARED)


def are_unreachable(own: Iterable[CandidateFacts], others: Iterable[CandidateFacts]) -> bool:
    """Return whether one side has only private addresses, and none of the other side's networks."""
    own, others = tuple(own), tuple(others)
    if not own or not all(c.type == "host" and is_private(c.address) for c in own):
        return False
    mine = {network for c in own if (network := _network(c.address)) is not None}
    return not any(_network(c.address) in mine for c in others if c.type == "host")


def _network(address: str) -> object:
    """Return the network of a private address that others may share; ``None`` if nobody does."""
    parsed = _parsed(address)
    if parsed is None or not is_private(address) or parsed in _CONTAINERS:
        return None
    if parsed.is_loopback:
        return "loopback"
    return ipaddress.ip_network((parsed, _SAME_NETWORK[parsed.version]), strict=False)


def is_behind_nat(candidates: Iterable[CandidateFacts]) -> bool:
    """Return whether a side has a reflexive address, and no public one of its own."""
    candidates = tuple(candidates)
    return any(c.type in ("srflx", "prflx") for c in candidates) and not any(
        c.type == "host" and not is_private(c.address) for c in candidates
    )


def maps_by_destination(candidates: Iterable[CandidateFacts]) -> bool:
    """Return whether two servers saw one socket at different ports.

    RFC 4787 section 4.1: address-dependent mapping, as of a "symmetric" NAT. With a single STUN
    server it does not show.
    """
    seen: dict[tuple[str, tuple[str, int]], int] = {}
    for candidate in candidates:
        related = candidate.related
        if candidate.type not in ("srflx", "prflx") or related is None or not related[1]:
            continue
        key = candidate.address, related
        if seen.setdefault(key, candidate.port) != candidate.port:
            return True
    return False
