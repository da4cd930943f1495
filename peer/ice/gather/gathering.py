"""Gathering: the candidates of one generation, from the machine and from every server.

Host candidates come at once. Servers are asked all at the same time, each with its own deadline:
one that is dead, refuses, or has a name that does not resolve costs only itself, and is reported as
W3C's ``icecandidateerror`` has it.
"""

import asyncio
import ssl
from collections.abc import Callable

from aioice import stun
from aioice.ice import StunProtocol

from ..._util.peer_logger import NamingLogger
from ..configuration import IceConfiguration
from ..server_urls import SERVER_UNREACHABLE, RTCPeerConnectionIceErrorEvent, Server, Transport
from .host_candidates import SHARES_OF_PREFERENCE, HostSockets, gatherable
from .interfaces import Kind, read_interfaces
from .local_candidate import Foundations, LocalCandidate, network_type
from .resolver import family, resolve
from .server_query import (
    FAILURES,
    Allocation,
    Relaying,
    describe_failure,
    mapped_address,
    tls_context,
    unusable,
)

logger = NamingLogger(__name__)

KEEPALIVE = 15.0
"""Seconds between two packets that keep a NAT's binding (RFC 8445 section 11)."""

AGAIN = 0.5
"""Seconds before a TURN server that was not reached is asked again."""

LAST_CHANCE = 1.0
"""Seconds that a server's other IP version has once one of them gave a relay."""

_RELAY_PREFERENCE = {Transport.UDP: 49151, Transport.TCP: 32767, Transport.TLS: 16383}
"""Local preferences: each layer between server and client adds delay."""


