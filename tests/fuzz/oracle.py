"""The oracle: tells of an input that takes too long, or raises or logs what it must not."""

import asyncio
import gc
import logging
import sys
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum

from .target import Run, Target

LIMIT = 0.050
"""Seconds of processor time that one input may take."""

TRIES = 4
"""Times that an input is measured before it is called slow; the least counts."""

RECENT = 512
"""Inputs that are kept, for what shows only after them: a task's exception that nobody read."""

_REASON = 300  # characters


class Kind(StrEnum):
    """The ways in which an input can be a finding."""

    SLOW = "slow"
    RAISED = "raised"
    LOGGED = "logged"
    GREW = "grew"


@dataclass(frozen=True, slots=True)
class Finding:
    """An input that did harm.

    Attributes:
        target: The name of the target.
        kind: The way in which it did.
        place: The error and the line that it came from: findings of one place are one fault.
        reason: A sentence.
        data: The input.
    """

    target: str
    kind: Kind
    place: str
    reason: str
    data: bytes


class Complaints(logging.Handler):
    """Takes records of level ERROR and higher, and what cannot be raised where it happens."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()  # also of a warning: foreign text is made printable here
        if record.levelno < logging.ERROR:
            return
        error = record.exc_info[1] if record.exc_info else None
        place = _place(error) if error is not None else f"{record.name}:{record.lineno}"
        self.heard.append((place, f"{said} {error!r}" if error is not None else said))

    def unraisable(self, unraisable: "sys.UnraisableHookArgs") -> None:
        """Take what a destructor raised."""
        error = unraisable.exc_value
        place = _place(error) if error is not None else str(unraisable.exc_type)
        self.heard.append((place, f"{unraisable.err_msg}: {error!r}"))

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen until the end of the block; nobody else does, who might keep the records."""
        root = logging.getLogger()
        before, sys.unraisablehook = sys.unraisablehook, self.unraisable
        handlers, level = root.handlers[:], root.level
        root.handlers[:] = [self]
        root.setLevel(logging.WARNING)
        try:
            yield
        finally:
            root.setLevel(level)
            root.handlers[:] = handlers
            sys.unraisablehook = before


class Oracle:
    """Runs inputs of one target, and tells of those that do harm.

    Args:
        target: The target.
        run: What its ``start`` gave.
        complaints: It is listening.
        limit: Seconds that an input may take.
        clock: Gives seconds of processor time, so that a busy machine does not make an input slow.

    Attributes:
        inputs: Inputs that were run.
        run: What runs one input.
        outcomes: How many ended how: ``ok``, the name of a documented error, or the kind of a
            finding.
        taken: Seconds that the latest input took.
        slowest: Seconds that the slowest input took, where it was not faster when tried again.
    """

    def __init__(
        self,
        target: Target,
        run: Run,
        complaints: Complaints,
        *,
        limit: float = LIMIT,
        clock: Callable[[], float] = time.process_time,
    ) -> None:
        self.inputs = 0
        self.outcomes: Counter[str] = Counter()
        self.slowest = 0.0
        self.taken = 0.0
        self.recent: deque[bytes] = deque(maxlen=RECENT)
        self._target = target
        self._documented = target.documented
        self.run = run
        self._heard = complaints.heard
        self._limit = limit
        self._clock = clock

    def check(self, data: bytes) -> Finding | None:
        """Run an input; return what is wrong with it, if anything is."""
        self.inputs += 1
        self.recent.append(data)
        clock = self._clock
        start = clock()
        try:
            self.run(data)
            outcome = "ok"
        except self._documented as error:
            outcome = type(error).__name__
        except (Exception, asyncio.CancelledError) as error:
            self.outcomes[Kind.RAISED] += 1
            told = traceback.format_exception_only(error)[-1].strip()
            return self._finding(Kind.RAISED, _place(error), told, data)
        taken = self.taken = clock() - start
        if self._heard:
            return self._logged(data)
        if taken > self.slowest:
            taken = min(taken, *(self._measured(data) for _ in range(1, TRIES)))
            self.slowest = max(self.slowest, taken)
            if taken > self._limit:
                self.outcomes[Kind.SLOW] += 1
                self.slowest = 0.0  # for the next one to be looked at as well
                return self._finding(Kind.SLOW, "time", f"{taken * 1000:.0f} ms", data)
        self.outcomes[outcome] += 1
        return None

    def late(self) -> Finding | None:
        """Tell of what shows only when garbage is collected."""
        gc.collect()
        return self._logged(self.recent[-1]) if self._heard and self.recent else None

    def _measured(self, data: bytes) -> float:
        start = self._clock()
        with suppress(Exception, asyncio.CancelledError):  # as it did before
            self.run(data)
        return self._clock() - start

    def _logged(self, data: bytes) -> Finding:
        self.outcomes[Kind.LOGGED] += 1
        place, reason = self._heard[0]
        self._heard.clear()
        # The one that came last need not be the one that is to blame.
        for suspect in (data, *reversed(self.recent)):
            self._measured(suspect)
            gc.collect()
            if self._heard:
                self._heard.clear()
                return self._finding(Kind.LOGGED, place, reason, suspect)
        return self._finding(Kind.LOGGED, place, f"{reason} (seen once)", data)

    def _finding(self, kind: Kind, place: str, reason: str, data: bytes) -> Finding:
        return Finding(self._target.name, kind, place, reason[:_REASON], data)


def _place(error: BaseException) -> str:
    """Name an error and the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else "?"
    return f"{type(error).__name__} at {where}"


@contextmanager
def watched(target: Target, limit: float = LIMIT) -> Iterator[Oracle]:
    """Start a target, and give an oracle for it; ``limit`` is in seconds."""
    complaints = Complaints()
    with complaints.listening(), target.start() as run:
        yield Oracle(target, run, complaints, limit=limit)
