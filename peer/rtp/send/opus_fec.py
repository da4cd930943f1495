"""Opus in-band FEC (RFC 6716 section 2.1.7), enabled while the peer reports packet loss.

With FEC, a packet repeats the speech of the previous packet at a lower bit rate. That costs bits
and makes libopus code all sound as speech. So FEC is used only while the receiver reports loss, and
its strength follows the loss rate.
"""

LEVELS = (0.0, 0.1, 0.2, 0.3)
"""Values of the loss that the encoder is configured to expect. At 96 kbit/s libopus adds no FEC
below 0.1."""
MIN_LOSS = 0.01
"""Loss fraction from which FEC is enabled."""
HOLD = 10.0
"""Seconds of lower loss before FEC is reduced."""


class OpusFec:
    """FEC level of one stream, derived from receiver reports. Does no I/O."""

    def __init__(self) -> None:
        self.level: float = 0.0
        self._lower_since: float | None = None

    def report(self, now: float, loss: float) -> float:
        """Process a receiver report.

        Args:
            now: Seconds on a monotonic clock.
            loss: Fraction of packets lost since the previous report, 0 to 1.

        Returns:
            The expected loss to configure, one of :data:`LEVELS`.
        """
        fitting = [level for level in LEVELS if level >= loss]
        wanted = 0.0 if loss < MIN_LOSS else min(fitting, default=LEVELS[-1])
        if wanted >= self.level:
            self.level, self._lower_since = wanted, None
        elif self._lower_since is None:
            self._lower_since = now
        elif now - self._lower_since >= HOLD:
            self.level, self._lower_since = wanted, None
        return self.level
