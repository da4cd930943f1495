"""A transport in virtual time: senders of media, the congestion control, a link, and feedback."""

import itertools
from bisect import bisect_left
from functools import partial

from icefloe.peer.rtp.congestion.feedback_recorder import FeedbackRecorder
from icefloe.peer.rtp.congestion.transport_feedback import TransportFeedback
from icefloe.peer.rtp.send.allocation import DATAGRAM_OVERHEAD, Demand
from icefloe.peer.rtp.send.congestion_control import CongestionControl
from icefloe.peer.rtp.send.send_stamp import SendStamp
from tests.peer.rtp.congestion.link import Link, Video, World

STAMP = SendStamp(number=4)


class Media:
    """A sender of audio or video that takes the bit rate it is given.

    Args:
        kind: ``"audio"`` or ``"video"``.
        maximum: Bits per second that it can use.
        weight: Its weight.
        stamp: Where its packets have their numbers.
    """

    def __init__(
        self, kind: str, maximum: float, weight: float = 1.0, stamp: SendStamp = STAMP
    ) -> None:
        self.send_delay = 0.0
        self.kind, self.maximum, self.weight, self.stamp = kind, maximum, weight, stamp
        self.bitrate: int | None = None
        self.padded = 0
        self.skipped = self.frames = 0
        self.video = Video(1)
        self.arrivals: list[float] = []

    def demand(self, now: float) -> Demand:
        return Demand(self.kind, self.maximum, self.weight)

    def on_allocation(self, bitrate: int | None) -> None:
        self.bitrate = bitrate

    def unmanaged_bitrate(self, now: float) -> float:
        return self.maximum

    def padding(self, size: int) -> list[bytes]:
        self.padded += size
        return [bytes(1000)] * -(-size // 1000)

    def packets(self, now: float, index: int) -> list[bytes]:
        if self.kind == "audio":
            return [bytes(3) + bytes([index]) + bytes(int(self.maximum * 0.02 / 8))]
        size = self.video.frame(now, min(self.bitrate or self.maximum, self.maximum))
        count = -(-size // 1100)
        return [bytes(3) + bytes([index]) + bytes(size // count)] * count


class Transport:
    """A transport over a link: what is sent is reported by a real recorder, or not at all."""

    def __init__(self, link: Link, *media: Media, reports: bool = True) -> None:
        self.world, self.link, self.media = World(), link, media
        self.back = Link(10e6)
        self.control = CongestionControl(0.0)
        self.recorder = FeedbackRecorder(1)
        self.reports = reports
        self.sent: list[tuple[float, int]] = []
        self.largest_queue = 0.0
        self._wakes_at = float("inf")
        for index, one in enumerate(media):
            number = self.control.add(one, 0.0)
            self._tick(index, number)
        self._unwrapped = 0

    def _tick(self, index: int, number: int) -> None:
        media, now = self.media[index], self.world.now
        if media.kind == "audio" or self.control.may_encode(number, media.bitrate, now):
            media.frames += 1
            self.control.put(number, media.packets(now, index), now, again=False)
        else:
            media.skipped += 1
        self._run()
        pause = 0.02 if media.kind == "audio" else 1 / 30
        self.world.at(now + pause, lambda: self._tick(index, number))

    def _run(self) -> None:
        now = self.world.now
        self.control.handle_timeout(now)
        for packet in self.control.take_packets(now, 0):
            size = len(packet) + DATAGRAM_OVERHEAD
            self.sent.append((now, size))
            arrival = self.link.send(now, size)
            if arrival is not None:
                self.world.at(arrival, partial(self._arrived, packet))
        self.largest_queue = max(self.largest_queue, self.control.pacer.queued_bytes)
        deadline = self.control.deadline
        if deadline < self._wakes_at:
            self._wakes_at = deadline
            self.world.at(max(deadline, now + 1e-4), self._wake)

    def _wake(self) -> None:
        self._wakes_at = float("inf")
        self._run()

    def _arrived(self, packet: bytes) -> None:
        now = self.world.now
        self.media[packet[3]].arrivals.append(now)
        if not self.reports:
            return
        number = int.from_bytes(packet[4:6], "big")
        self.recorder.on_packet(number, now + 500, len(packet) + DATAGRAM_OVERHEAD, 2)
        if (due := self.recorder.deadline) < float("inf"):
            self.world.at(due - 500, self._report)

    def _report(self) -> None:
        for report in self.recorder.handle_timeout(self.world.now + 500):
            feedback = TransportFeedback.parse(report)
            at = self.back.send(self.world.now, len(report))
            assert at is not None
            self.world.at(at, partial(self._reported, feedback))

    def _reported(self, feedback: TransportFeedback) -> None:
        self.control.on_feedback(feedback, self.world.now)
        self._run()

    def rate(self, start: float, end: float) -> float:
        """Return the bits per second that were sent."""
        first, last = bisect_left(self.sent, (start, 0)), bisect_left(self.sent, (end, 0))
        return sum(size for _, size in self.sent[first:last]) * 8 / (end - start)


def gaps(arrivals: list[float], start: float) -> float:
    """Return the longest time without an arrival, in seconds."""
    late = [at for at in arrivals if at >= start]
    return max(b - a for a, b in itertools.pairwise(late))
