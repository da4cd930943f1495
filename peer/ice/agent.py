"""The ICE agent that takes the place of aiortc's ``aioice.Connection``.

It is a facade over *generations*: each has its own credentials, candidates and checks, and under
all of them live the same DTLS, SCTP and SRTP. An ICE restart (RFC 8445 section 9) makes another
generation; the one before it carries the data until the new one works, and still receives for a
while after that, since the other side may switch later.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from aioice import Candidate
from aioice.utils import random_string

from .._util.peer_logger import NamingLogger
from .checks.binding import Credentials, Role
from .checks.liveness import is_doubtful
from .checks.pair import Pair
from .checks.state import Failure, IceState
from .configuration import IceConfiguration
from .gather.interfaces import read_interfaces
from .gather.local_candidate import LocalCandidate
from .generation import Generation, Listener
from .server_urls import RTCPeerConnectionIceErrorEvent, Server
from .udp import TURN

logger = NamingLogger(__name__)

RECEIVE_QUEUE = 2048
"""Datagrams that may wait to be read; more are dropped, as a full socket buffer drops them."""

LINGER = 5.0
"""Seconds for which a generation that was replaced still receives."""

MAX_LINGERING = 2
"""Generations that were replaced and still receive. The oldest is closed before there is another
one, so that sockets do not grow in number with restarts that the other side asks for."""


class Trouble(Protocol):
    """Takes word of a path in danger."""

    def __call__(self, reason: str, *, silent: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class AgentListener:
    """Whom the agent tells.

    Attributes:
        candidate: Called with each local candidate and the username fragment it belongs to.
        error: Called for each server that gave none.
        complete: Called when a generation has no further candidate to come, with its fragment.
        state: Called when :attr:`IceAgent.state` has changed.
        selected: Called when :attr:`IceAgent.selected_pair` has changed, with whether the
            one before had fallen silent.
        trouble: Called when the path in use is in danger, with the reason, and whether all that
            is known is its silence, which the other side notices too.
    """

    candidate: Callable[[LocalCandidate, str], None]
    error: Callable[[RTCPeerConnectionIceErrorEvent], None]
    complete: Callable[[str], None]
    state: Callable[[], None]
    selected: Callable[[bool], None]
    trouble: Trouble


class IceAgent:
    """What aiortc's ICE transport talks to, see :data:`icefloe.peer._aiortc.AGENT_CONTRACT`.

    Args:
        configuration: The settings.
        servers: Its STUN and TURN servers.
        listener: Whom to tell.
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
        self._listener = listener
        self._role = Role.controlled()
        self._current: Generation | None = None
        self._pending: list[Generation] = []
        self._answered: Generation | None = None
        self._remote_username: str | None = None
        self._prepared: Credentials | None = None
        self._describes_prepared = False
        self._first = Credentials(username or random_string(4), password or random_string(22))
        self._retired: dict[Generation, asyncio.TimerHandle] = {}
        self._closings: set[asyncio.Task[None]] = set()
        self._packets: deque[bytes] = deque()
        self._arrived: asyncio.Future[None] | None = None
        self._turn_at = float("-inf")
        self._usable = asyncio.Event()
        self._is_closed = False
        self._announced: Pair | None = None
        self.take: Callable[[bytes], bool] = lambda packet: False
        """Asked first with each datagram whether it is taken at once; others are received."""
        self.state = IceState.NEW
        """The state of the transport."""
        self.selected_pair_changes = 0
        """How often another pair came to be in use, or none (W3C webrtc-stats)."""

    def configure(self, configuration: IceConfiguration, servers: tuple[Server, ...]) -> None:
        """Have the next generation go by another configuration and ask other servers."""
        self._configuration, self._servers = configuration, servers

    # --- generations

    @property
    def _newest(self) -> Generation:
        if self._pending:
            return self._pending[-1]
        if self._current is None:
            # Made when it is needed: a connection may be built before its loop runs.
            self._current = self._make(self._first, is_restart=False)
        return self._current

    def _make(self, credentials: Credentials, *, is_restart: bool) -> Generation:
        fragment = credentials.local_username
        return Generation(
            self._configuration,
            self._servers,
            Listener(
                candidate=lambda found: self._listener.candidate(found, fragment),
                credentials=self._latest_credentials,
                error=self._listener.error,
                complete=lambda: self._listener.complete(fragment),
                changed=self._on_changed,
                packet=self._on_packet,
                relay_lost=self._on_relay_lost,
            ),
            credentials=credentials,
            role=self._role,
            is_restart=is_restart,
        )

    def _latest_credentials(self, server: Server) -> tuple[str | None, str | None]:
        """Return the TURN credentials in force for a server that was named before."""
        named = next((s for s in self._servers if s.url == server.url), server)
        return named.username, named.credential

    @property
    def _described(self) -> Generation:
        """The generation that the other side's latest description is about.

        An offer made here is about another one, as long as it is not answered.
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
        return self._first if self._current is None else self._current.checks.credentials

    def prepare_restart(self) -> None:
        """Think up credentials for another generation, to be offered."""
        if self._prepared is None:
            self._prepared = Credentials(random_string(4), random_string(22))

    def describe_prepared(self, wanted: bool) -> None:
        """Have :attr:`local_username` and :attr:`local_password` be those that are prepared."""
        self._describes_prepared = wanted

    def adopt(self, fragment: str | None = None) -> bool:
        """Make the generation that was prepared, to be gathered and checked.

        Args:
            fragment: Only if it has this username fragment, as one has that is offered here;
                without, it is made for an offer of the other side.

        Returns:
            Whether there is a new generation.
        """
        prepared = self._prepared
        if prepared is None or fragment not in (None, prepared.local_username):
            return False
        self._prepared = None
        if self._current is None or not self._current.is_gathering:
            self._first = prepared  # nothing has begun that could be restarted
            self._current = None
            return True
        self.discard_next()
        generation = self._make(prepared, is_restart=True)
        self._pending.append(generation)
        self._answered = generation if fragment is None else None
        logger.debug("ICE restart: generation %s", prepared.local_username)
        return True

    def take_answer(self) -> None:
        """Note that what was offered is answered: candidates that follow belong to it."""
        self._answered = self._newest

    def discard_next(self) -> None:
        """Give up a generation that was not agreed on yet; the others stay."""
        self._answered = None
        if self._pending and not self._pending[-1].is_started:
            self._retire(self._pending.pop(), 0)

    @property
    def is_restarting(self) -> bool:
        """Whether there is a generation that does not work yet beside the one in use."""
        return bool(self._pending)

    def _retire(self, generation: Generation, seconds: float) -> None:
        while len(self._retired) >= MAX_LINGERING:
            self._end(next(iter(self._retired)))
        generation.retire()
        loop = asyncio.get_running_loop()
        self._retired[generation] = loop.call_later(seconds, self._end, generation)

    def _end(self, generation: Generation) -> None:
        self._retired.pop(generation).cancel()
        task = asyncio.get_running_loop().create_task(generation.close(), name="ICE retired")
        self._closings.add(task)
        task.add_done_callback(self._closings.discard)

    # --- local

    @property
    def local_username(self) -> str:
        """The username fragment of the newest generation."""
        return self._credentials.local_username

    @property
    def local_password(self) -> str:
        """Its password."""
        return self._credentials.local_password

    @property
    def local_candidates(self) -> list[Candidate]:
        """The newest generation's local candidates so far, as they are announced."""
        if self._current is None or (self._describes_prepared and self._prepared is not None):
            return []
        told = (candidate.announced() for candidate in self._newest.local_candidates)
        return [candidate for candidate in told if candidate is not None]

    @property
    def ice_controlling(self) -> bool:
        """Whether this side nominates (RFC 8445 section 6.1.1)."""
        return self._role.controlling

    @ice_controlling.setter
    def ice_controlling(self, controlling: bool) -> None:
        self._role.controlling = controlling

    @property
    def wants_to_gather(self) -> bool:
        """Whether the newest generation has not begun to gather."""
        return not self._newest.is_gathering

    async def gather_candidates(self) -> None:
        """Gather host candidates, and ask the servers in the background."""
        if not self._is_closed:
            await self._newest.gather()

    @property
    def has_gathered(self) -> bool:
        """Whether the newest generation has no further candidate to come."""
        return self._newest.gathered.is_set()

    async def wait_until_gathered(self, timeout: float) -> None:
        """Wait until no further local candidate will come.

        Args:
            timeout: Seconds after which it returns all the same.

        Cancellation: safe.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._newest.gathered.wait()
        except TimeoutError:
            return

    # --- remote

    @property
    def remote_candidates(self) -> list[Candidate]:
        """The other side's candidates known so far, peer-reflexive ones included."""
        return [remote.candidate for remote in self._described.checks.list.remotes.values()]

    @property
    def remote_username(self) -> str | None:
        """The other side's username fragment, as it was last agreed on."""
        return self._remote_username

    async def add_remote_candidate(self, remote_candidate: Candidate | None) -> None:
        """Take a candidate of the other side's latest description, or the end of them."""
        if not self._is_closed:
            self._described.add_remote_candidate(remote_candidate)

    # --- the connection

    def start(self, username: str, password: str, *, lite: bool) -> None:
        """Begin to check with the other side's credentials; those in use change nothing.

        Args:
            username: Its username fragment.
            password: Its password.
            lite: Whether it is an ICE-lite implementation (RFC 8445 section 2.5).
        """
        newest = self._newest
        if self._is_closed or newest.is_started or not newest.is_gathering:
            return
        if username == self._remote_username:
            return  # not answered yet: these go with the generation before
        self._remote_username = username
        newest.start(username, password, lite=lite)
        while self._pending and self._pending[0] is not newest:
            self._retire(self._pending.pop(0), LINGER)  # replaced before it worked

    def is_refused(self, username: str) -> bool:
        """Tell whether a restart was answered with the credentials that the other side had."""
        return (
            bool(self._pending)
            and not self._pending[-1].is_started
            and username == self._remote_username
        )

    async def usable(self) -> bool:
        """Wait until there is a path for the first time; return whether there is.

        Cancellation: safe.
        """
        await self._usable.wait()
        return not self._is_closed

    async def recv(self) -> bytes:
        """Receive the next datagram.

        Raises:
            ConnectionError: The agent is closed.
        """
        loop = asyncio.get_running_loop()
        if self._packets and loop.time() - self._turn_at > TURN:
            await asyncio.sleep(0)  # who takes one after the other would not let others have theirs
            self._turn_at = loop.time()
        while not self._packets:
            if self._is_closed:
                raise ConnectionError("the ICE agent is closed")
            self._arrived = loop.create_future()
            try:
                await self._arrived
            finally:
                self._arrived = None
            self._turn_at = loop.time()
        return self._packets.popleft()

    async def send(self, data: bytes) -> None:
        """Send a datagram; while there is no path it is lost, as on any network.

        Raises:
            ConnectionError: The agent is closed.
        """
        if self._is_closed:
            raise ConnectionError("the ICE agent is closed")
        if self._current is not None:
            self._current.send_all([data])

    def send_all(self, packets: list[bytes]) -> None:
        """Send datagrams at once; while there is no path they are lost, as on any network.

        Raises:
            ConnectionError: The agent is closed.
        """
        if self._is_closed:
            raise ConnectionError("the ICE agent is closed")
        if self._current is not None:
            self._current.send_all(packets)

    def send_probe(self, packet: bytes) -> bool:
        """Send a datagram that is not to be fragmented on its way, as far as that can be said.

        Returns:
            ``False`` if it is too large for this machine's network.

        Raises:
            ConnectionError: The agent is closed.
        """
        if self._is_closed:
            raise ConnectionError("the ICE agent is closed")
        return self._current is None or self._current.send_probe(packet)

    async def close(self) -> None:
        """Free everything; takes at most the configuration's ``close_timeout``, and a little."""
        first = not self._is_closed
        self._is_closed = True
        self._usable.set()
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)
        for handle in self._retired.values():
            handle.cancel()
        generations = {*self._pending, *self._retired}
        if self._current is not None:
            generations.add(self._current)
        if first:
            self.state = IceState.CLOSED
        await asyncio.gather(*(generation.close() for generation in generations))
        if self._closings:
            await asyncio.wait(self._closings)

    # --- the path

    @property
    def generation(self) -> Generation | None:
        """The generation that carries the data, or is to."""
        return self._current

    @property
    def generations(self) -> tuple[Generation, ...]:
        """The generation in use, and those that are to replace it, as far as they exist."""
        return tuple(g for g in (self._current, *self._pending) if g is not None)

    @property
    def selected_pair(self) -> Pair | None:
        """The candidate pair that carries the data, once there is one."""
        return self._current.selected if self._current is not None else None

    @property
    def failure(self) -> Failure | None:
        """Why there is no connection, if the state is ``failed``."""
        return self._current.checks.failure if self._current is not None else None

    def addresses_changed(self, gatherable: set[str]) -> None:
        """Note that the machine has other addresses.

        Args:
            gatherable: Those that host candidates may have.
        """
        if self._is_closed or not self._newest.is_gathering:
            return
        before = {c.host for c in self._newest.local_candidates if c.type == "host"}
        present = {str(address) for address in read_interfaces()}
        for generation in self.generations:
            generation.drop_addresses(present)
        self.suspect()
        if gatherable - before:
            self._listener.trouble("the machine has new addresses", silent=False)

    def suspect(self) -> None:
        """Look at the path in use at once."""
        if self._current is not None and self._current.is_started:
            self._current.suspect()

    def _on_relay_lost(self, reason: str) -> None:
        logger.info("relay lost: %s", reason)
        selected = self.selected_pair
        if selected is None or selected.is_relayed:
            self._listener.trouble(reason, silent=False)

    def _on_packet(self, data: bytes) -> None:
        if self._pending:
            self._on_changed()
        if self.take(data):
            return
        if len(self._packets) < RECEIVE_QUEUE:
            self._packets.append(data)
            if self._arrived is not None and not self._arrived.done():
                self._arrived.set_result(None)

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
            self._retire(candidate, 0)
            return
        if pair is None:
            return
        is_settled = (
            pair is candidate.checks.nominated
            or not pair.is_relayed
            or pair.packets_received > 0  # the other side has left the path before
        )
        if replaced is not None and not is_settled and replaced.has_direct_path:
            return  # it is not left for a relay before the checks have settled for that
        self._current = candidate
        self._pending.remove(candidate)
        if replaced is not None:
            self._retire(replaced, LINGER)
        logger.info("ICE restart done: %s", pair.kind)
