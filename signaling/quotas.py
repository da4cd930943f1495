"""Quotas for each client address: sockets, seats, rooms, joins. No I/O: time is passed in.

An IPv6 address is counted as its /64 network, the smallest that a customer is given (RFC 6177). An
IPv4-mapped IPv6 address is counted as the IPv4 address.
"""

import ipaddress
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from icefloe._util.token_bucket import TokenBucket

_MAX_BUCKETS = 10_000
"""Addresses whose joins are counted; the address whose last join is oldest is dropped first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressLimits:
    """Limits for each client address; ``None`` is no limit.

    Attributes:
        sockets: TCP connections, including those that have sent nothing yet.
        seats: Participants, including those that are away.
        rooms: Rooms that clients of the address have created, by joining first.
        joins: Joins per minute on average; as many may come at once.
    """

    sockets: int | None = 200
    seats: int | None = 200
    rooms: int | None = 100
    joins: int | None = 600

    def __post_init__(self) -> None:
        for name in ("sockets", "seats", "rooms", "joins"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"`{name}` must be at least 1, or None for no limit")

    @classmethod
    def unlimited(cls) -> Self:
        """Return no limits: behind a proxy all clients have the address of the proxy."""
        return cls(sockets=None, seats=None, rooms=None, joins=None)


@lru_cache(maxsize=256)
def network_of(address: str) -> str:
    """Return the network that an IP address is counted as; any other string is returned as it is.

    Args:
        address: An IPv4 or IPv6 address, with or without a scope; empty if unknown.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.IPv6Network((ip, 64), strict=False))
    return str(ip)


class Tally:
    """Counts the resources that each network holds, up to a limit.

    Args:
        limit: The largest number for one network; ``None`` for no limit.

    Attributes:
        refused: The number of refusals.
    """

    def __init__(self, limit: int | None) -> None:
        self.refused: int = 0
        self._limit = limit
        self._held: Counter[str] = Counter()

    @property
    def most(self) -> int:
        """The number that the network holds which holds most."""
        return max(self._held.values(), default=0)

    def has_room(self, network: str) -> bool:
        """Return whether a network may hold one more, and count a refusal.

        The unknown address, ``""``, is not limited.
        """
        if self._limit is None or not network or self._held[network] < self._limit:
            return True
        self.refused += 1
        return False

    def add(self, network: str) -> None:
        """Count one more."""
        self._held[network] += 1

    def remove(self, network: str) -> None:
        """Count one less."""
        self._held[network] -= 1
        if self._held[network] <= 0:
            del self._held[network]


class JoinRate:
    """Rate limit on the joins from each network.

    Args:
        joins: Joins per minute on average, and joins at once; ``None`` for no limit.

    Attributes:
        refused: The number of refusals.
    """

    def __init__(self, joins: int | None) -> None:
        self.refused: int = 0
        self._joins = joins
        self._buckets: dict[str, TokenBucket] = {}

    def allow(self, network: str, now: float) -> bool:
        """Return whether a join is within the limit, and count it if it is.

        Args:
            network: The network, as :func:`network_of` returns it.
            now: Seconds on a monotonic clock.
        """
        if self._joins is None or not network:
            return True
        # Removed and inserted again, so that the least recently used bucket is the first.
        bucket = self._buckets.pop(network, None)
        if bucket is None:
            bucket = TokenBucket(self._joins / 60, self._joins, now)
            if len(self._buckets) >= _MAX_BUCKETS:
                del self._buckets[next(iter(self._buckets))]
        self._buckets[network] = bucket
        if bucket.wait(now):
            self.refused += 1
            return False
        bucket.take(1, now)
        return True
