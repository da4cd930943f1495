"""ICE servers for a participant, with credentials that expire, and their renewal. No I/O.

:mod:`.ice_access_service` has the timers and the calls of a provider.
"""

import heapq
import math
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from msgspec import UNSET

from .messages import IceServer, NewIceServers

LONGEST_PROVIDER_TIMEOUT = 8.0
"""The longest time in seconds that a provider of ICE servers may have. A ``join`` waits for it, and
a client gives up after 10 s."""

MAX_URLS = 32
"""The most URLs that a provider may return, and that ``turn`` may have: clients use no more."""

MAX_PROVIDED_CHARACTERS = 16_384
"""The most characters of all that a provider returns: each ``joined`` has it."""

_MARGIN = 90.0
"""Seconds before credentials expire at which they are renewed. It is earlier than clients do it by
themselves (:func:`.timing.until_renewal`), and has to cover the difference of clocks and the time
that a call needs for another path."""

_SHORT_PART = 0.4
"""Part of a lifetime after which short-lived credentials are renewed, if that is later."""

_SPREAD = 0.1
"""Part of the time until a renewal by which it may be earlier, at random: after a restart of the
server all its clients join at once, and must not renew at once for ever."""

_MIN_PAUSE = 1.0
"""Seconds between two renewals for a client, at least."""

_LONGEST_PAUSE = 86_400.0
"""Seconds until a renewal, at most."""

_LONGEST_LIFETIME = 366 * 86_400.0
"""Lifetimes in seconds above which credentials are taken to hold no longer than this."""

RETRY_PAUSE = 10.0
"""Seconds until a provider is asked again that has failed."""


@dataclass(frozen=True, slots=True)
class IceRequest:
    """The participant for whom a provider is to return ICE servers.

    Attributes:
        room: The room.
        name: The name that the participant asked for.
    """

    room: str
    name: str


@dataclass(frozen=True, slots=True)
class IceAccess:
    """ICE servers for one participant.

    Attributes:
        ice_servers: The STUN and TURN servers, with credentials.
        lifetime: Seconds for which the credentials hold; ``None`` for ever.
    """

    ice_servers: tuple[IceServer, ...]
    lifetime: float | None = None

    def __post_init__(self) -> None:
        servers = tuple(self.ice_servers)
        if not all(isinstance(server, IceServer) for server in servers):
            raise ValueError("`ice_servers` must be icefloe.signaling.IceServer")
        if not all(isinstance(server.urls, str | list) for server in servers):
            raise ValueError("`urls` must be text, or a list of it")
        texts = [text for server in servers for text in _texts(server)]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("URLs, user names and credentials must be text")
        if sum(map(len, texts)) > MAX_PROVIDED_CHARACTERS:
            raise ValueError(f"`ice_servers` has more than {MAX_PROVIDED_CHARACTERS} characters")
        if sum(map(len, map(_urls, servers))) > MAX_URLS:
            raise ValueError(f"`ice_servers` has more than {MAX_URLS} URLs")
        lifetime = self.lifetime
        if lifetime is not None and not (math.isfinite(lifetime) and lifetime > 0):
            raise ValueError("`lifetime` must be positive, or None")


IceProvider = Callable[[IceRequest], IceAccess | Awaitable[IceAccess]]
"""Returns ICE servers for a participant."""


def _urls(server: IceServer) -> list[str]:
    return [server.urls] if isinstance(server.urls, str) else list(server.urls)


def _texts(server: IceServer) -> list[str]:
    secrets = (server.username, server.credential)
    return [*_urls(server), *(text for text in secrets if text is not None)]


@dataclass(frozen=True, slots=True)
class Held:
    """ICE servers that a client has, and until when.

    Attributes:
        ice_servers: The servers.
        expires: The time at which their credentials expire, in seconds since the epoch; ``None``
            for never.
    """

    ice_servers: tuple[IceServer, ...] = ()
    expires: int | None = None

    @classmethod
    def since(cls, access: IceAccess, now: float) -> "Held":
        """Return what a client has that is given ICE servers now.

        Args:
            access: The servers.
            now: Seconds since the epoch.
        """
        if access.lifetime is None:
            return cls(tuple(access.ice_servers))
        return cls(tuple(access.ice_servers), int(now + min(access.lifetime, _LONGEST_LIFETIME)))

    def holds(self, now: float) -> bool:
        """Return whether the credentials have not expired."""
        return self.expires is None or now < self.expires

    @property
    def message(self) -> NewIceServers:
        """The message that brings them to a client that has joined."""
        return NewIceServers(
            list(self.ice_servers), UNSET if self.expires is None else self.expires
        )


def combine(parts: Iterable[Held]) -> Held:
    """Return all servers of some parts, which expire when the first of them does."""
    held = list(parts)
    ends = [part.expires for part in held if part.expires is not None]
    servers = tuple(server for part in held for server in part.ice_servers)
    return Held(servers, min(ends, default=None))


def until_renewal(lifetime: float, rng: Callable[[], float] = random.random) -> float:
    """Return the seconds after which credentials are to be renewed.

    Args:
        lifetime: Seconds for which they hold.
        rng: Returns random numbers from 0 to 1.
    """
    pause = max(lifetime - _MARGIN, lifetime * _SHORT_PART)
    return min(max(pause * (1 - _SPREAD * rng()), _MIN_PAUSE), _LONGEST_PAUSE)


class RenewalTimes:
    """The times at which the credentials of each connection are to be renewed."""

    def __init__(self) -> None:
        self._due: dict[int, float] = {}
        # Has outdated entries too: those that differ from what is in the dictionary.
        self._heap: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._due)

    def set(self, connection: int, due: float) -> None:
        """Set the time for a connection, in place of the one that was set before.

        Args:
            connection: Its number.
            due: Seconds on a monotonic clock, here as in all methods.
        """
        self._due[connection] = due
        heapq.heappush(self._heap, (due, connection))
        if len(self._heap) > 2 * len(self._due) + 64:
            self._heap = [(due, connection) for connection, due in self._due.items()]
            heapq.heapify(self._heap)

    def forget(self, connection: int) -> None:
        """Remove a connection; nothing happens if there is none."""
        self._due.pop(connection, None)

    @property
    def deadline(self) -> float:
        """The earliest time; infinite if there is none."""
        self._drop_outdated()
        return self._heap[0][0] if self._heap else math.inf

    def take_due(self, now: float) -> list[int]:
        """Remove and return the connections whose time has come."""
        due = []
        while self.deadline <= now:
            _, connection = heapq.heappop(self._heap)
            del self._due[connection]
            due.append(connection)
        return due

    def _drop_outdated(self) -> None:
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