class Gathering:
    """Gathers the candidates of one generation.

    Args:
        configuration: The settings. Under the ``relay`` policy there are no host candidates,
            and STUN servers are not asked (RFC 9429 section 3.5.3).
        servers: Its STUN and TURN servers.
        protocol_factory: Makes the protocol that speaks ICE over a socket or an allocation.
        on_candidate: Called with each candidate as it is found. Whoever is called owns the
            candidate's base from then on, and closes its transport; that a candidate is not wanted
            any more is no mistake.
        on_error: Called for each server that gave no candidate, for STUN once for each socket.
        on_relay_lost: Called with the base of a relay candidate and a sentence, if its server ends
            the allocation before it is closed. Its transport is closed then.
        credentials: Returns user name and password for a server; asked each time that a server
            wants them, so that new ones can replace those that expire. By default what the server's
            configuration says.
    """

    def __init__(
        self,
        configuration: IceConfiguration,
        servers: tuple[Server, ...],
        *,
        protocol_factory: Callable[[], StunProtocol],
        on_candidate: Callable[[LocalCandidate], None],
        on_error: Callable[[RTCPeerConnectionIceErrorEvent], None],
        on_relay_lost: Callable[[StunProtocol, str], None],
        credentials: Callable[[Server], tuple[str | None, str | None]] | None = None,
    ) -> None:
        self._configuration = configuration
        self._servers = servers
        self._protocol_factory = protocol_factory
        self._on_candidate = on_candidate
        self._on_error = on_error
        self._on_relay_lost = on_relay_lost
        self._credentials = credentials or (lambda server: (server.username, server.credential))
        self._relay_only = configuration.relay_only
        self._foundations = Foundations()
        self._hosts = HostSockets(configuration, self._foundations, protocol_factory)
        self._bases: list[StunProtocol] = []
        self._found: set[tuple[str, int, StunProtocol]] = set()
        self._shares: dict[StunProtocol, int] = {}
        self._kinds: dict[str, Kind] = {}
        self._unreached: set[Server] = set()
        self._mapped: dict[tuple[StunProtocol, tuple[str, int]], None] = {}

    async def open_host_sockets(self) -> None:
        """Open the sockets of the host candidates; never waits for the network.

        Cancellation: safe; candidates that were reported stay open.
        """
        if self._relay_only:
            return
        addresses = gatherable(self._configuration)
        self._kinds = {str(address): address.kind for address in addresses}
        await self._hosts.open(addresses, self._take_host)

    async def ask_servers(self, *, go_on: Callable[[], bool] = lambda: False) -> None:
        """Ask all servers at the same time; returns when all have answered or were given up.

        Args:
            go_on: Whether TURN servers that were not reached are asked again: in an outage their
                answer is the first sign that it is over. It is reported once.

        Cancellation: safe; allocations under way are given up.
        """
        if not self._kinds:
            self._kinds = {str(address): address.kind for address in read_interfaces()}
        async with asyncio.TaskGroup() as group:
            for index, server in enumerate(self._servers):
                if self._relay_only and not server.is_turn:
                    continue
                job = self._ask_until_reached(server, index, go_on)
                group.create_task(job, name="icefloe-ask-server")

    async def keep_alive(self) -> None:
        """Keep the NAT bindings of server-reflexive candidates until cancelled.

        Every 15 s a Binding request goes from each of their sockets to the server that told the
        address (RFC 8445 section 11), so that the binding lives until a slow answer comes.
        """
        while True:
            await asyncio.sleep(KEEPALIVE)
            self._mapped = {key: None for key in self._mapped if not key[0].transport.is_closing()}
            async with asyncio.TaskGroup() as group:
                for base, server in self._mapped:
                    group.create_task(_remind(base, server), name="icefloe-keep-alive")

    async def close(self) -> None:
        """Take back the mDNS names; sockets belong to who was told of them.

        A second call does nothing.
        """
        await self._hosts.names.close()

    # --- candidates

    def _take_host(self, candidate: LocalCandidate) -> None:
        if candidate.type == "host":
            self._bases.append(candidate.base)
        self._take(candidate)

    def _take(self, candidate: LocalCandidate) -> None:
        """Report a candidate unless it is redundant (RFC 8445 section 5.1.3)."""
        announced = candidate.announced()
        addresses = {(candidate.host, candidate.port, candidate.base)}
        if announced is not None:
            addresses.add((announced.host, announced.port, candidate.base))
        if self._found.isdisjoint(addresses):
            self._found |= addresses
            self._on_candidate(candidate)

    def _report(self, server: Server, code: int, text: str, base: StunProtocol | None) -> None:
        if server in self._unreached:
            return
        if code == SERVER_UNREACHABLE and server.is_turn:
            self._unreached.add(server)
        event = RTCPeerConnectionIceErrorEvent(server.url, code, text, *_shown(base))
        logger.info("no candidate from %s: %d %s", event.url, event.errorCode, event.errorText)
        self._on_error(event)

    # --- servers

    async def _ask_until_reached(
        self, server: Server, index: int, go_on: Callable[[], bool]
    ) -> None:
        reached = await self._ask(server, index)
        while not reached and server in self._unreached and go_on():
            await asyncio.sleep(AGAIN)
            reached = await self._ask(server, index)

    async def _ask(self, server: Server, index: int) -> bool:
        """Ask a server; return whether a TURN server gave a relay."""
        timeout = self._configuration.server_timeout
        deadline = asyncio.get_running_loop().time() + timeout
        if problem := unusable(server):
            self._report(server, SERVER_UNREACHABLE, problem, None)
            return True  # asking again would change nothing
        try:
            async with asyncio.timeout_at(deadline):
                addresses = await resolve(server.host, server.port)
                context = await self._context_for(server)
        except FAILURES as error:
            self._report(server, *describe_failure(error, timeout), None)
            return False
        if server.is_turn:
            return await self._ask_turn(server, index, addresses, context, deadline)
        await self._ask_stun(server, addresses, deadline)
        return False

    async def _context_for(self, server: Server) -> ssl.SSLContext | None:
        if server.transport is not Transport.TLS:
            return None
        return self._configuration.tls_context or await tls_context(self._configuration.tls_ca_file)

    async def _ask_stun(self, server: Server, addresses: list[str], deadline: float) -> None:
        asked = False
        async with asyncio.TaskGroup() as group:
            for base in self._bases:
                version = family(base.local_candidate.host)
                same = [a for a in addresses if family(a) == version]
                if same and not base.transport.is_closing():
                    asked = True
                    job = self._ask_stun_from(base, server, same, deadline)
                    group.create_task(job, name="icefloe-ask-stun")
        if self._bases and not asked:
            versions = " and ".join(f"IPv{v}" for v in sorted({family(a) for a in addresses}))
            text = f"it has {versions} only, and this machine has not"
            self._report(server, SERVER_UNREACHABLE, text, None)

    async def _ask_stun_from(
        self, base: StunProtocol, server: Server, addresses: list[str], deadline: float
    ) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                mapped, address = await mapped_address(base, addresses, server.port)
        except FAILURES as error:
            failure = describe_failure(error, self._configuration.server_timeout)
            self._report(server, *failure, base)
            return
        local = base.local_candidate
        assert isinstance(local, LocalCandidate)
        share = self._shares[base] = self._shares.get(base, -1) + 1
        candidate = LocalCandidate(
            base=base,
            foundation=self._foundations.of("srflx", "udp", local.host, address),
            type="srflx",
            address=mapped,
            local_preference=max(local.local_preference - share * SHARES_OF_PREFERENCE, 0),
            related=(local.host, local.port),
            url=server.url,
            network_type=local.network_type,
            hides_related=_shown(base) == (None, None),
        )
        self._mapped[base, (address, server.port)] = None
        self._take(candidate)

    async def _ask_turn(
        self,
        server: Server,
        index: int,
        addresses: list[str],
        context: ssl.SSLContext | None,
        deadline: float,
    ) -> bool:
        relaying = Relaying(
            server,
            addresses,
            context=context,
            credentials=lambda: self._credentials(server),
            protocol_factory=self._protocol_factory,
            on_lost=self._on_relay_lost,
            close_timeout=self._configuration.close_timeout,
        )
        loop = asyncio.get_running_loop()
        failures: list[Exception] = []
        succeeded = asyncio.Event()

        async def ask(version: int) -> None:
            try:
                async with asyncio.timeout_at(deadline) as limits[version]:
                    allocation = await relaying.allocate(version)
            except FAILURES as error:
                failures.append(error)
                return
            finally:
                del limits[version]
            succeeded.set()
            for limit in limits.values():
                if not limit.expired():
                    limit.reschedule(min(deadline, loop.time() + LAST_CHANCE))
            self._take_relay(allocation, server, index * 2 + (version == 4))

        limits: dict[int, asyncio.Timeout] = {}
        async with asyncio.TaskGroup() as group:
            for version in relaying.wanted():
                group.create_task(ask(version), name=f"icefloe-ask-turn-ipv{version}")
        if not succeeded.is_set():
            failure = describe_failure(failures[-1], self._configuration.server_timeout)
            self._report(server, *failure, None)
        return succeeded.is_set()

    def _take_relay(self, allocation: Allocation, server: Server, rank: int) -> None:
        transport, protocol = allocation
        relayed = transport.get_extra_info("sockname")
        local = transport.get_extra_info("local_address")
        candidate = LocalCandidate(
            base=protocol,
            foundation=self._foundations.of("relay", server.transport, relayed[0], server.host),
            type="relay",
            address=relayed,
            local_preference=max(_RELAY_PREFERENCE[server.transport] - rank, 0),
            related=transport.get_extra_info("related_address"),
            url=server.url,
            relay_protocol=server.transport,
            network_type=network_type(self._kinds.get(local[0]) if local else None),
            hides_related=self._relay_only,
        )
        protocol.local_candidate = candidate
        self._take(candidate)


def _shown(base: StunProtocol | None) -> tuple[str | None, int | None]:
    """Return the address and port of a socket as far as the other side is told of them."""
    local = base.local_candidate if base is not None else None
    announced = local.announced() if isinstance(local, LocalCandidate) else None
    if local is None or announced is None or announced.host != local.host:
        return None, None
    return local.host, local.port


async def _remind(base: StunProtocol, server: tuple[str, int]) -> None:
    request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    try:
        await base.request(request, server, retransmissions=1)
    except (OSError, stun.TransactionError) as error:
        logger.debug("no answer to a keepalive from %s: %s", server, error)
