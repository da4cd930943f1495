"""Outgoing RTP, read back by aiortc's parser."""

import pytest
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import HeaderExtensionsMap, RtpPacket, unwrap_rtx

from icefloe.peer.rtp.congestion.header_extension import URI as TRANSPORT_NUMBER
from icefloe.peer.rtp.send.remb_rate_control import RembRateControl
from icefloe.peer.rtp.send.rtp_stream import (
    ABS_SEND_TIME,
    AUDIO_LEVEL,
    HISTORY,
    MAX_RETRANSMISSIONS,
    MID,
    MIN_BUDGET,
    MIN_RETRANSMISSION_INTERVAL,
    RtpStream,
    ntp_time,
)

SSRC, RTX_SSRC = 0x11223344, 0x55667788
CLOCK = 90000


def reading(extensions: dict[str, int]) -> HeaderExtensionsMap:
    ids = HeaderExtensionsMap()
    known = [RTCRtpHeaderExtensionParameters(id=id, uri=uri) for uri, id in extensions.items()]
    ids.configure(RTCRtpParameters(headerExtensions=known))
    return ids


def make(extensions: dict[str, int], mid: str = "0") -> RtpStream:
    stream = RtpStream(SSRC, RTX_SSRC)
    stream.configure(list(extensions.items()), mid)
    return stream


@pytest.mark.parametrize(
    ("extensions", "mid"),
    [
        ({}, "0"),
        ({MID: 1}, "video"),
        ({MID: 4, ABS_SEND_TIME: 3, AUDIO_LEVEL: 2}, "0"),
        ({ABS_SEND_TIME: 14}, ""),
        ({MID: 4, ABS_SEND_TIME: 15, AUDIO_LEVEL: 200}, "0"),
        ({MID: 1, ABS_SEND_TIME: 2}, "a-name-of-more-than-sixteen-bytes"),
        ({TRANSPORT_NUMBER: 3}, ""),
        ({MID: 4, ABS_SEND_TIME: 2, TRANSPORT_NUMBER: 3, AUDIO_LEVEL: 1}, "0"),
        ({MID: 4, ABS_SEND_TIME: 2, TRANSPORT_NUMBER: 33, AUDIO_LEVEL: 1}, "0"),
    ],
)
def test_aiortc_reads_what_was_written(extensions: dict[str, int], mid: str) -> None:
    ntp = ntp_time()
    stream = make(extensions, mid)
    payloads = [b"one", b"two" * 300, b"three"]
    raw = stream.packetize(payloads, payload_type=97, timestamp=77, ntp=ntp, level=30)
    raw = [stream.stamp.written(each, ntp=ntp, number=0x12345) for each in raw]
    packets = [RtpPacket.parse(each, reading(extensions)) for each in raw]
    first = packets[0].sequence_number
    assert [packet.payload for packet in packets] == payloads
    assert [packet.sequence_number for packet in packets] == [first, first + 1, first + 2]
    assert [packet.marker for packet in packets] == [0, 0, 1]
    for packet in packets:
        assert (packet.ssrc, packet.payload_type, packet.timestamp) == (SSRC, 97, 77)
        found = packet.extensions
        assert found.mid == (mid if mid and MID in extensions else None)
        sent = ntp >> 14 & 0xFFFFFF
        assert found.abs_send_time == (sent if ABS_SEND_TIME in extensions else None)
        number = 0x2345 if TRANSPORT_NUMBER in extensions else None
        assert found.transport_sequence_number == number
        assert found.audio_level == ((False, 30) if AUDIO_LEVEL in extensions else None)
    assert (stream.packets, stream.octets) == (3, 908)


def test_the_same_payload_is_kept_once_for_all_peers() -> None:
    payload = b"shared" * 100
    streams = [make({MID: 1}) for _ in range(3)]
    for stream in streams:
        stream.packetize([payload], payload_type=97, timestamp=1, ntp=0)
    kept = [next(iter(stream._history.values())).payload for stream in streams]
    assert all(each is payload for each in kept)


def test_what_is_lost_is_sent_again_on_the_stream_for_it() -> None:
    stream = make({MID: 1})
    raw = stream.packetize([b"a", b"b", b"c"], payload_type=97, timestamp=5, ntp=0)
    numbers = [RtpPacket.parse(each).sequence_number for each in raw]
    again = stream.retransmit([numbers[1], numbers[2], numbers[2] + 1], rtx_type=98, ntp=0)
    repaired = [RtpPacket.parse(each) for each in again]
    assert [(packet.ssrc, packet.payload_type) for packet in repaired] == [(RTX_SSRC, 98)] * 2
    whole = [unwrap_rtx(packet, payload_type=97, ssrc=SSRC) for packet in repaired]
    assert [(p.payload, p.sequence_number, p.marker) for p in whole] == [
        (b"b", numbers[1], 0),
        (b"c", numbers[2], 1),
    ]
    assert repaired[1].sequence_number == repaired[0].sequence_number + 1 & 0xFFFF
    assert (stream.packets, stream.retransmitted_packets, stream.retransmitted_octets) == (3, 2, 6)


