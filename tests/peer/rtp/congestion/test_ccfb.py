"""Congestion control feedback of RFC 8888."""

from struct import pack

import pytest
from hypothesis import given, strategies as st

from icefloe.peer.rtp.congestion.ccfb import (
    MAX_REPORTS,
    MAX_STREAMS,
    Arrival,
    CongestionFeedback,
    StreamReport,
)
from icefloe.peer.rtp.congestion.errors import MalformedFeedback


def feedback(content: bytes) -> bytes:
    """Return a feedback packet made by hand."""
    return b"\x8b\xcd" + pack("!H", len(content) // 4) + content


def test_a_packet_made_by_hand() -> None:
    blocks = pack("!HHHH", 0x8000 | 512, 0, 0xE000 | 0x1FFE, 0xA000 | 0x1FFF)
    odd = pack("!HH", 0xC000, 0)  # with padding
    packet = feedback(
        pack("!L", 1) + pack("!LHH", 2, 65535, 4) + blocks + pack("!LHH", 3, 7, 1) + odd
        + pack("!L", 0x12345678)
    )  # fmt: skip
    parsed = CongestionFeedback.parse(packet)
    first = Arrival(0.5, 0), None, Arrival(None, 3), Arrival(None, 1)
    assert parsed == CongestionFeedback(
        1, 0x12345678, (StreamReport(2, 65535, first), StreamReport(3, 7, (Arrival(0.0, 2),)))
    )


def test_without_streams() -> None:
    empty = CongestionFeedback(1, 2, ())
    (packet,) = empty.serialize()
    assert CongestionFeedback.parse(packet) == empty


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        feedback(bytes(4)),
        feedback(bytes(4) + pack("!LHH", 1, 1, 3) + bytes(4) + bytes(4)),  # fewer than it says
        feedback(bytes(4) + pack("!LHH", 1, 1, 1) + bytes(4)),
        feedback(bytes(4) + pack("!L", 1) + bytes(4)),
        feedback(bytes(4) + pack("!LHH", 1, 1, MAX_REPORTS + 2) + bytes(2 * MAX_REPORTS + 8)),
        feedback(bytes(4) + pack("!LHH", 1, 1, 0) * (MAX_STREAMS + 1) + bytes(4)),
        feedback(bytes(12))[:-1],
        b"\x8f" + feedback(bytes(12))[1:],
    ],
)
def test_a_malformed_packet_is_refused(packet: bytes) -> None:
    with pytest.raises(MalformedFeedback):
        CongestionFeedback.parse(packet)


def test_an_age_out_of_range_is_told_as_unknown() -> None:
    told = Arrival(9.0), Arrival(-1.0), Arrival(None)
    (packet,) = CongestionFeedback(1, 2, (StreamReport(1, 0, told),)).serialize()
    (stream,) = CongestionFeedback.parse(packet).streams
    assert stream.arrivals == (Arrival(None), Arrival(0.0), Arrival(None))


def joined(packets: list[bytes]) -> list[tuple[int, int, Arrival | None]]:
    """Return the SSRC, the number and the arrival of each packet that is told about."""
    return [
        (stream.ssrc, (stream.begin + index) & 0xFFFF, arrival)
        for packet in packets
        for stream in CongestionFeedback.parse(packet).streams
        for index, arrival in enumerate(stream.arrivals)
    ]


arrivals = st.none() | st.builds(
    Arrival, st.integers(0, 8189).map(lambda units: units / 1024), st.integers(0, 3)
)
streams = st.builds(
    StreamReport,
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 0xFFFF),
    st.lists(arrivals, max_size=60).map(tuple),
)


@given(st.lists(streams, max_size=8).map(tuple), st.sampled_from([24, 61, 300, 1200]))
def test_what_is_written_is_read(reports: tuple[StreamReport, ...], max_size: int) -> None:
    packets = CongestionFeedback(5, 6, reports).serialize(max_size)
    assert all(len(packet) <= max_size and len(packet) % 4 == 0 for packet in packets)
    assert joined(packets) == [
        (stream.ssrc, (stream.begin + index) & 0xFFFF, arrival)
        for stream in reports
        for index, arrival in enumerate(stream.arrivals)
    ]
    if max_size == 1200 and len(packets) == 1:
        assert CongestionFeedback.parse(packets[0]).streams == reports


@given(st.binary(max_size=100))
def test_bytes_of_anybody_are_read_or_refused(content: bytes) -> None:
    try:
        parsed = CongestionFeedback.parse(feedback(content[: len(content) // 4 * 4]))
    except MalformedFeedback:
        return
    assert 2 * sum(len(stream.arrivals) for stream in parsed.streams) <= len(content)
