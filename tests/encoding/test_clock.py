"""The media clocks, with the times that tracks tell."""

import itertools
import random
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from icefloe.encoding.clock import MediaClock, SoundClock, ticks_of
from tests.helpers.times import LARGE, PICTURES, SOUND, Told

RATE = 90000
BASE = Fraction(1, RATE)


def times(
    told: Callable[[int], Told], seconds: float, *, rate: float = 30, jitter: float = 0.0
) -> list[tuple[float, float]]:
    """Return the arrival of each frame of a track and its place, in seconds."""
    clock, rng = MediaClock(RATE, start=0), random.Random(1)
    placed = []
    for n in range(round(seconds * rate)):
        now = 1000 + n / rate + rng.random() * jitter
        placed.append((now - 1000, clock.place(*told(n), now) / RATE))
    return placed


def steps(placed: list[tuple[float, float]]) -> list[float]:
    return [b - a for (_, a), (_, b) in itertools.pairwise(placed)]


@pytest.mark.parametrize("jitter", [0.0, 0.015])
@pytest.mark.parametrize("told", PICTURES.values(), ids=PICTURES)
def test_nonsense_is_placed_by_its_arrival(told: Callable[[int], Told], jitter: float) -> None:
    placed = times(told, 60, jitter=jitter)
    assert min(steps(placed)) > 0
    assert max(steps(placed)) < 0.4
    assert all(abs(arrived - place) < 0.45 for arrived, place in placed)
    # Motion is smooth: most steps are those of the arrivals.
    smooth = sum(abs(step - 1 / 30) < 0.01 + jitter for step in steps(placed))
    assert smooth > 0.9 * len(placed)


@pytest.mark.parametrize("first", [0, 12345, -(2**62), 2**62])
@pytest.mark.parametrize("jitter", [0.0, 0.02, 0.3])
def test_what_makes_sense_is_kept_exactly(first: int, jitter: float) -> None:
    placed = times(lambda n: (first + n * 3600, BASE), 60, rate=25, jitter=jitter)
    exact = [step for step in steps(placed) if round(step * RATE, 6) == 3600]
    # Arrivals that are uneven by more than seven frames move it a little at times.
    assert steps(placed) == pytest.approx([0.04] * 1499, abs=0.005)
    assert len(exact) > (1480 if jitter < 0.1 else 1000)


@pytest.mark.parametrize("rate", [24, 30, 29.97, 50, 60, 5, 1, 0.2])
def test_other_rates_make_sense_too(rate: float) -> None:
    placed = times(lambda n: (int(n * 1e9 / rate), Fraction(1, 10**9)), 120, rate=rate)
    assert steps(placed) == pytest.approx([1 / rate] * (len(placed) - 1), abs=1e-4)


def test_pictures_that_come_irregularly_keep_their_times() -> None:
    rng, clock, at, last = random.Random(3), MediaClock(RATE), 0.0, None
    for _ in range(1000):
        pts = round(at * 1000)
        place = clock.place(pts, Fraction(1, 1000), 50 + at + rng.random() * 0.01)
        assert last is None or place - last[0] == (pts - last[1]) * 90
        last = place, pts
        at += rng.choice((0.033, 0.066, 0.5, 1.5))


def test_a_stall_does_not_move_what_is_late_by_it() -> None:
    clock = MediaClock(RATE)
    arrivals = [max(n / 30, 3.6) if n > 70 else n / 30 for n in range(300)]
    places = [clock.place(n, Fraction(1, 30), 9 + arrived) for n, arrived in enumerate(arrivals)]
    assert places == [n * 3000 for n in range(300)]


@pytest.mark.parametrize("pause", [0.5, 1.5, 3.0, 60.0, 86400.0])
@pytest.mark.parametrize("goes_on", [True, False])
def test_a_pause_leaves_its_time(pause: float, goes_on: bool) -> None:
    def now(n: int) -> float:
        return 10 + n / 30 + (pause if n >= 100 else 0)

    clock = MediaClock(RATE)
    places = [
        clock.place(round(n * 3000 + (pause * RATE if goes_on and n >= 100 else 0)), BASE, now(n))
        for n in range(300)
    ]
    assert places[99] == 99 * 3000
    if goes_on or pause > 1.5:
        assert places[100] - places[99] == pytest.approx(3000 + pause * RATE, abs=2)
    # What looks as if it were late, and about to be made up for, is seen for what it is soon.
    assert places[-1] / RATE == pytest.approx(now(299) - 10, abs=0.05)
    assert min(b - a for a, b in itertools.pairwise(places)) > 0


