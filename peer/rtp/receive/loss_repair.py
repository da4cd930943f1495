"""Loss repair for received video: when to repeat a NACK, skip a gap or request a key frame.

aiortc sends a NACK once, when the next packet reveals the gap (RFC 4585 section 6.2.1). If the NACK
or the retransmission is lost too, as both are while a path is being replaced, video freezes until
512 further packets have arrived: almost a minute at a low bit rate. Does no I/O.
"""

from enum import Enum

NACK_INTERVAL = 0.15
"""Seconds until a NACK is repeated: longer than most round trips."""

MAX_WAIT = 0.6
"""Seconds to wait for missing packets before the gap is skipped."""

KEY_FRAME_RETRY = 0.3
"""Seconds after which the key frame needed after a gap is requested again. The first request may be
lost; a second one costs an additional key frame."""


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

    def next_action(self, now: float, gap: int, *, has_gap: bool) -> RepairAction:
        """Return the action to take after a packet was added.

        Args:
            now: Seconds on a monotonic clock.
            gap: Sequence number of the first missing packet. The timeout restarts whenever it
                changes, because packets of a large key frame are missing as long as it is arriving.
            has_gap: Whether packets are missing between ``gap`` and the newest one.
        """
        if not has_gap or gap != self._gap:
            self._gap = gap if has_gap else None
            self._since = self._requested_at = now
        elif now - self._since >= MAX_WAIT:
            self._retry_at = now + KEY_FRAME_RETRY
            return RepairAction.SKIP
        elif now - self._requested_at >= NACK_INTERVAL:
            self._requested_at = now
            return RepairAction.REPEAT_NACK
        if now >= self._retry_at:
            self._retry_at = float("inf")
            return RepairAction.REQUEST_KEY_FRAME
        return RepairAction.NOTHING
