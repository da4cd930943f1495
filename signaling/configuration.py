"""Settings of the signaling server: limits, admission of participants, ICE servers, rates."""

from collections.abc import Callable
from dataclasses import dataclass, field

from .ice_access import LONGEST_PROVIDER_TIMEOUT, MAX_URLS, IceProvider
from .messages import IceServer, Join
from .quotas import AddressLimits
from .turn_credentials import TurnServers


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits on rooms and their participants.

    Attributes:
        members: Participants in one room, including those that are away.
        rooms: Rooms on the server.
        away_seconds: Seconds for which a seat is kept without a connection.
        join_seconds: Seconds that a new connection has to join.
        name_seconds: Seconds that a newcomer waits for the name of a participant that is away and
            was at the same address. During this time the seat may still be resumed. A newcomer
            from another address does not get the name.
        address: Limits for each client address.
    """

    members: int = 32
    rooms: int = 1000
    away_seconds: float = 30.0
    join_seconds: float = 10.0
    name_seconds: float = 1.0
    address: AddressLimits = field(default_factory=AddressLimits)

    def __post_init__(self) -> None:
        if min(self.members, self.rooms) < 1:
            raise ValueError("`members` and `rooms` must be at least 1")
        if min(self.away_seconds, self.join_seconds, self.name_seconds) <= 0:
            raise ValueError("`away_seconds`, `join_seconds` and `name_seconds` must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Permission to join, and the ICE servers that come with it.

    Attributes:
        ice_servers: The STUN and TURN servers to use.
        expires: The time at which the credentials of the ICE servers expire, in seconds since the
            epoch; ``None`` for never.
        rename: Whether the server may add a number to the name if the name is taken and the client
            asks for that (``rename`` of its ``join``). Leave it off if the token names the
            participant.
    """

    ice_servers: tuple[IceServer, ...] = ()
    expires: int | None = None
    rename: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfiguration:
    """The settings of a signaling server.

    Attributes:
        limits: Limits on rooms, participants and client addresses.
        connections: The largest number of WebSocket connections.
        origins: Origins, as ``https://example.org``, whose pages may connect in addition to the
            server's own pages. A client that sends no ``Origin``, such as a program that is not a
            browser, may always connect.
        hosts: Host names under which the server may be addressed, as ``call.example.org`` or
            ``*.example.org``. The name of this machine, the host that the server listens on,
            ``localhost`` and all IP addresses are always allowed. HTTP requests for any other name
            are refused, including those for pages and metrics. ``*`` allows every name.
        ice_servers: The STUN and TURN servers given to all clients.
        turn: TURN servers for which each participant is given credentials of its own that expire,
            in addition to ``ice_servers`` or those of its :class:`Admission`.
        ice_provider: Function that returns further ICE servers for a participant, for example with
            credentials from the API of a provider of TURN; it may be a coroutine function. It is
            called when somebody who was admitted joins, and again before what it returned expires.
            If it fails, or takes longer than ``ice_provider_timeout``, the participant joins
            without them, and is given them as soon as a later call succeeds.
        ice_provider_timeout: Seconds that ``ice_provider`` may take, including the time that it
            waits because 32 calls are running.
        admit: Function called for each ``join``, including one that resumes a seat. It returns an
            :class:`Admission`, or ``None`` to refuse. Without it every client may join and is given
            ``ice_servers``. It is called on the event loop, so it must be quick.
        rate: Messages per second that a connection may send on average. The server reads more
            slowly from a connection that sends faster. A message counts as one more for every 2048
            bytes of its size.
        burst: Messages that a connection may send at once.
        ping_interval: Seconds between the pings to a client.
        ping_timeout: Seconds to wait for the answer to a ping.
        shutdown_timeout: Seconds that closing the server may take.
    """

    limits: Limits = field(default_factory=Limits)
    connections: int = 1000
    origins: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    ice_servers: tuple[IceServer, ...] = ()
    turn: tuple[TurnServers, ...] = ()
    ice_provider: IceProvider | None = None
    ice_provider_timeout: float = 3.0
    admit: Callable[[Join], Admission | None] | None = None
    rate: float = 30.0
    burst: float = 300.0
    ping_interval: float = 20.0
    ping_timeout: float = 40.0
    shutdown_timeout: float = 5.0

    def __post_init__(self) -> None:
        numbers = (self.rate, self.burst, self.ping_interval, self.ping_timeout)
        if not 0 < self.ice_provider_timeout <= LONGEST_PROVIDER_TIMEOUT:
            raise ValueError(
                "`ice_provider_timeout` must be positive and at most "
                f"{LONGEST_PROVIDER_TIMEOUT:g} s: a `join` waits for it"
            )
        if sum(len(servers.urls) for servers in self.turn) > MAX_URLS:
            raise ValueError(f"`turn` has more than {MAX_URLS} URLs, of which clients use no more")
        if min(*numbers, self.shutdown_timeout) <= 0 or self.connections < 1:
            raise ValueError(
                "`connections`, `rate`, `burst`, `ping_interval`, `ping_timeout` and "
                "`shutdown_timeout` of the signaling server must be positive"
            )
