"""Feedback on packets, and the numbers that it is about: into an estimator and a recorder."""

from collections.abc import Sequence
from struct import pack

from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters

from icefloe.peer.rtp.congestion import ccfb
from icefloe.peer.rtp.congestion.ccfb import Arrival, CongestionFeedback, StreamReport
from icefloe.peer.rtp.congestion.errors import MalformedFeedback
from icefloe.peer.rtp.congestion.estimator import BandwidthEstimator
from icefloe.peer.rtp.congestion.feedback_reader import TransportFeedbackReader
from icefloe.peer.rtp.congestion.feedback_recorder import FeedbackRecorder
from icefloe.peer.rtp.congestion.header_extension import URI
from icefloe.peer.rtp.congestion.rtcp_framing import MAX_SIZE
from icefloe.peer.rtp.congestion.stream_feedback_reader import StreamFeedbackReader
from icefloe.peer.rtp.congestion.stream_recorder import MAX_REPORTED, StreamRecorder
from icefloe.peer.rtp.congestion.transport_feedback import FeedbackWriter, TransportFeedback
from icefloe.peer.rtp.receive.packet_validation import (
    DiscardCounters,
    HeaderExtensionParser,
    read_rtp,
)
from tests.fuzz.target import Target, join, split, stateless

SENT = 50
"""Packets that feedback may be about."""

ID = 5
"""The negotiated number of the header extension."""

RTCP = range(192, 224)
"""Packet types that tell RTCP from RTP (RFC 5761 section 4)."""


def run(data: bytes) -> int:
    """Give the packets of one input to a sender and a receiver; return how many were refused."""
    estimator, recorder = BandwidthEstimator(1.0), FeedbackRecorder(1)
    history = estimator.history
    reader, stream_reader = TransportFeedbackReader(history), StreamFeedbackReader()
    stream_recorder = StreamRecorder(1)
    for n in range(SENT):
        sent = estimator.on_sent(100, 1.0)
        stream_reader.on_sent(pack("!HHLL", 0, (65530 + n) & 0xFFFF, 0, 1 + n % 2), sent.number)
    refused = 0
    extensions_discarded = DiscardCounters()
    extensions = HeaderExtensionParser(extensions_discarded)
    extensions.configure(
        RTCRtpParameters(headerExtensions=[RTCRtpHeaderExtensionParameters(id=ID, uri=URI)])
    )
    for index, packet in enumerate(split(data)):
        now = 1 + index / 64
        if len(packet) < 2 or packet[1] not in RTCP:
            read = read_rtp(packet, extensions, extensions_discarded)
            if read is None:
                continue
            stream_recorder.on_packet(read.ssrc, read.sequence_number, now, len(packet))
            if (number := read.extensions.transport_sequence_number) is not None:
                recorder.on_packet(number, now, len(packet), 2)
            continue
        try:
            if packet[0] & 0x1F == ccfb.FORMAT:
                feedback = CongestionFeedback.parse(packet)
                again = [CongestionFeedback.parse(one) for one in feedback.serialize()]
                assert sum(map(_told, again)) == _told(feedback)
                results = stream_reader.read(feedback)
                assert len(results) <= _told(feedback)
            else:
                results = reader.read(TransportFeedback.parse(packet))
                assert len(results) <= SENT + len(packet)
        except MalformedFeedback:
            refused += 1
            continue
        estimator.on_feedback(results, now)
        assert 0 <= history.bytes_in_flight == 100 * len(history)
        for report in recorder.handle_timeout(now):
            TransportFeedback.parse(report)
        for report in stream_recorder.handle_timeout(now, int(now * (1 << 32))):
            CongestionFeedback.parse(report)
    by_stream = stream_recorder.handle_timeout(100.0, 100 << 32)
    assert all(len(report) <= MAX_SIZE for report in by_stream)
    assert sum(_told(CongestionFeedback.parse(report)) for report in by_stream) <= MAX_REPORTED
    for report in recorder.handle_timeout(100.0):
        assert len(report) <= MAX_SIZE
        TransportFeedback.parse(report)
    return refused


def _told(feedback: CongestionFeedback) -> int:
    return sum(len(stream.arrivals) for stream in feedback.streams)


def _rtp(number: int, *, two_bytes: bool = False, ssrc: int = 0, sequence: int = 0) -> bytes:
    element = bytes((ID, 2)) if two_bytes else bytes((ID << 4 | 1,))
    element += pack("!H", number & 0xFFFF)
    profile = 0x1000 if two_bytes else 0xBEDE
    elements = b"\x10a" + element if not two_bytes else element
    elements += bytes(-len(elements) % 4)
    return (
        pack("!BBHLL", 0x90, 96, sequence & 0xFFFF, 0, ssrc)
        + pack("!HH", profile, len(elements) // 4)
        + elements
    )


def _feedback(numbers: Sequence[int], step: float = 0.001) -> list[bytes]:
    return FeedbackWriter(1, 2).write(0, [(n, 100 + n * step) for n in numbers])


def seeds() -> Sequence[bytes]:
    """Return feedback with each kind of chunk and delta, forged feedback, and packets."""
    arrivals = (Arrival(0.5), None, Arrival(None, 3), Arrival(0.001, 1))
    streams = StreamReport(1, 65534, arrivals), StreamReport(2, 0, arrivals[:3])
    own = StreamReport(1, 65530, arrivals), StreamReport(2, 65531, arrivals * 9)
    run = pack("!LLHHL", 1, 2, 0, 32768, 1 << 8) + pack("!HHHH", 8191, 8191, 8191, 8191)
    forged = b"\x8f\xcd" + pack("!H", 2 + len(run) // 4) + run + pack("!HHHH", 3, 0x2001, 0, 0)
    return [
        join(_feedback(range(SENT))),
        join(_feedback(range(0, SENT, 3))),
        join(_feedback(range(SENT), 0.1)),
        join(_feedback([n for n in range(SENT) if n % 7 != 3], -0.002)),
        join(_feedback([0, 1, 40_000, 49_000, 80_000])),
        join(_feedback(range(10)) * 3 + _feedback(range(5, 20))),
        join([forged] * 8),
        join(CongestionFeedback(1, 2, streams).serialize()),
        join([*CongestionFeedback(1, 2, own).serialize() * 3, _rtp(1), _rtp(2)]),
        join([_rtp(n, ssrc=n % 40, sequence=n * 300) for n in range(99)]),
        join([_rtp(n) for n in (65534, 65535, 0, 2, 1, 2, 9, 300)]),
        join([_rtp(n * 30_000, two_bytes=n % 2 == 0) for n in range(12)]),
        join([_rtp(1), *_feedback(range(9)), _rtp(700), *_feedback(range(SENT)), _rtp(2)]),
    ]


TARGET = Target(
    name="transport-feedback",
    seeds=seeds,
    tokens=(
        b"\x8f\xcd",
        b"\xaf\xcd",
        b"\x8b\xcd",
        b"\x90\x60",
        b"\xbe\xde",
        b"\x10\x00",
        b"\x1f\xff",
        b"\x20\x01",
        b"\x3f\xff",
        b"\x5f\xff",
        b"\x60\x01",
        b"\xbf\xff",
        b"\xd5\x55",
        b"\xea\xaa",
        b"\x80\x00",
        b"\x7f\xff",
        b"\xff\xff",
    ),
    documented=(),
    start=lambda: stateless(run),
)
