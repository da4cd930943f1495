"""The playout times of many tracks on one clock; in virtual time."""

import pytest
from hypothesis import given, strategies as st

from icefloe.peer.rtp.receive.jitter_buffer import STEP
from icefloe.peer.rtp.receive.playout_schedule import MAX_LAG, PHASES, TICK, PlayoutSchedule


def plays(schedule: PlayoutSchedule[str], now: float) -> list[tuple[float, str]]:
    return [(due, member) for due, members in schedule.take(now) for member in members]


def test_each_plays_every_20_ms_from_5_ms_on() -> None:
    schedule: PlayoutSchedule[str] = PlayoutSchedule()
    schedule.join("a", 100.001)
    times: list[float] = []
    while len(times) < 50:
        assert schedule.due is not None
        times += [due for due, _ in plays(schedule, schedule.due)]
    assert 100.001 < times[0] <= 100.001 + TICK
    assert times == pytest.approx([times[0] + number * STEP for number in range(50)])


def test_however_many_there_are_the_clock_wakes_200_times_a_second() -> None:
    schedule: PlayoutSchedule[str] = PlayoutSchedule()
    for number in range(1000):
        schedule.join(f"{number}", 100 + number * 0.00137)
    now = start = 102.0
    schedule.take(now)
    played: list[str] = []
    wakes = 0
    while (now := schedule.due or 0.0) < start + 1:
        played += [member for _, member in plays(schedule, now)]
        wakes += 1
    assert wakes <= PHASES / STEP + 1
    assert all(49 <= played.count(f"{number}") <= 51 for number in range(0, 1000, 50))


def test_who_joins_twice_plays_once_and_who_leaves_not_at_all() -> None:
    schedule: PlayoutSchedule[str] = PlayoutSchedule()
    schedule.join("a", 1.0)
    schedule.join("a", 1.012)
    schedule.join("b", 1.0)
    assert len(schedule) == 2
    assert sorted(member for _, member in plays(schedule, 1.0199)) == ["a", "b"]
    schedule.leave("a")
    schedule.leave("a")
    assert schedule.members == ["b"]
    assert [member for _, member in plays(schedule, 1.0399)] == ["b"]
    schedule.leave("b")
    assert schedule.due is None
    assert schedule.take(9.0) == []


def test_a_clock_that_is_late_catches_up_but_not_after_a_suspend() -> None:
    schedule: PlayoutSchedule[str] = PlayoutSchedule()
    schedule.join("a", 1.0)
    assert len(plays(schedule, 1.1001)) == 5
    assert len(plays(schedule, 1.1001 + MAX_LAG)) == 25
    after = plays(schedule, 500.0)
    assert len(after) == 1
    assert 500 - STEP < after[0][0] <= 500


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from("abc"), st.booleans(), st.floats(0, 1, allow_nan=False, width=32)
        ),
        max_size=40,
    )
)
def test_nobody_plays_twice_at_a_tick_or_in_the_past(
    steps: list[tuple[str, bool, float]],
) -> None:
    schedule: PlayoutSchedule[str] = PlayoutSchedule()
    now = 10.0
    played: dict[str, float] = {}
    for member, joins, passed in steps:
        (schedule.join if joins else lambda m, _: schedule.leave(m))(member, now)
        now += passed
        for due, each in plays(schedule, now):
            assert due <= now
            assert due >= played.get(each, 0.0) + TICK / 2
            played[each] = due
        assert schedule.due is None or schedule.due > now - TICK / 1000
