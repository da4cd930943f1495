"""Numbers that wrap: sequence numbers and timestamps of RTP (RFC 3550 section 5.1)."""


class Unwrapper:
    """Counts on where a number of so many bits begins anew.

    Each number is taken to be the nearest one to the number before, so that packets may change
    their order around a wrap.
    """

    def __init__(self, bits: int) -> None:
        self._size = 1 << bits
        self._last: int | None = None

    def unwrap(self, number: int) -> int:
        """Return the number without wraps; the first one is what it is."""
        last = number if self._last is None else self._last
        half = self._size >> 1
        self._last = last + (number - last + half) % self._size - half
        return self._last
