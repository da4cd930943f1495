"""Queueing delay on the way to the receiver, and who causes it.

The clocks of both sides have any offset, so only differences of one-way delays mean something. The
least one of the last half minute is taken for the delay without a queue.
"""

from collections import deque

_BASE_TIME, _FOREIGN_BASE_TIME = 15.0, 60.0
"""Seconds after which the least delay is renewed, by that of the last and of this period: usually,
and while another flow hides it."""

_FILTER_TIME = 0.07
"""Seconds whose least delay counts: a frame that is sent in a burst makes a queue of its own."""

_NOISE_GAIN, _JITTER_GAIN = 0.1, 0.02
_NOISE_STEP = 0.03
"""Seconds of change that count at most as noise."""

_REFERENCE, _NOISES = 0.004, 1.5
"""Seconds of queue that are no sign of anything, and those for each second of noise."""

_NOISY, _JITTERS = 0.008, 12.0
"""Lasting noise in seconds that frames do not make, so that the path itself has jitter, and the
seconds of queue for each second beyond it."""

_LONGEST_PACKET_TIME = 0.06
"""Seconds that the transmission of a packet counts for at most."""
_EMPTY, _EMPTY_TIME = 0.003, 3.0
"""Seconds of queue above the shortest one lately that cannot be told from none, and the seconds
that this means."""

_SETTLE = 0.6
"""Seconds of a queue after which its length is noted."""
_WATCH = 1.2
"""Seconds after which a queue of our own is gone, since we send less than the path carries."""
_PERSISTS = 0.6
"""Part of its length that is left of somebody else's queue."""
_SHORTEST_FOREIGN = 0.04
"""Seconds that somebody else's queue has at least."""
_GONE = 1.0
"""Seconds without a queue after which the other flow has ended."""

_CONSTANT_TIME, _CONSTANT = 8.0, 0.02
"""Seconds for which a delay changes by less than these: the path is longer, with no queue."""


class QueueDelay:
    """One-way delay above the least one.

    Attributes:
        queue: Seconds that the latest packets waited at least.
        latest: Seconds that the last packet waited.
        noise: Mean change in seconds between two feedbacks.
        is_foreign: Whether the queue persists although less is sent than arrived: another flow
            keeps it filled.
        is_obeyed: Whether no more is sent than the target says. Otherwise a queue that persists is
            our own: encoders have a least rate, and so has audio.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all delays, such as after a step of the receiver's clock."""
        self.queue = self.latest = self.noise = self._jitter = 0.0
        self.is_foreign = False
        self.is_obeyed = True
        self._base = self._last_base = float("inf")
        self._base_from: float | None = None
        self._recent: deque[tuple[float, float, float]] = deque()
        self._packet_time = 0.0
        self._lowest = self._last_lowest = float("inf")
        self._lowest_from = float("-inf")
        self._before: float | None = None
        self._stands_from: float | None = None
        self._marked: tuple[float, float] | None = None
        self._short_from: float | None = None
        self._range: tuple[float, float, float] | None = None  # since when, least and most

    @property
    def reference(self) -> float:
        """Return the seconds of queue that are normal on this path."""
        jitter = max(self._jitter - _NOISY, 0.0)
        return _REFERENCE + self._packet_time + _NOISES * self.noise + _JITTERS * jitter

    @property
    def is_empty(self) -> bool:
        """Return whether there is no sign of a queue, however short."""
        lowest = min(self._lowest, self._last_lowest)
        return self.queue <= lowest + _EMPTY + _NOISES * self.noise

    @property
    def excess(self) -> float:
        """Return the seconds of queue beyond what is normal."""
        return max(self.queue - self.reference, 0.0)

    def add(self, lowest: float, last: float, now: float, packet_time: float = 0.0) -> None:
        """Process the least and the last one-way delay of a feedback.

        Args:
            lowest: Least difference in seconds between arrival and sending.
            last: That of the packet that arrived last.
            now: Seconds on the sender's clock.
            packet_time: Seconds that a link of the present rate takes for the packet of ``lowest``.
                The least of all delays may be from a time when the link was faster.
        """
        self._renew(lowest, now)
        recent = self._recent
        recent.append((now, lowest, min(packet_time, _LONGEST_PACKET_TIME)))
        while now - recent[0][0] > _FILTER_TIME:
            recent.popleft()
        base = min(self._base, self._last_base)
        _, least, self._packet_time = min(recent, key=_delay)
        self.queue = least - base
        if now - self._lowest_from >= _EMPTY_TIME:
            self._lowest_from, self._last_lowest, self._lowest = now, self._lowest, self.queue
        self._lowest = min(self._lowest, self.queue)
        self.latest = last - base
        if self._before is not None:
            change = min(abs(lowest - self._before), _NOISE_STEP)
            self.noise += _NOISE_GAIN * (change - self.noise)
            self._jitter += _JITTER_GAIN * (change - self._jitter)
        self._before = lowest
        self._watch(now)

    def _renew(self, lowest: float, now: float) -> None:
        if self._base_from is None:
            self._base_from = now
        elif now - self._base_from >= (_FOREIGN_BASE_TIME if self.is_foreign else _BASE_TIME):
            self._base_from = now
            self._last_base, self._base = self._base, lowest
        self._base = min(self._base, lowest)

    def _watch(self, now: float) -> None:
        """Tell a queue of our own, which drains, from one that others fill."""
        limit = max(self.reference, _SHORTEST_FOREIGN)
        if self.is_foreign:
            self._watch_foreign(limit, now)
        elif self.queue < limit or not self.is_obeyed:
            self._stands_from = self._marked = None
        elif self._stands_from is None:
            self._stands_from = now
        elif self._marked is None:
            if now - self._stands_from >= _SETTLE:
                self._marked = now, self.queue
        elif now - self._marked[0] >= _WATCH:
            if self.queue >= _PERSISTS * self._marked[1]:
                self.is_foreign = True
                self._short_from = self._range = None
            self._marked = now, self.queue

    def _watch_foreign(self, limit: float, now: float) -> None:
        if self.queue >= limit:
            self._short_from = None
        elif self._short_from is None:
            self._short_from = now
        elif now - self._short_from >= _GONE:
            self._end_foreign()
            return
        start, least, most = self._range or (now, self.queue, self.queue)
        least, most = min(least, self.queue), max(most, self.queue)
        if most - least > _CONSTANT + self.noise:
            self._range = None
        elif now - start >= _CONSTANT_TIME:
            self._base += least
            self._last_base = float("inf")
            self._end_foreign()
        else:
            self._range = start, least, most

    def _end_foreign(self) -> None:
        self.is_foreign = False
        self._stands_from = self._marked = None


def _delay(sample: tuple[float, float, float]) -> float:
    return sample[1]
