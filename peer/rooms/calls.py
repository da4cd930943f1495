"""The calls of a room: this program is connected with everybody else who is in it."""

import asyncio
from collections.abc import Callable, Iterable
from logging import Logger
from weakref import WeakSet

from aiortc import RTCSessionDescription
from msgspec import structs

from icefloe.logs import get_logger
from icefloe.signaling import IceServer, LeftReason, PeerInfo, SignalingClient

from ..configuration import PeerConfiguration
from ..connection.remote_candidates import RemoteCandidate
from .call_budget import Callers
from .going_on import Questions, claim, fingerprints, is_same
from .remote_peer import RemotePeer
from .signaler import RoomSignaler, renew_servers, with_servers
from .signaling_pump import SignalingPump
from .surviving_calls import Outlived

logger: Logger = get_logger(__name__)

MOST_PEERS = 256
"""Participants with whom there is a connection; more are ignored. Each has sockets and a task, and
the signaling server says how many there are."""

_INSIST = 3.0
"""Seconds between two looks for the signaling server while a call has no path: its recovery needs
signaling, and the pauses of the client are longer."""

_TOLD = frozenset({"failed", "hung-up"})
"""Ends of a connection that the remote peer cannot know of by itself."""


class Calls:
    """The participants of a room and the connections with them; the policy of its pump.

    Args:
        client: The signaling client.
        configuration: The configuration of each connection.
        connect_timeout: Seconds that a connection may take.
        came: Called with each new connection.
        went: Called with each connection that is over.

    Attributes:
        pump: The pump that tells what signaling brings.
        is_over: Set when signaling is over: there are no further connections then.
    """

    def __init__(
        self,
        client: SignalingClient,
        configuration: PeerConfiguration,
        connect_timeout: float,
        *,
        came: Callable[[RemotePeer], None],
        went: Callable[[RemotePeer], None],
    ) -> None:
        self._client = client
        self._configuration = configuration
        self._connect_timeout = connect_timeout
        self._came, self._went = came, went
        self._participants: dict[str, PeerInfo] = {}
        self._seniors: set[str] = set()
        self._peers: dict[str, RemotePeer] = {}
        self._outlived = Outlived()
        self._returning: set[str] = set()  # those with whom a call may go on
        self._continued: WeakSet[RemotePeer] = WeakSet()
        self._questions = Questions(
            lambda id, data: RoomSignaler(client, id).message(data), self._begin_anew
        )
        self._callers = Callers(self._answer)
        self._is_full = False
        self._insisting: asyncio.TimerHandle | None = None
        self.pump: SignalingPump = SignalingPump(client, self)
        self.is_over: bool = False

    @property
    def peers(self) -> tuple[RemotePeer, ...]:
        """The connections that there are, or are to be."""
        return (*self._peers.values(), *self._outlived)

    def stop(self) -> None:
        """Make no further connection, and end those that there are."""
        self.is_over = True
        self._callers.clear()
        self._questions.clear()
        if self._insisting is not None:
            self._insisting.cancel()
        self.pump.peers.end("room-closed")

    async def ended(self) -> None:
        """Wait until all connections are closed, after :meth:`stop`."""
        await self._questions.ended()
        await self.pump.peers.end_all("room-closed")

    # --- the policy of the pump

    def joined(self, info: PeerInfo, *, senior: bool) -> None:
        """Connect with a participant, or go on with the call of its last seat.

        The newcomer makes the first offer, or asks whether they go on.
        """
        if not self._has_room():
            return
        self._participants[info.id] = info
        if senior:
            self._seniors.add(info.id)
        if self._outlived.running(info.name) is None:
            self._connect(info)
            return
        self._returning.add(info.id)
        if senior and not info.away:
            self._ask(info)

    def presence_changed(self, id: str, *, away: bool) -> None:
        """Begin the connection with a participant that was away, if this side is to begin it.

        Whether one that is away has lost more than signaling shows at once, by a check of the path.
        """
        if info := self._participants.get(id):
            self._participants[id] = structs.replace(info, away=away)
        if peer := self._peers.get(id):
            peer.away = away
            if away:
                peer.connection.probe_paths()
            if not away and not peer.polite and peer not in self._continued:
                peer.start()
        elif not away and id in self._returning & self._seniors:
            self._ask(self._participants[id])

    def left(self, id: str, reason: str) -> None:
        """End the connection, or keep it if it is signaling alone that the participant has lost."""
        self._participants.pop(id, None)
        self._seniors.discard(id)
        self._forget_question(id)
        self._callers.forget(id)
        peer = self._peers.pop(id, None)
        if peer is not None and reason == LeftReason.TIMEOUT:
            self._outlived.keep_or_end(peer, reason)
        elif peer is not None:
            peer.end(reason)

    def hung_up(self, id: str) -> None:
        """End the connection; the participant may call again."""
        self._callers.hang_up(id)
        if peer := self._peers.pop(id, None):
            peer.end("bye")

    def rejoined(self) -> None:
        """Begin anew; calls that work go on until the new ones do."""
        for peer in self._peers.values():
            self._outlived.keep_or_end(peer, "rejoined")
        self._peers.clear()
        self._participants.clear()
        self._seniors.clear()
        self._returning.clear()
        self._questions.clear()
        self._callers.clear()

    def renewed(self, servers: Iterable[IceServer]) -> None:
        """Give the servers to all connections, unless the application has named its own."""
        connections = (peer.connection for peer in self._peers.values())
        renew_servers(connections, self._configuration, servers)

    def connection(self, id: str) -> RemotePeer | None:
        """Return the connection with a participant; ``None`` if there is none that lives."""
        peer = self._peers.get(id)
        return peer if peer is not None and not peer.has_ended else None

    async def admits(self, id: str, description: RTCSessionDescription) -> bool:
        """Admit everything: whoever is in the room may call.

        An offer with another certificate is one of a new call, of a participant that did not get
        the answer that the earlier one goes on.
        """
        peer = self.connection(id)
        if peer is not None and peer in self._continued and description.type == "offer":
            known = fingerprints(peer.connection.remoteDescription)
            if not set(fingerprints(description)) & set(known):
                del self._peers[id]
                self._outlived.keep_or_end(peer, "rejoined")
        return True

    def unconnected(self, id: str, item: RTCSessionDescription | RemoteCandidate) -> None:
        """Take a call of a participant, which has hung up before, and the candidates after it."""
        if isinstance(item, RemoteCandidate):
            self._callers.add_candidate(id, item)
        # An answer would be one to an offer of a connection that is over.
        elif id in self._participants and item.type == "offer":
            self._callers.call(id, item)

    async def message(self, id: str, data: object) -> None:
        """Take questions and answers about calls that go on; ignore all else."""
        info = self._participants.get(id)
        if info is None or not isinstance(data, dict):
            return
        if isinstance(asked := data.get("goOn"), dict):
            earlier = self._outlived.running(info.name) if id not in self._peers else None
            goes_on = earlier is not None and is_same(earlier.connection, asked)
            if goes_on and earlier is not None:
                self._go_on(info, earlier)
            self._questions.answer(id, goes_on)
        if isinstance(answer := data.get("goesOn"), bool) and self._questions.forget(id):
            earlier = self._outlived.running(info.name)
            if answer and earlier is not None:
                self._go_on(info, earlier)
            else:
                self._begin_anew(id)

    # --- calls that go on

    def _ask(self, info: PeerInfo) -> None:
        """Ask a participant whether the call of the last seats goes on."""
        earlier = self._outlived.running(info.name)
        asked = claim(earlier.connection) if earlier is not None else None
        if asked is None:
            self._begin_anew(info.id)
        else:
            self._questions.ask(info.id, asked)

    def _begin_anew(self, id: str) -> None:
        if id in self._participants and id not in self._peers and not self.is_over:
            self._connect(self._participants[id])

    def _go_on(self, info: PeerInfo, peer: RemotePeer) -> None:
        """Have a connection that works belong to the new seats."""
        self._forget_question(info.id)
        self._outlived.forget(peer)
        self._continued.add(peer)
        self._peers[info.id] = peer
        peer.connection.limit_restarts(self._callers.budget(info.id))
        peer.go_on(info.id, RoomSignaler(self._client, info.id), may_send=info.may_send)
        logger.info("%s: the call goes on, with new seats", peer.name)

    def _forget_question(self, id: str) -> None:
        self._returning.discard(id)
        self._questions.forget(id)

    # --- connections

    def _has_room(self) -> bool:
        """Return whether another participant may be connected."""
        was_full = self._is_full
        self._is_full = len(self._participants) >= MOST_PEERS or self._has_too_many_running
        if self._is_full and not was_full:
            logger.warning("more than %d participants: the rest is ignored", MOST_PEERS)
        return not self._is_full

    @property
    def _has_too_many_running(self) -> bool:
        # Those that end do so in a moment.
        return len(self.pump.peers) >= 2 * MOST_PEERS

    def _connect(self, info: PeerInfo) -> None:
        """Connect with a participant; whoever came later makes the offer."""
        peer = self._connect_with(info)
        if info.id in self._seniors and not info.away:
            peer.start()
        peer.away = info.away

    def _connect_with(self, info: PeerInfo) -> RemotePeer:
        self._forget_question(info.id)
        peer = RemotePeer(
            id=info.id,
            name=info.name,
            polite=info.id not in self._seniors,
            signaler=RoomSignaler(self._client, info.id),
            configuration=with_servers(self._configuration, self._client),
            connect_timeout=self._connect_timeout,
            restarts=self._callers.budget(info.id),
            may_send=info.may_send,
            report=self._client.report,
            is_signaling=lambda: self._client.is_connected,
        )
        peer.connection.on("connectionstatechange", lambda: self._on_state(peer))
        self._peers[info.id] = peer
        self.pump.peers.start(peer, self._run(peer))
        self._came(peer)
        return peer

    def _answer(
        self, id: str, offer: RTCSessionDescription, candidates: list[RemoteCandidate]
    ) -> None:
        """Make another connection, for an offer."""
        if self.is_over or self._has_too_many_running or self.connection(id) is not None:
            return
        negotiator = self._connect_with(self._participants[id]).negotiator
        negotiator.take_description(offer)
        for candidate in candidates:
            negotiator.take_candidate(candidate)

    async def _run(self, peer: RemotePeer) -> None:
        try:
            await peer.run()
            if await peer.ended() in _TOLD:
                await RoomSignaler(self._client, peer.id).bye()
        finally:
            self._went(peer)
            self._outlived.forget(peer)
            if self._peers.get(peer.id) is peer:
                del self._peers[peer.id]

    # --- calls without a path

    def _on_state(self, peer: RemotePeer) -> None:
        self._outlived.look(peer)
        self.pump.suspect(peer)
        if peer.connection.connectionState == "disconnected" and self._insisting is None:
            self._insist_later()

    def _insist_later(self) -> None:
        self._insisting = asyncio.get_running_loop().call_later(_INSIST, self._insist)

    def _insist(self) -> None:
        self._insisting = None
        states = {peer.connection.connectionState for peer in self._peers.values()}
        if states & {"disconnected", "failed"} and not self.is_over:
            if not self._client.is_connected:
                self._client.suspect()
            self._insist_later()
