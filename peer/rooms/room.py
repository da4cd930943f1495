"""``join()`` and ``Room``: everybody in a room, connected with everybody else."""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from logging import Logger
from types import TracebackType
from typing import Self

from icefloe.logs import get_logger
from icefloe.signaling import (
    CloseRoom,
    HandOver,
    Lock,
    Remove,
    RemovedFromRoom,
    Right,
    RoomClosed,
    SignalingClient,
    SignalingError,
    connect,
)

from ..configuration import PeerConfiguration
from ..errors import PeerNotHere
from ..ice.gather.interface_monitor import watch
from ..ice.gather.interfaces import Selection
from ..ice.server_urls import parse_servers
from .arrivals import Arrivals
from .attend import attend
from .calls import Calls
from .remote_peer import RemotePeer

logger: Logger = get_logger(__name__)


def join(
    url: str,
    *,
    room: str,
    name: str,
    token: str | Callable[[], Awaitable[str]] | None = None,
    configuration: PeerConfiguration | None = None,
    ssl: ssl.SSLContext | None = None,
    connect_timeout: float = 30.0,
    rename: bool = True,
) -> "Room":
    """Join a room, and connect with everybody in it; use it with ``async with``.

    Args:
        url: The signaling server, as ``ws://127.0.0.1:8080/ws``.
        room: The room, 1 to 64 characters.
        name: The own name, unique in the room, 1 to 64 characters; see ``rename``.
        token: The token that admits, if the server asks for one; or a coroutine function without
            arguments that returns one, which is called for each connection to the server. It may
            expire during a call: whoever has a seat keeps it.
        configuration: For every peer connection. Where it names no ``iceServers``, the signaling
            server's are used.
        ssl: How the certificate of a ``wss://`` server is verified.
        connect_timeout: Seconds that a peer has to become connected before waiting for it fails.
        rename: Whether another name will do if this one is taken: a second ``bot`` is ``bot-2``,
            as :attr:`Room.name` tells. With ``False`` it is refused (``JoinRefused`` with the code
            ``name-taken``), as it is by a server whose tokens stand for names.

    Raises:
        InvalidServerUrl: A URL in the configuration's ``iceServers`` is malformed.

    Returns:
        The room. Entering it raises ``icefloe.signaling.SignalingError`` if the server cannot be
        reached or refuses; leaving it leaves no task, socket or thread behind.
    """
    return Room(
        url,
        room=room,
        name=name,
        token=token,
        configuration=configuration,
        ssl=ssl,
        connect_timeout=connect_timeout,
        rename=rename,
    )


