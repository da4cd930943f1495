"""How much of a server one network address may take. No I/O: time comes in.

An address stands for whoever can be behind it: of IPv6 that is a network of 64 bits, which is the
least that a customer is given (RFC 6177), and an IPv4 address written as IPv6 is that IPv4 address.
"""

import ipaddress
from collections import Counter
from dataclasses import dataclass
from typing import Self

from icefloe._util.token_bucket import TokenBucket

_BUCKETS = 10_000
"""Addresses whose joins are counted at a time; those that were quiet longest are forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressLimits:
    """What one address may have at a time; ``None`` is as much as there is.

    Attributes:
        sockets: TCP connections, those included that have said nothing yet.
        seats: Participants, those who are away included.
        rooms: Rooms that it was the first to enter.
        joins: Joins a minute in the long run; as many may come at once.
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
        """Return none: for a server behind a proxy, whose address all of its users have."""
        return cls(sockets=None, seats=None, rooms=None, joins=None)


def network_of(address: str) -> str:
    """Return what an address counts as; what is no IP address, such as nothing, counts as it is."""
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
    """Counts something of each address, up to a limit.

    Args:
        limit: How many of it one address may have; ``None`` is any number.

    Attributes:
        refused: How often somebody had as many as may be.
    """

    def __init__(self, limit: int | None) -> None:
        self.refused = 0
        self._limit = limit
        self._held: Counter[str] = Counter()

    def has_room(self, network: str) -> bool:
        """Return whether an address may have one more; a refusal is counted.

        One that is not known, which is empty, may.
        """
        if self._limit is None or not network or self._held[network] < self._limit:
            return True
        self.refused += 1
        return False

    def add(self, network: str) -> None:
        """Note one more."""
        self._held[network] += 1

    def remove(self, network: str) -> None:
        """Note one less."""
        self._held[network] -= 1
        if self._held[network] <= 0:
            del self._held[network]


class JoinRate:
    """Limits how often the clients at one address join.

    Args:
        joins: Joins a minute in the long run, and at once; ``None`` is any number.

    Attributes:
        refused: How often it was too often.
    """

    def __init__(self, joins: int | None) -> None:
        self.refused = 0
        self._joins = joins
        self._buckets: dict[str, TokenBucket] = {}

    def takes(self, network: str, now: float) -> bool:
        """Return whether a join is not too much; it then counts."""
        if self._joins is None or not network:
            return True
        # Taken out and put in again, so that the one that was quiet longest is the first.
        bucket = self._buckets.pop(network, None)
        if bucket is None:
            bucket = TokenBucket(self._joins / 60, self._joins, now)
            if len(self._buckets) >= _BUCKETS:
                del self._buckets[next(iter(self._buckets))]
        self._buckets[network] = bucket
        if bucket.wait(now):
            self.refused += 1
            return False
        bucket.take(1, now)
        return True
