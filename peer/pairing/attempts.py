"""Rate limiting and scheduling of pairing attempts. No I/O: time is passed in.

Each attempt costs some 20 ms of processor time, and any participant of the room can ask for one. So
attempts are computed one at a time and are limited in number and rate for each participant. The
participant with the fewest attempts so far is served first, so that one that floods delays itself.
"""

from collections import deque
from dataclasses import dataclass, field

FREE_ATTEMPTS = 3
"""Attempts of one participant that are made without a pause."""

INITIAL_PAUSE = 1.0
"""Seconds before the next attempt; the pause doubles with each further one."""

MAX_PAUSE = 30.0
"""The longest pause between two attempts of one participant, in seconds."""

MAX_ATTEMPTS = 20
"""Attempts of a participant that does not show that it has the code; more are not answered."""

MAX_QUEUED = 8
"""Attempts and messages queued for one participant; more are dropped."""

MAX_PARTICIPANTS = 256
"""Participants with a queue; beyond it the one with the most attempts is dropped."""


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """A computation of the key exchange that a participant has asked for.

    Attributes:
        id: The id of the participant.
        pake: Its SPAKE2 message; ``None`` if this side begins the exchange.
    """

    id: str
    pake: object | None = None


@dataclass(slots=True)
class _Queue:
    waiting: deque[object] = field(default_factory=deque)
    attempts: int = 0
    not_before: float = 0.0


class Attempts:
    """A queue for each participant, of its attempts and of the messages that follow them."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}

    def add(self, attempt: Attempt) -> bool:
        """Append an attempt to the queue of its participant; return whether there was room."""
        queue = self._queues.get(attempt.id)
        if queue is None:
            if len(self._queues) >= MAX_PARTICIPANTS:
                del self._queues[max(self._queues, key=lambda id: self._queues[id].attempts)]
            queue = self._queues[attempt.id] = _Queue()
        if queue.attempts >= MAX_ATTEMPTS or len(queue.waiting) >= MAX_QUEUED:
            return False
        queue.waiting.append(attempt)
        return True

    def queue_message(self, id: str, message: object) -> bool:
        """Queue a message behind the attempts of its sender, or drop it if the queue is full.

        Returns:
            Whether the sender has attempts in the queue; if not, the message is to be processed
            now.
        """
        queue = self._queues.get(id)
        if queue is None or not queue.waiting:
            return False
        if len(queue.waiting) < MAX_QUEUED:
            queue.waiting.append(message)
        return True

    def next(self, now: float) -> Attempt | None:
        """Return the next attempt to compute, or ``None`` if none is due. It stays in its queue.

        Args:
            now: Seconds on a monotonic clock.
        """
        due = [q for q in self._queues.values() if q.waiting and q.not_before <= now]
        if not due:
            return None
        queue = min(due, key=lambda queue: queue.attempts)  # the first one of several
        queue.attempts += 1
        if queue.attempts >= FREE_ATTEMPTS:
            pause = INITIAL_PAUSE * 2.0 ** (queue.attempts - FREE_ATTEMPTS)
            queue.not_before = now + min(pause, MAX_PAUSE)
        if queue.attempts >= MAX_ATTEMPTS:
            queue.waiting = deque(list(queue.waiting)[:1])
        attempt = queue.waiting[0]
        assert isinstance(attempt, Attempt)
        return attempt

    @property
    def deadline(self) -> float:
        """Time at which :meth:`next` has an attempt; infinite if none waits."""
        waiting = (q.not_before for q in self._queues.values() if q.waiting)
        return min(waiting, default=float("inf"))

    def is_pending(self, attempt: Attempt) -> bool:
        """Return whether an attempt is still the first of its queue."""
        queue = self._queues.get(attempt.id)
        return queue is not None and bool(queue.waiting) and queue.waiting[0] is attempt

    def finish(self, attempt: Attempt) -> list[object]:
        """Remove an attempt from its queue; return the messages behind it, to be processed now."""
        if not self.is_pending(attempt):
            return []
        waiting = self._queues[attempt.id].waiting
        waiting.popleft()
        followed = []
        while waiting and not isinstance(waiting[0], Attempt):
            followed.append(waiting.popleft())
        return followed

    def paired(self, id: str) -> None:
        """Reset the limits of a participant that has shown that it has the code."""
        if (queue := self._queues.get(id)) is not None:
            queue.attempts, queue.not_before = 0, 0.0

    def forget(self, id: str) -> None:
        """Remove the queue of a participant that is gone."""
        self._queues.pop(id, None)
