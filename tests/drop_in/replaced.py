"""icefloe in the place of aiortc's connection, before anybody else's code is loaded; and a browser.

Each program here is a process of its own, because what it loads changes aiortc for all.
"""

import asyncio
import json
import time
from fractions import Fraction
from typing import Any

import aiortc
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration
from av import AudioFrame, VideoFrame

PlainConnection = aiortc.RTCPeerConnection
"""aiortc's own, for the other side."""

WIDTH, HEIGHT, BITS = 320, 240, 16
RATE = 25


def replace() -> None:
    """Put icefloe's connection in the place of aiortc's."""
    from icefloe.peer import PeerConnection

    aiortc.RTCPeerConnection = PeerConnection  # type: ignore[misc]


def report(**results: Any) -> None:
    """Say what came out, on a line of its own."""
    print(json.dumps(results), flush=True)  # noqa: T201


class NumberedPictures(MediaStreamTrack):
    """Pictures on which their number stands in black and white bars.

    Attributes:
        made_at: When each of them was made, by ``time.monotonic()``.
    """

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.made_at: list[float] = []
        self._begun: float | None = None

    async def recv(self) -> VideoFrame:
        """Return the next picture, when it is time."""
        number = len(self.made_at)
        if self._begun is None:
            self._begun = time.monotonic()
        await asyncio.sleep(max(self._begun + number / RATE - time.monotonic(), 0))
        bars = [235 if number >> bit & 1 else 16 for bit in range(BITS)]
        row = np.repeat(np.array(bars, np.uint8), WIDTH // BITS)
        picture = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
        picture[:HEIGHT] = row
        frame = VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, frame.time_base = number * 90000 // RATE, Fraction(1, 90000)
        self.made_at.append(time.monotonic())
        return frame


def number_on(brightness: Any) -> int:
    """Read the number off a picture, given as an array of rows of brightness."""
    row = np.asarray(brightness)[HEIGHT // 2]
    bars = row.reshape(BITS, WIDTH // BITS)[:, WIDTH // BITS // 2]
    return sum(int(bar > 128) << bit for bit, bar in enumerate(bars))


class Tone(MediaStreamTrack):
    """A tone of 440 Hz."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._begun: float | None = None

    async def recv(self) -> AudioFrame:
        """Return the next 20 ms, when it is time."""
        if self._begun is None:
            self._begun = time.monotonic()
        await asyncio.sleep(max(self._begun + self._count * 0.02 - time.monotonic(), 0))
        frame = AudioFrame.from_ndarray(tone(self._count)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48000, self._count * 960
        frame.time_base = Fraction(1, 48000)
        self._count += 1
        return frame


def tone(number: int, samples: int = 960, rate: int = 48000) -> Any:
    """Return a piece of the tone, as 16-bit samples."""
    at = number * samples + np.arange(samples)
    return (9000 * np.sin(2 * np.pi * 440 * at / rate)).astype(np.int16)


def is_loud(samples: Any) -> bool:
    """Return whether 16-bit samples are more than silence."""
    return bool(len(samples)) and int(np.abs(np.asarray(samples, np.int32)).max()) > 2000


class Browser:
    """The other side: plain aiortc, with a microphone, a camera and a data channel.

    Attributes:
        camera: What it sends.
        tracks: What it gets, by kind.
        channel: The channel that it opens.
        messages: What it got over that.
    """

    def __init__(self) -> None:
        self.connection = PlainConnection(
            RTCConfiguration(iceServers=[], bundlePolicy=aiortc.RTCBundlePolicy.MAX_BUNDLE)
        )
        self.camera = NumberedPictures()
        self.tracks: dict[str, MediaStreamTrack] = {}
        self.messages: asyncio.Queue[str] = asyncio.Queue()
        self.connection.on("track", lambda track: self.tracks.update({track.kind: track}))
        self.connection.addTrack(Tone())
        self.connection.addTrack(self.camera)
        self.channel = self.connection.createDataChannel("chat")
        self.channel.on("message", self.messages.put_nowait)

    async def offer(self) -> dict[str, str]:
        """Make the offer."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        offer = self.connection.localDescription
        return {"sdp": offer.sdp, "type": offer.type}

    async def take(self, answer: Any) -> None:
        """Take the answer."""
        await self.connection.setRemoteDescription(
            aiortc.RTCSessionDescription(answer["sdp"], answer["type"])
        )

    async def until_loud(self) -> None:
        """Wait until sound comes."""
        while True:
            frame = await self.tracks["audio"].recv()
            if isinstance(frame, AudioFrame) and is_loud(frame.to_ndarray().ravel()):
                return

    async def until_picture(self) -> int:
        """Return the number of the next picture."""
        frame = await self.tracks["video"].recv()
        assert isinstance(frame, VideoFrame)
        return number_on(frame.to_ndarray(format="gray"))
