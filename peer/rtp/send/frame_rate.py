"""Frame-rate limit: drops video frames beyond ``maxFramerate``. Does no I/O."""

_EARLY = 0.017
"""Maximum seconds by which a frame may be early and still be sent."""


class FrameRateLimit:
    """Selects which video frames to send."""

    def __init__(self) -> None:
        self._due: float | None = None

    def takes(self, time: float, rate: float | None) -> bool:
        """Return whether to send a frame.

        Args:
            time: The timestamp of the frame, in seconds.
            rate: Maximum frames per second; ``None`` for no limit.
        """
        if rate is None:
            self._due = None
            return True
        if self._due is None or not -1.5 < (time - self._due) * rate < 1.5:
            self._due = time  # the first frame, or a discontinuity
        # Cameras jitter: a slightly early frame is the one that is due.
        if time < self._due - min(0.2 / rate, _EARLY):
            return False
        self._due += 1 / rate
        return True
