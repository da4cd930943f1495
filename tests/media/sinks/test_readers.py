import asyncio
import gc
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, Packet, VideoFrame
from av.frame import Frame

from icefloe.media import InvalidParameter, ToneTrack, audio, frames
from tests.media.manual_clock import ManualClock
from tests.media.tracks import FedTrack, picture, tone, turns, until


class RemoteTrack(FedTrack):
    """Knows when its frames were captured."""

    def capture_time(self, frame: Frame) -> float | None:
        return None if frame.time is None else 1_700_000_000 + frame.time


class EncodedTrack(FedTrack):
    async def recv(self) -> Packet:  # type: ignore[type-arg, override]
        return Packet(b"\x00")


def colour(luma: int, blue: int, red: int) -> VideoFrame:
    frame = picture(0, (64, 48))
    for plane, value in zip(frame.planes, (luma, blue, red), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    return frame


def near(pixel: object, wanted: tuple[int, ...]) -> bool:
    return bool(np.all(np.abs(np.asarray(pixel, int) - wanted) <= 3))


async def test_pictures_are_arrays_of_pixels() -> None:
    source = FedTrack()
    async with frames(source) as reader:
        source.feed(colour(81, 90, 240))  # red, in BT.601 studio range
        array = await anext(reader)
    assert (array.shape, array.dtype.name) == ((48, 64, 3), "uint8")
    assert near(array[24, 32], (254, 0, 0))


@pytest.mark.parametrize(
    ("name", "shape", "pixel"),
    [
        ("bgr24", (48, 64, 3), (0, 0, 254)),
        ("rgba", (48, 64, 4), (254, 0, 0, 255)),
        ("bgra", (48, 64, 4), (0, 0, 254, 255)),
        ("gray", (48, 64), (76,)),
    ],
)
async def test_pixels_are_laid_out_as_asked(
    name: str, shape: tuple[int, ...], pixel: tuple[int, ...]
) -> None:
    source = FedTrack()
    async with frames(source, format=name) as reader:  # type: ignore[arg-type]
        source.feed(colour(81, 90, 240))
        array = await anext(reader)
    assert array.shape == shape
    assert near(array[24, 32], pixel)


async def test_pictures_are_scaled_if_a_size_is_given_and_follow_the_track_if_not() -> None:
    source = FedTrack()
    async with frames(source, policy="wait") as plain:
        source.feed(picture(0, (64, 48)), picture(1, (33, 17)))
        assert [(await anext(plain)).shape for _ in range(2)] == [(48, 64, 3), (17, 33, 3)]
    async with frames(source, size=(20, 10)) as scaled:
        source.feed(picture(2, (64, 48)))
        assert (await anext(scaled)).shape == (10, 20, 3)


async def test_an_array_is_not_shared_with_other_readers_of_the_frame() -> None:
    source = FedTrack()
    frame = VideoFrame(32, 16, "rgb24")
    frame.planes[0].update(bytes(frame.planes[0].buffer_size))
    async with frames(source) as reader:
        source.feed(frame)
        (await anext(reader))[:] = 255
    assert not any(bytes(frame.planes[0]))


async def test_a_reader_of_pictures_that_stops_for_ten_seconds_goes_on_with_the_newest() -> None:
    source = FedTrack()
    reader = frames(source)
    source.feed(picture(0))
    await anext(reader)
    source.feed(*map(picture, range(1, 301)))
    await until(lambda: source.read == 301)
    await anext(reader)
    assert reader.time == 300 / 30
    assert reader.dropped == 299
    await reader.aclose()


async def test_memory_does_not_grow_while_nobody_reads() -> None:
    source = FedTrack("audio")
    async with audio(source) as reader:
        source.feed(*map(tone, range(500)))
        await until(lambda: source.read == 500)
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for start in range(500, 3000, 100):
            source.feed(*map(tone, range(start, start + 100)))
            await until(lambda end=start + 100: source.read == end)  # type: ignore[misc]
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert reader.dropped > 2900
    assert grown < 20_000


async def test_a_reader_of_sound_that_stops_for_ten_seconds_is_100_ms_behind() -> None:
    source = FedTrack("audio")
    async with audio(source, rate=48000) as reader:
        source.feed(tone(0))
        await anext(reader)
        source.feed(*map(tone, range(1, 501)))
        await until(lambda: source.read == 501)
        await anext(reader)
        assert reader.time is not None
        assert 501 * 0.02 - reader.time <= 0.1001
        # No second of delay builds up again after that.
        assert reader.dropped == 495


async def test_sound_is_not_lost_to_a_reader_that_is_away_for_less_than_is_kept() -> None:
    source = FedTrack("audio")
    async with audio(source, rate=48000) as reader:
        source.feed(*map(tone, range(49)))
        source.end()
        assert sum([len(a) async for a in reader]) == 49 * 960
    assert reader.dropped == 0


async def test_with_the_policy_wait_nothing_is_lost_or_read_in_advance() -> None:
    source = FedTrack()
    async with frames(source, policy="wait") as reader:
        source.feed(*map(picture, range(100)))
        source.end()
        await turns()
        assert source.read == 0
        count = 0
        async for _ in reader:
            count += 1
            assert source.read == count
    assert (count, reader.dropped) == (100, 0)


async def test_sound_is_resampled_and_keeps_its_pitch() -> None:
    track = ToneTrack(1000, level=-6, clock=ManualClock())
    async with audio(track, rate=16000, policy="wait") as reader:
        parts = [await anext(reader) for _ in range(60)]
    samples = np.concatenate(parts)
    assert samples.dtype == np.int16
    assert samples.ndim == 1
    spectrum = np.abs(np.fft.rfft(samples[1600:17600] * np.hanning(16000)))
    assert spectrum.argmax() == 1000
    assert np.sqrt(np.mean(samples[1600:].astype(float) ** 2)) == pytest.approx(
        32768 * 10 ** (-6 / 20) / 2**0.5, rel=0.02
    )


async def test_arrays_of_sound_have_the_length_that_is_asked_for() -> None:
    source = FedTrack("audio")
    async with audio(source, rate=16000, samples=512, dtype="float32") as reader:
        source.feed(*map(tone, range(10)))
        source.end()
        arrays = [a async for a in reader]
    assert {a.shape for a in arrays} == {(512,)}
    assert {a.dtype for a in arrays} == {np.dtype(np.float32)}
    assert len(arrays) == -(-3200 // 512)


async def test_channels_are_the_second_axis() -> None:
    source = FedTrack("audio")
    async with audio(source, rate=48000, layout="stereo") as reader:
        source.feed(tone(0))
        assert (await anext(reader)).shape == (960, 2)


async def test_the_time_of_an_array_is_that_of_its_first_sample_after_a_gap_too() -> None:
    source = RemoteTrack("audio")
    async with audio(source, rate=8000, samples=80) as reader:
        source.feed(tone(0), tone(1), tone(2), tone(10), tone(11), tone(12))
        source.end()
        times = [(reader.time, reader.captured) async for _ in reader]
    at = [t for t, _ in times if t is not None]
    assert at[0] == pytest.approx(0.0)
    assert at[1] == pytest.approx(0.01)
    assert at[-1] == pytest.approx(0.25, abs=0.011)
    assert [c for _, c in times] == pytest.approx([1_700_000_000 + t for t in at])


async def test_a_change_of_the_format_in_mid_call_is_taken() -> None:
    source = FedTrack("audio")
    stereo = AudioFrame("fltp", "stereo", 441)
    stereo.sample_rate = 44100
    stereo.time_base = Fraction(1, 44100)
    for plane in stereo.planes:
        plane.update(bytes(plane.buffer_size))
    async with audio(source, rate=16000) as reader:
        source.feed(tone(0), stereo, tone(1))
        source.end()
        count = sum([len(a) async for a in reader])
    assert count == pytest.approx(320 + 160 + 320, abs=8)


async def test_frames_that_others_hold_are_not_changed() -> None:
    source = FedTrack("audio")
    frame = tone(7)
    async with audio(source) as reader:
        source.feed(frame)
        await anext(reader)
    assert frame.pts == 7 * 960


async def test_an_array_is_not_lost_to_a_reader_that_was_cancelled() -> None:
    source = FedTrack()
    async with frames(source, policy="wait") as reader:
        waiting = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
        source.feed(picture(3))
        while not source.read:  # the frame is taken, and its conversion has begun or is to begin
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await anext(reader)
        assert reader.time == pytest.approx(0.1)


@pytest.mark.parametrize("policy", ["newest", "wait"])
async def test_closing_ends_whoever_waits_and_leaves_the_track_alone(policy: str) -> None:
    source = FedTrack()
    reader = frames(source, policy=policy)  # type: ignore[arg-type]

    async def read() -> int:
        return len([a async for a in reader])

    waiting = asyncio.create_task(read())
    await turns()
    await reader.aclose()
    await reader.aclose()
    assert await waiting == 0
    assert source.readyState == "live"


async def test_a_reader_that_is_left_and_forgotten_frees_all_it_had() -> None:
    source = FedTrack()
    source.feed(picture(0))
    async for _ in frames(source):
        break
    gc.collect()
    source.feed(picture(1))
    await turns()
    assert source.read <= 1
    # That its thread and its task are gone is seen by the check after each test.


async def test_one_task_at_a_time_reads() -> None:
    source = FedTrack()
    async with frames(source) as reader:
        first = asyncio.ensure_future(anext(reader, None))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="Fanout"):
            await anext(reader)
        await reader.aclose()
        assert await first is None


async def test_a_track_that_breaks_off_ends_the_loop() -> None:
    source = FedTrack()
    source.stop()
    with pytest.raises(MediaStreamError):
        await source.recv()
    assert [a async for a in frames(source)] == []
    assert [a async for a in frames(source, policy="wait")] == []


async def test_what_cannot_be_read_is_refused() -> None:
    video, sound = FedTrack(), FedTrack("audio")
    with pytest.raises(InvalidParameter, match="track of video"):
        frames(sound)
    with pytest.raises(InvalidParameter, match="track of audio"):
        audio(video)
    with pytest.raises(InvalidParameter, match="rgb24"):
        frames(video, format="hsv")  # type: ignore[arg-type]
    with pytest.raises(InvalidParameter, match="layout"):
        audio(sound, layout="many")
    for name in ("rate", "samples", "keep"):
        with pytest.raises(InvalidParameter, match=name):
            audio(sound, **{name: 0})  # type: ignore[arg-type]
    with pytest.raises(InvalidParameter, match="encoded"):
        await anext(frames(EncodedTrack(), policy="wait"))
