import asyncio
import logging

import pytest
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame
from av.frame import Frame

from icefloe.media import Fanout, InvalidParameter, LatestFrame, ToneTrack, TransformTrack
from icefloe.media._util.capture_time import Timed, capture_time
from tests.media.manual_clock import ManualClock
from tests.media.tracks import FedTrack, numbers, picture, tone, turns, until


class BrokenTrack(MediaStreamTrack):
    kind = "video"

    async def recv(self) -> VideoFrame:
        raise OSError("the camera is gone")


class EagerTrack(MediaStreamTrack):
    """Has a frame ready whenever it is asked, and so never lets anything else run."""

    kind = "video"
    read = 0

    async def recv(self) -> VideoFrame:
        if self.readyState != "live":
            raise MediaStreamError
        self.read += 1
        return picture(self.read)


async def test_a_slow_reader_gets_the_newest_frame_and_the_rest_are_counted() -> None:
    source = FedTrack()
    latest = LatestFrame(source)
    source.feed(*map(picture, range(10)))
    await until(lambda: source.read == 10)
    assert (await latest.recv()).pts == 9
    assert latest.dropped == 9
    source.feed(picture(10))
    assert (await latest.recv()).pts == 10
    assert latest.dropped == 9
    latest.stop()


async def test_no_frame_is_given_twice() -> None:
    source = FedTrack()
    latest = LatestFrame(source)
    source.feed(picture(0))
    await latest.recv()
    reader = asyncio.create_task(latest.recv())
    await asyncio.wait([reader], timeout=0.01)
    assert not reader.done()
    source.feed(picture(1))
    assert (await reader).pts == 1
    latest.stop()


async def test_of_audio_ten_frames_are_kept() -> None:
    source = FedTrack("audio")
    latest = LatestFrame(source)
    source.feed(*map(tone, range(25)))
    source.end()
    await until(lambda: source.readyState == "ended")
    assert await numbers(latest) == [960 * n for n in range(15, 25)]
    assert latest.dropped == 15


async def test_how_many_frames_are_kept_can_be_chosen() -> None:
    source = FedTrack()
    latest = LatestFrame(source, keep=3)
    source.feed(*map(picture, range(5)))
    await until(lambda: source.read == 5)
    source.end()
    assert await numbers(latest) == [2, 3, 4]
    with pytest.raises(InvalidParameter):
        LatestFrame(source, keep=0)


async def test_a_reader_that_waits_ends_with_the_source() -> None:
    source = FedTrack()
    latest = LatestFrame(source)
    reader = asyncio.create_task(latest.recv())
    source.end()
    with pytest.raises(MediaStreamError):
        await reader
    assert latest.readyState == "ended"


async def test_stopping_stops_the_source_and_a_reader_that_waits() -> None:
    source = FedTrack()
    latest = LatestFrame(source)
    reader = asyncio.create_task(latest.recv())
    await asyncio.sleep(0)
    latest.stop()
    latest.stop()
    with pytest.raises(MediaStreamError):
        await reader
    assert source.readyState == "ended"


async def test_a_frame_is_not_lost_to_a_reader_that_was_cancelled() -> None:
    source = FedTrack()
    latest = LatestFrame(source)
    reader = asyncio.create_task(latest.recv())
    await asyncio.sleep(0)
    # The frame comes, and the reader is cancelled before it can run.
    latest._put(picture(0))
    reader.cancel()
    await asyncio.wait([reader])
    assert reader.cancelled()
    assert (await latest.recv()).pts == 0
    latest.stop()


async def test_a_source_that_breaks_ends_the_track_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        latest = LatestFrame(BrokenTrack())
        assert await numbers(latest) == []
    assert "the camera is gone" in caplog.text


async def test_a_source_whose_own_work_is_cancelled_ends_the_track_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class CancelledTrack(BrokenTrack):
        async def recv(self) -> VideoFrame:
            capture = asyncio.ensure_future(asyncio.sleep(60))
            capture.cancel()
            await capture
            raise AssertionError

    with caplog.at_level(logging.ERROR):
        assert await numbers(LatestFrame(CancelledTrack())) == []
    assert "failed and counts as ended" in caplog.text


async def test_a_source_that_is_always_ready_does_not_take_the_loop() -> None:
    source = EagerTrack()
    latest = LatestFrame(source)
    for _ in range(10):
        await asyncio.sleep(0)
    assert 0 < source.read < 20
    latest.stop()


