"""Quality adaptation: selects an encoding tier for a viewer from its receiver reports. No I/O.

The bandwidth estimate of a receiver (REMB) is limited by the rate that it receives. While it
receives a small picture, its estimate never shows that a large one would fit. So a viewer that has
received well for a while is switched to the next better tier as a trial. Each failed trial doubles
the time to the next one.
"""

from collections.abc import Sequence

_DOWN_LOSS, _UP_LOSS = 0.1, 0.02
_DOWN_RATIO, _IMMEDIATE_DOWN_RATIO = 0.85, 0.5
_HEADROOM = 1.25
_DOWN_AFTER = 1.0
_UP_AFTER, _MAX_UP_AFTER = 4.0, 64.0
_TRIAL = 10.0
"""Seconds after a step up in which a step down counts as a failed trial."""


class TierChooser:
    """Selection of the tier of one viewer, with hysteresis.

    Attributes:
        tier: Index of the chosen tier; 0 is the best.
    """

    def __init__(self) -> None:
        self.tier: int = 0
        self._bad_since: float | None = None
        self._good_since: float | None = None
        self._up_at = float("-inf")
        self._up_after = _UP_AFTER

    def feedback(
        self,
        now: float,
        rates: Sequence[int],
        *,
        sent: int | None,
        bitrate: int | None,
        loss: float,
    ) -> int:
        """Process a report of the viewer and return the tier.

        Args:
            now: Seconds on a monotonic clock.
            rates: Maximum bitrate of each tier, the best first, in bits per second.
            sent: Measured bitrate of the tier in use, in bits per second; ``None`` while it is not
                known.
            bitrate: Bandwidth estimate of the viewer, in bits per second; ``None`` if not known.
            loss: Fraction of lost packets, 0 to 1.
        """
        self.tier = min(self.tier, len(rates) - 1)
        ratio = bitrate / sent if bitrate is not None and sent else 1.0
        is_bad = loss > _DOWN_LOSS or ratio < _DOWN_RATIO
        if is_bad:
            self._good_since = None
            if self._bad_since is None:
                self._bad_since = now
            if (
                ratio < _IMMEDIATE_DOWN_RATIO or now - self._bad_since >= _DOWN_AFTER
            ) and self.tier < len(rates) - 1:
                self._step_down(now)
            return self.tier
        self._bad_since = None
        if self.tier == 0 or loss > _UP_LOSS or not self._has_room(rates, sent, bitrate):
            self._good_since = None
            return self.tier
        if self._good_since is None:
            self._good_since = now
        elif now - self._good_since >= self._up_after:
            self.tier -= 1
            self._up_at, self._good_since = now, None
        return self.tier

    def _has_room(self, rates: Sequence[int], sent: int | None, bitrate: int | None) -> bool:
        if bitrate is None:
            return True
        has = rates[self.tier] if sent is None else sent
        return bitrate >= min(rates[self.tier - 1], has * _HEADROOM)

    def _step_down(self, now: float) -> None:
        if now - self._up_at < _TRIAL:
            self._up_after = min(self._up_after * 2, _MAX_UP_AFTER)
        else:
            self._up_after = _UP_AFTER
        self.tier += 1
        self._bad_since = None
