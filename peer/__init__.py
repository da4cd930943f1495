# Longer than 400 lines: the list of the public names.
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

from typing import TYPE_CHECKING

from icefloe._util.lazy import exports

if TYPE_CHECKING:
    from .configuration import PeerConfiguration
    from .connection.candidates import RTCIceCandidate, RTCIceCandidatePair
    from .connection.connection import PeerConnection
    from .connection.data_channel import DataChannel
    from .connection.forwarding import ForwardedTrack, forward
    from .connection.negotiator import Negotiator, Signaler
    from .connection.receive_buffer import ChannelCounts, ReceiveWindow
    from .connection.stats import (
        RTCDataChannelStats,
        RTCIceCandidatePairStats,
        RTCIceCandidateStats,
        RTCInboundRtpStreamStats,
        RTCPeerConnectionStats,
        RTCTransportStats,
    )
    from .diagnosis.events import (
        CandidateReceived,
        CandidateSent,
        ConnectionClosed,
        DescriptionApplied,
        EstimateTaken,
        KeyFrameReceived,
        MediaStarted,
        StateChanged,
        WarningGiven,
    )
    from .diagnosis.redaction import Redactor
    from .diagnosis.timeline import Timeline, TimelineEntry
    from .diagnosis.verdict import Verdict, VerdictCause, VerdictEvidence
    from .errors import (
        ChannelClosed,
        ChannelError,
        ChannelMisused,
        ChannelUnavailable,
        ClosedBy,
        ConnectEvidence,
        ConnectFailed,
        ConnectPhase,
        DescriptionTooLarge,
        FragmentInUse,
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
        ReceiveOverflow,
        RequestFailed,
        RequestTimeout,
        TcpMuxUnusable,
        TcpPortUnavailable,
        TrackNotSent,
        UdpMuxUnusable,
        UdpPortUnavailable,
        UnknownSection,
    )
    from .files.errors import (
        TransferBroken,
        TransferDeclined,
        TransferError,
        TransferErrorCode,
        TransferFailed,
        UnsafeName,
    )
    from .files.outgoing import FilesToSend
    from .files.progress import TransferProgress
    from .files.receive_session import FileOffer
    from .ice.events import (
        CandidateGathered,
        GatheringEnded,
        GenerationBegan,
        IceStateChanged,
        PairChanged,
        PairNominated,
        PairSelected,
        RelayLost,
        RelayPeerRefused,
        RemoteCandidatesEnded,
        RemoteCandidateTaken,
        RemoteNameUnresolved,
        RoundTripsMeasured,
        ServerAsked,
        TimerLate,
    )
    from .ice.facts import CandidateFacts, PairFacts, ServerFacts, ServerProblem
    from .ice.mux.udp_mux import UdpMux, UdpMuxStats
    from .ice.server_urls import RTCPeerConnectionIceErrorEvent
    from .ice.tcp.mux import TcpMux, TcpMuxStats
    from .pairing.errors import (
        FingerprintMismatch,
        InvalidPairingCode,
        NoRoomFree,
        PairingCodeUsedUp,
        PairingError,
        WrongPairingCode,
    )
    from .pairing.key_exchange import PairingCode, PairingSide
    from .pairing.meeting import Meeting
    from .pairing.rendezvous import meet
    from .rooms.attend import run
    from .rooms.remote_peer import RemotePeer
    from .rooms.room import Room, join
    from .rtp.receive.remote_track import RemoteTrack
    from .rtp.send.encoded_track import EncodedTrack
    from .rtp.send.parameters import RTCRtpEncodingParameters, RTCRtpSendParameters
    from .rtp.send.stats import RTCOutboundRtpStreamStats


__all__ = [
    "CandidateFacts",
    "CandidateGathered",
    "CandidateReceived",
    "CandidateSent",
    "ChannelClosed",
    "ChannelCounts",
    "ChannelError",
    "ChannelMisused",
    "ChannelUnavailable",
    "ClosedBy",
    "ConnectEvidence",
    "ConnectFailed",
    "ConnectPhase",
    "ConnectionClosed",
    "DataChannel",
    "DescriptionApplied",
    "DescriptionTooLarge",
    "EncodedTrack",
    "EstimateTaken",
    "FileOffer",
    "FilesToSend",
    "FingerprintMismatch",
    "ForwardedTrack",
    "FragmentInUse",
    "GatheringEnded",
    "GenerationBegan",
    "IceStateChanged",
    "IncompatibleVersions",
    "InvalidCandidate",
    "InvalidChannel",
    "InvalidConfiguration",
    "InvalidDescription",
    "InvalidMessage",
    "InvalidModification",
    "InvalidPairingCode",
    "InvalidParameters",
    "InvalidServerUrl",
    "KeyFrameReceived",
    "MediaStarted",
    "Meeting",
    "MessageTooLarge",
    "Negotiator",
    "NoRoomFree",
    "NotForwardable",
    "PairChanged",
    "PairFacts",
    "PairNominated",
    "PairSelected",
    "PairingCode",
    "PairingCodeUsedUp",
    "PairingError",
    "PairingSide",
    "PeerConfiguration",
    "PeerConnection",
    "PeerError",
    "PeerLeft",
    "PeerNotHere",
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
    "Redactor",
    "RelayLost",
    "RelayPeerRefused",
    "RemoteCandidateTaken",
    "RemoteCandidatesEnded",
    "RemoteNameUnresolved",
    "RemotePeer",
    "RemoteTrack",
    "RequestFailed",
    "RequestTimeout",
    "Room",
    "RoundTripsMeasured",
    "ServerAsked",
    "ServerFacts",
    "ServerProblem",
    "Signaler",
    "StateChanged",
    "TcpMux",
    "TcpMuxStats",
    "TcpMuxUnusable",
    "TcpPortUnavailable",
    "Timeline",
    "TimelineEntry",
    "TimerLate",
    "TrackNotSent",
    "TransferBroken",
    "TransferDeclined",
    "TransferError",
    "TransferErrorCode",
    "TransferFailed",
    "TransferProgress",
    "UdpMux",
    "UdpMuxStats",
    "UdpMuxUnusable",
    "UdpPortUnavailable",
    "UnknownSection",
    "UnsafeName",
    "Verdict",
    "VerdictCause",
    "VerdictEvidence",
    "WarningGiven",
    "WrongPairingCode",
    "forward",
    "join",
    "meet",
    "run",
]

