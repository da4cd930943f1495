"""Fewer pictures a second than a track gives (``maxFramerate``). No I/O: the time is given."""

_EARLY = 0.017
"""Seconds, at most, by which a picture may come early and still be sent."""


class FrameRateLimit:
    """Chooses which pictures to send. No I/O."""

    def __init__(self) -> None:
        self._due: float | None = None

    def takes(self, time: float, rate: float | None) -> bool:
        """Return whether a picture is sent.

        Args:
            time: The picture's, in seconds.
            rate: Pictures a second at most; ``None`` is all of them.
        """
        if rate is None:
            self._due = None
            return True
        if self._due is None or not -1.5 < (time - self._due) * rate < 1.5:
            self._due = time  # the first one, or time has jumped
        # A camera is not exact: what comes a little early is still the picture that is due.
        if time < self._due - min(0.2 / rate, _EARLY):
            return False
        self._due += 1 / rate
        return True
