"""Bounded work queue from the event loop to a thread; putting never blocks."""

import threading
from collections import deque
from collections.abc import Callable
from functools import partial

_VIDEO_BYTES = 64 * 1024 * 1024
_AUDIO_SECONDS = 60.0
"""Limits of the queue: bytes of all pictures, 48 of 1280 x 720, and seconds of audio per track."""


class ThreadQueue:
    """Callables for a thread, in order, bounded by the media that they process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._work: deque[tuple[Callable[[], None], int, tuple[object, float] | None]] = deque()
        self._video = 0
        self._audio: dict[object, float] = {}
        self._tick_queued = False
        self._closed = False

    def _add(
        self, work: Callable[[], None], size: int = 0, sound: tuple[object, float] | None = None
    ) -> None:
        if not self._closed:
            self._work.append((work, size, sound))
            self._changed.notify()

    def put(self, work: Callable[[], None]) -> None:
        """Add work without media, which is never refused."""
        with self._changed:
            self._add(work)

    def put_tick(self, work: Callable[[], None]) -> None:
        """Add a time update, unless the previous one is still in the queue."""
        with self._changed:
            if not self._tick_queued:
                self._tick_queued = True
                self._add(partial(self._run_tick, work))

    def _run_tick(self, work: Callable[[], None]) -> None:
        self._tick_queued = False
        work()

    def put_video(self, size: int, work: Callable[[], None]) -> bool:
        """Add work for a picture of ``size`` bytes; return whether there was room."""
        with self._changed:
            # A single picture is accepted whatever its size.
            if self._video and self._video + size > _VIDEO_BYTES:
                return False
            self._video += size
            self._add(work, size)
        return True

    def put_audio(self, key: object, seconds: float, work: Callable[[], None]) -> bool:
        """Add work for ``seconds`` of audio of a track; return whether there was room.

        Args:
            key: Identifies the track.
            seconds: Length of the audio.
            work: The work.
        """
        with self._changed:
            waiting = self._audio.get(key, 0.0) + seconds
            if waiting > _AUDIO_SECONDS:
                return False
            self._audio[key] = waiting
            self._add(work, 0, (key, seconds))
        return True

    def take(self, timeout: float) -> Callable[[], None] | None:
        """Take the next work, or ``None`` after ``timeout`` seconds without. For the thread."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._work, timeout):
                return None
            work, size, sound = self._work.popleft()
            self._video -= size
            if sound is not None:
                key, seconds = sound
                self._audio[key] -= seconds
                if self._audio[key] < 1e-6:
                    del self._audio[key]
            return work

    def close(self) -> None:
        """Drop all work, also later one; for the thread, when it ends."""
        with self._changed:
            self._closed = True
            self._work.clear()
