"""Signs of the path in the arrival of packets: the trend of the delay, the queue, and the rate."""

from .acknowledged import AcknowledgedBitrate
from .arrival_groups import ArrivalGroups
from .packets import SentPacket
from .queue_delay import QueueDelay
from .trend import TrendDetector

_CLOCK_STEP = 10.0
"""Seconds by which a one-way delay changes if the receiver's clock was set, or lies."""


class Arrivals:
    """Signs of the path by received packets.

    Attributes:
        trend: The trend of the delay.
        queue: The queue.
        acknowledged: The bit rate that arrives.
    """

    def __init__(self) -> None:
        self.trend = TrendDetector()
        self.queue = QueueDelay()
        self.acknowledged = AcknowledgedBitrate()
        self._groups = ArrivalGroups()
        self._last_delay: float | None = None

    def add(
        self, arrivals: list[tuple[float, SentPacket]], skipped: int, rate: float, now: float
    ) -> None:
        """Process the packets that a feedback tells about, in the order of their arrival.

        Args:
            arrivals: Pairs of seconds on the receiver's clock and a packet.
            skipped: Bytes that arrived before, whose feedback was lost.
            rate: Bits per second that the path is thought to carry.
            now: Seconds on the sender's clock.
        """
        self.acknowledged.add(arrivals[0][0], skipped)
        lowest, last, size = float("inf"), 0.0, 0
        for received_at, packet in arrivals:
            delay = received_at - packet.sent_at
            if self._last_delay is not None and abs(delay - self._last_delay) > _CLOCK_STEP:
                self._reset()
                lowest = float("inf")
            self._last_delay = last = delay
            if delay < lowest:
                lowest, size = delay, packet.size
            self.acknowledged.add(received_at, packet.size)
            delta = self._groups.add(packet, received_at)
            if delta is not None:
                self.trend.add(delta)
        self.queue.add(lowest, last, now, size * 8 / rate)

    def _reset(self) -> None:
        self._groups.reset()
        self.trend.reset()
        self.queue.reset()
        self.acknowledged.reset()
