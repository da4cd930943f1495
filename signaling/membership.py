"""The client's view of its seat and of the other participants. No I/O: time is passed in."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from msgspec import UnsetType, structs

from .messages import (
    IceServer,
    Joined,
    LeftReason,
    NewIceServers,
    PeerAway,
    PeerBack,
    PeerBye,
    PeerCandidate,
    PeerDescription,
    PeerGone,
    PeerInfo,
    PeerJoined,
    PeerMessage,
    PeerRights,
    ServerMessage,
)
from .outbox import Outbox


@dataclass(frozen=True, slots=True)
class Rejoined:
    """The client lost its seat and has a new one; ids and messages of the old one are void.

    Attributes:
        joined: The new seat. The peers in ``joined.peers`` were in the room before this client
            joined again.
        dropped: The number of messages that waited for the old seat and were not sent.
    """

    joined: Joined
    dropped: int


@dataclass(frozen=True, slots=True)
class Renewed:
    """The server has sent other ICE servers, or new credentials for them.

    Attributes:
        iceServers: The ICE servers to use from now on.
    """

    iceServers: tuple[IceServer, ...]


Event = ServerMessage | Rejoined | Renewed
"""Everything that a client receives from the server."""


MAX_PEERS = 10_000
"""The largest number of other participants that a client keeps; it ignores further ones."""


class Roster:
    """The other participants of the room, in the order of arrival; at most :data:`MAX_PEERS`."""

    def __init__(self, peers: Iterable[PeerInfo] = ()) -> None:
        self._peers = {peer.id: peer for peer in islice(peers, MAX_PEERS)}

    @property
    def peers(self) -> list[PeerInfo]:
        """The current participants."""
        return list(self._peers.values())

    def apply(self, event: Event) -> bool:
        """Update the participants with an event.

        Returns:
            Whether the application needs the event: false if it repeats what is already known of
            the participants, true for events that are not about them.
        """
        match event:
            case PeerJoined(peer=peer):
                is_new = peer.id not in self._peers
                if is_new and len(self._peers) >= MAX_PEERS:
                    return False
                self._peers[peer.id] = peer
                return is_new
            case PeerAway(id=id):
                return self._set_away(id, away=True)
            case PeerBack(id=id):
                return self._set_away(id, away=False)
            case PeerRights(id=id, may=may):
                return self._set_rights(id, may)
            case PeerGone(id=id):
                return self._peers.pop(id, None) is not None
            case Rejoined(joined=joined):
                self._peers = {peer.id: peer for peer in islice(joined.peers, MAX_PEERS)}
        return True

    def changes_to(self, peers: Iterable[PeerInfo]) -> list[ServerMessage]:
        """Return the events that lead from the current participants to the given ones."""
        present = {peer.id: peer for peer in islice(peers, MAX_PEERS)}
        changes: list[ServerMessage] = [
            PeerGone(id, LeftReason.LEFT) for id in self._peers if id not in present
        ]
        for id, peer in present.items():
            known = self._peers.get(id)
            if known is None:
                changes.append(PeerJoined(peer))
                continue
            if known.away != peer.away:
                changes.append(PeerAway(id) if peer.away else PeerBack(id))
            if known.may != peer.may:
                changes.append(
                    PeerRights(id, ("send",) if isinstance(peer.may, UnsetType) else peer.may)
                )
        return changes

    def _set_away(self, id: str, *, away: bool) -> bool:
        known = self._peers.get(id)
        if known is None or known.away == away:
            return False
        self._peers[id] = structs.replace(known, away=away)
        return True

    def _set_rights(self, id: str, may: tuple[str, ...]) -> bool:
        known = self._peers.get(id)
        if known is None or known.may == may:
            return False
        self._peers[id] = structs.replace(known, may=may)
        return True


class Membership:
    """The client's state of its seat.

    Args:
        joined: The message that gave the client the seat.

    Attributes:
        joined: The last ``joined`` message, of the first join or of a resume, with the ICE servers
            that came since.
        outbox: Messages that were sent and may be lost, or that wait to be sent.
        received: The number of the last message that arrived.
    """

    def __init__(self, joined: Joined) -> None:
        self.joined: Joined = joined
        self.outbox: Outbox = Outbox()
        self.received: int = 0
        self._roster = Roster(joined.peers)

    def receive(self, message: ServerMessage) -> bool:
        """Process a message from the server.

        Returns:
            Whether the application needs the message: false if it has arrived before, or repeats
            what is already known.
        """
        match message:
            case PeerDescription() | PeerCandidate() | PeerMessage() | PeerBye():
                if isinstance(message.seq, UnsetType):
                    return True
                if message.seq <= self.received:
                    return False
                self.received = message.seq
                return True
            case PeerRights(id=id, may=may) if id == self.joined.id:
                self.joined = structs.replace(self.joined, may=may)
                return True
        return self._roster.apply(message)

    def renew(self, message: NewIceServers) -> None:
        """Take over other ICE servers."""
        self.joined = structs.replace(
            self.joined, iceServers=message.iceServers, expires=message.expires
        )

    def resume(self, joined: Joined, now: float) -> tuple[list[ServerMessage], list[bytes]] | None:
        """Continue with the seat over a new socket.

        Args:
            joined: The answer to the resume.
            now: Seconds on a monotonic clock.

        Returns:
            The changes in the room since the old socket broke, and the messages to write to the new
            socket at once; ``None`` if the server lacks a message that is no longer kept.
        """
        ack = None if isinstance(joined.ack, UnsetType) else joined.ack
        payloads = self.outbox.resume(ack, now)
        if payloads is None:
            return None
        self.joined = joined
        changes = self._roster.changes_to(joined.peers)
        for change in changes:
            self._roster.apply(change)
        return changes, payloads
