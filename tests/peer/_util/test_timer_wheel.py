"""The timer wheel: nothing fires early or twice, and much fires at the same time."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, strategies as st

from icefloe.peer._util.loop_timers import Timer
from icefloe.peer._util.timer_wheel import COARSE, FAR, NEVER, TICK, TimerWheel, WheelTimer

NOW = 1000.0


def nothing() -> None:
    """Do nothing."""


def all_due(wheel: TimerWheel, now: float) -> list[WheelTimer]:
    """Return all timers that are due."""
    return list(iter(lambda: wheel.pop(now), None))


SETTINGS = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.one_of(st.just(NEVER), st.floats(-0.5, 3 * FAR, allow_nan=False)),
        st.floats(0, FAR, allow_nan=False),
    ),
    max_size=40,
)


@given(SETTINGS)
def test_each_timer_fires_once_not_early_and_hardly_late(
    settings: list[tuple[int, float, float]],
) -> None:
    wheel, now = TimerWheel(), NOW
    timers = [WheelTimer(nothing) for _ in range(5)]
    wanted = dict.fromkeys(timers, NEVER)
    latest = dict.fromkeys(timers, NEVER)

    def go_on(until: float) -> float:
        while (deadline := wheel.deadline) <= until:
            at = max(deadline, now)
            for timer in all_due(wheel, at):
                assert wanted[timer] <= at <= latest[timer]
                wanted[timer] = NEVER
            assert all(latest[timer] >= at for timer in timers if wanted[timer] < NEVER)
        return until

    for number, after, passing in settings:
        wanted[timers[number]] = now + after
        latest[timers[number]] = now + max(after, 0.0) + COARSE + TICK
        wheel.set(timers[number], now + after, now)
        now = go_on(now + passing)
    go_on(now + 5 * FAR)
    assert set(wanted.values()) == {NEVER}
    assert wheel.deadline == NEVER


def test_a_timer_that_is_near_is_on_time() -> None:
    wheel, timer = TimerWheel(), WheelTimer(nothing)
    wheel.set(timer, NOW + 0.0301, NOW)
    assert NOW + 0.0301 <= wheel.deadline <= NOW + 0.0301 + TICK
    assert wheel.pop(NOW + 0.03) is None
    assert wheel.pop(wheel.deadline) is timer
    assert wheel.pop(NOW + 9.0) is None


def test_timers_that_are_far_away_fire_together() -> None:
    wheel = TimerWheel()
    timers = [WheelTimer(nothing) for _ in range(1000)]
    for number, timer in enumerate(timers):
        wheel.set(timer, NOW + FAR + number / 1000, NOW)
    wakes = 0
    fired = 0
    while (deadline := wheel.deadline) < NEVER:
        fired += len(all_due(wheel, deadline))
        wakes += 1
    assert fired == 1000
    assert wakes <= 1 / COARSE + 1


def test_a_timer_that_is_put_off_again_and_again_takes_no_room() -> None:
    wheel, timer = TimerWheel(), WheelTimer(nothing)
    for number in range(10_000):
        wheel.set(timer, NOW + 5.0 + number / 1000, NOW + number / 1000)
    assert sum(map(len, wheel._slots.values())) == 1
    for number in range(100):
        now = NOW + 10.0 + number
        wheel.set(timer, now + 0.5, now)
        assert all_due(wheel, now + 0.6) == [timer]
        wheel.set(timer, now + 5.0, now + 0.6)
    assert sum(map(len, wheel._slots.values())) <= 10


def test_one_that_another_puts_off_does_not_fire() -> None:
    wheel = TimerWheel()
    first, second = WheelTimer(nothing), WheelTimer(nothing)
    for timer in (first, second):
        wheel.set(timer, NOW, NOW)
    assert wheel.pop(NOW) is first
    wheel.set(second, NOW + 1.0, NOW)
    assert wheel.pop(NOW) is None
    assert all_due(wheel, NOW + 1.2) == [second]


# --- in an event loop


async def test_many_timers_take_one_of_the_loop() -> None:
    loop = asyncio.get_running_loop()
    fired: list[int] = []
    done = asyncio.Event()

    def note(number: int) -> Callable[[], None]:
        def fire() -> None:
            fired.append(number)
            if len(fired) == 100:
                done.set()

        return fire

    timers = [Timer(note(number)) for number in range(100)]
    begun = loop.time()
    for number, timer in enumerate(timers):
        timer.set(begun + 0.1 - number / 1000)
    await done.wait()
    assert loop.time() >= begun + 0.1
    assert sorted(fired) == list(range(100))


async def test_one_that_raises_does_no_harm_to_the_others() -> None:
    loop = asyncio.get_running_loop()
    told: list[str] = []
    loop.set_exception_handler(lambda _, context: told.append(str(context["exception"])))
    done = asyncio.Event()

    def fail() -> None:
        raise ValueError("broken")

    now = loop.time()
    Timer(fail).set(now)
    Timer(done.set).set(now)
    await done.wait()
    loop.set_exception_handler(None)
    assert told == ["broken"]


async def test_one_that_is_closed_never_fires() -> None:
    fired, done = asyncio.Event(), asyncio.Event()
    closed = Timer(fired.set)
    now = asyncio.get_running_loop().time()
    closed.set(now)
    closed.close()
    closed.close()
    closed.set(now)
    Timer(done.set).set(now + 0.01)
    await done.wait()
    assert not fired.is_set()


@pytest.mark.parametrize("more", [1, 3])
def test_each_loop_has_timers_of_its_own(more: int) -> None:
    async def wait() -> None:
        done = asyncio.Event()
        Timer(done.set).set(asyncio.get_running_loop().time() + 0.001)
        await done.wait()

    for _ in range(more):
        asyncio.run(wait())
