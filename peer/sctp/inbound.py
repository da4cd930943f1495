"""What has arrived: which TSNs, and the messages they make up.

RFC 9260 sections 6.2 to 6.9, RFC 3758 section 3.6, RFC 8260 section 2.
"""

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field

from .number_map import Numbered
from .packet import FIRST, LAST, UNORDERED, Cause, Fatal, unwrap

MAX_DUPLICATES = 32
"""Duplicate TSNs told in a SACK; more are not worth their room."""

MAX_RANGES = 250
"""Gap blocks in a SACK, so that it fits the smallest packet."""

MAX_AHEAD = 0xFFFF
"""How far a TSN may be beyond the cumulative one: gap blocks count in 16 bits, so that what is
further ahead cannot be acknowledged (RFC 9260 section 3.3.4)."""

OVERHEAD = 256
"""Bytes of memory that a held fragment or message takes beside its data, about."""

UNFINISHED_OVERHEAD = 768
"""Bytes that a message which comes as I-DATA takes beside its fragments until it is whole."""

MAX_MESSAGE = 262_144
"""Bytes of a message at most: the ``max-message-size`` of descriptions (RFC 8841)."""


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
        reached = 0
        while reached < len(ranges) and ranges[reached][0] <= self.cumulative + 1:
            self.cumulative = max(self.cumulative, ranges[reached][1])
            reached += 1
        del ranges[:reached]

    def gaps(self) -> list[tuple[int, int]]:
        """Return the ranges as a SACK has them, relative to the cumulative TSN."""
        base = self.cumulative
        return [
            (first - base, last - base)
            for first, last in self.ranges[:MAX_RANGES]
            if last - base <= 0xFFFF
        ]


@dataclass(slots=True)
class _Run:
    """Fragments of one message with consecutive TSNs."""

    first: int
    last: int
    starts: bool
    protocol: int
    parts: list[bytes]
    size: int


@dataclass(slots=True)
class _Partial:
    """A message that comes as I-DATA: its fragments by their FSN."""

    parts: dict[int, bytes] = field(default_factory=dict)
    total: int | None = None
    protocol: int | None = None
    size: int = 0


class _Stream:
    """A stream's order: the number that is next, and the whole messages that came too early."""

    __slots__ = ("early", "next", "unordered")

    def __init__(self) -> None:
        self.next = 0
        self.early: Numbered[Arrival] | None = None
        self.unordered = 0
        """The MID of the latest unordered I-DATA, counted on."""


Key = tuple[int, bool]
"""Messages that come as I-DATA: the stream, and whether they are unordered."""


