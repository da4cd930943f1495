"""Which quality a viewer gets, by what it reports. No I/O.

An estimate of the other side's grows with what it receives: on a small picture it never says that
there is room for a large one. So a viewer that has received well for a while is tried with the next
better one, and the less often the more such tries have failed.
"""

from collections.abc import Sequence

_MUCH_LOSS, _LITTLE_LOSS = 0.1, 0.02
_TOO_LITTLE, _FAR_TOO_LITTLE = 0.85, 0.5
_HEADROOM = 1.25
_DOWN_AFTER = 1.0
_UP_AFTER, _UP_AFTER_MOST = 4.0, 64.0
_TRIAL = 10.0
"""Seconds after a step up in which a step down counts as its failure."""


class TierChooser:
    """Chooses one viewer's tier, with hysteresis; 0 is the best.

    Attributes:
        tier: The one chosen.
    """

    def __init__(self) -> None:
        self.tier = 0
        self._bad_since: float | None = None
        self._good_since: float | None = None
        self._up_at = float("-inf")
        self._patience = _UP_AFTER

    def feedback(
        self,
        now: float,
        rates: Sequence[int],
        *,
        sent: int | None,
        bitrate: int | None,
        loss: float,
    ) -> int:
        """Take a report and return the tier.

        Args:
            now: Seconds.
            rates: Bits a second of each tier at most, the best first.
            sent: Bits a second that the tier in use has at the moment, by what is to be seen;
                ``None`` while that is not known.
            bitrate: Bits a second that the viewer can take; ``None`` if that is not known.
            loss: The part of the packets that was lost, 0 to 1.
        """
        self.tier = min(self.tier, len(rates) - 1)
        part = bitrate / sent if bitrate is not None and sent else 1.0
        is_bad = loss > _MUCH_LOSS or part < _TOO_LITTLE
        if is_bad:
            self._good_since = None
            if self._bad_since is None:
                self._bad_since = now
            if (part < _FAR_TOO_LITTLE or now - self._bad_since >= _DOWN_AFTER) and self.tier < len(
                rates
            ) - 1:
                self._step_down(now)
            return self.tier
        self._bad_since = None
        if self.tier == 0 or loss > _LITTLE_LOSS or not self._has_room(rates, sent, bitrate):
            self._good_since = None
            return self.tier
        if self._good_since is None:
            self._good_since = now
        elif now - self._good_since >= self._patience:
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
            self._patience = min(self._patience * 2, _UP_AFTER_MOST)
        else:
            self._patience = _UP_AFTER
        self.tier += 1
        self._bad_since = None
