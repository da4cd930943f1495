"""A peer of the capacity benchmark in Python: icefloe or plain aiortc.

JSON lines in, JSON lines out, as :mod:`tests.bench.peers.glass`; it is ``open`` when it is
connected.

===============  ==================================================================================
``start``        ``offerer``, who sends pictures, their ``size``, and whether there is ``sound``
``description``  ``description``: the other side's
``report``       report ``pictures``: ``[number, at]`` of those that were made or seen,
                 ``sizes``: ``[at, width, height]`` of each that is not as the one before, and
                 ``gaps`` in the sound: ``[at, seconds]``
===============  ==================================================================================

::

    python -m tests.bench.peers.capacity icefloe
"""

import asyncio
import sys
import time

import numpy as np
from aiortc import MediaStreamTrack, RTCRtpSender
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame

from tests.bench.peers.coded import luma_of, read
from tests.bench.peers.grain import GrainTrack, Listener, SteadyTone
from tests.bench.peers.python_peer import PythonPeer, run
from tests.natlab.program import Message, emit, log_to_stderr

CODECS = ("video/VP8", "video/rtx")


class CapacityPeer(PythonPeer):
    """A peer connection that sends pictures and a tone, or takes them.

    Args:
        stack: ``icefloe`` or ``aiortc``.
    """

    def __init__(self, stack: str) -> None:
        super().__init__(stack)
        self._pictures: dict[int, float] = {}
        self._sizes: list[tuple[float, int, int]] = []
        self._listener = Listener()
        self._connection.on("connectionstatechange", self._on_state)
        self._connection.on("track", lambda track: self._jobs.start(self._take(track)))

    async def handle(self, message: Message) -> None:
        """Do what a line says."""
        match message["do"]:
            case "start":
                if message["offerer"]:
                    self._send(*message["size"], sound=message["sound"])
                    await self._offer()
            case "description":
                await self._describe(message["description"])
            case "report":
                gaps = self._listener.until(time.monotonic())
                pictures = list(self._pictures.items())
                emit("pictures", pictures=pictures, sizes=self._sizes, gaps=gaps)
            case unknown:
                raise ValueError(f"cannot {unknown}")

    def _send(self, width: int, height: int, *, sound: bool) -> None:
        track = GrainTrack(width, height)
        self._pictures = track.made
        if sound:
            self._connection.addTransceiver(SteadyTone(), direction="sendonly")
        transceiver = self._connection.addTransceiver(track, direction="sendonly")
        known = RTCRtpSender.getCapabilities("video").codecs
        transceiver.setCodecPreferences([c for c in known if c.mimeType in CODECS])

    def _on_state(self) -> None:
        if self._connection.connectionState == "connected":
            emit("open")

    async def _take(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            now = time.monotonic()
            if isinstance(frame, VideoFrame):
                if not self._sizes or self._sizes[-1][1:] != (frame.width, frame.height):
                    self._sizes.append((now, frame.width, frame.height))
                if (number := read(luma_of(frame))) is not None:
                    self._pictures.setdefault(number, now)
            elif isinstance(frame, AudioFrame):
                channels = len(frame.layout.channels)
                samples = np.frombuffer(memoryview(frame.planes[0]), np.int16)
                heard = samples[: frame.samples * channels : channels]
                self._listener.play(now, heard, frame.sample_rate)


if __name__ == "__main__":
    log_to_stderr()
    asyncio.run(run(CapacityPeer(sys.argv[1])))
