"""The receiver's record of arrivals, in virtual time."""

import random
from itertools import pairwise

import pytest

from icefloe.peer.rtp.congestion.feedback_reader import TransportFeedbackReader
from icefloe.peer.rtp.congestion.feedback_recorder import (
    MAX_GAP,
    MAX_KEPT,
    MAX_LATE,
    MAX_RANGES,
    FeedbackRecorder,
)
from icefloe.peer.rtp.congestion.report_schedule import (
    GATHERING,
    MAX_INTERVAL,
    MAX_UNREPORTED,
    MIN_INTERVAL,
    PACKET_OVERHEAD,
    SHARE,
)
from icefloe.peer.rtp.congestion.sent_history import SentHistory
from icefloe.peer.rtp.congestion.transport_feedback import TransportFeedback


def reported(recorder: FeedbackRecorder, now: float) -> list[TransportFeedback]:
    """Return what a recorder reports, parsed."""
    return [TransportFeedback.parse(packet) for packet in recorder.handle_timeout(now)]


def numbers(feedback: TransportFeedback) -> list[int]:
    """Return the numbers of the packets that feedback has as received."""
    return [(feedback.base + offset) & 0xFFFF for offset, _ in feedback.received]


def test_nothing_is_reported_while_nothing_arrives() -> None:
    recorder = FeedbackRecorder()
    assert recorder.deadline == float("inf")
    assert recorder.handle_timeout(100.0) == []
    recorder.on_packet(5, 1.0, 1000)
    assert recorder.handle_timeout(1.0) == []
    assert len(recorder.handle_timeout(1.0 + GATHERING)) == 1
    assert recorder.deadline == float("inf")
    assert recorder.handle_timeout(2.0) == []


def test_a_report_says_who_and_about_whom() -> None:
    recorder = FeedbackRecorder(sender_ssrc=11)
    recorder.on_packet(7, 1.0, 1000, media_ssrc=22)
    (feedback,) = reported(recorder, 2.0)
    assert (feedback.sender_ssrc, feedback.media_ssrc, feedback.base) == (11, 22, 7)
    recorder.sender_ssrc = 33
    recorder.on_packet(8, 2.0, 1000, media_ssrc=44)
    (feedback,) = reported(recorder, 3.0)
    assert (feedback.sender_ssrc, feedback.media_ssrc) == (33, 44)
    assert (feedback.base, feedback.feedback_count) == (8, 1)


def test_reports_cover_each_number_once() -> None:
    recorder = FeedbackRecorder()
    for number in (1, 2, 4):
        recorder.on_packet(number, 1.0, 1000)
    first, *_ = reported(recorder, 2.0)
    recorder.on_packet(7, 2.0, 1000)
    second, *_ = reported(recorder, 3.0)
    assert (first.base, first.status_count) == (1, 4)
    assert (second.base, second.status_count) == (5, 3)


def test_a_packet_that_comes_late_is_reported_with_those_after_it() -> None:
    recorder = FeedbackRecorder()
    for number in (0xFFFE, 0, 1):
        recorder.on_packet(number, 1.0, 1000)
    recorder.handle_timeout(2.0)
    recorder.on_packet(0xFFFF, 2.0, 1000)
    (feedback,) = reported(recorder, 3.0)
    # The others are not told to be missing.
    assert (feedback.base, numbers(feedback)) == (0xFFFF, [0xFFFF, 0, 1])


@pytest.mark.parametrize("behind", [2, 300, MAX_LATE])
def test_reordering_by_hundreds_is_reported(behind: int) -> None:
    recorder = FeedbackRecorder()
    recorder.on_packet(2, 1.0, 1000)
    recorder.on_packet(2 + behind, 1.0, 1000)
    recorder.handle_timeout(2.0)
    recorder.on_packet(2, 2.0, 1000)
    assert recorder.deadline == float("inf"), "it came before"
    recorder.on_packet(3, 2.0, 1000)
    told = [number for feedback in reported(recorder, 3.0) for number in numbers(feedback)]
    assert told[0] == 3


def test_the_first_arrival_counts() -> None:
    recorder = FeedbackRecorder()
    recorder.on_packet(1, 1.0, 1000)
    recorder.on_packet(1, 1.5, 1000)
    (feedback,) = reported(recorder, 2.0)
    assert feedback.reference_time * 0.064 + feedback.received[0][1] == pytest.approx(1.0)


