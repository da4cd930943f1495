"""Validation of RTP and RTCP: any bytes are read, or dropped and counted."""

import struct

import pytest
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import (
    AnyRtcpPacket,
    RtcpByePacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSdesPacket,
    RtcpSenderInfo,
    RtcpSourceInfo,
    RtcpSrPacket,
    RtpPacket,
    pack_remb_fci,
    pack_rtcp_packet,
)
from hypothesis import given, settings, strategies as st

from icefloe.peer.rtp.receive.packet_validation import (
    MAX_COMPOUND_PARTS,
    MAX_NACK_ENTRIES,
    DiscardCounters,
    HeaderExtensionParser,
    fir_ssrcs,
    read_rtcp,
    read_rtp,
)
from icefloe.peer.rtp.send.rtp_stream import ABS_SEND_TIME, AUDIO_LEVEL, MID

IDS = {MID: 1, AUDIO_LEVEL: 2, ABS_SEND_TIME: 3}


def extensions(discarded: DiscardCounters, ids: dict[str, int] = IDS) -> HeaderExtensionParser:
    known = HeaderExtensionParser(discarded)
    found = [RTCRtpHeaderExtensionParameters(id=id, uri=uri) for uri, id in ids.items()]
    known.configure(RTCRtpParameters(headerExtensions=found))
    return known


def rtp(
    *,
    first: int = 0x80,
    payload: bytes = b"payload",
    profile: int | None = None,
    elements: bytes = b"",
) -> bytes:
    """Return a packet as it is described, whether it makes sense or not."""
    data = struct.pack("!BBHLL", first | (0x10 if profile is not None else 0), 96, 1, 2, 3)
    if profile is not None:
        padded = elements + bytes(-len(elements) % 4)
        data += struct.pack("!HH", profile, len(padded) // 4) + padded
    return data + payload


def read(data: bytes) -> tuple[RtpPacket | None, DiscardCounters]:
    discarded = DiscardCounters()
    return read_rtp(data, extensions(discarded), discarded), discarded


# --- RTP


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        rtp()[:11],
        rtp(first=0x40),
        rtp(first=0x00),
        rtp(first=0xC0),
        rtp(first=0x8F, payload=b""),
        rtp(first=0x8F, payload=bytes(59)),
        rtp(first=0x90, payload=b""),
        rtp(first=0x90, payload=b"\xbe\xde\x00\x02abcd"),
        rtp(first=0xA0, payload=b""),
        rtp(first=0xA0, payload=b"\x00"),
        rtp(first=0xA0, payload=b"abc\x05"),
        rtp(first=0xA0, payload=b"\xff"),
    ],
)
def test_what_does_not_parse_is_dropped_and_counted(data: bytes) -> None:
    packet, discarded = read(data)
    assert packet is None
    assert discarded == DiscardCounters(rtp=1)


def test_padding_is_taken_away() -> None:
    packet, _ = read(rtp(first=0xA0, payload=b"abc\x00\x02"))
    assert packet is not None
    assert (packet.payload, packet.padding_size) == (b"abc", 2)


@pytest.mark.parametrize(
    ("profile", "elements", "dropped"),
    [
        # The ids are those of other extensions than the sender means.
        (0xBEDE, b"\x30a" + b"\x100", 1),
        (0xBEDE, b"\x22abc" + b"\x100", 0),
        (0xBEDE, b"\x37abcdefgh" + b"\x100", 1),
        # The mid is no text.
        (0xBEDE, b"\x32\x00\x00\x01" + b"\x11\xff\xfe", 1),
        # They are longer than the packet.
        (0xBEDE, b"\x100" + b"\x3fa", 1),
        (0x1000, b"\x01\x010" + b"\x03\xff", 1),
        (0x1000, b"\x01\x010\x03", 1),
        # There are no bytes of them (RFC 8285 section 4.3).
        (0x1000, b"\x02\x00\x03\x00\x01\x010", 2),
        # Padding, an id that is not known, a reserved one, application bits, another profile.
        (0xBEDE, b"\x00\x00\x100\x00", 0),
        (0xBEDE, b"\x40x\x100", 0),
        (0xBEDE, b"\x100\xf0\x30a", 0),
        (0x1007, b"\x01\x010", 0),
        (0xABCD, b"anything", 0),
        (0xBEDE, b"", 0),
    ],
)
def test_an_extension_that_is_not_what_was_negotiated_does_not_cost_the_packet(
    profile: int, elements: bytes, dropped: int
) -> None:
    packet, discarded = read(rtp(profile=profile, elements=elements))
    assert packet is not None
    assert packet.payload == b"payload"
    assert discarded == DiscardCounters(extensions=dropped)
    if b"\x100" in elements or b"\x01\x010" in elements:
        assert packet.extensions.mid == "0"


