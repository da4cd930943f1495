"""Limits that a receiver without transport-wide feedback tells: REMB and receiver reports.

REMB is the receiver's own estimate. It grows with what arrives, so it is low while little is sent;
it then says nothing about the path (draft-alvestrand-rmcat-remb).
"""

_LIFETIME = 30.0
"""Seconds after which a REMB that is not renewed expires."""

_RESTRICTS = 0.95
"""Part of the sent rate below which a REMB is a sign of congestion."""

_HIGH_LOSS, _LOW_LOSS = 0.1, 0.02
"""Parts of lost packets that lower the rate, and that let it grow (draft-ietf-rmcat-gcc-02
section 6)."""
_GROWTH = 1.08
_DECREASE_INTERVAL = 0.3
"""Seconds, beyond a round trip, between two decreases."""
_GROWN = 1.5
_GROWN_BITS = 10_000.0


class ReceiverLimits:
    """Estimate of a path without transport-wide feedback."""

    def __init__(self) -> None:
        self._remb: float | None = None
        self._remb_at = 0.0
        self._changed_at = float("-inf")

    def remb(self, now: float) -> float | None:
        """Return the bits per second of a REMB that still holds."""
        if self._remb is not None and now - self._remb_at >= _LIFETIME:
            self._remb = None
        return self._remb

    def on_remb(self, bitrate: float, rate: float, sent: float, now: float) -> float:
        """Process a REMB; return the new estimate for a path without other feedback."""
        self._remb, self._remb_at = bitrate, now
        if bitrate >= rate or bitrate < _RESTRICTS * sent:
            return bitrate
        return rate

    def on_loss(
        self, fraction: float, rate: float, sent: float, round_trip: float, now: float
    ) -> float:
        """Process the loss of a receiver report; return the new estimate likewise."""
        since = now - self._changed_at
        if fraction > _HIGH_LOSS:
            if since < _DECREASE_INTERVAL + round_trip:
                return rate
            self._changed_at = now
            return rate * (1 - fraction / 2)
        if fraction < _LOW_LOSS and self.remb(now) is None and since >= 1:
            self._changed_at = now
            return min(rate * _GROWTH, max(_GROWN * sent + _GROWN_BITS, rate))
        return rate
