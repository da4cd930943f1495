"""A peer that sends pictures and data over one connection, or takes them.

JSON lines in, JSON lines out, as :mod:`tests.bench.peers.program`; it is ``open`` when its channel
is. Descriptions carry their candidates.

===============  ==================================================================================
``start``        ``offerer``, who sends, and the ``size`` of the pictures
``description``  ``description``: the other side's
``send``         send messages without end
``stop``         send no more of them
``report``       report ``shared``: bytes of ``video`` sent and of ``data`` received so far
===============  ==================================================================================

::

    python -m tests.bench.peers.shared icefloe
"""

import asyncio
import sys

from aiortc import MediaStreamTrack, RTCDataChannel
from aiortc.mediastreams import MediaStreamError

from icefloe.peer import DataChannel
from tests.bench.peers.grain import GrainTrack
from tests.bench.peers.python_peer import PythonPeer, run
from tests.natlab.program import Message, emit, log_to_stderr

BLOCK = bytes(16_384)


class SharedPeer(PythonPeer):
    """A peer connection with a picture and a channel.

    Args:
        stack: ``icefloe``.
    """

    def __init__(self, stack: str) -> None:
        super().__init__(stack)
        self._channel: DataChannel | None = None
        self._sends = False
        self._received = 0
        self._connection.on("datachannel", self._take_channel)
        self._connection.on("track", lambda track: self._jobs.start(self._watch(track)))

    async def handle(self, message: Message) -> None:
        """Do what a line says."""
        match message["do"]:
            case "start":
                if message["offerer"]:
                    self._connection.addTrack(GrainTrack(*message["size"]))
                    channel = self._connection.createDataChannel("bulk")
                    channel.on("open", lambda: self._take_channel(channel))
                    await self._offer()
            case "description":
                await self._describe(message["description"])
            case "send":
                self._sends = True
                self._jobs.start(self._send())
            case "stop":
                self._sends = False
            case "report":
                report = await self._connection.getStats()
                video = sum(
                    stats.bytesSent
                    for stats in report.values()
                    if stats.type == "outbound-rtp" and stats.kind == "video"
                )
                emit("shared", video=video, data=self._received)
            case unknown:
                raise ValueError(f"cannot {unknown}")

    def _take_channel(self, channel: RTCDataChannel) -> None:
        self._channel = DataChannel(channel, send_buffer=4 * len(BLOCK))
        self._jobs.start(self._receive(self._channel))
        emit("open")

    async def _receive(self, channel: DataChannel) -> None:
        async for message in channel:
            self._received += len(message)

    async def _send(self) -> None:
        assert self._channel is not None
        while self._sends:
            await self._channel.send(BLOCK)

    async def _watch(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                await track.recv()
            except MediaStreamError:
                return


if __name__ == "__main__":
    log_to_stderr()
    asyncio.run(run(SharedPeer(sys.argv[1])))
