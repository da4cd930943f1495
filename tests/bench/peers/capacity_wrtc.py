"""A peer of the capacity benchmark that is libwebrtc in Python: the package wrtc, if it is there.

It speaks as :mod:`tests.bench.peers.capacity`. The package is no dependency: what Python finds by
the name ``webrtc`` is taken, such as from a folder in ``PYTHONPATH``.
"""

import asyncio
import importlib
import time
from typing import Any

import numpy as np

from tests.bench.peers.coded import read
from tests.bench.peers.grain import AUDIO_RATE, SAMPLES, GrainTrack, Listener, SteadyTone
from tests.bench.peers.python_peer import run
from tests.natlab.program import Jobs, Message, emit, log_to_stderr

_webrtc: Any = importlib.import_module("webrtc")
_CODECS = ("video/VP8", "video/rtx")
_ROWS = 18


class WrtcPeer:
    """A peer connection that sends pictures and a tone, or takes them."""

    def __init__(self) -> None:
        self._connection: Any = _webrtc.RTCPeerConnection()
        self._jobs = Jobs()
        self._pictures: dict[int, float] = {}
        self._sizes: list[tuple[float, int, int]] = []
        self._listener = Listener()
        self._connection.on("connectionstatechange", lambda event: self._on_state())
        self._connection.on("track", lambda event: self._on_track(event.track))

    async def handle(self, message: Message) -> None:
        """Do what a line says."""
        match message["do"]:
            case "start":
                if message["offerer"]:
                    self._send(*message["size"], sound=message["sound"])
                    await self._tell()
            case "description":
                given = _webrtc.RTCSessionDescriptionInit(**message["description"])
                await self._connection.set_remote_description(given)
                if message["description"]["type"] == "offer":
                    await self._tell()
            case "report":
                gaps = self._listener.until(time.monotonic())
                pictures = list(self._pictures.items())
                emit("pictures", pictures=pictures, sizes=self._sizes, gaps=gaps)
            case unknown:
                raise ValueError(f"cannot {unknown}")

    async def close(self) -> None:
        """Close the connection."""
        await self._jobs.end()
        self._connection.close()

    async def _tell(self) -> None:
        gathered = asyncio.Event()

        def look() -> None:
            if self._connection.ice_gathering_state == "complete":
                gathered.set()

        self._connection.on("icegatheringstatechange", lambda event: look())
        await self._connection.set_local_description()
        look()
        await gathered.wait()
        told = self._connection.local_description
        emit("description", description={"type": str(told.type.value), "sdp": told.sdp})

    def _on_state(self) -> None:
        if self._connection.connection_state == "connected":
            emit("open")

    # --- what is sent

    def _send(self, width: int, height: int, *, sound: bool) -> None:
        one_way = _webrtc.RTCRtpTransceiverInit(direction="sendonly")
        if sound:
            audio = _webrtc.MediaStreamTrackGenerator("audio")
            self._connection.add_transceiver(audio, one_way)
            self._jobs.start(self._hum(audio.writable.get_writer()))
        video = _webrtc.MediaStreamTrackGenerator("video")
        transceiver = self._connection.add_transceiver(video, one_way)
        known = _webrtc.RTCRtpSender.get_capabilities("video").codecs
        transceiver.set_codec_preferences([c for c in known if c.mime_type in _CODECS])
        track = GrainTrack(width, height)
        self._pictures = track.made
        self._jobs.start(self._paint(video.writable.get_writer(), track))

    async def _paint(self, writer: Any, track: GrainTrack) -> None:
        while True:
            frame = await track.recv()
            init = _webrtc.VideoFrameBufferInit(
                format="I420",
                coded_width=frame.width,
                coded_height=frame.height,
                timestamp=int((frame.time or 0.0) * 1e6),
            )
            planes = np.ascontiguousarray(frame.to_ndarray())
            await writer.write(_webrtc.VideoFrame(planes.reshape(-1), init))

    async def _hum(self, writer: Any) -> None:
        track = SteadyTone()
        while True:
            frame = await track.recv()
            init = _webrtc.AudioDataInit(
                format="s16",
                sample_rate=AUDIO_RATE,
                number_of_frames=SAMPLES,
                number_of_channels=1,
                timestamp=int((frame.time or 0.0) * 1e6),
                data=bytes(frame.planes[0])[: 2 * SAMPLES],
            )
            await writer.write(_webrtc.AudioData(init))

    # --- what comes

    def _on_track(self, track: Any) -> None:
        processor = _webrtc.MediaStreamTrackProcessor(
            _webrtc.MediaStreamTrackProcessorInit(track, max_buffer_size=20)
        )
        take = self._look if track.kind == "video" else self._listen
        self._jobs.start(take(processor))

    async def _look(self, processor: Any) -> None:
        async for frame in processor.readable:
            now = time.monotonic()
            width, height = frame.coded_width, frame.coded_height
            if not self._sizes or self._sizes[-1][1:] != (width, height):
                self._sizes.append((now, width, height))
            strip = -(-height // _ROWS // 2) * 2
            rect = _webrtc.DOMRectInit(0, 0, width, strip)
            options = _webrtc.VideoFrameCopyToOptions(rect=rect)
            planes = bytearray(frame.allocation_size(options))
            layout = (await frame.copy_to(planes, options))[0]
            frame.close()
            rows = np.frombuffer(planes, np.uint8, layout.stride * strip, layout.offset)
            luma = np.zeros((height, width), np.uint8)
            luma[:strip] = rows.reshape(strip, layout.stride)[:, :width]
            if (number := read(luma)) is not None:
                self._pictures.setdefault(number, now)

    async def _listen(self, processor: Any) -> None:
        async for data in processor.readable:
            now = time.monotonic()
            channels, frames = data.number_of_channels, data.number_of_frames
            options = _webrtc.AudioDataCopyToOptions(plane_index=0, format="s16")
            samples = bytearray(data.allocation_size(options))
            data.copy_to(samples, options)
            rate = int(data.sample_rate)
            data.close()
            heard = np.frombuffer(samples, np.int16)[: frames * channels : channels]
            self._listener.play(now, heard, rate)


async def _main() -> None:
    await run(WrtcPeer())  # which needs a running loop to be made


if __name__ == "__main__":
    log_to_stderr()
    asyncio.run(_main())
