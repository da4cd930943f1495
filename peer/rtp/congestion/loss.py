"""Tells loss that sending causes from loss that the path has at any rate.

Radio links lose some percent of the packets however little is sent, and giving up the rate for them
helps nobody. Loss counts as congestion when it is beyond the level that persists, and a level
persists if it stays after the rate was reduced because of it. That is the idea of libwebrtc's
inherent loss, without its search over candidate rates.
"""

import math
from collections import deque

_ENOUGH, _TIME = 40, 0.4
"""Packets and seconds of a sample."""
_FEW, _LONG_TIME = 10, 2.0
"""The same where little is sent."""

_SAMPLES = 5
"""Samples that are judged together."""

_TOLERANCE = 0.02
"""Loss beyond the persistent level that is no sign of anything."""
_TOLERANCE_WHEN_FULL = 0.005
"""The same while a queue is full of somebody else's packets: then loss is the only sign."""
_DEVIATIONS, _DEVIATIONS_WHEN_FULL = 2.5, 1.0
"""Standard deviations of the sample beyond it."""

_LEAST_LEVEL = 0.02
"""Loss whose deviation is allowed for before any was seen."""

_PERSISTS = 0.6
"""Part of the loss that is left after a reduction if the rate is not its cause."""
_HIGHEST_INHERENT = 0.25
"""Part of lost packets that is tolerated at most."""

_SETTLE = 0.25
"""Seconds, beyond a round trip, until a reduction shows in the loss."""

_GAIN = 0.25
_CREEPING = 0.03
"""Loss up to which the persistent level rises without a reduction that shows that it persists."""
_SMOOTHING = 0.3


class LossControl:
    """Loss of the packets that feedback tells about.

    Attributes:
        inherent: Part of the packets that is lost at any rate.
        fraction: Part of the packets that was lost lately.
    """

    def __init__(self) -> None:
        self.inherent = 0.0
        self.fraction = 0.0
        self._shown = 0.0  # level that persisted after a reduction
        self._samples: deque[tuple[float, int]] = deque(maxlen=_SAMPLES)  # lost, and all
        self._received = self._lost = 0
        self._from: float | None = None
        self._reduced_for: float | None = None  # loss that led to the last reduction
        self._ignored_until = float("-inf")

    def add(self, received: int, lost: int, late: int, now: float, *, has_queue: bool) -> float:
        """Process the counts of a feedback.

        Args:
            received: Packets that were received.
            lost: Packets that were lost.
            late: Packets among the received ones that were counted as lost before.
            now: Seconds on a monotonic clock.
            has_queue: Whether packets wait in a queue, which then overflows.

        Returns:
            Part of the packets lost by congestion, 0 if there is none. The rate is to be reduced
            once for each.
        """
        if now < self._ignored_until:
            return 0.0
        if self._from is None:
            self._from = now
        self._received += received
        self._lost = max(self._lost + lost - late, 0)
        total, lasted = self._received + self._lost, now - self._from
        if not ((total >= _ENOUGH and lasted >= _TIME) or (total >= _FEW and lasted >= _LONG_TIME)):
            return 0.0
        loss = self._lost / total
        self.fraction += _SMOOTHING * (loss - self.fraction)
        self._received = self._lost = 0
        self._from = now
        return self._judge(loss, total, has_queue=has_queue)

    def _judge(self, loss: float, total: int, *, has_queue: bool) -> float:
        """Judge the latest sample, and the latest ones together, which are less uneven."""
        self._samples.append((loss * total, total))
        all_lost = sum(lost for lost, _ in self._samples)
        all_total = sum(count for _, count in self._samples)
        excess = self._excess(loss, total, has_queue=has_queue)
        if (
            together := self._excess(all_lost / all_total, all_total, has_queue=has_queue)
        ) > excess:
            excess, loss = together, all_lost / all_total
        before, self._reduced_for = self._reduced_for, None
        if excess <= 0:
            self._follow(loss, has_queue=has_queue)
            return 0.0
        if before is not None and not has_queue and loss >= _PERSISTS * before:
            self.inherent = self._shown = min(loss, _HIGHEST_INHERENT)
            return max(loss - _HIGHEST_INHERENT, 0.0)
        self._reduced_for = loss
        return excess

    def _excess(self, loss: float, total: int, *, has_queue: bool) -> float:
        """Return the loss beyond the persistent level and what chance adds to it."""
        level = max(self.inherent, _LEAST_LEVEL)
        deviation = math.sqrt(level * (1 - level) / total)
        if has_queue:
            tolerance = _TOLERANCE_WHEN_FULL + _DEVIATIONS_WHEN_FULL * deviation
        else:
            tolerance = _TOLERANCE + _DEVIATIONS * deviation
        return loss - self.inherent - tolerance

    def _follow(self, loss: float, *, has_queue: bool) -> None:
        """Have the persistent level follow a sample that is no sign of congestion."""
        if loss > self.inherent:
            loss = self.inherent if has_queue else min(loss, max(self._shown, _CREEPING))
        self.inherent += _GAIN * (loss - self.inherent)
        if self.inherent < self._shown / 2:
            self._shown = self.inherent

    def reduced(self, now: float, round_trip: float) -> None:
        """Note that the rate was reduced: what was sent before it does not count any more."""
        self._received = self._lost = 0
        self._from = None
        self._samples.clear()
        self._ignored_until = now + round_trip + _SETTLE
