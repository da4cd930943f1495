"""Descriptions and candidates that wait: how many, and how many bytes of them."""

import asyncio

import pytest
from aiortc import RTCSessionDescription

from icefloe.peer import PeerConnection
from icefloe.peer.connection.negotiator import INBOX, INBOX_BYTES, OUTBOX_BYTES, Negotiator, weight
from icefloe.peer.connection.remote_candidates import END_OF_CANDIDATES, parse_remote
from icefloe.peer.rooms.remote_peer import RemotePeer


class Stuck:
    """A signaler to which nothing can be sent."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def description(self, description: object) -> None:
        self.begun.set()
        await asyncio.Event().wait()

    async def candidate(self, candidate: object) -> None:
        await asyncio.Event().wait()


def hostile(size: int, kind: str = "offer") -> RTCSessionDescription:
    """A description of so many bytes in UTF-8; one character makes it take four times as many."""
    return RTCSessionDescription("v=0\r\n" + "x" * (size - 9) + "\U0001f9ca", kind)


def test_the_weight_is_that_of_the_memory() -> None:
    assert weight(hostile(262_144)) > 4 * 262_144 - 100
    assert weight({"candidate": "x" * 60_000, "sdpMid": "y" * 60_000}) > 120_000
    assert weight({"candidate": "", "sdpMLineIndex": 2**200_000}) > 25_000
    assert weight(None) == 0


@pytest.mark.parametrize("kind", ["description", "candidate"])
async def test_what_waits_is_bounded_in_bytes(kind: str) -> None:
    peer = RemotePeer(id="1", name="bob", polite=False, signaler=Stuck())
    negotiator, taken, size = peer.negotiator, 0, 0
    for _ in range(INBOX * 2):
        if kind == "description":
            item = hostile(262_144)
            is_taken, size = negotiator.take_description(item), weight(item)
        else:
            text = f"{'x' * 65_000} 1 udp 1 192.0.2.1 5 typ host"
            candidate = parse_remote({"candidate": text, "sdpMid": "y" * 65_000})
            is_taken, size = negotiator.take_candidate(candidate), candidate.weight
            assert size > 130_000
        if not is_taken:
            break
        taken += 1
    assert taken == INBOX_BYTES // size < INBOX
    # Who waits for room goes on at the latest when the connection is over.
    waiting = asyncio.create_task(negotiator.receive_description(hostile(262_144)))
    await asyncio.sleep(0)
    assert not waiting.done()
    peer.end("left")
    await peer.run()
    await waiting
    assert not negotiator.is_flooded


async def test_small_ones_are_bounded_in_number() -> None:
    peer = RemotePeer(id="1", name="bob", polite=False, signaler=Stuck())
    taken = [peer.negotiator.take_candidate(END_OF_CANDIDATES) for _ in range(INBOX * 2)]
    assert taken == [True] * INBOX + [False] * INBOX
    assert peer.negotiator.is_flooded
    peer.end("left")
    await peer.run()


async def test_answers_that_wait_for_signaling_are_bounded_in_bytes() -> None:
    """An offer that changes nothing costs the other side nothing, and this one an answer."""
    offering = PeerConnection()
    answering = PeerConnection()
    signaler = Stuck()
    negotiator = Negotiator(
        answering, polite=True, signaler=signaler, on_error=lambda error: errors.append(error)
    )
    errors: list[Exception] = []
    running = asyncio.create_task(negotiator.run())
    try:
        for _ in range(40):
            offering.addTransceiver("video")
        await offering.setLocalDescription()
        offer = offering.localDescription
        answered = 0

        def count() -> None:
            nonlocal answered
            if answering.signalingState == "stable":
                answered += 1

        answering.on("signalingstatechange", count)
        size = 0
        while not negotiator.is_flooded:
            if not negotiator.take_description(offer):
                break
            await asyncio.sleep(0)
            if answering.localDescription is not None:
                size = weight(answering.localDescription)
        await signaler.begun.wait()
        assert not errors
        assert 0 < answered * size < OUTBOX_BYTES + 3 * size
    finally:
        running.cancel()
        await asyncio.wait((running,))
        await asyncio.gather(offering.close(), answering.close())
