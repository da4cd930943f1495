"""Commands of a node that are not applied yet: to be written, or written and not read. No I/O."""

from collections import deque
from dataclasses import dataclass

from ..messages import ClientMessage
from .commands import MAX_ENTRY_BYTES, MAX_ENTRY_COMMANDS

MAX_PENDING = 100_000
"""Commands of clients that wait while Redis is away. Beyond them a client is cut off, whose message
comes again when it resumes."""

MAX_PENDING_BYTES = 64 * 1024 * 1024
"""Bytes of them."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Commands for one entry.

    Attributes:
        first: The number of the first.
        commands: The commands, encoded.
    """

    first: int
    commands: list[bytes]


class PendingCommands:
    """The numbered commands of a node.

    Attributes:
        messages: What was decoded already, by the numbers of the commands.
    """

    def __init__(self) -> None:
        self.messages: dict[int, ClientMessage] = {}
        self._commands: deque[bytes] = deque()
        self._bytes = 0
        self._first = 1  # the number of the first in the queue
        self._unsent = 1

    def __len__(self) -> int:
        return len(self._commands)

    @property
    def is_full(self) -> bool:
        """True if no more commands of clients may be added."""
        return len(self._commands) >= MAX_PENDING or self._bytes >= MAX_PENDING_BYTES

    @property
    def has_unsent(self) -> bool:
        """True if a command is to be written."""
        return self._unsent < self._first + len(self._commands)

    def add(self, command: bytes, message: ClientMessage | None = None) -> None:
        """Add a command."""
        if message is not None:
            self.messages[self._first + len(self._commands)] = message
        self._commands.append(command)
        self._bytes += len(command)

    def batch(self) -> Batch | None:
        """Return the next commands to write; ``None`` if there are none."""
        if not self.has_unsent:
            return None
        commands: list[bytes] = []
        size = 0
        for index in range(self._unsent - self._first, len(self._commands)):
            command = self._commands[index]
            size += len(command)
            if commands and (size > MAX_ENTRY_BYTES or len(commands) >= MAX_ENTRY_COMMANDS):
                break
            commands.append(command)
        return Batch(self._unsent, commands)

    def sent(self, batch: Batch) -> None:
        """Note that commands were written."""
        self._unsent = max(self._unsent, batch.first + len(batch.commands))

    def applied(self, number: int) -> None:
        """Forget the commands up to one that was applied."""
        while self._commands and self._first <= number:
            self._bytes -= len(self._commands.popleft())
            self.messages.pop(self._first, None)
            self._first += 1
        self._unsent = max(self._unsent, self._first)

    def send_again(self) -> None:
        """Have all commands written again that were not applied: their answers may be lost."""
        self._unsent = self._first
