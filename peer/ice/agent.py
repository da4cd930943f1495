"""The ICE agent that takes the place of aiortc's ``aioice.Connection``.

It is a facade over *generations*: each has its own credentials, candidates and checks, and under
all of them live the same DTLS, SCTP and SRTP. Today there is one generation; an ICE restart
(RFC 8445 section 9) is another one that takes over when it works.
"""

import asyncio

from aioice import Candidate, ConnectionClosed
from aioice.ice import CandidatePair, ConnectionEvent

from ..configuration import PeerConfiguration
from .generation import Generation, Listener
from .servers import Server


class IceAgent:
    """What aiortc's ICE transport talks to, see :data:`icefloe.peer._aiortc.AGENT_CONTRACT`.

    Args:
        configuration: The peer connection's configuration.
        servers: Its STUN and TURN servers.
        listener: Whom to tell of local candidates.
        username: Local username fragment; random if ``None``.
        password: Local password; random if ``None``.
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
        self._generation = Generation(
            configuration, servers, listener, username=username, password=password
        )

    # --- local

    @property
    def local_username(self) -> str:
        """The username fragment of the generation in use."""
        return self._generation.local_username

    @property
    def local_password(self) -> str:
        """Its password."""
        return self._generation.local_password

    @property
    def local_candidates(self) -> list[Candidate]:
        """The local candidates found so far."""
        return self._generation.local_candidates

    @property
    def ice_controlling(self) -> bool:
        """Whether this side nominates (RFC 8445 section 6.1.1)."""
        return self._generation.ice_controlling

    @ice_controlling.setter
    def ice_controlling(self, controlling: bool) -> None:
        self._generation.ice_controlling = controlling

    async def gather_candidates(self) -> None:
        """Gather host candidates, and ask the servers in the background."""
        await self._generation.gather_candidates()

    async def wait_until_gathered(self, timeout: float) -> None:
        """Wait until no further local candidate will come.

        Args:
            timeout: Seconds after which it returns all the same.

        Cancellation: safe.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._generation.gathered.wait()
        except TimeoutError:
            return

    # --- remote

    @property
    def remote_candidates(self) -> list[Candidate]:
        """The remote candidates known so far, peer-reflexive ones included."""
        return self._generation.remote_candidates

    @property
    def remote_username(self) -> str | None:
        """The other side's username fragment."""
        return self._generation.remote_username

    @remote_username.setter
    def remote_username(self, username: str | None) -> None:
        self._generation.remote_username = username

    @property
    def remote_password(self) -> str | None:
        """The other side's password."""
        return self._generation.remote_password

    @remote_password.setter
    def remote_password(self, password: str | None) -> None:
        self._generation.remote_password = password

    @property
    def remote_is_lite(self) -> bool:
        """Whether the other side is an ICE-lite implementation (RFC 8445 section 2.5)."""
        return self._generation.remote_is_lite

    @remote_is_lite.setter
    def remote_is_lite(self, lite: bool) -> None:
        self._generation.remote_is_lite = lite

    async def add_remote_candidate(self, remote_candidate: Candidate | None) -> None:
        """Take a remote candidate, or with ``None`` the end of them."""
        await self._generation.add_remote_candidate(remote_candidate)

    # --- the connection

    async def connect(self) -> None:
        """Run connectivity checks.

        Raises:
            ConnectionError: No pair works.
        """
        await self._generation.connect()

    async def get_event(self) -> ConnectionEvent | None:
        """Return :class:`aioice.ConnectionClosed` when the connection is lost or closed."""
        return await self._generation.get_event() or ConnectionClosed()

    async def recv(self) -> bytes:
        """Receive the next datagram.

        Raises:
            ConnectionError: The connection is lost or closed.
        """
        return await self._generation.recv()

    async def send(self, data: bytes) -> None:
        """Send a datagram.

        Raises:
            ConnectionError: The connection is not established.
        """
        await self._generation.send(data)

    async def close(self) -> None:
        """Free everything; takes at most the configuration's ``closeTimeout``."""
        await self._generation.close()

    @property
    def selected_pair(self) -> CandidatePair | None:
        """The candidate pair that carries the data, once there is one."""
        return self._generation.selected

    @property
    def round_trip_time(self) -> float | None:
        """Seconds that the latest answered check over the selected pair took."""
        return self._generation.round_trip_time
