"""Calls answered by libwebrtc in Python, for :mod:`tests.bench.peers.answering`."""

import asyncio
import importlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.bench.peers.answering import Ear
from tests.bench.peers.callers import VIDEO_SIZE
from tests.bench.peers.grain import AUDIO_RATE, SAMPLES, GrainTrack, SteadyTone
from tests.natlab.program import Jobs, Message

_webrtc: Any = importlib.import_module("webrtc")


class WrtcSide:
    """Connections of wrtc."""

    def __init__(self, kind: str, ear: Callable[[int], Ear], jobs: Jobs) -> None:
        self._kind, self._ear, self._jobs = kind, ear, jobs
        self._peers: dict[int, Any] = {}

    async def answer(self, call: int, description: Message) -> Message:
        peer = self._peers[call] = _webrtc.RTCPeerConnection()
        peer.on("track", lambda event: self._jobs.start(self._take(call, event.track)))
        init = _webrtc.RTCSessionDescriptionInit(**description)
        await peer.set_remote_description(init)
        if self._kind == "voice":
            track = _webrtc.MediaStreamTrackGenerator("audio")
            peer.add_track(track)
            self._jobs.start(self._hum(track.writable.get_writer()))
        elif self._kind == "video-out":
            track = _webrtc.MediaStreamTrackGenerator("video")
            peer.add_track(track)
            self._jobs.start(self._paint(track.writable.get_writer()))
        await peer.set_local_description()
        while peer.ice_gathering_state != "complete":
            await asyncio.sleep(0.005)
        told = peer.local_description
        return {"type": str(told.type.value), "sdp": told.sdp}

    async def stats(self, call: int) -> dict[str, float]:
        report: Any = await self._peers[call].get_stats()
        for each in report.values():
            if each.type.value == "inbound-rtp":
                values = {name: getattr(each, name, None) for name in dir(each)}
                return {n: v for n, v in values.items() if isinstance(v, (int, float))}
        return {}

    async def close(self) -> None:
        for peer in self._peers.values():
            peer.close()

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

    async def _paint(self, writer: Any) -> None:
        track = GrainTrack(*VIDEO_SIZE)
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

    async def _take(self, call: int, track: Any) -> None:
        ear = self._ear(call)
        processor = _webrtc.MediaStreamTrackProcessor(
            _webrtc.MediaStreamTrackProcessorInit(track, max_buffer_size=20)
        )
        async for data in processor.readable:
            now = time.monotonic()
            if track.kind == "video":
                ear.pictures += 1
            else:
                channels, frames = data.number_of_channels, data.number_of_frames
                options = _webrtc.AudioDataCopyToOptions(plane_index=0, format="s16")
                samples = bytearray(data.allocation_size(options))
                data.copy_to(samples, options)
                heard = np.frombuffer(samples, np.int16)[: frames * channels : channels]
                ear.hear(now, heard, int(data.sample_rate))
            data.close()
