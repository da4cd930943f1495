"""TSNs that have arrived: the cumulative TSN, gap blocks and duplicates of a SACK.

RFC 9260 sections 3.3.4 and 6.2. Does no I/O.
"""

from bisect import bisect_left

MAX_DUPLICATES = 32
"""Maximum duplicate TSNs reported in a SACK; more are not worth their space."""

MAX_RANGES = 250
"""Maximum gap blocks in a SACK, so that it fits into the smallest packet."""

MAX_AHEAD = 0xFFFF
"""Maximum distance of a TSN from the cumulative one. Gap blocks have 16-bit offsets, so TSNs
further ahead could not be acknowledged (RFC 9260 section 3.3.4)."""


class Tsns:
    """The TSNs that have arrived, unwrapped.

    Args:
        cumulative: The TSN before the first one.

    Attributes:
        cumulative: The cumulative TSN.
        ranges: First and last TSN of each contiguous range after it.
        duplicates: TSNs received again since the last SACK.
    """

    def __init__(self, cumulative: int) -> None:
        self.cumulative: int = cumulative
        self.ranges: list[list[int]] = []
        self.duplicates: list[int] = []

    @property
    def highest(self) -> int:
        """The highest TSN that has arrived."""
        return self.ranges[-1][1] if self.ranges else self.cumulative

    def add(self, tsn: int) -> bool:
        """Add a TSN; return whether it is new."""
        ranges = self.ranges
        if not ranges:
            if tsn == self.cumulative + 1:
                self.cumulative = tsn
                return True
            if tsn > self.cumulative:
                ranges.append([tsn, tsn])
                return True
            return self._again(tsn)
        last = ranges[-1]
        if tsn == last[1] + 1:
            last[1] = tsn
            return True
        if tsn > last[1]:
            ranges.append([tsn, tsn])
            return True
        if tsn <= self.cumulative:
            return self._again(tsn)
        return self._fill(tsn)

    def _fill(self, tsn: int) -> bool:
        """Add a TSN that lies before the end of the last range."""
        ranges = self.ranges
        index = bisect_left(ranges, [tsn + 1])  # the first range that begins after it
        before = ranges[index - 1] if index else None
        if before is not None and tsn <= before[1]:
            return self._again(tsn)
        after = ranges[index] if index < len(ranges) else None
        joins_after = after is not None and after[0] == tsn + 1
        if before is not None and before[1] == tsn - 1:
            before[1] = tsn
            if after is not None and joins_after:
                before[1] = after[1]
                del ranges[index]
        elif after is not None and joins_after:
            after[0] = tsn
        else:
            ranges.insert(index, [tsn, tsn])
        self._advance()
        return True

    def _again(self, tsn: int) -> bool:
        if len(self.duplicates) < MAX_DUPLICATES:
            self.duplicates.append(tsn)
        return False

    def skip_to(self, tsn: int) -> bool:
        """Advance the cumulative TSN; return whether it changed."""
        if tsn <= self.cumulative:
            return False
        self.cumulative = tsn
        self._advance()
        return True

    def _advance(self) -> None:
        ranges = self.ranges
        reached = 0
        while reached < len(ranges) and ranges[reached][0] <= self.cumulative + 1:
            self.cumulative = max(self.cumulative, ranges[reached][1])
            reached += 1
        del ranges[:reached]

    def gaps(self) -> list[tuple[int, int]]:
        """Return the gap blocks of a SACK, relative to the cumulative TSN."""
        base = self.cumulative
        return [
            (first - base, last - base)
            for first, last in self.ranges[:MAX_RANGES]
            if last - base <= 0xFFFF
        ]
