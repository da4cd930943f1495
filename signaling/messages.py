# Longer than 400 lines: one type for each message of the protocol.
"""Message types of the signaling protocol, version 1. No I/O.

``docs/protocol.md`` is the specification. Every message is one JSON object (RFC 8259) with a
``type``. Payloads are the dictionaries of W3C webrtc-pc under their own names:
``RTCSessionDescriptionInit``, ``RTCIceCandidateInit`` and ``RTCIceServer``.

:mod:`icefloe.signaling.codec` encodes and decodes the messages.
"""

from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from icefloe.text import public_url

VERSION = 1
"""The version of the protocol."""

_SAFE_INTEGER = 2**53  # a JavaScript number represents integers up to this exactly

Label = Annotated[
    str,
    Meta(min_length=1, max_length=64, pattern=r"\A[^\x00-\x1f\x7f-\x9f]*\Z"),
]
"""The name of a room or participant: 1 to 64 characters, no control characters (category Cc)."""

Id = Annotated[str, Meta(min_length=1, max_length=64)]
"""The id that the server gave to a participant."""

Ref = (
    Annotated[str, Meta(max_length=64)]
    | Annotated[int, Meta(ge=-_SAFE_INTEGER, le=_SAFE_INTEGER)]
    | float
    | UnsetType
    | None
)
"""A client's own reference for a message, which the server repeats in an error about it."""

Seq = Annotated[int, Meta(ge=1, le=_SAFE_INTEGER)] | UnsetType
"""The number of a message among those of one seat in one direction, from 1."""

Ack = Annotated[int, Meta(ge=0, le=_SAFE_INTEGER)] | UnsetType
"""The number of the last message that arrived; 0 for none."""


May = Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=16)] | UnsetType
"""The rights of a participant in the room, as in :class:`.rights.Right`; absent: ``send`` alone."""


class PeerInfo(Struct, frozen=True):
    """A participant of the room.

    Attributes:
        id: Its id, the address of messages to it.
        name: Its name, unique in the room.
        away: Whether it has lost its connection to the server and may come back.
        may: What it may do in the room, ``send`` and ``moderate``; absent: ``send`` alone.
    """

    id: Id
    name: Annotated[str, Meta(max_length=64)]  # the server has validated its characters
    away: bool = False
    may: May = UNSET

    @property
    def may_send(self) -> bool:
        """True if it may send audio and video."""
        return isinstance(self.may, UnsetType) or "send" in self.may

    @property
    def may_moderate(self) -> bool:
        """True if it may remove participants, and lock and close the room."""
        return not isinstance(self.may, UnsetType) and "moderate" in self.may


class SessionDescription(Struct, frozen=True):
    """An offer or an answer.

    Spec: W3C webrtc-pc, ``RTCSessionDescriptionInit``, without the type ``rollback``, which is only
    local.
    """

    type: Literal["offer", "answer"]
    sdp: str

    def __repr__(self) -> str:
        # The SDP contains an ICE password.
        return f"SessionDescription(type={self.type!r}, sdp=<{len(self.sdp)} characters>)"


class IceCandidate(Struct, frozen=True, omit_defaults=True):
    """An ICE candidate; ``candidate=""`` ends the candidates of one media section.

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
        # Keeps the credential out of logs, and one that is in a URL by mistake.
        urls = [self.urls] if isinstance(self.urls, str) else self.urls
        return f"IceServer(urls={[public_url(url) for url in urls]!r})"


# ---- from a client -----------------------------------------------------------------------------


class Join(Struct, frozen=True, kw_only=True, tag="join"):
    """Take a seat in a room, or resume a seat.

    Attributes:
        version: The version of the protocol.
        room: The room.
        name: The name, unique in the room.
        token: The token that admits to the room, if the server requires one.
        resume: The secret from the last ``joined``, to resume that seat.
        ack: With ``resume``: the number of the last message of that seat that arrived.
        rename: Ask for the name with a number after it, as ``bot-2``, if the name is taken.
        ref: The client's reference for an error about this message.
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
    """Send application data to a peer: any JSON value.

    The server decodes ``data`` as :class:`msgspec.Raw` and forwards its bytes unchanged.
    """

    to: Id
    data: Any
    ref: Ref = UNSET
    seq: Seq = UNSET


class Bye(Struct, frozen=True, tag="bye"):
    """Tell a peer that the peer connection with it has ended."""

    to: Id
    ref: Ref = UNSET
    seq: Seq = UNSET


