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
from .asgi import AdmissionRequest, SignalingApp
from .client import SignalingClient, connect
from .configuration import (
    Admission,
    Limits,
    MetricsAccess,
    Proxies,
    ProxyHeader,
    RedisConfiguration,
    ServerConfiguration,
)
from .errors import (
    ErrorCode,
    InvalidTokenKeys,
    InvalidUrl,
    InvalidWebhook,
    JoinRefused,
    ListenFailed,
    MessageError,
    ModerationRefused,
    RemovedFromRoom,
    RoomClosed,
    SendQueueFull,
    SignalingClosed,
    SignalingError,
    SignalingLost,
    TokenRefused,
    TokenUnavailable,
    Unreachable,
)
from .ice_access import IceAccess, IceRequest
from .join_tokens import JoinToken, make_token, verify_token
from .membership import Event, Rejoined, Renewed
from .messages import (
    Bye,
    Candidate,
    ClientMessage,
    CloseCode,
    CloseRoom,
    Description,
    Done,
    Error,
    HandOver,
    IceCandidate,
    IceServer,
    Join,
    Joined,
    Leave,
    LeftReason,
    Lock,
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
    PeerRights,
    Remove,
    Report,
    ReportPath,
    ReportPhase,
    RoomLocked,
    ServerMessage,
    SessionDescription,
)
from .quotas import AddressLimits
from .rights import Right
from .server import SignalingServer, serve
from .token_keys import TokenKeys
from .turn_credentials import TurnServers
from .webhooks import Webhooks

__all__ = [
    "AddressLimits",
    "Admission",
    "AdmissionRequest",
    "Bye",
    "Candidate",
    "ClientMessage",
    "CloseCode",
    "CloseRoom",
    "Description",
    "Done",
    "Error",
    "ErrorCode",
    "Event",
    "HandOver",
    "IceAccess",
    "IceCandidate",
    "IceRequest",
    "IceServer",
    "InvalidTokenKeys",
    "InvalidUrl",
    "InvalidWebhook",
    "Join",
    "JoinRefused",
    "JoinToken",
    "Joined",
    "Leave",
    "LeftReason",
    "Limits",
    "ListenFailed",
    "Lock",
    "Message",
    "MessageError",
    "MetricsAccess",
    "ModerationRefused",
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
    "PeerRights",
    "Proxies",
    "ProxyHeader",
    "RedisConfiguration",
    "Rejoined",
    "Remove",
    "RemovedFromRoom",
    "Renewed",
    "Report",
    "ReportPath",
    "ReportPhase",
    "Right",
    "RoomClosed",
    "RoomLocked",
    "SendQueueFull",
    "ServerConfiguration",
    "ServerMessage",
    "SessionDescription",
    "SignalingApp",
    "SignalingClient",
    "SignalingClosed",
    "SignalingError",
    "SignalingLost",
    "SignalingServer",
    "TokenKeys",
    "TokenRefused",
    "TokenUnavailable",
    "TurnServers",
    "Unreachable",
    "Webhooks",
    "connect",
    "make_token",
    "serve",
    "server_url",
    "verify_token",
]
