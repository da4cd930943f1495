"""Standard input that can be let go of."""

import select
import sys
from typing import Any, BinaryIO


class StandardInput:
    """Standard input that can be told to stop while nothing comes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.stopped = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def stop(self) -> None:
        """Take no more from it, and wait no longer."""
        self.stopped = True

    def read(self, size: int) -> bytes:
        """Return what comes; nothing at the end."""
        if sys.platform != "win32":
            while not self.stopped and not select.select([self._stream], [], [], 0.1)[0]:
                pass
        return b"" if self.stopped else self._stream.read1(size)  # type: ignore[attr-defined]
