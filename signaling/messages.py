"""The messages of the wire protocol, version 1, as structures. No I/O.

``docs/protocol.md`` is the specification. Every message is one JSON object (RFC 8259) with a
``type``. Payloads are the browser's own dictionaries (W3C webrtc-pc: ``RTCSessionDescriptionInit``,
``RTCIceCandidateInit``, ``RTCIceServer``) under the browser's names.

:mod:`icefloe.signaling.codec` reads and writes them.
"""

from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from icefloe.text import public_url

VERSION = 1
"""The version of the protocol."""

_EXACT = 2**53  # the integers that a JavaScript number holds exactly

Label = Annotated[
    str,
    Meta(min_length=1, max_length=64, pattern=r"\A[^\x00-\x1f\x7f-\x9f]*\Z"),
]
"""A room or a name: 1 to 64 characters, no control characters (Unicode category Cc)."""

Id = Annotated[str, Meta(min_length=1, max_length=64)]
"""The id of a peer, as the server gave it."""

Ref = (
    Annotated[str, Meta(max_length=64)]
    | Annotated[int, Meta(ge=-_EXACT, le=_EXACT)]
    | float
    | UnsetType
    | None
)
"""What a client may put on a message so as to recognise an error about it."""

Seq = Annotated[int, Meta(ge=1, le=_EXACT)] | UnsetType
"""The number of a message among those of one seat, from 1."""

Ack = Annotated[int, Meta(ge=0, le=_EXACT)] | UnsetType
"""The number of the last message that arrived; 0 for none."""


class PeerInfo(Struct, frozen=True):
    """A participant of the room.

    Attributes:
        id: The id under which it is reached.
        name: Its name, unique in the room.
        away: Whether its connection is lost at the moment.
    """

    id: Id
    name: Annotated[str, Meta(max_length=64)]  # what is in it is the server's affair
    away: bool = False


class SessionDescription(Struct, frozen=True):
    """An offer or an answer.

    Spec: W3C webrtc-pc, ``RTCSessionDescriptionInit``, without ``rollback``, which is local.
    """

    type: Literal["offer", "answer"]
    sdp: str

    def __repr__(self) -> str:
        # There is an ICE password in it.
        return f"SessionDescription(type={self.type!r}, sdp=<{len(self.sdp)} characters>)"


class IceCandidate(Struct, frozen=True, omit_defaults=True):
    """A candidate; ``candidate=""`` ends the candidates of one media section.

    Spec: W3C webrtc-pc, ``RTCIceCandidateInit``.
    """

    candidate: str
    sdpMid: str | None = None
    sdpMLineIndex: Annotated[int, Meta(ge=0, le=65535)] | None = None
    usernameFragment: str | None = None

    def __post_init__(self) -> None:
        if self.candidate and self.sdpMid is None and self.sdpMLineIndex is None:
            raise ValueError("A candidate needs `sdpMid` or `sdpMLineIndex`")


class IceServer(Struct, frozen=True, omit_defaults=True):
    """A STUN or TURN server.

    Spec: W3C webrtc-pc, ``RTCIceServer``.
    """

    urls: str | list[str]
    username: str | None = None
    credential: str | None = None

    def __repr__(self) -> str:
        # The credential stays out of logs, and so does one that is in a URL by mistake.
        urls = [self.urls] if isinstance(self.urls, str) else self.urls
        return f"IceServer(urls={[public_url(url) for url in urls]!r})"


# ---- from a client -----------------------------------------------------------------------------


class Join(Struct, frozen=True, kw_only=True, tag="join"):
    """Take a seat in a room, or take up one again.

    Attributes:
        room: The room.
        name: The name, unique in the room.
        token: What admits to the room, if the server asks for it.
        resume: The secret from the last ``joined``, to take up that seat.
        ack: With ``resume``: the last message of that seat that arrived.
        rename: If the name is taken, ask for it with a number after it: ``bot-2``.
    """

    version: int = VERSION
    room: Label
    name: Label
    token: str | UnsetType | None = UNSET
    resume: str | UnsetType | None = UNSET
    ack: Ack = UNSET
    rename: bool | UnsetType = UNSET
    ref: Ref = UNSET

    def __repr__(self) -> str:
        return f"Join(room={self.room!r}, name={self.name!r})"  # no secrets in logs


class Description(Struct, frozen=True, tag="description"):
    """Send an offer or an answer to a peer."""

    to: Id
    description: SessionDescription
    ref: Ref = UNSET
    seq: Seq = UNSET


class Candidate(Struct, frozen=True, tag="candidate"):
    """Send a candidate to a peer; ``None`` ends the candidates of all media sections."""

    to: Id
    candidate: IceCandidate | None = None
    ref: Ref = UNSET
    seq: Seq = UNSET


