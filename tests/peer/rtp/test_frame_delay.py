"""Delays with which frames are handed over, for sender reports."""

import random

import pytest

from icefloe.peer.rtp.send.frame_delay import FrameDelay

RATE = 90000


def late(lateness: FrameDelay, number: int, by: float, *, first: int = 0) -> float:
    """Have a frame, one of 50 a second, come late by so many seconds."""
    timestamp = (first + number * RATE // 50) & 0xFFFFFFFF
    return lateness.delay(timestamp, 1000 + number / 50 + by)


def test_a_frame_that_comes_late_is_told_from_those_that_do_not() -> None:
    lateness = FrameDelay(RATE)
    assert late(lateness, 0, 0.0) == 0
    assert late(lateness, 1, 0.2) == pytest.approx(0.2)
    assert late(lateness, 2, 0.01) == pytest.approx(0.01)


def test_the_first_ones_may_have_been_late() -> None:
    lateness = FrameDelay(RATE)
    for number in range(10):
        late(lateness, number, 0.5 - number * 0.05)
    assert late(lateness, 10, 0.0) == 0
    assert late(lateness, 11, 0.3) == pytest.approx(0.3)


def test_timestamps_wrap() -> None:
    lateness = FrameDelay(RATE)
    for number in range(10):
        late(lateness, number, 0.0, first=2**32 - 5 * RATE // 50)
    assert late(lateness, 10, 0.1, first=2**32 - 5 * RATE // 50) == pytest.approx(0.1)


def test_what_stays_late_has_paused() -> None:
    lateness = FrameDelay(RATE)
    for number in range(100):
        late(lateness, number, 0.0)
    told = [late(lateness, number, 0.3) for number in range(100, 250)]
    assert told[:50] == pytest.approx([0.3] * 50)
    assert told[105:] == pytest.approx([0.0] * 45)


def test_a_source_whose_clock_drifts_is_followed() -> None:
    lateness, chance = FrameDelay(RATE), random.Random(1)
    for number in range(30_000):
        busy = chance.choice([0.0, 0.0, 0.01, 0.05])
        told = late(lateness, number, number / 50 * 1e-4 + busy)
        assert told == pytest.approx(busy, abs=0.0005)


def test_another_track_begins_anew() -> None:
    lateness = FrameDelay(RATE)
    for number in range(10):
        late(lateness, number, 0.0)
    lateness.reset()
    assert late(lateness, 10, 0.4) == 0
