"""Admission of TCP connections before they have authenticated. No I/O."""

import ipaddress
from collections import Counter
from typing import Generic, TypeVar

MAX_UNAUTHENTICATED = 256
"""Maximum number of connections of a listener that have not authenticated; for a further one the
oldest is closed."""

MAX_UNAUTHENTICATED_PER_SOURCE = 32
"""Maximum number of them from one IPv4 address or one IPv6 /64 network; for a further one the
oldest from there is closed."""

AUTHENTICATION_TIMEOUT = 5.0
"""Seconds within which a connection must have authenticated; otherwise it is closed."""

C = TypeVar("C")


class Admission(Generic[C]):
    """The connections of a listener that have not authenticated, the oldest first."""

    def __init__(self) -> None:
        self._arrivals: dict[C, tuple[str, float]] = {}
        self._counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._arrivals)

    def admit(self, connection: C, host: str, now: float) -> C | None:
        """Take a new connection.

        Args:
            connection: The connection.
            host: Its source address.
            now: The time, in seconds.

        Returns:
            Another connection that is to be closed for it.
        """
        source = source_of(host)
        displaced: C | None = None
        if self._counts[source] >= MAX_UNAUTHENTICATED_PER_SOURCE:
            displaced = next(c for c, (of, _) in self._arrivals.items() if of == source)
        elif len(self._arrivals) >= MAX_UNAUTHENTICATED:
            displaced = next(iter(self._arrivals))
        if displaced is not None:
            self.forget(displaced)
        self._arrivals[connection] = source, now
        self._counts[source] += 1
        return displaced

    def forget(self, connection: C) -> bool:
        """Remove a connection that has authenticated or is closed; return whether it was there."""
        arrival = self._arrivals.pop(connection, None)
        if arrival is None:
            return False
        self._counts[arrival[0]] -= 1
        if not self._counts[arrival[0]]:
            del self._counts[arrival[0]]
        return True

    @property
    def deadline(self) -> float:
        """Time when the oldest connection is too late; infinite if there is none."""
        oldest = next(iter(self._arrivals.values()), None)
        return float("inf") if oldest is None else oldest[1] + AUTHENTICATION_TIMEOUT

    def expired(self, now: float) -> list[C]:
        """Remove and return the connections that are too late."""
        late = []
        for connection, (_, since) in self._arrivals.items():
            if now < since + AUTHENTICATION_TIMEOUT:
                break
            late.append(connection)
        for connection in late:
            self.forget(connection)
        return late


def source_of(host: str) -> str:
    """Return what an address is counted as: an IPv6 address is its /64 network.

    The smallest network that a customer is given (RFC 6177).
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.version == 4:
        return str(address)
    return str(ipaddress.IPv6Network((int(address), 64), strict=False))
