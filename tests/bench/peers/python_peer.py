"""The common part of the benchmarks' peers in Python: a connection, and lines that describe it."""

import asyncio
from collections.abc import Callable

from aiortc import RTCPeerConnection, RTCSessionDescription

from icefloe.peer import PeerError
from tests.helpers import pairs
from tests.natlab.program import Jobs, Message, PeerProgram, emit, lines


class PythonPeer:
    """A peer connection; its descriptions carry their candidates.

    Args:
        stack: ``icefloe`` or ``aiortc``.
    """

    def __init__(self, stack: str) -> None:
        self._connection: RTCPeerConnection = pairs.make(stack)
        self._change: Callable[[str], str] = str
        self._jobs = Jobs()

    async def close(self) -> None:
        """Close the connection."""
        await self._jobs.end()
        await asyncio.wait([asyncio.ensure_future(self._connection.close())], timeout=1)

    async def _offer(self) -> None:
        await self._connection.setLocalDescription(await self._connection.createOffer())
        self._tell()

    async def _describe(self, given: Message) -> None:
        await self._connection.setRemoteDescription(RTCSessionDescription(**given))
        if given["type"] == "offer":
            await self._connection.setLocalDescription(await self._connection.createAnswer())
            self._tell()

    def _tell(self) -> None:
        description = self._connection.localDescription
        sdp = self._change(description.sdp)
        emit("description", description={"type": description.type, "sdp": sdp})


async def run(peer: PeerProgram) -> None:
    """Run a peer until standard input ends."""
    emit("ready")
    try:
        async for message in lines():
            await peer.handle(message)
    except PeerError as error:
        emit("error", text=f"{type(error).__name__}: {error}")
    finally:
        await peer.close()
