import asyncio
import time
from fractions import Fraction

import pytest

from icefloe.media._util.clock import MonotonicClock, Pacer, Playback


def test_the_first_frame_is_due_when_it_is_asked_for() -> None:
    pacer = Pacer(Fraction(30))
    assert pacer.due(5.0) == 5.0
    assert pacer.take(5.0) == 0


def test_frames_are_due_at_multiples_of_the_interval_without_drift() -> None:
    pacer = Pacer(Fraction(30000, 1001))
    pacer.due(100.0)
    count = 100_000
    for number in range(count):
        # Each is taken late by a little, which must not add up.
        assert pacer.take(pacer.due(0.0) + 0.003) == number
    assert pacer.due(0.0) == pytest.approx(100.0 + count * 1001 / 30000, abs=1e-6)


def test_a_late_caller_skips_to_the_newest_frame_that_is_due() -> None:
    pacer = Pacer(Fraction(10))
    pacer.due(0.0)
    assert pacer.take(0.0) == 0
    assert pacer.take(0.55) == 5
    assert pacer.due(0.55) == pytest.approx(0.6)


def test_a_caller_late_by_less_than_an_interval_skips_nothing() -> None:
    pacer = Pacer(Fraction(10))
    pacer.due(0.0)
    assert [pacer.take(0.0), pacer.take(0.19), pacer.take(0.2)] == [0, 1, 2]


def test_within_its_patience_a_pacer_gives_every_frame() -> None:
    pacer = Pacer(Fraction(50), catch_up=0.2)
    pacer.due(0.0)
    assert [pacer.take(0.19) for _ in range(10)] == list(range(10))
    assert pacer.due(0.19) == pytest.approx(0.2)


def test_beyond_its_patience_a_pacer_skips() -> None:
    pacer = Pacer(Fraction(50), catch_up=0.2)
    pacer.due(0.0)
    assert pacer.take(1.0) == 50
    assert pacer.take(1.02) == 51


def test_playback_starts_with_the_media_that_is_asked_for_first() -> None:
    playback = Playback()
    assert playback.due(3.0, now=100.0) == 100.0
    assert playback.due(4.5, now=100.2) == 101.5


def test_playback_goes_on_after_a_pause_where_it_was() -> None:
    playback = Playback()
    playback.due(0.0, now=100.0)
    playback.resume(1.0, now=110.0)
    assert playback.due(1.0, now=110.0) == 110.0
    assert playback.due(1.5, now=110.0) == 110.5


async def test_the_monotonic_clock_calls_back_in_time() -> None:
    clock = MonotonicClock()
    called: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    when = clock.now() + 0.02
    clock.call_at(when, lambda: called.set_result(clock.now()))
    clock.call_at(when - 100, lambda: None)
    assert await called >= when - 0.002
    assert abs(clock.now() - time.monotonic()) < 1


async def test_a_cancelled_timer_does_not_call() -> None:
    clock = MonotonicClock()
    calls: list[str] = []
    clock.call_at(clock.now() + 0.001, lambda: calls.append("cancelled")).cancel()
    later = asyncio.Event()
    clock.call_at(clock.now() + 0.01, later.set)
    await later.wait()
    assert calls == []
