"""Synchronization sources: bounded, followed where they change, missed packets asked for."""

from aiortc.rtp import RtcpRtpfbPacket, RtpPacket
from hypothesis import given, strategies as st

from icefloe.peer.rtp.receive.nack import (
    MAX_GAP,
    MAX_MISSING,
    MAX_PER_NACK,
    MissingPackets,
    nack_batches,
)
from icefloe.peer.rtp.receive.packet_validation import DiscardCounters, read_rtcp
from icefloe.peer.rtp.receive.ssrc import MAX_SOURCES, SOURCE_TIMEOUT, SsrcSelector, SsrcTable


def test_the_source_that_was_silent_for_longest_is_forgotten() -> None:
    sources = SsrcTable()
    assert [sources.note(ssrc) for ssrc in range(MAX_SOURCES)] == [None] * MAX_SOURCES
    assert sources.note(0) is None
    assert sources.note(MAX_SOURCES) == 1
    assert sources.note(MAX_SOURCES + 1) == 2
    assert len(sources) == MAX_SOURCES


def test_a_new_source_is_followed_and_what_is_late_of_the_one_before_is_left_out() -> None:
    choice = SsrcSelector()
    assert choice.current is None
    assert choice.accepts(0.0, 1)
    assert choice.accepts(0.1, 2)
    assert choice.current == 2
    assert not choice.accepts(0.1, 1)
    assert choice.accepts(0.2, 2)
    assert choice.accepts(0.3, 3)
    assert not choice.accepts(0.3, 2)


def test_a_source_comes_back_where_the_other_one_is_silent() -> None:
    choice = SsrcSelector()
    choice.accepts(0.0, 1)
    choice.accepts(1.0, 2)
    assert not choice.accepts(1.0 + SOURCE_TIMEOUT / 2, 1)
    assert choice.accepts(1.0 + SOURCE_TIMEOUT, 1)
    assert not choice.accepts(1.1 + SOURCE_TIMEOUT, 2)


def test_a_bye_of_another_source_changes_nothing() -> None:
    choice = SsrcSelector()
    assert not choice.on_bye([1])
    choice.accepts(0.0, 1)
    choice.accepts(0.1, 2)
    assert not choice.on_bye([])
    assert not choice.on_bye([1, 3])
    assert not choice.accepts(0.2, 1)
    assert choice.on_bye([2])
    assert choice.on_bye([2, 2])
    assert choice.accepts(0.3, 1)


def test_two_sources_that_come_at_the_same_time_do_not_take_turns() -> None:
    choice = SsrcSelector()
    taken = [choice.accepts(n * 0.01, n % 2) for n in range(1000)]
    assert taken == [n == 0 or n % 2 == 1 for n in range(1000)]


@given(st.lists(st.integers(0, 2**32 - 1), max_size=300))
def test_any_number_of_sources_takes_no_more_than_is_said(ssrcs: list[int]) -> None:
    choice = SsrcSelector()
    for n, ssrc in enumerate(ssrcs):
        choice.accepts(n * 0.001, ssrc)
    assert len(choice._previous) <= 16


# --- what is missing


def feed(missing: MissingPackets, *numbers: int) -> list[int]:
    """Take packets; return what the last one has shown."""
    for number in numbers:
        missing.add(RtpPacket(sequence_number=number & 0xFFFF))
    return missing.new


def test_each_number_is_asked_for_once_when_it_is_missed() -> None:
    missing = MissingPackets()
    assert feed(missing, 10, 11, 14) == [12, 13]
    assert feed(missing, 16) == [15]
    assert list(missing.missing) == [12, 13, 15]
    assert feed(missing, 13) == []
    assert list(missing.missing) == [12, 15]
    missing.give_up()
    assert feed(missing, 17) == []
    assert not missing.missing


def test_numbers_wrap_and_what_comes_twice_is_nothing_new() -> None:
    missing = MissingPackets()
    assert feed(missing, 0xFFFE, 1) == [0xFFFF, 0]
    assert feed(missing, 1) == []
    assert feed(missing, 0) == []
    assert list(missing.missing) == [0xFFFF]


def test_of_a_key_frame_of_thousands_all_that_is_missing_stays_known() -> None:
    missing = MissingPackets()
    lost = {n for n in range(4000) if n % 7 == 3}
    feed(missing, *(n for n in range(4000) if n not in lost))
    assert set(missing.missing) == lost


def test_what_is_missing_is_bounded() -> None:
    missing = MissingPackets()
    feed(missing, *range(0, 30000, 2))
    assert list(missing.missing) == list(range(29999 - 2 * MAX_MISSING, 29999, 2))


def test_a_leap_is_a_stream_that_begins_anew() -> None:
    missing = MissingPackets()
    assert len(feed(missing, 1, 1 + MAX_GAP)) == MAX_GAP - 1
    assert feed(missing, 2 + 2 * MAX_GAP) == []
    assert not missing.missing
    assert missing.max_seq == 2 + 2 * MAX_GAP


def test_what_is_asked_for_at_once_fits_into_a_packet() -> None:
    assert [len(some) for some in nack_batches(range(2 * MAX_PER_NACK + 1))] == [
        MAX_PER_NACK,
        MAX_PER_NACK,
        1,
    ]
    assert list(nack_batches([])) == []


@given(st.sets(st.integers(0, 0xFFFF), max_size=600))
def test_requests_can_be_written_and_read(numbers: set[int]) -> None:
    asked: list[int] = []
    for some in nack_batches(numbers):
        written = bytes(RtcpRtpfbPacket(1, 2, 3, lost=some))
        assert len(written) <= 12 + 4 * MAX_PER_NACK
        (packet,) = read_rtcp(written, DiscardCounters())
        assert isinstance(packet, RtcpRtpfbPacket)
        asked += packet.lost
    assert sorted(asked) == sorted(numbers)


@given(st.lists(st.integers(0, 0xFFFF), max_size=200))
def test_no_numbers_do_any_harm(numbers: list[int]) -> None:
    missing = MissingPackets()
    feed(missing, *numbers)
    assert len(missing.missing) <= MAX_MISSING
    assert missing.max_seq not in missing.missing
