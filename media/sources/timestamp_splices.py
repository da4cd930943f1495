"""The times of the streams of one container, made to go on where they leap or begin anew. No I/O.

Recordings of broadcasts, cameras that were restarted and files that were put together have times
that do. What is to be played then would wait for a day, or come all at once.
"""

from fractions import Fraction

_BACK = 1
"""Seconds by which times of one stream may go back: pictures may come in decoding order."""

_AHEAD = 60
"""Seconds by which times may be ahead of all that came before, in any stream: slides change as
seldom."""


class Splices:
    """Places what comes of a container on one time.

    Each stream keeps the shift of the one that came to the splice first, so that they stay in step.

    Args:
        start: Where reading begins, in seconds.
    """

    def __init__(self, start: Fraction) -> None:
        self._reached = start
        self._shifts: dict[str, Fraction] = {}
        self._expected: dict[str, Fraction] = {}

    def place(self, kind: str, at: Fraction | None, length: Fraction) -> Fraction:
        """Return where a packet or a frame is, in seconds.

        Args:
            kind: Of its stream.
            at: What it tells, in seconds; None if it tells nothing, and then it follows.
            length: Seconds that it lasts.
        """
        expected = self._expected.get(kind)
        follows = Fraction(0) if expected is None else expected
        placed = follows if at is None else self._placed(kind, at, expected)
        self._expected[kind] = max(follows, placed + length)
        self._reached = max(self._reached, placed + length)
        return placed

    def shift(self, kind: str) -> Fraction:
        """Return the seconds by which the times of a stream are moved."""
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
        return (expected is None or at >= expected - _BACK) and at <= self._reached + _AHEAD
