"""The pump of a room's signaling: reads each event, and hands it to a connection or to a policy.

A :class:`~.room.Room` and the meeting of a file transfer have one each. They connect with different
participants, which their :class:`Policy` decides.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from logging import Logger
from typing import Any, Protocol
from weakref import WeakSet

from aiortc import RTCSessionDescription

from icefloe.logs import get_logger
from icefloe.signaling import (
    Error,
    Event,
    IceCandidate,
    IceServer,
    PeerAway,
    PeerBack,
    PeerBye,
    PeerCandidate,
    PeerDescription,
    PeerGone,
    PeerInfo,
    PeerJoined,
    PeerMessage,
    Rejoined,
    Renewed,
    SignalingClient,
    SignalingError,
)

from ..connection.remote_candidates import END_OF_CANDIDATES, RemoteCandidate, read_candidate
from ..errors import InvalidCandidate, PairingError
from .remote_peer import RemotePeer

logger: Logger = get_logger(__name__)


class Policy(Protocol):
    """Decides with which participants there is a connection.

    A pump makes one call at a time, in the order of the events.
    """

    def joined(self, info: PeerInfo, *, senior: bool) -> None:
        """Take a participant, which is senior if it was in the room before this program."""

    def presence_changed(self, id: str, *, away: bool) -> None:
        """Note that a participant has lost its connection to the server, or is back."""

    def left(self, id: str, reason: str) -> None:
        """Let go of a participant, which is gone for good."""

    def hung_up(self, id: str) -> None:
        """Let go of a connection that the participant has ended."""

    def rejoined(self) -> None:
        """Let go of all participants: the own seat is a new one. Who is there joins after this."""

    def renewed(self, servers: Iterable[IceServer]) -> None:
        """Take other ICE servers, or new credentials for them."""

    def connection(self, id: str) -> RemotePeer | None:
        """Return the connection with a participant; ``None`` if there is none that lives."""

    async def admits(self, id: str, description: RTCSessionDescription) -> bool:
        """Return whether a description may be looked at.

        Raises:
            PairingError: It shows an attack; this ends the pump.
        """

    def unconnected(self, id: str, item: RTCSessionDescription | RemoteCandidate) -> None:
        """Take a description or a candidate of a participant without a connection."""

    async def message(self, id: str, data: object) -> None:
        """Take data of the application.

        Raises:
            PairingError: It ends the pump.
        """


class RunningPeers:
    """The connections of a room that run, each in a task of its own."""

    def __init__(self) -> None:
        self._tasks: dict[RemotePeer, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, peer: RemotePeer, running: Coroutine[Any, Any, None]) -> None:
        """Run a connection.

        Args:
            peer: The connection.
            running: Its ``run()``, with what is to be done after it.
        """
        task = asyncio.create_task(running, name=f"peer {peer.name}")
        self._tasks[peer] = task
        task.add_done_callback(lambda _: self._tasks.pop(peer))

    def end(self, reason: str) -> None:
        """End all connections, without waiting for them."""
        for peer in list(self._tasks):
            peer.end(reason)

    async def end_all(self, reason: str) -> None:
        """End all connections, and wait until they are closed."""
        self.end(reason)
        if tasks := list(self._tasks.values()):
            await asyncio.wait(tasks)


class SignalingPump:
    """Reads what signaling brings, checks it, and hands it to a connection or to the policy.

    A participant that says more than its connection works off loses what is too much, and holds up
    nobody else.

    Args:
        client: The signaling client, which was entered.
        policy: Decides about the participants.

    Attributes:
        lock: Held while an event is handled; a policy with a task of its own takes it as well.
        peers: The connections that run.
    """

    def __init__(self, client: SignalingClient, policy: Policy) -> None:
        self._client = client
        self._policy = policy
        self._flooded: WeakSet[RemotePeer] = WeakSet()
        self.lock: asyncio.Lock = asyncio.Lock()
        self.peers: RunningPeers = RunningPeers()

    def begin(self) -> None:
        """Tell the policy who is in the room already."""
        self._meet(self._client.peers)

    async def run(self) -> Exception | None:
        """Handle events until the signaling client is closed.

        Returns:
            ``None``, or the error that ended it before: signaling is lost for good, the policy has
            raised, or there is a fault here, which is logged.

        Cancellation: safe.
        """
        try:
            async for event in self._client:
                async with self.lock:
                    await self._handle(event)
        except (SignalingError, PairingError) as error:
            return error
        except Exception as error:
            # A fault here must not look like the end of the room.
            logger.exception("signaling has failed, calls go on")
            return error
        return None

    def suspect(self, peer: RemotePeer) -> None:
        """Have signaling checked if a connection has no path, which may have cut it off as well."""
        if peer.connection.connectionState == "disconnected":
            self._client.suspect()

    def _meet(self, infos: Iterable[PeerInfo]) -> None:
        for info in infos:
            self._policy.joined(info, senior=True)

    async def _handle(self, event: Event) -> None:
        policy = self._policy
        match event:
            case PeerCandidate(from_=id, candidate=candidate):
                self._on_candidate(id, candidate)
            case PeerDescription(from_=id, description=sent):
                await self._on_description(id, RTCSessionDescription(sdp=sent.sdp, type=sent.type))
            case PeerMessage(from_=id, data=data):
                await policy.message(id, data)
            case PeerJoined(peer=info):
                policy.joined(info, senior=False)
            case PeerAway(id=id):
                policy.presence_changed(id, away=True)
            case PeerBack(id=id):
                policy.presence_changed(id, away=False)
            case PeerGone(id=id, reason=reason):
                policy.left(id, reason)
            case PeerBye(from_=id):
                policy.hung_up(id)
            case Rejoined(joined=joined):
                policy.rejoined()
                self._meet(joined.peers)
            case Renewed(iceServers=servers):
                policy.renewed(servers)
            case Error(code=code, message=message):
                logger.info("the signaling server says %s: %s", code, message)

    async def _on_description(self, id: str, description: RTCSessionDescription) -> None:
        if not await self._policy.admits(id, description):
            return
        if (peer := self._policy.connection(id)) is None:
            self._policy.unconnected(id, description)
        elif not peer.negotiator.take_description(description):
            self._tell_flooded(peer)

    def _on_candidate(self, id: str, sent: IceCandidate | None) -> None:
        peer = self._policy.connection(id)
        try:
            candidate = _read(sent)
        except InvalidCandidate as error:
            if peer is not None:
                logger.warning("ignored a candidate that cannot be read")
            logger.debug("%s", error)
            return
        if peer is None:
            self._policy.unconnected(id, candidate)
        elif not peer.negotiator.take_candidate(candidate):
            self._tell_flooded(peer)

    def _tell_flooded(self, peer: RemotePeer) -> None:
        """Log, once a peer, that its messages are dropped because they are too many."""
        if peer not in self._flooded:
            self._flooded.add(peer)
            logger.warning(
                "%s says more over signaling than can be worked off: it is dropped", peer.name
            )


def _read(sent: IceCandidate | None) -> RemoteCandidate:
    """Read a candidate of a message; the form that it gets here goes down to the check list."""
    if sent is None:
        return END_OF_CANDIDATES
    return read_candidate(
        sent, sent.candidate, sent.sdpMid, sent.sdpMLineIndex, sent.usernameFragment
    )
