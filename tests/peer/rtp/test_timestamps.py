"""The RTP timestamps of one stream, by what its tracks tell. No network."""

import itertools
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from av import VideoFrame
from av.packet import Packet
from hypothesis import given, strategies as st

from icefloe.peer.rtp.send.timestamps import Timestamps, capture_time
from tests.helpers.times import BASE, LARGE, PICTURES, Told

OPUS = bytes([0xFC]) + bytes(40)
"""A packet of 20 ms."""
SAMPLE = Fraction(1, 48000)


def packet(pts: int | None, time_base: Fraction | None, data: bytes = OPUS) -> "Packet[Any]":
    made: Packet[Any] = Packet(data)
    made.pts = pts
    if time_base is not None:
        made.time_base = time_base
    return made


def picture(pts: int | None, time_base: Fraction | None) -> VideoFrame:
    frame = VideoFrame(16, 16, "yuv420p")
    frame.pts = pts
    if time_base is not None:
        frame.time_base = time_base
    return frame


def steps(stamps: list[int]) -> list[int]:
    return [b - a for a, b in itertools.pairwise(stamps)]


def test_a_picture_of_another_track_follows_by_the_time_between() -> None:
    stamps = Timestamps("video", 90000)
    first = [stamps.for_frame(picture(10**9 + n * 3000, BASE), 5 + n / 30) for n in range(30)]
    stamps.restart()
    second = [stamps.for_frame(picture(n, Fraction(1, 30)), 7 + n / 30) for n in range(30)]
    assert steps(first) == steps(second) == [3000] * 29
    assert second[0] - first[0] == 2 * 90000


@pytest.mark.parametrize("codec", ["H264", "VP8"])
@pytest.mark.parametrize("told", PICTURES.values(), ids=PICTURES)
def test_encoded_pictures_never_share_a_timestamp(codec: str, told: Callable[[int], Told]) -> None:
    stamps = Timestamps("video", 90000)
    got = [
        stamps.for_packet(packet(*told(n)), codec, [b"x"], 50 + n / 30) - n * 3000
        for n in range(300)
    ]
    assert len({n * 3000 + off for n, off in enumerate(got)}) == 300
    assert max(got) - min(got) < 90000
    if codec == "VP8":
        assert min(steps([n * 3000 + off for n, off in enumerate(got)])) > 0


def test_pictures_in_decoding_order_keep_the_times_at_which_they_are_seen() -> None:
    stamps = Timestamps("video", 90000)
    shown = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8]
    got = [
        stamps.for_packet(packet(at, Fraction(1, 25)), "H264", [b"x"], n / 25)
        for n, at in enumerate(shown)
    ]
    assert [(stamp - got[0]) / 3600 for stamp in got] == shown


@pytest.mark.parametrize(
    ("codec", "payload", "rate", "length"),
    [("opus", OPUS, 48000, 960), ("PCMU", bytes(160), 8000, 160), ("G722", bytes(160), 8000, 160)],
)
def test_encoded_sound_keeps_what_is_missing_and_not_what_a_container_rounds(
    codec: str, payload: bytes, rate: int, length: int
) -> None:
    stamps = Timestamps(kind := "audio", rate)
    assert kind
    missing = {20: 1, 60: 3, 150: 25}
    at, got, expected = 0, [], []
    for n in range(200):
        at += missing.get(n, 0)
        told = packet(at * 20 + n % 2, Fraction(1, 1000), payload)
        got.append(stamps.for_packet(told, codec, [payload], 9 + at / 50))
        expected.append(at * length)
        at += 1
    assert [stamp - got[0] for stamp in got] == pytest.approx(expected, abs=rate / 500)
    assert all(b - a >= length for a, b in itertools.pairwise(got))


def test_a_malformed_packet_lasts_as_long_as_most() -> None:
    stamps = Timestamps("audio", 48000)
    got = [stamps.for_packet(packet(None, None, b""), "opus", [b""], n / 50) for n in range(5)]
    assert steps(got) == [960] * 4


@pytest.mark.parametrize("at", [None, 0.0, -1e9, float("inf"), float("nan"), 100.1, 89.0])
def test_a_time_of_capture_that_cannot_be_is_now(at: float | None) -> None:
    assert capture_time(at, 100.0) == 100.0
    assert capture_time(99.0, 100.0) == 99.0


def test_the_age_of_a_frame_is_by_how_much_it_comes_late() -> None:
    stamps = Timestamps("video", 90000)
    for n in range(30):
        stamp = stamps.for_frame(picture(n, Fraction(1, 30)), 50 + n / 30)
        assert stamps.age(stamp, 50 + n / 30, 50.01 + n / 30) == pytest.approx(0.01)
    stamp = stamps.for_frame(picture(30, Fraction(1, 30)), 51.3)
    assert stamps.age(stamp, 51.3, 51.3) == pytest.approx(0.3)


@given(
    st.sampled_from(("audio", "video")),
    st.lists(
        st.tuples(
            st.none() | st.integers(-LARGE, LARGE),
            st.none() | st.fractions(0, 100, max_denominator=10**6),
            st.binary(max_size=40),
            st.floats(0, 3),
        ),
        max_size=40,
    ),
)
def test_anything_gets_a_timestamp(
    kind: str, told: list[tuple[int | None, Fraction | None, bytes, float]]
) -> None:
    stamps, now = Timestamps(kind, 48000 if kind == "audio" else 90000), 1000.0
    seen = set()
    for pts, time_base, data, waited in told:
        now += waited
        codec = "opus" if kind == "audio" else "H264"
        seen.add(stamps.for_packet(packet(pts, time_base, data), codec, [data], now))
    assert len(seen) == len(told)
