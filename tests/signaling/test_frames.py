"""Frames that the server reads and writes itself: the same as the library, cut up as they come."""

import os

import pytest
from hypothesis import given, strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from icefloe.signaling.frames import WHOLE_FRAME, read_head, text_frame, whole_text
from tests.helpers.both_ways import BothWays, events, library

TEXTS = st.one_of(
    st.text(max_size=200).map(str.encode),
    st.sampled_from([125, 126, 127, 65535, 65536, WHOLE_FRAME - 8, WHOLE_FRAME - 7]).map(
        lambda size: b"x" * size
    ),
    st.binary(max_size=20),
)
FRAMES = st.builds(
    lambda opcode, data, fin: Frame(opcode, data, fin).serialize(mask=True),
    st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.CONT]),
    TEXTS,
    st.sampled_from([True, True, True, False]),
) | st.builds(
    lambda opcode, data: Frame(opcode, data).serialize(mask=True),
    st.sampled_from([Opcode.PING, Opcode.PONG]),
    st.binary(max_size=125),
)
BYTES = st.lists(FRAMES | st.binary(max_size=12), max_size=8).map(b"".join)


@given(
    data=BYTES,
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=5),
    chunk=st.integers(1, 1024),
)
def test_both_ways_together_read_what_the_library_alone_reads(
    data: bytes, sizes: list[int], chunk: int
) -> None:
    alone, reader = library(), BothWays()
    at, turn = 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        reader.receive(data[at : at + size], chunk)
        at, turn = at + size, turn + 1
    alone.receive_data(data)
    heard = events(alone)
    # What follows an invalid frame differs in nothing but how much was read before.
    if alone.state is State.OPEN:
        assert reader.library.state is State.OPEN
        assert reader.heard == heard
    else:
        assert reader.heard == heard[: len(reader.heard)]


@given(payload=st.one_of(TEXTS, st.just(b"x" * 70000)))
def test_a_text_is_written_as_the_library_writes_it(payload: bytes) -> None:
    assert text_frame(payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)


@given(payload=st.text(max_size=300).map(str.encode), rest=st.binary(max_size=20))
def test_a_text_is_read_at_its_place(payload: bytes, rest: bytes) -> None:
    before = Frame(Opcode.PING, b"x").serialize(mask=True)
    data = before + Frame(Opcode.TEXT, payload).serialize(mask=True)
    assert whole_text(data + rest, len(before)) == (payload, len(data))
    assert whole_text(bytearray(data + rest), len(before)) == (payload, len(data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x81",
        Frame(Opcode.TEXT, b"x").serialize(mask=False),
        Frame(Opcode.TEXT, b"x", fin=False).serialize(mask=True),
        Frame(Opcode.BINARY, b"x").serialize(mask=True),
        Frame(Opcode.CONT, b"x").serialize(mask=True),
        Frame(Opcode.PING, b"x").serialize(mask=True),
        Frame(Opcode.TEXT, b"x").serialize(mask=True)[:-1],
        Frame(Opcode.TEXT, b"\xff").serialize(mask=True),
        Frame(Opcode.TEXT, "\ud800".encode(errors="surrogatepass")).serialize(mask=True),
        Frame(Opcode.TEXT, b"x" * WHOLE_FRAME).serialize(mask=True),
        Frame(Opcode.TEXT, b"x" * 65536).serialize(mask=True),
        b"\xc1" + Frame(Opcode.TEXT, b"x").serialize(mask=True)[1:],
        b"\x81\xff" + b"\xff" * 8 + bytes(10),
        b"\x81\xfe",
        b"\x81\xfe\x00\x01\x00",
    ],
    ids=map(str, range(16)),  # the masks are random
)
def test_all_else_is_left_to_the_library(data: bytes) -> None:
    assert whole_text(data) is None


def test_a_frame_of_the_largest_size_is_read_whole() -> None:
    largest = Frame(Opcode.TEXT, b"x" * (WHOLE_FRAME - 8)).serialize(mask=True)
    assert whole_text(largest) == (b"x" * (WHOLE_FRAME - 8), WHOLE_FRAME)
    head = read_head(largest)
    assert head is not None and head.is_whole_text


def test_a_size_of_64_bits_is_believed_and_nothing_is_allocated_for_it() -> None:
    head = read_head(b"\x81\xff" + b"\xff" * 8)
    assert head is not None
    assert head.size == 2**64 - 1 + 14
    assert not head.is_whole_text


def test_an_incomplete_header_waits_for_more() -> None:
    frame = Frame(Opcode.TEXT, b"x" * 70000).serialize(mask=True)
    assert [read_head(frame[:size]) is None for size in range(12)] == [True] * 10 + [False] * 2


def test_a_text_among_fragments_goes_to_the_library_which_refuses_it() -> None:
    reader = BothWays()
    reader.receive(Frame(Opcode.TEXT, b"a", fin=False).serialize(mask=True), 1024)
    reader.receive(Frame(Opcode.TEXT, b"b").serialize(mask=True), 1024)
    assert reader.library.state is State.CLOSING
    assert reader.short == 0


def test_texts_between_other_frames_go_the_short_way() -> None:
    reader = BothWays()
    ping = Frame(Opcode.PING, b"p").serialize(mask=True)
    fragments = Frame(Opcode.TEXT, b"a", fin=False).serialize(mask=True) + Frame(
        Opcode.CONT, b"b"
    ).serialize(mask=True)
    text = Frame(Opcode.TEXT, b"t").serialize(mask=True)
    reader.receive(text + ping + text + fragments + text, 1024)
    assert reader.short == 3
    assert [data for _, data, _ in reader.heard] == [b"t", b"p", b"t", b"a", b"b", b"t"]


def test_one_byte_at_a_time_costs_no_more_than_its_bytes() -> None:
    reader = BothWays()
    text = os.urandom(2000).hex().encode()
    for byte in Frame(Opcode.TEXT, text).serialize(mask=True):
        reader.receive(bytes((byte,)), 1024)
    assert reader.heard == [(Opcode.TEXT, text, True)]
