"""Pacer for outgoing video: spreads the packets of large frames over time.

A 1080p key frame has 150 packets and more. Sent at line rate, they would overflow shallow buffers
on the path. Packets are therefore sent at a multiple of the target bit rate, as libwebrtc does. An
ordinary frame is small enough to be sent at once, or within a fraction of the frame interval. A key
frame may take several frame intervals, but at most :data:`MAX_DELAY`.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from icefloe.logs import get_logger

from ..._util.pacer import Pacer
from .rtp_stream import ntp_time, with_send_time

PACING_FACTOR = 2.5
"""Pacing rate divided by the target bit rate: the pacing factor of libwebrtc."""

MAX_DELAY = 0.2
"""Maximum queueing delay of a packet, in seconds: the pacing rate is raised to meet it. A late
event loop may add to it."""

OVERDUE = 2 * MAX_DELAY
"""Seconds after which a packet is sent regardless of the rate. Otherwise an event loop that is
late, and sends one burst each time it runs, would fall further and further behind."""

MAX_OVERDUE_BYTES = 128 * 1024
"""Maximum bytes of overdue packets sent at once. Socket buffers of most systems hold 200 kB."""

MAX_QUEUED_BYTES = 8 << 20
"""Maximum bytes queued; the oldest packets beyond it are sent at once. A 4K key frame with film
grain is smaller."""

_QUANTUM = 0.004
"""Seconds between bursts: four packets at 10 Mbit/s."""

_SLACK, _MAX_BURST = 0.02, 32 * 1024
"""Seconds by which the event loop may be late, which is also the initial burst of a frame after a
pause; and the maximum burst in bytes: 27 packets, which overflow no buffer."""

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _QueuedPacket:
    packet: bytes
    send_time_offset: int
    since: float


class VideoPacer:
    """Packet queue of one video stream, drained at the pacing rate. Does no I/O.

    Retransmissions are sent before new packets.

    Attributes:
        delay: Total seconds that all packets have waited.
    """

    def __init__(self) -> None:
        self.delay = 0.0
        self._pacer = Pacer(_QUANTUM, _SLACK, _MAX_BURST)
        self._pictures: deque[_QueuedPacket] = deque()
        self._repairs: deque[_QueuedPacket] = deque()
        self._queued_bytes = 0
        """In bytes."""

    def put(
        self,
        now: float,
        packets: Sequence[bytes],
        *,
        send_time_offset: int,
        bitrate: float,
        again: bool = False,
    ) -> None:
        """Queue packets.

        Args:
            now: Seconds on a monotonic clock.
            packets: Packets, in order.
            send_time_offset: Offset of their abs-send-time, in bytes; 0 if they have none.
            bitrate: Target bit rate, or the actual one if higher, in bits per second.
            again: Whether these are retransmissions.
        """
        rate = bitrate * PACING_FACTOR / 8
        if self._queued_bytes:
            rate = max(rate, self._pacer.rate)  # keep the delay bound of packets already queued
        queue = self._repairs if again else self._pictures
        queue.extend(_QueuedPacket(packet, send_time_offset, now) for packet in packets)
        self._queued_bytes += sum(map(len, packets))
        self._pacer.credit(now)  # account for the elapsed time at the old rate
        self._pacer.rate = max(rate, self._queued_bytes / MAX_DELAY)

    def take(self, now: float, ntp: int) -> list[bytes]:
        """Remove and return the packets to send now.

        Args:
            now: Seconds on the clock of :meth:`put`.
            ntp: The abs-send-time to write into delayed packets; see :func:`ntp_time`.
        """
        leaving: list[bytes] = []
        if not self._queued_bytes:
            return leaving
        credit, overdue = self._pacer.credit(now), 0
        while queue := self._repairs or self._pictures:
            if credit <= 0 and self._queued_bytes <= MAX_QUEUED_BYTES:
                if now - queue[0].since < OVERDUE or overdue >= MAX_OVERDUE_BYTES:
                    break
                overdue += len(queue[0].packet)
            next_one = queue.popleft()
            packet, size = next_one.packet, len(next_one.packet)
            if next_one.since < now:
                self.delay += now - next_one.since
                packet = with_send_time(packet, next_one.send_time_offset, ntp)
            leaving.append(packet)
            self._queued_bytes -= size
            if credit > 0:  # overdue packets beyond the credit do not cause a debt
                self._pacer.spend(size)
                credit -= size
        return leaving

    def ready_at(self, now: float) -> float | None:
        """Return when the next packets may be sent; ``None`` if none are queued."""
        return self._pacer.ready_at(now) if self._queued_bytes else None

    def clear(self) -> None:
        """Drop all queued packets."""
        self._pictures.clear()
        self._repairs.clear()
        self._queued_bytes = 0


class PacedSender:
    """Sends packets through a :class:`VideoPacer`, driven by a timer of the event loop.

    Args:
        transmit: Sends packets immediately; raises ``ConnectionError`` once the transport is
            closed.
    """

    def __init__(self, transmit: Callable[[list[bytes]], None]) -> None:
        self.pacer = VideoPacer()
        self._transmit = transmit
        self._timer: asyncio.TimerHandle | None = None
        self._closed = self._transport_closed = False

    def send(
        self,
        packets: Sequence[bytes],
        *,
        send_time_offset: int,
        bitrate: float,
        again: bool = False,
    ) -> None:
        """Send packets, now or after pacing; see :meth:`VideoPacer.put`. No-op once closed.

        Raises:
            ConnectionError: The transport was closed.
        """
        if self._closed:
            return
        if self._transport_closed:
            raise ConnectionError("the transport was closed while packets waited")
        now = time.monotonic()
        self.pacer.put(
            now, packets, send_time_offset=send_time_offset, bitrate=bitrate, again=again
        )
        self._flush(now)

    def close(self) -> None:
        """Drop all queued packets and send no more. Idempotent."""
        self._closed = True
        self.pacer.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self, now: float) -> None:
        if leaving := self.pacer.take(now, ntp_time()):
            self._transmit(leaving)
        ready_at = self.pacer.ready_at(now)
        if self._timer is None and ready_at is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(ready_at - now, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        try:
            self._flush(time.monotonic())
        except ConnectionError:
            # The next call of send() raises.
            self._transport_closed = True
            logger.debug("pacing.dropped reason=closed")
            self.pacer.clear()
