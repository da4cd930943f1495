"""Sound that is made up or stretched, and its delay, on paths of many kinds; in virtual time."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import pytest

from icefloe.peer.rtp.receive.delay_target import DelayTarget
from tests.helpers.listening import MS, SIZE, Heard, Listener, talk

PATH = 50 * MS
STEP = 20 * MS
MINUTES = 4500
"""Packets of a minute and a half."""

Path = Callable[[int], float]


def in_order(late: Callable[[int], float]) -> Path:
    """Return a path on which no packet overtakes another."""
    latest = 0.0

    def takes(number: int) -> float:
        nonlocal latest
        latest = max(latest, number * STEP + late(number))
        return latest - number * STEP

    return takes


def jittery(most: float) -> Path:
    chance = random.Random(5)
    return in_order(lambda number: chance.uniform(0, most))


def stalling(least: float, most: float) -> Path:
    """Return a sender that is held up for 50 to 200 ms, each time after so many seconds."""
    chance = random.Random(6)
    stalls, at = [], 0.0
    while at < MINUTES * STEP:
        at += chance.uniform(least, most)
        stalls.append((at, at + chance.uniform(50 * MS, 200 * MS)))
        at = stalls[-1][1]

    def late(number: int) -> float:
        return max((e - number * STEP for b, e in stalls if b <= number * STEP < e), default=0.0)

    return late


@dataclass(frozen=True, slots=True)
class Share:
    """Parts of what was played, and the delay beyond that of the path, in seconds."""

    concealed: float
    stretched: float
    delay: float
    heard: list[Heard]


def listen(path: Path, count: int = MINUTES) -> Share:
    listener = Listener()
    heard = listener.listen(talk(count, path))
    stats = listener.hearing.stats
    stretched = stats.insertedSamplesForDeceleration + stats.removedSamplesForAcceleration
    return Share(
        concealed=stats.concealedSamples / (count * SIZE),
        stretched=stretched / (count * SIZE),
        delay=median(h.delay for h in heard) - PATH,
        heard=heard,
    )


@pytest.mark.parametrize(
    ("jitter", "delay"), [(0.0, 30 * MS), (5 * MS, 30 * MS), (20 * MS, 45 * MS), (100 * MS, 0.13)]
)
def test_jitter_costs_delay_and_little_else(jitter: float, delay: float) -> None:
    share = listen(jittery(jitter))
    assert share.concealed < 0.0025
    assert share.stretched < 0.003
    assert share.delay < delay


def test_a_sender_that_is_often_held_up_is_waited_for() -> None:
    share = listen(stalling(0.5, 2.0))
    assert share.concealed < 0.004
    assert share.stretched < 0.006
    assert share.delay < 220 * MS


def test_a_machine_that_is_busy_now_and_then_does_not_make_the_delay_swing() -> None:
    chance = random.Random(7)

    def late(number: int) -> float:
        return chance.uniform(20, 60) * MS if chance.random() < 0.01 else chance.expovariate(500)

    share = listen(in_order(late))
    assert share.concealed < 0.0015
    assert share.stretched < 0.002
    assert share.delay < 90 * MS
    delays = [h.delay for h in share.heard if h.at > 60]
    assert max(delays) - min(delays) < 30 * MS


@pytest.mark.parametrize("jitter", [0.0, 20 * MS])
def test_what_happens_once_in_the_first_seconds_is_no_jitter(jitter: float) -> None:
    usual = jittery(jitter)

    def late(number: int) -> float:
        return max(usual(number), 63 * MS - (number - 750) * STEP if 750 <= number < 754 else 0.0)

    share = listen(late)
    assert share.concealed * MINUTES * STEP < 0.065
    assert share.stretched * MINUTES * STEP < 0.17
    assert all(h.delay < PATH + 45 * MS for h in share.heard if h.at > 16)


def test_what_happens_twice_in_the_first_seconds_is_waited_for() -> None:
    target = DelayTarget()
    for number in range(750):
        target.add(number * STEP, 0.0)
    before = target.seconds
    for number in range(750, 810):
        target.add(number * STEP, 0.06 if number in (750, 790) else 0.0)
    assert target.seconds > 0.06 > before


def test_one_burst_costs_its_own_length_alone() -> None:
    share = listen(lambda number: (1050 - number) * STEP if 1000 <= number < 1050 else 0.0)
    assert share.concealed * MINUTES * STEP < 1.1
    assert share.delay < 30 * MS
    assert all(h.delay < PATH + 60 * MS for h in share.heard if h.at > 40)


@pytest.mark.parametrize("drift", [1e-4, -1e-4])
def test_a_drifting_clock_adds_neither_delay_nor_gaps(drift: float) -> None:
    offset = 0.0 if drift > 0 else 60 * MS
    share = listen(lambda number: offset + number * STEP * drift)
    assert share.concealed < 0.0005
    last = share.heard[-1]
    assert last.delay - PATH - offset - last.at * drift < 45 * MS


def test_another_path_that_takes_longer_is_no_jitter() -> None:
    share = listen(lambda number: 100 * MS if number >= 1500 else 0.0)
    assert share.concealed * MINUTES * STEP < 0.15
    assert all(h.delay < PATH + 100 * MS + 45 * MS for h in share.heard if h.at > 40)


def test_another_path_is_taken_as_it_is_within_a_second() -> None:
    target = DelayTarget()
    for number in range(400):
        target.add(number * STEP, 0.0)
    before = target.seconds
    for number in range(400, 500):
        target.add(number * STEP, 0.1)
    assert target.base == 0.1
    assert target.seconds == before


def test_one_late_packet_of_silence_is_no_other_path() -> None:
    target = DelayTarget()
    for number in range(20):
        target.add(number * 0.4, 0.1 if number == 10 else 0.0)
    assert target.base == 0.0
    for number in range(20, 30):
        target.add(number * 0.4, 0.1)
    assert target.base == 0.1  # after two seconds the window has nothing else


def test_an_outage_teaches_nothing() -> None:
    target = DelayTarget()
    for number in range(400):
        target.add(number * STEP, 0.0)
    before = target.seconds
    for number in range(100):
        target.add(8 + 2.0, (100 - number) * STEP)
    for number in range(500, 600):
        target.add(number * STEP, 0.0)
    assert target.seconds == before


def test_time_that_stands_still_does_no_harm() -> None:
    target = DelayTarget()
    for _ in range(10_000):
        target.add(5.0, 0.01)
    target.add(5.0, -1e9)
    target.add(1e9, 1e9)
    assert 0 < target.seconds < 1
