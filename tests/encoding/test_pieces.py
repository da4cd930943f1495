"""Pieces of 20 ms: none is lost, each has its own time, and leaves when it is its turn."""

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from av import AudioFrame
from hypothesis import given, settings, strategies as st

from icefloe.encoding import SoundFormat, UnusableSound
from icefloe.encoding.pieces import TARGET_QUEUED_SECONDS, Piece, SendSchedule, SoundQueue
from tests.encoding.sounds import FORMATS, LAYOUTS, RATES, frame_of, heard, tone
from tests.helpers.times import SOUND, Told

OPUS = SoundFormat(48000, "stereo")
TELEPHONE = SoundFormat(8000, "mono")
START = 1000.0

parts = st.tuples(
    st.sampled_from(FORMATS),
    st.sampled_from(LAYOUTS),
    st.sampled_from(RATES),
    st.floats(0.0025, 1.5),
)


def sound(seconds: float, rate: int = 48000, at: Fraction | None = None) -> AudioFrame:
    frame = frame_of(np.full(round(seconds * rate), 0.5), "s16", "mono", rate)
    if at is not None:
        frame.pts, frame.time_base = round(at * rate), Fraction(1, rate)
    return frame


def drain(queue: SoundQueue, until: float) -> list[tuple[float, Piece]]:
    """Take what leaves up to some time, and tell when it does."""
    taken: list[tuple[float, Piece]] = []
    while (due := queue.due()) is not None and due <= until:
        piece = queue.take(due)
        assert piece is not None
        taken.append((due, piece))
    return taken


@settings(max_examples=60, deadline=None)
@given(st.lists(parts, min_size=1, max_size=20), st.sampled_from((OPUS, TELEPHONE)), st.booleans())
def test_sound_of_any_format_and_length_is_cut_without_a_gap(
    frames: list[tuple[str, str, int, float]], target: SoundFormat, timed: bool
) -> None:
    queue, at, got = SoundQueue(target), Fraction(0), []
    for form, layout, rate, seconds in frames:
        samples = max(1, round(seconds * rate))
        frame = frame_of(tone(at, samples, rate), form, layout, rate)
        if timed:
            frame.pts, frame.time_base = round(at * rate), Fraction(1, rate)
        now = START + float(at)  # as the sound is played
        got += drain(queue, now)
        queue.put(frame, now)
        at += Fraction(samples, rate)
    queue.finish()
    got += drain(queue, START + float(at) + 10)
    step = target.rate // 50
    pieces = [piece for _, piece in got]
    assert [piece.position for piece in pieces] == [step * number for number in range(len(pieces))]
    assert {len(piece.data) for piece in pieces} == {step * target.sample_bytes}
    assert -1 <= len(pieces) * step - float(at) * target.rate <= step + 1
    # The pieces of a long frame leave one after the other, and none before it came.
    times = [due for due, _ in got]
    assert all(b >= a for a, b in pairwise(times))
    assert max(abs(due - START - piece.position / target.rate) for due, piece in got) < 0.01


@pytest.mark.parametrize("seconds", [0.0025, 0.01, 0.02, 0.03, 0.06, 0.5, 1.0, 5.0])
def test_a_live_track_is_sent_as_it_comes(seconds: float) -> None:
    """Everything has left by the time the next frame comes, but for less than a piece."""
    queue, left = SoundQueue(OPUS), 0
    for number in range(max(3, round(2 / seconds))):
        now = START + number * seconds
        assert queue.has_room(now)
        queue.put(sound(seconds), now)
        left += len(drain(queue, now + seconds - 1e-6))
        assert left >= (number + 1) * seconds * 50 - 1 - 1e-6


