"""Descriptions and candidates as a peer connection takes them, one after the other.

The first byte of a packet says what it is: an offer, an answer or a provisional one, a candidate,
a rollback; or that this side makes its own description. There is no network, so that no check is
sent.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from aiortc import InvalidStateError, RTCSessionDescription
from aiortc.exceptions import OperationError

from icefloe.peer import InvalidCandidate, InvalidDescription, PeerConfiguration, PeerConnection

from ..target import Run, Target, event_loop, join, settled, split
from ._descriptions import TOKENS, written

MOST = 6
"""Packets of an input that are used: more restarts of ICE have to wait for each other."""

CANDIDATE = b"candidate:842163049 1 udp 1677729535 192.0.2.1 46154 typ srflx raddr 10.0.0.1 rport 9"
DOCUMENTED = (InvalidDescription, InvalidStateError, OperationError, InvalidCandidate)
TYPES = {ord("o"): "offer", ord("a"): "answer", ord("p"): "pranswer"}


def nowhere(_: str) -> bool:
    """Use no interface of the machine."""
    return False


async def converse(packets: list[bytes]) -> None:
    """Have a connection take all of it; each part may be refused, and the rest still counts."""
    connection = PeerConnection(PeerConfiguration(interfaces=nowhere, close_timeout=0))
    connection.on("icecandidate", lambda candidate: None)
    refused: Exception | None = None
    try:
        for packet in packets:
            try:
                await take(connection, packet[0], packet[1:].decode(errors="replace"))
            except DOCUMENTED as error:
                refused = error
        await connection.getStats()
    finally:
        await connection.close()
        await settled()
    if refused is not None:
        raise refused


async def take(connection: PeerConnection, kind: int, text: str) -> None:
    """Have a connection take one packet."""
    if kind in TYPES:
        await connection.setRemoteDescription(RTCSessionDescription(text, TYPES[kind]))
        if kind == ord("o"):
            await connection.setLocalDescription()
    elif kind == ord("c"):
        mid, _, candidate = text.partition(" ")
        await connection.addIceCandidate({"candidate": candidate, "sdpMid": mid})
    elif kind == ord("r"):
        await connection.setRemoteDescription(RTCSessionDescription("", "rollback"))
    elif kind == ord("l"):
        if not connection.getTransceivers():
            connection.addTransceiver("audio")
            connection.addTransceiver("video")
            connection.createDataChannel("fuzz")
        await connection.setLocalDescription()


@contextmanager
def start() -> Iterator[Run]:
    """Set up an event loop; each input has a connection of its own."""
    with event_loop() as run_in_loop:

        def run(data: bytes) -> None:
            packets = [packet for packet in split(data) if packet]
            run_in_loop(converse(packets[:MOST]))

        yield run


def seeds() -> list[bytes]:
    """Make offers with candidates after them, answers to an own offer, and renegotiations."""
    offers, answers = written("offer"), written("answer")
    candidates = [b"c0 " + CANDIDATE, b"c0 "]
    stories = [[b"o" + offer, *candidates] for offer in offers]
    stories += [[b"l", b"a" + answer, *candidates] for answer in answers]
    stories += [[b"o" + offer, b"o" + offer] for offer in offers[:3]]
    stories += [[b"l", b"p" + answers[0], b"a" + answers[0]], [b"l", b"o" + offers[0], b"r", b"l"]]
    return [join(packets) for packets in stories]


TARGET = Target(
    name="connection",
    seeds=seeds,
    tokens=TOKENS,
    documented=DOCUMENTED,
    start=start,
)
