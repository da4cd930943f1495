"""Additive increase, multiplicative decrease around the estimated capacity of the link.

Far from the capacity the rate grows by a part of itself, near it by the same for all flows, which
makes their rates equal (draft-ietf-rmcat-gcc-02 section 5.5). What is far too little is found by
probes instead.
"""

import math

_GROWTH = 1.08
"""Growth per second while the capacity is unknown."""

_ADDED = 100_000.0
"""Bits per second that are added per second near the capacity."""
_ADDED_PART = 0.15
"""The same at most, as a part of the rate."""
_LEAST_ADDED = 4_000.0
_LEAST_ADDED_PART = 0.03
"""The same at least, so that a fast link is filled again soon."""

_STEP_TIME = 0.3
"""Seconds of growth that one feedback brings at most."""

_GROWN = 1.5
"""The rate grows at most to this multiple of what arrives: more was not tried."""
_GROWN_BITS = 10_000.0

_LINK_GAIN = 0.05
_DEVIATIONS = 3.0
_VARIANCES = (0.4, 2.5)
"""Bounds of the normalized variance of the capacity, in kbit/s."""


class LinkCapacity:
    """Capacity of the link by what arrived when it was full, with its deviation.

    Attributes:
        bitrate: Bits per second; ``None`` if unknown.
    """

    def __init__(self) -> None:
        self.bitrate: float | None = None
        self._variance = _VARIANCES[0]

    def add(self, bitrate: float) -> None:
        """Take what arrived while the link was full."""
        if self.bitrate is None:
            self.bitrate = bitrate
            return
        error = (bitrate - self.bitrate) / 1000
        self.bitrate += _LINK_GAIN * (bitrate - self.bitrate)
        norm = max(self.bitrate / 1000, 1.0)
        self._variance += _LINK_GAIN * (error * error / norm - self._variance)
        self._variance = min(max(self._variance, _VARIANCES[0]), _VARIANCES[1])

    def has(self, bitrate: float) -> bool:
        """Return whether the capacity is known, and a bit rate is not far from it."""
        return self.bitrate is not None and abs(bitrate - self.bitrate) <= self._distance()

    def _distance(self) -> float:
        return _DEVIATIONS * math.sqrt(self._variance * (self.bitrate or 0.0) * 1000)

    def forget_unless(self, bitrate: float) -> None:
        """Forget the capacity if a bit rate is far from it."""
        if not self.has(bitrate):
            self.bitrate = None


class AimdRateControl:
    """The rate that the path is thought to carry, by transport-wide feedback.

    Args:
        start: First rate.
        minimum: Lowest rate.
        maximum: Highest rate; all in bits per second.

    Attributes:
        rate: Bits per second.
        capacity: Capacity of the link.
        decreased_at: Time of the last decrease.
        beside: Bits per second of what shares the path, which may come on top of the highest rate.
    """

    def __init__(self, start: float, minimum: float, maximum: float) -> None:
        self._minimum, self._maximum = minimum, maximum
        self.rate = start
        self.capacity = LinkCapacity()
        self.decreased_at = float("-inf")
        self.beside = 0.0
        self._changed_at: float | None = None

    def increase(self, arriving: float | None, now: float, *, is_competing: bool = False) -> None:
        """Grow for the time since the last change.

        Args:
            arriving: Bits per second that arrive; ``None`` if unknown.
            now: Seconds on a monotonic clock.
            is_competing: Whether another flow takes what this one does not.
        """
        before = now if self._changed_at is None else self._changed_at
        lasted = min(max(now - before, 0.0), _STEP_TIME)
        self._changed_at = now
        if arriving is None:
            return
        if self.capacity.bitrate is not None and arriving > self.capacity.bitrate:
            self.capacity.forget_unless(arriving)
        if is_competing:
            grown = self.rate + _ADDED * lasted
        elif self.capacity.bitrate is None:
            grown = self.rate * _GROWTH**lasted
        else:
            added = max(min(_ADDED_PART * self.rate, _ADDED), _LEAST_ADDED)
            added = max(added, _LEAST_ADDED_PART * self.rate)
            grown = self.rate + added * lasted
        self._set(min(grown, max(_GROWN * arriving + _GROWN_BITS, self.rate)))

    def hold(self, now: float) -> None:
        """Note that the rate stays as it is."""
        self._changed_at = now

    def decrease(self, arriving: float, factor: float, now: float, *, least: float = 0.0) -> None:
        """Fall below what arrives.

        Args:
            arriving: Bits per second that arrive.
            factor: Part of them to be sent.
            now: Seconds on a monotonic clock.
            least: Bits per second that are left.
        """
        self.capacity.forget_unless(arriving)
        self.capacity.add(arriving)
        self._set(min(max(factor * arriving, least), self.rate))
        self._changed_at = self.decreased_at = now

    def accept(self, bitrate: float, now: float) -> None:
        """Take the rate that a probe found."""
        self._set(bitrate)
        self._changed_at = now

    def _set(self, bitrate: float) -> None:
        self.rate = min(max(bitrate, self._minimum), self._maximum + self.beside)
