"""Fair queues for what has come in at a shared port: members take turns. No I/O.

One socket has one buffer in the kernel. It is emptied into a queue for each member, so that a
member whose datagrams come faster than they are handled loses its own and no others.
"""

from collections import deque
from collections.abc import Hashable
from typing import Any, Generic, NamedTuple, TypeVar

M = TypeVar("M", bound=Hashable)

MAX_INBOX_BYTES = 4 * 1024 * 1024
"""Maximum size of the queue of one member, in bytes; further datagrams are dropped."""

MAX_TOTAL_BYTES = 64 * 1024 * 1024
"""Maximum size of all queues of a port together, in bytes. Above half of it each member has
:data:`SCARCE_INBOX_BYTES`."""

SCARCE_INBOX_BYTES = 65536
"""Maximum size of a member's queue in bytes while many have much."""

DATAGRAM_COST = 200
"""Bytes that a queued batch or datagram counts in addition to its content."""


class Batch(NamedTuple):
    """A datagram, or several of one size from one source.

    Attributes:
        data: The bytes.
        start: The offset of the first datagram that is not handled yet.
        size: The size of each datagram; the last may be shorter.
        source: The source address, as the socket reports it.
    """

    data: bytes
    start: int
    size: int
    source: tuple[Any, ...]

    @property
    def datagrams(self) -> int:
        """The number of datagrams that are left."""
        return -(-(len(self.data) - self.start) // self.size) if self.size else 1


class Inboxes(Generic[M]):
    """Bounded queues that are served in turn, a batch of each at a time.

    Attributes:
        dropped: Number of datagrams that found their queue full.
    """

    def __init__(self) -> None:
        self._queues: dict[M, deque[Batch]] = {}
        self._sizes: dict[M, int] = {}
        self._turns: deque[M] = deque()
        self._total = 0
        self.dropped: int = 0

    def __len__(self) -> int:
        """Return the number of members with something to be handled."""
        return len(self._queues)

    @property
    def size(self) -> int:
        """Size of all queues in bytes."""
        return self._total

    def put(self, member: M, batch: Batch) -> bool:
        """Append a batch to a member's queue; drop it, and return ``False``, if that is full."""
        cost = len(batch.data) + DATAGRAM_COST
        queue = self._queues.get(member)
        size = self._sizes[member] if queue is not None else 0
        limit = MAX_INBOX_BYTES if self._total <= MAX_TOTAL_BYTES // 2 else SCARCE_INBOX_BYTES
        if size + cost > limit or self._total + cost > MAX_TOTAL_BYTES:
            self.dropped += batch.datagrams
            return False
        if queue is None:
            queue = self._queues[member] = deque()
            self._turns.append(member)
        queue.append(batch)
        self._sizes[member] = size + cost
        self._total += cost
        return True

    def next(self) -> tuple[M, Batch] | None:
        """Take the next batch of the member whose turn it is; ``None`` if nothing waits."""
        if not self._turns:
            return None
        member = self._turns.popleft()
        queue = self._queues[member]
        batch = queue.popleft()
        cost = len(batch.data) + DATAGRAM_COST
        self._total -= cost
        if queue:
            self._sizes[member] -= cost
            self._turns.append(member)
        else:
            del self._queues[member], self._sizes[member]
        return member, batch

    def put_back(self, member: M, rest: Batch) -> None:
        """Return the rest of the batch that was taken last; others have their turn before it."""
        cost = len(rest.data) + DATAGRAM_COST
        queue = self._queues.get(member)
        if queue is None:
            queue = self._queues[member] = deque()
            self._sizes[member] = 0
            self._turns.append(member)
        queue.appendleft(rest)
        self._sizes[member] += cost
        self._total += cost

    def forget(self, member: M) -> None:
        """Drop what waits for a member that leaves."""
        if self._queues.pop(member, None) is not None:
            self._total -= self._sizes.pop(member)
            self._turns.remove(member)
