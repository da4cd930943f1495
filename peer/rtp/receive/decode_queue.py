"""Queue of encoded frames for the video decoder, bounded. Does no I/O.

A decoder that is too slow must skip frames, and after a gap most codecs can decode nothing before
the next key frame. So the whole queue is dropped, and a key frame is requested.
"""

from collections import deque
from typing import Generic, TypeVar

MAX_FRAMES = 20
"""Maximum number of queued frames: two thirds of a second at 30 frames per second."""

MAX_BYTES = 32 * 1024 * 1024
"""Maximum bytes queued; a single frame may exceed it."""

KEY_FRAME_RETRY = 0.5
"""Seconds after which a key frame that did not arrive is requested again."""

T = TypeVar("T")


class DecodeQueue(Generic[T]):
    """Encoded frames queued for one decoder.

    Attributes:
        dropped: Number of dropped frames.
    """

    def __init__(self) -> None:
        self.dropped: int = 0
        self._frames: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._needs_key_frame = False
        self._requested_at = float("-inf")

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, now: float, frame: T, *, is_key_frame: bool, size: int = 0) -> bool:
        """Add a frame.

        Args:
            now: Seconds on a monotonic clock.
            frame: The frame to decode.
            is_key_frame: Whether it can be decoded independently.
            size: Its size in bytes.

        Returns:
            Whether to request a key frame.
        """
        is_full = len(self._frames) >= MAX_FRAMES or self._bytes + size > MAX_BYTES
        if self._frames and is_full:
            self.restart()
        if self._needs_key_frame and not is_key_frame:
            self.dropped += 1
            if now - self._requested_at < KEY_FRAME_RETRY:
                return False
            self._requested_at = now
            return True
        self._needs_key_frame = False
        self._frames.append((frame, size))
        self._bytes += size
        return False

    def restart(self) -> None:
        """Drop the queued frames and wait for a key frame."""
        self.dropped += len(self._frames)
        self._frames.clear()
        self._bytes = 0
        self._needs_key_frame = True

    def take(self) -> T | None:
        """Remove and return the oldest frame; ``None`` if the queue is empty."""
        if not self._frames:
            return None
        frame, size = self._frames.popleft()
        self._bytes -= size
        return frame
