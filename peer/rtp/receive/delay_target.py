"""Target delay of received audio, learned from the lateness of its packets. Does no I/O.

The target follows the observed jitter: the delay of packets relative to the fastest packet of the
last seconds. Of each half second the latest packet counts. The target covers 95 % of them, with
exponential forgetting, so that it comes down a minute after jitter has ended, and what happens
every few seconds does not make it swing.
"""

from collections import deque

_BUCKET_WIDTH = 0.01
"""Width of a bucket of the delay histogram, in seconds."""
_BUCKETS = 50
"""Number of buckets: delays of half a second and more are not jitter."""
_INTERVAL = 0.5
"""Seconds of which only the latest packet counts, so that what happens now and then counts."""
_FORGET_FACTOR = 0.983
"""Forgetting factor of the histogram per interval. Intervals older than a minute and a half have
one twentieth of the weight."""
_QUANTILE, _AMPLE_QUANTILE = 0.95, 0.975
"""Quantiles of the intervals whose packets the target delay covers at least and at most. Between
the two it stays as it is, so that it does not swing."""
_ALONE_FROM, _ALONE_ABOVE = 20, 1.5
"""Number of intervals from which one alone does not raise the target to more than so many times
what the others need: what has happened once in ten seconds is no jitter. Of fewer intervals too
little is known, and of more than forty one alone has too little weight."""
_ROUTE_CHANGE = 0.03
"""Seconds by which all packets of an interval must be later than the reference for another path."""
_ROUTE_EVIDENCE = 8
"""Minimum packets of such an interval: during silence (DTX) one comes, which tells little."""
_INITIAL_QUANTILE, _MARGIN = 0.03, 0.01
"""Initial quantile, and what is added to a quantile, in seconds."""
_BASE_WINDOW = 2.0
"""Seconds within which the fastest packet is the reference."""


class DelayTarget:
    """Target delay: a quantile of a delay histogram with exponential forgetting.

    W3C webrtc-stats calls it ``jitterBufferTargetDelay``.
    """

    def __init__(self) -> None:
        self._weights = [0.0] * _BUCKETS
        self._weights[round(_INITIAL_QUANTILE / _BUCKET_WIDTH) - 1] = 1.0
        self._seen = 0
        """Number of intervals so far."""
        self._ends: float | None = None
        self._latest, self._fastest, self._count = 0.0, float("inf"), 0
        """Of the interval: the greatest lateness and the least offset, in seconds, and packets."""
        self._offsets: deque[tuple[float, float]] = deque()
        """Pairs of arrival time and offset from the timestamp, with offsets increasing: a
        sliding-window minimum."""
        self.seconds: float = _INITIAL_QUANTILE + _MARGIN

    @property
    def base(self) -> float | None:
        """Offset of the fastest recent packet from its timestamp, in seconds; or ``None``."""
        return self._offsets[0][1] if self._offsets else None

    def add(self, now: float, offset: float) -> None:
        """Add the offset of a packet's arrival from its timestamp, in seconds."""
        if self._ends is None:
            self._ends = now + _INTERVAL
        elif now >= self._ends:
            self._close_interval(now)
        offsets = self._offsets
        while offsets and offsets[-1][1] >= offset:
            offsets.pop()
        offsets.append((now, offset))
        while offsets[0][0] < now - _BASE_WINDOW:
            offsets.popleft()
        lateness = offset - offsets[0][1]
        self._count += 1
        self._fastest = min(self._fastest, offset)
        self._latest = max(self._latest, lateness)

    def _begin_interval(self, ends: float | None) -> None:
        self._ends = ends
        self._latest, self._fastest, self._count = 0.0, float("inf"), 0

    def _close_interval(self, now: float) -> None:
        shift = self._fastest - self._offsets[0][1]
        is_alike = self._count >= _ROUTE_EVIDENCE and self._latest - shift < shift / 2
        if shift > _ROUTE_CHANGE and is_alike:
            # All packets of the interval were late alike: it is another path, not jitter.
            self._latest -= shift
            while len(self._offsets) > 1 and self._offsets[0][1] < self._fastest:
                self._offsets.popleft()
        latest = max(self._latest, 0.0)
        self._begin_interval(now + _INTERVAL)
        if latest >= _BUCKET_WIDTH * _BUCKETS:
            return  # an outage, not jitter
        self._seen += 1
        keep = min(_FORGET_FACTOR, 1 - 2 / (self._seen + 1))
        self._weights = [weight * keep for weight in self._weights]
        self._weights[int(latest / _BUCKET_WIDTH)] += 1 - keep
        needed = self._covering(_QUANTILE)
        if self._seen > _ALONE_FROM and needed > self.seconds:
            others = self._covering(_QUANTILE, without=1.2 * (1 - keep))
            needed = others if needed > _ALONE_ABOVE * others else needed
        ample = self._covering(_AMPLE_QUANTILE)
        self.seconds = min(max(self.seconds, needed), ample)

    def _covering(self, quantile: float, *, without: float = 0.0) -> float:
        """Return the delay that covers a quantile of the intervals, in seconds.

        Args:
            quantile: 0 to 1.
            without: Weight of the latest packets that are left out.
        """
        left = max(1 - quantile, without)
        for number in reversed(range(_BUCKETS)):
            left -= self._weights[number]
            if left < 0:
                return (number + 1) * _BUCKET_WIDTH + _MARGIN
        return _BUCKET_WIDTH + _MARGIN

    def reset_base(self) -> None:
        """Reset the reference: the sender's timestamps restart."""
        self._offsets.clear()
        self._begin_interval(None)
