"""When the packets of outgoing pictures leave: not all of them at once.

A key frame of 1080p is 150 packets and more. Sent at once, as fast as this machine can, they
overflow a shallow buffer on the way. So they leave at a multiple of the rate that is aimed at, as
those of libwebrtc do. An ordinary picture is so small that it leaves at once, or within a part of
the time to the next one. A key frame may take several times as long, and :data:`LONGEST` at most.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from icefloe.logs import get_logger

from ..._util.pacer import Pacer
from .rtp_stream import ntp_time, stamped

FACTOR = 2.5
"""How much faster than the target packets leave: the pacing factor of libwebrtc."""

LONGEST = 0.2
"""Seconds that a packet waits at most; the rate is raised for what would wait longer. An event loop
that is late may add to it."""

OVERDUE = 2 * LONGEST
"""Seconds after which a packet leaves whatever the rate. An event loop that is late sends a burst
each time that it comes to it, and would be ever later."""

MOST_OVERDUE = 128 * 1024
"""Bytes of these that leave at once: the sockets of most systems have room for 200 kB."""

MOST_WAITING = 8 << 20
"""Bytes that wait at most; the oldest of what is beyond leave at once. A key frame of 4K with grain
has less."""

_QUANTUM = 0.004
"""Seconds between bursts: four packets at 10 Mbit/s."""

_SLACK, _MOST_BURST = 0.02, 32 * 1024
"""Seconds by which the event loop may be late, which is also what leaves at once of a picture that
comes after a pause; and bytes of that at most: 27 packets, of which no buffer overflows."""

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    packet: bytes
    stamp_at: int
    since: float


class PicturePacer:
    """Says which packets of one stream may leave. No I/O: the time is given.

    What is sent again goes before what is sent for the first time.

    Attributes:
        delay: Seconds that packets have waited, of all together.
    """

    def __init__(self) -> None:
        self.delay = 0.0
        self._pacer = Pacer(_QUANTUM, _SLACK, _MOST_BURST)
        self._pictures: deque[_Waiting] = deque()
        self._repairs: deque[_Waiting] = deque()
        self._waiting = 0
        """Bytes."""

    def put(
        self,
        now: float,
        packets: Sequence[bytes],
        *,
        stamp_at: int,
        bitrate: float,
        again: bool = False,
    ) -> None:
        """Take packets.

        Args:
            now: Seconds on a monotonic clock.
            packets: In order.
            stamp_at: Where their time of sending is; 0 if they do not tell it.
            bitrate: Bits a second that are aimed at, or sent.
            again: Whether they were sent before.
        """
        rate = bitrate * FACTOR / 8
        if self._waiting:
            rate = max(rate, self._pacer.rate)  # so that nothing waits longer than was said
        queue = self._repairs if again else self._pictures
        queue.extend(_Waiting(packet, stamp_at, now) for packet in packets)
        self._waiting += sum(map(len, packets))
        self._pacer.credit(now)  # what has passed counts at the rate until now
        self._pacer.rate = max(rate, self._waiting / LONGEST)

    def take(self, now: float, ntp: int) -> list[bytes]:
        """Return the packets that leave now.

        Args:
            now: Seconds on the clock of :meth:`put`.
            ntp: The time that they tell as that of their sending; see :func:`ntp_time`.
        """
        leaving: list[bytes] = []
        if not self._waiting:
            return leaving
        credit, beyond = self._pacer.credit(now), 0
        while queue := self._repairs or self._pictures:
            if credit <= 0 and self._waiting <= MOST_WAITING:
                if now - queue[0].since < OVERDUE or beyond >= MOST_OVERDUE:
                    break
                beyond += len(queue[0].packet)
            next_one = queue.popleft()
            packet, size = next_one.packet, len(next_one.packet)
            if next_one.since < now:
                self.delay += now - next_one.since
                packet = stamped(packet, next_one.stamp_at, ntp)
            leaving.append(packet)
            self._waiting -= size
            if credit > 0:  # what finds no room here is no debt
                self._pacer.spend(size)
                credit -= size
        return leaving

    def ready_at(self, now: float) -> float | None:
        """Return when more may leave; ``None`` if nothing waits."""
        return self._pacer.ready_at(now) if self._waiting else None

    def clear(self) -> None:
        """Drop what waits."""
        self._pictures.clear()
        self._repairs.clear()
        self._waiting = 0


class PacedSending:
    """Sends packets as a :class:`PicturePacer` says, by a timer of the event loop.

    Args:
        transmit: Sends packets at once; raises ``ConnectionError`` when that is over.
    """

    def __init__(self, transmit: Callable[[list[bytes]], None]) -> None:
        self.pacer = PicturePacer()
        self._transmit = transmit
        self._timer: asyncio.TimerHandle | None = None
        self._closed = self._is_over = False

    def send(
        self, packets: Sequence[bytes], *, stamp_at: int, bitrate: float, again: bool = False
    ) -> None:
        """Send packets, now or soon; see :meth:`PicturePacer.put`. Once closed, do nothing.

        Raises:
            ConnectionError: It is over.
        """
        if self._closed:
            return
        if self._is_over:
            raise ConnectionError("the transport was closed while packets waited")
        now = time.monotonic()
        self.pacer.put(now, packets, stamp_at=stamp_at, bitrate=bitrate, again=again)
        self._flush(now)

    def close(self) -> None:
        """Send nothing any more, not even what waits. May be called again."""
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
            self._timer = loop.call_later(ready_at - now, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        try:
            self._flush(time.monotonic())
        except ConnectionError:
            # Whoever sends the next picture is told.
            self._is_over = True
            logger.debug("pacing.dropped reason=closed")
            self.pacer.clear()