class Room:
    """The participants of a room. Iterating gives each one as it comes, once.

    Calls do not depend on the signaling connection once they run: while it is lost and comes back,
    they go on. If it is lost for good, iterating raises what signaling raised. A participant that a
    moderator removes (``icefloe.signaling.RemovedFromRoom``), and all when one closes the room
    (``RoomClosed``), are no longer connected with the others.
    """

    def __init__(
        self,
        url: str,
        *,
        room: str,
        name: str,
        token: str | Callable[[], Awaitable[str]] | None,
        configuration: PeerConfiguration | None,
        ssl: ssl.SSLContext | None,
        connect_timeout: float,
        rename: bool,
    ) -> None:
        self._connecting = connect(url, room=room, name=name, token=token, ssl=ssl, rename=rename)
        self._configuration = configuration or PeerConfiguration()
        parse_servers(self._configuration.iceServers)
        self._connect_timeout = connect_timeout
        self._client: SignalingClient | None = None
        self._calls: Calls | None = None
        self._arrivals: Arrivals[RemotePeer] = Arrivals()
        self._changed = asyncio.Event()
        self._pumping: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._unwatch: Callable[[], None] | None = None

    # --- for users

    @property
    def client(self) -> SignalingClient:
        """The signaling connection.

        Raises:
            RuntimeError: The room was not entered.
        """
        if self._client is None:
            raise RuntimeError("a room is entered with `async with join(…) as room`")
        return self._client

    @property
    def id(self) -> str:
        """The own id in the room."""
        return self.client.id

    @property
    def name(self) -> str:
        """The own name in the room, which may have got a number."""
        return self.client.name

    @property
    def peers(self) -> tuple[RemotePeer, ...]:
        """Everybody else to whom there is, or is to be, a connection."""
        return self._calls.peers if self._calls is not None else ()

    async def peer(self, name: str, *, timeout: float | None = None) -> RemotePeer:
        """Wait for the participant of this name.

        Args:
            name: Its name.
            timeout: Seconds to wait at most; ``None`` waits as long as the room is open.

        Raises:
            PeerNotHere: It did not come in time, or the room was left.

        Cancellation: safe.
        """

        def here() -> RemotePeer | None:
            living = (peer for peer in self.peers if not peer.has_ended)
            return next((peer for peer in living if peer.name == name), None)

        try:
            async with asyncio.timeout(timeout):
                while here() is None and not (self._calls and self._calls.is_over):
                    await self._changed.wait()
        except TimeoutError:
            raise PeerNotHere(name, timeout) from None
        found = here()
        if found is None:
            raise PeerNotHere(name, None) from self._failure
        return found

    async def __aiter__(self) -> AsyncIterator[RemotePeer]:
        async for peer in self._arrivals:
            if not peer.has_ended:
                yield peer
        if self._failure is not None:
            raise self._failure

    @property
    def rights(self) -> frozenset[Right]:
        """The rights of this program in the room."""
        return self.client.rights

    async def remove(self, name: str) -> None:
        """Remove a participant from the room, as a moderator; its token is refused from then on.

        Args:
            name: Its name.

        Raises:
            ModerationRefused: This program may not moderate, or the participant has just left.
            PeerNotHere: Nobody has this name.
            Unreachable: The signaling server cannot be reached now. All of these methods raise it.

        Cancellation: safe; the server may have done it. The same is true of the next four.
        """
        await self.client.moderate(Remove(to=self._id_of(name)))

    async def lock(self) -> None:
        """Lock the room, as a moderator: only moderators enter it.

        Participants that lose their connection to the server come back all the same.

        Raises:
            ModerationRefused: This program may not moderate.
        """
        await self.client.moderate(Lock(locked=True))

    async def unlock(self) -> None:
        """Unlock the room.

        Raises:
            ModerationRefused: This program may not moderate.
        """
        await self.client.moderate(Lock(locked=False))

    async def close_room(self) -> None:
        """Remove everybody from the room, this program included, as a moderator.

        Raises:
            ModerationRefused: This program may not moderate.
        """
        await self.client.moderate(CloseRoom())

    async def hand_over(self, name: str) -> None:
        """Give the right to moderate to another participant, and give it up.

        Args:
            name: The name of the participant.

        Raises:
            ModerationRefused: This program may not moderate, or the participant has just left.
            PeerNotHere: Nobody has this name.
        """
        await self.client.moderate(HandOver(to=self._id_of(name)))

    async def attend(self, hold: Callable[[RemotePeer], Awaitable[object]]) -> None:
        """Run a task for each participant, as it comes, until the room is left.

        What goes wrong with one is logged and leaves the others alone: an error of ``icefloe.peer``
        as a warning, any other exception with its traceback.

        Args:
            hold: What to do with a participant. A second after that is gone it is cancelled, if
                it has not ended by itself: all that it awaits of the peer returns or raises
                then, and a file that has just been saved is not lost to it.

        Raises:
            SignalingError: The server is lost for good, and the calls are over.

        Cancellation: safe; every task is cancelled and waited for.
        """
        await attend(self, hold)

    async def __aenter__(self) -> Self:
        client = self._client = await self._connecting.__aenter__()
        try:
            calls = self._calls = Calls(
                client,
                self._configuration,
                self._connect_timeout,
                came=self._on_came,
                went=self._arrivals.withdraw,
            )
            calls.pump.begin()
            self._unwatch = watch(Selection(), lambda _: client.suspect())
        except BaseException:
            await self.__aexit__(*sys.exc_info())
            raise
        self._pumping = asyncio.create_task(self._pump(calls), name=f"room {client.id}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self._unwatch is not None:
                self._unwatch()
                self._unwatch = None
            if self._calls is not None:
                self._calls.stop()  # at once, lest being cancelled here leaves any of them
            if self._pumping is not None:
                self._pumping.cancel()
                await asyncio.wait((self._pumping,))
            if self._calls is not None:
                await self._calls.ended()
        finally:
            await self._connecting.__aexit__(kind, error, traceback)

    # --- signaling

    def _id_of(self, name: str) -> str:
        found = next((info.id for info in self.client.peers if info.name == name), None)
        if found is None:
            raise PeerNotHere(name, 0)
        return found

    async def _pump(self, calls: Calls) -> None:
        try:
            self._failure = await calls.pump.run()
            if isinstance(self._failure, RemovedFromRoom | RoomClosed):
                logger.info("the room is over: %s", self._failure)
                calls.pump.peers.end("removed")
            elif isinstance(self._failure, SignalingError):
                logger.warning("signaling is lost, calls go on: %s", self._failure)
        finally:
            calls.is_over = True
            self._arrivals.end()
            self._notify()

    def _on_came(self, peer: RemotePeer) -> None:
        if not self._arrivals.put(peer):
            logger.warning("nobody takes the peers of this room; %s is there all the same", peer)
        self._notify()

    def _notify(self) -> None:
        """Wake the callers of :meth:`peer`."""
        self._changed.set()
        self._changed = asyncio.Event()
