"""A terminal for a process to run in: what it shows, and keys for it."""

import asyncio
import fcntl
import os
import re
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager

from tests.helpers import complaints

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """The master side of a pseudo-terminal.

    Attributes:
        slave: The side of the process, a file descriptor.
        text: What was shown, without colours and movements of the cursor.
    """

    def __init__(self, columns: int) -> None:
        self._master, self.slave = os.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.text = ""
        self._changed = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._master, self._on_readable)

    async def shows(self, pattern: str) -> re.Match[str]:
        """Wait until something is shown."""
        while not (found := re.search(pattern, self.text)):
            self._changed.clear()
            await self._changed.wait()
        return found

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def close(self) -> None:
        """Take it away."""
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self.slave)
        complaints.search("the program at the terminal", self.text)

    def _on_readable(self) -> None:
        self.text += _CONTROL.sub("", os.read(self._master, 65536).decode(errors="replace"))
        self._changed.set()


@contextmanager
def terminal(columns: int = 120) -> Iterator[Terminal]:
    """Give a terminal, until the end of the block."""
    made = Terminal(columns)
    try:
        yield made
    finally:
        made.close()
