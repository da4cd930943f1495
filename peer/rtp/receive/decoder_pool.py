"""How many decoders of one connection run at a time, and how much they decode. No I/O."""

import threading

from icefloe.logs import get_logger

from .bitstream_size import MOST_PIXELS

MOST_DECODERS = 64
"""Tracks of one connection that are decoded at a time, unless a program wants others."""

PICTURES = 4
"""Pictures of the largest size that all decoders of one connection may have at a time, in pixels:
eighteen of 1080p by default."""

logger = get_logger(__name__)


class DecoderPool:
    """What the decoders of one connection share; from any thread.

    A media section costs nothing before something comes for it, and the other side decides how many
    sections there are.

    Args:
        most: Decoders that run at a time.
        most_pixels: Pixels of one picture at most.
    """

    def __init__(self, most: int = MOST_DECODERS, most_pixels: int = MOST_PIXELS) -> None:
        self.most_pixels = most_pixels
        self._most = most
        self._lock = threading.Lock()
        self._running = 0
        self._pixels: dict[object, int] = {}
        self._told = False

    @property
    def running(self) -> int:
        """How many run."""
        return self._running

    def enter(self) -> bool:
        """Take a place for a decoder; return whether there is one."""
        with self._lock:
            if self._running < self._most:
                self._running += 1
                return True
            told, self._told = self._told, True
        if not told:
            logger.warning("more than %d tracks at a time are not decoded", self._most)
        return False

    def reserve(self, who: object, pixels: int) -> bool:
        """Take room for a decoder's pictures in the place of what it had; return whether there is.

        Args:
            who: The decoder.
            pixels: Of one picture.
        """
        with self._lock:
            others = sum(self._pixels.values()) - self._pixels.get(who, 0)
            if others and others + pixels > PICTURES * self.most_pixels:
                return False
            self._pixels[who] = pixels
            return True

    def leave(self, who: object) -> None:
        """Give up a place and the room."""
        with self._lock:
            self._running -= 1
            self._pixels.pop(who, None)
