"""Gathering of host, server-reflexive and relayed candidates for one ICE generation.

RFC 8445 section 5.1.1. Host candidates are available at once. All servers are queried concurrently,
each with its own deadline, so a server that fails does not delay the others; it is reported as a
W3C ``icecandidateerror``.
"""

import asyncio
import ssl
from collections.abc import Callable

from aioice import stun
from aioice.ice import StunProtocol

from icefloe.text import printable, public_url

from ..._util.peer_logger import NamingLogger
from ..configuration import IceConfiguration
from ..facts import ServerFacts, ServerProblem
from ..mux.shared_socket import Sharing
from ..server_urls import SERVER_UNREACHABLE, RTCPeerConnectionIceErrorEvent, Server, Transport
from .host_candidates import PREFERENCE_STEP, HostSockets, gatherable
from .interface_monitor import current_interfaces
from .interfaces import Kind
from .local_candidate import Foundations, LocalCandidate, network_type
from .resolver import family, resolve
from .server_query import (
    FAILURES,
    Allocation,
    TurnAllocator,
    describe_failure,
    mapped_address,
    problem_of,
    tls_context,
    unsupported,
)
from .tcp_candidates import TcpCandidates, TcpOpener

logger: NamingLogger = NamingLogger(__name__)

KEEPALIVE_INTERVAL = 15.0
"""Seconds between two keep-alives of a NAT binding (RFC 8445 section 11)."""

RETRY_DELAY = 0.5
"""Seconds before an unreachable TURN server is queried again."""

SECOND_FAMILY_GRACE = 1.0
"""Seconds that the allocation of the other IP version may still take after the first succeeded."""

_RELAY_PREFERENCE = {Transport.UDP: 49151, Transport.TCP: 32767, Transport.TLS: 16383}
"""Highest local preferences of relayed candidates; TCP and TLS to the server add delay."""


