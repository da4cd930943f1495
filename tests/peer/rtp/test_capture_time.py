"""Capture times of frames, by sender reports; and numbers that wrap."""

import pytest
from hypothesis import given, strategies as st

from icefloe.peer.rtp.receive.capture_time import CaptureTimes, FrameClock
from icefloe.peer.rtp.serial_numbers import Unwrapper

UNIX_2026 = 1_767_225_600
NTP_2026 = (UNIX_2026 + 2_208_988_800) << 32


def test_a_frame_is_put_on_the_clock_of_the_reports() -> None:
    times = CaptureTimes()
    times.note(0, 90000, ssrc=1, timestamp=5000, clock_rate=90000)
    assert times.capture_time(0) is None
    times.report(1, NTP_2026, 5000 + 90000)
    assert times.capture_time(0) == pytest.approx(UNIX_2026 - 1)
    assert times.capture_time(45000) == pytest.approx(UNIX_2026 - 0.5)


def test_audio_and_video_of_one_sender_are_on_one_clock() -> None:
    audio, video = CaptureTimes(), CaptureTimes()
    audio.note(0, 48000, ssrc=1, timestamp=777, clock_rate=48000)
    video.note(0, 90000, ssrc=2, timestamp=2**32 - 10, clock_rate=90000)
    audio.report(1, NTP_2026, 777 + 48000)
    video.report(2, NTP_2026 + (1 << 31), 180000 - 10)
    assert audio.capture_time(48000) == pytest.approx(UNIX_2026)
    assert video.capture_time(90000) == pytest.approx(UNIX_2026 - 0.5)


def test_a_clock_of_samples_may_be_faster_than_that_of_timestamps() -> None:
    times = CaptureTimes()
    times.note(320, 16000, ssrc=1, timestamp=2**32 - 80, clock_rate=8000)
    times.report(1, NTP_2026, 80)
    assert times.capture_time(640) == pytest.approx(UNIX_2026)


def test_a_leap_counts_from_the_frame_on_at_which_it_was() -> None:
    times = CaptureTimes()
    times.note(0, 48000, ssrc=1, timestamp=0, clock_rate=48000)
    times.note(960, 48000, ssrc=1, timestamp=960, clock_rate=48000)
    times.note(1920, 48000, ssrc=1, timestamp=2400, clock_rate=48000)
    times.report(1, NTP_2026, 0)
    assert times.capture_time(960) == pytest.approx(UNIX_2026 + 0.02)
    assert times.capture_time(1920) == pytest.approx(UNIX_2026 + 0.05)


def test_what_is_remembered_is_bounded() -> None:
    times = CaptureTimes()
    for number in range(5000):
        times.note(number, 48000, ssrc=number, timestamp=7 * number, clock_rate=48000)
        times.report(number, NTP_2026, 0)
    assert times.capture_time(0) is None
    assert times.capture_time(4999) is not None


def test_a_sender_without_a_clock_has_no_times() -> None:
    times = CaptureTimes()
    times.note(0, 48000, ssrc=1, timestamp=0, clock_rate=48000)
    times.report(1, 0, 0)
    assert times.capture_time(0) is None


def test_frames_are_numbered_through_wraps_and_new_streams() -> None:
    clock = FrameClock(90000)
    assert clock.pts(0.0, 1, 2**32 - 3000) == 0
    assert clock.pts(0.1, 1, 0) == 3000
    assert clock.pts(0.1, 1, 2**32 - 1500) == 1500
    assert clock.pts(0.2, 1, 3000) == 6000
    assert clock.pts(1.2, 2, 12345) == 96000
    assert clock.pts(1.3, 2, 12345 + 9000) == 105000


@pytest.mark.parametrize("leap", [-45001, -(2**30), -(2**31), 2**30, 11 * 90000])
def test_timestamps_that_leap_in_a_stream_are_numbered_by_their_arrival(leap: int) -> None:
    clock = FrameClock(90000)
    clock.pts(0.0, 1, 5000)
    assert clock.pts(0.5, 1, 5000 + leap & 0xFFFFFFFF) == 45000
    assert clock.pts(0.6, 1, 5000 + leap + 3000 & 0xFFFFFFFF) == 48000


def test_pictures_in_decoding_order_keep_their_times_at_a_low_rate() -> None:
    clock, step = FrameClock(90000), 90000 // 2
    order = [0] + [n - n % 4 + (4, 1, 2, 3)[n % 4] for n in range(100)]
    stamps = [clock.pts(n / 2, 1, shown * step) for n, shown in enumerate(order)]
    assert stamps == [shown * step for shown in order]


def test_timestamps_that_begin_anew_again_and_again_are_no_decoding_order() -> None:
    clock = FrameClock(90000)
    stamps = [clock.pts(n / 10, 1, n % 15 * 9000) for n in range(100)]
    assert stamps == [n * 9000 for n in range(100)]


def test_timestamps_go_on_after_an_outage() -> None:
    clock = FrameClock(90000)
    clock.pts(0.0, 1, 0)
    assert clock.pts(60.0, 1, 60 * 90000) == 60 * 90000
    assert clock.pts(60.0, 1, 69 * 90000) == 69 * 90000  # it was held up, and comes at once


@given(st.lists(st.integers(-30000, 30000)), st.integers(0, 65535))
def test_numbers_are_unwrapped_as_long_as_steps_are_small(steps: list[int], first: int) -> None:
    unwrapper = Unwrapper(16)
    assert unwrapper.unwrap(first) == first
    number = first
    for step in steps:
        number += step
        assert unwrapper.unwrap(number % 65536) == number
