"""Send-side bandwidth estimation from REMB and receiver reports. Does no I/O.

REMB is the receiver's estimate. It grows with the received rate, so it is low while the picture is
static, which is no reason to restrict the next moving scene. It therefore lowers the rate only
where it is below the rate being sent. Without REMB, or if REMB is too high, packet loss limits the
rate as in Google Congestion Control (draft-ietf-rmcat-gcc-02, section 6).
"""

_HIGH_LOSS, _LOW_LOSS = 0.1, 0.02
_GROWTH = 1.08
_CONGESTED_RATIO = 0.95
"""Under congestion, the receiver estimates 0.85 of its received rate (same draft, section 5.5)."""
_DECREASE_INTERVAL = 0.3
"""Minimum seconds between two decreases, plus the round-trip time."""
_ESTIMATE_LIFETIME = 30.0
"""Seconds after which an estimate that is not renewed expires."""
_MIN_BITRATE = 60_000
"""Bits per second: loss does not lower the rate further."""


class RembRateControl:
    """Bandwidth estimate for a peer that sends REMB and receiver reports alone.

    Attributes:
        loss: Fraction of packets lost in the latest receiver report, 0 to 1.
        rtt: Round-trip time in seconds, or ``None``.
    """

    def __init__(self) -> None:
        self.loss: float = 0.0
        self.rtt: float | None = None
        self._estimate: int | None = None
        self._estimated_at = 0.0
        self._loss_bound: float | None = None
        self._bound_changed_at = float("-inf")

    def on_estimate(self, bitrate: int, sent: float | None, now: float) -> None:
        """Process a REMB.

        Args:
            bitrate: Bits per second.
            sent: Bits per second currently sent, or ``None`` if unknown.
            now: Seconds on a monotonic clock.
        """
        known = self._estimate if now - self._estimated_at < _ESTIMATE_LIFETIME else None
        is_higher = known is not None and bitrate >= known
        if is_higher or (sent is not None and bitrate < sent * _CONGESTED_RATIO):
            self._estimate = bitrate
        elif known is None:
            return  # the estimate only reflects the low rate being sent
        self._estimated_at = now

    def on_report(self, loss: float, rtt: float | None, sent: float | None, now: float) -> None:
        """Process a receiver report.

        Args:
            loss: Fraction of packets lost since the previous report, 0 to 1.
            rtt: Round-trip time in seconds, or ``None``.
            sent: Bits per second currently sent, or ``None`` if unknown.
            now: Seconds on a monotonic clock.
        """
        self.loss, self.rtt = loss, rtt
        since = now - self._bound_changed_at
        if not sent:
            return
        if loss > _HIGH_LOSS:
            if since >= _DECREASE_INTERVAL + (rtt or 0.0):
                base = min(sent, self._loss_bound) if self._loss_bound else sent
                self._loss_bound = max(_MIN_BITRATE, base * (1 - loss / 2))
                self._bound_changed_at = now
        elif loss < _LOW_LOSS and self._loss_bound is not None and since >= 1:
            self._loss_bound *= _GROWTH
            self._bound_changed_at = now
            if self._loss_bound > 2 * sent:
                self._loss_bound = None  # it no longer restricts the rate

    def bitrate(self, now: float) -> int | None:
        """Return the bits per second that the peer can receive; ``None`` if unknown."""
        known = [self._loss_bound] if self._loss_bound is not None else []
        if self._estimate is not None and now - self._estimated_at < _ESTIMATE_LIFETIME:
            known.append(self._estimate)
        return round(min(known)) if known else None
