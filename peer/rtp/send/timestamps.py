"""The RTP timestamps of one stream, and when its frames were due. No I/O: the time is given."""

import random
from collections.abc import Sequence
from typing import Any

from av import VideoFrame
from av.packet import Packet

from icefloe.encoding.clock import MediaClock, SoundClock

from ..receive import opus_decoder
from .frame_delay import Lateness

_OLDEST = 10.0
"""Seconds since a frame was taken, at most; what tells more, or the future, tells nothing."""
_TOLD = 0.004
"""Seconds by which packets of sound tell another time than their samples, as containers round it.
What is more is missing, and a jitter buffer needs to know."""
_FRAME = 0.02
"""Seconds that a packet lasts of which it is not known."""


class Timestamps:
    """Turns what tracks tell of time, whatever it is, into the timestamps of one stream.

    They count on beyond 32 bits, and a stream has the lowest 32. Those of sound count samples (RFC
    3550 section 5.1), those of pictures are the times at which they are to be seen (RFC 6184
    section 5.1), which go back where H.264 comes in decoding order.

    Args:
        kind: ``"audio"`` or ``"video"``.
        clock_rate: Timestamps a second.
    """

    def __init__(self, kind: str, clock_rate: int) -> None:
        self.clock_rate = clock_rate
        start = random.getrandbits(32)
        self._lateness = Lateness(clock_rate)
        self._pictures = MediaClock(clock_rate, start=start)
        self._sound = SoundClock(clock_rate, start=start, jitter=_TOLD)
        self._is_sound = kind == "audio"

    def anew(self) -> None:
        """Note that the next frame is of another track, whose times begin anew."""
        self._pictures.anew()
        self._sound.anew()
        self._lateness.anew()

    def of_picture(self, frame: VideoFrame, now: float) -> int:
        """Return the timestamp of a picture, greater than that of the one before.

        Args:
            frame: With any time.
            now: When it came, in seconds on a monotonic clock.
        """
        self._pictures.reorders = False
        return self._pictures.place(frame.pts, frame.time_base, now)

    def of_packet(
        self, packet: "Packet[Any]", codec: str, payloads: Sequence[bytes], taken_at: float
    ) -> int:
        """Return the timestamp of what comes encoded.

        Args:
            packet: With any time.
            codec: The name in its MIME type.
            payloads: Those of the packet.
            taken_at: When it came, in seconds on a monotonic clock.
        """
        pts = packet.pts if packet.pts is not None else packet.dts
        if self._is_sound:
            duration = self._duration(codec, payloads)
            return self._sound.place(pts, packet.time_base, duration, taken_at)
        self._pictures.reorders = codec.upper() == "H264"
        return self._pictures.place(pts, packet.time_base, taken_at)

    def _duration(self, codec: str, payloads: Sequence[bytes]) -> int:
        match codec.upper():
            case "OPUS":
                duration = sum(map(opus_decoder.duration, payloads))
            case "PCMU" | "PCMA" | "G722":  # a byte for a timestamp: RFC 3551 section 4.5.2
                duration = sum(map(len, payloads))
            case _:
                duration = 0
        return duration or round(_FRAME * self.clock_rate)

    def age(self, timestamp: int, taken_at: float, now: float) -> float:
        """Return how long ago a frame was due, in seconds, for sender reports.

        Args:
            timestamp: Its own.
            taken_at: When it came.
            now: Seconds on the same clock.
        """
        return now - taken_at + self._lateness.of(timestamp, taken_at)


def taken(at: float | None, now: float) -> float:
    """Return when a frame was taken, in seconds; now if that is not told or cannot be."""
    return at if at is not None and now - _OLDEST <= at <= now else now
