"""What has arrived: which TSNs, and the messages they make up.

RFC 9260 sections 6.2 to 6.9, RFC 3758 section 3.6, RFC 8260 section 2.
"""

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass

from .packet import FIRST, LAST, UNORDERED, unwrap

MAX_DUPLICATES = 32
"""Duplicate TSNs told in a SACK; more are not worth their room."""

MAX_RANGES = 250
"""Gap blocks in a SACK, so that it fits the smallest packet."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that has arrived whole.

    Attributes:
        stream: Its stream identifier.
        protocol: Its payload protocol identifier.
        data: What it says.
    """

    stream: int
    protocol: int
    data: bytes


class Tsns:
    """The TSNs that have arrived.

    Args:
        cumulative: The one before the first.

    Attributes:
        cumulative: The last up to which all have arrived.
        ranges: First and last of each run of those after it.
        duplicates: Those that came again since the last SACK.
    """

    def __init__(self, cumulative: int) -> None:
        self.cumulative = cumulative
        self.ranges: list[list[int]] = []
        self.duplicates: list[int] = []

    @property
    def highest(self) -> int:
        """The highest that has arrived."""
        return self.ranges[-1][1] if self.ranges else self.cumulative

    def add(self, tsn: int) -> bool:
        """Note a TSN; return whether it is new."""
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
        """Note a TSN that lies before the end of the last range."""
        ranges = self.ranges
        index = bisect_left(ranges, [tsn + 1])  # the first that begins after it
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
        """Take all up to a TSN as arrived; return whether that is news."""
        if tsn <= self.cumulative:
            return False
        self.cumulative = tsn
        self._advance()
        return True

    def _advance(self) -> None:
        ranges = self.ranges
        while ranges and ranges[0][0] <= self.cumulative + 1:
            self.cumulative = max(self.cumulative, ranges.pop(0)[1])

    def gaps(self) -> list[tuple[int, int]]:
        """Return the ranges as a SACK has them, relative to the cumulative TSN."""
        base = self.cumulative
        return [
            (first - base, last - base)
            for first, last in self.ranges[:MAX_RANGES]
            if last - base <= 0xFFFF
        ]


class _Run:
    """Fragments of one message with consecutive numbers."""

    __slots__ = ("first", "last", "parts", "protocol", "size", "starts")

    def __init__(self, number: int, starts: bool, protocol: int, data: bytes) -> None:
        self.first = self.last = number
        self.starts = starts
        self.protocol = protocol
        self.parts: deque[bytes] = deque((data,))
        self.size = len(data)


class _Stream:
    """A stream's order: the number that is next, and the whole messages that came too early."""

    __slots__ = ("early", "next")

    def __init__(self) -> None:
        self.next = 0
        self.early: dict[int, Arrival] = {}


Key = tuple[int, bool, int]
"""A message that comes as I-DATA: stream, whether unordered, MID."""


