"""Receiver's estimate of what a path takes, for senders that are told it by REMB.

Such a sender knows neither transport-wide feedback nor RFC 8888, but writes its send times into
packets (abs-send-time). The estimate grows fast while what arrives follows it and the queue on the
path does not grow, and slowly near the rate at which it last did (draft-ietf-rmcat-gcc-02 section
5.5). Does no I/O.
"""

from collections import deque

from ..serial_numbers import Unwrapper
from .aimd_rate_control import LinkCapacity
from .arrival_groups import ArrivalGroups
from .packets import NetworkState, SentPacket
from .trend import TrendDetector

GROWTH = 3.0
"""Factor by which the estimate grows in a second while the limit of the path is unknown."""

NEAR_GROWTH = 1.05
"""Factor by which it grows in a second near the rate at which the queue grew before."""

HEADROOM = 1.5
"""Factor by which the estimate grows beyond the received rate, at most."""

BACK_OFF = 0.85
"""Fraction of the received rate to which the estimate falls when the queue grows."""

WINDOW = 0.5
"""Seconds over which the received rate is measured."""

INTERVAL = 0.2
"""Seconds from one estimate that is told to the next; a lower one is told at once."""

BACK_OFF_INTERVAL = 0.2
"""Seconds from one reduction to the next: the queue needs that long to show what came of it."""

MAX_PAUSE = 2.0
"""Seconds without a packet after which rate and delays are measured anew."""

MAX_DEVIATION = 3.0
"""Seconds by which the times between two packets may differ at sender and receiver. With more, a
clock was set, and the delays are measured anew."""

MAX_SSRCS = 16
"""SSRCs that the estimate names. The ones silent longest are left out."""

MIN_ESTIMATE, MAX_ESTIMATE = 10_000, 10_000_000_000
"""Bounds of the estimate, in bits per second."""

_SEND_TIME_UNIT = 1 / (1 << 18)
"""Seconds of one unit of abs-send-time."""

_BUCKET = 0.01
"""Seconds of packets that are counted as one."""


class ReceiverEstimate:
    """Estimate of the bandwidth of the path from one sender.

    Attributes:
        bitrate: Bits per second; ``None`` before the first estimate.
        ssrcs: The SSRCs that it is about, and the arrival of the latest packet of each.
    """

    def __init__(self) -> None:
        self.bitrate: float | None = None
        self.ssrcs: dict[int, float] = {}
        self._send_time = Unwrapper(24)
        self._last: tuple[float, float] | None = None
        self._groups, self._trend = ArrivalGroups(), TrendDetector()
        self._rate = _ReceivedRate()
        self._capacity = LinkCapacity()
        self._grown_at = self._told_at = self._reduced_at = float("-inf")

    def add(
        self, abs_send_time: int, arrival_time_ms: int, payload_size: int, ssrc: int
    ) -> tuple[int, list[int]] | None:
        """Record the arrival of a packet.

        Args:
            abs_send_time: The send time in its header extension, 24 bits, in 1/262144 seconds.
            arrival_time_ms: Milliseconds on a monotonic clock.
            payload_size: Bytes.
            ssrc: The packet's SSRC.

        Returns:
            The estimate in bits per second and the SSRCs that it is about, if it is to be sent.
        """
        now = arrival_time_ms / 1000
        sent = self._send_time.unwrap(abs_send_time) * _SEND_TIME_UNIT
        self._note_ssrc(ssrc, now)
        self._begin_anew_after_a_leap(sent, now)
        self._rate.add(payload_size, now)
        delta = self._groups.add(SentPacket(0, sent, payload_size, None), now)
        if delta is not None:
            self._trend.add(delta)
        is_lower = self._update(now)
        if self.bitrate is None or not (is_lower or now - self._told_at >= INTERVAL):
            return None
        self._told_at = now
        return round(self.bitrate), list(self.ssrcs)

    def _note_ssrc(self, ssrc: int, now: float) -> None:
        self.ssrcs.pop(ssrc, None)
        self.ssrcs[ssrc] = now
        if len(self.ssrcs) > MAX_SSRCS:
            del self.ssrcs[next(iter(self.ssrcs))]

    def _begin_anew_after_a_leap(self, sent: float, now: float) -> None:
        last, self._last = self._last, (sent, now)
        if last is None:
            return
        elapsed = now - last[1]
        if elapsed > MAX_PAUSE:
            self._rate = _ReceivedRate()
            self._grown_at = now
        if elapsed > MAX_PAUSE or abs(elapsed - (sent - last[0])) > MAX_DEVIATION:
            self._groups.reset()
            self._trend.reset()

    def _update(self, now: float) -> bool:
        """Let the estimate follow the state of the path; return whether it is lower now."""
        received = self._rate.bitrate(now)
        if received is None:
            self._grown_at = now
            return False
        state = self._trend.state
        if state is NetworkState.OVERUSING:
            return self._reduce(received, now)
        since = min(now - self._grown_at, 1.0)
        self._grown_at = now
        if self.bitrate is None:
            self.bitrate = _bounded(received * HEADROOM)
        elif state is NetworkState.NORMAL:
            limit = self._capacity.bitrate
            if limit is not None and received > limit:
                self._capacity.forget_unless(received)
            growth = GROWTH if self._capacity.bitrate is None else NEAR_GROWTH
            most = max(received * HEADROOM, self.bitrate)
            self.bitrate = _bounded(min(self.bitrate * growth**since, most))
        # While the queue shrinks the estimate stays as it is.
        return False

    def _reduce(self, received: float, now: float) -> bool:
        self._grown_at = now
        if now - self._reduced_at < BACK_OFF_INTERVAL:
            return False
        self._reduced_at = now
        self._capacity.forget_unless(received)
        self._capacity.add(received)
        before = self.bitrate
        reduced = _bounded(received * BACK_OFF)
        self.bitrate = reduced if before is None else min(before, reduced)
        return before is None or self.bitrate < before


class _ReceivedRate:
    """Received rate, measured over the last :data:`WINDOW`."""

    def __init__(self) -> None:
        self._buckets: deque[tuple[int, int]] = deque()
        self._bytes = 0
        self._since: float | None = None

    def add(self, size: int, now: float) -> None:
        if self._since is None:
            self._since = now
        bucket = int(now / _BUCKET)
        if self._buckets and self._buckets[-1][0] == bucket:
            self._buckets[-1] = bucket, self._buckets[-1][1] + size
        else:
            self._buckets.append((bucket, size))
        self._bytes += size
        oldest = int((now - WINDOW) / _BUCKET)
        while self._buckets and self._buckets[0][0] <= oldest:
            self._bytes -= self._buckets.popleft()[1]

    def bitrate(self, now: float) -> float | None:
        """Return bits per second; ``None`` before the window is full for the first time."""
        if self._since is None or now - self._since < WINDOW:
            return None
        return self._bytes * 8 / WINDOW


def _bounded(bitrate: float) -> float:
    return min(max(bitrate, MIN_ESTIMATE), MAX_ESTIMATE)
