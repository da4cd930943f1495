"""Two peer connections, and what carries their messages from one to the other."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from icefloe.peer import PeerConnection, RTCIceCandidate


def make(kind: str) -> RTCPeerConnection:
    """Make an ``icefloe`` or a plain ``aiortc`` connection, bundled and without servers."""
    if kind == "icefloe":
        return PeerConnection()
    return RTCPeerConnection(
        RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
    )


def without_udp(sdp: str) -> str:
    """Return a description without its UDP candidates, as if UDP were blocked."""
    lines = sdp.splitlines(keepends=True)
    return "".join(
        line
        for line in lines
        if not (line.startswith("a=candidate:") and line.split()[2].lower() == "udp")
    )


@asynccontextmanager
async def closing(*connections: RTCPeerConnection) -> AsyncIterator[None]:
    """Close connections at the end, whatever happened."""
    try:
        yield
    finally:
        await asyncio.gather(*(connection.close() for connection in connections))


async def until(emitter: Any, event: str, condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, looking again at each event; the test's time limit holds."""
    changed = asyncio.Event()

    def look_again(*_: object) -> None:
        changed.set()

    emitter.on(event, look_again)
    try:
        while not condition():
            changed.clear()
            await changed.wait()
    finally:
        if look_again in emitter.listeners(event):  # closing removes all of them
            emitter.remove_listener(event, look_again)


async def connected(*connections: RTCPeerConnection) -> None:
    """Wait until connections are connected."""
    for connection in connections:
        await until(
            connection,
            "connectionstatechange",
            lambda c=connection: c.connectionState == "connected",  # type: ignore[misc]
        )


def trickle(source: PeerConnection, sink: RTCPeerConnection) -> list[RTCIceCandidate | None]:
    """Hand each candidate of one side to the other as it is found; returns the growing list."""
    seen: list[RTCIceCandidate | None] = []

    async def deliver(candidate: RTCIceCandidate | None) -> None:
        seen.append(candidate)
        await sink.addIceCandidate(candidate)

    source.on("icecandidate", deliver)
    return seen


async def negotiate(
    offerer: RTCPeerConnection,
    answerer: RTCPeerConnection,
    change: Callable[[str], str] = str,
    back: Callable[[str], str] = str,
) -> None:
    """Offer and answer, each description sent as soon as ``setLocalDescription()`` returns.

    Args:
        offerer: Makes the offer.
        answerer: Answers it.
        change: What becomes of the text of the offer on the way.
        back: Likewise of the answer.
    """
    await offerer.setLocalDescription(await offerer.createOffer())
    offer = RTCSessionDescription(change(offerer.localDescription.sdp), "offer")
    await answerer.setRemoteDescription(offer)
    await answerer.setLocalDescription(await answerer.createAnswer())
    answer = RTCSessionDescription(back(answerer.localDescription.sdp), "answer")
    await offerer.setRemoteDescription(answer)


async def opened(channel: Any) -> None:
    """Wait until a data channel is open."""
    await until(channel, "open", lambda: channel.readyState == "open")
