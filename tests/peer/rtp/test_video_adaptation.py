"""Degradation of outgoing video: size and frame rate by the bit rate."""

import pytest
from hypothesis import given, strategies as st

from icefloe.peer.rtp.send.video_adaptation import (
    NO_DEGRADATION,
    SMALLEST_PICTURE,
    TRIAL,
    UP_AFTER,
    DegradationPreference as Preference,
    VideoAdaptation,
    VideoStep,
    preference_of,
    required_bitrate,
)

HD = 1280 * 720


class Clock:
    """Drives an adaptation by thirty frames a second.

    Args:
        preference: What to keep.
        pixels: Pixels of the source.
    """

    def __init__(self, preference: Preference = Preference.BALANCED, pixels: int = HD) -> None:
        self.adaptation = VideoAdaptation()
        self.preference, self.pixels = preference, pixels
        self.now = 0.0
        self.changes = 0

    def run(self, bitrate: float | None, seconds: float) -> VideoStep:
        """Run at a target bit rate and return the step at the end."""
        for _ in range(round(seconds * 30)):
            before = self.adaptation.step
            after = self.adaptation.update(
                self.now,
                bitrate=bitrate,
                pixels=self.pixels,
                frame_rate=30.0,
                preference=self.preference,
            )
            self.changes += after.scale != before.scale
            self.now += 1 / 30
        return self.adaptation.step


def test_nothing_is_taken_from_pictures_that_fit() -> None:
    clock = Clock()
    assert clock.run(None, 1) == clock.run(1_000_000, 5) == NO_DEGRADATION


@pytest.mark.parametrize("preference", Preference)
def test_each_preference_keeps_what_it_says(preference: Preference) -> None:
    clock = Clock(preference)
    step = clock.run(100_000, 5)
    if preference is Preference.MAINTAIN_RESOLUTION:
        assert step == VideoStep(1.0, 5.0)
    elif preference is Preference.MAINTAIN_FRAMERATE:
        assert step.scale >= 4 and step.frame_rate == float("inf")
    else:
        assert step.scale >= 8 / 3 and 5 <= step.frame_rate <= 15
    assert clock.run(2_500_000, 10) == NO_DEGRADATION


def test_a_sharp_drop_is_followed_at_once_and_the_way_back_takes_a_moment() -> None:
    clock = Clock()
    clock.run(300_000, 1)
    assert clock.run(2_500_000, 0.5) == NO_DEGRADATION  # a call begins low on any link
    clock.run(2_500_000, 10)
    low = clock.run(250_000, 1 / 30)
    assert required_bitrate(HD / low.scale**2, low.frame_rate) <= 250_000
    assert clock.run(2_500_000, UP_AFTER - 0.2) == low
    assert clock.run(2_500_000, 0.5) == NO_DEGRADATION
    assert clock.changes == 4


def test_a_rate_at_a_border_does_not_make_it_go_to_and_fro() -> None:
    clock = Clock()
    border = required_bitrate(HD, 30)
    for number in range(120):
        clock.run(border * (0.8 if number % 2 else 1.25), 2)
    assert clock.changes < 30
    before = clock.changes
    for number in range(60):
        clock.run(border * (0.9 if number % 2 else 1.1), 1)
    assert clock.changes - before <= 1


def test_a_step_up_that_failed_is_not_soon_tried_again() -> None:
    clock = Clock()
    clock.run(400_000, 3)
    waits = []
    for _ in range(4):
        began = clock.now
        while clock.adaptation.step != NO_DEGRADATION:
            clock.run(1_000_000, 1 / 30)
        waits.append(clock.now - began)
        clock.run(400_000, 1)
    assert waits == sorted(waits) and waits[-1] > 3 * waits[0]
    clock.run(400_000, TRIAL)


def test_more_frames_of_the_same_size_come_back_although_a_larger_size_failed() -> None:
    clock = Clock()
    clock.run(20_000, 2)
    for _ in range(7):  # what suffices for 10 Hz of the next size fails time and again
        clock.run(45_000, 5)
        clock.run(8_000, 0.5)
    assert clock.adaptation.step == VideoStep(8.0, 5.0)
    changes = clock.changes
    assert clock.run(30_000, UP_AFTER + 0.1) == VideoStep(8.0, 7.5)
    assert clock.changes == changes


def test_a_small_source_is_not_made_smaller() -> None:
    clock = Clock(pixels=SMALLEST_PICTURE)
    assert clock.run(1_000, 5) == NO_DEGRADATION
    clock = Clock(Preference.MAINTAIN_RESOLUTION, pixels=SMALLEST_PICTURE)
    assert clock.run(1_000, 5) == VideoStep(1.0, 5.0)


@pytest.mark.parametrize(
    ("preference", "hint", "result"),
    [
        (None, "", Preference.BALANCED),
        (None, "motion", Preference.MAINTAIN_FRAMERATE),
        (None, "detail", Preference.MAINTAIN_RESOLUTION),
        (None, "text", Preference.MAINTAIN_RESOLUTION),
        (Preference.BALANCED, "text", Preference.BALANCED),
    ],
)
def test_the_hint_decides_where_nobody_else_does(
    preference: Preference | None, hint: str, result: Preference
) -> None:
    assert preference_of(preference, hint) == result


@given(
    st.lists(
        st.tuples(
            st.floats(0, 5e6) | st.none(),
            st.sampled_from([0, 2, SMALLEST_PICTURE, 640 * 360, HD, 3840 * 2160]),
            st.floats(1, 120),
            st.sampled_from(list(Preference)),
            st.floats(0, 3),
        ),
        max_size=40,
    )
)
def test_whatever_comes_a_step_is_usable(
    inputs: list[tuple[float | None, int, float, Preference, float]],
) -> None:
    adaptation, now = VideoAdaptation(), 0.0
    for bitrate, pixels, rate, preference, passed in inputs:
        now += passed
        step = adaptation.update(
            now, bitrate=bitrate, pixels=pixels, frame_rate=rate, preference=preference
        )
        assert step.scale >= 1 and step.frame_rate >= 5
        assert step.scale == 1 or pixels / step.scale**2 >= SMALLEST_PICTURE
        if bitrate is None:
            assert step == NO_DEGRADATION
