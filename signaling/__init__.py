"""WebSocket signaling: peers join a room and exchange descriptions and ICE candidates.

A server, with a call page for browsers::

    async with serve("127.0.0.1", 8080) as server:
        print(server.page_url)

A client, which keeps its seat in the room when its WebSocket breaks::

    async with connect("ws://127.0.0.1:8080/ws", room="lobby", name="bot") as client:
        async for message in client:
            ...

``docs/protocol.md`` specifies the messages. This package needs neither aiortc nor PyAV.
"""

from .address import server_url
from .client import SignalingClient, connect
from .configuration import Admission, Limits, ServerConfiguration
from .errors import (
    ErrorCode,
    InvalidUrl,
    JoinRefused,
    ListenFailed,
    MessageError,
    SendQueueFull,
    SignalingClosed,
    SignalingError,
    SignalingLost,
    Unreachable,
)
from .ice_access import IceAccess, IceRequest
from .membership import Event, Rejoined, Renewed
from .messages import (
    Bye,
    Candidate,
    ClientMessage,
    CloseCode,
    Description,
    Error,
    IceCandidate,
    IceServer,
    Join,
    Joined,
    Leave,
    LeftReason,
    Message,
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
    ServerMessage,
    SessionDescription,
)
from .quotas import AddressLimits
from .server import SignalingServer, serve
from .turn_credentials import TurnServers

__all__ = [
    "AddressLimits",
    "Admission",
    "Bye",
    "Candidate",
    "ClientMessage",
    "CloseCode",
    "Description",
    "Error",
    "ErrorCode",
    "Event",
    "IceAccess",
    "IceCandidate",
    "IceRequest",
    "IceServer",
    "InvalidUrl",
    "Join",
    "JoinRefused",
    "Joined",
    "Leave",
    "LeftReason",
    "Limits",
    "ListenFailed",
    "Message",
    "MessageError",
    "NewIceServers",
    "PeerAway",
    "PeerBack",
    "PeerBye",
    "PeerCandidate",
    "PeerDescription",
    "PeerGone",
    "PeerInfo",
    "PeerJoined",
    "PeerMessage",
    "Rejoined",
    "Renewed",
    "SendQueueFull",
    "ServerConfiguration",
    "ServerMessage",
    "SessionDescription",
    "SignalingClient",
    "SignalingClosed",
    "SignalingError",
    "SignalingLost",
    "SignalingServer",
    "TurnServers",
    "Unreachable",
    "connect",
    "serve",
    "server_url",
]
