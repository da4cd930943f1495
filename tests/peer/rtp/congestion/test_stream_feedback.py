"""Feedback of RFC 8888: what the receiver records, and what the sender makes of it."""

from functools import partial

import pytest

from icefloe.peer.rtp.congestion.ccfb import Arrival, CongestionFeedback, StreamReport
from icefloe.peer.rtp.congestion.packets import PacketResult
from icefloe.peer.rtp.congestion.report_schedule import GATHERING, MAX_UNREPORTED
from icefloe.peer.rtp.congestion.sent_history import MAX_PACKETS
from icefloe.peer.rtp.congestion.stream_feedback_reader import StreamFeedbackReader
from icefloe.peer.rtp.congestion.stream_recorder import (
    MAX_GAP,
    MAX_LATE,
    MAX_REPORTED,
    MAX_STREAMS,
    StreamRecorder,
)
from tests.peer.rtp.congestion.link import Flow, Link, World


def reported(recorder: StreamRecorder, now: float) -> dict[int, tuple[int, str]]:
    """Return what is reported of each SSRC: the first number, and which packets came."""
    found = {}
    for packet in recorder.handle_timeout(now, int(now * (1 << 32))):
        for stream in CongestionFeedback.parse(packet).streams:
            came = "".join("-" if arrival is None else "x" for arrival in stream.arrivals)
            found[stream.ssrc] = stream.begin, came
    return found


def rtp(ssrc: int, number: int) -> bytes:
    return b"\x80\x60" + number.to_bytes(2, "big") + bytes(4) + ssrc.to_bytes(4, "big")


def test_each_stream_is_reported_by_its_own_numbers() -> None:
    recorder = StreamRecorder(7)
    for number in (65535, 0, 2):
        recorder.on_packet(1, number, 1.0, 1000)
    recorder.on_packet(2, 500, 1.0, 1000)
    assert recorder.deadline == 1.0 + GATHERING
    assert reported(recorder, 1.0) == {}
    assert reported(recorder, 2.0) == {1: (65535, "xx-x"), 2: (500, "x")}
    assert recorder.deadline == float("inf")
    recorder.on_packet(1, 4, 2.0, 1000)
    assert reported(recorder, 3.0) == {1: (3, "-x")}, "a stream of which nothing came is left out"


def test_the_age_of_an_arrival_is_told() -> None:
    recorder = StreamRecorder(7)
    recorder.on_packet(1, 5, 1.0, 1000)
    recorder.on_packet(1, 6, 1.5, 1000)
    (packet,) = recorder.handle_timeout(2.0, 2 << 32)
    feedback = CongestionFeedback.parse(packet)
    assert (feedback.sender_ssrc, feedback.timestamp) == (7, 2 << 16)
    assert feedback.streams == (StreamReport(1, 5, (Arrival(1.0), Arrival(0.5))),)


def test_a_packet_that_comes_late_is_reported_with_those_after_it() -> None:
    recorder = StreamRecorder()
    for number in (1, 3):
        recorder.on_packet(1, number, 1.0, 1000)
    reported(recorder, 2.0)
    recorder.on_packet(1, 2, 2.0, 1000)
    assert reported(recorder, 3.0) == {1: (2, "xx")}
    recorder.on_packet(1, 2, 3.0, 1000)
    assert recorder.deadline == float("inf"), "the first arrival counts"


def test_a_long_gap_begins_anew() -> None:
    recorder = StreamRecorder()
    recorder.on_packet(1, 0, 1.0, 1000)
    recorder.on_packet(1, MAX_GAP, 1.0, 1000)
    assert reported(recorder, 2.0) == {1: (0, "x" + "-" * (MAX_GAP - 1) + "x")}
    recorder.on_packet(1, 2 * MAX_GAP + 1, 2.0, 1000)
    assert reported(recorder, 3.0) == {1: (2 * MAX_GAP + 1, "x")}
    recorder.on_packet(1, MAX_GAP - MAX_LATE & 0xFFFF, 3.0, 1000)
    assert reported(recorder, 4.0) == {1: (MAX_GAP - MAX_LATE & 0xFFFF, "x")}


def test_hostile_sources_and_numbers_cost_no_more_than_the_limits() -> None:
    recorder = StreamRecorder()
    for n in range(50_000):
        recorder.on_packet(n % 1000, n * MAX_GAP & 0xFFFF, 1.0, 40)
    assert len(recorder._streams) == MAX_STREAMS
    told = reported(recorder, 1.0)
    assert sum(len(came) for _, came in told.values()) <= MAX_REPORTED
    for n in range(50_000):
        recorder.on_packet(1, n * MAX_GAP & 0xFFFF, 2.0, 40)
    assert recorder.deadline == 2.0
    assert len(recorder._streams[1].arrivals) <= MAX_REPORTED
    assert len(reported(recorder, 2.0)[1][1]) <= MAX_REPORTED


