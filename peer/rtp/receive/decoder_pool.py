"""Limits on the decoders of one connection: how many run, and their memory. Does no I/O."""

import threading
from logging import Logger

from icefloe.logs import get_logger

from .bitstream_size import MOST_PIXELS

MOST_DECODERS = 64
"""Default maximum number of tracks of one connection that are decoded at the same time."""

MAX_LARGEST_FRAMES = 4
"""Memory limit for the frames of all decoders of one connection, in frames of the maximum size: by
default as many pixels as eighteen 1080p frames."""

logger: Logger = get_logger(__name__)


class DecoderPool:
    """Resources shared by the decoders of one connection. Thread-safe.

    A media section costs nothing until media arrives for it, and the remote peer decides how many
    sections there are.

    Args:
        max_decoders: Maximum number of running decoders.
        max_pixels: Maximum pixels per frame.
    """

    def __init__(self, max_decoders: int = MOST_DECODERS, max_pixels: int = MOST_PIXELS) -> None:
        self.max_pixels = max_pixels
        self._max_decoders = max_decoders
        self._lock = threading.Lock()
        self._running = 0
        self._pixels: dict[object, int] = {}
        self._warned = False

    @property
    def running(self) -> int:
        """The number of running decoders."""
        return self._running

    def enter(self) -> bool:
        """Return whether another decoder may run, and count it if so."""
        with self._lock:
            if self._running < self._max_decoders:
                self._running += 1
                return True
            warned, self._warned = self._warned, True
        if not warned:
            logger.warning(
                "no further track is decoded: %d decoders are running", self._max_decoders
            )
        return False

    def reserve(self, owner: object, pixels: int) -> bool:
        """Return whether a decoder may have frames of a size, and reserve memory for them if so.

        A reservation replaces the previous one of the same decoder.

        Args:
            owner: Identifies the decoder.
            pixels: Pixels per frame.
        """
        with self._lock:
            others = sum(self._pixels.values()) - self._pixels.get(owner, 0)
            if others and others + pixels > MAX_LARGEST_FRAMES * self.max_pixels:
                return False
            self._pixels[owner] = pixels
            return True

    def leave(self, owner: object) -> None:
        """Release the place and the memory of a decoder."""
        with self._lock:
            self._running -= 1
            self._pixels.pop(owner, None)
