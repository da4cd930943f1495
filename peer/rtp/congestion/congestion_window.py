"""Bytes in flight that a path holds: what it carries in a round trip, and a short queue.

Sending stops when a link becomes slower or feedback fails to come, before any delay is seen.
"""

_ALLOWED = 0.15
"""Seconds of queue, which has room for a key frame sent at the pacer's rate."""

_LEAST = 8_000
"""Bytes that always fit."""

_UNKNOWN = 0.3
"""Seconds of round trip assumed before it is known."""

_GAIN = 0.2
_LOWEST_FACTOR = 0.5
_LONGEST_TRIP, _LONGEST_INTERVAL = 3.0, 0.5


class CongestionWindow:
    """Limit of the bytes in flight.

    Attributes:
        round_trip: Seconds from sending a packet to the feedback about it, without the queue on the
            way there and the wait for the feedback; ``None`` if unknown.
        interval: Seconds between feedbacks; ``None`` if unknown.
    """

    def __init__(self) -> None:
        self.round_trip: float | None = None
        self.interval: float | None = None
        self._reported_at: float | None = None

    def add(self, trip: float, queue: float, now: float) -> None:
        """Process a feedback.

        Args:
            trip: Seconds since the latest packet was sent that it tells about.
            queue: Seconds of queue that this packet waited in.
            now: Seconds on a monotonic clock.
        """
        bare = min(max(trip - queue, 0.0), _LONGEST_TRIP)
        if self.round_trip is None:
            self.round_trip = bare
        else:
            self.round_trip += _GAIN * (bare - self.round_trip)
        if self._reported_at is not None:
            lasted = min(max(now - self._reported_at, 0.0), _LONGEST_INTERVAL)
            self.interval = (
                lasted
                if self.interval is None
                else self.interval + _GAIN * (lasted - self.interval)
            )
        self._reported_at = now

    def size(self, bitrate: float, queue: float = 0.0) -> int:
        """Return the bytes that may be in flight.

        Args:
            bitrate: Bits per second that are sent.
            queue: Seconds of a queue of other flows.
        """
        trip = _UNKNOWN if self.round_trip is None else self.round_trip
        held = trip + (self.interval or 0.1) + _ALLOWED + queue
        return max(int(bitrate * held / 8), _LEAST)

    def factor(self, size: int, in_flight: int) -> float:
        """Return the part of the bit rate that is left if more is in flight than fits."""
        return max(size / in_flight, _LOWEST_FACTOR) if in_flight > size else 1.0
