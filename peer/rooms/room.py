# Longer than 400 lines: one public class and its pump of signaling messages.
"""``join()`` and ``Room``: everybody in a room, connected with everybody else."""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from aiortc import InvalidStateError, RTCSessionDescription

from icefloe.logs import get_logger
from icefloe.signaling import (
    Error,
    LeftReason,
    PeerAway,
    PeerBack,
    PeerBye,
    PeerCandidate,
    PeerDescription,
    PeerInfo,
    PeerJoined,
    PeerLeft,
    Rejoined,
    Renewed,
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
from .call_budget import Callers, Candidate
from .remote_peer import RemotePeer
from .signaler import RoomSignaler, init_of, usable_servers
from .surviving_calls import Outlived

logger = get_logger(__name__)

MOST_PEERS = 256
"""Participants with whom there is a connection; more are ignored. Each has sockets and a task, and
the signaling server says how many there are."""

_INSIST = 3.0
"""Seconds between two looks for the signaling server while a call has no path: its recovery needs
signaling, and the pauses of the client are longer."""

_TOLD = frozenset({"failed", "hung-up"})
"""Ends of a connection that the remote peer cannot know of by itself."""


def join(
    url: str,
    *,
    room: str,
    name: str,
    token: str | None = None,
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
        token: What the server admits with, if it asks for it.
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
    they go on. If it is lost for good, iterating raises what signaling raised.
    """

    def __init__(
        self,
        url: str,
        *,
        room: str,
        name: str,
        token: str | None,
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
        self._participants: dict[str, PeerInfo] = {}
        self._seniors: set[str] = set()
        self._peers: dict[str, RemotePeer] = {}
        self._outlived = Outlived()
        self._tasks: dict[RemotePeer, asyncio.Task[None]] = {}
        self._flooded: set[RemotePeer] = set()
        self._callers = Callers(self._answer_call)
        self._is_full = False
        self._arrivals: Arrivals[RemotePeer] = Arrivals()
        self._changed = asyncio.Event()
        self._is_over = False
        self._pumping: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._unwatch: Callable[[], None] | None = None
        self._insisting: asyncio.TimerHandle | None = None
        self._handlers: dict[type, Callable[[Any], Awaitable[None]]] = {
            PeerJoined: self._on_joined,
            PeerAway: self._on_away,
            PeerBack: self._on_back,
            PeerLeft: self._on_left,
            PeerDescription: self._on_description,
            PeerCandidate: self._on_candidate,
            PeerBye: self._on_bye,
            Rejoined: self._on_rejoined,
            Renewed: self._on_renewed,
            Error: self._on_error,
        }

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
        return (*self._peers.values(), *self._outlived)

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
                while here() is None and not self._is_over:
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

    async def attend(self, hold: Callable[[RemotePeer], Awaitable[object]]) -> None:
        """Run a task for each participant, as it comes, until the room is left.

        What goes wrong with one is logged and leaves the others alone: an error of ``icefloe.peer``
        as a warning, any other exception with its traceback.

        Args:
            hold: What to do with a participant; it is cancelled when that is gone.

        Raises:
            SignalingError: The server is lost for good, and the calls are over.

        Cancellation: safe; every task is cancelled and waited for.
        """
        await attend(self, hold)

    async def __aenter__(self) -> Self:
        client = self._client = await self._connecting.__aenter__()
        try:
            for info in client.peers:
                self._meet(info, senior=True)
            self._unwatch = watch(Selection(), lambda _: client.suspect())
        except BaseException:
            await self.__aexit__(*sys.exc_info())
            raise
        self._pumping = asyncio.create_task(self._pump(), name=f"room {client.id}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._stop_looking()
            for peer in list(self._tasks):  # at once, lest being cancelled here leaves any of them
                peer.end("room-closed")
            if self._pumping is not None:
                self._pumping.cancel()
                await asyncio.wait((self._pumping,))
            await self._end_all("room-closed")
        finally:
            await self._connecting.__aexit__(kind, error, traceback)

    # --- signaling

    async def _pump(self) -> None:
        try:
            async for message in self.client:
                handler = self._handlers.get(type(message))
                if handler is not None:
                    await handler(message)
        except SignalingError as error:
            logger.warning("signaling is lost, calls go on: %s", error)
            self._failure = error
        except Exception as error:
            # A fault here must not look like the end of the room.
            logger.exception("the room has failed, calls go on")
            self._failure = error
        finally:
            self._is_over = True
            self._arrivals.end()
            self._notify()

    def _notify(self) -> None:
        """Wake the callers of :meth:`peer`."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _meet(self, info: PeerInfo, *, senior: bool) -> None:
        if not self._has_room():
            return
        self._participants[info.id] = info
        if senior:
            self._seniors.add(info.id)
        peer = self._connect_with(info)
        if senior and not info.away:
            peer.start()
        peer.away = info.away

    def _has_room(self) -> bool:
        """Return whether another participant may be connected."""
        # Those that end do so in a moment.
        was_full = self._is_full
        self._is_full = len(self._participants) >= MOST_PEERS or len(self._tasks) >= 2 * MOST_PEERS
        if self._is_full and not was_full:
            logger.warning("more than %d participants: the rest is ignored", MOST_PEERS)
        return not self._is_full

    def _connect_with(self, info: PeerInfo) -> RemotePeer:
        configuration = self._configuration
        if configuration.iceServers is None:
            configuration = replace(
                configuration,
                iceServers=list(usable_servers(self.client.ice_servers)),
            )
        peer = RemotePeer(
            id=info.id,
            name=info.name,
            polite=info.id not in self._seniors,
            signaler=RoomSignaler(self.client, info.id),
            configuration=configuration,
            connect_timeout=self._connect_timeout,
            restarts=self._callers.budget(info.id),
        )
        peer.connection.on("connectionstatechange", lambda: self._on_state(peer))
        self._peers[info.id] = peer
        self._tasks[peer] = asyncio.create_task(self._run(peer), name=f"peer {info.name}")
        if not self._arrivals.put(peer):
            logger.warning("nobody takes the peers of this room; %s is there all the same", peer)
        self._notify()
        return peer

    async def _run(self, peer: RemotePeer) -> None:
        try:
            await peer.run()
            if await peer.ended() in _TOLD:
                await RoomSignaler(self.client, peer.id).bye()
        finally:
            self._arrivals.withdraw(peer)
            self._tasks.pop(peer, None)
            self._flooded.discard(peer)
            self._outlived.forget(peer)
            if self._peers.get(peer.id) is peer:
                del self._peers[peer.id]

    async def _end_all(self, reason: str) -> None:
        tasks = list(self._tasks.values())
        for peer in list(self._tasks):
            peer.end(reason)
        if tasks:
            await asyncio.wait(tasks)

    async def _on_joined(self, message: PeerJoined) -> None:
        self._meet(message.peer, senior=False)

    async def _on_away(self, message: PeerAway) -> None:
        if peer := self._peers.get(message.id):
            peer.away = True

    async def _on_back(self, message: PeerBack) -> None:
        if peer := self._peers.get(message.id):
            peer.away = False
            if not peer.polite:
                peer.start()

    async def _on_left(self, message: PeerLeft) -> None:
        self._participants.pop(message.id, None)
        self._seniors.discard(message.id)
        self._callers.forget(message.id)
        peer = self._peers.pop(message.id, None)
        if peer is not None and message.reason == LeftReason.TIMEOUT:
            self._outlived.keep_or_end(peer, message.reason)
        elif peer is not None:
            peer.end(message.reason)

    async def _on_bye(self, message: PeerBye) -> None:
        self._callers.hang_up(message.from_)
        if peer := self._peers.pop(message.from_, None):
            peer.end("bye")

    async def _on_description(self, message: PeerDescription) -> None:
        peer = self._peers.get(message.from_)
        sent = message.description
        description = RTCSessionDescription(sdp=sent.sdp, type=sent.type)
        if peer is not None and not peer.has_ended:
            self._tell_if_flooded(peer, is_taken=peer.take_description(description))
        # An answer would be one to an offer of a connection that is over.
        elif message.from_ in self._participants and description.type == "offer":
            self._callers.call(message.from_, description)

    def _answer_call(
        self, id: str, offer: RTCSessionDescription, candidates: list[Candidate]
    ) -> None:
        """Make another connection, for an offer."""
        peer = self._peers.get(id)
        # Those that end do so in a moment.
        is_full = len(self._tasks) >= 2 * MOST_PEERS
        if self._is_over or is_full or not (peer is None or peer.has_ended):
            return
        peer = self._connect_with(self._participants[id])
        peer.take_description(offer)
        for candidate in candidates:
            peer.take_candidate(candidate)

    async def _on_candidate(self, message: PeerCandidate) -> None:
        peer = self._peers.get(message.from_)
        candidate = init_of(message.candidate)
        if peer is None or peer.has_ended:
            self._callers.add_candidate(message.from_, candidate)
        else:
            self._tell_if_flooded(peer, is_taken=peer.take_candidate(candidate))

    def _tell_if_flooded(self, peer: RemotePeer, *, is_taken: bool) -> None:
        """Log, once a peer, that its messages are dropped because they are too many."""
        if not is_taken and peer not in self._flooded:
            self._flooded.add(peer)
            logger.warning(
                "%s says more over signaling than can be worked off: it is dropped", peer.name
            )

    async def _on_rejoined(self, message: Rejoined) -> None:
        # The seat was lost, and signaling begins anew; calls that work go on until the new ones do.
        for peer in self._peers.values():
            self._outlived.keep_or_end(peer, "rejoined")
        self._peers.clear()
        self._participants.clear()
        self._seniors.clear()
        self._callers.clear()
        for info in message.joined.peers:
            self._meet(info, senior=True)

    async def _on_renewed(self, message: Renewed) -> None:
        if self._configuration.iceServers is not None:
            return
        servers = list(usable_servers(message.iceServers))
        for peer in self._peers.values():
            held = peer.connection.getConfiguration()
            with suppress(InvalidStateError):  # it is being closed
                peer.connection.setConfiguration(replace(held, iceServers=servers))

    def _on_state(self, peer: RemotePeer) -> None:
        self._outlived.look(peer)
        # What cuts a call off may have cut off signaling as well, which its recovery needs.
        if peer.connection.connectionState == "disconnected":
            self.client.suspect()
            if self._insisting is None:
                self._insist_later()

    def _insist_later(self) -> None:
        self._insisting = asyncio.get_running_loop().call_later(_INSIST, self._insist)

    def _insist(self) -> None:
        self._insisting = None
        states = {peer.connection.connectionState for peer in self._peers.values()}
        if states & {"disconnected", "failed"} and not self._is_over:
            if not self.client.is_connected:
                self.client.suspect()
            self._insist_later()

    def _stop_looking(self) -> None:
        self._callers.clear()
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        self._is_over = True
        if self._insisting is not None:
            self._insisting.cancel()

    async def _on_error(self, message: Error) -> None:
        logger.info("the signaling server says %s: %s", message.code, message.message)
