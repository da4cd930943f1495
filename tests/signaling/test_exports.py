"""The public names of the package."""

import icefloe.signaling
from icefloe.signaling import errors


def test_the_public_names_are_these() -> None:
    assert icefloe.signaling.__all__ == [
        "AddressLimits",
        "Admission",
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
        "Rejoined",
        "Remove",
        "RemovedFromRoom",
        "Renewed",
        "Right",
        "RoomClosed",
        "RoomLocked",
        "SendQueueFull",
        "ServerConfiguration",
        "ServerMessage",
        "SessionDescription",
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


def test_every_error_has_the_root_and_is_in_the_tree() -> None:
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, Exception):
            assert issubclass(value, errors.SignalingError)
            assert name in (errors.__doc__ or "")
            assert name in icefloe.signaling.__all__
