"""Detects overuse by the trend of the delay: a line through the last groups of packets.

The threshold follows the trend slowly, so that the flow neither reacts to jitter nor starves beside
one that fills the queue (draft-ietf-rmcat-gcc-02 section 5.4; Carlucci et al., MMSys 2016).
"""

from collections import deque

from .arrival_groups import GroupDelta
from .packets import NetworkState

_GROUPS = 20
"""Groups that the line goes through."""

_SMOOTHING = 0.9
_GAIN = 4.0
_COUNTED = 60
"""Groups after which the trend has its full weight."""

_START_THRESHOLD = 12.5
_THRESHOLDS = (6.0, 600.0)
"""Bounds of the threshold in milliseconds of weighted trend."""

_RISE, _FALL = 0.0087, 0.039
"""Parts of the distance per millisecond by which the threshold follows upwards and downwards."""

_OUTLIER = 15.0
"""Milliseconds above the threshold from which a trend does not move it."""

_STEP_TIME = 100.0
"""Milliseconds that count at most for one move of the threshold."""

_OVERUSE_TIME = 10.0
"""Milliseconds for which the trend is above the threshold before it counts."""


class TrendDetector:
    """Overuse detector on the differences between groups.

    Attributes:
        state: ``NORMAL``, ``OVERUSING`` or ``UNDERUSING``.
        trend: The weighted trend in milliseconds, to compare with the threshold.
        threshold: The threshold.
    """

    def __init__(self) -> None:
        self.threshold = _START_THRESHOLD
        self.reset()

    def reset(self) -> None:
        """Forget all groups; the threshold stays."""
        self.state = NetworkState.NORMAL
        self.trend = 0.0
        self._points: deque[tuple[float, float]] = deque(maxlen=_GROUPS)
        self._count = 0
        self._delay = self._smoothed = 0.0
        self._begin: float | None = None
        self._before = 0.0
        self._updated_at: float | None = None
        self._over_for = -1.0
        self._over_count = 0

    def add(self, delta: GroupDelta) -> NetworkState:
        """Process the difference of two groups; return the new state."""
        at = delta.arrived_at * 1000
        if self._begin is None:
            self._begin = at
        self._count = min(self._count + 1, _COUNTED)
        self._delay += (delta.arrived - delta.sent) * 1000
        self._smoothed = _SMOOTHING * self._smoothed + (1 - _SMOOTHING) * self._delay
        self._points.append((at - self._begin, self._smoothed))
        slope = self._slope() if len(self._points) == _GROUPS else 0.0
        self.trend = self._count * slope * _GAIN
        self._detect(slope, delta.sent * 1000)
        self._adapt(at)
        return self.state

    def _slope(self) -> float:
        points = self._points
        middle_x = sum(x for x, _ in points) / _GROUPS
        middle_y = sum(y for _, y in points) / _GROUPS
        top = bottom = 0.0
        for x, y in points:
            away = x - middle_x
            top += away * (y - middle_y)
            bottom += away * away
        return top / bottom if bottom > 1e-9 else 0.0

    def _detect(self, slope: float, lasted: float) -> None:
        if self.trend > self.threshold:
            self._over_for = lasted / 2 if self._over_for < 0 else self._over_for + lasted
            self._over_count += 1
            if self._over_for > _OVERUSE_TIME and self._over_count > 1 and slope >= self._before:
                self._over_for, self._over_count = 0.0, 0
                self.state = NetworkState.OVERUSING
        else:
            self._over_for, self._over_count = -1.0, 0
            under = self.trend < -self.threshold
            self.state = NetworkState.UNDERUSING if under else NetworkState.NORMAL
        self._before = slope

    def _adapt(self, at: float) -> None:
        lasted = 0.0 if self._updated_at is None else at - self._updated_at
        self._updated_at = at
        size = abs(self.trend)
        if size > self.threshold + _OUTLIER:
            return  # a sudden step, such as a change of the route
        gain = _FALL if size < self.threshold else _RISE
        moved = gain * (size - self.threshold) * min(max(lasted, 0.0), _STEP_TIME)
        low, high = _THRESHOLDS
        self.threshold = min(max(self.threshold + moved, low), high)
