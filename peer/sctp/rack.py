"""RACK: time-based loss detection with an adaptive reordering window (RFC 8985 section 6.2).

Here a segment of TCP is an SCTP chunk, and a duplicate TSN stands for a D-SACK.
"""

from .outbound import Fragment
from .round_trip import RoundTrip

REORDERING_THRESHOLD = 3
"""Number of chunks that must overtake a chunk for it to count as lost, before any reordering was
seen."""

REORDERING_ROUNDS = 16
"""Recoveries after which the reordering window is reset (RFC 8985 section 6.2)."""


class Rack:
    """RACK state of one association. Does no I/O.

    Attributes:
        transmission: Number of the latest transmission that was acknowledged; -1 before the first.
    """

    def __init__(self) -> None:
        self.transmission: int = -1
        self._rtt = 0.0
        self._has_reordering = False
        self._factor = 1
        """The reordering window, in quarters of the minimum round-trip time."""
        self._recoveries_left = 0

    def update(self, transmission: int, rtt: float) -> None:
        """Note the latest transmission that a SACK acknowledges, and its round-trip time.

        Args:
            transmission: Its number.
            rtt: Its round-trip time, in seconds.
        """
        self.transmission = max(self.transmission, transmission)
        self._rtt = rtt

    def on_first_ack(self, fragment: Fragment) -> None:
        """Note the acknowledgement of a chunk that was sent once: it may show reordering."""
        if fragment.transmission < self.transmission:
            self._has_reordering = True

    def on_duplicates(self) -> None:
        """Widen the reordering window: a retransmission was unnecessary."""
        self._factor = min(self._factor + 1, 8)
        self._recoveries_left = REORDERING_ROUNDS

    def on_recovery(self) -> None:
        """Note that a recovery begins; after enough of them the reordering window shrinks."""
        if self._recoveries_left:
            self._recoveries_left -= 1
            if not self._recoveries_left:
                self._factor = 1

    def loss_delay(self, round_trip: RoundTrip, *, overtaking: int, in_recovery: bool) -> float:
        """Return the seconds after its transmission when an overtaken chunk counts as lost.

        Args:
            round_trip: The round-trip time estimate.
            overtaking: Number of chunks in the gap blocks of the latest SACK.
            in_recovery: Whether loss recovery is in progress.
        """
        return self._rtt + self._reordering_window(round_trip, overtaking, in_recovery)

    def _reordering_window(
        self, round_trip: RoundTrip, overtaking: int, in_recovery: bool
    ) -> float:
        """Return the reordering window in seconds (RFC 8985 section 6.2 step 4)."""
        if not self._has_reordering and (overtaking >= REORDERING_THRESHOLD or in_recovery):
            return 0.0
        smoothed = round_trip.smoothed or 0.0
        return min(self._factor * min(round_trip.least, smoothed) / 4, smoothed)
