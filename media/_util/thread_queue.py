"""From the event loop into one thread, bounded; the event loop never waits."""

import threading
from collections import deque
from collections.abc import Callable
from functools import partial

_VIDEO_BYTES = 64 * 1024 * 1024
_AUDIO_SECONDS = 60.0
"""What may wait for the thread: of pictures 46 of 1280 x 720, and so much sound of each track."""


class ThreadQueue:
    """Work for the thread, in order, bounded by what it weighs."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._work: deque[tuple[Callable[[], None], int, tuple[object, float] | None]] = deque()
        self._video = 0
        self._audio: dict[object, float] = {}
        self._told = False
        self._closed = False

    def _add(
        self, work: Callable[[], None], size: int = 0, sound: tuple[object, float] | None = None
    ) -> None:
        if not self._closed:
            self._work.append((work, size, sound))
            self._changed.notify()

    def put(self, work: Callable[[], None]) -> None:
        """Add what is to be done in any case."""
        with self._changed:
            self._add(work)

    def put_tick(self, work: Callable[[], None]) -> None:
        """Add the news of the time, unless the thread has not got round to older such news."""
        with self._changed:
            if not self._told:
                self._told = True
                self._add(partial(self._tell, work))

    def _tell(self, work: Callable[[], None]) -> None:
        self._told = False
        work()

    def put_video(self, size: int, work: Callable[[], None]) -> bool:
        """Add a picture of so many bytes; return whether there was room."""
        with self._changed:
            # One of any size has room, however big.
            if self._video and self._video + size > _VIDEO_BYTES:
                return False
            self._video += size
            self._add(work, size)
        return True

    def put_audio(self, key: object, seconds: float, work: Callable[[], None]) -> bool:
        """Add so many seconds of sound of a track; return whether there was room."""
        with self._changed:
            waiting = self._audio.get(key, 0.0) + seconds
            if waiting > _AUDIO_SECONDS:
                return False
            self._audio[key] = waiting
            self._add(work, 0, (key, seconds))
        return True

    def take(self, timeout: float) -> Callable[[], None] | None:
        """Take work, for the thread; wait for it at most ``timeout`` seconds."""
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
        """Let go of all work, and of all that comes; for the thread, when it ends."""
        with self._changed:
            self._closed = True
            self._work.clear()