# A program that exchanges data loads no rooms and no codecs; `python -m tests.bench.imports` tells
# what an import takes beside aiortc's.
_MODULES = {
    ".configuration": ("PeerConfiguration",),
    ".connection.candidates": (
        "RTCIceCandidate",
        "RTCIceCandidatePair",
    ),
    ".connection.connection": ("PeerConnection",),
    ".connection.data_channel": ("DataChannel",),
    ".connection.negotiator": ("Negotiator", "Signaler"),
    ".connection.receive_buffer": ("ChannelCounts", "ReceiveWindow"),
    ".connection.forwarding": (
        "ForwardedTrack",
        "forward",
    ),
    ".connection.stats": (
        "RTCDataChannelStats",
        "RTCIceCandidatePairStats",
        "RTCIceCandidateStats",
        "RTCInboundRtpStreamStats",
        "RTCPeerConnectionStats",
        "RTCTransportStats",
    ),
    ".diagnosis.events": (
        "CandidateReceived",
        "CandidateSent",
        "ConnectionClosed",
        "DescriptionApplied",
        "EstimateTaken",
        "KeyFrameReceived",
        "MediaStarted",
        "StateChanged",
        "WarningGiven",
    ),
    ".diagnosis.redaction": ("Redactor",),
    ".diagnosis.timeline": (
        "Timeline",
        "TimelineEntry",
    ),
    ".diagnosis.verdict": (
        "Verdict",
        "VerdictCause",
        "VerdictEvidence",
    ),
    ".ice.events": (
        "CandidateGathered",
        "GatheringEnded",
        "GenerationBegan",
        "IceStateChanged",
        "PairChanged",
        "PairNominated",
        "PairSelected",
        "RelayLost",
        "RelayPeerRefused",
        "RemoteCandidateTaken",
        "RemoteCandidatesEnded",
        "RemoteNameUnresolved",
        "RoundTripsMeasured",
        "ServerAsked",
        "TimerLate",
    ),
    ".ice.facts": (
        "CandidateFacts",
        "PairFacts",
        "ServerFacts",
        "ServerProblem",
    ),
    ".errors": (
        "ChannelClosed",
        "ChannelError",
        "ChannelMisused",
        "ChannelUnavailable",
        "ClosedBy",
        "ConnectEvidence",
        "ConnectFailed",
        "ConnectPhase",
        "DescriptionTooLarge",
        "FragmentInUse",
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
        "PeerError",
        "PeerLeft",
        "PeerNotHere",
        "ReceiveOverflow",
        "RequestFailed",
        "RequestTimeout",
        "TrackNotSent",
        "TcpMuxUnusable",
        "TcpPortUnavailable",
        "UdpMuxUnusable",
        "UdpPortUnavailable",
        "UnknownSection",
    ),
    ".files.errors": (
        "TransferBroken",
        "TransferDeclined",
        "TransferError",
        "TransferErrorCode",
        "TransferFailed",
        "UnsafeName",
    ),
    ".files.outgoing": ("FilesToSend",),
    ".files.progress": ("TransferProgress",),
    ".files.receive_session": ("FileOffer",),
    ".ice.mux.udp_mux": (
        "UdpMux",
        "UdpMuxStats",
    ),
    ".ice.server_urls": ("RTCPeerConnectionIceErrorEvent",),
    ".ice.tcp.mux": ("TcpMux", "TcpMuxStats"),
    ".pairing.errors": (
        "FingerprintMismatch",
        "InvalidPairingCode",
        "NoRoomFree",
        "PairingCodeUsedUp",
        "PairingError",
        "WrongPairingCode",
    ),
    ".pairing.key_exchange": (
        "PairingCode",
        "PairingSide",
    ),
    ".pairing.meeting": ("Meeting",),
    ".pairing.rendezvous": ("meet",),
    ".rooms.attend": ("run",),
    ".rooms.remote_peer": ("RemotePeer",),
    ".rooms.room": (
        "Room",
        "join",
    ),
    ".rtp.receive.remote_track": ("RemoteTrack",),
    ".rtp.send.encoded_track": ("EncodedTrack",),
    ".rtp.send.parameters": (
        "RTCRtpEncodingParameters",
        "RTCRtpSendParameters",
    ),
    ".rtp.send.stats": ("RTCOutboundRtpStreamStats",),
}

if not TYPE_CHECKING:  # which would take any name for one of the package
    __getattr__, __dir__ = exports(__name__, _MODULES)
