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


def test_every_error_has_the_root_and_is_in_the_tree() -> None:
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, Exception):
            assert issubclass(value, errors.SignalingError)
            assert name in (errors.__doc__ or "")
            assert name in icefloe.signaling.__all__
