"""The common part of the peers in Python that send numbered pictures, or read the numbers.

Each of their modules has the JSON lines that it takes and gives; a peer is ``open`` when it is
connected. ``pictures.mjs`` does the same in a page.
"""

import time

from aiortc import MediaStreamTrack, RTCRtpSender
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame

from tests.bench.peers.coded import CodedTrack, luma_of, read
from tests.bench.peers.grain import GrainTrack
from tests.bench.peers.python_peer import PythonPeer
from tests.natlab.program import Message, emit


class PicturePeer(PythonPeer):
    """A peer connection that sends pictures with numbers, or reads them.

    Args:
        stack: ``icefloe`` or ``aiortc``.
    """

    def __init__(self, stack: str) -> None:
        super().__init__(stack)
        self._pictures: dict[int, float] = {}
        self._connection.on("connectionstatechange", self._on_state)
        self._connection.on("track", lambda track: self._jobs.start(self._take(track)))

    async def handle(self, message: Message) -> None:
        """Do what a line says."""
        match message["do"]:
            case "start":
                if message["offerer"]:
                    self._send(message)
                    await self._offer()
            case "description":
                await self._describe(message["description"])
            case "report":
                emit("pictures", pictures=list(self._pictures.items()), **self._report())
            case unknown:
                raise ValueError(f"cannot {unknown}")

    def _send(self, message: Message) -> None:
        """Add what is to be sent, by the line ``start``."""
        raise NotImplementedError

    def _report(self) -> Message:
        """Return what the report has beside the pictures."""
        raise NotImplementedError

    def _see(self, at: float, width: int, height: int) -> None:
        """Take note of a picture of this size."""
        raise NotImplementedError

    def _hear(self, at: float, frame: AudioFrame) -> None:
        """Take note of some sound; who sends none need not."""

    def _send_pictures(self, track: CodedTrack | GrainTrack, codec: str) -> None:
        """Send a track in one codec, such as ``video/VP8``."""
        self._pictures = track.made
        transceiver = self._connection.addTransceiver(track, direction="sendonly")
        known = RTCRtpSender.getCapabilities("video").codecs
        transceiver.setCodecPreferences([c for c in known if c.mimeType in (codec, "video/rtx")])

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
                self._see(now, frame.width, frame.height)
                if (number := read(luma_of(frame))) is not None:
                    self._pictures.setdefault(number, now)
            elif isinstance(frame, AudioFrame):
                self._hear(now, frame)
