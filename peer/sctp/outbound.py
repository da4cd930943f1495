"""Send queue: messages by stream, scheduled round robin.

Streams take turns (RFC 8260 section 3.2), so that a bulk transfer does not delay chat messages.
With I-DATA they alternate by fragment. Otherwise all fragments of a message have consecutive TSNs
(RFC 9260 section 6.9), and the next stream follows at the end of the message.

Incomplete messages occupy the receive window of the remote peer until they are complete. So only as
many messages are started at a time as fit into half of that window.
"""

from collections import deque
from collections.abc import Iterator

from .dcep import Protocol
from .packet import FIRST, LAST, UNORDERED


class Message:
    """A message to send, with its reliability.

    Attributes:
        stream: Its stream identifier.
        protocol: Its payload protocol identifier.
        data: Its content.
        ordered: Whether it is delivered in order.
        max_retransmits: Maximum retransmissions of a fragment; ``None`` for no limit.
        expires: The time at which it is abandoned, on the association's clock; or ``None``.
        number: Its SSN, or with I-DATA its MID, unwrapped; -1 before its first fragment is taken.
        position: Bytes already taken as fragments.
        abandoned: Whether it was abandoned (RFC 3758).
        tsns: TSNs of its fragments, if it may be abandoned.
    """

    __slots__ = (
        "abandoned",
        "data",
        "expires",
        "fragments",
        "max_retransmits",
        "number",
        "ordered",
        "position",
        "protocol",
        "stream",
        "tsns",
    )

    def __init__(
        self,
        stream: int,
        protocol: int,
        data: bytes,
        *,
        ordered: bool = True,
        max_retransmits: int | None = None,
        expires: float | None = None,
    ) -> None:
        self.stream: int = stream
        self.protocol: int = protocol
        self.data: bytes = data
        self.ordered: bool = ordered
        self.max_retransmits: int | None = max_retransmits
        self.expires: float | None = expires
        self.number: int = -1
        self.position: int = 0
        self.fragments: int = 0
        self.abandoned: bool = False
        self.tsns: list[int] = []

    @property
    def is_reliable(self) -> bool:
        """True if it is never abandoned."""
        return self.max_retransmits is None and self.expires is None


class Fragment:
    """A part of a message, carried by one chunk.

    Attributes:
        message: The message.
        flags: Flags of the chunk.
        index: Its number within the message, from 0 (FSN of I-DATA).
        data: Its content.
        size: Its length in bytes.
        tsn: Its TSN, unwrapped.
    """

    __slots__ = (
        "acked",
        "app_limited",
        "data",
        "delivered",
        "delivered_at",
        "first_sent_at",
        "flags",
        "index",
        "lost",
        "message",
        "sends",
        "sent_at",
        "size",
        "transmission",
        "tsn",
    )

    tsn: int
    sent_at: float
    first_sent_at: float
    delivered: int
    delivered_at: float
    app_limited: bool
    transmission: int

    def __init__(self, message: Message, flags: int, index: int, data: bytes) -> None:
        self.message: Message = message
        self.flags: int = flags
        self.index: int = index
        self.data: bytes = data
        self.size: int = len(data)
        self.sends: int = 0
        self.acked: bool = False
        self.lost: bool = False


class _Stream:
    __slots__ = ("next_ordered", "next_unordered", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Message] = deque()
        self.next_ordered = 0
        self.next_unordered = 0


