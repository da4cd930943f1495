"""Sound of any format and length, over real connections; and what is no sound."""

import asyncio
import itertools
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from aiortc import MediaStreamTrack
from av import AudioFrame, VideoFrame
from av.packet import Packet
from numpy.typing import NDArray

from icefloe.encoding import Encoded, make_packet
from icefloe.media import AudioQueue, EncodedFanout, Fanout, NobodyListens, ToneTrack
from icefloe.peer import PeerConnection, TrackNotSent
from icefloe.peer._aiortc import Sender
from tests.encoding.sounds import LOUD, loudness
from tests.helpers.at_once import at_once
from tests.helpers.hops import hop, until_loud
from tests.helpers.pairs import closing, negotiate
from tests.helpers.sound_track import SoundTrack, changing, same

CODECS = ("audio/opus", "audio/PCMU", "audio/PCMA", "audio/G722")


def sender_of(connection: Any) -> Sender:
    sender = connection.getSenders()[0]
    assert isinstance(sender, Sender)
    return sender


async def listen(track: MediaStreamTrack, seconds: float) -> tuple[NDArray[np.float64], int]:
    """Return one channel of what is heard, and its rate."""
    parts, rate = [], 48000
    for _ in range(round(seconds * 50)):
        frame = await track.recv()
        assert isinstance(frame, AudioFrame)
        rate, channels = frame.sample_rate, frame.layout.nb_channels
        data = np.frombuffer(bytes(frame.planes[0]), np.int16)[: frame.samples * channels]
        parts.append(data[::channels] / 32767)
    return np.concatenate(parts), rate


async def made_up(connection: Any) -> float:
    """Return the part of what was heard that was made up."""
    report = (await connection.getStats()).values()
    (stats,) = [s for s in report if s.type == "inbound-rtp"]
    return float(stats.concealedSamples / max(1, stats.totalSamplesReceived))


def noting(near: Any) -> "list[tuple[float, int]]":
    """Note when packets are sent, in seconds, and their timestamps, from now on."""
    stream, sent = sender_of(near).outgoing.stream, list[tuple[float, int]]()
    send = stream.packetize

    def packetize(payloads: Any, *, timestamp: int, **more: Any) -> list[bytes]:
        assert len(payloads) == 1
        sent.append((asyncio.get_running_loop().time(), timestamp))
        return send(payloads, timestamp=timestamp, **more)

    stream.packetize = packetize  # type: ignore[method-assign]
    return sent


@pytest.mark.alone
@pytest.mark.parametrize(
    ("codecs", "shared"),
    [(CODECS[:2], False), (CODECS[2:], False), (("audio/opus",), True)],
)
async def test_a_tone_is_heard_while_its_format_changes(
    codecs: tuple[str, ...], shared: bool
) -> None:
    await at_once(_is_heard, *((codec, shared) for codec in codecs))


async def _is_heard(codec: str, shared: bool) -> None:
    track = SoundTrack(changing)
    fanout = EncodedFanout(track)
    async with hop(fanout.subscribe() if shared else track, codec=codec) as (remote, near, far):
        await until_loud(remote)
        sent = noting(near)
        wave, rate = await listen(remote, 4.0)
        steps = {b - a & 0xFFFFFFFF for (_, a), (_, b) in itertools.pairwise(sent)}
        assert steps == {sender_of(near).outgoing._codecs[0].clockRate // 50}
        assert await made_up(far) < 0.2
        pieces = wave[: len(wave) // rate * rate].reshape(-1, rate // 5)
        levels = [loudness(piece, rate) for piece in pieces]
        assert float(np.median(levels)) == pytest.approx(LOUD, rel=0.25)
    fanout.close()


@pytest.mark.alone
@pytest.mark.parametrize("seconds", [0.0025, 0.03, 1.0, 3.0])
@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
async def test_packets_of_20_ms_leave_one_after_the_other(seconds: float, shared: bool) -> None:
    track = SoundTrack(same("s16", "mono", 48000, seconds))
    fanout = EncodedFanout(track)
    async with hop(fanout.subscribe() if shared else track) as (remote, near, far):
        await until_loud(remote)
        sent = noting(near)
        # From one frame into the next, and more than a second.
        while len(sent) < max(120, 50 * (seconds + 1)):
            await remote.recv()
        steps = {b - a & 0xFFFFFFFF for (_, a), (_, b) in itertools.pairwise(sent)}
        assert steps == {960}
        # No burst of a whole frame: in a second there are a second's packets, and some to catch up.
        times = [at for at, _ in sent]
        assert min(b - a for a, b in zip(times, times[50:], strict=False)) > 0.5
        assert await made_up(far) < 0.2
    fanout.close()


async def test_replacing_a_long_frame_takes_what_waits_of_it_away() -> None:
    track = SoundTrack(same("s16", "mono", 48000, 3.0))
    async with hop(track) as (remote, near, _):
        await until_loud(remote)
        sender_of(near).replaceTrack(AudioQueue())
        heard = 1.0
        while heard > 0.01:
            wave, _ = await listen(remote, 0.2)
            heard = float(np.abs(wave).max())
        assert track.number <= 2
        sender_of(near).replaceTrack(SoundTrack(same("fltp", "5.1", 96000, 0.06)))
        await until_loud(remote)
        track.stop()


async def test_muting_takes_effect_within_a_long_frame() -> None:
    track = SoundTrack(same("u8p", "stereo", 8000, 10.0))
    async with hop(track) as (remote, *_):
        await until_loud(remote)
        track.enabled = False
        heard = 1.0
        while heard > 0.001:
            wave, _ = await listen(remote, 0.2)
            heard = float(np.abs(wave).max())
        assert track.number == 1
        track.enabled = True
        await until_loud(remote)


async def test_a_track_that_ends_is_heard_to_its_end() -> None:
    track = SoundTrack(same("s16", "mono", 48000, 0.63), length=0.5)
    async with hop(track) as (_, near, _far):
        sent = noting(near)
        while len(sent) < 32:
            await asyncio.sleep(0.01)
        assert len(sent) == 32


def without_rate() -> AudioFrame:
    return AudioFrame("s16", "mono", 960)


def packet_of(codec: str) -> "Packet[Any]":
    known = Encoded(codec=codec, payloads=(b"1",))
    return make_packet(b"1", pts=0, time_base=Fraction(1, 90000), known=known)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (without_rate, "no sample rate"),
        (lambda: VideoFrame(16, 16, "yuv420p"), "VideoFrame"),
        (lambda: None, "NoneType"),
        (lambda: 5, "int"),
        (AudioFrame, "no sample rate"),
        (lambda: packet_of("VP8"), "VP8"),
        (lambda: Packet(bytes(1301)), "more than 1300 bytes"),
        (lambda: Packet(b""), "no bytes"),
    ],
    ids=["rate", "picture", "none", "number", "empty", "packet", "long", "void"],
)
async def test_what_cannot_be_sent_is_told_and_the_next_frame_is_sent(
    make: Callable[[], Any], named: str
) -> None:
    good = ("s16", "mono", 48000, 0.02)
    track = SoundTrack(lambda n: make() if n % 5 == 1 else good)
    near, far, told = PeerConnection(), PeerConnection(), list[TrackNotSent]()
    near.on("senderror", told.append)
    tracks: list[MediaStreamTrack] = []
    far.on("track", tracks.append)
    async with closing(near, far):
        near.addTrack(track)
        await negotiate(near, far)
        await until_loud(tracks[0])
        while track.number < 60:
            await tracks[0].recv()
        (error,) = told
        assert error.track is track
        assert named in str(error)
        report = (await near.getStats()).values()
        (stats,) = [s for s in report if s.type == "outbound-rtp"]
        assert stats.frames_refused >= 10
        await until_loud(tracks[0])


