"""Transport-wide feedback on the wire."""

from struct import pack

import pytest
from hypothesis import given, settings, strategies as st

from icefloe.peer.rtp.congestion.errors import MalformedFeedback
from icefloe.peer.rtp.congestion.transport_feedback import (
    MAX_STATUSES,
    FeedbackWriter,
    TransportFeedback,
)


def feedback(
    chunks: bytes, deltas: bytes = b"", *, count: int, base: int = 10, times: int = 0x00000100
) -> bytes:
    """Return a feedback packet made by hand."""
    content = pack("!LLHHL", 1, 2, base, count, times) + chunks + deltas
    padding = -len(content) % 4
    if padding:
        content += bytes(padding - 1) + bytes((padding,))
    first = 0x8F | (0x20 if padding else 0)
    return bytes((first, 205)) + pack("!H", len(content) // 4) + content


def arrivals_of(packets: list[bytes], first: int) -> tuple[dict[int, float], int]:
    """Return the arrivals that packets tell, by number, and how many numbers they cover."""
    found: dict[int, float] = {}
    number = first
    for packet in packets:
        parsed = TransportFeedback.parse(packet)
        number += (parsed.base - number) & 0xFFFF
        for offset, seconds in parsed.received:
            found[number + offset] = parsed.reference_time * 0.064 + seconds
        number += parsed.status_count
    return found, number - first


def test_a_run_of_small_deltas() -> None:
    parsed = TransportFeedback.parse(feedback(b"\x20\x03", b"\x04\x08\x00", count=3))
    assert (parsed.sender_ssrc, parsed.media_ssrc) == (1, 2)
    assert (parsed.base, parsed.status_count) == (10, 3)
    assert (parsed.reference_time, parsed.feedback_count) == (1, 0)
    assert parsed.received == ((0, 0.001), (1, 0.003), (2, 0.003))


def test_a_vector_of_single_bits() -> None:
    chunk = pack("!H", 0x8000 | 0b10000000000001)
    parsed = TransportFeedback.parse(feedback(chunk, b"\x01\x01", count=14))
    assert [offset for offset, _ in parsed.received] == [0, 13]


def test_a_vector_of_two_bits_with_a_negative_delta() -> None:
    chunk = pack("!H", 0xC000 | 0b01_00_10_00_00_00_00)
    parsed = TransportFeedback.parse(feedback(chunk, b"\x08\xff\xfc", count=7))
    assert parsed.received == ((0, 0.002), (2, 0.001))


def test_statuses_after_the_last_packet_are_ignored() -> None:
    parsed = TransportFeedback.parse(feedback(b"\x20\x64", b"\x04\x04", count=2))
    assert len(parsed.received) == 2


def test_a_run_of_lost_packets_costs_nothing() -> None:
    chunks = pack("!HHHH", 8191, 8191, 8191, 0x2001)
    parsed = TransportFeedback.parse(feedback(chunks, b"\0", count=3 * 8191 + 1))
    assert parsed.received == ((3 * 8191, 0.0),)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x8f\xcd\0",
        feedback(b"\x20\x01", b"\0", count=1)[:-4],  # another length
        feedback(b"", count=1),  # no chunk
        feedback(b"\x20\x02", b"", count=2),  # no delta
        feedback(b"\x3f\xff", b"\0" * 5, count=8191),  # fewer deltas than packets
        feedback(b"\xea\xaa", b"\0" * 4, count=7),  # fewer bytes than large deltas
        feedback(b"\x60\x01", b"\0\0", count=1),  # a reserved status
        feedback(b"\xf0\x00", b"\0\0", count=7),  # the same in a vector
        feedback(b"\x20\x00", b"\0\0", count=1),  # an empty run
        feedback(b"\x20\x01", b"\0", count=0),
        feedback(pack("!5H", *[8191] * 5), count=MAX_STATUSES + 1),
        b"\x8f\xce" + feedback(b"\x20\x01", b"\0", count=1)[2:],  # another packet type
        b"\x81" + feedback(b"\x20\x02", b"\0\0", count=2)[1:],  # a NACK
        b"\xaf" + feedback(b"\x20\x02", b"\0\0", count=2)[1:],  # padding of no bytes
        b"\x4f" + feedback(b"\x20\x02", b"\0\0", count=2)[1:],  # version 1
        b"\xaf\xcd\0\1\0\0\0\5",  # more padding than content
    ],
)
def test_a_malformed_packet_is_refused(packet: bytes) -> None:
    with pytest.raises(MalformedFeedback) as raised:
        TransportFeedback.parse(packet)
    assert raised.value.size == len(packet)
    assert raised.value.problem in str(raised.value)