def test_many_packets_are_reported_at_once() -> None:
    recorder = FeedbackRecorder()
    for number in range(MAX_UNREPORTED):
        recorder.on_packet(number, 1.0, 1000)
    assert recorder.deadline == 1.0
    assert sum(len(numbers(one)) for one in reported(recorder, 1.0)) == MAX_UNREPORTED


def test_a_long_gap_begins_a_range() -> None:
    recorder = FeedbackRecorder()
    recorder.on_packet(0, 1.0, 1000)
    recorder.on_packet(MAX_GAP, 1.0, 1000)
    recorder.on_packet(2 * MAX_GAP + 1, 1.0, 1000)
    assert [(one.base, one.status_count) for one in reported(recorder, 2.0)] == [
        (0, MAX_GAP + 1),
        (2 * MAX_GAP + 1, 1),
    ]


def test_jumps_cost_no_more_than_some_ranges() -> None:
    recorder = FeedbackRecorder()
    number = 0
    for n in range(20_000):
        number = (number + 30_000) & 0xFFFF
        recorder.on_packet(number, 1.0 + n / 1e6, 40)
        if n % 1000 == 999:
            assert len(recorder.handle_timeout(2.0)) == MAX_RANGES
    assert len(recorder._arrivals) <= MAX_KEPT


def test_arrivals_that_nobody_asks_for_are_dropped() -> None:
    recorder = FeedbackRecorder()
    for number in range(50_000):
        recorder.on_packet(number & 0xFFFF, 1.0, 40)
    assert len(recorder._arrivals) == MAX_KEPT
    recorder.handle_timeout(1.0)
    assert len(recorder._arrivals) <= MAX_LATE + 1


@pytest.mark.parametrize(
    ("packets_a_second", "size"), [(10, 200), (50, 120), (100, 1200), (2000, 1200)]
)
def test_the_interval_follows_the_rate(packets_a_second: int, size: int) -> None:
    recorder = FeedbackRecorder()
    reports: list[tuple[float, int]] = []
    for number in range(20 * packets_a_second):
        now = number / packets_a_second
        due = recorder.deadline
        if due <= now:
            packets = recorder.handle_timeout(due)
            reports.append((due, sum(len(packet) + PACKET_OVERHEAD for packet in packets)))
        recorder.on_packet(number & 0xFFFF, now, size)
    later = [(at, told) for at, told in reports if at > 2]
    intervals = [after[0] - before[0] for before, after in pairwise(later)]
    assert min(intervals) >= MIN_INTERVAL - 1e-9
    # Where packets are rarer than reports could be, each waits for what comes with it.
    assert max(intervals) <= max(MAX_INTERVAL, 1 / packets_a_second) + GATHERING
    share = sum(told for _, told in later) / (18 * packets_a_second * size)
    assert share <= SHARE * 1.1 or recorder.interval == MAX_INTERVAL


def test_sender_and_receiver_agree_over_a_bad_path() -> None:
    rng = random.Random(4)
    history, recorder = SentHistory(), FeedbackRecorder()
    reader = TransportFeedbackReader(history)
    under_way: list[tuple[float, int]] = []
    arrived: dict[int, float] = {}
    fate: dict[int, float | None] = {}
    lost = set()
    for step in range(30_000):
        now = step * 0.001
        if step < 29_000:
            packet = history.add(1200, now)
            if rng.random() < 0.05:
                lost.add(packet.number)
            else:
                delay = 0.03 + rng.random() * 0.02 + (0.1 if rng.random() < 0.01 else 0)
                under_way.append((now + delay, packet.number))
        due = [each for each in under_way if each[0] <= now]
        under_way = [each for each in under_way if each[0] > now]
        for at, number in sorted(due):
            arrived[number] = at
            recorder.on_packet(number & 0xFFFF, at, 1200)
        if recorder.deadline <= now:
            for feedback in reported(recorder, now):
                for result in reader.read(feedback):
                    number, came_at = result.number, result.received_at
                    if came_at is None:
                        told = history.lost(number)
                    else:
                        told, _ = history.received(number)
                    if told is not None:
                        assert fate.get(number) is None, "nothing is received twice"
                        fate[number] = came_at
    received = {number: at for number, at in fate.items() if at is not None}
    assert received == pytest.approx(arrived, abs=0.0002)
    never = {number for number in fate if fate[number] is None}
    # Of those at the end nobody can tell; one at the beginning is before all feedback.
    assert never <= lost
    assert len(lost - never) <= 3
    assert history.bytes_in_flight <= 3 * 1200
