"""``muted`` state of a remote track (W3C mediacapture-main 4.3.1). Does no I/O."""

MUTE_TIMEOUT = 3.0
"""Seconds without a packet after which a track is muted. A sender in DTX sends a packet every 0.4
s, and browsers send a static screen once per second."""


class Muting:
    """The ``muted`` state of one remote track.

    A track is muted until the first packet, while the negotiated direction does not include
    receiving, and after :data:`MUTE_TIMEOUT` (W3C webrtc-pc 4.4.1.5 and 9.3).

    Attributes:
        muted: Whether it is muted.
    """

    def __init__(self) -> None:
        self.muted: bool = True
        self._arrived = 0.0

    @property
    def due(self) -> float:
        """Time at which the track is muted unless a packet arrives."""
        return self._arrived + MUTE_TIMEOUT

    def arrived(self, now: float) -> bool:
        """Note a media packet.

        Args:
            now: Seconds on a monotonic clock.

        Returns:
            Whether the track was unmuted by it.
        """
        self._arrived = now
        was_muted, self.muted = self.muted, False
        return was_muted

    def stopped(self) -> bool:
        """Mute the track; return whether it was unmuted before."""
        was_muted, self.muted = self.muted, True
        return not was_muted

    def check(self, now: float) -> bool:
        """Mute the track if no packet has arrived for too long; return whether that changed it."""
        return now >= self.due and self.stopped()
