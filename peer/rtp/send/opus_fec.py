"""Opus that repeats itself where packets are lost.

A packet can carry the speech of the one before it once more, at a lower rate (in-band FEC, RFC 6716
section 2.1.7). That costs bits, and has libopus code sound as speech. So it is done while the other
side reports losses, and as much as they are.
"""

LEVELS = (0.0, 0.1, 0.2, 0.3)
"""The loss that the encoder is told to expect. At 96 kbit/s libopus repeats
nothing below a tenth."""
FIRST_LOSS = 0.01
"""The part lost from which on it is worth it."""
CALM = 10.0
"""Seconds with fewer losses after which less is repeated."""


class Redundancy:
    """How much is to be repeated, by the other side's reports. No I/O: the time is given."""

    def __init__(self) -> None:
        self.level = 0.0
        self._calm_since: float | None = None

    def report(self, now: float, loss: float) -> float:
        """Take a report.

        Args:
            now: Seconds on a monotonic clock.
            loss: The part of the packets that was lost since the last report, 0 to 1.

        Returns:
            The loss to expect, one of :data:`LEVELS`.
        """
        fitting = [level for level in LEVELS if level >= loss]
        wanted = 0.0 if loss < FIRST_LOSS else min(fitting, default=LEVELS[-1])
        if wanted >= self.level:
            self.level, self._calm_since = wanted, None
        elif self._calm_since is None:
            self._calm_since = now
        elif now - self._calm_since >= CALM:
            self.level, self._calm_since = wanted, None
        return self.level
