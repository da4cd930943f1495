"""Reassembly queue: fragments to messages, in order of their streams.

RFC 9260 sections 6.5, 6.6 and 6.9, RFC 3758 section 3.6, RFC 8260 section 2. Does no I/O.
"""

from collections import deque
from dataclasses import dataclass, field

from .number_map import NumberMap
from .packet import FIRST, LAST, UNORDERED, Cause, Fatal, unwrap

OVERHEAD = 256
"""Approximate bytes of memory that a buffered fragment or message takes beyond its data."""

INCOMPLETE_OVERHEAD = 768
"""Approximate bytes that an incomplete I-DATA message takes beyond its fragments."""

MAX_MESSAGE = 262_144
"""Maximum bytes of a message: the ``max-message-size`` of descriptions (RFC 8841)."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A complete message that was received.

    Attributes:
        stream: Its stream identifier.
        protocol: Its payload protocol identifier.
        data: Its content.
    """

    stream: int
    protocol: int
    data: bytes


@dataclass(slots=True)
class _Run:
    """Consecutive fragments of one DATA message."""

    first: int
    last: int
    starts: bool
    protocol: int
    parts: list[bytes]
    size: int


@dataclass(slots=True)
class _Partial:
    """An incomplete I-DATA message: its fragments by FSN."""

    parts: dict[int, bytes] = field(default_factory=dict)
    total: int | None = None
    protocol: int | None = None
    size: int = 0


class _Stream:
    """Ordering state of a stream: the next number, and complete messages that came too early."""

    __slots__ = ("early", "next", "unordered")

    def __init__(self) -> None:
        self.next = 0
        self.early: NumberMap[Arrival] | None = None
        self.unordered = 0
        """Unwrapped MID of the latest unordered I-DATA message."""


Key = tuple[int, bool]
"""Key of incomplete I-DATA messages: the stream, and whether they are unordered."""