def test_padding_is_no_delta() -> None:
    packet = feedback(b"\x20\x01", b"\0", count=1)
    assert packet[0] & 0x20
    assert TransportFeedback.parse(packet).received == ((0, 0.0),)


def test_equal_packets_make_one_run() -> None:
    (packet,) = FeedbackWriter(1, 2).write(0, [(n, 1.024 + n * 0.001) for n in range(500)])
    assert len(packet) == 20 + 2 + 500 + 2
    assert packet[20:22] == pack("!H", 0x2000 | 500)
    parsed = TransportFeedback.parse(packet)
    assert (parsed.sender_ssrc, parsed.media_ssrc, parsed.base) == (1, 2, 0)


def test_scattered_losses_make_vectors_of_single_bits() -> None:
    numbers = [n for n in range(140) if n % 3]
    (packet,) = FeedbackWriter().write(0, [(n, n * 0.001) for n in numbers])
    assert len(packet) == 20 + 2 * 10 + len(numbers) + -len(numbers) % 4


def test_a_pause_of_more_than_eight_seconds_begins_another_packet() -> None:
    arrivals = [(0, 1.0), (1, 1.01), (3, 9.5), (4, 9.51)]
    packets = FeedbackWriter().write(0, arrivals)
    assert len(packets) == 2
    second = TransportFeedback.parse(packets[1])
    assert (second.base, second.status_count, second.feedback_count) == (2, 3, 1)
    assert arrivals_of(packets, 0)[0] == pytest.approx(dict(arrivals), abs=0.0002)


def test_a_gap_before_the_first_packet_is_covered_as_far_as_numbers_go() -> None:
    (packet,) = FeedbackWriter().write(0, [(100_000, 1.0)])
    parsed = TransportFeedback.parse(packet)
    assert parsed.status_count == MAX_STATUSES
    assert (parsed.base + parsed.received[0][0]) & 0xFFFF == 100_000 & 0xFFFF


def test_a_gap_of_all_numbers_begins_another_packet() -> None:
    packets = FeedbackWriter().write(0, [(0, 1.0), (40_000, 1.1)])
    assert [TransportFeedback.parse(packet).base for packet in packets] == [0, 40_000 - 32_767]


gaps = st.one_of(st.just(1), st.integers(1, 40), st.integers(1, 20_000))
pauses = st.one_of(
    st.floats(0, 0.01), st.floats(-0.3, 0.3), st.floats(-20, 20), st.just(0.0625), st.just(0.063)
)


@settings(deadline=None)
@given(
    start=st.integers(0, 1 << 20),
    lost_before=st.integers(0, 300),
    steps=st.lists(st.tuples(gaps, pauses), min_size=1, max_size=300),
    repeat=st.integers(1, 20),
    max_size=st.sampled_from([64, 100, 301, 1200]),
)
def test_what_is_written_is_read(
    start: int, lost_before: int, steps: list[tuple[int, float]], repeat: int, max_size: int
) -> None:
    number, arrival = start + lost_before - 1, 1e6
    arrivals = []
    for gap, pause in steps * repeat:
        number, arrival = number + gap, max(arrival + pause, 5e5)
        arrivals.append((number, arrival))
    packets = FeedbackWriter(7, 8, max_size).write(start, arrivals)
    assert all(len(packet) <= max_size for packet in packets)
    assert all(len(packet) % 4 == 0 for packet in packets)
    found, covered = arrivals_of(packets, start)
    expected = {n: a % (0x1000000 * 0.064) for n, a in arrivals}
    assert found == pytest.approx(expected, abs=0.00013)
    assert start + covered == arrivals[-1][0] + 1
    counts = [TransportFeedback.parse(packet).feedback_count for packet in packets]
    assert counts == [n & 0xFF for n in range(len(packets))]


@settings(deadline=None)
@given(st.binary(max_size=80), st.integers(0, 0xFFFF))
def test_bytes_of_anybody_are_read_or_refused(content: bytes, count: int) -> None:
    packet = feedback(content, count=count)
    try:
        parsed = TransportFeedback.parse(packet)
    except MalformedFeedback:
        return
    assert len(parsed.received) <= len(content)
    assert all(0 <= offset < parsed.status_count for offset, _ in parsed.received)
