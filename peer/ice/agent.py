# Longer than 400 lines: the one object that aiortc and the connection see of ICE.
"""The ICE agent, with ICE restarts (RFC 8445 section 9); replaces aiortc's ``aioice.Connection``.

The agent is a facade over *generations*, each with its own credentials, candidates and checks. The
DTLS, SCTP and SRTP sessions are shared. An ICE restart creates a new generation. The previous one
carries data until the new one works, and receives for a while after that, because the remote peer
may switch later.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from aioice import Candidate
from aioice.utils import random_string
from aiortc import RTCIceCandidate

from .._util.peer_logger import NamingLogger
from .candidate_socket import ReceiveQueue
from .checks.binding import Credentials, Role
from .checks.liveness import is_doubtful
from .checks.pair import Pair
from .checks.state import Failure, IceState
from .configuration import IceConfiguration
from .events import IceStateChanged, Record, ignore
from .gather.interface_monitor import current_interfaces
from .gather.local_candidate import LocalCandidate
from .generation import Generation, Listener
from .retired_generations import RetiredGenerations
from .server_urls import RTCPeerConnectionIceErrorEvent, Server

logger: NamingLogger = NamingLogger(__name__)

SHARED_FRAGMENT_LENGTH = 12
"""Length of the username fragments of agents that share a port: long enough that no two of a
million are equal, and that nobody finds one by trying. RFC 8445 section 5.3 asks for 4 at least."""

LINGER = 5.0
"""Seconds during which a replaced generation still receives."""


class Trouble(Protocol):
    """A callback for problems of the selected path.

    Args:
        reason: The problem.
        silent: True if the only symptom is silence, which the remote peer notices too.
    """

    def __call__(self, reason: str, *, silent: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class AgentListener:
    """Callbacks of the agent.

    Attributes:
        candidate: Called with each local candidate and the username fragment of its generation.
        error: Called for each server that gave no candidate.
        complete: Called with a generation's username fragment when its gathering is complete.
        state: Called when :attr:`IceAgent.state` has changed.
        selected: Called when :attr:`IceAgent.selected_pair` has changed; the argument is true if
            the previous pair had fallen silent.
        trouble: Called when the selected path may be lost; see :class:`Trouble`.
        record: Takes the events of the timeline.
    """

    candidate: Callable[[LocalCandidate, str], None]
    error: Callable[[RTCPeerConnectionIceErrorEvent], None]
    complete: Callable[[str], None]
    state: Callable[[], None]
    selected: Callable[[bool], None]
    trouble: Trouble
    record: Record = ignore


class IceAgent:
    """The ICE agent that aiortc's ICE transport uses.

    :data:`icefloe.peer._aiortc.AGENT_CONTRACT` lists the members that aiortc requires.

    Args:
        configuration: The settings.
        servers: The STUN and TURN servers.
        listener: The callbacks.
        username: Local username fragment; random if ``None``.
        password: Local password; random if ``None``.
    """

    def __init__(
        self,
        configuration: IceConfiguration,
        servers: tuple[Server, ...],
        listener: AgentListener,
        *,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        self._configuration = configuration
        self._servers = servers
        self._configured_at = time.time()
        self._listener = listener
        self._role = Role.controlled()
        self._current: Generation | None = None
        self._pending: list[Generation] = []
        self._answered: Generation | None = None
        self._remote_username: str | None = None
        self._prepared: Credentials | None = None
        self._describes_prepared = False
        self._first_credentials = Credentials(
            username or random_string(self._fragment_length), password or random_string(22)
        )
        self._retired = RetiredGenerations()
        self.received: ReceiveQueue = ReceiveQueue(self._pending, self._on_changed)
        """The datagrams from the remote peer that are not STUN."""
        self._usable = asyncio.Event()
        self._is_closed = False
        self._announced: Pair | None = None
        self.state: IceState = IceState.NEW
        """The state of the ICE transport."""
        self.selected_pair_changes: int = 0
        """Number of changes of the selected pair (W3C webrtc-stats)."""

    def configure(self, configuration: IceConfiguration, servers: tuple[Server, ...]) -> None:
        """Set the configuration and the servers for the next generation."""
        self._configuration, self._servers = configuration, servers
        self._configured_at = time.time()

    # --- generations

    @property
    def _fragment_length(self) -> int:
        """Length of new username fragments; on a shared port no two may be equal."""
        return 4 if self._configuration.udp_mux is None else SHARED_FRAGMENT_LENGTH

    @property
    def _newest(self) -> Generation:
        if self._pending:
            return self._pending[-1]
        if self._current is None:
            # Created on demand: a connection may be constructed before its event loop runs.
            self._current = self._make(self._first_credentials, is_restart=False)
        return self._current

    def _make(self, credentials: Credentials, *, is_restart: bool) -> Generation:
        fragment = credentials.local_username
        made = Generation(
            self._configuration,
            self._servers,
            Listener(
                candidate=lambda found: self._listener.candidate(found, fragment),
                credentials=self._latest_credentials,
                error=self._listener.error,
                complete=lambda: self._listener.complete(fragment),
                changed=self._on_changed,
                packet=self.received.put,
                relay_lost=self._on_relay_lost,
                record=self._listener.record,
            ),
            credentials=credentials,
            role=self._role,
            is_restart=is_restart,
            owner=self,
        )
        made.configured_at = self._configured_at
        return made

    def _latest_credentials(self, server: Server) -> tuple[str | None, str | None]:
        """Return the current credentials for a TURN server of an earlier configuration."""
        current = next((s for s in self._servers if s.url == server.url), server)
        return current.username, current.credential

    @property
    def _described(self) -> Generation:
        """The generation that the latest remote description refers to.

        A generation that was offered here and not answered yet is not the one.
        """
        newest = self._newest
        if newest.is_started or newest is self._answered or self._current is None:
            return newest
        return next((g for g in reversed(self._pending) if g.is_started), self._current)

    @property
    def _credentials(self) -> Credentials:
        if self._describes_prepared and self._prepared is not None:
            return self._prepared
        if self._pending:
            return self._pending[-1].checks.credentials
        return (
            self._first_credentials if self._current is None else self._current.checks.credentials
        )

    def prepare_restart(self) -> None:
        """Generate credentials for a new generation, to be offered."""
        if self._prepared is None:
            self._prepared = Credentials(random_string(self._fragment_length), random_string(22))

    def describe_prepared(self, wanted: bool) -> None:
        """Make :attr:`local_username` and :attr:`local_password` return the prepared credentials.

        Args:
            wanted: ``False`` returns to the credentials of the newest generation.
        """
        self._describes_prepared = wanted

    def adopt(self, fragment: str | None = None) -> bool:
        """Create the generation with the prepared credentials.

        Args:
            fragment: The username fragment of the local offer: the generation is created only if
                the prepared one equals it. ``None`` for an offer of the remote peer.

        Returns:
            ``True`` if a generation was created.
        """
        prepared = self._prepared
        if prepared is None or fragment not in (None, prepared.local_username):
            return False
        self._prepared = None
        if self._current is None or not self._current.is_gathering:
            self._first_credentials = prepared  # gathering has not started: nothing to restart
            self._current = None
            return True
        self.discard_next()
        generation = self._make(prepared, is_restart=True)
        self._pending.append(generation)
        self._answered = generation if fragment is None else None
        logger.debug("ICE restart: generation %s", prepared.local_username)
        return True

    def take_answer(self) -> None:
        """Record the answer to the offered generation: later remote candidates belong to it."""
        self._answered = self._newest

    def discard_next(self) -> None:
        """Discard the newest generation if it has not been negotiated; the others stay."""
        self._answered = None
        if self._pending and not self._pending[-1].is_started:
            self._retired.add(self._pending.pop(), 0)

    @property
    def is_restarting(self) -> bool:
        """True if a new generation is being checked while another one is in use."""
        return bool(self._pending)

    # --- local

    @property
    def local_username(self) -> str:
        """The username fragment of the newest generation."""
        return self._credentials.local_username

    @property
    def local_password(self) -> str:
        """The password of the newest generation."""
        return self._credentials.local_password

    @property
    def local_candidates(self) -> list[Candidate]:
        """The local candidates of the newest generation so far, as announced to the remote peer."""
        if self._current is None or (self._describes_prepared and self._prepared is not None):
            return []
        announced = (candidate.announced() for candidate in self._newest.local_candidates)
        return [candidate for candidate in announced if candidate is not None]

    @property
    def ice_controlling(self) -> bool:
        """True if the local agent is controlling (RFC 8445 section 6.1.1)."""
        return self._role.controlling

    @ice_controlling.setter
    def ice_controlling(self, controlling: bool) -> None:
        self._role.controlling = controlling

    @property
    def wants_to_gather(self) -> bool:
        """True if the newest generation has not started gathering."""
        return not self._newest.is_gathering

    async def gather_candidates(self) -> None:
        """Gather host candidates, and query the servers in the background."""
        if not self._is_closed:
            await self._newest.gather()

    @property
    def has_gathered(self) -> bool:
        """True if the newest generation has completed gathering."""
        return self._newest.gathered.is_set()

    async def wait_until_gathered(self, timeout: float) -> None:
        """Wait until gathering is complete.

        Args:
            timeout: Maximum time to wait, in seconds; it returns normally after that.

        Cancellation: safe.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._newest.gathered.wait()
        except TimeoutError:
            return

    # --- remote

    @property
    def remote_candidates(self) -> list[RTCIceCandidate]:
        """The remote candidates known so far, including peer-reflexive ones."""
        return [remote.candidate for remote in self._described.checks.list.remotes.values()]

    @property
    def remote_username(self) -> str | None:
        """The remote username fragment last negotiated; ``None`` before."""
        return self._remote_username

    def add_remote_candidate(self, candidate: RTCIceCandidate | None) -> None:
        """Add a candidate for the latest remote description; ``None`` is the end of candidates."""
        if not self._is_closed:
            self._described.remote_candidates.add(candidate)

    # --- the connection

    def start(self, username: str, password: str, *, lite: bool) -> None:
        """Start the checks of the newest generation with the remote credentials.

        Nothing happens if the credentials are those already in use.

        Args:
            username: Remote username fragment.
            password: Remote password.
            lite: True if the remote peer is an ICE-lite implementation (RFC 8445 section 2.5).
        """
        newest = self._newest
        if self._is_closed or newest.is_started or not newest.is_gathering:
            return
        if username == self._remote_username:
            return  # the restart is not answered yet: these belong to the previous generation
        self._remote_username = username
        newest.start(username, password, lite=lite)
        while self._pending and self._pending[0] is not newest:
            self._retired.add(self._pending.pop(0), LINGER)  # superseded before it worked

    def is_refused(self, username: str) -> bool:
        """Return whether the remote peer answered a restart with its previous credentials."""
        return (
            bool(self._pending)
            and not self._pending[-1].is_started
            and username == self._remote_username
        )

    async def usable(self) -> bool:
        """Wait until the first path is established; return ``False`` if the agent was closed.

        Cancellation: safe.
        """
        await self._usable.wait()
        return not self._is_closed

    async def recv(self) -> bytes:
        """Receive the next datagram.

        Raises:
            ConnectionError: The agent is closed.

        Cancellation: safe; no datagram is lost.
        """
        return await self.received.get()

    async def send(self, data: bytes) -> None:
        """Send a datagram; it is dropped while there is no path.

        Raises:
            ConnectionError: The agent is closed.
        """
        path = self.path
        if path is not None:
            path.send_all([data])

    async def close(self) -> None:
        """Close all generations; takes about the configuration's ``close_timeout`` at most.

        A second call waits for the first.
        """
        first = not self._is_closed
        self._is_closed = True
        self._usable.set()
        self.received.close()
        if first:
            self.state = IceState.CLOSED
        closings = [generation.close() for generation in self.generations]
        await asyncio.gather(self._retired.close(), *closings)

    # --- the path

    @property
    def generation(self) -> Generation | None:
        """The generation in use, or the first one before it works."""
        return self._current

    @property
    def path(self) -> Generation | None:
        """The generation that sends; ``None`` before there is one, while nothing can be sent.

        Raises:
            ConnectionError: The agent is closed.
        """
        if self._is_closed:
            raise ConnectionError("the ICE agent is closed")
        return self._current

    @property
    def generations(self) -> tuple[Generation, ...]:
        """The generation in use and those that may replace it."""
        return tuple(g for g in (self._current, *self._pending) if g is not None)

    @property
    def selected_pair(self) -> Pair | None:
        """The candidate pair that carries data; ``None`` before a check succeeds."""
        return self._current.selected if self._current is not None else None

    @property
    def failure(self) -> Failure | None:
        """The cause, if the state is ``failed``."""
        return self._current.checks.failure if self._current is not None else None

    def addresses_changed(self, gatherable: set[str]) -> None:
        """Handle a change of the machine's addresses.

        Args:
            gatherable: The addresses that host candidates may use.
        """
        if self._is_closed or not self._newest.is_gathering:
            return
        before = {c.host for c in self._newest.local_candidates if c.type == "host"}
        present = {str(address) for address in current_interfaces()}
        for generation in self.generations:
            generation.drop_addresses(present)
        self.probe_path()
        if gatherable - before:
            self._listener.trouble("the machine has new addresses", silent=False)

    def probe_path(self) -> None:
        """Probe the paths of the generation in use at once."""
        if self._current is not None and self._current.is_started:
            self._current.probe_path()

    @property
    def relays_by_replaced_credentials(self) -> bool:
        """True if the selected path has a local relay, and its server has other credentials now.

        RFC 8656 section 5: the user name of an allocation cannot be changed. A server that checks
        whether a user name has expired ends the allocation, or refuses to refresh it.
        """
        current, pair = self._current, self.selected_pair
        if current is None or pair is None or pair.local.type != "relay" or self._pending:
            return False
        server = current.server_of(pair.local)
        if server is None:
            return False
        return self._latest_credentials(server) != (server.username, server.credential)

    def _on_relay_lost(self, reason: str) -> None:
        logger.info("relay lost: %s", reason)
        selected = self.selected_pair
        if selected is None or selected.is_relayed:
            self._listener.trouble(reason, silent=False)

    def _on_changed(self) -> None:
        if self._is_closed:
            return
        for generation in list(self._pending):
            self._maybe_switch(generation)
        current = self._current
        if current is None:
            return
        self._announce_selected(current.selected)
        state = current.checks.state
        if state is not self.state:
            before, self.state = self.state, state
            logger.debug("ICE %s -> %s", before, state)
            self._listener.record(IceStateChanged(str(state), str(current.checks.failure or "")))
            if state is IceState.COMPLETED:
                self._usable.set()
            self._listener.state()
            if state is IceState.DISCONNECTED:
                self._listener.trouble("the path is silent", silent=True)

    def _announce_selected(self, pair: Pair | None) -> None:
        if pair is not self._announced:
            before, self._announced = self._announced, pair
            self.selected_pair_changes += 1
            now = asyncio.get_running_loop().time()
            self._listener.selected(before is not None and is_doubtful(before, now))

    def _maybe_switch(self, candidate: Generation) -> None:
        replaced, pair = self._current, candidate.selected
        if candidate.checks.state is IceState.FAILED:
            self._pending.remove(candidate)
            self._retired.add(candidate, 0)
            return
        if pair is None:
            return
        is_settled = (
            pair is candidate.checks.nominated
            or not pair.detour
            or pair.packets_received > 0  # the remote peer has already switched
        )
        if replaced is not None and not is_settled and replaced.has_direct_path:
            return  # keep the direct path until the checks have settled for a relay
        self._current = candidate
        self._pending.remove(candidate)
        if replaced is not None:
            self._retired.add(replaced, LINGER)
        logger.info("ICE restart done: %s", pair.kind)