@pytest.mark.parametrize("error", [ConnectionResetError, asyncio.CancelledError])
async def test_a_track_that_breaks_is_told_and_another_one_can_take_its_place(
    error: type[BaseException],
) -> None:
    def broken(number: int) -> Any:
        if number == 5:
            raise error("the microphone is gone")
        return ("s16", "mono", 48000, 0.5)

    near, far, told = PeerConnection(), PeerConnection(), asyncio.Queue[TrackNotSent]()
    near.on("senderror", told.put_nowait)
    tracks: list[MediaStreamTrack] = []
    far.on("track", tracks.append)
    async with closing(near, far):
        sender = near.addTrack(SoundTrack(broken))
        await negotiate(near, far)
        refusal = await told.get()
        assert "the microphone is gone" in str(refusal)
        assert isinstance(refusal.__cause__, error)
        sender.replaceTrack(ToneTrack())
        await until_loud(tracks[0])


async def test_a_track_that_gives_no_pictures_is_told_likewise() -> None:
    class Odd(SoundTrack):
        kind = "video"

    near, far, told = PeerConnection(), PeerConnection(), asyncio.Queue[TrackNotSent]()
    near.on("senderror", told.put_nowait)
    async with closing(near, far):
        near.addTrack(Odd(same("s16", "mono", 48000, 0.02)))
        await negotiate(near, far)
        assert "AudioFrame" in str(await told.get())


@pytest.mark.parametrize("when", ["at once", "before it", "in the middle"])
async def test_a_peer_that_leaves_ends_what_waits_for_it(when: str) -> None:
    queue, near, far = AudioQueue(capacity=5.0), PeerConnection(), PeerConnection()
    tracks: list[MediaStreamTrack] = []
    far.on("track", tracks.append)
    near.addTrack(queue)
    async with closing(near, far):
        if when != "before it":
            await negotiate(near, far)
        sound = b"\x00\x40" * 24000 * 4
        piece = await queue.push(sound, 24000)
        waiting = [
            asyncio.ensure_future(wait)
            for wait in (piece.wait(), queue.drain(), queue.push(sound, 24000))
        ]
        if when == "in the middle":
            await until_loud(tracks[0])
        await (near if when != "in the middle" else far).close()
        done = await asyncio.gather(*waiting, return_exceptions=True)
        assert done[:2] == [False, None]
        assert isinstance(done[2], NobodyListens)
    assert queue.readyState == "live"
    assert queue.buffered == 0
    # Another peer may hear it.
    async with hop(queue) as (remote, *_):
        piece = await queue.push(b"\x00\x40" * 24000, 24000)
        await until_loud(remote)
        assert await piece.wait()
    queue.stop()


async def test_a_viewer_that_leaves_a_shared_queue_ends_what_waits_for_it() -> None:
    queue = AudioQueue()
    fanout = Fanout(queue, stop_source=False)
    async with hop(fanout.subscribe()) as (remote, *_):
        piece = await queue.push(b"\x00\x40" * 24000 * 8, 24000)
        await until_loud(remote)
    assert not await piece.wait()
    queue.stop()
