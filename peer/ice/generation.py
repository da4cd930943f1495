# Longer than 400 lines: the shell of one state machine, and what it reports of it.
"""One ICE generation: candidates and checks between two restarts (RFC 8445 section 9).

The asyncio shell of :class:`~.checks.connectivity.Checks`: sockets, timers and gathering.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from logging import Logger
from typing import Any

from aioice import stun

from icefloe.logs import get_logger
from icefloe.text import printable

from .._util.loop_timers import Timer
from .candidate_socket import IceSocket
from .checks.binding import Credentials, Role
from .checks.connectivity import Checks
from .checks.liveness import is_doubtful
from .checks.pair import Address, Pair
from .checks.state import IceState, Settings
from .configuration import IceConfiguration
from .events import (
    CandidateGathered,
    GatheringEnded,
    GenerationBegan,
    Record,
    RelayLost,
    RelayPeerRefused,
    ServerAsked,
    TimerLate,
    ignore,
)
from .facts import ServerFacts
from .gather.gathering import Gathering
from .gather.local_candidate import LocalCandidate
from .mux.shared_socket import MemberTransport, Sharing
from .mux.udp_mux import sockets_of
from .observer import ChecksObserver
from .plain_facts import local_facts
from .remote_candidates import RemoteCandidates
from .server_urls import RTCPeerConnectionIceErrorEvent, Server
from .tcp.sockets import TcpSockets
from .tcp.transport import TcpTransport
from .udp import UdpTransport

logger: Logger = get_logger(__name__)

RESTART_RTO_CAP = 1.0
"""Upper bound of the retransmission timeout of checks after a restart, in seconds: the connection
is already in use and waits for a path."""

LATE = 0.5
"""Delay of a timer in seconds from which on it is recorded: the event loop was blocked."""

MOST_FORBIDDEN = 32
"""Addresses that TURN servers refuse to relay to, of which is kept which."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Callbacks of a generation.

    Attributes:
        candidate: Called with each local candidate to announce to the remote peer.
        error: Called for each server that gave no candidate.
        complete: Called once, when gathering is complete.
        changed: Called when the state or the selected pair may have changed.
        packet: Called with each datagram from the remote peer that is not STUN.
        relay_lost: Called with the reason when a TURN server has ended an allocation, or no longer
            refreshes it.
        credentials: Returns user name and password; called for every challenge of a TURN server.
        record: Takes the events of the timeline.
    """

    candidate: Callable[[LocalCandidate], None]
    error: Callable[[RTCPeerConnectionIceErrorEvent], None]
    complete: Callable[[], None]
    changed: Callable[[], None]
    packet: Callable[[bytes], None]
    relay_lost: Callable[[str], None]
    credentials: Callable[[Server], tuple[str | None, str | None]]
    record: Record = ignore


class Generation:
    """One generation: gathers candidates, runs checks, and sends and receives datagrams.

    Args:
        configuration: The settings.
        servers: The STUN and TURN servers.
        listener: The callbacks.
        credentials: Local username fragment and password.
        role: Role of the local agent, shared by all generations.
        is_restart: True if this generation is to replace an earlier one.
        owner: The agent, for a port that agents share; by default this generation is one by itself.
    """

    def __init__(
        self,
        configuration: IceConfiguration,
        servers: tuple[Server, ...],
        listener: Listener,
        *,
        credentials: Credentials,
        role: Role,
        is_restart: bool = False,
        owner: object = None,
    ) -> None:
        self._configuration = configuration
        self._servers = servers
        self._is_restart = is_restart
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        settings = Settings.of(configuration)
        if is_restart:
            settings = replace(settings, rto_cap=RESTART_RTO_CAP)
        self.checks: Checks = Checks(credentials, role, settings)
        self._tcp = TcpSockets(self, credentials, configuration)
        self._gathering = self._new_gathering(self if owner is None else owner)
        self._record = listener.record
        self._observer = ChecksObserver(self.checks, listener.record)
        self._gathering_began = self._loop.time()
        self.configured_at: float = 0.0
        """The wall clock's time when the servers were set."""
        self.server_outcomes: dict[Server, ServerFacts] = {}
        """The outcome of asking each server."""
        self.forbidden: dict[str, int] = {}
        """Addresses that a TURN server refuses to relay to, with the code."""
        self.late_timer: tuple[float, float] = 0.0, float("-inf")
        """The latest delay of a timer of more than :data:`LATE`, and when it was."""
        self._crowded: set[str] = set()
        """Local addresses whose shared socket cannot reach all remote addresses."""
        self._sockets: set[Any] = set()
        self._discarded: set[Any] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer = Timer(self._on_timer)
        self.remote_candidates: RemoteCandidates = RemoteCandidates(
            self.checks,
            limit=configuration.max_remote_candidates,
            relay_only=configuration.relay_only,
            tcp=configuration.active_tcp,
            flush=self._flush,
            record=listener.record,
        )
        """Takes the candidates of the remote peer."""
        self._closing: asyncio.Task[None] | None = None
        self.is_gathering: bool = False
        """True once gathering has started."""
        self.gathered: asyncio.Event = asyncio.Event()
        """Set when gathering is complete."""
        self.local_candidates: list[LocalCandidate] = []
        """The local candidates gathered so far."""

    def _new_gathering(self, owner: object) -> Gathering:
        return Gathering(
            self._configuration,
            self._servers,
            protocol_factory=lambda: IceSocket(self, self._on_peer_refused),
            on_candidate=self._add_local,
            on_error=self._listener.error,
            on_relay_lost=self._on_relay_lost,
            credentials=self._listener.credentials,
            tcp=self._tcp,
            sharing=self._sharing(owner),
            on_outcome=self._on_server_outcome,
        )

    def _sharing(self, owner: object) -> Sharing:
        return Sharing(
            fragment=self.checks.credentials.local_username,
            owner=owner,
            contested=self._prove_path,
            crowded=self._open_private_socket,
        )

    # --- gathering

    async def gather(self) -> None:
        """Open the sockets of the host candidates and start querying the servers.

        A second call does nothing.

        Raises:
            UdpMuxUnusable: The configuration's ``udp_mux`` is closed, or belongs to another event
                loop.
            TcpMuxUnusable: Likewise its ``tcp_mux``.
            FragmentInUse: Another agent of that port has the same username fragment.
        """
        if self.is_gathering or self._closing is not None:
            return
        if self._configuration.udp_mux is not None:
            sockets_of(self._configuration.udp_mux).ensure_usable()
        self._tcp.ensure_usable()
        self.is_gathering = True
        self._gathering_began = self._loop.time()
        self._record(GenerationBegan(self._is_restart))
        await self._gathering.open_host_sockets()
        if self._closing is None:
            self._spawn(self._ask_servers())
        else:
            # close() ran during open_host_sockets() and may have missed what was opened after it.
            await self._gathering.close()

    async def _ask_servers(self) -> None:
        try:
            await self._gathering.ask_servers(keep_trying=self._is_needed)
        finally:
            self.gathered.set()
        seconds = self._loop.time() - self._gathering_began
        self._record(GatheringEnded(seconds, len(self.local_candidates)))
        self._listener.complete()
        self.checks.end_local(self._loop.time())
        self._flush()
        await self._gathering.keep_alive()

    def _is_needed(self) -> bool:
        """Return whether this is a restart that has not found a path yet."""
        return self._is_restart and self.checks.selected is None and self._closing is None

    def _add_local(self, candidate: LocalCandidate) -> None:
        if candidate.base not in self._sockets:
            if self._closing is not None or self._is_settled(candidate):
                candidate.base.transport.close()
                self._discarded.add(candidate.base)
                return
            self._sockets.add(candidate.base)
        self.local_candidates.append(candidate)
        network = str(candidate.network_type)
        self._record(CandidateGathered(local_facts(candidate), candidate.url, network))
        if candidate.announced() is not None:
            self._listener.candidate(candidate)
        self.checks.add_local(candidate, self._loop.time())
        self._flush()

    def _is_settled(self, candidate: LocalCandidate) -> bool:
        # With a direct path nominated, an allocation would only occupy the server.
        nominated = self.checks.nominated
        return candidate.type == "relay" and nominated is not None and not nominated.is_relayed

    def _on_relay_lost(self, base: Any, reason: str) -> None:
        if base.transport.is_closing():
            self.socket_lost(base)
        if self._closing is None:
            self._record(RelayLost(printable(reason)))
            self._listener.relay_lost(reason)

    def _on_peer_refused(self, address: str, code: int) -> None:
        if address not in self.forbidden and len(self.forbidden) < MOST_FORBIDDEN:
            self.forbidden[address] = code
            self._record(RelayPeerRefused(address, code))

    def _on_server_outcome(self, server: Server, outcome: ServerFacts) -> None:
        known = self.server_outcomes.get(server)
        if known is None or known.problem is not None:  # one socket that got an answer is enough
            self.server_outcomes[server] = outcome
            self._record(ServerAsked(outcome))

    @property
    def is_relay_only(self) -> bool:
        """True if only relayed candidates may be used."""
        return self._configuration.relay_only

    # --- checks

    @property
    def is_started(self) -> bool:
        """True once the checks have started with the remote credentials."""
        return self.checks.state is not IceState.NEW

    def start(self, username: str, password: str, *, lite: bool) -> None:
        """Start the checks, see :meth:`Checks.start`."""
        self.checks.start(username, password, lite=lite, now=self._loop.time())
        self._flush()

    def probe_path(self) -> None:
        """Probe all valid pairs at once."""
        self.checks.probe_path(self._loop.time())
        self._flush()

    def _prove_path(self) -> None:
        """Probe all valid pairs soon, because another agent's peer uses the address of one."""
        if self._closing is None and not self.checks.is_retired:
            self._loop.call_soon(self._prove_path_now)

    def _prove_path_now(self) -> None:
        if self._closing is None and not self.checks.is_retired:
            self.probe_path()

    def _open_private_socket(self, host: str) -> None:
        """Open a socket that is not shared on a local address, unless there is one."""
        if host not in self._crowded and self._closing is None:
            self._crowded.add(host)
            self._spawn(self._gathering.open_private_socket(host))

    def drop_addresses(self, present: set[str]) -> None:
        """Close the sockets whose local address no longer exists.

        Args:
            present: All current addresses of the machine.
        """
        for candidate in self.local_candidates:
            base = candidate.base
            if base in self._sockets and candidate.own_address not in present | {None}:
                base.transport.close()
                self.socket_lost(base)

    def _flush(self) -> None:
        for item in self.checks.take_datagrams():
            item.base.send(item.message, item.address)
        self._arm()
        self._observer.observe(self._loop.time())
        self._listener.changed()

    def _arm(self) -> None:
        self._timer.set(self.checks.deadline)

    def _on_timer(self) -> None:
        if self._closing is not None:
            return
        now = self._loop.time()
        if now - self.checks.deadline >= LATE:
            self.late_timer = now - self.checks.deadline, now
            self._record(TimerLate(now - self.checks.deadline))
        self.checks.handle_timeout(now)
        self._flush()

    # --- events of the sockets

    def stun_received(self, message: stun.Message, source: Address, base: IceSocket) -> None:
        """Handle a STUN message."""
        if self._closing is not None:
            return
        now, transport = self._loop.time(), base.transport
        if isinstance(transport, MemberTransport) and not transport.admits(
            source, now, lambda: self.checks.is_authentic(message)
        ):
            return
        self.checks.receive(message, source, base, now)
        self._flush()

    def packet_received(self, data: bytes, source: Address, base: IceSocket) -> None:
        """Handle a datagram that is not STUN; drop it unless it is from the remote peer."""
        if data and self.checks.receive_data(base, source, len(data), self._loop.time()):
            self._listener.packet(data)

    def socket_lost(self, base: Any) -> None:
        """Handle the closing of a socket."""
        if base in self._sockets and self._closing is None:
            self._sockets.discard(base)
            self._discarded.add(base)  # closing a TURN allocation may take a while
            self.checks.remove_base(base, self._loop.time())
            self._flush()

    def remote_lost(self, base: Any, address: Address) -> None:
        """Handle the end of a TCP connection of a socket, which may have others."""
        if self._closing is None:
            self.checks.lose_remote(base, address, self._loop.time())
            self._flush()

    # --- data

    def send_all(self, packets: list[bytes]) -> bool:
        """Send datagrams over the selected pair; return ``False`` if there is none with consent."""
        now = self._loop.time()
        pair = self.checks.path(now)
        if pair is None:
            return False
        if self.checks.note_sent(pair, len(packets), sum(map(len, packets)), now):
            self._arm()
        transport, address = pair.local.base.transport, pair.remote.address
        if isinstance(transport, UdpTransport | MemberTransport | TcpTransport):
            transport.send_all(packets, address)
        else:
            for packet in packets:
                transport.sendto(packet, address)
        return True

    def send_probe(self, packet: bytes) -> bool:
        """Send a datagram that must not be fragmented over the selected pair.

        Over a TURN server, and over TCP, it is sent like any other datagram.

        Returns:
            ``False`` if the datagram exceeds the MTU of the outgoing interface.
        """
        now = self._loop.time()
        pair = self.checks.path(now)
        transport = None if pair is None else pair.local.base.transport
        if pair is None or not isinstance(transport, UdpTransport | MemberTransport):
            return self.send_all([packet]) or True
        if self.checks.note_sent(pair, 1, len(packet), now):
            self._arm()
        return transport.send_probe(packet, pair.remote.address)

    @property
    def selected(self) -> Pair | None:
        """The pair that carries data."""
        return self.checks.selected

    def server_of(self, candidate: LocalCandidate) -> Server | None:
        """Return the server of a relayed or reflexive candidate, as it was when gathering began."""
        return next((s for s in self._servers if s.url == candidate.url), None)

    @property
    def has_direct_path(self) -> bool:
        """True if the selected path works and has no relay."""
        pair = self.checks.selected
        return (
            self.checks.state is IceState.COMPLETED
            and pair is not None
            and not pair.is_relayed
            and not is_doubtful(pair, self._loop.time())
        )

    # --- closing

    def retire(self) -> None:
        """Stop sending checks; received packets and requests are still handled."""
        self.checks.retire()
        self._arm()

    async def close(self) -> None:
        """Close all sockets and delete all allocations; a second call waits for the first.

        Takes at most the configuration's ``close_timeout``: if a TURN server does not answer, its
        allocation expires by itself (RFC 8656 section 6).

        Cancellation: safe; closing goes on in the background.
        """
        if self._closing is None:
            self.remote_candidates.stop()
            self._closing = self._loop.create_task(self._close(), name="ICE generation close")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._timer.close()
        for task in self._tasks:
            task.cancel()
        self._tcp.close()
        bases = self._sockets | self._discarded
        for base in bases:
            base.transport.close()
        if self._tasks:
            await asyncio.wait(self._tasks)
        try:
            async with asyncio.timeout(self._configuration.close_timeout):
                for base in bases:
                    await base.lost()
        except TimeoutError:
            for base in bases:
                base.transport.abort()
            for base in bases:
                await base.lost()
        self.gathered.set()
        await self._gathering.close()
        await self.remote_candidates.close()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
