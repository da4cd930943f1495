"""Capture times of frames by the clock of their sender, for tracks that know them."""

from typing import Protocol, runtime_checkable

from av.frame import Frame


@runtime_checkable
class Timed(Protocol):
    """A track that knows the capture times of its frames, as remote tracks of ``icefloe.peer`` do.

    RTCP sender reports map the RTP timestamps of each stream to the NTP clock of its sender
    (RFC 3550 section 6.4.1). By that clock audio and video of one sender can be synchronized
    whatever the network delay of each.
    """

    def capture_time(self, frame: Frame) -> float | None:
        """Return the capture time of a frame by the clock of its sender.

        It is called in the event loop when the frame arrives. A recorder calls it again from its
        thread if the result was ``None``.

        Returns:
            Seconds since the Unix epoch; ``None`` before the first sender report.
        """
        ...


def capture_time(track: object, frame: Frame) -> float | None:
    """Return the capture time in seconds since the Unix epoch; ``None`` if not known."""
    return track.capture_time(frame) if isinstance(track, Timed) else None


def pass_on(source: object, track: object) -> None:
    """Give a derived track the ``capture_time`` method of its source, if the source has one."""
    if isinstance(source, Timed):
        # Set on the instance: a class attribute would make every derived track `Timed`.
        track.capture_time = source.capture_time  # type: ignore[attr-defined]
