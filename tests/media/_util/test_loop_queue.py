import asyncio
import threading
from collections.abc import Callable

from icefloe.media._util.loop_queue import Bridge, Lane, Worker
from tests.media.tracks import until


async def take_all(lane: Lane[int]) -> list[int]:
    taken = []
    while not lane.ended:
        item = lane.peek()
        if item is None:
            await lane.wait()
        elif lane.take(item):
            taken.append(item)
    return taken


def producer(bridge: Bridge[int], work: Callable[[], None]) -> Worker:
    def run() -> None:
        try:
            work()
        finally:
            bridge.end()

    return Worker(bridge, run, "producer")


async def test_a_full_lane_holds_the_thread_back_and_nothing_is_lost() -> None:
    bridge: Bridge[int] = Bridge()
    lane = bridge.lane(3)
    largest = 0

    def work() -> None:
        nonlocal largest
        for number in range(1000):
            lane.put(number)
            largest = max(largest, lane.queued)

    worker = producer(bridge, work)
    assert await take_all(lane) == list(range(1000))
    assert (largest, lane.dropped) == (3, 0)
    assert await worker.join(2)


async def test_a_lane_that_nobody_reads_loses_its_oldest_and_stalls_nobody() -> None:
    bridge: Bridge[int] = Bridge()
    read, unread = bridge.lane(3), bridge.lane(3)

    def work() -> None:
        for number in range(100):
            unread.put(number)
            read.put(number)

    worker = producer(bridge, work)
    assert await take_all(read) == list(range(100))
    assert await take_all(unread) == [97, 98, 99]
    assert unread.dropped == 97
    assert await worker.join(2)


async def test_closing_frees_a_thread_that_waits() -> None:
    bridge: Bridge[int] = Bridge()
    lane = bridge.lane(1)
    taken: list[bool] = []
    worker = producer(bridge, lambda: taken.extend([lane.put(1), lane.put(2), lane.put(3)]))
    await until(lambda: lane.peek() is not None)
    bridge.close()
    assert await worker.join(2)
    assert taken == [True, False, False]
    assert not bridge.is_open


async def test_closing_wakes_a_reader() -> None:
    bridge: Bridge[int] = Bridge()
    lane = bridge.lane(1)
    reader = asyncio.create_task(take_all(lane))
    await until(lambda: lane.waiting_readers == 1)
    bridge.close()
    assert await reader == []


async def test_a_reader_that_is_cancelled_no_longer_counts_as_starving() -> None:
    bridge: Bridge[int] = Bridge()
    lane = bridge.lane(1)
    reader = asyncio.create_task(lane.wait())
    await until(lambda: lane.waiting_readers == 1)
    reader.cancel()
    await asyncio.wait([reader])
    assert lane.waiting_readers == 0


async def test_an_item_that_was_dropped_meanwhile_cannot_be_taken() -> None:
    bridge: Bridge[str] = Bridge()
    lane, hungry = bridge.lane(1), bridge.lane(1)
    lane.put("old")
    reader = asyncio.create_task(hungry.wait())
    await until(lambda: hungry.waiting_readers == 1)
    lane.put("new")
    assert not lane.take("old")
    assert lane.take("new")
    bridge.close()
    await reader


async def test_join_says_that_a_thread_still_runs() -> None:
    bridge: Bridge[int] = Bridge()
    go = threading.Event()
    worker = Worker(bridge, lambda: (go.wait(), None)[1], "waiting")
    assert not await worker.join(0.01)
    go.set()
    assert await worker.join(2)


def test_a_thread_ends_when_its_event_loop_is_gone() -> None:
    async def start() -> None:
        bridge: Bridge[int] = Bridge()
        lane = bridge.lane(1)

        def work() -> None:
            number = 0
            while bridge.is_open:
                number += 1
                lane.put(number)

        Worker(bridge, work, "abandoned")
        await until(lambda: lane.peek() is not None)

    asyncio.run(start())
    abandoned = [t for t in threading.enumerate() if t.name == "abandoned"]
    for thread in abandoned:
        thread.join(10)
        assert not thread.is_alive()


async def test_after_a_redirect_only_what_is_new_arrives() -> None:
    bridge: Bridge[int] = Bridge()
    lane = bridge.lane(3)
    refused: list[int] = []

    def work() -> None:
        number = 0
        while lane.put(number):
            number += 1
        refused.append(number)
        bridge.accept()
        for number in range(100, 103):
            lane.put(number)

    worker = producer(bridge, work)
    await until(lambda: lane.queued == 3)
    assert bridge.redirect()
    assert await take_all(lane) == [100, 101, 102]
    assert refused == [3]
    assert await worker.join(5)
    # A thread that has ended must be started anew.
    assert not bridge.redirect()
    bridge.close()


async def test_an_end_before_a_redirect_does_not_count() -> None:
    bridge: Bridge[int] = Bridge()
    lane = bridge.lane(3)
    assert bridge.end()
    bridge.redirect()
    assert not bridge.end()
    bridge.accept()
    # The end that was told before is delivered now.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not lane.ended
    assert bridge.end()
    await until(lambda: lane.ended)
    bridge.close()


async def test_a_live_lane_drops_the_oldest_and_never_holds_the_thread_back() -> None:
    bridge: Bridge[int] = Bridge()
    lane = bridge.lane(5)
    lane.live = True

    def work() -> None:
        for number in range(100):
            lane.put(number)

    assert await producer(bridge, work).join(5)
    assert lane.dropped == 95
    lane.trim(2)
    assert lane.dropped == 98
    assert await take_all(lane) == [98, 99]


async def test_room_waits_for_a_reader() -> None:
    bridge: Bridge[int] = Bridge()
    lane = bridge.lane(1)
    await lane.room()
    lane.put(1)
    waiting = asyncio.create_task(lane.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    assert lane.take(1)
    await waiting
    lane.put(2)
    waiting = asyncio.create_task(lane.room())
    await asyncio.sleep(0)
    bridge.close()
    await waiting
