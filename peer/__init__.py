"""The peer connection: trickle ICE, negotiation, rooms and data channels.

:func:`join` is the way most programs use it::

    async def greet(peer: RemotePeer) -> None:
        chat = await peer.open_channel("chat")
        await chat.send("hello")

    async with join("ws://127.0.0.1:8080/ws", room="lobby", name="bot") as room:
        await room.attend(greet)

:class:`PeerConnection` is a drop-in for ``aiortc.RTCPeerConnection``, for code with signaling of
its own.
"""

from .attending import run
from .candidates import RTCIceCandidate, RTCIceCandidatePair
from .channels import ChannelCounts, DataChannel, ReceiveWindow
from .configuration import PeerConfiguration
from .connection import PeerConnection
from .errors import (
    ChannelClosed,
    ChannelError,
    ChannelMisused,
    ChannelUnavailable,
    ClosedBy,
    ConnectFailed,
    DescriptionTooLarge,
    Evidence,
    IncompatibleVersions,
    InvalidCandidate,
    InvalidChannel,
    InvalidConfiguration,
    InvalidDescription,
    InvalidMessage,
    InvalidModification,
    InvalidParameters,
    InvalidServerUrl,
    MessageTooLarge,
    NotForwardable,
    PeerError,
    PeerLeft,
    PeerNotHere,
    Phase,
    ReceiveOverflow,
    RequestFailed,
    RequestTimeout,
    TrackNotSent,
    UnknownSection,
)
from .forwarding import ForwardedTrack, forward
from .ice.servers import RTCPeerConnectionIceErrorEvent
from .receiving.remote_track import RemoteTrack
from .remote import RemotePeer
from .room import Room, join
from .sending.encoded import EncodedTrack
from .sending.parameters import RTCRtpEncodingParameters, RTCRtpSendParameters
from .sending.stats import RTCOutboundRtpStreamStats
from .stats import (
    RTCDataChannelStats,
    RTCIceCandidatePairStats,
    RTCIceCandidateStats,
    RTCInboundRtpStreamStats,
    RTCPeerConnectionStats,
    RTCTransportStats,
)
from .transfer.errors import (
    Failure,
    TransferBroken,
    TransferDeclined,
    TransferError,
    TransferFailed,
    UnsafeName,
)
from .transfer.session import FileOffer, Progress

__all__ = [
    "ChannelClosed",
    "ChannelCounts",
    "ChannelError",
    "ChannelMisused",
    "ChannelUnavailable",
    "ClosedBy",
    "ConnectFailed",
    "DataChannel",
    "DescriptionTooLarge",
    "EncodedTrack",
    "Evidence",
    "Failure",
    "FileOffer",
    "ForwardedTrack",
    "IncompatibleVersions",
    "InvalidCandidate",
    "InvalidChannel",
    "InvalidConfiguration",
    "InvalidDescription",
    "InvalidMessage",
    "InvalidModification",
    "InvalidParameters",
    "InvalidServerUrl",
    "MessageTooLarge",
    "NotForwardable",
    "PeerConfiguration",
    "PeerConnection",
    "PeerError",
    "PeerLeft",
    "PeerNotHere",
    "Phase",
    "Progress",
    "RTCDataChannelStats",
    "RTCIceCandidate",
    "RTCIceCandidatePair",
    "RTCIceCandidatePairStats",
    "RTCIceCandidateStats",
    "RTCInboundRtpStreamStats",
    "RTCOutboundRtpStreamStats",
    "RTCPeerConnectionIceErrorEvent",
    "RTCPeerConnectionStats",
    "RTCRtpEncodingParameters",
    "RTCRtpSendParameters",
    "RTCTransportStats",
    "ReceiveOverflow",
    "ReceiveWindow",
    "RemotePeer",
    "RemoteTrack",
    "RequestFailed",
    "RequestTimeout",
    "Room",
    "TrackNotSent",
    "TransferBroken",
    "TransferDeclined",
    "TransferError",
    "TransferFailed",
    "UnknownSection",
    "UnsafeName",
    "forward",
    "join",
    "run",
]
