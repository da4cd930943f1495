"""Sizes that bitstreams announce, as encoders write them and as nobody sane does."""

import random
import re

import pytest
from hypothesis import given, strategies as st

from icefloe.peer.rtp.receive.bitstream_size import (
    _MAX_SMALL_GROWTHS,
    GROWTH_PERIOD,
    MAX_GROWTHS,
    MOST_PIXELS,
    FrameSizeLimit,
    announced_size,
)
from tests.peer.rtp.test_large_pictures import encoded

SIZES = [(64, 48), (640, 480), (1280, 720), (1920, 1080), (1080, 1920), (4096, 2304)]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_size_that_an_encoder_writes_is_read(width: int, height: int) -> None:
    assert announced_size("VP8", encoded("VP8", width, height)) == (width, height)
    whole = -(-width // 16) * 16, -(-height // 16) * 16
    assert announced_size("H264", encoded("H264", width, height)) == whole
    assert FrameSizeLimit().refusal(0.0, whole) is None


def bits(*fields: int | tuple[int, int]) -> bytes:
    """Write fields: numbers as Exp-Golomb codes, pairs as a value and its count of bits."""
    text = ""
    for field in fields:
        if isinstance(field, tuple):
            text += format(field[0], f"0{field[1]}b")
        else:
            code = format(field + 1, "b")
            text += "0" * (len(code) - 1) + code
    text += "1"
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


def parameter_set(
    width: int, height: int, *, whole: int = 1, order: tuple[int, ...] = (2,)
) -> bytes:
    """Write a sequence parameter set of so many macroblocks."""
    fields = bits(
        (66, 8), (0, 8), (31, 8), 0, 0, *order, 1, (0, 1), width - 1, height - 1, (whole, 1)
    )
    return b"\0\0\0\1\x67" + re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", fields)  # emulation prevention


def test_sequence_parameter_sets_of_every_form_are_read() -> None:
    assert announced_size("H264", parameter_set(40, 30)) == (640, 480)
    assert announced_size("H264", parameter_set(40, 30, whole=0)) == (640, 960)
    assert announced_size("H264", parameter_set(40, 30, order=(0, 4))) == (640, 480)
    assert announced_size("H264", parameter_set(1 << 16, 1 << 16)) == (1 << 20, 1 << 20)
    both = parameter_set(40, 30) + parameter_set(1000, 1000) + parameter_set(4, 3)
    assert announced_size("H264", both) == (16000, 16000)
    scaling = bits(
        (100, 8),
        (0, 8),
        (31, 8),
        0,
        1,
        0,
        0,
        (0, 1),
        (1, 1),
        (1, 1),
        16,
        *[(0, 1)] * 7,
        0,
        2,
        1,
        (0, 1),
        39,
        29,
        (1, 1),
    )
    assert announced_size("H264", b"\0\0\1\x67" + scaling) == (640, 480)


@pytest.mark.parametrize("codec", ["VP8", "H264", "VP9", ""])
def test_what_tells_no_size_has_none(codec: str) -> None:
    for data in (b"", b"\0", b"\0\0\1", b"\0\0\1\x67", b"\0\0\1\x67" + bytes(5000), b"\x01" * 20):
        size = announced_size(codec, data)
        assert size is None or codec == "VP8"


@given(data=st.binary(max_size=400), codec=st.sampled_from(["VP8", "H264"]))
def test_no_bytes_do_any_harm(data: bytes, codec: str) -> None:
    for size in (announced_size(codec, data), announced_size(codec, b"\0\0\1\x67" + data)):
        assert size is None or min(size) >= 0
        if size is not None:
            FrameSizeLimit().refusal(0.0, size)


def test_damaged_parameter_sets_do_no_harm() -> None:
    chance = random.Random(5)
    whole = encoded("H264", 640, 480)
    for _ in range(3000):
        data = bytearray(whole[:200])
        for _ in range(chance.randrange(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        size = announced_size("H264", bytes(data))
        assert size is None or min(size) >= 0


def test_thousands_of_parameter_sets_cost_no_more_than_some() -> None:
    assert announced_size("H264", parameter_set(40, 30) * 10_000) == (640, 480)


@pytest.mark.parametrize(
    ("size", "fits"),
    [
        ((4096, 2304), True),
        ((2304, 4096), True),
        ((4096, 2320), True),  # 2305 lines in whole macroblocks may be 2304 and a bit
        ((4096, 2400), False),
        ((16383, 16383), False),
        ((1 << 21, 16), False),
        ((0, 0), True),
    ],
)
def test_pictures_are_bounded_in_either_orientation(size: tuple[int, int], fits: bool) -> None:
    assert (FrameSizeLimit().refusal(0.0, size) is None) == fits
    assert MOST_PIXELS == 4096 * 2304


LARGE = MOST_PIXELS - 200
"""Pixels in a row, of pictures that are nearly as large as they may be."""


def test_a_stream_that_grows_too_often_is_refused_until_it_is_stable() -> None:
    sizes = FrameSizeLimit()
    taken = [sizes.refusal(0.0, (LARGE + i, 1)) is None for i in range(50)]
    assert taken == [True] * (MAX_GROWTHS + 1) + [False] * (50 - MAX_GROWTHS - 1)
    # What does not grow is taken meanwhile, and growing is again after a while.
    assert sizes.refusal(1.0, (LARGE, 1)) is None
    assert sizes.refusal(1.1, (LARGE + 20, 1)) is not None
    assert sizes.refusal(GROWTH_PERIOD / MAX_GROWTHS + 1, (LARGE + 20, 1)) is None


def test_going_up_and_down_in_turn_counts_as_growing() -> None:
    sizes = FrameSizeLimit()
    taken = [sizes.refusal(0.0, (LARGE if i % 2 else 320, 1)) is None for i in range(100)]
    assert taken.count(True) == MAX_GROWTHS + 50


@pytest.mark.parametrize("rate", [30, 60])
def test_a_window_whose_size_changes_with_each_picture_is_taken(rate: int) -> None:
    sizes = FrameSizeLimit()
    for number in range(10 * rate):  # ten seconds of dragging its corner there and back
        part = abs(number % rate - rate / 2) / rate
        width, height = round(640 + 1280 * part), round(360 + 720 * part)
        assert sizes.refusal(number / rate, (width, height)) is None


def test_tiny_pictures_that_grow_cost_something_too() -> None:
    sizes = FrameSizeLimit()
    taken = [sizes.refusal(0.0, (16 + i % 2, 16)) is None for i in range(20_000)]
    assert taken.count(True) == 10_000 + _MAX_SMALL_GROWTHS


@given(steps=st.lists(st.tuples(st.floats(0, 30), st.integers(1, MOST_PIXELS)), max_size=100))
def test_no_minute_has_more_growth_than_is_said(steps: list[tuple[float, int]]) -> None:
    sizes, now, before, grown = FrameSizeLimit(), 0.0, 0, list[tuple[float, int]]()
    for passed, width in steps:
        now += passed
        if sizes.refusal(now, (width, 1)) is None:
            if 0 < before < width:
                grown.append((now, width))
            before = width
    for first, (start, _) in enumerate(grown):
        within = [pixels for at, pixels in grown[first:] if at <= start + GROWTH_PERIOD]
        assert sum(within) <= 2 * MAX_GROWTHS * MOST_PIXELS
