"""Schedule of the playout of many tracks: each is due every 20 ms. Does no I/O.

Tracks share ticks: a track joins one of four phases, 5 ms apart. So however many there are, the
clock wakes 200 times a second at most, and a track begins at most 5 ms later than it could.
"""

from typing import Generic, TypeVar

from .jitter_buffer import STEP

PHASES = 4
"""Number of phases within a step."""

TICK = STEP / PHASES
"""Seconds between the ticks of two neighbouring phases."""

MAX_LAG = 0.5
"""Seconds of lag after which playout resumes at the current time, as after a system suspend."""

T = TypeVar("T")


class PlayoutSchedule(Generic[T]):
    """The members that play at each tick.

    All times are seconds on one monotonic clock.
    """

    def __init__(self) -> None:
        self._phases: tuple[dict[T, None], ...] = tuple({} for _ in range(PHASES))
        self._phase_of: dict[T, int] = {}
        self._passed = 0
        """Number of the latest tick whose tracks have played."""

    def __len__(self) -> int:
        return len(self._phase_of)

    def __contains__(self, member: T) -> bool:
        return member in self._phase_of

    @property
    def members(self) -> list[T]:
        """The members, by phase."""
        return [member for phase in self._phases for member in phase]

    def join(self, member: T, now: float) -> None:
        """Play a member from the next tick on; no-op if it plays already."""
        if member in self:
            return
        current = int(now / TICK)
        if not len(self):
            self._passed = current
        first = max(current, self._passed) + 1
        phase = self._phase_of[member] = first % PHASES
        self._phases[phase][member] = None

    def leave(self, member: T) -> None:
        """Play a member no more. Idempotent."""
        phase = self._phase_of.pop(member, None)
        if phase is not None:
            del self._phases[phase][member]

    @property
    def due(self) -> float | None:
        """The time of the next tick at which somebody plays; ``None`` if nobody does."""
        for number in range(self._passed + 1, self._passed + 1 + PHASES):
            if self._phases[number % PHASES]:
                return number * TICK
        return None

    def take(self, now: float) -> list[tuple[float, list[T]]]:
        """Return the ticks that have passed since the last call, with those who play.

        Those of the same tick are in the order in which they have joined. Ticks that are more than
        :data:`MAX_LAG` ago are left out.
        """
        current = int(now / TICK)
        first = self._passed + 1
        if current - first > MAX_LAG / TICK:
            first = current - PHASES + 1
        self._passed = max(current, self._passed)
        return [
            (number * TICK, list(phase))
            for number in range(first, current + 1)
            if (phase := self._phases[number % PHASES])
        ]
