"""Unwrapping of RTP sequence numbers and timestamps (RFC 3550 section 5.1)."""


class Unwrapper:
    """Extends numbers of a fixed bit width beyond their wrap-around.

    Each number is taken as the value nearest to the previous one, so packets may be reordered
    around a wrap.

    Args:
        bits: Width of the numbers.
    """

    def __init__(self, bits: int) -> None:
        self._size = 1 << bits
        self._last: int | None = None

    def unwrap(self, number: int) -> int:
        """Return the number without wrap-around. The first number is returned unchanged."""
        last = number if self._last is None else self._last
        half = self._size >> 1
        self._last = last + (number - last + half) % self._size - half
        return self._last