class Leave(Struct, frozen=True, tag="leave"):
    """Leave the room and give up the seat; the server closes the WebSocket with 1000."""

    ref: Ref = UNSET


class Remove(Struct, frozen=True, tag="remove"):
    """Remove a participant from the room. Needs the right to moderate, as do the next three."""

    to: Id
    ref: Ref = UNSET


class Lock(Struct, frozen=True, tag="lock"):
    """Lock the room, so that only moderators enter it, or unlock it."""

    locked: bool
    ref: Ref = UNSET


class CloseRoom(Struct, frozen=True, tag="close-room"):
    """Remove all participants, the sender included."""

    ref: Ref = UNSET


class HandOver(Struct, frozen=True, tag="hand-over"):
    """Give the right to moderate to another participant, and give it up."""

    to: Id
    ref: Ref = UNSET


class ReportPhase(StrEnum):
    """A phase of connecting two peers, as clients report them."""

    SIGNALING = "signaling"
    """Until the remote peer's description is there."""

    GATHERING = "gathering"
    """Until there is a local candidate."""

    CHECKS = "connectivity-checks"
    """Until a candidate pair is selected."""

    DTLS = "dtls"
    """Until the encryption is established."""

    TOTAL = "total"
    """All of it."""


class ReportPath(StrEnum):
    """The kind of the selected candidate pair, by the end that is further from the other."""

    HOST = "host"
    """Both ends are addresses of the machines themselves."""

    SRFLX = "srflx"
    """An end is the address of a NAT that a STUN server has told."""

    PRFLX = "prflx"
    """An end is the address of a NAT that the other peer has seen."""

    TCP = "tcp"
    """The pair is one of ICE over TCP."""

    RELAY = "relay"
    """The pair goes over a TURN server."""


LONGEST_REPORT_SECONDS = 3600.0
"""The longest time in a report of a client, in seconds."""

_ReportSeconds = Annotated[
    dict[ReportPhase, Annotated[float, Meta(ge=0, le=LONGEST_REPORT_SECONDS)]],
    Meta(max_length=len(ReportPhase)),
]


class Report(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="report"):
    """Tell the server, for its metrics, how connecting with a peer went; see ``Joined.reports``.

    Attributes:
        path: The kind of the path, if the connection works.
        phase: The phase in which it failed, if it does not; never ``total``.
        seconds: Seconds that the phases took, at most an hour each.
        ref: The client's reference for an error about this message.
    """

    path: ReportPath | UnsetType = UNSET
    phase: ReportPhase | UnsetType = UNSET
    seconds: _ReportSeconds = {}
    ref: Ref = UNSET

    def __post_init__(self) -> None:
        if (self.path is UNSET) == (self.phase is UNSET):
            raise ValueError("A report has either `path` or `phase`")
        if self.phase is ReportPhase.TOTAL:
            raise ValueError("A connection fails in a phase, and `total` is none")


# ---- from the server ---------------------------------------------------------------------------


class _ServerStruct(Struct, frozen=True, rename={"from_": "from"}):
    """The base class of server messages. The field ``from`` is ``from_``, as it is a keyword."""


class Joined(_ServerStruct, frozen=True, tag="joined"):
    """The client has a seat.

    Attributes:
        id: The id of this client.
        peers: The other participants of the room, in the order of arrival.
        resume: The secret that resumes the seat after the connection broke. Each ``joined`` brings
            a new one.
        iceServers: The STUN and TURN servers to use.
        expires: The time at which the credentials of ``iceServers`` expire, in seconds since the
            epoch.
        ack: After a resume: the number of the last message of this client that arrived.
        name: The name of this client, if it is not the one that it asked for.
        may: What this client may do in the room; absent: ``send`` alone.
        reports: Whether the server takes :class:`Report` messages; a client sends none without it.
    """

    id: str
    peers: list[PeerInfo]
    resume: str
    iceServers: list[IceServer] = []
    expires: int | UnsetType | None = UNSET
    ack: Ack = UNSET
    name: Label | UnsetType = UNSET
    may: May = UNSET
    reports: bool | UnsetType = UNSET

    def __repr__(self) -> str:
        return f"Joined(id={self.id!r}, peers={self.peers!r})"  # no secrets in logs