class Inbound:
    """Puts messages together.

    What a chunk costs does not grow with what is held, whatever the other side sends.

    Args:
        max_message: Bytes that a message may have.

    Attributes:
        size: Bytes of what is not given out yet.
        pieces: Fragments and messages that these are.
        unfinished: Messages that come as I-DATA and are not whole.
        completed: Messages that were ever added to :attr:`arrived`.
        given_out: Bytes of :attr:`arrived`, counted on while it is not empty.
        skipped: Messages that the other side gave up, by stream, of those that come in order.
        arrived: Whole messages, in the order in which they are to be given out; whoever drives this
            takes them from here.
    """

    def __init__(self, max_message: int = MAX_MESSAGE) -> None:
        self._max_message = max_message
        self.size = 0
        self.pieces = 0
        self.unfinished = 0
        self.given_out = 0
        self.completed = 0
        self.skipped: dict[int, int] = {}
        self.arrived: deque[Arrival] = deque()
        self._streams: dict[int, _Stream] = {}
        # DATA: runs by the TSN they begin and end with; TSNs tell which fragments belong together.
        self._by_first: Numbered[_Run] = Numbered()
        self._by_last: dict[int, _Run] = {}
        self._ends: dict[int, tuple[int, int, int]] = {}
        self._parts: dict[Key, Numbered[_Partial]] = {}

    @property
    def cost(self) -> int:
        """Bytes of memory that what is held takes, about."""
        return self.size + self.pieces * OVERHEAD + self.unfinished * UNFINISHED_OVERHEAD

    def _check_size(self, size: int) -> None:
        if size > self._max_message:
            raise Fatal(
                Cause.PROTOCOL_VIOLATION,
                f"a message of more than the {self._max_message} bytes that were announced",
            )

    # --- DATA

    def add(
        self, tsn: int, flags: int, stream: int, sequence: int, protocol: int, data: bytes
    ) -> None:
        """Take a DATA chunk whose TSN is new.

        Raises:
            Fatal: Its message is longer than may be.
        """
        self.size += len(data)
        self.pieces += 1
        if flags & FIRST and flags & LAST:
            self._complete(flags, stream, sequence, protocol, data)
            return
        run = None
        if not flags & FIRST:
            run = self._by_last.pop(tsn - 1, None)
        if run is None:
            run = _Run(tsn, tsn, bool(flags & FIRST), protocol, [data], len(data))
            self._by_first.put(tsn, run)
        else:
            run.parts.append(data)
            run.last = tsn
            run.size += len(data)
        if flags & LAST:
            self._ends[tsn] = (flags, stream, sequence)
        else:
            self._join(run)
        self._check_size(run.size)
        if run.starts and run.last in self._ends:
            self._by_first.pop(run.first)
            flags, stream, sequence = self._ends.pop(run.last)
            self.pieces -= len(run.parts) - 1
            self._complete(flags, stream, sequence, run.protocol, b"".join(run.parts))
        else:
            self._by_last[run.last] = run

    def _join(self, run: _Run) -> None:
        """Add to a run the one that begins right after it, if that goes on the same message."""
        after = self._by_first.get(run.last + 1)
        if after is None or after.starts:
            return  # one that starts: the other side lost count, and this is never to be whole
        self._by_first.pop(after.first)
        self._by_last.pop(after.last, None)
        if len(run.parts) < len(after.parts):
            after.parts[:0] = run.parts
            run.parts = after.parts
        else:
            run.parts += after.parts
        run.size += after.size
        run.last = after.last

    def _complete(self, flags: int, stream: int, sequence: int, protocol: int, data: bytes) -> None:
        self._check_size(len(data))
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
            return
        if number < state.next or (state.early is not None and number in state.early):
            self._drop(arrival)  # a message of this number came, was given out, or skipped
            return
        if state.early is None:
            state.early = Numbered()
        state.early.put(number, arrival)

    def _give_out_early(self, state: _Stream) -> None:
        early, arrived, number = state.early, self.arrived, state.next
        if not arrived:
            self.given_out = 0
        size = 0
        while early and (arrival := early.pop(number)) is not None:
            size += len(arrival.data)
            arrived.append(arrival)
            number += 1
        count = number - state.next
        self.size -= size
        self.pieces -= count
        self.given_out += size
        self.completed += count
        state.next = number

    def _drop(self, arrival: Arrival) -> None:
        self.size -= len(arrival.data)
        self.pieces -= 1

    def _give_out(self, arrival: Arrival) -> None:
        size = len(arrival.data)
        self.size -= size
        self.pieces -= 1
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
        for first, run in self._by_first.take_through(cumulative):
            # What begins before and goes on after it may still become whole.
            is_over = run.last < cumulative or (run.last == cumulative and run.last in self._ends)
            if is_over or not run.starts:
                self._forget(run)
            else:
                self._by_first.put(first, run)

    def _forget(self, run: _Run) -> None:
        self._by_last.pop(run.last, None)
        self._ends.pop(run.last, None)
        self.size -= run.size
        self.pieces -= len(run.parts)

    def _skip_in(self, stream: int, state: _Stream, last: int) -> None:
        if last < state.next:
            return
        early = state.early.take_through(last) if state.early else []
        for _, arrival in early:
            self._give_out(arrival)
        count = last + 1 - state.next - len(early)
        if count > 0:
            self.skipped[stream] = self.skipped.get(stream, 0) + count
        state.next = last + 1
        self._give_out_early(state)

    # --- I-DATA

    def add_interleaved(
        self, flags: int, stream: int, mid: int, protocol_or_index: int, data: bytes
    ) -> None:
        """Take an I-DATA chunk whose TSN is new.

        Raises:
            Fatal: Its message is longer than may be.
        """
        state = self._stream(stream)
        unordered = bool(flags & UNORDERED)
        number = unwrap(mid, state.unordered if unordered else state.next)
        if unordered:
            state.unordered = number
        elif number < state.next:
            return  # a message of this number was given out, or skipped
        if flags & FIRST and flags & LAST:
            self.size += len(data)
            self.pieces += 1
            self._complete_interleaved(stream, unordered, number, protocol_or_index, data)
            return
        messages = self._parts.setdefault((stream, unordered), Numbered())
        message = messages.get(number)
        if message is None:
            message = _Partial()
            messages.put(number, message)
            self.unfinished += 1
        index = 0 if flags & FIRST else protocol_or_index
        if flags & FIRST:
            message.protocol = protocol_or_index
        if flags & LAST:
            message.total = index + 1
        if index in message.parts:
            return
        message.parts[index] = data
        message.size += len(data)
        self.size += len(data)
        self.pieces += 1
        self._check_size(message.size)
        if message.total == len(message.parts) and message.protocol is not None:
            messages.pop(number)
            if not messages:
                del self._parts[stream, unordered]
            self.unfinished -= 1
            self.pieces -= len(message.parts) - 1
            whole = b"".join([message.parts[i] for i in sorted(message.parts)])
            self._complete_interleaved(stream, unordered, number, message.protocol, whole)

    def _complete_interleaved(
        self, stream: int, unordered: bool, number: int, protocol: int, data: bytes
    ) -> None:
        self._check_size(len(data))
        arrival = Arrival(stream, protocol, data)
        if unordered:
            self._give_out(arrival)
        else:
            self._in_order(self._stream(stream), number, arrival)

    def skip_interleaved(self, skipped: list[tuple[int, bool, int]]) -> None:
        """Take an I-FORWARD-TSN: for each stream and order, the last MID that was skipped."""
        for stream, unordered, mid in skipped:
            state = self._stream(stream)
            last = unwrap(mid, state.unordered if unordered else state.next)
            messages = self._parts.get((stream, unordered))
            if messages is not None:
                for _, message in messages.take_through(last):
                    self._give_up(message)
                if not messages:
                    del self._parts[stream, unordered]
            if not unordered:
                self._skip_in(stream, state, last)

    def _give_up(self, message: _Partial) -> None:
        self.size -= message.size
        self.pieces -= len(message.parts)
        self.unfinished -= 1

    # --- the end, and resets

    def give_up(self) -> None:
        """Let go of all that is not whole, or came too early; :attr:`arrived` stays."""
        self.size = self.pieces = self.unfinished = 0
        self._streams.clear()
        self._by_first = Numbered()
        self._by_last.clear()
        self._ends.clear()
        self._parts.clear()

    def reset(self, stream: int) -> None:
        """Number a stream's messages from 0 again (RFC 6525 section 5.2.2)."""
        state = self._streams.pop(stream, None)
        for arrival in (state.early or ()) if state is not None else ():
            self._drop(arrival)
        for unordered in (False, True):
            for message in self._parts.pop((stream, unordered), ()):
                self._give_up(message)
