"""Timestamps given to an encoder, by which its bitrate follows."""

import itertools

from hypothesis import given, strategies as st

from icefloe.encoding.encoder_time import MAX_STEP, MAX_WAITING, EncoderTime


def test_time_passes_by_the_ratio() -> None:
    times = EncoderTime()
    assert [times.place(at, 0.5) for at in (9000, 12000, 15000)] == [0, 1500, 3000]
    assert [times.place(at, 2.0) for at in (18000, 21000)] == [9000, 15000]
    assert times.original(1500, -1) == 12000
    assert times.original(1500, -1) == -1  # each is asked for once
    assert times.original(None, 7) == 7


def test_pictures_that_come_unevenly_are_given_even_times() -> None:
    times, at, placed = EncoderTime(), 0, []
    for number in range(300):
        at += 3000 if number % 2 else 6000
        placed.append(times.place(at, 1.0))
    steps = [b - a for a, b in itertools.pairwise(placed)][100:]
    assert max(steps) < 1.2 * min(steps)  # twice as long before
    assert abs(placed[-1] - (at - 6000)) < 15000  # no time is lost


def test_a_long_pause_gives_no_credit() -> None:
    times = EncoderTime()
    times.place(0, 1.0)
    assert times.place(10**9, 1.0) == MAX_STEP


@given(st.lists(st.tuples(st.integers(1, 10**7), st.floats(0.001, 10)), max_size=200))
def test_it_increases_and_its_memory_is_bounded(steps: list[tuple[int, float]]) -> None:
    times, at, before = EncoderTime(), 0, -1
    for step, ratio in steps:
        at += step
        given_time = times.place(at, ratio)
        assert given_time > before
        before = given_time
    assert len(times._waiting) <= MAX_WAITING
