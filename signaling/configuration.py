"""Settings of the signaling server: limits, admission of participants, ICE servers, rates."""

import importlib.util
import ipaddress
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum

from .errors import ErrorCode
from .ice_access import LONGEST_PROVIDER_TIMEOUT, MAX_URLS, IceProvider
from .messages import IceServer, Join
from .quotas import AddressLimits
from .rights import Right
from .token_keys import TokenKeys
from .turn_credentials import TurnServers
from .webhooks import Webhooks


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
        rights: What the participant may do; ``None`` for the rights of its join token, or if the
            server has no tokens, to join and to send media.
        token_id: The id of the token that it came with. After it was removed from a room, this id
            is refused there. Set by the server if that has token keys.
        token_seconds: Seconds until the token expires, for which its id has to be remembered.
    """

    ice_servers: tuple[IceServer, ...] = ()
    expires: int | None = None
    rename: bool = False
    rights: frozenset[Right] | None = None
    token_id: str = ""
    token_seconds: float = float("inf")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A join that is refused, with the reason."""

    code: ErrorCode
    reason: str


class ProxyHeader(StrEnum):
    """A header in which a reverse proxy says whose request it passes on."""

    X_FORWARDED_FOR = "x-forwarded-for"
    """A list of addresses, to which each proxy appends that of its client."""

    FORWARDED = "forwarded"
    """The header of RFC 7239."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxies:
    """The reverse proxies in front of a server, whose word on the client's address is taken.

    Attributes:
        header: The header that they set. Only this one is read: a proxy passes on what a client
            has written into the other one.
        networks: The addresses of the proxies, as ``10.0.0.0/8``. From any other address the header
            is ignored.
    """

    header: ProxyHeader = ProxyHeader.X_FORWARDED_FOR
    networks: tuple[str, ...] = ("127.0.0.0/8", "::1/128")

    def __post_init__(self) -> None:
        for network in self.networks:
            ipaddress.ip_network(network)  # raises ValueError


_SCHEMES = ("redis", "rediss", "unix")
_PREFIX = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisConfiguration:
    """The Redis through which several signaling servers act as one.

    Attributes:
        url: Where it is: ``redis://``, ``rediss://`` for TLS, or ``unix://``, with the password if
            it has one. The library redis-py reads it.
        prefix: The first part of the names of all keys. Servers with the same prefix act as one.
    """

    url: str = field(repr=False)
    prefix: str = "icefloe"

    def __post_init__(self) -> None:
        if self.url.partition("://")[0].lower() not in _SCHEMES:
            raise ValueError("the URL of Redis must begin with redis://, rediss:// or unix://")
        if not _PREFIX.fullmatch(self.prefix):
            raise ValueError(
                "the prefix of keys in Redis must have 1 to 64 letters, digits and . : _ -"
            )
        if importlib.util.find_spec("redis") is None:
            raise ValueError(
                "the library for Redis is missing: install it with pip install 'icefloe[redis]'"
            )
        from redis.asyncio import ConnectionPool  # slow, and needed by few

        try:
            ConnectionPool.from_url(self.url)
        except ValueError:
            # Its text may quote a part of the URL.
            raise ValueError("the URL of Redis is not valid") from None


SHORTEST_METRICS_TOKEN = 16
"""Characters of the token that reads ``/metrics``, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsAccess:
    """Access to ``/metrics``: for this machine alone, if nothing else is said.

    A request that a reverse proxy has passed on counts as one of its client. If the server is not
    told of :class:`Proxies`, a request that names one is refused unless it has the token.

    Attributes:
        networks: The addresses that may read it, as ``10.0.0.0/8``.
        token: A secret that admits from everywhere, in ``Authorization: Bearer``; ``None`` for
            none.
    """

    networks: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for network in self.networks:
            ipaddress.ip_network(network)  # raises ValueError
        if self.token is not None and len(self.token) < SHORTEST_METRICS_TOKEN:
            raise ValueError(
                f"the token for /metrics must have at least {SHORTEST_METRICS_TOKEN} characters"
            )


