"""Decides when to probe for a higher rate, and at which.

A transport begins with one cluster at three times its first rate, and while clusters confirm their
rate, each is followed at once by one at twice that. The clusters are sent one after the other,
since two at a time overflow the queue of a narrow link. Afterwards the same happens from time to
time, as long as the estimate is what limits the senders: links become faster without a sign.
"""

from .packets import ProbeCluster

_FIRST = 3.0
"""First cluster, as a multiple of the first rate."""
_FURTHER = 2.0
"""Each further one, as a multiple of the rate that was confirmed."""
_AGAIN = (2.0, 1.5)
"""A later cluster as a multiple of the rate: the usual one, and after one that found no more."""

_ENOUGH = 0.97
"""Part of the demand that needs no probe."""
_BEYOND = 1.1
"""Multiple of the demand that is probed at most."""

_INTERVAL = 2.0
"""Seconds between probes."""
_KNOWN_INTERVAL = 10.0
"""The same while it is known what the link carries when it is full. A probe then finds nothing but
a queue; and that the link became faster shows as soon as more arrives, which ends that knowledge.
"""
_SPREAD = 0.5
"""Seconds by which the interval varies, so that several transports do not probe at once."""
_GOLDEN = 0.618034
_COST = 0.04
"""Part of the rate that is spent on probes."""
_AFTER_DECREASE = 0.5
"""Seconds after a decrease without a probe."""

_OVERFLOW = 0.1
"""Seconds of the estimated rate that a cluster takes at most: the queue that it may cause."""

_RETRY = 0.05
"""Seconds after which a probe is tried again that congestion did not permit."""

_DURATION, _FRAMES = 0.02, 0.07
"""Seconds of a cluster: usually, and where other flows may be. Their frames leave gaps, so that a
cluster has to be longer than the time between frames."""
_NOISY = 0.01
"""Seconds of jitter from which a queue may be none, and what the link carries is not known."""
_NOISES = 5.0
"""Seconds of a cluster for each second of jitter."""
_COUNT = 5
_PART = 0.85
"""Part of a rate before a sharp decrease that is probed once the queue is gone."""

_RESULT_TIME = 1.0
"""Seconds until the feedback about a cluster has come."""


class ProbeController:
    """Clusters that are due.

    Args:
        now: Seconds on a monotonic clock.
        start: First rate.
        highest: Highest rate; both in bits per second.

    Attributes:
        demand: Bits per second that senders could use at most.
    """

    def __init__(self, now: float, start: float, highest: float) -> None:
        self._start, self._highest = start, highest
        self.demand = float("inf")
        self._next_id = 1
        self._due: list[ProbeCluster] = []
        self._open: tuple[int, float] | None = None  # cluster without a result, and its time-out
        self._next_at = now
        self._is_known = False
        self._probed_at = now
        self._has_begun = False
        self._failures = 0
        self._recover: float | None = None
        self._duration = _DURATION
        self._overflow = _OVERFLOW

    @property
    def pending(self) -> int | None:
        """Return the number of the cluster whose result is not known yet."""
        return None if self._open is None else self._open[0]

    def _is_wanted(self, rate: float) -> bool:
        return rate < _ENOUGH * min(self.demand, self._highest)

    def _due_at(self) -> float:
        """Return the time of the next probe."""
        if self._is_known and self._recover is None:
            return max(self._next_at, self._probed_at + _KNOWN_INTERVAL)
        return self._next_at

    def _most(self) -> float:
        return min(_BEYOND * self.demand, self._highest)

    def set_demand(self, demand: float, rate: float, now: float) -> None:
        """Set what senders could use; a rise is probed at once."""
        rises = demand > self.demand
        self.demand = demand
        if rises and rate < _ENOUGH * demand and self._has_begun:
            self._failures = 0
            self._next_at = now

    def update(
        self,
        rate: float,
        now: float,
        decreased_at: float,
        *,
        is_clear: bool,
        is_known: bool = False,
        is_shared: bool = False,
        noise: float = 0.0,
    ) -> None:
        """Begin a probe if one is due.

        Args:
            rate: Bits per second of the estimate.
            now: Seconds on a monotonic clock.
            decreased_at: Time of the last decrease.
            is_clear: Whether there is no sign of congestion.
            is_known: Whether it is known what the link carries when it is full.
            is_shared: Whether the link was full lately, maybe by other flows.
            noise: Seconds of jitter.
        """
        self._duration = max(_FRAMES if is_shared else _DURATION, _NOISES * noise)
        self._overflow = _OVERFLOW + _NOISES * noise / 2
        self._is_known = is_known and noise < _NOISY
        if self._open is not None or now < self._due_at() or not self._is_wanted(rate):
            return
        if not self._has_begun:
            self._has_begun = True
            self._begin(_FIRST * self._start, rate, now)
        elif not is_clear or now - decreased_at < _AFTER_DECREASE:
            self._next_at = now + _RETRY
        else:
            wanted = rate * _AGAIN[min(self._failures, 1)]
            if self._recover is not None:
                wanted, self._recover = max(wanted, self._recover), None
            self._begin(wanted, rate, now)

    def fell(self, before: float, now: float) -> None:
        """Note a sharp decrease: the rate before it is probed once, if the cause was short."""
        self._recover = max(_PART * before, self._recover or 0.0)
        self._failures = 0
        self._next_at = min(self._next_at, now + _AFTER_DECREASE)

    def _begin(self, bitrate: float, rate: float, now: float) -> None:
        bitrate = min(bitrate, self._most())
        size = int(min(bitrate * self._duration, rate * self._overflow) / 8)
        cluster = ProbeCluster(self._next_id, bitrate, _COUNT, size, self._duration)
        self._next_id += 1
        self._due.append(cluster)
        self._open = cluster.id, now + _RESULT_TIME
        self._probed_at = now
        spread = _SPREAD * (cluster.id * _GOLDEN % 1.0)
        self._next_at = now + max(_INTERVAL + spread, size * 8 / (_COST * rate))

    def finished(self, id_: int, found: float | None, rate: float, now: float) -> None:
        """Process the result of a cluster.

        Args:
            id_: Its number.
            found: Bits per second if it confirmed its rate, otherwise ``None``.
            rate: Bits per second of the estimate that resulted.
            now: Seconds on a monotonic clock.
        """
        if self._open is None or self._open[0] != id_:
            return
        self._open = None
        if found is None:
            self._failures += 1
        else:
            self._failures = 0
            if self._is_wanted(rate):
                self._begin(_FURTHER * found, rate, now)

    def timed_out(self, now: float) -> int | None:
        """Return the number of the cluster that had its time, if there is one."""
        if self._open is not None and now >= self._open[1]:
            return self._open[0]
        return None

    def take(self) -> list[ProbeCluster]:
        """Return the clusters that are due, each once."""
        due, self._due = self._due, []
        return due

    def deadline(self, rate: float) -> float | None:
        """Return the time at which :meth:`update` or :meth:`timed_out` has something to do."""
        if self._open is not None:
            return self._open[1]
        return self._due_at() if self._is_wanted(rate) else None
