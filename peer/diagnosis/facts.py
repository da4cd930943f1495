"""The facts about a connection that :func:`~.diagnose.diagnose` goes by, as plain values."""

from dataclasses import dataclass, field
from enum import StrEnum

from ..ice.facts import IceFacts


class DtlsProblem(StrEnum):
    """The reason why a DTLS handshake failed."""

    NONE = ""
    FINGERPRINT = "fingerprint"
    """The certificate is not the one of the description."""
    SRTP_PROFILE = "srtp-profile"
    """No SRTP profile was agreed on."""
    HANDSHAKE = "handshake"
    """OpenSSL gave it up, or the remote peer sent an alert."""


@dataclass(frozen=True, slots=True)
class DtlsFacts:
    """A DTLS transport.

    Attributes:
        state: Its state.
        problem: The reason of the state ``failed``.
        role: ``client``, ``server`` or ``auto``.
        remote_role: The role that the remote description claims, likewise.
        seconds: Time since the handshake began.
        received: Datagrams of the handshake that came.
        largest_received: Size of the largest one, in bytes.
        hello_received: True if a ClientHello came.
        sent: Datagrams sent.
    """

    state: str = "new"
    problem: DtlsProblem = DtlsProblem.NONE
    role: str = "auto"
    remote_role: str = "auto"
    seconds: float = 0.0
    received: int = 0
    largest_received: int = 0
    hello_received: bool = False
    sent: int = 0


@dataclass(frozen=True, slots=True)
class SctpFacts:
    """The SCTP association of the data channels.

    Attributes:
        state: Its state.
        seconds: Time since it was begun.
        received: Packets that came.
        reason: The reason of its end.
    """

    state: str = "new"
    seconds: float = 0.0
    received: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """A media section.

    Attributes:
        kind: ``audio`` or ``video``.
        mid: Its mid.
        rejected: True if it was rejected although this side did not stop it.
        sends: True if the negotiated direction has this side send, and there is a track.
        receives: True if it has the remote peer send.
        seconds: Time since the direction was negotiated and the connection was up.
        sent: Packets sent.
        received: Packets received.
        decoded: Pictures, or pieces of sound, that were decoded.
        key_frame: True once a key frame came; of audio always.
        read: True if somebody reads the track.
    """

    kind: str
    mid: str = ""
    rejected: bool = False
    sends: bool = False
    receives: bool = False
    seconds: float = 0.0
    sent: int = 0
    received: int = 0
    decoded: int = 0
    key_frame: bool = True
    read: bool = True


class ClosedBySide(StrEnum):
    """The side that closed a connection."""

    NOBODY = ""
    US = "us"
    THEM = "them"


@dataclass(frozen=True, slots=True)
class ConnectionFacts:
    """All that is known of a connection at one time.

    Attributes:
        seconds: Age of the connection.
        local_described: True if there is a local description.
        remote_described: True if there is a remote one.
        peer_left: The reason, if the remote peer has left the room.
        signaling_lost: True if the signaling connection is lost.
        ice: The ICE transport that is worst off; ``None`` before there is one.
        dtls: Its DTLS transport.
        sctp: The association; ``None`` without data channels.
        media: The media sections.
        closed_by: The side that closed the connection.
    """

    seconds: float = 0.0
    local_described: bool = False
    remote_described: bool = False
    peer_left: str = ""
    signaling_lost: bool = False
    ice: IceFacts | None = None
    dtls: DtlsFacts = field(default_factory=DtlsFacts)
    sctp: SctpFacts | None = None
    media: tuple[MediaFacts, ...] = ()
    closed_by: ClosedBySide = ClosedBySide.NOBODY
