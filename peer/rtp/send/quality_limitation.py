"""Quality limitation of outgoing video, as in W3C webrtc-stats 8.4. Does no I/O."""

from collections.abc import Mapping


class QualityLimitation:
    """Reason why frames are smaller or fewer than those of the track, and its durations.

    Attributes:
        reason: ``"none"``, ``"cpu"``, ``"bandwidth"`` or ``"other"``
            (``RTCQualityLimitationReason``).
        resolution_changes: Number of changes of the size for such a reason.
    """

    def __init__(self) -> None:
        self.reason = "none"
        self.resolution_changes = 0
        self._durations = dict.fromkeys(("none", "cpu", "bandwidth", "other"), 0.0)
        self._since: float | None = None
        self._scale = 1.0

    def note(self, now: float, reason: str, scale: float) -> None:
        """Note the reason in force from now on.

        Args:
            now: Seconds on a monotonic clock.
            reason: The reason.
            scale: Divisor of width and height for it.
        """
        if scale != self._scale:
            self.resolution_changes += 1
            self._scale = scale
        if self._since is not None:
            self._durations[self.reason] += max(0.0, now - self._since)
        self._since = now
        self.reason = reason

    def durations(self, now: float) -> Mapping[str, float]:
        """Return the seconds spent in each reason until now."""
        self.note(now, self.reason, self._scale)
        return dict(self._durations)
