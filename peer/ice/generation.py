"""One generation of ICE: candidates and checks between two restarts (RFC 8445 section 9).

The asyncio shell of :class:`~.checks.Checks`: sockets, timers, names.
"""

import asyncio
import ipaddress
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from aioice import mdns, stun
from aioice.candidate import Candidate

from icefloe.logs import get_logger

from .candidate_socket import IceSocket
from .checks.binding import Credentials, Role
from .checks.connectivity import Checks
from .checks.liveness import Limits, is_doubtful
from .checks.pair import Address, Pair
from .checks.state import IceState, Settings
from .configuration import IceConfiguration
from .gather.gathering import Gathering
from .gather.interfaces import broadcast_addresses, read_interfaces
from .gather.local_candidate import LocalCandidate
from .gather.multicast_dns import MulticastDns
from .server_urls import RTCPeerConnectionIceErrorEvent, Server
from .udp import UdpTransport

logger = get_logger(__name__)

MAX_RESOLVING = 64
"""mDNS names looked up at a time; more are ignored."""

RETRY = 1.0
"""The longest between two sends of a check after a restart, in seconds: the path is needed now."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Whom a generation tells.

    Attributes:
        candidate: Called with each local candidate that the other side is told of.
        error: Called for each server that gave none.
        complete: Called once, when no further local candidate will come.
        changed: Called when the state or the selected pair may have changed.
        packet: Called with each datagram of the other side.
        relay_lost: Called when a TURN server has dropped an allocation, with the reason.
        credentials: Returns user name and password for a TURN server, whenever it wants them.
    """

    candidate: Callable[[LocalCandidate], None]
    error: Callable[[RTCPeerConnectionIceErrorEvent], None]
    complete: Callable[[], None]
    changed: Callable[[], None]
    packet: Callable[[bytes], None]
    relay_lost: Callable[[str], None]
    credentials: Callable[[Server], tuple[str | None, str | None]]