class Inbound:
    """Reassembles messages.

    The cost of a chunk does not grow with the amount of buffered data, whatever the remote peer
    sends.

    Args:
        max_message: Maximum bytes of a message.

    Attributes:
        size: Buffered bytes that were not delivered.
        pieces: Buffered fragments and messages.
        incomplete: Incomplete I-DATA messages.
        completed: Messages ever added to :attr:`arrived`.
        delivered_bytes: Bytes added to :attr:`arrived` since it was last empty.
        skipped: Messages of ordered streams that the remote peer abandoned, by stream.
        arrived: Complete messages in order of delivery; the caller removes them.
    """

    def __init__(self, max_message: int = MAX_MESSAGE) -> None:
        self._max_message = max_message
        self.size: int = 0
        self.pieces: int = 0
        self.incomplete: int = 0
        self.delivered_bytes: int = 0
        self.completed: int = 0
        self.skipped: dict[int, int] = {}
        self.arrived: deque[Arrival] = deque()
        self._streams: dict[int, _Stream] = {}
        # DATA: runs by their first and their last TSN, which show what fragments belong together.
        self._by_first: NumberMap[_Run] = NumberMap()
        self._by_last: dict[int, _Run] = {}
        self._ends: dict[int, tuple[int, int, int]] = {}
        self._parts: dict[Key, NumberMap[_Partial]] = {}

    @property
    def cost(self) -> int:
        """Approximate bytes of memory that the buffered data takes."""
        return self.size + self.pieces * OVERHEAD + self.incomplete * INCOMPLETE_OVERHEAD

    def _check_size(self, size: int) -> None:
        if size > self._max_message:
            raise Fatal(
                Cause.PROTOCOL_VIOLATION,
                f"a message exceeds the announced maximum of {self._max_message} bytes",
            )

    # --- DATA

    def add(
        self, tsn: int, flags: int, stream: int, sequence: int, protocol: int, data: bytes
    ) -> None:
        """Add a DATA chunk whose TSN is new.

        Raises:
            Fatal: Its message is too long.
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
        """Append the run that begins right after this one, if it continues the same message."""
        after = self._by_first.get(run.last + 1)
        if after is None or after.starts:
            return  # it begins a message, so this one can never be completed
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
            self._deliver(arrival)
            return
        state = self._stream(stream)
        self._in_order(state, unwrap(sequence, state.next, 16), arrival)

    def _in_order(self, state: _Stream, number: int, arrival: Arrival) -> None:
        if number == state.next:
            self._deliver(arrival)
            state.next += 1
            if state.early:
                self._deliver_early(state)
            return
        if number < state.next or (state.early is not None and number in state.early):
            self._drop(arrival)  # a duplicate, or its number was delivered or skipped
            return
        if state.early is None:
            state.early = NumberMap()
        state.early.put(number, arrival)

    def _deliver_early(self, state: _Stream) -> None:
        early, arrived, number = state.early, self.arrived, state.next
        if not arrived:
            self.delivered_bytes = 0
        size = 0
        while early and (arrival := early.pop(number)) is not None:
            size += len(arrival.data)
            arrived.append(arrival)
            number += 1
        count = number - state.next
        self.size -= size
        self.pieces -= count
        self.delivered_bytes += size
        self.completed += count
        state.next = number

    def _drop(self, arrival: Arrival) -> None:
        self.size -= len(arrival.data)
        self.pieces -= 1

    def _deliver(self, arrival: Arrival) -> None:
        size = len(arrival.data)
        self.size -= size
        self.pieces -= 1
        self.delivered_bytes = self.delivered_bytes + size if self.arrived else size
        self.completed += 1
        self.arrived.append(arrival)

    def _stream(self, number: int) -> _Stream:
        state = self._streams.get(number)
        if state is None:
            state = self._streams[number] = _Stream()
        return state

    def skip(self, cumulative: int, streams: list[tuple[int, int]]) -> None:
        """Process a FORWARD TSN: drop incomplete messages, deliver those after skipped ones.

        Args:
            cumulative: The new cumulative TSN, unwrapped.
            streams: Each stream with the SSN of the last message skipped in it.
        """
        for number, sequence in streams:
            state = self._stream(number)
            self._skip_in(number, state, unwrap(sequence, state.next, 16))
        for first, run in self._by_first.take_through(cumulative):
            # A message that continues after the skipped TSNs may still be completed.
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
            self._deliver(arrival)
        count = last + 1 - state.next - len(early)
        if count > 0:
            self.skipped[stream] = self.skipped.get(stream, 0) + count
        state.next = last + 1
        self._deliver_early(state)

    # --- I-DATA

    def add_interleaved(
        self, flags: int, stream: int, mid: int, protocol_or_index: int, data: bytes
    ) -> None:
        """Add an I-DATA chunk whose TSN is new.

        Raises:
            Fatal: Its message is too long.
        """
        state = self._stream(stream)
        unordered = bool(flags & UNORDERED)
        number = unwrap(mid, state.unordered if unordered else state.next)
        if unordered:
            state.unordered = number
        elif number < state.next:
            return  # its number was delivered or skipped
        if flags & FIRST and flags & LAST:
            self.size += len(data)
            self.pieces += 1
            self._complete_interleaved(stream, unordered, number, protocol_or_index, data)
            return
        messages = self._parts.setdefault((stream, unordered), NumberMap())
        message = messages.get(number)
        if message is None:
            message = _Partial()
            messages.put(number, message)
            self.incomplete += 1
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
            self.incomplete -= 1
            self.pieces -= len(message.parts) - 1
            whole = b"".join([message.parts[i] for i in sorted(message.parts)])
            self._complete_interleaved(stream, unordered, number, message.protocol, whole)

    def _complete_interleaved(
        self, stream: int, unordered: bool, number: int, protocol: int, data: bytes
    ) -> None:
        self._check_size(len(data))
        arrival = Arrival(stream, protocol, data)
        if unordered:
            self._deliver(arrival)
        else:
            self._in_order(self._stream(stream), number, arrival)

    def skip_interleaved(self, skipped: list[tuple[int, bool, int]]) -> None:
        """Process an I-FORWARD-TSN: stream, unordered flag and last skipped MID of each entry."""
        for stream, unordered, mid in skipped:
            state = self._stream(stream)
            last = unwrap(mid, state.unordered if unordered else state.next)
            messages = self._parts.get((stream, unordered))
            if messages is not None:
                for _, message in messages.take_through(last):
                    self._discard_partial(message)
                if not messages:
                    del self._parts[stream, unordered]
            if not unordered:
                self._skip_in(stream, state, last)

    def _discard_partial(self, message: _Partial) -> None:
        self.size -= message.size
        self.pieces -= len(message.parts)
        self.incomplete -= 1

    # --- the end, and resets

    def discard(self) -> None:
        """Drop incomplete and early messages; :attr:`arrived` stays."""
        self.size = self.pieces = self.incomplete = 0
        self._streams.clear()
        self._by_first = NumberMap()
        self._by_last.clear()
        self._ends.clear()
        self._parts.clear()

    def reset(self, stream: int) -> None:
        """Restart the message numbers of a stream at 0 (RFC 6525 section 5.2.2)."""
        state = self._streams.pop(stream, None)
        for arrival in (state.early or ()) if state is not None else ():
            self._drop(arrival)
        for unordered in (False, True):
            for message in self._parts.pop((stream, unordered), ()):
                self._discard_partial(message)