async def test_every_subscriber_gets_every_frame() -> None:
    source = FedTrack()
    fanout = Fanout(source)
    readers = [asyncio.create_task(numbers(fanout.subscribe(keep=100))) for _ in range(3)]
    await asyncio.sleep(0)
    source.feed(*map(picture, range(20)))
    source.end()
    assert await asyncio.gather(*readers) == [list(range(20))] * 3


async def test_a_slow_subscriber_delays_no_other() -> None:
    source = FedTrack()
    fanout = Fanout(source)
    slow, fast = fanout.subscribe(keep=2), fanout.subscribe(keep=100)
    reader = asyncio.create_task(numbers(fast))
    source.feed(*map(picture, range(50)))
    source.end()
    assert await reader == list(range(50))
    assert await numbers(slow) == [48, 49]
    assert (slow.dropped, fast.dropped) == (48, 0)


async def test_the_source_is_not_read_before_anybody_reads() -> None:
    source = FedTrack()
    source.feed(picture(0))
    subscription = Fanout(source).subscribe()
    await turns()
    assert source.read == 0
    assert (await subscription.recv()).pts == 0
    subscription.stop()


async def test_a_subscriber_that_never_read_ends_with_the_source() -> None:
    source = FedTrack()
    fanout = Fanout(source)
    reading, idle = fanout.subscribe(), fanout.subscribe()
    source.end()
    assert await numbers(reading) == []
    assert await numbers(idle) == []
    assert fanout.subscribers == 0


async def test_who_subscribes_to_an_ended_source_gets_an_ended_track() -> None:
    source = FedTrack()
    source.stop()
    fanout = Fanout(source)
    assert await numbers(fanout.subscribe()) == []
    assert fanout.subscribe().readyState == "ended"


async def test_the_source_is_stopped_when_the_last_subscriber_leaves() -> None:
    source = FedTrack()
    fanout = Fanout(source)
    one, other = fanout.subscribe(), fanout.subscribe()
    source.feed(picture(0))
    await one.recv()
    one.stop()
    assert source.readyState == "live"
    other.stop()
    assert source.readyState == "ended"
    assert fanout.subscribe().readyState == "ended"


async def test_a_source_that_is_to_be_kept_can_be_subscribed_to_again() -> None:
    source = FedTrack()
    fanout = Fanout(source, stop_source=False)
    first = fanout.subscribe()
    source.feed(picture(0))
    await first.recv()
    first.stop()
    source.feed(picture(1))
    await turns()
    assert (source.readyState, source.read) == ("live", 1)
    second = fanout.subscribe()
    assert (await second.recv()).pts == 1
    fanout.close()
    assert source.readyState == "live"


async def test_closing_ends_all() -> None:
    source = FedTrack()
    fanout = Fanout(source)
    subscriptions = [fanout.subscribe() for _ in range(3)]
    readers = [asyncio.create_task(numbers(s)) for s in subscriptions]
    await asyncio.sleep(0)
    fanout.close()
    fanout.close()
    assert await asyncio.gather(*readers) == [[], [], []]
    assert source.readyState == "ended"


async def test_a_generated_source_can_be_shared() -> None:
    fanout = Fanout(ToneTrack(clock=ManualClock()))
    one, other = fanout.subscribe(), fanout.subscribe()
    frames = [await asyncio.gather(one.recv(), other.recv()) for _ in range(20)]
    assert [a.pts for a, _ in frames] == [960 * n for n in range(20)]
    assert all(a is b for a, b in frames)
    one.stop()
    other.stop()


async def test_the_times_of_capture_that_a_source_knows_are_passed_on() -> None:
    class Remote(FedTrack):
        def capture_time(self, frame: Frame) -> float | None:
            return None if frame.pts is None else 1_700_000_000.0 + frame.pts

    fanout, plain = Fanout(Remote()), FedTrack()
    tracks = [fanout.subscribe(), LatestFrame(fanout.subscribe())]
    tracks.append(TransformTrack(tracks[-1], None))
    assert [capture_time(track, picture(5)) for track in tracks] == [1_700_000_005.0] * 3
    latest = LatestFrame(plain)
    assert not isinstance(latest, Timed)
    assert capture_time(latest, picture(5)) is None
    for track in (*tracks, latest):
        track.stop()


class MutableTrack(FedTrack):
    enabled = True


async def test_what_is_made_of_a_track_is_not_enabled_where_that_is_not() -> None:
    source = MutableTrack()
    fanout = Fanout(source)
    one, other = fanout.subscribe(), TransformTrack(fanout.subscribe(), None)
    assert one.enabled and other.enabled
    one.enabled = False
    assert other.enabled
    one.enabled = True
    source.enabled = False
    assert not one.enabled and not other.enabled
    source.enabled = True
    assert one.enabled and other.enabled
    fanout.close()
