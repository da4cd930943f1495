"""Tracks that tell any time, over real connections, encoders and decoders."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame

from icefloe.encoding import VideoEncoder
from icefloe.media import EncodedFanout, EncodedSource
from icefloe.peer import forward
from icefloe.peer._aiortc import Sender
from tests.helpers.at_once import at_once
from tests.helpers.hops import hop, pictures, until_loud
from tests.helpers.times import PICTURES, SOUND, Told
from tests.media.files import make


class TellingTrack(MediaStreamTrack):
    """Gives 30 pictures, or 50 frames of sound, a second; each tells what it is told to."""

    def __init__(self, kind: str, told: Callable[[int], Told]) -> None:
        super().__init__()
        self.kind, self.told, self.number = kind, told, 0
        self._began: float | None = None

    async def recv(self) -> VideoFrame | AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        self._began = self._began or time.monotonic()
        due = self._began + self.number / (30 if self.kind == "video" else 50)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        frame = self._picture() if self.kind == "video" else self._sound()
        frame.pts, time_base = self.told(self.number)
        if time_base is not None:
            frame.time_base = time_base
        self.number += 1
        return frame

    def _picture(self) -> VideoFrame:
        frame = VideoFrame(64, 48, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([40 + self.number * 5 % 150]) * plane.buffer_size)
        return frame

    def _sound(self) -> AudioFrame:
        at = self.number * 960 + np.arange(960)
        samples = (9000 * np.sin(2 * np.pi * 440 * at / 48000)).astype(np.int16)
        frame = AudioFrame.from_ndarray(samples[None], "s16", "mono")
        frame.sample_rate = 48000
        return frame


class PacketTrack(TellingTrack):
    """The same pictures, encoded, without a word about what they are."""

    def __init__(self, codec: str, told: Callable[[int], Told]) -> None:
        super().__init__("video", told)
        self._encoder = VideoEncoder(codec)

    async def recv(self) -> Any:
        frame = await super().recv()
        assert isinstance(frame, VideoFrame)
        pts, time_base = self.told(self.number - 1)
        at = self.number * 3000
        (packet,) = self._encoder.encode(frame, at=at, key_frame=self.number % 10 == 1)
        packet.opaque = None
        packet.pts = packet.dts = pts
        if time_base is not None:
            packet.time_base = time_base
        return packet


class Watched:
    """The times of the pictures that arrive, beside those of the machine."""

    def __init__(self, track: MediaStreamTrack) -> None:
        self._track = track
        self.times: list[tuple[float, float]] = []

    async def see(self, count: int) -> None:
        for _ in range(count):
            (frame,) = await pictures(self._track, 1)
            assert frame.time is not None
            self.times.append((time.monotonic(), frame.time))

    def check(self) -> None:
        """Assert that times only grew, and as much as there was time."""
        assert all(b > a for (_, a), (_, b) in itertools.pairwise(self.times))
        off = [arrived - told for arrived, told in self.times]
        assert max(off) - min(off) < 1.5


def sender_of(pc: Any) -> Sender:
    (sender,) = pc.getSenders()
    assert isinstance(sender, Sender)
    return sender


async def test_pictures_go_on_whatever_one_track_after_the_other_tells() -> None:
    await at_once(_pictures_go_on, ("video/VP8",), ("video/H264",))


async def _pictures_go_on(codec: str) -> None:
    async with hop(TellingTrack("video", lambda n: (None, None)), codec=codec) as (remote, near, _):
        watched = Watched(remote)
        await watched.see(5)
        for told in PICTURES.values():
            sender_of(near).replaceTrack(TellingTrack("video", told))
            await watched.see(10)
        watched.check()


async def test_encoded_pictures_go_on_likewise() -> None:
    await at_once(_encoded_pictures_go_on, ("VP8",), ("H264",))


async def _encoded_pictures_go_on(codec: str) -> None:
    # What goes to and fro in H.264 is taken for the order of decoding, and it is not in that.
    left_out = ("in order of decoding", "at random", "to and fro", "backwards")
    first = PacketTrack(codec, lambda n: (None, None))
    async with hop(first, codec=f"video/{codec}") as (remote, near, _):
        watched = Watched(remote)
        await watched.see(5)
        for name, told in PICTURES.items():
            if codec == "VP8" or name not in left_out:
                sender_of(near).replaceTrack(PacketTrack(codec, told))
                await watched.see(10)
        watched.check()


async def test_pictures_that_are_encoded_once_go_on_likewise() -> None:
    await at_once(_pictures_encoded_once_go_on, ("VP8",), ("H264",))


async def _pictures_encoded_once_go_on(codec: str) -> None:
    told: list[Callable[[int], Told]] = list(PICTURES.values())
    source = TellingTrack("video", lambda n: told[n // 12 % len(told)](n))
    shared = EncodedFanout(source)
    async with (
        hop(shared.subscribe(), codec=f"video/{codec}") as (one, *_),
        hop(shared.subscribe(), codec=f"video/{codec}") as (other, *_rest),
    ):
        both = Watched(one), Watched(other)
        await asyncio.gather(*(watched.see(12 * len(told) // 2) for watched in both))
        for watched in both:
            watched.check()
    shared.close()


@asynccontextmanager
async def sent_times(near: Any) -> AsyncIterator[list[int]]:
    """Note the timestamps of what a connection sends, from now on."""
    stream, stamps = sender_of(near).outgoing.stream, list[int]()
    send = stream.packetize

    def noting(payloads: Any, *, timestamp: int, **more: Any) -> list[bytes]:
        stamps.append(timestamp)
        return send(payloads, timestamp=timestamp, **more)

    stream.packetize = noting  # type: ignore[method-assign]
    yield stamps


async def test_sound_goes_on_whatever_one_track_after_the_other_tells() -> None:
    codecs = ("audio/opus", 48000), ("audio/PCMU", 8000), ("audio/PCMA", 8000)
    await at_once(_sound_goes_on, *codecs)


async def _sound_goes_on(codec: str, rate: int) -> None:
    async with hop(TellingTrack("audio", lambda n: (None, None)), codec=codec) as (remote, near, _):
        await until_loud(remote)
        async with sent_times(near) as stamps:
            began = time.monotonic()
            for told in SOUND.values():
                track = TellingTrack("audio", told)
                sender_of(near).replaceTrack(track)
                while track.number < 25:
                    await remote.recv()
            passed = time.monotonic() - began
        steps = [b - a & 0xFFFFFFFF for a, b in itertools.pairwise(stamps)]
        # Sound follows sound, but where the machine stood still and its track told no time.
        assert min(steps) == rate // 50
        assert sum(step == rate // 50 for step in steps) > 0.95 * len(steps)
        assert sum(steps) / rate == pytest.approx(passed, abs=1.0)
        await until_loud(remote)


def wild(stamps: Iterable[Callable[[int], int]], near: Any) -> None:
    """Have a connection send other timestamps than its own, as another program might."""
    stream, told = sender_of(near).outgoing.stream, list(stamps)
    send, sent = stream.packetize, itertools.count()

    def lying(payloads: Any, *, timestamp: int, **more: Any) -> list[bytes]:
        n = next(sent)
        timestamp = told[n // 30 % len(told)](n) & 0xFFFFFFFF
        return send(payloads, timestamp=timestamp, **more)

    stream.packetize = lying  # type: ignore[method-assign]


async def test_what_is_forwarded_goes_on_whatever_the_remote_side_tells() -> None:
    await at_once(_what_is_forwarded_goes_on, ("video/VP8",), ("video/H264",))


async def _what_is_forwarded_goes_on(codec: str) -> None:
    track = TellingTrack("video", lambda n: (n, Fraction(1, 30)))
    async with (
        hop(track, codec=codec) as (remote, near, _),
        hop(forward(remote), codec=codec) as (viewed, *_rest),
    ):
        local, watched = Watched(remote), Watched(viewed)
        await asyncio.gather(local.see(5), watched.see(5))
        ways: list[Callable[[int], int]] = [
            lambda n: n * 3000,
            lambda n: n * 3000 + 2**31,
            lambda n: n * 3000 - 900_000,
            lambda n: n * 30,
            lambda n: n % 25 * 3000,
            lambda n: n * 300_000,
        ]
        wild(ways, near)
        await asyncio.gather(local.see(30 * len(ways)), watched.see(30 * len(ways)))
        watched.check()


async def test_pictures_in_decoding_order_are_seen_in_theirs_and_forwarded_likewise(
    tmp_path: Path,
) -> None:
    path = make(tmp_path / "film.mkv", frames=90, codec="libx264", b_frames=2, rate=25, keys=15)
    source = await EncodedSource.open(path, loop=True)
    assert source.video is not None
    async with (
        source,
        hop(source.video, codec="video/H264") as (remote, *_),
        hop(forward(remote), codec="video/H264") as (viewed, *_rest),
    ):
        for frames in await asyncio.gather(pictures(remote, 150), pictures(viewed, 120)):
            times = [frame.pts or 0 for frame in frames]
            steps = [b - a for a, b in itertools.pairwise(times)]
            assert min(steps) > 0
            # A machine that stood still, or a round of the film, is a step of another length.
            assert sum(abs(step - 3600) <= 90 for step in steps) > 0.8 * len(steps)
