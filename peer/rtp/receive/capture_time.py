"""When the other side captured what is received: RTP timestamps on the clock of its reports.

A sender says now and then which time of its clock a timestamp has (sender reports, RFC 3550 section
6.4.1). Audio and video of one sender are on one clock, so that their frames can be put side by
side.
"""

import threading
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

_NTP_TO_UNIX = 2_208_988_800
"""Seconds from the epoch of NTP, 1900, to that of Unix, 1970."""
_SEGMENTS = 1000
_BACK, _AHEAD = 0.5, 10.0
"""Seconds by which timestamps of one stream may go back, in the order of decoding, and by which
they may pass faster than frames come, after these were held up."""


@dataclass(frozen=True, slots=True)
class _Segment:
    """Frames from ``pts`` on: those of one stream, without a leap."""

    pts: int
    pts_rate: int
    ssrc: int
    timestamp: int
    clock_rate: int

    def timestamp_of(self, pts: int) -> float:
        return self.timestamp + (pts - self.pts) * self.clock_rate / self.pts_rate


class CaptureTimes:
    """Knows when the frames of one track were captured. May be used by two threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._segments: deque[_Segment] = deque(maxlen=_SEGMENTS)
        self._reports: dict[int, tuple[float, int]] = {}

    def note(self, pts: int, pts_rate: int, ssrc: int, timestamp: int, clock_rate: int) -> None:
        """Note which timestamp a frame has.

        Args:
            pts: The frame's.
            pts_rate: How many of its units are a second.
            ssrc: The stream that it is of.
            timestamp: Its RTP timestamp; wrapped or not.
            clock_rate: How many of those are a second.
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
        """Take a sender report.

        Args:
            ssrc: The stream that it is about.
            ntp: The sender's clock, as 64 bits in the format of NTP.
            timestamp: The RTP timestamp of that moment.
        """
        if not ntp:
            return  # the sender has no clock
        if ssrc not in self._reports and len(self._reports) >= 16:
            del self._reports[next(iter(self._reports))]
        self._reports[ssrc] = (ntp / (1 << 32) - _NTP_TO_UNIX, timestamp)

    def capture_time(self, pts: int) -> float | None:
        """Return when a frame was captured: seconds since 1970 on the sender's clock.

        Returns:
            The time; ``None`` before the stream's first report, and for frames that are long past.
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
    """Numbers the frames of a track: their timestamps without wraps, from 0 on.

    Where the sender begins another stream, or its timestamps begin anew or leap, the number goes on
    by the time that has passed.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._ssrc: int | None = None
        self._timestamp = 0
        self._pts = 0
        self._at = 0.0

    def pts(self, now: float, ssrc: int, timestamp: int) -> int:
        """Return the ``pts`` of a frame.

        Args:
            now: Seconds on a monotonic clock.
            ssrc: The stream that it is of.
            timestamp: Its RTP timestamp.
        """
        step, passed = round(_signed(timestamp - self._timestamp)), now - self._at
        follows = -_BACK * self._rate < step < (passed + _AHEAD) * self._rate
        if self._ssrc is None:
            self._pts = 0
        elif ssrc == self._ssrc and follows:
            self._pts += step
        else:
            self._pts += max(1, round(passed * self._rate))
        self._ssrc, self._timestamp, self._at = ssrc, timestamp, now
        return self._pts
