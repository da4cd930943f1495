"""The callers of the benchmark of many calls: one process that holds all of them.

They send what was encoded once, and decode nothing, so that they cost little and the same whoever
answers. Each line in is an object with ``do``:

===========  =====================================================================
``call``     ``kind``, ``count``, ``jitter``, ``busy``: make so many calls
``answer``   ``call``, ``description``: the answer to an offer
``counts``   report ``counts``: packets received so far, of all calls
===========  =====================================================================
"""

import asyncio
import random
import time
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from aiortc import MediaStreamTrack, RTCSessionDescription
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from av import AudioFrame
from av.packet import Packet

from icefloe.encoding import AudioEncoder, Encoded, VideoEncoder
from icefloe.encoding.packing import make_packet
from icefloe.peer import PeerConnection
from tests.bench.peers.grain import GrainPainter
from tests.natlab.program import Jobs, Message, emit, lines, log_to_stderr

RATE, SIZE = 48000, 960
PERIOD = 0.5
"""Seconds between two beeps: at each multiple by the clock that all processes share."""
_BEEP = 0.005
_FPS = 30
VIDEO_SIZE = 640, 352


def encoded_sound() -> list[bytes]:
    """Return the packets of one period of a voice-like tone with a beep at its begin.

    Later periods sound as the first: it is taken from the middle of a longer stream.
    """
    times = np.arange(round(PERIOD * RATE)) / RATE
    sound = sum(3000 / n * np.sin(2 * np.pi * 150 * n * times) for n in range(1, 6))
    sound = np.where(times < _BEEP, 20000 * np.sin(2 * np.pi * 2000 * times), sound)
    stereo = np.repeat(sound.astype(np.int16), 2)
    encoder = AudioEncoder("opus", bitrate=32_000)
    made: list[bytes] = []
    for number in range(100):
        frame = AudioFrame("s16", "stereo", SIZE)
        start = number * SIZE % (len(stereo) // 2) * 2
        frame.planes[0].update(stereo[start : start + 2 * SIZE].tobytes())
        frame.sample_rate, frame.pts, frame.time_base = RATE, number * SIZE, Fraction(1, RATE)
        encoder.put(frame, number * 0.02)
        made += [bytes(packet) for packet in encoder.take(number * 0.02)]
    count = round(PERIOD / 0.02)
    return made[2 * count : 3 * count]


def encoded_pictures() -> list[tuple[bytes, bool]]:
    """Return one second of VP8, whose first picture is a key frame."""
    painter, encoder = GrainPainter(*VIDEO_SIZE), VideoEncoder("VP8")
    made: list[tuple[bytes, bool]] = []
    for number in range(_FPS):
        frame = painter.paint(number)
        packets = encoder.encode(frame, at=number * 90000 // _FPS, key_frame=number == 0)
        made += [(bytes(packet), packet.is_keyframe) for packet in packets]
    return made


class _EncodedTrack(MediaStreamTrack):
    """A track of packets that leave by the clock of the machine.

    Args:
        jitter: Seconds by which a packet may be late on its way, at random; the order is kept.
        seed: Of what is random.
    """

    step: float

    def __init__(self, jitter: float, seed: int) -> None:
        super().__init__()
        self._first = int(time.monotonic() / PERIOD + 1) * round(PERIOD / self.step)
        self.number = self._first
        self._jitter, self._chance = jitter, random.Random(seed)

    def use(self, codecs: Sequence[RTCRtpCodecParameters]) -> None:
        """Take what was encoded, whatever the peer prefers."""

    def request_key_frame(self) -> None:
        """Wait for the next one, which comes each second."""

    def feedback(self, *, bitrate: int | None, loss: float, rtt: float | None) -> None:
        """Send as before."""

    async def recv(self) -> "Packet[Any]":
        """Return the next packet when it arrives at the end of a jittery path."""
        due = self.number * self.step + self._chance.uniform(0, self._jitter)
        if (left := due - time.monotonic()) > 0:
            await asyncio.sleep(left)
        packet = self.make(self.number)
        self.number += 1
        return packet

    def make(self, number: int) -> "Packet[Any]":
        """Return a packet."""
        raise NotImplementedError


class Voice(_EncodedTrack):
    """The tone of :func:`encoded_sound`, in packets of 20 ms."""

    kind = "audio"
    step = 0.02

    def __init__(self, sound: list[bytes], jitter: float, seed: int) -> None:
        self._sound = sound
        super().__init__(jitter, seed)

    def make(self, number: int) -> "Packet[Any]":
        data = self._sound[number % len(self._sound)]
        known = Encoded("opus", payloads=(data,), level=30)
        pts = (number - self._first) * SIZE
        return make_packet(data, pts=pts, time_base=Fraction(1, RATE), known=known)


class Pictures(_EncodedTrack):
    """The pictures of :func:`encoded_pictures`."""

    kind = "video"
    step = 1 / _FPS

    def __init__(self, pictures: list[tuple[bytes, bool]], jitter: float, seed: int) -> None:
        self._pictures = pictures
        super().__init__(jitter, seed)

    def make(self, number: int) -> "Packet[Any]":
        position = number - self._first
        data, is_key = self._pictures[position % len(self._pictures)]
        known = Encoded("VP8", is_key_frame=is_key)
        pts = position * 90000 // _FPS
        return make_packet(data, pts=pts, time_base=Fraction(1, 90000), known=known)


async def _hold_up(seed: int) -> None:
    """Hold the event loop up for 50 to 200 ms now and then, as a busy program does."""
    chance = random.Random(seed)
    while True:
        await asyncio.sleep(chance.uniform(0.5, 2.0))
        time.sleep(chance.uniform(0.05, 0.2))  # noqa: ASYNC251


class Callers:
    """All calls."""

    def __init__(self) -> None:
        self._jobs = Jobs()
        self._calls: list[PeerConnection] = []

    async def handle(self, message: Message) -> None:
        """Do what a line says."""
        match message["do"]:
            case "call":
                if message["busy"]:
                    self._jobs.start(_hold_up(1))
                for number in range(message["count"]):
                    self._jobs.start(self._call(number, message["kind"], message["jitter"]))
            case "answer":
                answer = RTCSessionDescription(**message["description"])
                self._jobs.start(self._calls[message["call"]].setRemoteDescription(answer))
            case "counts":
                emit("counts", counts=[await self._received(peer) for peer in self._calls])
            case unknown:
                raise ValueError(f"cannot {unknown}")

    async def close(self) -> None:
        """Close all connections."""
        await self._jobs.end()
        await asyncio.wait([asyncio.ensure_future(c.close()) for c in self._calls], timeout=5)

    def prepare(self, kind: str) -> None:
        """Encode what is to be sent."""
        self._sound = encoded_sound() if kind == "voice" else []
        self._pictures = encoded_pictures() if kind == "video-in" else []

    async def _call(self, number: int, kind: str, jitter: float) -> None:
        peer = PeerConnection()
        while len(self._calls) != number:
            await asyncio.sleep(0)
        self._calls.append(peer)
        if kind == "voice":
            peer.addTrack(Voice(self._sound, jitter, number))
        elif kind == "video-in":
            peer.addTransceiver(Pictures(self._pictures, jitter, number), direction="sendonly")
        else:
            peer.addTransceiver("video", direction="recvonly")
        peer.on("connectionstatechange", lambda: self._tell_state(number, peer))
        await peer.setLocalDescription(await peer.createOffer())
        while peer.iceGatheringState != "complete":
            await asyncio.sleep(0.005)
        told = peer.localDescription
        emit("offer", call=number, description={"type": told.type, "sdp": told.sdp})

    @staticmethod
    def _tell_state(number: int, peer: PeerConnection) -> None:
        emit("state", call=number, state=peer.connectionState)

    @staticmethod
    async def _received(peer: PeerConnection) -> int:
        report = await peer.getStats()
        return sum(
            int(getattr(each, "packetsReceived", 0))
            for each in report.values()
            if each.type == "inbound-rtp"
        )


async def _main(kind: str) -> None:
    callers = Callers()
    callers.prepare(kind)
    emit("ready")
    try:
        async for message in lines():
            await callers.handle(message)
    finally:
        await callers.close()


if __name__ == "__main__":
    import sys

    log_to_stderr()
    asyncio.run(_main(sys.argv[1]))
