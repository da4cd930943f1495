"""A participant of the rendezvous room: its key exchange, and the connection that follows."""

from dataclasses import dataclass

from aiortc import RTCSessionDescription

from icefloe.signaling import PeerInfo, SignalingClient

from ..configuration import PeerConfiguration
from ..rooms.remote_peer import RemotePeer
from ..rooms.signaler import RoomSignaler, with_servers
from .key_exchange import Fingerprints, Pairing, PairingSide, encode


@dataclass(slots=True)
class Participant:
    """Another participant with which a key exchange was begun.

    Attributes:
        id: Its id in the room.
        pairing: The state of the key exchange.
        signaler: Sends messages to it.
        signature: Its signature of the fingerprints in its next description.
        peer: The connection with it, once it has shown that it has the code.
        is_away: Whether it has lost its connection to the signaling server.
    """

    id: str
    pairing: Pairing
    signaler: RoomSignaler
    signature: Fingerprints | None = None
    peer: RemotePeer | None = None
    is_away: bool = False

    @property
    def is_connected(self) -> bool:
        """True if there is a connection with it, or one is being made."""
        peer = self.peer
        if peer is None or peer.has_ended or self.is_away:
            return False
        return peer.connection.connectionState in ("new", "connecting", "connected")

    def make_peer(
        self,
        client: SignalingClient,
        side: PairingSide,
        configuration: PeerConfiguration,
        connect_timeout: float,
    ) -> RemotePeer:
        """Return a new connection with this participant, which is not started yet.

        Args:
            client: The signaling client, whose ICE servers are used if the configuration has none.
            side: The role of this program.
            configuration: The configuration of the connection.
            connect_timeout: Seconds that connecting may take.
        """
        self.peer = RemotePeer(
            id=self.id,
            name=str(side.other),
            polite=side is PairingSide.SENDER,
            signaler=_SigningSignaler(self.signaler, self.pairing),
            configuration=with_servers(configuration, client),
            connect_timeout=connect_timeout,
            is_signaling=lambda: client.is_connected,
        )
        return self.peer


class _SigningSignaler:
    """Sends the signature of its fingerprints before each description."""

    def __init__(self, signaler: RoomSignaler, pairing: Pairing) -> None:
        self._signaler, self._pairing = signaler, pairing
        self.candidate = signaler.candidate

    async def description(self, description: RTCSessionDescription) -> None:
        await self._signaler.message(encode(self._pairing.sign(description.sdp)))
        await self._signaler.description(description)


def has_role(info: PeerInfo, side: PairingSide) -> bool:
    """Return whether a participant joined the room in a role, as its name says."""
    return info.name.startswith(f"{side}-")
