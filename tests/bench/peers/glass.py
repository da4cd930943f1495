"""A peer of the glass-to-glass benchmark in Python: icefloe or plain aiortc.

JSON lines in, JSON lines out, as :mod:`tests.bench.peers.program`; it is ``open`` when it is
connected.

===============  ==================================================================================
``start``        ``offerer``, who sends pictures, and their ``codec``; once, before all else
``description``  ``description``: the other side's
``report``       report ``pictures``: ``[number, at]`` of those that were ``made`` or ``seen``, and
                 the ``size`` of the last one
===============  ==================================================================================

::

    python -m tests.bench.peers.glass icefloe
"""

import asyncio
import sys
import time

from aiortc import MediaStreamTrack, RTCRtpSender
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame

from tests.bench.peers.coded import HEIGHT, WIDTH, CodedTrack, luma_of, read
from tests.bench.peers.python_peer import PythonPeer, run
from tests.natlab.program import Message, emit, log_to_stderr


class GlassPeer(PythonPeer):
    """A peer connection that sends pictures with numbers, or reads them.

    Args:
        stack: ``icefloe`` or ``aiortc``.
    """

    def __init__(self, stack: str) -> None:
        super().__init__(stack)
        self._pictures: dict[int, float] = {}
        self._size = WIDTH, HEIGHT
        self._connection.on("connectionstatechange", self._on_state)
        self._connection.on("track", lambda track: self._jobs.start(self._look(track)))

    async def handle(self, message: Message) -> None:
        """Do what a line says."""
        match message["do"]:
            case "start":
                if message["offerer"]:
                    self._send(f"video/{message['codec']}")
                    await self._offer()
            case "description":
                await self._describe(message["description"])
            case "report":
                emit("pictures", pictures=list(self._pictures.items()), size=self._size)
            case unknown:
                raise ValueError(f"cannot {unknown}")

    def _send(self, codec: str) -> None:
        track = CodedTrack()
        self._pictures = track.made
        transceiver = self._connection.addTransceiver(track, direction="sendonly")
        known = RTCRtpSender.getCapabilities("video").codecs
        transceiver.setCodecPreferences([c for c in known if c.mimeType in (codec, "video/rtx")])

    def _on_state(self) -> None:
        if self._connection.connectionState == "connected":
            emit("open")

    async def _look(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            now = time.monotonic()
            assert isinstance(frame, VideoFrame)
            self._size = frame.width, frame.height
            if (number := read(luma_of(frame))) is not None:
                self._pictures.setdefault(number, now)


if __name__ == "__main__":
    log_to_stderr()
    asyncio.run(run(GlassPeer(sys.argv[1])))
