"""The clock that plays the tracks of an event loop, with players that are told apart."""

import asyncio
import socket
import threading
import time
from itertools import pairwise

from icefloe.peer.rtp.receive.jitter_buffer import STEP
from icefloe.peer.rtp.receive.playout_clock import (
    MOST_IN_LOOP,
    TIME_SLICE,
    PlayoutClock,
    playout_clock,
)
from icefloe.peer.rtp.receive.remote_track import AnyFrame, FrameQueue
from tests.helpers.turns import Turns


class Counting:
    """A player that counts, and plays as often as it is told to."""

    def __init__(self, clock: PlayoutClock, times: int = 1_000_000) -> None:
        self.frames: FrameQueue[AnyFrame] = FrameQueue(50, 5, 100)
        self.clock = clock
        self.left = times
        self.dues: list[float] = []
        self.ended = 0
        self.threads: set[int] = set()
        self.fails = False
        self.changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def play(self, due: float) -> bool:
        if self.fails:
            raise RuntimeError("a player that fails")
        self.dues.append(due)
        self.threads.add(threading.get_ident())
        self.left -= 1
        self._loop.call_soon_threadsafe(self.changed.set)
        return True

    def wants_to_play(self) -> bool:
        return self.left > 0

    def give_up_place(self) -> None:
        raise AssertionError("nobody was idle for that long")

    def end(self) -> None:
        self.ended += 1
        self._loop.call_soon_threadsafe(self.changed.set)

    def start(self) -> None:
        with self.clock.changed:
            assert self.clock.start(self)

    def close(self) -> None:
        with self.clock.changed:
            self.clock.close(self)

    async def until(self, count: int) -> None:
        while len(self.dues) < count:
            self.changed.clear()
            await self.changed.wait()


async def test_one_thread_plays_all_and_ends_with_the_last() -> None:
    clock = playout_clock()
    assert playout_clock() is clock
    players = [Counting(clock) for _ in range(20)]
    for player in players:
        player.start()
    for player in players:
        await player.until(5)
    assert len({thread for player in players for thread in player.threads}) == 1
    for player in players:
        player.close()
    await clock.wait_until_unused()
    assert all(player.ended == 1 for player in players)
    assert not any(thread.name == "audio-decoder" for thread in threading.enumerate())
    # It begins anew.
    again = Counting(clock)
    again.start()
    await again.until(2)
    again.close()
    await clock.wait_until_unused()
    assert again.ended == 1


async def test_who_has_nothing_to_play_is_left_alone_until_it_has() -> None:
    clock = playout_clock()
    player, other = Counting(clock, times=2), Counting(clock)
    player.start()
    other.start()
    await other.until(10)
    assert len(player.dues) == 2
    player.left = 3
    player.start()
    await player.until(5)
    assert player.ended == 0
    player.close()
    other.close()
    await clock.wait_until_unused()
    assert (player.ended, other.ended) == (1, 1)


async def test_one_that_fails_ends_alone(caplog: object) -> None:
    clock = playout_clock()
    bad, good = Counting(clock), Counting(clock)
    bad.fails = True
    bad.start()
    good.start()
    await good.until(5)
    assert bad.ended == 1
    assert good.ended == 0
    good.close()
    await clock.wait_until_unused()


def test_a_loop_that_is_closed_without_closing_its_tracks_keeps_no_thread() -> None:
    found: list[threading.Thread] = []

    still_open = asyncio.new_event_loop()

    async def begin() -> list[Counting]:
        players = [Counting(playout_clock()) for _ in range(MOST_IN_LOOP + 1)]
        for player in players:
            player._loop = still_open
            player.start()
        while not all(player.dues for player in players):
            await asyncio.sleep(0.01)
        found.extend(t for t in threading.enumerate() if t.name == "audio-decoder")
        return players

    players = asyncio.run(begin())
    assert found
    for thread in found:
        thread.join()
    assert all(player.ended == 1 for player in players)
    still_open.close()


async def test_the_loop_plays_a_few_tracks_itself() -> None:
    clock = playout_clock()
    players = [Counting(clock) for _ in range(MOST_IN_LOOP)]
    for player in players:
        player.start()
    for player in players:
        await player.until(5)
        assert player.threads == {threading.get_ident()}
    one_more = Counting(clock)
    one_more.start()
    await one_more.until(5)
    assert threading.get_ident() not in one_more.threads
    for player in (*players, one_more):
        player.close()
    await clock.wait_until_unused()
    for player in (*players, one_more):
        assert player.ended == 1
        steps = [round((b - a) / STEP, 6) for a, b in pairwise(player.dues)]
        assert set(steps) == {1.0}, "no tick is left out or played twice on the way"


async def test_a_loop_that_is_held_up_reads_before_it_plays() -> None:
    clock = playout_clock()
    player = Counting(clock)
    player.start()
    await player.until(2)
    order: list[str] = []
    play = player.play

    def note(due: float) -> bool:
        order.append("play")
        return play(due)

    def read() -> None:
        ours.recv(1)
        order.append("read")

    player.play = note  # type: ignore[method-assign]
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    with ours, theirs:
        loop.add_reader(ours, read)
        theirs.send(b"1")
        time.sleep(0.1)  # noqa: ASYNC251 - as a program does
        await player.until(len(player.dues) + 3)
        loop.remove_reader(ours)
    assert order[:3] == ["read", "play", "play"]
    player.close()
    await clock.wait_until_unused()


async def test_a_loop_that_was_held_up_plays_a_few_ticks_in_each_turn() -> None:
    clock = playout_clock()
    player = Counting(clock)
    player.start()
    await player.until(2)
    seen: list[int] = []
    play = player.play
    with Turns() as turns:

        def slowly(due: float) -> bool:
            seen.append(turns.number)
            time.sleep(TIME_SLICE * 1.1)
            return play(due)

        player.play = slowly  # type: ignore[method-assign]
        time.sleep(0.15)  # noqa: ASYNC251 - as a program does
        await player.until(len(player.dues) + 7)
    assert len(set(seen)) == len(seen) >= 7
    steps = {round((b - a) / STEP, 6) for a, b in pairwise(player.dues)}
    assert steps == {1.0}, "no tick is left out"
    player.close()
    await clock.wait_until_unused()
    assert player.ended == 1
