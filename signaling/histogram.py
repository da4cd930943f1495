"""A histogram with fixed buckets, as the metrics show it. No I/O."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate


class Histogram:
    """Counts values by the smallest bound that they do not exceed.

    Args:
        bounds: The upper bounds of the buckets, ascending; above the last there is one more.

    Attributes:
        total: The sum of all values.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.total: float = 0.0
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    @property
    def cumulative(self) -> list[tuple[str, int]]:
        """The bound of each bucket, and the number of values up to it."""
        bounds = [*(f"{bound:g}" for bound in self._bounds), "+Inf"]
        return list(zip(bounds, accumulate(self._counts), strict=True))
