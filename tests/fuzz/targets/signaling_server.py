"""Messages of a signaling server, as the client reads them."""

from icefloe.signaling import MessageError
from icefloe.signaling.codec import decode_server, encode_server, is_of_unknown_type
from icefloe.signaling.messages import (
    Done,
    Error,
    IceCandidate,
    IceServer,
    Joined,
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
    RoomLocked,
    ServerMessage,
    SessionDescription,
)

from ..target import Target, stateless
from ._json import TOKENS

MESSAGES: tuple[ServerMessage, ...] = (
    Joined(
        id="p7",
        peers=[PeerInfo("p3", "bob"), PeerInfo("p4", "eve", True, ("moderate",))],
        resume="s1",
        iceServers=[IceServer(["turn:192.0.2.1:3478"], "u", "c"), IceServer("stun:192.0.2.1")],
        expires=1700000000,
        ack=4,
        name="bot-2",
        reports=True,
    ),
    NewIceServers([IceServer("turn:192.0.2.1", "1700000600:u", "c")], 1700000600),
    PeerJoined(PeerInfo("p7", "alice")),
    PeerAway("p7"),
    PeerBack("p7"),
    PeerGone("p7", "left"),
    PeerDescription("p3", SessionDescription("answer", "v=0\r\n"), 3),
    PeerCandidate("p3", IceCandidate("candidate:1 1 udp 1 192.0.2.1 5 typ host", "0", 0, "Xy"), 4),
    PeerCandidate("p3"),
    PeerMessage("p3", [1, {"b": None, "d": "ä😀\x00"}, 1e10], 9),
    PeerBye("p3", 10),
    PeerRights("p3", ("moderate", "send")),
    RoomLocked(True),
    Done("icefloe-moderate-1"),
    Error("name-taken", "The name is taken.", 1.5),
)


def run(data: bytes) -> None:
    """Read it as the client does, which passes over messages of a type that it does not know."""
    try:
        message = decode_server(data)
    except MessageError:
        is_of_unknown_type(data)
        raise
    repr(message)


TARGET = Target(
    name="signaling-server",
    seeds=lambda: [encode_server(message) for message in MESSAGES],
    tokens=(
        *TOKENS,
        b'"type":"joined"',
        b'"type":"ice-servers"',
        b'"from":"',
        b'"urls":[',
        b'"seq":',
        b'"ref":',
    ),
    documented=(MessageError,),
    start=lambda: stateless(run),
)
