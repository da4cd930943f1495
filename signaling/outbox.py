"""What was sent to one receiver and may be lost, and what waits for it. No I/O.

A socket that breaks takes with it what was written and not yet read, and nobody is told what that
was. So each side numbers what it sends and keeps the last of it; when the seat is resumed, the
other side says up to which number it has it, and the rest is sent again.
"""

from collections import deque
from dataclasses import dataclass

MESSAGES_KEPT = 256
"""How many messages are kept as sent, and how many as waiting."""

BYTES_KEPT = 1024 * 1024
"""How many bytes are kept as sent, and how many as waiting."""

BYTES_KEPT_IN_ALL = 64 * 1024 * 1024
"""How many bytes all outboxes of a server keep together, about."""

BYTES_KEPT_SCARCE = 32 * 1024
"""How many bytes each keeps while half of that is in use: what sets up a call fits."""

UNCONFIRMED_SECONDS = 60.0
"""After this long on a socket that lives, a message has arrived: a socket is given up when no
answer to a ping comes for as long, and what was written before a ping arrives before it."""


@dataclass(frozen=True, slots=True)
class _Kept:
    seq: int
    payload: bytes
    sent_at: float


class Budget:
    """Bytes that all outboxes together may keep.

    While less than half of them are in use, each outbox has what :data:`BYTES_KEPT` says; then it
    has :data:`BYTES_KEPT_SCARCE`, so that a few full ones leave something for the others.

    Args:
        total: Bytes.

    Attributes:
        used: Bytes that are kept now.
    """

    def __init__(self, total: int = BYTES_KEPT_IN_ALL) -> None:
        self.used = 0
        self._total = total

    @property
    def share(self) -> int:
        """Bytes that one outbox may keep as sent, and as waiting."""
        return BYTES_KEPT if self.used < self._total // 2 else BYTES_KEPT_SCARCE


class _Store:
    """Payloads in order, and how many bytes they are."""

    def __init__(self, budget: Budget) -> None:
        self.items: deque[_Kept] = deque()
        self.bytes = 0
        self._budget = budget

    def has_room_for(self, payload: bytes) -> bool:
        has_place = len(self.items) < MESSAGES_KEPT
        return has_place and self.bytes + len(payload) <= self._budget.share

    def append(self, item: _Kept) -> None:
        self.items.append(item)
        self.bytes += len(item.payload)
        self._budget.used += len(item.payload)

    def popleft(self) -> _Kept:
        item = self.items.popleft()
        self.bytes -= len(item.payload)
        self._budget.used -= len(item.payload)
        return item

    def clear(self) -> None:
        self._budget.used -= self.bytes
        self.bytes = 0
        self.items.clear()


class Outbox:
    """The numbered messages of one seat in one direction.

    Take a number from :attr:`next_seq`, encode the message with it, and give it to :meth:`sent` if
    it is written to a socket at once, or to :meth:`wait` while there is none.

    Args:
        budget: What it shares with others; one of its own if ``None``.
    """

    def __init__(self, budget: Budget | None = None) -> None:
        self.next_seq = 1
        budget = budget or Budget()
        self._sent = _Store(budget)
        self._waiting = _Store(budget)
        self._forgotten = 0

    @property
    def waiting(self) -> int:
        """How many messages wait for a socket."""
        return len(self._waiting.items)

    @property
    def keeps_sent(self) -> bool:
        """Whether messages are kept that were written to a socket."""
        return bool(self._sent.items)

    def sent(self, payload: bytes, now: float) -> None:
        """Keep a message that was written to a socket; the oldest make room for it.

        Args:
            payload: The encoded message, numbered :attr:`next_seq`.
            now: Seconds on a monotonic clock.
        """
        self._keep_sent(_Kept(self.next_seq, payload, now))
        self.next_seq += 1
        self.forget(now)

    def wait(self, payload: bytes) -> bool:
        """Keep a message for the next socket.

        Returns:
            Whether there was room; if not, nothing changed.
        """
        if not self._waiting.has_room_for(payload):
            return False
        self._waiting.append(_Kept(self.next_seq, payload, 0.0))
        self.next_seq += 1
        return True

    def forget(self, now: float) -> None:
        """Let go of what must have arrived by now; call it only while the socket lives."""
        while self._sent.items and self._sent.items[0].sent_at <= now - UNCONFIRMED_SECONDS:
            self._drop_oldest()

    def resume(self, ack: int | None, now: float) -> list[bytes] | None:
        """Tell what to write to a new socket, and take it as sent.

        Args:
            ack: The number of the last message that arrived; ``None`` if the receiver does not
                count: then it gets what waits, and what the old socket took with it is lost.
            now: Seconds on a monotonic clock.
        Returns:
            The messages, in order; ``None`` if the receiver lacks one that is no longer kept, or
            says that it has one that was never sent.
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
        """Let go of everything: the seat is gone."""
        self._sent.clear()
        self._waiting.clear()

    def _keep_sent(self, item: _Kept) -> None:
        while self._sent.items and not self._sent.has_room_for(item.payload):
            self._drop_oldest()
        self._sent.append(item)

    def _drop_oldest(self) -> None:
        self._forgotten = self._sent.popleft().seq
