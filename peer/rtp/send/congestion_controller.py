"""Congestion controller of one transport: drives :class:`CongestionControl` in an event loop."""

import asyncio
import time
from collections.abc import Callable, Sequence

from icefloe.logs import get_logger

from ..congestion.ccfb import CongestionFeedback
from ..congestion.transport_feedback import TransportFeedback
from .congestion_control import ALLOCATION_INTERVAL, CongestionControl, Stream
from .data_share import DataProgress
from .rtp_stream import ntp_time

logger = get_logger(__name__)


class CongestionController:
    """Sends the media of one transport as its congestion control allows.

    Args:
        transmit: Sends RTP packets immediately; raises ``ConnectionError`` once the transport is
            closed.

    Attributes:
        control: The state without I/O.
    """

    def __init__(self, transmit: Callable[[list[bytes]], None]) -> None:
        self.control = CongestionControl(time.monotonic())
        self._data: tuple[Callable[[], DataProgress], Callable[[float], None]] | None = None
        self._data_limit = float("inf")
        self._transmit = transmit
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._ran_at = float("-inf")
        self._closed = self._transport_closed = False

    @property
    def available_bitrate(self) -> int | None:
        """The estimate in bits per second, all headers included; ``None`` without feedback."""
        return self.control.available_bitrate

    def begin_sharing(
        self, progress: Callable[[], DataProgress], limit: Callable[[float], None]
    ) -> None:
        """Share the capacity with data channels.

        Args:
            progress: Returns what they have sent.
            limit: Takes the bytes of user data per second that they may send.
        """
        self._data = progress, limit

    def end_sharing(self) -> None:
        """Note that there are no data channels any more. Idempotent."""
        self._data, self._data_limit = None, float("inf")
        self.control.forget_data(time.monotonic())

    def add(self, stream: Stream) -> int:
        """Register a stream and return its number, for :meth:`send`."""
        return self.control.add(stream, time.monotonic())

    def remove(self, number: int) -> None:
        """Drop a stream and its queued packets. Idempotent."""
        self.control.remove(number)

    def send(self, number: int, packets: Sequence[bytes], *, again: bool = False) -> None:
        """Send packets of a stream: audio immediately, video through the pacer.

        Args:
            number: The stream, by the number that :meth:`add` returned.
            packets: Its packets, in order.
            again: Whether these are retransmissions.

        Raises:
            ConnectionError: The transport was closed.
        """
        if self._closed or self._transport_closed:
            raise ConnectionError("the transport was closed")
        now = time.monotonic()
        if self._data is None and 0 <= now - self._ran_at < ALLOCATION_INTERVAL:
            # The estimate changes with feedback, and at times for which there is a timer.
            leaving = self.control.pass_audio(number, packets, now, ntp_time())
            if leaving is not None:
                self._transmit(leaving)
                return
        self.control.put(number, packets, now, again=again)
        self._run(now)

    def may_encode(self, number: int, bitrate: float | None) -> bool:
        """Return whether the next frame of a stream would leave soon.

        Args:
            number: The stream.
            bitrate: Its target bit rate; ``None`` if nothing limits it.
        """
        return self.control.may_encode(number, bitrate, time.monotonic())

    def on_feedback(self, feedback: TransportFeedback) -> None:
        """Process transport-wide feedback of the peer."""
        now = time.monotonic()
        self.control.on_feedback(feedback, now)
        self._run_safely(now)

    def use_stream_feedback(self, *, enabled: bool) -> None:
        """Expect the feedback of RFC 8888, or no more; see :class:`CongestionControl`."""
        self.control.use_stream_feedback(enabled=enabled)

    def on_stream_feedback(self, feedback: CongestionFeedback) -> None:
        """Process feedback of RFC 8888 of the peer."""
        now = time.monotonic()
        self.control.on_stream_feedback(feedback, now)
        self._run_safely(now)

    def on_remb(self, bitrate: float) -> None:
        """Process a receiver's estimate, in bits per second."""
        self.control.on_remb(bitrate, time.monotonic())

    def reallocate(self) -> None:
        """Divide the estimate again: what a stream can use has changed."""
        self.control.reallocate(time.monotonic())

    def close(self) -> None:
        """Drop all queued packets and send no more. Idempotent."""
        self._closed = True
        self.control.clear()
        self._cancel_timer()
        self._set_data_limit(float("inf"))

    def _run(self, now: float) -> None:
        """Send what may leave now, and set the timer for the rest."""
        self._ran_at = now
        if self._data is not None:
            self.control.on_data(self._data[0](), now)
        self.control.handle_timeout(now)
        self._set_data_limit(self.control.data.bytes_per_second)
        if packets := self.control.take_packets(now, ntp_time()):
            self._transmit(packets)
        self._schedule(now)

    def _set_data_limit(self, limit: float) -> None:
        if self._data is not None and limit != self._data_limit:
            self._data_limit = limit
            self._data[1](limit)

    def _run_safely(self, now: float) -> None:
        if self._closed or self._transport_closed:
            return
        try:
            self._run(now)
        except ConnectionError:
            # The next call of send() raises.
            self._transport_closed = True
            logger.debug("pacing.dropped reason=closed")
            self.control.clear()
            self._cancel_timer()

    def _schedule(self, now: float) -> None:
        deadline = self.control.deadline
        if self._timer is not None and self._timer_at <= deadline < float("inf"):
            return  # it then looks again
        self._cancel_timer()
        if deadline < float("inf"):
            self._timer_at = deadline
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, deadline - now), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._run_safely(time.monotonic())

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
