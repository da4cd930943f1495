"""Progress of a file transfer, as both sides report it, and their common timeout."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .protocol import Entry

CLOSE_TIMEOUT = 5.0
"""Seconds that the remote peer has to receive the last messages before the channel is closed."""


@dataclass(frozen=True, slots=True)
class TransferProgress:
    """The progress of a transfer.

    Attributes:
        done: Bytes that the receiver has written, including those kept from an earlier attempt.
        moved: Those of the bytes that were sent in this attempt.
        total: Bytes of all files; ``None`` if one of them is a stream.
        path: The current file, as the sender named it.
    """

    done: int
    moved: int
    total: int | None
    path: str


OnProgress = Callable[[TransferProgress], None]


def total_size(entries: Sequence[Entry]) -> int | None:
    """Return the bytes of all files, or ``None`` if one is a stream of unknown size."""
    if any(entry.size is None and not entry.folder for entry in entries):
        return None
    return sum(entry.size or 0 for entry in entries)