def test_a_gap_in_the_times_is_a_gap_and_pieces_stay_on_the_grid() -> None:
    queue, got = SoundQueue(OPUS), []
    for number in (0, 1, 2, 7, 8):
        at = Fraction(3, 100) * number
        queue.put(sound(0.03, at=at), START + float(at))
        got += drain(queue, START + float(at) + 0.03)
    queue.finish()
    got += drain(queue, START + 1)
    positions = [piece.position // 960 for _, piece in got]
    assert [p % 960 for p in (piece.position for _, piece in got)] == [0] * len(got)
    # Three frames are 90 ms, and the sixth is back at 210 ms.
    assert positions == [0, 1, 2, 3, 4, 10, 11, 12, 13]
    half, back = (heard(got[n][1].data, 2)[:, 0] for n in (4, 5))
    assert np.allclose(half[:480], 0.5, atol=1e-3)
    assert not half[480:].any()
    assert not back[:480].any()
    assert np.allclose(back[480:], 0.5, atol=1e-3)


@pytest.mark.parametrize("told", SOUND.values(), ids=SOUND)
def test_times_that_tell_nothing_make_no_gaps(told: Callable[[int], Told]) -> None:
    queue, got = SoundQueue(OPUS), []
    for number in range(200):
        frame = sound(0.02)
        frame.pts, time_base = told(number)
        if time_base is None:
            frame.pts, time_base = None, Fraction(1, 48000)
        frame.time_base = time_base
        now = START + number * 0.02
        queue.put(frame, now)
        got += drain(queue, now)
    assert [piece.position for _, piece in got] == [960 * number for number in range(200)]


def test_sound_that_comes_faster_than_it_plays_waits_and_there_is_a_bound() -> None:
    queue, put = SoundQueue(OPUS), 0
    while queue.has_room(START) and put < 1000:
        queue.put(sound(0.02), START)
        put += 1
    assert TARGET_QUEUED_SECONDS <= put * 0.02 <= TARGET_QUEUED_SECONDS + 0.5
    # It plays at the rate at which it is heard, but for what may leave early.
    assert len(drain(queue, START + 0.4)) * 0.02 < 0.4 + 0.3


def test_a_frame_of_any_length_has_room_for_one_more() -> None:
    queue = SoundQueue(OPUS)
    queue.put(sound(5.0), START)
    assert queue.has_room(START)
    queue.put(sound(5.0), START)
    assert not queue.has_room(START)
    drain(queue, START + 5.1)
    assert queue.has_room(START + 5.1)


def test_what_waits_can_be_dropped() -> None:
    queue = SoundQueue(OPUS)
    queue.put(sound(1.0), START)
    assert len(drain(queue, START + 0.1)) == 6
    queue.clear()
    assert queue.due() is None
    queue.put(sound(1.0), START + 1)
    due, piece = drain(queue, START + 2)[0]
    assert piece.position == 48000
    assert due == pytest.approx(START + 1, abs=0.01)


def test_what_cannot_be_used_takes_no_time() -> None:
    queue = SoundQueue(OPUS)
    queue.put(sound(0.02), START)
    for bad in (None, AudioFrame("s16", "mono", 960)):
        with pytest.raises(UnusableSound):
            queue.put(bad, START + 0.02)
    queue.put(sound(0.02), START + 0.02)
    assert [p.position for _, p in drain(queue, START + 0.02)] == [0, 960]


class TestTurns:
    """The time at which what comes at some time leaves."""

    def leaves(self, turns: SendSchedule, begin: float, now: float) -> float:
        turns.take(begin, now)
        return turns.at(begin)

    def test_what_comes_unevenly_leaves_at_once(self) -> None:
        turns = SendSchedule()
        for number in range(500):
            now = number * 0.02 + (0.03 if number % 7 == 0 else 0.0)
            assert self.leaves(turns, number * 0.02, now) <= now + 1e-9

    @pytest.mark.parametrize("stall", [0.1, 0.4, 0.6, 2.0])
    def test_what_was_held_up_catches_up(self, stall: float) -> None:
        turns = SendSchedule()
        for number in range(500):
            now = max(number * 0.02, 1.0 + stall) if number >= 50 else number * 0.02
            assert self.leaves(turns, number * 0.02, now) <= now + 1e-9

    def test_a_first_frame_that_is_late_delays_the_others_little(self) -> None:
        turns = SendSchedule()
        for number in range(200):
            now = max(number * 0.02, 0.2)
            assert self.leaves(turns, number * 0.02, now) <= now + 1e-9

    def test_a_pause_begins_anew(self) -> None:
        turns = SendSchedule()
        self.leaves(turns, 0.0, 0.0)
        turns.take(1.0, 5.0)
        assert turns.at(1.98) == pytest.approx(5.98)

    def test_long_frames_that_are_late_once_are_spread_out_again(self) -> None:
        turns = SendSchedule()
        for number in range(20):
            turns.take(float(number), number + (0.3 if number >= 5 else 0.0))
        assert turns.at(19.0) == pytest.approx(19.3)

    @given(st.lists(st.floats(0.0, 0.04), min_size=200, max_size=400))
    def test_it_is_never_more_than_a_little_ahead_of_the_rate(self, steps: list[float]) -> None:
        turns, now, last = SendSchedule(), 0.0, 0.0
        for number, step in enumerate(steps):
            now += step
            last = self.leaves(turns, number * 0.02, now)
        assert last - now < len(steps) * 0.02
