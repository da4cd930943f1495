"""How fast to send, by what the other side reports. No I/O.

REMB is the other side's own estimate. It grows with what comes: of a picture in which nothing moves
it says little, and that is no reason to send less of the next one in which much does. So it lowers
the rate only where it is below what is sent. Where it is silent, or too high, loss bounds the rate
as in Google Congestion Control (draft-ietf-rmcat-gcc-02, section 6).
"""

_MUCH_LOSS, _LITTLE_LOSS = 0.1, 0.02
_GROWTH = 1.08
_BELOW = 0.95
"""Congestion has the other side estimate 0.85 of what it receives (the same draft, section 5.5)."""
_BETWEEN = 0.3
"""Seconds from one decrease to the next, beside the round trip."""
_FORGOTTEN_AFTER = 30.0
"""Seconds after which an estimate that is not renewed counts no more."""
_FLOOR = 60_000


class RateControl:
    """What one peer can take.

    Attributes:
        loss: The part of the packets that was lost, of the latest report, 0 to 1.
        rtt: Seconds there and back, or ``None``.
    """

    def __init__(self) -> None:
        self.loss = 0.0
        self.rtt: float | None = None
        self._estimate: int | None = None
        self._estimated_at = 0.0
        self._loss_bound: float | None = None
        self._changed_at = float("-inf")

    def on_estimate(self, bitrate: int, sent: float | None, now: float) -> None:
        """Take a REMB.

        Args:
            bitrate: Bits a second.
            sent: Bits a second that are sent at the moment, if that is known.
            now: Seconds.
        """
        known = self._estimate if now - self._estimated_at < _FORGOTTEN_AFTER else None
        is_higher = known is not None and bitrate >= known
        if is_higher or (sent is not None and bitrate < sent * _BELOW):
            self._estimate = bitrate
        elif known is None:
            return  # nothing is known, and this tells nothing
        self._estimated_at = now

    def on_report(self, loss: float, rtt: float | None, sent: float | None, now: float) -> None:
        """Take a receiver report.

        Args:
            loss: The part lost since the last one, 0 to 1.
            rtt: Seconds there and back.
            sent: Bits a second that are sent at the moment, if that is known.
            now: Seconds.
        """
        self.loss, self.rtt = loss, rtt
        since = now - self._changed_at
        if not sent:
            return
        if loss > _MUCH_LOSS:
            if since >= _BETWEEN + (rtt or 0.0):
                base = min(sent, self._loss_bound) if self._loss_bound else sent
                self._loss_bound = max(_FLOOR, base * (1 - loss / 2))
                self._changed_at = now
        elif loss < _LITTLE_LOSS and self._loss_bound is not None and since >= 1:
            self._loss_bound *= _GROWTH
            self._changed_at = now
            if self._loss_bound > 2 * sent:
                self._loss_bound = None  # it bounds nothing any more

    def bitrate(self, now: float) -> int | None:
        """Return the bits a second that the peer can take; ``None`` while nothing is known."""
        known = [self._loss_bound] if self._loss_bound is not None else []
        if self._estimate is not None and now - self._estimated_at < _FORGOTTEN_AFTER:
            known.append(self._estimate)
        return round(min(known)) if known else None
