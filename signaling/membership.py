"""What a client knows of its seat and of the others in the room. No I/O: time comes in."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from msgspec import UnsetType

from .messages import (
    IceServer,
    Joined,
    LeftReason,
    PeerAway,
    PeerBack,
    PeerBye,
    PeerCandidate,
    PeerDescription,
    PeerInfo,
    PeerJoined,
    PeerLeft,
    PeerMessage,
    ServerMessage,
)
from .outbox import Outbox


@dataclass(frozen=True, slots=True)
class Rejoined:
    """The seat was lost and the client has a new one: everything about the old one is void.

    Attributes:
        joined: The new seat; ``joined.peers`` are the peers now, each of them there before.
        dropped: How many messages waited for the old seat and were not sent.
    """

    joined: Joined
    dropped: int


@dataclass(frozen=True, slots=True)
class Renewed:
    """The server has named other ICE servers, or new credentials for them.

    Attributes:
        iceServers: What to use from now on.
    """

    iceServers: tuple[IceServer, ...]


Event = ServerMessage | Rejoined | Renewed
"""What a client hears."""


MOST_PEERS = 10_000
"""Participants that a client knows of; it is not told of more."""


class Roster:
    """Who else is in the room, in the order of arrival; at most :data:`MOST_PEERS`."""

    def __init__(self, peers: Iterable[PeerInfo] = ()) -> None:
        self._peers = {peer.id: peer for peer in islice(peers, MOST_PEERS)}

    @property
    def peers(self) -> list[PeerInfo]:
        """The peers of now."""
        return list(self._peers.values())

    def apply(self, event: Event) -> bool:
        """Take in an event.

        Returns:
            Whether it is news: for the rest, whether the room is not as it says already.
        """
        match event:
            case PeerJoined(peer=peer):
                is_news = peer.id not in self._peers
                if is_news and len(self._peers) >= MOST_PEERS:
                    return False
                self._peers[peer.id] = peer
                return is_news
            case PeerAway(id=id):
                return self._set_away(id, away=True)
            case PeerBack(id=id):
                return self._set_away(id, away=False)
            case PeerLeft(id=id):
                return self._peers.pop(id, None) is not None
            case Rejoined(joined=joined):
                self._peers = {peer.id: peer for peer in islice(joined.peers, MOST_PEERS)}
        return True

    def changes_to(self, peers: Iterable[PeerInfo]) -> list[ServerMessage]:
        """Return what must have happened for these peers to be there now."""
        present = {peer.id: peer for peer in islice(peers, MOST_PEERS)}
        changes: list[ServerMessage] = [
            PeerLeft(id, LeftReason.LEFT) for id in self._peers if id not in present
        ]
        for id, peer in present.items():
            known = self._peers.get(id)
            if known is None:
                changes.append(PeerJoined(peer))
            elif known.away != peer.away:
                changes.append(PeerAway(id) if peer.away else PeerBack(id))
        return changes

    def _set_away(self, id: str, *, away: bool) -> bool:
        known = self._peers.get(id)
        if known is None or known.away == away:
            return False
        self._peers[id] = PeerInfo(known.id, known.name, away)
        return True


class Membership:
    """A seat from the client's side.

    Args:
        joined: With which it began.

    Attributes:
        joined: The last ``joined``, of the beginning or of a resume.
        outbox: What was sent and may be lost, and what waits to be sent.
        received: The number of the last message that arrived.
    """

    def __init__(self, joined: Joined) -> None:
        self.joined = joined
        self.outbox = Outbox()
        self.received = 0
        self._roster = Roster(joined.peers)

    def receive(self, message: ServerMessage) -> bool:
        """Take in a message.

        Returns:
            Whether it is news; what arrived before, or says what is known, is not.
        """
        match message:
            case PeerDescription() | PeerCandidate() | PeerMessage() | PeerBye():
                if isinstance(message.seq, UnsetType):
                    return True
                if message.seq <= self.received:
                    return False
                self.received = message.seq
                return True
        return self._roster.apply(message)

    def resume(self, joined: Joined, now: float) -> tuple[list[ServerMessage], list[bytes]] | None:
        """Go on with the seat over a new socket.

        Args:
            joined: The answer to the resume.
            now: Seconds on a monotonic clock.
        Returns:
            What happened in the room meanwhile, and what is to be written to the new socket at
            once; ``None`` if the server lacks a message that is no longer kept.
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