def test_without_such_a_stream_it_is_sent_again_as_it_was() -> None:
    stream = make({MID: 1})
    raw = stream.packetize([b"a"], payload_type=97, timestamp=5, ntp=0)
    number = RtpPacket.parse(raw[0]).sequence_number
    assert stream.retransmit([number], rtx_type=None, ntp=0) == raw


def test_what_is_too_old_is_not_and_a_request_has_a_limit() -> None:
    stream = make({})
    raw = stream.packetize([b"x"] * (HISTORY + 10), payload_type=97, timestamp=5, ntp=0)
    numbers = [RtpPacket.parse(each).sequence_number for each in raw]
    assert stream.retransmit(numbers[:10], rtx_type=98, ntp=0) == []
    assert stream.refused_retransmissions == 0  # nobody remembers them
    assert len(stream.retransmit(numbers, rtx_type=98, ntp=0)) == MAX_RETRANSMISSIONS
    assert stream.refused_retransmissions == HISTORY - MAX_RETRANSMISSIONS


def test_what_is_refused_for_the_budget_is_counted() -> None:
    stream = make({})
    size = 1000
    raw = stream.packetize([bytes(size)] * 100, payload_type=97, timestamp=5, ntp=0)
    numbers = [RtpPacket.parse(each).sequence_number for each in raw]
    pause = int(MIN_RETRANSMISSION_INTERVAL * (1 << 32)) + 1
    again = sum(len(stream.retransmit(numbers, rtx_type=98, ntp=n * pause)) for n in range(1, 6))
    assert again * size <= MIN_BUDGET + 100 * size
    assert (stream.retransmitted_packets, stream.refused_retransmissions) == (again, 500 - again)
    # Whoever asks again before the answer can have come is not counted as refused.
    stream.retransmit(numbers, rtx_type=98, ntp=5 * pause)
    assert stream.refused_retransmissions <= 600 - again


# --- rates


def test_nothing_is_known_at_first_and_an_estimate_counts() -> None:
    control = RembRateControl()
    assert control.bitrate(0) is None
    control.on_estimate(700_000, 1_000_000, 1.0)
    assert control.bitrate(2.0) == 700_000
    assert control.bitrate(100.0) is None  # nobody renewed it


def test_an_estimate_that_only_says_how_little_was_sent_lowers_nothing() -> None:
    control = RembRateControl()
    control.on_estimate(165_000, 110_000, 1.0)  # of a picture in which nothing moves
    assert control.bitrate(1.0) is None
    control.on_estimate(800_000, 1_000_000, 2.0)  # that is congestion
    control.on_estimate(165_000, 110_000, 3.0)
    assert control.bitrate(3.0) == 800_000
    control.on_estimate(900_000, 700_000, 4.0)
    assert control.bitrate(4.0) == 900_000
    control.on_estimate(600_000, None, 5.0)
    assert control.bitrate(5.0) == 900_000


def test_loss_bounds_the_rate_and_its_absence_frees_it() -> None:
    control = RembRateControl()
    control.on_estimate(5_000_000, 6_000_000, 0.0)
    control.on_report(0.05, 0.05, 1_000_000, 0.5)
    assert control.bitrate(1.0) == 5_000_000
    control.on_report(0.2, 0.05, 1_000_000, 1.0)
    assert control.bitrate(1.0) == 900_000
    control.on_report(0.2, 0.05, 1_000_000, 1.1)  # of the same congestion
    assert control.bitrate(1.1) == 900_000
    rates = []
    for second in range(2, 30):
        control.on_report(0.0, 0.05, 900_000, second)
        control.on_estimate(5_000_000, 900_000, second)
        rates.append(control.bitrate(second))
    assert rates == sorted(rates, key=lambda rate: rate or 0)
    assert rates[0] == 972_000
    assert rates[-1] == 5_000_000


def test_a_report_before_anything_was_sent_changes_nothing() -> None:
    control = RembRateControl()
    control.on_report(1.0, None, None, 1.0)
    assert control.bitrate(1.0) is None
    assert control.loss == 1.0
