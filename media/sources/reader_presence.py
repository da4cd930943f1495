"""Detection of a queue's reader, so that producers do not wait for one that has left."""

from collections.abc import Callable

from .._util.clock import Clock
from .._util.wakeup import Signal

READER_GRACE = 5.0
"""Seconds without a read after which a pending producer takes the reader to have left."""


class ReaderPresence:
    """State of a queue's reader: it has not read yet, is present, or has left.

    Args:
        clock: The clock.
        left: Called when the reader has left.

    Attributes:
        has_left: Whether the reader has left and no other one has read since.
    """

    def __init__(self, clock: Clock, left: Callable[[], None]) -> None:
        self._clock = clock
        self._left = left
        self._last_read: float | None = None
        self.has_left: bool = False

    def read(self) -> None:
        """Note that the queue was read."""
        self._last_read = self._clock.now()
        self.has_left = False

    def leave(self) -> None:
        """Note that the reader has announced that it leaves."""
        self._last_read = self._clock.now() - READER_GRACE
        self._note_left()

    def now(self) -> float:
        """Return the time in seconds."""
        return self._clock.now()

    def _note_left(self) -> None:
        self.has_left = True
        self._left()

    async def wait(self, changed: Signal, began: float) -> bool:
        """Wait for a change, or until the reader has left. Before the first read, wait for ever.

        Args:
            changed: Wakes when there may be a change.
            began: Start of the wait, in seconds; the grace period does not end before
                ``READER_GRACE`` from then.

        Returns:
            True if the reader has left; false if there may be a change.

        Cancellation: safe.
        """
        if self._last_read is None:
            await changed.wait()
            return False
        until = max(self._last_read, began) + READER_GRACE
        if self._clock.now() < until:
            await changed.wait_until(self._clock, until)
            return False
        self._note_left()
        return True
