"""Capture times of received frames, from RTP timestamps and RTCP sender reports.

A sender report (RFC 3550 section 6.4.1) relates an RTP timestamp to the sender's clock. Audio and
video of one sender use the same clock, so their frames can be synchronized.
"""

import threading
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

_NTP_TO_UNIX = 2_208_988_800
"""Seconds from the NTP epoch, 1900, to the Unix epoch, 1970."""
_MAX_SEGMENTS = 1000
"""Maximum number of discontinuities that are remembered."""
_MAX_BACKWARD, _MAX_FORWARD = 0.5, 10.0
"""Maximum step of the timestamps of one stream in seconds: backwards, as in decoding order; and
forwards beyond the elapsed time, as after delayed packets."""
_MAX_REORDERING = 2.0
"""Maximum step backwards, in seconds, that is shorter than the step forwards before it, as in
decoding order with few pictures a second."""


@dataclass(frozen=True, slots=True)
class _Segment:
    """Frames of one stream from ``pts`` on, without a discontinuity."""

    pts: int
    pts_rate: int
    ssrc: int
    timestamp: int
    clock_rate: int

    def timestamp_of(self, pts: int) -> float:
        return self.timestamp + (pts - self.pts) * self.clock_rate / self.pts_rate


class CaptureTimes:
    """Capture times of the frames of one track. Thread-safe for one writer and one reader."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._segments: deque[_Segment] = deque(maxlen=_MAX_SEGMENTS)
        self._reports: dict[int, tuple[float, int]] = {}

    def note(self, pts: int, pts_rate: int, ssrc: int, timestamp: int, clock_rate: int) -> None:
        """Note the RTP timestamp of a frame.

        Args:
            pts: The ``pts`` of the frame.
            pts_rate: Units of ``pts`` per second.
            ssrc: The SSRC of its stream.
            timestamp: Its RTP timestamp, wrapped or not.
            clock_rate: The RTP clock rate, in Hz.
        """
        last = self._segments[-1] if self._segments else None
        if (
            last is not None
            and (last.ssrc, last.pts_rate, last.clock_rate) == (ssrc, pts_rate, clock_rate)
            and abs(_signed(timestamp - last.timestamp_of(pts))) < 1
        ):
            return
        with self._lock:
            self._segments.append(_Segment(pts, pts_rate, ssrc, timestamp, clock_rate))

    def report(self, ssrc: int, ntp: int, timestamp: int) -> None:
        """Process a sender report.

        Args:
            ssrc: The SSRC of the stream.
            ntp: The sender's clock, as a 64-bit NTP timestamp.
            timestamp: The RTP timestamp of the same instant.
        """
        if not ntp:
            return  # the sender has no clock
        if ssrc not in self._reports and len(self._reports) >= 16:
            del self._reports[next(iter(self._reports))]
        self._reports[ssrc] = (ntp / (1 << 32) - _NTP_TO_UNIX, timestamp)

    def capture_time(self, pts: int) -> float | None:
        """Return the capture time of a frame, in seconds since 1970 on the sender's clock.

        Returns:
            The time; ``None`` before the first report of the stream, and for very old frames.
        """
        with self._lock:
            index = bisect_right(self._segments, pts, key=lambda segment: segment.pts) - 1
            if index < 0:
                return None
            segment = self._segments[index]
        report = self._reports.get(segment.ssrc)
        if report is None:
            return None
        at, timestamp = report
        return at + _signed(segment.timestamp_of(pts) - timestamp) / segment.clock_rate


def _signed(difference: float) -> float:
    """Return a difference of timestamps that may have wrapped (RFC 3550 section 5.1)."""
    return (difference + (1 << 31)) % (1 << 32) - (1 << 31)


class FrameClock:
    """Assigns a ``pts`` to the frames of a track: their unwrapped timestamps, starting at 0.

    If the sender changes the SSRC, or its timestamps are discontinuous, ``pts`` advances by the
    elapsed time.

    Args:
        rate: The RTP clock rate, in Hz.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._ssrc: int | None = None
        self._timestamp = 0
        self._forward = 0
        self._pts = 0
        self._at = 0.0

    def pts(self, now: float, ssrc: int, timestamp: int) -> int:
        """Return the ``pts`` of a frame.

        Args:
            now: Seconds on a monotonic clock.
            ssrc: The SSRC of its stream.
            timestamp: Its RTP timestamp.
        """
        step, passed = round(_signed(timestamp - self._timestamp)), now - self._at
        backward = max(_MAX_BACKWARD * self._rate, min(self._forward, _MAX_REORDERING * self._rate))
        follows = -backward < step < (passed + _MAX_FORWARD) * self._rate
        if self._ssrc is None:
            self._pts = 0
        elif ssrc == self._ssrc and follows:
            self._pts += step
        else:
            self._pts += max(1, round(passed * self._rate))
        self._forward = step if step > 0 and follows else self._forward * follows
        self._ssrc, self._timestamp, self._at = ssrc, timestamp, now
        return self._pts
