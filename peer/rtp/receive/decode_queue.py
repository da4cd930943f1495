"""Encoded pictures that wait for their decoder: bounded. No I/O: the time is given.

A decoder that is too slow must leave something out, and of most codecs nothing can be decoded after
a gap before the next key frame. So all that waits goes, and a key frame is asked for.
"""

from collections import deque
from typing import Generic, TypeVar

MOST = 20
"""Pictures that wait at most: two thirds of a second at 30 a second."""

MOST_BYTES = 32 * 1024 * 1024
"""Bytes that wait at most, beside one picture."""

INSIST = 0.5
"""Seconds after which a key frame that did not come is asked for again."""

T = TypeVar("T")


class Backlog(Generic[T]):
    """What waits for one decoder.

    Attributes:
        dropped: How many pictures were left out.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._waiting: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._needs_key_frame = False
        self._asked_at = float("-inf")

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, now: float, picture: T, *, is_key_frame: bool, size: int = 0) -> bool:
        """Add a picture.

        Args:
            now: Seconds on a monotonic clock.
            picture: What to decode.
            is_key_frame: Whether it can be decoded by itself.
            size: How many bytes it has.

        Returns:
            Whether to ask the sender for a key frame.
        """
        is_full = len(self._waiting) >= MOST or self._bytes + size > MOST_BYTES
        if self._waiting and is_full:
            self.begin_anew()
        if self._needs_key_frame and not is_key_frame:
            self.dropped += 1
            if now - self._asked_at < INSIST:
                return False
            self._asked_at = now
            return True
        self._needs_key_frame = False
        self._waiting.append((picture, size))
        self._bytes += size
        return False

    def begin_anew(self) -> None:
        """Forget what waits, and go on with a key frame."""
        self.dropped += len(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        self._needs_key_frame = True

    def take(self) -> T | None:
        """Return the oldest picture, or ``None``."""
        if not self._waiting:
            return None
        picture, size = self._waiting.popleft()
        self._bytes -= size
        return picture
