"""Standard input whose blocking reads can be interrupted."""

import select
import sys
from typing import Any, BinaryIO


class StandardInput:
    """A wrapper of standard input that another thread can stop while a read waits for data."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.stopped = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def stop(self) -> None:
        """Let the current read and all later ones return the end of the stream."""
        self.stopped = True

    def read(self, size: int) -> bytes:
        """Return the next available bytes, at most ``size``; none at the end of the stream."""
        if sys.platform != "win32":
            while not self.stopped and not select.select([self._stream], [], [], 0.1)[0]:
                pass
        return b"" if self.stopped else self._stream.read1(size)  # type: ignore[attr-defined]
