"""Whether anything comes of a remote track (W3C mediacapture-main 4.3.1). No I/O: time is given."""

QUIET = 3.0
"""Seconds without a packet after which a track is muted. A sender that says nothing (DTX) sends one
each 0.4 s, and of a screen on which nothing moves browsers send a picture each second."""


class Muting:
    """The ``muted`` of one remote track.

    It is so until the first packet, where the negotiated direction has nothing received, and after
    :data:`QUIET` (W3C webrtc-pc 4.4.1.5 and 9.3).

    Attributes:
        muted: Whether it is muted.
    """

    def __init__(self) -> None:
        self.muted = True
        self._arrived = 0.0

    @property
    def due(self) -> float:
        """When it is muted for want of packets."""
        return self._arrived + QUIET

    def arrived(self, now: float) -> bool:
        """Note a packet of media.

        Args:
            now: Seconds on a monotonic clock.

        Returns:
            Whether the track is not muted any more.
        """
        self._arrived = now
        was_muted, self.muted = self.muted, False
        return was_muted

    def stopped(self) -> bool:
        """Note that nothing is to be received any more; return whether the track is muted now."""
        was_muted, self.muted = self.muted, True
        return not was_muted

    def look(self, now: float) -> bool:
        """Return whether the track is muted now, for want of packets."""
        return now >= self.due and self.stopped()
