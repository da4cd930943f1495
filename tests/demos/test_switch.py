"""One track, several sources."""

import asyncio
import itertools
from fractions import Fraction

import pytest
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame

from icefloe.demos.call.switch import Switch
from icefloe.media import TestPatternTrack, ToneTrack


class Still(MediaStreamTrack):
    """Pictures of one width, as many as it is told to give, with timestamps of its own."""

    kind = "video"

    def __init__(self, width: int, start: int = 0) -> None:
        super().__init__()
        self._pts = start
        self._width = width
        self.more = asyncio.Semaphore(0)

    def give(self, count: int) -> None:
        for _ in range(count):
            self.more.release()

    async def recv(self) -> VideoFrame:
        if self.readyState == "live":
            await self.more.acquire()
        if self.readyState != "live":
            raise MediaStreamError
        frame = VideoFrame(self._width, 16, "yuv420p")
        frame.pts, frame.time_base = self._pts, Fraction(1, 90000)
        self._pts += 3000
        return frame

    def stop(self) -> None:
        super().stop()
        self.more.release()


async def next_of(switch: Switch) -> tuple[int, int]:
    frame = await switch.recv()
    assert isinstance(frame, VideoFrame)
    assert frame.pts is not None
    return frame.width, frame.pts


async def test_another_source_takes_over_while_the_old_one_gives_nothing() -> None:
    one, other = Still(16), Still(32)
    switch = Switch(one)
    reading = asyncio.create_task(next_of(switch))
    await asyncio.sleep(0)
    switch.show(other)
    other.give(1)
    assert (await reading)[0] == 32
    switch.show(None)
    one.give(1)
    assert (await next_of(switch))[0] == 16


async def test_timestamps_only_grow_whatever_the_sources_say() -> None:
    one, other = Still(16, start=10**9), Still(32, start=5)
    one.give(10)
    other.give(10)
    switch = Switch(one)
    seen = []
    for source in (one, other, one, other):
        switch.show(source)
        seen += [(await next_of(switch))[1] for _ in range(3)]
    steps = [after - before for before, after in itertools.pairwise(seen)]
    assert min(steps) >= 90000 // 60
    assert max(steps) < 90000
    # Within a source they are the source's own.
    assert steps[0] == steps[1] == 3000


async def test_a_source_that_ends_gives_way_to_the_first_one() -> None:
    one, other = Still(16), Still(32)
    switch = Switch(one)
    switch.show(other)
    one.give(2)
    other.give(1)
    assert (await next_of(switch))[0] == 32
    other.stop()
    assert (await next_of(switch))[0] == 16
    # It may be shown again, and gives way again.
    switch.show(other)
    assert (await next_of(switch))[0] == 16


async def test_it_ends_with_the_first_source() -> None:
    one = Still(16)
    switch = Switch(one)
    one.stop()
    with pytest.raises(MediaStreamError):
        await switch.recv()
    assert switch.readyState == "ended"


async def test_stopping_it_wakes_its_reader_and_leaves_the_sources_alone() -> None:
    one = Still(16)
    switch = Switch(one)
    reading = asyncio.create_task(switch.recv())
    await asyncio.sleep(0)
    switch.stop()
    with pytest.raises(MediaStreamError):
        await reading
    assert one.readyState == "live"


async def test_a_cancelled_reader_loses_nothing_but_its_wait() -> None:
    one = Still(16)
    switch = Switch(one)
    reading = asyncio.create_task(switch.recv())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    one.give(1)
    assert (await next_of(switch))[0] == 16


async def test_audio_stays_in_stereo() -> None:
    tone, silence = ToneTrack(), ToneTrack(level=-127)
    switch = Switch(silence)
    seen = []
    for source in (None, tone, None):
        switch.show(source)
        for _ in range(2):
            frame = await switch.recv()
            assert isinstance(frame, AudioFrame)
            assert (frame.format.name, frame.layout.name, frame.samples) == ("s16", "stereo", 960)
            assert (frame.sample_rate, frame.time_base) == (48000, Fraction(1, 48000))
            assert frame.pts is not None
            seen.append(frame.pts)
    assert all(after - before >= 960 for before, after in itertools.pairwise(seen))


async def test_it_keeps_pace_with_its_source() -> None:
    switch = Switch(TestPatternTrack(64, 48, 100))
    seen = [(await next_of(switch))[1] for _ in range(21)]
    assert (seen[-1] - seen[0]) / 90000 >= 0.2
