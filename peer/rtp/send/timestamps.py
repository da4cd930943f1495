"""RTP timestamps of an outgoing stream, and the capture times of its frames. Does no I/O."""

import random
from collections.abc import Sequence
from typing import Any

from av import VideoFrame
from av.packet import Packet

from icefloe.encoding.clock import MediaClock, SoundClock

from ..receive import opus_decoder
from .frame_delay import FrameDelay

_MAX_CAPTURE_AGE = 10.0
"""Maximum age of a capture time, in seconds. Older ones, and future ones, are ignored."""
_JITTER_TOLERANCE = 0.004
"""Seconds by which the timestamps of audio packets may differ from their sample count, as
containers round them. A larger difference is a gap, which the receiver's jitter buffer needs to
see."""
_DEFAULT_DURATION = 0.02
"""Assumed duration of an audio packet in seconds, where it is unknown."""


class Timestamps:
    """Converts the timestamps of tracks, in any time base, to the RTP timestamps of one stream.

    The result is not wrapped; packets carry its low 32 bits. Audio timestamps count samples (RFC
    3550 section 5.1). Video timestamps are presentation times (RFC 6184 section 5.1), which go
    backwards where H.264 arrives in decoding order.

    Args:
        kind: ``"audio"`` or ``"video"``.
        clock_rate: RTP clock rate, in Hz.
    """

    def __init__(self, kind: str, clock_rate: int) -> None:
        self.clock_rate = clock_rate
        start = random.getrandbits(32)
        self._frame_delay = FrameDelay(clock_rate)
        self._video = MediaClock(clock_rate, start=start)
        self._audio = SoundClock(clock_rate, start=start, jitter=_JITTER_TOLERANCE)
        self._is_audio = kind == "audio"

    def restart(self) -> None:
        """Note that the next frame comes from another track, with unrelated timestamps."""
        self._video.anew()
        self._audio.anew()
        self._frame_delay.reset()

    def for_frame(self, frame: VideoFrame, now: float) -> int:
        """Return the timestamp of a raw video frame; greater than that of the previous frame.

        Args:
            frame: The frame; its ``pts`` may be missing.
            now: The time when it came from the track, in seconds on a monotonic clock.
        """
        self._video.reorders = False
        return self._video.place(frame.pts, frame.time_base, now)

    def for_packet(
        self, packet: "Packet[Any]", codec: str, payloads: Sequence[bytes], taken_at: float
    ) -> int:
        """Return the timestamp of an encoded packet.

        Args:
            packet: The packet; its ``pts`` may be missing.
            codec: The name in its MIME type.
            payloads: The RTP payloads of the packet.
            taken_at: The time when it came from the track, in seconds on a monotonic clock.
        """
        pts = packet.pts if packet.pts is not None else packet.dts
        if self._is_audio:
            duration = self._duration(codec, payloads)
            return self._audio.place(pts, packet.time_base, duration, taken_at)
        self._video.reorders = codec.upper() == "H264"
        return self._video.place(pts, packet.time_base, taken_at)

    def _duration(self, codec: str, payloads: Sequence[bytes]) -> int:
        match codec.upper():
            case "OPUS":
                duration = sum(map(opus_decoder.duration, payloads))
            case "PCMU" | "PCMA" | "G722":  # one byte per timestamp: RFC 3551 section 4.5.2
                duration = sum(map(len, payloads))
            case _:
                duration = 0
        return duration or round(_DEFAULT_DURATION * self.clock_rate)

    def age(self, timestamp: int, taken_at: float, now: float) -> float:
        """Return the seconds since a frame was due, for sender reports.

        Args:
            timestamp: The RTP timestamp of the frame.
            taken_at: The time when it came from the track.
            now: The current time, in seconds on the same clock.
        """
        return now - taken_at + self._frame_delay.delay(timestamp, taken_at)


def capture_time(at: float | None, now: float) -> float:
    """Return the capture time ``at``; ``now`` if it is missing or implausible."""
    return at if at is not None and now - _MAX_CAPTURE_AGE <= at <= now else now