class SendQueue:
    """The queued messages of all streams.

    Attributes:
        interleaves: Whether fragments of several messages may be interleaved (I-DATA).
        peer_window: Largest receive window that the remote peer has announced, in bytes.
        size: Queued bytes.
        dropped: Messages abandoned before a part of them was sent; the sender takes them.
    """

    def __init__(self) -> None:
        self.interleaves = False
        self.peer_window = 0
        self.size: int = 0
        self._streams: dict[int, _Stream] = {}
        self._turns: deque[int] = deque()
        self._held: deque[int] = deque()  # streams that wait for other messages to end
        self._begun = 0  # bytes of messages that are partly taken
        self._freed: dict[int, int] = {}
        self.dropped: list[Message] = []

    def put(self, message: Message) -> None:
        """Add a message to its stream."""
        stream = self._streams.get(message.stream)
        if stream is None:
            stream = self._streams[message.stream] = _Stream()
        if not stream.waiting:
            self._turns.append(message.stream)
        stream.waiting.append(message)
        self.size += len(message.data)

    def take_freed(self) -> dict[int, int]:
        """Return the bytes that have left the queue since the last call, by stream."""
        taken, self._freed = self._freed, {}
        return taken

    def has(self, stream: int) -> bool:
        """Return whether messages of a stream are queued."""
        found = self._streams.get(stream)
        return found is not None and bool(found.waiting)

    def __bool__(self) -> bool:
        return bool(self._turns)

    def take(self, room: int, full: int, now: float) -> Fragment | None:
        """Take the next fragment.

        Args:
            room: Bytes of user data that fit into the current packet.
            full: Bytes of user data that fit into a packet of its own.
            now: The time, for expired messages.

        Returns:
            The fragment; ``None`` if nothing is queued, or the next message should start in a new
            packet.
        """
        while self._turns:
            stream = self._streams[self._turns[0]]
            message = stream.waiting[0]
            expired = message.expires is not None and message.expires <= now
            if message.abandoned or (expired and not message.position):
                self._drop_first(stream)
                continue
            data, position = message.data, message.position
            left = len(data) - position
            if left > room and room * 2 < full:
                return None
            if not position and left > room and not self._may_begin(message):
                self._held.append(self._turns.popleft())
                continue
            flags = 0 if message.ordered else UNORDERED
            if not position:
                flags |= FIRST
                self._number(stream, message)
            if left <= room:
                flags |= LAST
                part = data[position:] if position else data
                stream.waiting.popleft()
                self._turn(stream, bool(stream.waiting))
                if position:
                    self._ended(message)
            else:
                if not position:
                    self._begun += len(data)
                part = data[position : position + room]
                if self.interleaves and len(self._turns) > 1:
                    self._turns.rotate(-1)
            size = len(part)
            fragment = Fragment(message, flags, message.fragments, part)
            message.fragments += 1
            message.position = position + size
            self.size -= size
            self._free(message, size)
            return fragment
        return None

    def _may_begin(self, message: Message) -> bool:
        """Return whether another incomplete message fits into the window of the remote peer."""
        if not self.interleaves or not self._begun:
            return True
        return self._begun + len(message.data) <= self.peer_window // 2

    def _ended(self, message: Message) -> None:
        """Note that a started message was taken completely, or abandoned."""
        self._begun -= len(message.data)
        while self._held and self._may_begin(self._streams[self._held[0]].waiting[0]):
            self._turns.append(self._held.popleft())

    def _free(self, message: Message, size: int) -> None:
        # W3C's bufferedAmount counts messages of the application, not those of DCEP.
        if message.protocol != Protocol.DCEP:
            self._freed[message.stream] = self._freed.get(message.stream, 0) + size

    def _number(self, stream: _Stream, message: Message) -> None:
        if message.ordered:
            message.number = stream.next_ordered
            stream.next_ordered += 1
        else:
            message.number = stream.next_unordered
            stream.next_unordered += 1

    def _turn(self, stream: _Stream, goes_on: bool) -> None:
        if goes_on:
            if len(self._turns) > 1:
                self._turns.rotate(-1)
        else:
            self._turns.popleft()

    def _drop_first(self, stream: _Stream) -> None:
        message = stream.waiting.popleft()
        self._turn(stream, bool(stream.waiting))
        self._forget(message)

    def _forget(self, message: Message) -> None:
        rest = len(message.data) - message.position
        self.size -= rest
        self._free(message, rest)
        if message.position:
            self._ended(message)
        if not message.abandoned:
            message.abandoned = True
            self.dropped.append(message)

    def expire(self, now: float) -> None:
        """Abandon all expired messages, even behind others."""
        for number in [*self._turns, *self._held]:
            stream = self._streams[number]
            kept: deque[Message] = deque()
            gone: list[Message] = []
            for message in stream.waiting:
                late = message.expires is not None and message.expires <= now
                is_over = message.abandoned or (late and not message.position)
                (gone if is_over else kept).append(message)
            stream.waiting = kept
            if not kept:
                self._remove_turn(number)
            for message in gone:
                self._forget(message)

    def clear(self, stream: int) -> None:
        """Drop the messages of a stream and restart its numbers at 0, after a stream reset."""
        found = self._streams.pop(stream, None)
        if found is not None and found.waiting:
            self._remove_turn(stream)
            self.size -= sum(len(m.data) - m.position for m in found.waiting)
            if found.waiting[0].position:
                self._ended(found.waiting[0])

    def _remove_turn(self, stream: int) -> None:
        turns = self._turns if stream in self._turns else self._held
        turns.remove(stream)

    def __iter__(self) -> Iterator[Message]:
        for stream in self._streams.values():
            yield from stream.waiting
