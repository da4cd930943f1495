"""Sorted lists of number ranges, such as the gap blocks of a SACK."""


def difference(these: list[tuple[int, int]], those: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the ranges of numbers that are in the first of two sorted lists only."""
    if not those:
        return these
    found = []
    index = 0
    for first, last in these:
        start = first
        while index < len(those) and those[index][1] < start:
            index += 1
        at = index
        while at < len(those) and those[at][0] <= last:
            if those[at][0] > start:
                found.append((start, those[at][0] - 1))
            start = max(start, those[at][1] + 1)
            if those[at][1] > last:
                break
            at += 1
        if start <= last:
            found.append((start, last))
    return found
