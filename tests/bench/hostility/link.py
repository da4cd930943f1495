"""A peer connection to the victim of :mod:`tests.bench.hostile`: signaling as JSON lines over TCP.

Nothing limits how much comes over it: what a signaling server would keep away gets through.
"""

import asyncio
import json
from collections import Counter
from typing import Any

from aiortc import MediaStreamTrack, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from icefloe.media import TestPatternTrack, ToneTrack
from icefloe.peer import PeerConfiguration, PeerConnection, RTCIceCandidate

LINE_LIMIT = 2 * 1024 * 1024
SIZE = (160, 120)


def configuration() -> PeerConfiguration:
    """Return that of a connection over loopback alone."""
    return PeerConfiguration(include_loopback=True, interfaces=("lo",))


def describe(description: RTCSessionDescription) -> dict[str, Any]:
    """Return what a line says of a description."""
    return {"description": {"type": description.type, "sdp": description.sdp}}


class Lines:
    """Messages in both directions."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def to(cls, port: int) -> "Lines":
        """Connect to the victim."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=LINE_LIMIT))

    def say(self, message: dict[str, Any]) -> None:
        """Send a message; what the other side does not read waits without limit."""
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")

    async def drain(self) -> None:
        """Wait until the other side has read most of what was sent."""
        await self._writer.drain()

    async def next(self) -> dict[str, Any] | None:
        """Return the next message; ``None`` at the end."""
        try:
            line = await self._reader.readline()
        except ConnectionError:
            return None
        # Who was cut off may leave the beginning of a line.
        return json.loads(line) if line.endswith(b"\n") else None

    def close(self) -> None:
        """End both directions at once; what is under way is not read any more."""
        self._writer.transport.abort()


class Peer:
    """A connection that sends and takes media and data, and counts.

    Attributes:
        connection: The connection.
        counts: ``audio`` and ``video`` frames and ``data`` messages that came.
    """

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.connection = PeerConnection(configuration())
        self.counts: Counter[str] = Counter()
        self._sources = TestPatternTrack(*SIZE), ToneTrack()
        self._tasks: set[asyncio.Task[None]] = set()
        self.connection.on("track", self._take)
        self.connection.on("icecandidate", self._tell)

    def send_media(self) -> None:
        """Add a picture and a tone."""
        for source in self._sources:
            self.connection.addTrack(source)

    async def hear(self, message: dict[str, Any]) -> None:
        """Take a message of the other side; an offer is answered."""
        if (description := message.get("description")) is not None:
            await self.connection.setRemoteDescription(RTCSessionDescription(**description))
            if description["type"] == "offer":
                await self.connection.setLocalDescription()
                self.lines.say(describe(self.connection.localDescription))
        elif "candidate" in message:
            await self.connection.addIceCandidate(message["candidate"])

    async def close(self) -> None:
        """Close the connection, and end what runs for it."""
        await self.connection.close()
        for source in self._sources:
            source.stop()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _tell(self, candidate: RTCIceCandidate | None) -> None:
        told = None if candidate is None else candidate.toJSON()
        self.lines.say({"candidate": told})

    def _take(self, track: MediaStreamTrack) -> None:
        task = asyncio.create_task(self._count(track))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _count(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                await track.recv()
            except MediaStreamError:
                return
            self.counts[track.kind] += 1
