"""Loss repair for received video: when to repeat a NACK, skip a gap or request a key frame.

aiortc sends a NACK once, when the next packet reveals the gap (RFC 4585 section 6.2.1). If the NACK
or the retransmission is lost too, as both are while a path is being replaced, video freezes until
512 further packets have arrived: almost a minute at a low bit rate. Does no I/O.
"""

from enum import Enum

NACK_INTERVAL, LONGEST_NACK_INTERVAL = 0.15, 0.5
"""Seconds until a NACK is repeated, at least and at most: a little more than the last gaps took to
be filled. A link whose queue is full delays retransmissions by as much as anything else, and each
one that is asked for twice makes the queue longer."""

MAX_WAIT, LONGEST_WAIT = 0.6, 1.2
"""Seconds to wait for missing packets before the gap is skipped: of a sender that has filled no gap
yet, and of one that does. A link that has become slower delays what is sent again by its queue, and
a key frame even more."""

KEY_FRAME_RETRY = 0.3
"""Seconds after which the key frame needed after a gap is requested again. The first request may be
lost; a second one costs an additional key frame."""


_GAIN = 0.25
_REPEATED = 1.25
"""Multiple of the time in which gaps are filled after which a NACK is repeated."""


class RepairAction(Enum):
    """The action to take."""

    NOTHING = "nothing"
    REPEAT_NACK = "repeat NACK"
    """Repeat the NACK for all missing packets."""

    SKIP = "skip"
    """Skip the gap, and request a key frame."""

    REQUEST_KEY_FRAME = "request a key frame"


class LossRepair:
    """Decides on loss repair for one video stream."""

    def __init__(self) -> None:
        self._gap: int | None = None
        self._since = self._requested_at = 0.0
        self._retry_at = float("inf")
        self._filled_in: float | None = None

    @property
    def interval(self) -> float:
        """Seconds until a NACK is repeated."""
        return min(max(_REPEATED * (self._filled_in or 0.0), NACK_INTERVAL), LONGEST_NACK_INTERVAL)

    @property
    def wait(self) -> float:
        """Seconds until a gap is skipped."""
        return MAX_WAIT if self._filled_in is None else LONGEST_WAIT

    def next_action(self, now: float, gap: int, *, has_gap: bool) -> RepairAction:
        """Return the action to take after a packet was added.

        Args:
            now: Seconds on a monotonic clock.
            gap: Sequence number of the first missing packet. The timeout restarts whenever it
                changes, because packets of a large key frame are missing as long as it is arriving.
            has_gap: Whether packets are missing between ``gap`` and the newest one.
        """
        if not has_gap or gap != self._gap:
            if self._gap is not None and gap > self._gap:
                self._fill(now - self._since)
            self._gap = gap if has_gap else None
            self._since = self._requested_at = now
        elif now - self._since >= self.wait:
            self._gap = None  # what ends it is no retransmission
            self._retry_at = now + KEY_FRAME_RETRY
            return RepairAction.SKIP
        elif now - self._requested_at >= self.interval:
            self._requested_at = now
            return RepairAction.REPEAT_NACK
        if now >= self._retry_at:
            self._retry_at = float("inf")
            return RepairAction.REQUEST_KEY_FRAME
        return RepairAction.NOTHING

    def _fill(self, seconds: float) -> None:
        """Note how long a gap took to be filled."""
        if self._filled_in is None:
            self._filled_in = seconds
        else:
            self._filled_in += _GAIN * (seconds - self._filled_in)