def test_extensions_are_read() -> None:
    data = rtp(profile=0xBEDE, elements=b"\x100" + b"\x20\x85" + b"\x32\x01\x02\x03")
    packet, _ = read(data)
    assert packet is not None
    found = packet.extensions
    assert (found.mid, found.audio_level, found.abs_send_time) == ("0", (True, 5), 0x010203)


def test_ids_of_an_earlier_description_stay_known() -> None:
    discarded = DiscardCounters()
    known = extensions(discarded)
    later = [RTCRtpHeaderExtensionParameters(id=9, uri=MID)]
    known.configure(RTCRtpParameters(headerExtensions=later))
    for element in (b"\x10a", b"\x90a"):
        packet = read_rtp(rtp(profile=0xBEDE, elements=element), known, discarded)
        assert packet is not None
        assert packet.extensions.mid == "a"


# --- RTCP

INFO = RtcpReceiverInfo(7, 0, 0, 0, 0, 0, 0)
GOOD = bytes(RtcpRrPacket(ssrc=1, reports=[INFO]))
BYE = bytes(RtcpByePacket(sources=[1, 1, 2]))


def test_all_parts_of_a_compound_packet_are_read() -> None:
    discarded = DiscardCounters()
    sent: list[AnyRtcpPacket] = [
        RtcpSrPacket(1, RtcpSenderInfo(2, 3, 4, 5), [INFO, INFO]),
        RtcpSdesPacket([RtcpSourceInfo(1, [(1, b"name")])]),
        RtcpRtpfbPacket(1, 1, 2, [5, 6, 30]),
        RtcpPsfbPacket(1, 1, 2),
        RtcpByePacket([1]),
    ]
    assert read_rtcp(b"".join(bytes(each) for each in sent), discarded) == sent
    assert discarded == DiscardCounters()


@pytest.mark.parametrize(
    "bad",
    [
        # A report of fewer bytes than it says, a BYE likewise, a source without a name.
        pack_rtcp_packet(201, 2, bytes(28)),
        pack_rtcp_packet(200, 0, bytes(20)),
        pack_rtcp_packet(203, 31, bytes(8)),
        pack_rtcp_packet(202, 1, b""),
        pack_rtcp_packet(202, 1, b"\0\0\0\1\1\xffab"),
        # Feedback without its addresses, or with half an entry.
        pack_rtcp_packet(205, 1, bytes(4)),
        pack_rtcp_packet(206, 1, b""),
        pack_rtcp_packet(206, 4, bytes(8) + b"\0\0\0\1"),
        # An estimate for more sources than there are, or for none and cut off.
        pack_rtcp_packet(206, 15, bytes(8) + b"REMB\xff\x04\x00\x01" + bytes(4)),
        pack_rtcp_packet(206, 15, bytes(8) + b"REMB"),
        # Padding of more than there is, or of none.
        b"\xa1" + GOOD[1:-1] + b"\xff",
        b"\xa1" + GOOD[1:-1] + b"\x00",
        b"\xa0\xc9\x00\x00",
    ],
)
def test_a_part_that_does_not_parse_does_not_cost_the_others(bad: bytes) -> None:
    discarded = DiscardCounters()
    packets = read_rtcp(GOOD + bad + BYE, discarded)
    assert [type(packet) for packet in packets] == [RtcpRrPacket, RtcpByePacket]
    assert discarded == DiscardCounters(rtcp=1)


@pytest.mark.parametrize("bad", [b"\x81", b"\x81\xc9\x00", b"\x81\xc9\x00\x63abcd", b"\x01" * 8])
def test_what_comes_after_lengths_that_lie_is_dropped(bad: bytes) -> None:
    discarded = DiscardCounters()
    assert len(read_rtcp(GOOD + bad, discarded)) == 1
    assert discarded == DiscardCounters(rtcp=1)


