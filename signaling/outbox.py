"""Retransmission queue: numbered messages that were sent and may be lost, or wait to be sent.

No I/O: time is passed in. When a socket breaks, the sender cannot know which of the written
messages the receiver has read. Both sides therefore number their messages and keep the most recent
ones. When the seat is resumed, the receiver names the last number that arrived, and the messages
after it are sent again.
"""

from collections import deque

from msgspec import Struct

MESSAGES_KEPT = 256
"""Messages kept after sending, and likewise messages that may wait."""

BYTES_KEPT = 1024 * 1024
"""Bytes kept after sending, and likewise bytes that may wait."""

BYTES_KEPT_TOTAL = 64 * 1024 * 1024
"""Bytes that all outboxes of a server keep together, approximately."""

BYTES_KEPT_SCARCE = 32 * 1024
"""Bytes that each outbox keeps while half of the total is in use; enough to set up a call."""

UNCONFIRMED_SECONDS = 60.0
"""Seconds on an open socket after which a message must have arrived. A socket is given up when a
ping stays unanswered for this long, and messages written before a ping arrive before it."""


class _Kept(Struct, frozen=True, gc=False):
    seq: int
    payload: bytes
    sent_at: float


class Budget:
    """A memory limit that several outboxes share.

    While less than half of the total is in use, each outbox may keep :data:`BYTES_KEPT`. Above that
    it may keep :data:`BYTES_KEPT_SCARCE`, so that a few full outboxes leave memory for the others.

    Args:
        total: Bytes that all outboxes together may keep.

    Attributes:
        used: Bytes that are kept now.
    """

    def __init__(self, total: int = BYTES_KEPT_TOTAL) -> None:
        self.used = 0
        self._total = total

    @property
    def share(self) -> int:
        """Bytes that one outbox may keep after sending, and likewise bytes that may wait in it."""
        return BYTES_KEPT if self.used < self._total // 2 else BYTES_KEPT_SCARCE


class _Store:
    """A queue of messages that counts their bytes."""

    def __init__(self, budget: Budget) -> None:
        self.items: deque[_Kept] = deque()
        self.bytes = 0
        self._budget = budget

    def has_room_for(self, payload: bytes) -> bool:
        if len(self.items) >= MESSAGES_KEPT:
            return False
        return self.bytes + len(payload) <= self._budget.share

    def append(self, item: _Kept) -> None:
        size = len(item.payload)
        self.items.append(item)
        self.bytes += size
        self._budget.used += size

    def push_out(self, item: _Kept) -> int:
        """Append a message; return the number of the last one dropped for that, 0 for none."""
        items, budget, size, dropped = self.items, self._budget, len(item.payload), 0
        while items and (
            len(items) >= MESSAGES_KEPT
            # A message that fits into the smaller share needs no look at what is in use.
            or (self.bytes + size > BYTES_KEPT_SCARCE and self.bytes + size > budget.share)
        ):
            oldest = items.popleft()
            self.bytes -= len(oldest.payload)
            budget.used -= len(oldest.payload)
            dropped = oldest.seq
        items.append(item)
        self.bytes += size
        budget.used += size
        return dropped

    def popleft(self) -> _Kept:
        item = self.items.popleft()
        size = len(item.payload)
        self.bytes -= size
        self._budget.used -= size
        return item

    def clear(self) -> None:
        self._budget.used -= self.bytes
        self.bytes = 0
        self.items.clear()


class Outbox:
    """The numbered messages of one seat in one direction.

    Encode a message with the number :attr:`next_seq`. Then pass it to :meth:`record_sent` if it is
    written to a socket at once, or to :meth:`enqueue` while there is no socket.

    Args:
        budget: The memory limit shared with other outboxes; ``None`` for one of its own.

    Attributes:
        next_seq: The number of the next message, from 1.
    """

    def __init__(self, budget: Budget | None = None) -> None:
        self.next_seq: int = 1
        budget = budget or Budget()
        self._sent = _Store(budget)
        self._waiting = _Store(budget)
        self._forgotten = 0

    @property
    def waiting(self) -> int:
        """The number of messages that wait for a socket."""
        return len(self._waiting.items)

    @property
    def keeps_sent(self) -> bool:
        """True if messages are kept that were written to a socket."""
        return bool(self._sent.items)

    def record_sent(self, payload: bytes, now: float) -> None:
        """Keep a message that was written to a socket; the oldest ones are dropped to make room.

        Args:
            payload: The encoded message, numbered :attr:`next_seq`.
            now: Seconds on a monotonic clock.
        """
        if dropped := self._sent.push_out(_Kept(self.next_seq, payload, now)):
            self._forgotten = dropped
        self.next_seq += 1
        if self._sent.items[0].sent_at <= now - UNCONFIRMED_SECONDS:
            self.forget(now)

    def enqueue(self, payload: bytes) -> bool:
        """Keep a message that is to be sent over the next socket.

        Args:
            payload: The encoded message, numbered :attr:`next_seq`.

        Returns:
            Whether there was room; if not, nothing changed.
        """
        if not self._waiting.has_room_for(payload):
            return False
        self._waiting.append(_Kept(self.next_seq, payload, 0.0))
        self.next_seq += 1
        return True

    def forget(self, now: float) -> None:
        """Drop sent messages that must have arrived by now; call it only while the socket is open.

        Args:
            now: Seconds on a monotonic clock.
        """
        while self._sent.items and self._sent.items[0].sent_at <= now - UNCONFIRMED_SECONDS:
            self._drop_oldest()

    def resume(self, ack: int | None, now: float) -> list[bytes] | None:
        """Return the messages to write to a new socket, and record them as sent.

        Args:
            ack: The number of the last message that arrived. ``None`` if the receiver does not
                number messages: then it gets those that wait, and those lost with the old socket
                are not sent again.
            now: Seconds on a monotonic clock.

        Returns:
            The messages, in order; ``None`` if a message that the receiver lacks is no longer kept,
            or if ``ack`` names a message that was never sent.
        """
        first_waiting = self._waiting.items[0].seq if self._waiting.items else self.next_seq
        if ack is None:
            ack = first_waiting - 1
        if not self._forgotten <= ack < first_waiting:
            return None
        again = [item for item in self._sent.items if item.seq > ack]
        again.extend(self._waiting.items)
        self._sent.clear()
        self._waiting.clear()
        self._forgotten = ack
        for item in again:
            self._keep_sent(_Kept(item.seq, item.payload, now))
        return [item.payload for item in again]

    def close(self) -> None:
        """Drop all messages: the seat is gone."""
        self._sent.clear()
        self._waiting.clear()

    def _keep_sent(self, item: _Kept) -> None:
        if dropped := self._sent.push_out(item):
            self._forgotten = dropped

    def _drop_oldest(self) -> None:
        self._forgotten = self._sent.popleft().seq
