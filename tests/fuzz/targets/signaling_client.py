"""Messages of a signaling client, as the server reads them."""

from icefloe.signaling import MessageError
from icefloe.signaling.codec import decode_client, encode_client
from icefloe.signaling.messages import (
    Bye,
    Candidate,
    ClientMessage,
    CloseRoom,
    Description,
    HandOver,
    IceCandidate,
    Join,
    Leave,
    Lock,
    Message,
    Remove,
    Report,
    ReportPath,
    ReportPhase,
    SessionDescription,
)

from ..target import Target, stateless
from ._json import TOKENS

MESSAGES: tuple[ClientMessage, ...] = (
    Join(room="lobby", name="alice", token=None, resume="s1", ack=3, ref="a", rename=True),
    Description("p3", SessionDescription("offer", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\n"), 5, 3),
    Candidate(
        "p3", IceCandidate("candidate:1 1 udp 1 192.0.2.1 5 typ host", "0", 0, "Xy3k"), "b", 4
    ),
    Candidate("p3"),
    Message("p3", {"a": [1, 2, {"b": None}], "c": 1e10, "d": "ä😀\x00\\"}, 1.5, 7),
    Bye("p3", ref=None),
    Leave(),
    Remove("p3", 1),
    Lock(True),
    CloseRoom("r"),
    HandOver("p3"),
    Report(path=ReportPath.RELAY, seconds={ReportPhase.DTLS: 0.1, ReportPhase.TOTAL: 1e3}),
    Report(phase=ReportPhase.CHECKS, ref=2),
)


def run(data: bytes) -> None:
    """Read it as the server reads a frame, whether of text or of bytes."""
    decode_client(data)


TARGET = Target(
    name="signaling-client",
    seeds=lambda: [encode_client(message) for message in MESSAGES],
    tokens=(*TOKENS, b'"version":2,', b'"type":"join"', b'"ref":1e308,', b'"seq":'),
    documented=(MessageError,),
    start=lambda: stateless(run),
)
