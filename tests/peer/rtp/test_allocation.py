"""Division of a transport's bandwidth estimate among its streams."""

import math

import pytest
from hypothesis import given, strategies as st

from icefloe.peer.rtp.send.allocation import (
    AUDIO_BITRATES,
    AUDIO_OVERHEAD,
    LEAST_VIDEO_SHARE,
    VIDEO_OVERHEAD,
    Demand,
    allocate,
)

SOUND = Demand("audio", 96_000)
PICTURE = Demand("video", 3_800_000)


def test_a_call_with_room_gets_all_that_it_can_use() -> None:
    assert allocate(10e6, [SOUND, PICTURE]) == [96_000, 3_800_000]


@pytest.mark.parametrize(
    ("estimate", "sound"),
    [(1_000_000, 96_000), (300_000, 64_000), (200_000, 48_000), (100_000, 16_000), (0, 16_000)],
)
def test_sound_comes_first_and_gets_cheaper(estimate: int, sound: int) -> None:
    given_sound, given_picture = allocate(estimate, [SOUND, PICTURE])
    assert given_sound == sound
    left = max(LEAST_VIDEO_SHARE * estimate, estimate - sound - AUDIO_OVERHEAD)
    assert given_picture == pytest.approx(left / VIDEO_OVERHEAD, abs=1)


def test_pictures_share_by_weight_and_leave_what_they_cannot_use() -> None:
    total = 1_060_000
    assert allocate(total, [PICTURE, PICTURE]) == [500_000, 500_000]
    heavy = Demand("video", 3_800_000, weight=3.0)
    assert allocate(total, [PICTURE, heavy]) == [250_000, 750_000]
    small = Demand("video", 100_000)
    assert allocate(total, [PICTURE, small]) == [900_000, 100_000]
    assert allocate(total, [PICTURE, Demand("video", 0)]) == [1_000_000, 0]


demands = st.builds(
    Demand,
    st.sampled_from(["audio", "video"]),
    st.sampled_from([0, 16_000, 40_000, 96_000, 500_000, 9e6]),
    st.sampled_from([0.5, 1.0, 2.0, 4.0]),
)


@given(st.floats(0, 20e6), st.lists(demands, max_size=8))
def test_never_more_than_there_is_beyond_the_least_of_sound(
    estimate: float, wanted: list[Demand]
) -> None:
    given_bits = allocate(estimate, wanted)
    assert len(given_bits) == len(wanted)
    used = 0.0
    least = 0.0
    for bits, demand in zip(given_bits, wanted, strict=True):
        assert 0 <= bits <= math.ceil(demand.maximum)
        used += Demand(demand.kind, bits).on_the_wire
        if demand.kind == "audio" and demand.maximum:
            assert bits >= min(demand.maximum, AUDIO_BITRATES[-1])
            least += AUDIO_BITRATES[-1] + AUDIO_OVERHEAD
    assert used <= max(estimate, least + LEAST_VIDEO_SHARE * estimate) + 2 * len(wanted)
