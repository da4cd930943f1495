"""Timestamp discontinuities of a container: jumps and restarts are joined to one timeline. No I/O.

Recorded broadcasts, restarted cameras and concatenated files have discontinuities. Without a
correction, playback would pause for up to a day, or play the rest at once.
"""

from fractions import Fraction

_MAX_BACK = 1
"""Seconds by which timestamps of a stream may go back, since pictures may be in decoding order."""

_MAX_AHEAD = 60
"""Seconds by which a timestamp may be ahead of all previous ones, of any stream. The pictures of a
slide show may be that far apart."""


class Splices:
    """Mapping of the timestamps of a container to one continuous timeline.

    At a discontinuity each stream gets the shift of the stream that reached it first, so that the
    streams stay synchronized.

    Args:
        start: Media time at which reading starts, in seconds.
    """

    def __init__(self, start: Fraction) -> None:
        self._reached = start
        self._shifts: dict[str, Fraction] = {}
        self._expected: dict[str, Fraction] = {}

    def place(self, kind: str, at: Fraction | None, length: Fraction) -> Fraction:
        """Return the media time of a packet or frame, in seconds.

        Args:
            kind: Kind of its stream.
            at: Its timestamp, in seconds; without one (``None``) it follows the previous one.
            length: Its length, in seconds.
        """
        expected = self._expected.get(kind)
        follows = Fraction(0) if expected is None else expected
        placed = follows if at is None else self._placed(kind, at, expected)
        self._expected[kind] = max(follows, placed + length)
        self._reached = max(self._reached, placed + length)
        return placed

    def shift(self, kind: str) -> Fraction:
        """Return the current shift of the timestamps of a stream, in seconds."""
        return self._shifts.get(kind, Fraction(0))

    def _placed(self, kind: str, at: Fraction, expected: Fraction | None) -> Fraction:
        own = self.shift(kind)
        for shift in (own, *self._shifts.values()):
            if self._fits(at + shift, expected):
                self._shifts[kind] = shift
                return at + shift
        placed = self._reached if expected is None else expected
        self._shifts[kind] = placed - at
        return placed

    def _fits(self, at: Fraction, expected: Fraction | None) -> bool:
        return (expected is None or at >= expected - _MAX_BACK) and at <= self._reached + _MAX_AHEAD