def test_many_packets_are_reported_at_once() -> None:
    recorder = StreamRecorder()
    for number in range(MAX_UNREPORTED):
        recorder.on_packet(1, number, 1.0, 1000)
    assert reported(recorder, 1.0) == {1: (0, "x" * MAX_UNREPORTED)}


def test_what_is_told_becomes_results_by_the_number_of_the_transport() -> None:
    reader = StreamFeedbackReader()
    for number, (ssrc, sequence) in enumerate([(1, 65535), (2, 9), (1, 0), (1, 1), (2, 10)]):
        reader.on_sent(rtp(ssrc, sequence), number)
    first = StreamReport(1, 65535, (Arrival(0.5), None, Arrival(0.25), None))
    second = StreamReport(2, 8, (Arrival(0.5), Arrival(None), None))
    foreign = StreamReport(3, 0, (Arrival(0.0), None))
    results = reader.read(CongestionFeedback(5, 10 << 16, (second, foreign, first)))
    assert results == [PacketResult(0, 9.5), PacketResult(2, None), PacketResult(3, 9.75)]


def test_the_time_of_reports_wraps_around() -> None:
    reader = StreamFeedbackReader()
    reader.on_sent(rtp(1, 1), 1)
    told = StreamReport(1, 1, (Arrival(0.5),))
    (before,) = reader.read(CongestionFeedback(5, 0xFFFF_0000, (told,)))
    (after,) = reader.read(CongestionFeedback(5, 0x0001_0000, (told,)))
    assert before.received_at is not None and after.received_at is not None
    assert after.received_at - before.received_at == 2.0


def test_the_numbers_of_sent_packets_are_bounded() -> None:
    reader = StreamFeedbackReader()
    for number in range(MAX_PACKETS + 10):
        reader.on_sent(rtp(number >> 16, number & 0xFFFF), number)
    assert len(reader._numbers) == MAX_PACKETS
    told = StreamReport(0, 9, (Arrival(0.0), Arrival(0.0)))
    assert [each.number for each in reader.read(CongestionFeedback(5, 0, (told,)))] == [10]


class StreamFlow(Flow):
    """A flow of two streams whose feedback is recorded, written, and read."""

    def _begin(self) -> None:
        self.recorder, self.reader = StreamRecorder(1), StreamFeedbackReader()
        self._is_due = False
        super()._begin()

    def _emit(self, size: int, probe: int | None) -> None:
        now = self.world.now
        number = self.estimator.on_sent(size, now, probe).number
        ssrc, sequence = 1 + number % 3 // 2, number // 3 * (2 - number % 3 // 2) + number % 3 % 2
        self.reader.on_sent(rtp(ssrc, sequence & 0xFFFF), number)
        arrival = self.link.send(now, size, extra=self.extra_delay)
        if arrival is not None:
            self.world.at(arrival, partial(self._arrived, ssrc, sequence & 0xFFFF, size))

    def _feedback(self) -> None:
        """Leave it to the recorder."""

    def _arrived(self, ssrc: int, sequence: int, size: int) -> None:
        self.received.append((self.world.now, size))
        self.recorder.on_packet(ssrc, sequence, self.world.now + self.clock, size)
        due = self.recorder.deadline
        if due < float("inf") and not self._is_due:
            self._is_due = True
            self.world.at(due - self.clock + 1e-6, self._report)

    def _report(self) -> None:
        self._is_due = False
        now = self.world.now + self.clock
        for packet in self.recorder.handle_timeout(now, int(now * (1 << 32))):
            back = self.back.send(self.world.now, len(packet), extra=self.extra_delay)
            if back is not None:
                self.world.at(back, partial(self._told, packet))

    def _told(self, packet: bytes) -> None:
        results = self.reader.read(CongestionFeedback.parse(packet))
        self.estimator.on_feedback(results, self.world.now)
        self._maintain()


@pytest.mark.parametrize("loss", [0.0, 0.01])
def test_the_estimator_fills_a_link(loss: float) -> None:
    world = World()
    link, back = Link(3e6, delay=0.03, loss=loss), Link(100e6, delay=0.03, loss=loss)
    flow = StreamFlow(world, link, back, clock=65530.0)  # the time of the reports wraps around
    world.run(15)
    assert 0.75 * 3e6 < flow.rate(7, 15) < 3e6
    assert link.percentile(0.9, 7, 15) < 0.15