def test_what_a_profile_adds_to_a_report_is_passed_over() -> None:
    discarded = DiscardCounters()
    report = bytes(RtcpSrPacket(1, RtcpSenderInfo(2, 3, 4, 5), [INFO]))
    longer = report[:2] + (len(report) // 4 + 1).to_bytes(2, "big") + report[4:] + bytes(8)
    receiver = GOOD[:2] + (len(GOOD) // 4).to_bytes(2, "big") + GOOD[4:] + bytes(4)
    assert read_rtcp(longer + receiver + BYE, discarded) == read_rtcp(
        report + GOOD + BYE, discarded
    )
    assert discarded == DiscardCounters()


def test_types_that_are_not_known_are_passed_over() -> None:
    discarded = DiscardCounters()
    unknown = b"".join(pack_rtcp_packet(kind, 3, bytes(12)) for kind in (192, 204, 207, 208))
    assert len(read_rtcp(unknown + GOOD, discarded)) == 1
    assert discarded == DiscardCounters()


def test_numbers_that_are_missing_wrap() -> None:
    (packet,) = read_rtcp(
        pack_rtcp_packet(205, 1, bytes(8) + struct.pack("!HH", 0xFFFE, 7)), DiscardCounters()
    )
    assert isinstance(packet, RtcpRtpfbPacket)
    assert packet.lost == [0xFFFE, 0xFFFF, 0, 1]


def test_what_one_datagram_can_ask_for_is_bounded() -> None:
    entries = struct.pack("!HH", 1, 0xFFFF) * 16000
    (packet,) = read_rtcp(pack_rtcp_packet(205, 1, bytes(8) + entries), DiscardCounters())
    assert isinstance(packet, RtcpRtpfbPacket)
    assert len(packet.lost) == 17 * MAX_NACK_ENTRIES
    discarded = DiscardCounters()
    assert len(read_rtcp(BYE * 2000, discarded)) == MAX_COMPOUND_PARTS
    assert discarded.rtcp == 1


def test_a_full_intra_request_names_its_sources_within() -> None:
    entries = struct.pack("!LBxxxLBxxx", 0x11223344, 1, 0x55667788, 9)
    (packet,) = read_rtcp(pack_rtcp_packet(206, 4, bytes(8) + entries), DiscardCounters())
    assert fir_ssrcs(packet) == [0x11223344, 0x55667788]
    (packet,) = read_rtcp(
        bytes(RtcpPsfbPacket(15, 1, 0, pack_remb_fci(9000, [5]))), DiscardCounters()
    )
    assert fir_ssrcs(packet) == []


# --- anything


@settings(max_examples=400)
@given(st.binary(max_size=120), st.booleans())
def test_no_bytes_do_any_harm(data: bytes, begins_well: bool) -> None:
    if begins_well and data:
        data = bytes([data[0] & 0x3F | 0x80]) + data[1:]
    discarded = DiscardCounters()
    packet = read_rtp(data, extensions(discarded), discarded)
    assert (packet is None) == bool(discarded.rtp)
    if packet is not None:
        assert len(packet.payload) <= len(data) - 12


COUNTED = st.tuples(
    st.integers(0, 63), st.integers(192, 223), st.integers(0, 30), st.binary(max_size=80)
)


@settings(max_examples=400)
@given(st.lists(COUNTED, max_size=6), st.binary(max_size=6))
def test_no_parts_do_any_harm(parts: list[tuple[int, int, int, bytes]], rest: bytes) -> None:
    data = b"".join(
        struct.pack("!BBH", 0x80 | first, kind, length) + (body + bytes(120))[: 4 * length]
        for first, kind, length, body in parts
    )
    discarded = DiscardCounters()
    packets = read_rtcp(data + rest, discarded)
    assert len(packets) + discarded.rtcp <= len(parts) + 2
    for packet in packets:
        fir_ssrcs(packet)


@settings(max_examples=300)
@given(st.sampled_from([0xBEDE, 0x1000, 0x100F]), st.binary(max_size=60))
def test_no_elements_do_any_harm(profile: int, elements: bytes) -> None:
    packet, discarded = read(rtp(profile=profile, elements=elements))
    assert packet is not None
    assert discarded.rtp == 0