class Gathering:
    """Gathers the candidates of one generation.

    Args:
        configuration: The settings. Under the ``relay`` policy there are no host candidates,
            and STUN servers are not asked (RFC 9429 section 3.5.3).
        servers: The STUN and TURN servers.
        protocol_factory: Creates the protocol for a socket or an allocation.
        on_candidate: Called with each candidate as it is found. The callee owns the candidate's
            base from then on and must close its transport, even if it does not use the candidate.
        on_error: Called for each server that gave no candidate, for STUN once for each socket.
        on_relay_lost: Called with the base of a relayed candidate and the reason if the allocation
            ends before it is closed. The base's transport is then closed, unless the server only
            refuses to refresh the allocation, which still has some time.
        credentials: Returns user name and password; called for every challenge of a server, so that
            expiring credentials can be replaced. By default those of the configuration.
        tcp: Opens the sockets of TCP candidates; by default there are none.
        sharing: The generation, for the shared port of the configuration.
        on_outcome: Called with each server and the outcome of asking it, for STUN once for each
            socket.
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
        tcp: TcpOpener | None = None,
        sharing: Sharing | None = None,
        on_outcome: Callable[[Server, ServerFacts], None] = lambda server, outcome: None,
    ) -> None:
        self._configuration = configuration
        self._tcp = tcp
        self._servers = servers
        self._protocol_factory = protocol_factory
        self._on_candidate = on_candidate
        self._on_error = on_error
        self._on_outcome = on_outcome
        self._asked_at: dict[Server, float] = {}
        self._on_relay_lost = on_relay_lost
        self._credentials = credentials or (lambda server: (server.username, server.credential))
        self._relay_only = configuration.relay_only
        self._foundations = Foundations()
        self._hosts = HostSockets(configuration, self._foundations, protocol_factory, sharing)
        self._bases: list[StunProtocol] = []
        self._found: set[tuple[str, int, StunProtocol]] = set()
        self._shares: dict[StunProtocol, int] = {}
        self._kinds: dict[str, Kind] = {}
        self._unreached: set[Server] = set()
        self._mapped: dict[tuple[StunProtocol, tuple[str, int]], None] = {}

    async def open_host_sockets(self) -> None:
        """Open the sockets of the host candidates; never waits for the network.

        Cancellation: safe; the sockets of reported candidates stay open.
        """
        if self._relay_only:
            return
        addresses = gatherable(self._configuration)
        self._kinds = {str(address): address.kind for address in addresses}
        await self._hosts.open(addresses, self._take_host)
        if self._tcp is not None:
            configuration, names = self._configuration, self._hosts.names
            gatherer = TcpCandidates(configuration, self._foundations, names, self._tcp)
            await gatherer.open(addresses, self._take_host)

    async def open_private_socket(self, host: str) -> None:
        """Open a socket beside the shared one of a local address, which is not announced.

        Cancellation: safe.
        """
        for rank, address in enumerate(gatherable(self._configuration)):
            if str(address) == host:
                candidate = await self._hosts.open_private(address, rank)
                if candidate is not None:
                    self._report_candidate(candidate)

    async def ask_servers(self, *, keep_trying: Callable[[], bool] = lambda: False) -> None:
        """Query all servers concurrently; return when each has answered or timed out.

        Args:
            keep_trying: Returns whether to repeat the queries of unreachable TURN servers. During a
                network outage their response is the first sign of its end. Each unreachable server
                is reported once.

        Cancellation: safe; pending allocations are abandoned.
        """
        if not self._kinds:
            self._kinds = {str(address): address.kind for address in current_interfaces()}
        async with asyncio.TaskGroup() as group:
            for index, server in enumerate(self._servers):
                if self._relay_only and not server.is_turn:
                    continue
                job = self._ask_until_reached(server, index, keep_trying)
                group.create_task(job, name="icefloe-ask-server")

    async def keep_alive(self) -> None:
        """Refresh the NAT bindings of server-reflexive candidates, as long as there are any.

        Every 15 s each of their sockets sends a Binding request to the STUN server that reported
        the address (RFC 8445 section 11), so that the binding persists until a late answer.

        Cancellation: safe.
        """
        while self._mapped:
            await asyncio.sleep(KEEPALIVE_INTERVAL)
            self._mapped = {key: None for key in self._mapped if not key[0].transport.is_closing()}
            async with asyncio.TaskGroup() as group:
                for base, server in self._mapped:
                    group.create_task(_refresh_nat_binding(base, server), name="icefloe-keep-alive")

    async def close(self) -> None:
        """Withdraw the mDNS names; a second call does nothing.

        The sockets are not closed: they belong to the receiver of ``on_candidate``.
        """
        await self._hosts.names.close()

    # --- candidates

    def _take_host(self, candidate: LocalCandidate) -> None:
        if candidate.type == "host" and candidate.transport == "udp":
            self._bases.append(candidate.base)
        self._report_candidate(candidate)

    def _report_candidate(self, candidate: LocalCandidate) -> None:
        """Report a candidate unless it is redundant (RFC 8445 section 5.1.3)."""
        announced = candidate.announced()
        addresses = {(candidate.host, candidate.port, candidate.base)}
        if announced is not None:
            addresses.add((announced.host, announced.port, candidate.base))
        if self._found.isdisjoint(addresses):
            self._found |= addresses
            self._on_candidate(candidate)

    def _report_failure(self, server: Server, error: Exception, base: StunProtocol | None) -> None:
        failure = describe_failure(error, self._configuration.server_timeout)
        self._report_error(server, *failure, base, problem_of(error))

    def _report_error(
        self,
        server: Server,
        code: int,
        text: str,
        base: StunProtocol | None,
        problem: ServerProblem,
    ) -> None:
        if server in self._unreached:
            return
        self._report_outcome(server, problem, code, text)
        if code == SERVER_UNREACHABLE and server.is_turn:
            self._unreached.add(server)
        event = RTCPeerConnectionIceErrorEvent(server.url, code, text, *_announced_address(base))
        logger.info("no candidate from %s: %d %s", event.url, event.errorCode, event.errorText)
        self._on_error(event)

    def _report_outcome(
        self, server: Server, problem: ServerProblem | None = None, code: int = 0, text: str = ""
    ) -> None:
        now = asyncio.get_running_loop().time()
        seconds = now - self._asked_at.get(server, now)
        shown = public_url(server.url)
        outcome = ServerFacts(shown, server.is_turn, seconds, problem, code, printable(text))
        self._on_outcome(server, outcome)

    # --- servers

    async def _ask_until_reached(
        self, server: Server, index: int, keep_trying: Callable[[], bool]
    ) -> None:
        reached = await self._ask(server, index)
        while not reached and server in self._unreached and keep_trying():
            await asyncio.sleep(RETRY_DELAY)
            reached = await self._ask(server, index)

    async def _ask(self, server: Server, index: int) -> bool:
        """Query a server.

        Returns:
            ``True`` if a TURN server created an allocation, or if the URL is unsupported.
        """
        timeout = self._configuration.server_timeout
        began = self._asked_at[server] = asyncio.get_running_loop().time()
        deadline = began + timeout
        if text := unsupported(server):
            self._report_error(server, SERVER_UNREACHABLE, text, None, ServerProblem.UNSUPPORTED)
            return True  # a retry would not change it
        try:
            async with asyncio.timeout_at(deadline):
                addresses = await resolve(server.host, server.port)
        except FAILURES as error:
            failure = describe_failure(error, timeout)
            self._report_error(server, *failure, None, ServerProblem.NAME)
            return False
        try:
            async with asyncio.timeout_at(deadline):
                context = await self._context_for(server)
        except FAILURES as error:
            self._report_failure(server, error, None)
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
            text = f"the server has only {versions} addresses, and this machine has none"
            self._report_error(server, SERVER_UNREACHABLE, text, None, ServerProblem.UNSUPPORTED)

    async def _ask_stun_from(
        self, base: StunProtocol, server: Server, addresses: list[str], deadline: float
    ) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                mapped, address = await mapped_address(base, addresses, server.port)
        except FAILURES as error:
            self._report_failure(server, error, base)
            return
        self._report_outcome(server)
        local = base.local_candidate
        assert isinstance(local, LocalCandidate)
        share = self._shares[base] = self._shares.get(base, -1) + 1
        candidate = LocalCandidate(
            base=base,
            foundation=self._foundations.of("srflx", "udp", local.host, address),
            type="srflx",
            address=mapped,
            local_preference=max(local.local_preference - share * PREFERENCE_STEP, 0),
            related=(local.host, local.port),
            url=server.url,
            network_type=local.network_type,
            hides_related=_announced_address(base) == (None, None),
        )
        self._mapped[base, (address, server.port)] = None
        self._report_candidate(candidate)

    async def _ask_turn(
        self,
        server: Server,
        index: int,
        addresses: list[str],
        context: ssl.SSLContext | None,
        deadline: float,
    ) -> bool:
        allocator = TurnAllocator(
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
                    allocation = await allocator.allocate(version)
            except FAILURES as error:
                failures.append(error)
                return
            finally:
                del limits[version]
            succeeded.set()
            for limit in limits.values():
                if not limit.expired():
                    limit.reschedule(min(deadline, loop.time() + SECOND_FAMILY_GRACE))
            self._take_relay(allocation, server, index * 2 + (version == 4))

        limits: dict[int, asyncio.Timeout] = {}
        async with asyncio.TaskGroup() as group:
            for version in allocator.address_families():
                group.create_task(ask(version), name=f"icefloe-ask-turn-ipv{version}")
        if not succeeded.is_set():
            self._report_failure(server, failures[-1], None)
        return succeeded.is_set()

    def _take_relay(self, allocation: Allocation, server: Server, rank: int) -> None:
        self._report_outcome(server)
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
        self._report_candidate(candidate)


def _announced_address(base: StunProtocol | None) -> tuple[str | None, int | None]:
    """Return a socket's address and port; ``None`` for both if they are hidden from the peer."""
    local = base.local_candidate if base is not None else None
    announced = local.announced() if isinstance(local, LocalCandidate) else None
    if local is None or announced is None or announced.host != local.host:
        return None, None
    return local.host, local.port


async def _refresh_nat_binding(base: StunProtocol, server: tuple[str, int]) -> None:
    request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    try:
        await base.request(request, server, retransmissions=1)
    except (OSError, stun.TransactionError) as error:
        logger.debug("%s did not answer a keep-alive: %s", server, error)