class Generation:
    """Gathers, checks, and carries datagrams over the path that it finds.

    Args:
        configuration: The settings.
        servers: Its STUN and TURN servers.
        credentials: This side's user name and password.
        role: Who nominates.
        is_restart: Whether another generation went before.
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
    ) -> None:
        self._configuration = configuration
        self._is_restart = is_restart
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        limits = Limits(configuration.disconnected_timeout, configuration.failed_timeout)
        settings = Settings(
            patience=configuration.patience,
            ceiling=max(configuration.checking_timeout, configuration.patience),
            limits=limits,
            max_remotes=configuration.max_remote_candidates,
        )
        if is_restart:
            settings = replace(settings, longest_rto=RETRY)
        self.checks = Checks(credentials, role, settings)
        self._gathering = Gathering(
            configuration,
            servers,
            protocol_factory=lambda: IceSocket(self),
            on_candidate=self._add_local,
            on_error=listener.error,
            on_relay_lost=self._on_relay_lost,
            credentials=listener.credentials,
        )
        self._relay_only = configuration.relay_only
        self._sockets: set[Any] = set()
        self._discarded: set[Any] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._multicast = MulticastDns()
        self._resolving = 0
        self._remote_ended = False
        self._remotes_told = 0
        self._broadcasts: frozenset[str] | None = None
        self._closing: asyncio.Task[None] | None = None
        self.is_gathering = False
        """Whether gathering has begun."""
        self.gathered = asyncio.Event()
        """Set when no further local candidate will come."""
        self.local_candidates: list[LocalCandidate] = []
        """The local candidates found so far."""

    # --- gathering

    async def gather(self) -> None:
        """Open the host candidates' sockets and begin to ask the servers; a second call does
        nothing."""
        if self.is_gathering or self._closing is not None:
            return
        self.is_gathering = True
        await self._gathering.open_host_sockets()
        if self._closing is None:
            self._spawn(self._ask_servers())
        else:  # closed meanwhile, when not all of this was there
            await self._gathering.close()

    async def _ask_servers(self) -> None:
        try:
            await self._gathering.ask_servers(go_on=self._is_needed)
        finally:
            self.gathered.set()
        self._listener.complete()
        self.checks.end_local(self._loop.time())
        self._flush()
        await self._gathering.keep_alive()

    def _is_needed(self) -> bool:
        """Whether this is a restart, and there is no path yet."""
        return self._is_restart and self.checks.selected is None and self._closing is None

    def _add_local(self, candidate: LocalCandidate) -> None:
        if candidate.base not in self._sockets:
            if self._closing is not None or self._is_settled(candidate):
                candidate.base.transport.close()
                self._discarded.add(candidate.base)
                return
            self._sockets.add(candidate.base)
        self.local_candidates.append(candidate)
        if candidate.announced() is not None:
            self._listener.candidate(candidate)
        self.checks.add_local(candidate, self._loop.time())
        self._flush()

    def _is_settled(self, candidate: LocalCandidate) -> bool:
        # A direct path works: an allocation would only cost.
        nominated = self.checks.nominated
        return candidate.type == "relay" and nominated is not None and not nominated.is_relayed

    def _on_relay_lost(self, base: Any, reason: str) -> None:
        self.socket_lost(base)
        if self._closing is None:
            self._listener.relay_lost(reason)

    # --- remote candidates

    def add_remote_candidate(self, candidate: Candidate | None) -> None:
        """Take a remote candidate, or with ``None`` the end of them; never waits.

        An mDNS name is resolved in the background. What comes after the end is ignored
        (RFC 8838 section 14), and so is what is beyond the configuration's
        ``max_remote_candidates``.
        """
        if self._closing is not None or self._remote_ended:
            return
        if candidate is None:
            self._remote_ended = True
            self._maybe_end_remote()
            return
        self._remotes_told += 1
        most = self._configuration.max_remote_candidates
        if self._remotes_told > most:
            if self._remotes_told == most + 1:
                logger.warning("more than %d remote candidates: the others are ignored", most)
        elif not mdns.is_mdns_hostname(candidate.host):
            self._add_remote(candidate, candidate.host)
        elif not self._relay_only and self._resolving < MAX_RESOLVING:
            # With the relay policy a name would be paired with nothing
            # (draft-ietf-mmusic-mdns-ice-candidates section 3.2).
            self._resolving += 1
            self._spawn(self._resolve(candidate))

    def _add_remote(self, candidate: Candidate, host: str, *, named: bool = False) -> None:
        try:
            address = (str(ipaddress.ip_address(host)), candidate.port)
        except ValueError:
            logger.debug("ignored a remote candidate that has no IP address: %s", host)
            return
        if self._broadcasts is None:
            self._broadcasts = broadcast_addresses(read_interfaces())
        if address[0] in self._broadcasts:
            logger.debug("ignored a remote candidate that is a broadcast address: %s", host)
            return
        if candidate.transport.lower() != "udp" or candidate.component != 1 or not candidate.port:
            return  # nothing here could be paired with it
        self.checks.add_remote(candidate, address, self._loop.time(), named=named)
        self._flush()

    async def _resolve(self, candidate: Candidate) -> None:
        try:
            host = await self._multicast.resolve(candidate.host)
            if host is not None and self._closing is None:
                self._add_remote(candidate, host, named=True)
        except OSError as error:
            logger.debug("%s not resolved: no multicast DNS here (%s)", candidate.host, error)
        finally:
            self._resolving -= 1
            self._maybe_end_remote()

    def _maybe_end_remote(self) -> None:
        if self._remote_ended and not self._resolving and self._closing is None:
            self.checks.end_remote(self._loop.time())
            self._flush()

    # --- checks

    @property
    def is_started(self) -> bool:
        """Whether the checks run: the other side's credentials are known."""
        return self.checks.state is not IceState.NEW

    def start(self, username: str, password: str, *, lite: bool) -> None:
        """Begin to check, see :meth:`Checks.start`."""
        self.checks.start(username, password, lite=lite, now=self._loop.time())
        self._flush()

    def suspect(self) -> None:
        """Look at the path at once."""
        self.checks.suspect(self._loop.time())
        self._flush()

    def drop_addresses(self, present: set[str]) -> None:
        """Close the sockets whose address the machine has no more.

        Args:
            present: All its addresses.
        """
        for candidate in self.local_candidates:
            base = candidate.base
            if base in self._sockets and _own_address(candidate) not in present | {None}:
                base.transport.close()
                self.socket_lost(base)

    def _flush(self) -> None:
        outgoing = self.checks.outgoing
        while outgoing:
            item = outgoing.popleft()
            item.base.send(item.message, item.address)
        self._arm()
        self._listener.changed()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.checks.deadline < float("inf") and self._closing is None:
            self._timer = self._loop.call_at(self.checks.deadline, self._on_timer)

    def _on_timer(self) -> None:
        self.checks.tick(self._loop.time())
        self._flush()

    # --- what the sockets tell

    def stun_received(self, message: stun.Message, source: Address, base: IceSocket) -> None:
        """Take a STUN message."""
        if self._closing is None:
            self.checks.receive(message, source, base, self._loop.time())
            self._flush()

    def packet_received(self, data: bytes, source: Address, base: IceSocket) -> None:
        """Take a datagram; what is not from the other side is dropped."""
        if data and self.checks.heard(base, source, len(data), self._loop.time()):
            self._listener.packet(data)

    def socket_lost(self, base: Any) -> None:
        """Note that a socket is closed."""
        if base in self._sockets and self._closing is None:
            self._sockets.discard(base)
            self._discarded.add(base)  # a relay that is given up may take a while to be closed
            self.checks.remove_base(base, self._loop.time())
            self._flush()

    # --- data

    def send_all(self, packets: list[bytes]) -> bool:
        """Send datagrams over the selected pair; return whether there is one to send over."""
        now = self._loop.time()
        pair = self.checks.path(now)
        if pair is None:
            return False
        pair.packets_sent += len(packets)
        pair.bytes_sent += sum(map(len, packets))
        pair.last_packet_sent_at = now
        transport, address = pair.local.base.transport, pair.remote.address
        if isinstance(transport, UdpTransport):
            transport.send_all(packets, address)
        else:
            for packet in packets:
                transport.sendto(packet, address)
        return True

    def send_probe(self, packet: bytes) -> bool:
        """Send a datagram that is not to be fragmented over the selected pair.

        A relay forwards it as it forwards anything: most do not let datagrams be fragmented.

        Returns:
            ``False`` if it is too large for this machine's network.
        """
        pair = self.checks.path(self._loop.time())
        if pair is None or not isinstance(pair.local.base.transport, UdpTransport):
            return self.send_all([packet]) or True
        pair.packets_sent += 1
        pair.bytes_sent += len(packet)
        return pair.local.base.transport.send_probe(packet, pair.remote.address)

    @property
    def selected(self) -> Pair | None:
        """The pair that carries the data."""
        return self.checks.selected

    @property
    def has_direct_path(self) -> bool:
        """Whether data goes over a path without a relay, about which there is no doubt."""
        pair = self.checks.selected
        return (
            self.checks.state is IceState.COMPLETED
            and pair is not None
            and not pair.is_relayed
            and not is_doubtful(pair, self._loop.time())
        )

    # --- the end

    def retire(self) -> None:
        """Receive and answer, but begin nothing any more."""
        self.checks.retire()
        self._arm()

    async def close(self) -> None:
        """Free every socket and allocation; a second call waits for the first.

        Takes at most the configuration's ``close_timeout``: a TURN server that does not answer is
        left to expire the allocation by itself (RFC 8656 section 6).
        """
        if self._closing is None:
            self._closing = self._loop.create_task(self._close(), name="ICE generation close")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
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
        await self._multicast.close()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _own_address(candidate: LocalCandidate) -> str | None:
    """Return the address of this machine that packets of a candidate leave from, if it is known."""
    if candidate.type != "relay":
        return candidate.base.local_candidate.host
    local = candidate.base.transport.get_extra_info("local_address")
    return local[0] if local else None