Admit = Callable[[Join], Admission | Awaitable[Admission | None] | None]
"""A function, or a coroutine function, that decides who may join."""


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
        token_keys: The keys of join tokens. With them a ``join`` needs a token that one of them has
            signed; one that resumes a seat does not, since the secret of the seat is enough.
        audience: The audience that a join token must be for; ``None`` takes tokens for any.
        admit: Function called for each ``join``, including one that resumes a seat, after its token
            was verified if there are ``token_keys``. It returns an :class:`Admission`, or ``None``
            to refuse. Without it every client may join and is given ``ice_servers``. It may be a
            coroutine function; one that is not has to be quick, as it is called on the event loop.
            What it raises refuses the join as ``admission-failed`` and is logged, except for
            :exc:`TokenRefused` and :exc:`JoinRefused`, which refuse it with their own code.
        admit_timeout: Seconds that ``admit`` may take, waiting for its turn included.
        admits_at_once: Calls of a coroutine ``admit`` that run at the same time.
        first_moderates: Whether the first participant of a room moderates it, if neither a token
            nor ``admit`` says who does. When it leaves, the one that has been there longest does.
        proxies: The reverse proxies in front of the server; ``None`` for none.
        redis: The Redis through which this server and others act as one; ``None`` for a server that
            runs alone. All of them need the same ``limits``, ``first_moderates`` and
            ``client_reports``.
        webhooks: Where joins and leaves are posted to; ``None`` for nowhere.
        rate: Messages per second that a connection may send on average. The server reads more
            slowly from a connection that sends faster. A message counts as one more for every 2048
            bytes of its size.
        burst: Messages that a connection may send at once.
        ping_interval: Seconds between the pings to a client.
        ping_timeout: Seconds to wait for the answer to a ping.
        shutdown_timeout: Seconds that closing the server may take.
        drain_seconds: Seconds over which :meth:`SignalingServer.drain` sends the clients away.
        reuse_port: Whether several processes may listen on the port at a time (``SO_REUSEPORT``),
            among which the kernel spreads the connections: the next one can start while this one
            drains. Not on Windows.
        metrics: Who may read ``/metrics``.
        client_reports: Whether clients are asked to report how connecting with their peers went,
            for the metrics. What they report is checked and bounded, and has no addresses.
    """

    limits: Limits = field(default_factory=Limits)
    connections: int = 1000
    origins: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    ice_servers: tuple[IceServer, ...] = ()
    token_keys: TokenKeys | None = None
    audience: str | None = None
    admit: Admit | None = None
    admit_timeout: float = 5.0
    admits_at_once: int = 32
    first_moderates: bool = False
    turn: tuple[TurnServers, ...] = ()
    ice_provider: IceProvider | None = None
    ice_provider_timeout: float = 3.0
    proxies: Proxies | None = None
    redis: RedisConfiguration | None = None
    webhooks: Webhooks | None = None
    rate: float = 30.0
    burst: float = 300.0
    ping_interval: float = 20.0
    ping_timeout: float = 40.0
    shutdown_timeout: float = 5.0
    drain_seconds: float = 2.0
    reuse_port: bool = False
    metrics: MetricsAccess = field(default_factory=MetricsAccess)
    client_reports: bool = True

    def __post_init__(self) -> None:
        numbers = (self.rate, self.burst, self.ping_interval, self.ping_timeout)
        if not 0 < self.ice_provider_timeout <= LONGEST_PROVIDER_TIMEOUT:
            raise ValueError(
                "`ice_provider_timeout` must be positive and at most "
                f"{LONGEST_PROVIDER_TIMEOUT:g} s: a `join` waits for it"
            )
        if sum(len(servers.urls) for servers in self.turn) > MAX_URLS:
            raise ValueError(f"`turn` has more than {MAX_URLS} URLs, of which clients use no more")
        times = (self.shutdown_timeout, self.admit_timeout)
        if not self.drain_seconds >= 0:
            raise ValueError("`drain_seconds` must not be negative")
        if min(*numbers, *times) <= 0 or min(self.connections, self.admits_at_once) < 1:
            raise ValueError(
                "`connections`, `rate`, `burst`, `ping_interval`, `ping_timeout`, "
                "`shutdown_timeout`, `admit_timeout` and `admits_at_once` of the signaling server "
                "must be positive"
            )