class Message(Struct, frozen=True, tag="message"):
    """Send the application's own data to a peer: anything that JSON can express.

    A server reads ``data`` as :class:`msgspec.Raw` and hands it on byte by byte.
    """

    to: Id
    data: Any
    ref: Ref = UNSET
    seq: Seq = UNSET


class Bye(Struct, frozen=True, tag="bye"):
    """Tell a peer that the connection with it is over."""

    to: Id
    ref: Ref = UNSET
    seq: Seq = UNSET


class Leave(Struct, frozen=True, tag="leave"):
    """Give the seat back; the server closes the WebSocket with 1000."""

    ref: Ref = UNSET


# ---- from the server ---------------------------------------------------------------------------


class _ServerStruct(Struct, frozen=True, rename={"from_": "from"}):
    """What comes from the server; ``from`` is a word of Python's, hence ``from_``."""


class Joined(_ServerStruct, frozen=True, tag="joined"):
    """The seat is taken.

    Attributes:
        id: The own id.
        peers: Who else is in the room, in the order of arrival.
        resume: The secret with which to take up the seat after the connection broke. Each
            ``joined`` brings a new one.
        iceServers: The servers to use.
        expires: When ``iceServers`` lapse, in seconds since the epoch.
        ack: After a resume: the last numbered message of this client that arrived.
        name: The own name, if it is not the one that was asked for.
    """

    id: str
    peers: list[PeerInfo]
    resume: str
    iceServers: list[IceServer] = []
    expires: int | UnsetType | None = UNSET
    ack: Ack = UNSET
    name: Label | UnsetType = UNSET

    def __repr__(self) -> str:
        return f"Joined(id={self.id!r}, peers={self.peers!r})"  # no secrets in logs


class PeerJoined(_ServerStruct, frozen=True, tag="peer-joined"):
    """Somebody came; it makes the first offer."""

    peer: PeerInfo


class PeerAway(_ServerStruct, frozen=True, tag="peer-away"):
    """A peer lost its connection to the server and may come back."""

    id: str


class PeerBack(_ServerStruct, frozen=True, tag="peer-back"):
    """A peer that was away is back."""

    id: str


class PeerLeft(_ServerStruct, frozen=True, tag="peer-left"):
    """A peer is gone for good.

    Attributes:
        reason: As in :class:`LeftReason`; a newer server may know more.
    """

    id: str
    reason: str


class PeerDescription(_ServerStruct, frozen=True, tag="description"):
    """An offer or an answer from a peer."""

    from_: str
    description: SessionDescription
    seq: Seq = UNSET


class PeerCandidate(_ServerStruct, frozen=True, tag="candidate"):
    """A candidate from a peer; ``None`` ends the candidates of all media sections."""

    from_: str
    candidate: IceCandidate | None = None
    seq: Seq = UNSET


class PeerMessage(_ServerStruct, frozen=True, tag="message"):
    """The application's own data from a peer."""

    from_: str
    data: Any
    seq: Seq = UNSET


class PeerBye(_ServerStruct, frozen=True, tag="bye"):
    """A peer says that the connection with it is over."""

    from_: str
    seq: Seq = UNSET


class Error(_ServerStruct, frozen=True, tag="error"):
    """A message of this client was not acted upon.

    Attributes:
        code: As in :class:`ErrorCode`; a newer server may know more.
        message: A sentence.
        ref: The ``ref`` of that message, if it had one.
    """

    code: str
    message: str
    ref: Ref = UNSET


class LeftReason(StrEnum):
    """Why a peer is gone."""

    LEFT = "left"
    """It left."""

    TIMEOUT = "timeout"
    """It was away for too long."""

    REMOVED = "removed"
    """The server ended its seat."""


class CloseCode(IntEnum):
    """Why the server closes a WebSocket (RFC 6455 section 7.4)."""

    NORMAL = 1000
    """The client left."""

    GOING_AWAY = 1001
    """The server shuts down; connect again in a moment."""

    POLICY = 1008
    """The client did not join in time."""

    TOO_BIG = 1009
    """A message was larger than 256 KiB, or than 64 KiB from who has not joined."""

    TAKEN_OVER = 4000
    """Another connection resumed this seat; do not connect again."""


ToPeer = Description | Candidate | Message | Bye
"""What a client sends to one peer."""

ClientMessage = Join | Description | Candidate | Message | Bye | Leave
"""Any message from a client."""

FromPeer = PeerDescription | PeerCandidate | PeerMessage | PeerBye
"""What a peer sent."""

ServerMessage = Joined | PeerJoined | PeerAway | PeerBack | PeerLeft | FromPeer | Error
"""Any message from the server."""
