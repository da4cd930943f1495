"""When media was captured, for tracks that know it."""

from typing import Protocol, runtime_checkable

from av.frame import Frame


@runtime_checkable
class Timed(Protocol):
    """What a track may offer beside ``recv()``, as remote tracks of ``icefloe.peer`` do.

    RTCP sender reports tie the RTP timestamps of each stream to the NTP clock of its sender
    (RFC 3550 section 6.4.1). With that clock, audio and video of one sender can be put in step
    however differently the two were delayed on their way.
    """

    def capture_time(self, frame: Frame) -> float | None:
        """Return when a frame was captured, by the clock of its sender.

        It is called in the event loop when the frame comes, and by a recorder once more from its
        thread if the answer was None.

        Returns:
            Seconds since the Unix epoch; None as long as no sender report has come.
        """
        ...


def capture_time(track: object, frame: Frame) -> float | None:
    """Return when a frame was captured, in seconds since the Unix epoch, if its track knows."""
    return track.capture_time(frame) if isinstance(track, Timed) else None


def pass_on(source: object, track: object) -> None:
    """Have a track that gives the frames of another tell their capture times, if that one does."""
    if isinstance(source, Timed):
        # As an attribute of its own, so that it is not there when nobody knows.
        track.capture_time = source.capture_time  # type: ignore[attr-defined]