@pytest.mark.parametrize("first", [0, 5, -900_000, 10**12])
def test_another_track_follows_by_its_arrival(first: int) -> None:
    clock = MediaClock(RATE, start=77)
    for n in range(90):
        clock.place(900_000 + n * 3000, BASE, 50 + n / 30)
    clock.anew()
    places = [clock.place(first + n * 3000, BASE, 53.5 + n / 30) for n in range(30)]
    assert places == [77 + 315_000 + n * 3000 for n in range(30)]


def test_a_clock_that_drifts_is_followed() -> None:
    placed = times(lambda n: (round(n * 3000 * 1.0005), BASE), 600)
    assert max(abs(arrived - place) for arrived, place in placed) < 0.03
    assert all(abs(step - 1 / 30) < 0.001 for step in steps(placed))


def test_the_first_frame_may_be_late() -> None:
    clock = MediaClock(RATE, start=None)
    places = [
        clock.place(n * 3000, BASE, 100 + n / 30 + (0.3 if n == 0 else 0)) / RATE
        for n in range(150)
    ]
    assert places[0] == pytest.approx(100.3)
    assert places[-1] == pytest.approx(100 + 149 / 30, abs=0.03)
    assert min(b - a for a, b in itertools.pairwise(places)) > 0.015


def test_a_camera_that_tells_the_wrong_rate_is_found_out_soon_and_believed_again() -> None:
    clock = MediaClock(RATE)
    told = now = 0.0
    off: dict[str, list[float]] = {"at first": [], "wrong": [], "right": []}
    for n in range(1200):
        is_wrong = n < 600
        at = clock.place(round(told * RATE), BASE, now) / RATE
        off["at first" if n < 20 else "wrong" if is_wrong else "right"].append(abs(at - now))
        told += 1 / 30
        now += 1 / 20 if is_wrong else 1 / 30
    assert max(off["at first"]) < 0.2
    assert max(off["wrong"]) < 0.01
    assert max(off["right"]) < 0.03


def test_b_frames_keep_their_times() -> None:
    clock = MediaClock(RATE, reorders=True)
    order = [0] + [n - n % 3 + (3, 1, 2)[n % 3] for n in range(299)]
    places = [clock.place(shown * 3600, BASE, 5 + n / 25) for n, shown in enumerate(order)]
    assert places == [shown * 3600 for shown in order]


@pytest.mark.parametrize("rate", [25, 10, 5, 2])
def test_b_frames_of_a_low_rate_keep_their_times(rate: int) -> None:
    clock, step = MediaClock(RATE, reorders=True), RATE // rate
    order = [0] + [n - n % 4 + (4, 1, 2, 3)[n % 4] for n in range(100)]
    # A source that knows the order gives no picture before the time at which it is to be seen.
    arrivals = [5.0] + [5 + (n + 4) / rate for n in range(100)]
    places = [
        clock.place(shown * step, BASE, now) for shown, now in zip(order, arrivals, strict=True)
    ]
    assert places == [shown * step for shown in order]


