"""Attempts at pairing in the order in which they are worked at. No I/O.

Each one costs some 20 ms of a processor, and anybody in the room can ask for one. So one is worked
at at a time, they are limited in number and rate for each participant, and who has asked least is
served first: strangers who ask again and again wait for themselves.
"""

from collections import deque
from dataclasses import dataclass, field

FREE = 3
"""Attempts of one participant that do not wait."""

FIRST_PAUSE = 1.0
"""Seconds after which the next one may follow; twice as many for each one after that."""

LONGEST_PAUSE = 30.0
"""Seconds between two attempts of one participant at most."""

ATTEMPTS = 20
"""Attempts of one participant that does not show that it has the code; more are not answered."""

WAITING = 8
"""Messages of one participant that wait behind an attempt; more are dropped."""

MOST_LINES = 256
"""Participants of whom something is remembered; who asked most often is forgotten first."""


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """Something that has to be computed.

    Attributes:
        id: For which participant.
        half: Its half of the exchange; ``None`` begins one.
    """

    id: str
    half: object | None = None


@dataclass(slots=True)
class _Line:
    waiting: deque[object] = field(default_factory=deque)
    attempts: int = 0
    not_before: float = 0.0


class Attempts:
    """A line for each participant: attempts, and what it says after them."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    def add(self, attempt: Attempt) -> bool:
        """Put an attempt at the end of its line; return whether there was room."""
        line = self._lines.get(attempt.id)
        if line is None:
            if len(self._lines) >= MOST_LINES:
                del self._lines[max(self._lines, key=lambda id: self._lines[id].attempts)]
            line = self._lines[attempt.id] = _Line()
        if line.attempts >= ATTEMPTS or len(line.waiting) >= WAITING:
            return False
        line.waiting.append(attempt)
        return True

    def follow(self, id: str, message: object) -> bool:
        """Put a message behind the attempts of its sender; return whether there are any."""
        line = self._lines.get(id)
        if line is None or not line.waiting:
            return False
        if len(line.waiting) < WAITING:
            line.waiting.append(message)
        return True

    def next(self, now: float) -> Attempt | None:
        """Return what to work at, which stays in its line; ``None`` if nothing is due.

        Args:
            now: Seconds of a clock that never goes back.
        """
        due = [line for line in self._lines.values() if line.waiting and line.not_before <= now]
        if not due:
            return None
        line = min(due, key=lambda line: line.attempts)  # the first of these that came
        line.attempts += 1
        if line.attempts >= FREE:
            pause = FIRST_PAUSE * 2.0 ** (line.attempts - FREE)
            line.not_before = now + min(pause, LONGEST_PAUSE)
        if line.attempts >= ATTEMPTS:
            line.waiting = deque(list(line.waiting)[:1])
        attempt = line.waiting[0]
        assert isinstance(attempt, Attempt)
        return attempt

    def due(self) -> float | None:
        """Return when the next one is due, on the clock of :meth:`next`; ``None`` without one."""
        return min((x.not_before for x in self._lines.values() if x.waiting), default=None)

    def is_wanted(self, attempt: Attempt) -> bool:
        """Return whether an attempt still stands, and its participant was not forgotten."""
        line = self._lines.get(attempt.id)
        return line is not None and bool(line.waiting) and line.waiting[0] is attempt

    def done(self, attempt: Attempt) -> list[object]:
        """Take an attempt out of its line; return what was said after it, to be dealt with now."""
        if not self.is_wanted(attempt):
            return []
        waiting = self._lines[attempt.id].waiting
        waiting.popleft()
        followed = []
        while waiting and not isinstance(waiting[0], Attempt):
            followed.append(waiting.popleft())
        return followed

    def paired(self, id: str) -> None:
        """Count no longer against a participant what it asked for: it has the code."""
        if (line := self._lines.get(id)) is not None:
            line.attempts, line.not_before = 0, 0.0

    def forget(self, id: str) -> None:
        """Forget a participant that is gone, and what waits for it."""
        self._lines.pop(id, None)
