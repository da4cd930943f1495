"""The framing of datagrams on a TCP connection (RFC 4571), and the queue of what waits."""

import pytest
from hypothesis import given, strategies as st

from icefloe.peer.ice.tcp.framing import (
    LONGEST_WAIT,
    MAX_FRAME,
    MAX_QUEUED_BYTES,
    MAX_QUEUED_CHECKS,
    Deframer,
    FrameTooLong,
    SendQueue,
    frame,
)

DATAGRAMS = st.lists(st.binary(max_size=300), max_size=20)


def taken(deframer: Deframer) -> list[bytes]:
    """Take all datagrams that are complete."""
    found = []
    while (datagram := deframer.next()) is not None:
        found.append(datagram)
    return found


@given(DATAGRAMS, st.lists(st.integers(1, 400), min_size=1))
def test_datagrams_come_out_as_they_went_in_wherever_the_stream_is_cut(
    datagrams: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(map(frame, datagrams))
    deframer, found, at, turn = Deframer(), [], 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        deframer.feed(stream[at : at + size])
        found += taken(deframer)
        at, turn = at + size, turn + 1
    assert found == datagrams
    assert len(deframer) == 0


@given(st.binary(max_size=2000), st.integers(0, MAX_FRAME))
def test_any_bytes_are_frames_or_one_that_is_too_long(stream: bytes, limit: int) -> None:
    deframer = Deframer(limit)
    deframer.feed(stream)
    try:
        found = taken(deframer)
    except FrameTooLong as error:
        assert limit < error.size <= MAX_FRAME
        assert error.limit == limit
    else:
        assert all(len(datagram) <= limit for datagram in found)
        left = len(stream) - sum(2 + len(datagram) for datagram in found)
        assert len(deframer) == left <= 1 + limit


def test_the_longest_frame_is_taken_and_a_longer_one_cannot_be_made() -> None:
    deframer = Deframer()
    deframer.feed(frame(bytes(MAX_FRAME)))
    assert deframer.next() == bytes(MAX_FRAME)
    with pytest.raises(FrameTooLong):
        frame(bytes(MAX_FRAME + 1))


def test_a_frame_that_is_too_long_is_known_by_its_length_alone() -> None:
    deframer = Deframer(2048)
    deframer.feed(b"\x08")
    assert deframer.next() is None
    deframer.feed(b"\x01")
    with pytest.raises(FrameTooLong):
        deframer.next()


def test_the_limit_may_grow_between_two_frames() -> None:
    deframer = Deframer(4)
    deframer.feed(frame(b"1234") + frame(b"12345"))
    assert deframer.next() == b"1234"
    deframer.limit = MAX_FRAME
    assert deframer.next() == b"12345"


# --- the queue


def split(stream: bytes) -> list[bytes]:
    """Return the datagrams of a whole stream."""
    deframer = Deframer()
    deframer.feed(stream)
    found = taken(deframer)
    assert len(deframer) == 0
    return found


@given(DATAGRAMS)
def test_data_leaves_in_order(datagrams: list[bytes]) -> None:
    queue = SendQueue()
    queue.put(datagrams, 0.0)
    assert split(queue.take(0.0)) == datagrams
    assert not queue
    assert queue.take(0.0) == b""


def test_checks_overtake_data() -> None:
    queue = SendQueue()
    queue.put([b"one", b"two"], 0.0)
    queue.put_check(b"check")
    assert split(queue.take(0.0)) == [b"check", b"one", b"two"]


def test_what_exceeds_the_queue_is_dropped_and_counted() -> None:
    queue = SendQueue()
    queue.put([bytes(1024)] * (MAX_QUEUED_BYTES // 1024), 0.0)
    assert queue.dropped == 0
    queue.put([b"x"], 0.0)
    assert queue.dropped == 1
    while queue:
        queue.take(0.0)
    queue.put([b"x"], 0.0)
    assert split(queue.take(0.0)) == [b"x"]
    assert queue.dropped == 1


def test_a_datagram_that_no_frame_can_carry_is_dropped() -> None:
    queue = SendQueue()
    queue.put([bytes(MAX_FRAME + 1), b"x"], 0.0)
    assert split(queue.take(0.0)) == [b"x"]
    assert queue.dropped == 1


def test_checks_that_wait_are_bounded() -> None:
    queue = SendQueue()
    for _ in range(MAX_QUEUED_CHECKS + 3):
        queue.put_check(b"check")
    assert queue.dropped == 3
    assert len(split(queue.take(0.0))) == MAX_QUEUED_CHECKS


def test_data_that_waited_for_too_long_is_dropped() -> None:
    queue = SendQueue()
    queue.put([b"old"], 0.0)
    queue.put([b"new"], LONGEST_WAIT)
    queue.put_check(b"check")
    assert split(queue.take(LONGEST_WAIT + 0.1)) == [b"check", b"new"]
    assert queue.dropped == 1


def test_a_batch_is_bounded_and_a_long_frame_still_leaves() -> None:
    queue = SendQueue()
    queue.put([bytes(MAX_FRAME), bytes(MAX_FRAME), b"x"], 0.0)
    assert [len(queue.take(0.0)) for _ in range(3)] == [2 + MAX_FRAME, 2 + MAX_FRAME, 3]