class Inbound:
    """Puts messages together.

    Attributes:
        size: Bytes of what is not given out yet.
        completed: Messages that were ever added to :attr:`arrived`.
        given_out: Bytes of :attr:`arrived`, counted on while it is not empty.
        skipped: Messages that the other side gave up, by stream, of those that come in order.
        arrived: Whole messages, in the order in which they are to be given out; whoever drives this
            takes them from here.
    """

    def __init__(self) -> None:
        self.size = 0
        self.given_out = 0
        self.completed = 0
        self.skipped: dict[int, int] = {}
        self.arrived: deque[Arrival] = deque()
        self._streams: dict[int, _Stream] = {}
        # DATA: runs by the TSN they begin and end with; TSNs tell which fragments belong together.
        self._by_first: dict[int, _Run] = {}
        self._by_last: dict[int, _Run] = {}
        self._ends: dict[int, tuple[int, int, int]] = {}
        # I-DATA: the fragments of each message by their FSN.
        self._parts: dict[Key, dict[int, bytes]] = {}
        self._totals: dict[Key, int] = {}
        self._protocols: dict[Key, int] = {}

    # --- DATA

    def add(
        self, tsn: int, flags: int, stream: int, sequence: int, protocol: int, data: bytes
    ) -> None:
        """Take a DATA chunk whose TSN is new."""
        if flags & FIRST and flags & LAST:
            self.size += len(data)
            self._complete(flags, stream, sequence, protocol, data)
            return
        self.size += len(data)
        run = None
        if not flags & FIRST:
            run = self._by_last.pop(tsn - 1, None)
        if run is None:
            run = _Run(tsn, bool(flags & FIRST), protocol, data)
            self._by_first[tsn] = run
        else:
            run.parts.append(data)
            run.last = tsn
            run.size += len(data)
        if flags & LAST:
            self._ends[tsn] = (flags, stream, sequence)
        else:
            after = self._by_first.pop(tsn + 1, None)
            if after is not None and after.starts:
                self._by_first[tsn + 1] = after  # the other side lost count; never to be whole
            elif after is not None:
                self._by_last.pop(after.last, None)
                run.parts.extend(after.parts)
                run.size += after.size
                run.last = after.last
        if run.starts and run.last in self._ends:
            del self._by_first[run.first]
            flags, stream, sequence = self._ends.pop(run.last)
            self._complete(flags, stream, sequence, run.protocol, b"".join(run.parts))
        else:
            self._by_last[run.last] = run

    def _complete(self, flags: int, stream: int, sequence: int, protocol: int, data: bytes) -> None:
        arrival = Arrival(stream, protocol, data)
        if flags & UNORDERED:
            self._give_out(arrival)
            return
        state = self._stream(stream)
        self._in_order(state, unwrap(sequence, state.next, 16), arrival)

    def _in_order(self, state: _Stream, number: int, arrival: Arrival) -> None:
        if number == state.next:
            self._give_out(arrival)
            state.next += 1
            if state.early:
                self._give_out_early(state)
        elif number > state.next:
            state.early[number] = arrival
        else:
            self.size -= len(arrival.data)  # a message of this number was given out, or skipped

    def _give_out_early(self, state: _Stream) -> None:
        while (arrival := state.early.pop(state.next, None)) is not None:
            self._give_out(arrival)
            state.next += 1

    def _give_out(self, arrival: Arrival) -> None:
        size = len(arrival.data)
        self.size -= size
        self.given_out = self.given_out + size if self.arrived else size
        self.completed += 1
        self.arrived.append(arrival)

    def _stream(self, number: int) -> _Stream:
        state = self._streams.get(number)
        if state is None:
            state = self._streams[number] = _Stream()
        return state

    def skip(self, cumulative: int, streams: list[tuple[int, int]]) -> None:
        """Take a FORWARD TSN: give up what is not whole, go on in order after what was skipped.

        Args:
            cumulative: The new cumulative TSN, counted on.
            streams: Each stream and the SSN of the last message skipped in it.
        """
        for number, sequence in streams:
            state = self._stream(number)
            self._skip_in(number, state, unwrap(sequence, state.next, 16))
        for first, run in list(self._by_first.items()):
            # What begins before and goes on after it may still become whole.
            is_over = run.last < cumulative or (run.last == cumulative and run.last in self._ends)
            has_no_beginning = first <= cumulative and not run.starts
            if is_over or has_no_beginning:
                self._forget(first, run)

    def _forget(self, first: int, run: _Run) -> None:
        del self._by_first[first]
        self._by_last.pop(run.last, None)
        self._ends.pop(run.last, None)
        self.size -= run.size

    def _skip_in(self, stream: int, state: _Stream, last: int) -> None:
        early = sorted(n for n in state.early if n <= last)
        for number in early:
            self._give_out(state.early.pop(number))
        count = last + 1 - state.next - len(early)
        if count > 0:
            self.skipped[stream] = self.skipped.get(stream, 0) + count
        state.next = max(state.next, last + 1)
        self._give_out_early(state)

    # --- I-DATA

    def add_interleaved(
        self, flags: int, stream: int, mid: int, protocol_or_index: int, data: bytes
    ) -> None:
        """Take an I-DATA chunk whose TSN is new."""
        size = len(data)
        self.size += size
        unordered = bool(flags & UNORDERED)
        number = mid if unordered else unwrap(mid, self._stream(stream).next)
        if flags & FIRST and flags & LAST:
            self._complete_interleaved(stream, unordered, number, protocol_or_index, data)
            return
        key = stream, unordered, number
        if not unordered and number < self._stream(stream).next:
            self.size -= size
            return
        parts = self._parts.setdefault(key, {})
        index = 0 if flags & FIRST else protocol_or_index
        if flags & FIRST:
            self._protocols[key] = protocol_or_index
        if flags & LAST:
            self._totals[key] = index + 1
        if index in parts:
            self.size -= size
            return
        parts[index] = data
        if self._totals.get(key) == len(parts) and key in self._protocols:
            protocol = self._protocols.pop(key)
            del self._totals[key], self._parts[key]
            whole = b"".join([parts[i] for i in sorted(parts)])
            self._complete_interleaved(stream, unordered, number, protocol, whole)

    def _complete_interleaved(
        self, stream: int, unordered: bool, number: int, protocol: int, data: bytes
    ) -> None:
        arrival = Arrival(stream, protocol, data)
        if unordered:
            self._give_out(arrival)
        else:
            self._in_order(self._stream(stream), number, arrival)

    def skip_interleaved(self, skipped: list[tuple[int, bool, int]]) -> None:
        """Take an I-FORWARD-TSN: for each stream and order, the last MID that was skipped."""
        for stream, unordered, mid in skipped:
            state = self._stream(stream)
            last = mid if unordered else unwrap(mid, state.next)
            for key in [k for k in self._parts if k[:2] == (stream, unordered)]:
                if unwrap(key[2], last) <= last:
                    self.size -= sum(map(len, self._parts.pop(key).values()))
                    self._totals.pop(key, None)
                    self._protocols.pop(key, None)
            if not unordered:
                self._skip_in(stream, state, last)

    # --- resets

    def reset(self, stream: int) -> None:
        """Number a stream's messages from 0 again (RFC 6525 section 5.2.2)."""
        state = self._streams.pop(stream, None)
        if state is not None:
            self.size -= sum(len(arrival.data) for arrival in state.early.values())
        for key in [k for k in self._parts if k[0] == stream]:
            self.size -= sum(map(len, self._parts.pop(key).values()))
            self._totals.pop(key, None)
            self._protocols.pop(key, None)