class NewIceServers(_ServerStruct, frozen=True, tag="ice-servers"):
    """Other STUN and TURN servers, or new credentials for them, before the previous ones expire.

    Attributes:
        iceServers: The servers to use from now on, in place of the previous ones.
        expires: The time at which their credentials expire, in seconds since the epoch.
    """

    iceServers: list[IceServer]
    expires: int | UnsetType | None = UNSET


class PeerJoined(_ServerStruct, frozen=True, tag="peer-joined"):
    """A participant has joined; it makes the first offer."""

    peer: PeerInfo


class PeerAway(_ServerStruct, frozen=True, tag="peer-away"):
    """A peer lost its connection to the server and may come back."""

    id: str


class PeerBack(_ServerStruct, frozen=True, tag="peer-back"):
    """A peer that was away is back."""

    id: str


class PeerGone(_ServerStruct, frozen=True, tag="peer-left"):
    """A peer is gone for good.

    Attributes:
        id: The id of the peer.
        reason: The reason, as in :class:`LeftReason`; a newer server may send others.
    """

    id: str
    reason: str


class PeerRights(_ServerStruct, frozen=True, tag="rights"):
    """The rights of a participant have changed, or those of this client.

    Attributes:
        id: The id of the participant.
        may: What it may do now.
    """

    id: str
    may: Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=16)]


class RoomLocked(_ServerStruct, frozen=True, tag="room-locked"):
    """A moderator has locked the room, or unlocked it."""

    locked: bool


class Done(_ServerStruct, frozen=True, tag="done"):
    """The server has done what this client asked for as a moderator.

    Attributes:
        ref: The ``ref`` of the message, if it had one.
    """

    ref: Ref = UNSET


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
    """Application data from a peer."""

    from_: str
    data: Any
    seq: Seq = UNSET


class PeerBye(_ServerStruct, frozen=True, tag="bye"):
    """A peer has ended the peer connection with this client."""

    from_: str
    seq: Seq = UNSET


class Error(_ServerStruct, frozen=True, tag="error"):
    """The server refused a message of this client, or reads from it more slowly.

    Attributes:
        code: The error code, as in :class:`ErrorCode`; a newer server may send others.
        message: The reason, as a sentence.
        ref: The ``ref`` of the refused message, if it had one.
    """

    code: str
    message: str
    ref: Ref = UNSET


class LeftReason(StrEnum):
    """The reason why a peer is gone."""

    LEFT = "left"
    """The peer left."""

    TIMEOUT = "timeout"
    """The peer was away for too long."""

    REMOVED = "removed"
    """A moderator or the server removed the peer's seat."""


class CloseCode(IntEnum):
    """The code with which the server closes a WebSocket (RFC 6455 section 7.4)."""

    NORMAL = 1000
    """The client left."""

    GOING_AWAY = 1001
    """The server shuts down; connect again in a moment."""

    POLICY = 1008
    """The client did not join in time, or did not read what was sent to it."""

    TOO_BIG = 1009
    """A message was larger than 256 KiB, or larger than 64 KiB before the client had joined."""

    SERVICE_RESTART = 1012
    """The server is about to be restarted; connect again at once, to it or to another node."""

    TAKEN_OVER = 4000
    """Another connection resumed this seat; do not connect again."""

    REMOVED = 4003
    """A moderator removed this participant; do not connect again."""

    ROOM_CLOSED = 4004
    """A moderator closed the room; do not connect again."""


ToPeer = Description | Candidate | Message | Bye
"""A message from a client to one peer."""

ToModerate = Remove | Lock | CloseRoom | HandOver
"""A message from a moderator to the server."""

ClientMessage = Join | Description | Candidate | Message | Bye | Leave | ToModerate | Report
"""Any message from a client."""

FromPeer = PeerDescription | PeerCandidate | PeerMessage | PeerBye
"""A message from a peer."""

ServerMessage = (
    Joined
    | NewIceServers
    | PeerJoined
    | PeerAway
    | PeerBack
    | PeerGone
    | PeerRights
    | RoomLocked
    | Done
    | FromPeer
    | Error
)
"""Any message from the server."""


def forwarded(message: ToPeer, sender: str, seq: int) -> FromPeer:
    """Return a message to a peer as that peer receives it.

    Args:
        message: The message.
        sender: The id of the sender.
        seq: The number of the message among those to its receiver.
    """
    match message:
        case Description():
            return PeerDescription(sender, message.description, seq)
        case Candidate():
            return PeerCandidate(sender, message.candidate, seq)
        case Message():
            return PeerMessage(sender, message.data, seq)
        case Bye():
            return PeerBye(sender, seq)
