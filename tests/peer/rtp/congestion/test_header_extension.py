"""The transport-wide sequence number in packets as they are on the wire."""

import pytest
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import HeaderExtensions, HeaderExtensionsMap, RtpPacket
from hypothesis import given, strategies as st

from icefloe.peer.rtp.congestion.header_extension import (
    URI,
    transport_sequence_number,
    with_transport_sequence_number,
)


def packet(
    elements: bytes, *, profile: int = 0xBEDE, csrcs: int = 0, payload: bytes = b""
) -> bytes:
    """Return an RTP packet with header extensions."""
    padded = elements + bytes(-len(elements) % 4)
    header = bytes((0x90 | csrcs, 96)) + bytes(10) + bytes(4 * csrcs)
    extension = profile.to_bytes(2, "big") + (len(padded) // 4).to_bytes(2, "big") + padded
    return header + extension + payload


@pytest.mark.parametrize("csrcs", [0, 15])
def test_one_byte_elements(csrcs: int) -> None:
    data = packet(b"\x10a\0\x22abc\x51\x12\x34", csrcs=csrcs, payload=b"media")
    assert transport_sequence_number(data, 5) == 0x1234
    assert transport_sequence_number(data, 4) is None
    assert transport_sequence_number(data, 1) is None, "it has another length"


def test_two_byte_elements() -> None:
    data = packet(b"\x01\x00\x02\x01a\0\xc8\x02\xab\xcd", profile=0x1000)
    assert transport_sequence_number(data, 200) == 0xABCD
    assert transport_sequence_number(data, 1) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x90" + bytes(11),
        b"\x80" + packet(b"\x51\x12\x34")[1:],  # without extensions
        b"\x50" + packet(b"\x51\x12\x34")[1:],  # version 1
        packet(b"\x51\x12\x34")[:-1],  # cut
        packet(b"\xf0\0\x51\x12\x34"),  # the reserved id ends it
        packet(b"\x20\x00\x00\x51"),  # an element without content
        packet(b"\x51\x12\x34", profile=0x1234),
        packet(b"\x00\x00\x05", profile=0x1000)[:-1] + b"\x02",
    ],
)
def test_a_packet_without_the_number(data: bytes) -> None:
    assert transport_sequence_number(data, 5) is None
    assert with_transport_sequence_number(data, 5, 1) == data


def test_a_number_is_written_over_another() -> None:
    before = packet(b"\x10a\x51\0\0\x30a", payload=b"media")
    after = with_transport_sequence_number(before, 5, 0x1FFFE)
    assert transport_sequence_number(after, 5) == 0xFFFE
    assert after == packet(b"\x10a\x51\xff\xfe\x30a", payload=b"media")


def test_it_reads_what_aiortc_writes() -> None:
    extensions = HeaderExtensionsMap()
    told = [
        RTCRtpHeaderExtensionParameters(id=1, uri="urn:ietf:params:rtp-hdrext:sdes:mid"),
        RTCRtpHeaderExtensionParameters(id=9, uri=URI),
    ]
    extensions.configure(RTCRtpParameters(headerExtensions=told))
    made = RtpPacket(payload_type=96, payload=b"media")
    made.extensions = HeaderExtensions(mid="0", transport_sequence_number=77)
    data = made.serialize(extensions)
    assert transport_sequence_number(data, 9) == 77
    again = RtpPacket.parse(with_transport_sequence_number(data, 9, 78), extensions)
    assert again.extensions.transport_sequence_number == 78
    assert again.payload == b"media"


@given(st.binary(max_size=60), st.integers(1, 255), st.booleans())
def test_any_bytes(data: bytes, id: int, is_rtp: bool) -> None:
    if is_rtp and data:
        data = b"\x90" + data[1:]
    number = transport_sequence_number(data, id)
    changed = with_transport_sequence_number(data, id, 0x4321)
    assert len(changed) == len(data)
    assert transport_sequence_number(changed, id) == (None if number is None else 0x4321)