@pytest.mark.parametrize("told", [1 / 60, 1 / 25, 1 / 10])
@pytest.mark.parametrize("jitter", [0.0, 0.5])
def test_b_frames_are_seen_in_order_whatever_their_rate(told: float, jitter: float) -> None:
    clock, rng, now = MediaClock(RATE, reorders=True), random.Random(5), 7.0
    order = [0] + [n - n % 3 + (3, 1, 2)[n % 3] for n in range(599)]
    places = []
    for n, shown in enumerate(order):
        now = max(now, 7 + n / 25 + rng.random() * jitter * (n // 50 % 2))
        places.append((shown, clock.place(round(shown * told * RATE), BASE, now)))
    seen = [place for _, place in sorted(places)]
    assert all(a < b for a, b in itertools.pairwise(seen))
    assert seen[-1] / RATE == pytest.approx(now - 7, abs=1.3)


@pytest.mark.parametrize("length", [4, 10, 30])
def test_times_that_begin_anew_are_no_b_frames(length: int) -> None:
    clock = MediaClock(RATE, reorders=True)
    places = [clock.place(n % length * 3000, BASE, n / 30) for n in range(300)]
    assert len(set(places)) == len(places)
    assert all(abs(place / RATE - n / 30) < 0.5 for n, place in enumerate(places))


def test_frames_that_are_not_live_come_at_any_pace() -> None:
    clock = MediaClock(RATE, live=False)
    assert [clock.place(n * 3000, BASE, 5.0) for n in range(900)] == [n * 3000 for n in range(900)]
    # Only what cannot be is placed by the time that is given.
    assert clock.place(86400 * RATE, BASE, 5 + 1) == 899 * 3000 + RATE // 2
    assert clock.place(86400 * RATE + 3000, BASE, 5 + 1) == 899 * 3000 + RATE // 2 + 3000


pts = st.none() | st.integers(-LARGE, LARGE) | st.integers(0, 10**6)
bases = (
    st.none()
    | st.fractions(-2, 10**6)
    | st.sampled_from((BASE, Fraction(1, 30), Fraction(0), Fraction(1, 2**31 - 1)))
)
waits = st.floats(0, 0.2) | st.sampled_from((0.0, 1 / 30, 1.0, 60.0))
anything = st.lists(st.tuples(pts, bases, waits), max_size=120)
ways = st.sampled_from((3000, 2000, 4500, 0, -3000, 90000))


@given(anything, st.booleans(), st.booleans())
def test_places_only_grow_whatever_is_told(
    frames: list[tuple[int | None, Fraction | None, float]], live: bool, reorders: bool
) -> None:
    clock, now, given_out = MediaClock(RATE, live=live, reorders=reorders), 0.0, set[int]()
    greatest = -1
    for index, (stamp, base, waited) in enumerate(frames):
        now += waited if index else 0
        if index % 50 == 49:
            clock.anew()
        place = clock.place(stamp, base, now)
        assert place not in given_out
        assert place > (greatest - RATE / 2 if reorders else greatest)
        given_out.add(place)
        greatest = max(greatest, place)
        if live:
            assert place / RATE <= now + 0.5 + reorders / 2 + 17 * len(frames) / RATE
            assert place / RATE >= now - 1.5 - reorders / 2


@given(st.lists(st.tuples(ways, st.integers(1, 40)), max_size=12), st.booleans())
def test_tracks_that_change_their_ways_never_get_away_from_the_arrivals(
    parts: list[tuple[int, int]], reorders: bool
) -> None:
    clock, now, stamp = MediaClock(RATE, reorders=reorders), 3.0, 0
    for way, count in parts:
        for _ in range(count):
            place = clock.place(stamp, BASE, now)
            assert abs(place / RATE - (now - 3.0)) < 0.8 + reorders / 2
            stamp, now = stamp + way, now + 1 / 30


def test_times_are_turned_into_ticks() -> None:
    assert ticks_of(30, Fraction(1, 30), RATE) == RATE
    assert ticks_of(-1, Fraction(1, 48000), 48000) == -1
    assert ticks_of(LARGE, Fraction(1, 1), RATE) == LARGE * RATE
    for base in (None, Fraction(0), Fraction(-1, 30), Fraction(61)):
        assert ticks_of(30, base, RATE) is None
    assert ticks_of(None, BASE, RATE) is None


# --- sound

SAMPLES, HERTZ = 960, 48000


def sound(
    told: Callable[[int], Told], count: int = 1500, *, jitter: float = 0.0
) -> tuple[list[int], int]:
    """Return where frames of 20 ms begin, and where the last one ends."""
    clock, rng = SoundClock(HERTZ), random.Random(2)
    begins = [
        clock.place(*told(n), SAMPLES, 20 + n * 0.02 + rng.random() * jitter) for n in range(count)
    ]
    return begins, clock.end


@pytest.mark.parametrize("jitter", [0.0, 0.1])
@pytest.mark.parametrize("told", SOUND.values(), ids=SOUND)
def test_sound_goes_on_without_a_gap(told: Callable[[int], Told], jitter: float) -> None:
    begins, end = sound(told, jitter=jitter)
    assert begins == [n * SAMPLES for n in range(1500)]
    assert end == 1500 * SAMPLES


def test_sound_that_is_missing_is_a_gap() -> None:
    clock, missed, ends = SoundClock(HERTZ), 0, []
    for n in range(1000):
        if n % 100 == 99:
            missed += 5
        at = n + missed
        begin = clock.place(at * SAMPLES, Fraction(1, HERTZ), SAMPLES, 20 + at * 0.02)
        assert begin == at * SAMPLES
        ends.append(clock.end)
    assert ends[-1] == (1000 + 50) * SAMPLES


def test_single_frames_that_are_missing_add_up() -> None:
    clock = SoundClock(HERTZ)
    for n in range(1000):
        at = n + n // 10
        begin = clock.place(at * SAMPLES, Fraction(1, HERTZ), SAMPLES, 20 + at * 0.02)
        assert 0 <= at * SAMPLES - begin <= 2 * SAMPLES


@pytest.mark.parametrize("pause", [0.7, 5.0, 60.0])
@pytest.mark.parametrize("told", ["goes on", "stands", "nothing"])
def test_a_pause_of_sound_leaves_its_time(pause: float, told: str) -> None:
    clock, base = SoundClock(HERTZ), Fraction(1, HERTZ)
    for n in range(100):
        clock.place(None if told == "nothing" else n * SAMPLES, base, SAMPLES, n * 0.02)
    stamp = 100 * SAMPLES + (round(pause * HERTZ) if told == "goes on" else 0)
    begin = clock.place(None if told == "nothing" else stamp, base, SAMPLES, 2 + pause)
    # Times that stand are those of a stall, up to 2 s.
    expected = 0 if told == "stands" and pause < 1 else pause
    assert begin / HERTZ == pytest.approx(2 + expected, abs=0.001)


def test_a_stall_of_sound_makes_no_gap() -> None:
    clock = SoundClock(HERTZ)
    for n in range(500):
        now = 10 + (n * 0.02 if not 100 <= n < 190 else 3.9)
        assert clock.place(n * SAMPLES, Fraction(1, HERTZ), SAMPLES, now) == n * SAMPLES


def test_another_track_of_sound_follows() -> None:
    clock = SoundClock(HERTZ)
    clock.place(10**9, Fraction(1, HERTZ), SAMPLES, 5.0)
    clock.anew()
    assert clock.place(0, Fraction(1, HERTZ), SAMPLES, 5.1) == SAMPLES
    clock.anew()
    assert clock.place(7, None, SAMPLES, 15.1) == pytest.approx(10.1 * HERTZ, abs=50)


def test_hours_of_a_rate_that_is_off_make_no_gap() -> None:
    clock = SoundClock(HERTZ)
    for n in range(100_000):
        now = n * 0.1 * 1.0005
        assert clock.place(n * 4800, Fraction(1, HERTZ), 4800, now) == n * 4800


@given(st.lists(st.tuples(pts, bases, st.integers(0, 96000), waits), max_size=120))
def test_sound_never_overlaps_and_never_runs_ahead_of_its_samples(
    frames: list[tuple[int | None, Fraction | None, int, float]],
) -> None:
    clock, now, end = SoundClock(HERTZ), 7.0, 0
    for index, (stamp, base, duration, waited) in enumerate(frames):
        now += waited
        if index % 50 == 49:
            clock.anew()
        begin = clock.place(stamp, base, duration, now)
        assert begin >= end
        # A gap is time that passed, but for what frames are early or late by.
        assert begin == end or begin / HERTZ <= (now - 7.0) * 1.005 + 0.6
        end = clock.end
        assert end == begin + duration
