import random
from fractions import Fraction

import pytest

from icefloe.media.sinks.sync import Offset, SenderClock, TrackClock

MS = Fraction(1, 1000)


def place(
    clock: TrackClock, media_time: float | None, captured: float | None, arrived: float
) -> float:
    pts = None if media_time is None else round(media_time * 1000)
    return clock.place(pts, MS, captured, arrived, duration=0.02)


def test_the_least_delayed_arrival_tells_the_offset() -> None:
    offset = Offset(0.04)
    rng = random.Random(1)
    for n in range(6000):
        now = n * 0.02
        offset.observe(now, 7.0 + rng.expovariate(1 / 0.02))
    assert offset.value == pytest.approx(7.0, abs=0.002)


def test_drift_is_followed_so_slowly_that_it_is_not_heard() -> None:
    offset, before = Offset(0.04), 0.0
    for n in range(30_000):
        now = n * 0.02
        value = offset.observe(now, now * 100e-6)
        assert abs(value - before) <= 0.002 * 0.02 + 1e-9
        before = value
    # A window of 5 to 10 s has drifted by 1 ms at most.
    assert offset.value == pytest.approx(0.06, abs=0.0011)


def test_a_first_arrival_that_was_late_is_made_up_for_at_once() -> None:
    offset = Offset(0.04)
    offset.observe(0.0, 0.5)
    assert offset.observe(0.02, 0.1) == pytest.approx(0.1)


def test_tracks_of_one_sender_are_in_step_however_differently_they_were_delayed() -> None:
    sender = SenderClock()
    audio, video = TrackClock("audio", sender), TrackClock("video", sender)
    rng = random.Random(2)
    heard: dict[int, float] = {}
    seen: dict[int, float] = {}
    for n in range(500):
        captured = 1_700_000_000 + n * 0.02
        heard[n] = place(audio, 5 + n * 0.02, captured, n * 0.02 + 0.06 + rng.random() * 0.02)
        seen[n] = place(video, 9000 + n * 0.02, captured, n * 0.02 + 0.25 + rng.random() * 0.05)
    assert max(abs(heard[n] - seen[n]) for n in heard) < 0.001


def test_sound_does_not_jump_when_its_capture_times_become_known() -> None:
    sender = SenderClock()
    audio, video = TrackClock("audio", sender), TrackClock("video", sender)
    place(video, 0.0, 50.0, 0.3)  # the video knows first, and was delayed by 0.3 s
    before = place(audio, 0.0, None, 0.05)
    after = place(audio, 0.02, 50.02, 0.07)
    assert after - before == pytest.approx(0.02, abs=0.001)
    assert place(video, 0.04, 50.04, 0.34) == pytest.approx(0.09, abs=0.001)


def test_loss_does_not_move_what_follows() -> None:
    clock = TrackClock("audio", SenderClock())
    for n in range(100):
        place(clock, n * 0.02, None, 100 + n * 0.02)
    assert place(clock, 12.0, None, 112.0) == pytest.approx(112.0)


def test_media_time_that_starts_again_is_a_new_origin() -> None:
    clock = TrackClock("video", SenderClock())
    for n in range(100):
        place(clock, 5000 + n * 0.02, None, 100 + n * 0.02)
    assert place(clock, 0.0, None, 102.0) == pytest.approx(102.0)
    assert place(clock, 0.02, None, 102.02) == pytest.approx(102.02)


def test_a_burst_after_a_stall_is_placed_where_it_belongs() -> None:
    clock = TrackClock("audio", SenderClock())
    for n in range(100):
        place(clock, n * 0.02, None, n * 0.02)
    # Two seconds of sound come at once.
    placed = [place(clock, n * 0.02, None, 4.0) for n in range(100, 200)]
    assert placed == pytest.approx([n * 0.02 for n in range(100, 200)], abs=0.005)


def test_a_frame_that_says_nothing_is_placed_at_its_arrival() -> None:
    assert place(TrackClock("video", SenderClock()), None, None, 3.0) == 3.0
