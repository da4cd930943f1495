"""One generation of ICE: the candidates and checks between two restarts (RFC 8445 section 9)."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from aioice import Candidate, TransportPolicy, mdns, stun
from aioice.ice import StunProtocol
from aiortc import RTCIceTransportPolicy

from .._aiortc import IceConnection
from ..configuration import PeerConfiguration
from .gathering import Gathering
from .local import LocalCandidate
from .relay import RelayTransport
from .servers import RTCPeerConnectionIceErrorEvent, Server

logger = logging.getLogger(__name__)

_POLICIES = {
    RTCIceTransportPolicy.ALL: TransportPolicy.ALL,
    RTCIceTransportPolicy.RELAY: TransportPolicy.RELAY,
}

MAX_REMOTE_CANDIDATES = 256
"""Remote candidates kept; more are ignored. Browsers send a few dozen at most."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Whom a generation tells.

    Attributes:
        candidate: Called with each local candidate as it is found.
        error: Called for each server that gave none.
        complete: Called once, when no further local candidate will come.
    """

    candidate: Callable[[Candidate], None]
    error: Callable[[RTCPeerConnectionIceErrorEvent], None]
    complete: Callable[[], None]


class _Socket(StunProtocol):
    """``StunProtocol`` that keeps the round-trip time of its latest check, in seconds."""

    round_trip_time: float | None = None

    async def request(
        self,
        request: stun.Message,
        addr: tuple[str, int],
        integrity_key: bytes | None = None,
        retransmissions: int | None = None,
    ) -> tuple[stun.Message, tuple[str, int]]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        answer = await super().request(request, addr, integrity_key, retransmissions)
        taken = loop.time() - started
        # A retransmitted request does not tell which of its copies was answered.
        if integrity_key is not None and taken < stun.RETRY_RTO:
            self.round_trip_time = taken
        return answer


class Generation(IceConnection):
    """``aioice.Connection`` that trickles: checks begin with the first candidate of either side.

    Host candidates are there when :meth:`gather_candidates` returns. Servers are asked in the
    background, and what they bring joins the running checks.
    """

    def __init__(
        self,
        configuration: PeerConfiguration,
        servers: tuple[Server, ...],
        listener: Listener,
        *,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        super().__init__(
            ice_controlling=False,
            transport_policy=_POLICIES[configuration.iceTransportPolicy],
            local_username=username,
            local_password=password,
        )
        self._configuration = configuration
        self._servers = servers
        self._listener = listener
        self._relay_only = configuration.iceTransportPolicy is RTCIceTransportPolicy.RELAY
        self._tasks: set[asyncio.Task[None]] = set()
        self._discarded: list[StunProtocol] = []
        self._remote_ended = False
        self._resolving = 0
        self._patience: asyncio.TimerHandle | None = None
        self._patience_over = False
        self._started = False
        self._gathering = Gathering(
            configuration,
            servers,
            protocol_factory=lambda: _Socket(self),
            on_candidate=self._add_local,
            on_error=listener.error,
            on_relay_lost=lambda protocol, reason: None,  # aioice looks at connection_lost()
        )
        self.gathered = asyncio.Event()
        """Set when no further local candidate will come."""

    # --- gathering

    async def gather_candidates(self) -> None:
        """Open the host candidates' sockets and begin to ask the servers; a second call does
        nothing."""
        if self._started:
            return
        self._started = True
        if not self._relay_only:
            await self._gathering.open_host_sockets()
        self.allow_connect()
        self._spawn(self._gather_from_servers())

    async def _gather_from_servers(self) -> None:
        try:
            await self._gathering.ask_servers()
        finally:
            self.gathered.set()
        self._listener.complete()
        await self._gathering.keep_alive()

    def _add_local(self, candidate: LocalCandidate) -> None:
        if candidate.type == "relay" and (self.closing or self.finished):
            # A path is chosen, or there will be none: an allocation would only cost.
            candidate.base.transport.close()
            self._discarded.append(candidate.base)
            return
        if candidate.type != "srflx":
            self.sockets.append(candidate.base)
        announced = candidate.announced()
        if announced is not None:
            self.publish(announced)
            self._listener.candidate(announced)
        if candidate.type == "relay":
            self.pair_late()

    # --- remote candidates

    async def add_remote_candidate(self, remote_candidate: Candidate | None) -> None:
        """Take a remote candidate, or with ``None`` the end of them; never waits.

        An mDNS name is resolved in the background. What comes after the end is ignored
        (RFC 8838 section 14), and so is what is beyond :data:`MAX_REMOTE_CANDIDATES`.
        """
        if self.closing or self._remote_ended:
            return
        if remote_candidate is None:
            self._remote_ended = True
            if not self._resolving:
                await super().add_remote_candidate(None)
        elif len(self.remote_candidates) + self._resolving >= MAX_REMOTE_CANDIDATES:
            logger.info("ignored a remote candidate: %d are known", MAX_REMOTE_CANDIDATES)
        elif mdns.is_mdns_hostname(remote_candidate.host):
            self._resolving += 1
            self._spawn(self._resolve_and_add(remote_candidate))
        else:
            await super().add_remote_candidate(remote_candidate)

    async def _resolve_and_add(self, candidate: Candidate) -> None:
        try:
            await super().add_remote_candidate(candidate)
        except OSError as error:
            logger.debug("%s not resolved: no multicast DNS here (%s)", candidate.host, error)
        finally:
            self._resolving -= 1
            if self._remote_ended and not self._resolving and not self.closing:
                await super().add_remote_candidate(None)

    def more_candidates_expected(self) -> bool:
        """Whether the checks must go on although all pairs have failed.

        RFC 8863 section 4: not before the patience is over, since a peer-reflexive candidate may
        still turn up; and not for ever after it, whatever the other side leaves unsaid.
        """
        return not self._patience_over

    # --- checks

    async def connect(self) -> None:
        """Run connectivity checks until a pair is nominated.

        Raises:
            ConnectionError: There is no working pair, or the agent was closed.
        """
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(self._configuration.patience, self._end_patience)
        try:
            await super().connect()
        finally:
            self._patience.cancel()
            self.free_cancelled_pairs()
        if self.closing:
            await self.end_consent()
            raise ConnectionError("the ICE agent was closed")

    def _end_patience(self) -> None:
        self._patience_over = True
        self.reconsider()

    @property
    def round_trip_time(self) -> float | None:
        """Seconds that the latest check over the selected pair's socket took."""
        pair = self.selected
        return getattr(pair.protocol, "round_trip_time", None) if pair else None

    # --- the end

    async def close(self) -> None:
        """Free every socket and allocation.

        Bounded by the configuration's ``closeTimeout``: a TURN server that does not answer is
        left to expire the allocation by itself (RFC 8656 section 6).
        """
        loop = asyncio.get_running_loop()
        if self._patience is not None:
            self._patience.cancel()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        transports = [protocol.transport for protocol in (*self.sockets, *self._discarded)]
        for transport in transports:
            transport.close()  # all of them at once; aioice goes one by one
        watchdog = loop.call_later(self._configuration.closeTimeout, _abort_all, transports)
        try:
            if tasks:
                await asyncio.wait(tasks)
            await super().close()
            await self._gathering.close()
            for protocol in self._discarded:
                await protocol.close()
        finally:
            watchdog.cancel()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _abort_all(transports: list[Any]) -> None:
    for transport in transports:
        if isinstance(transport, RelayTransport):
            transport.abort()
