"""Framing of datagrams on a TCP connection (RFC 4571), and the queue of what waits. No I/O.

Each datagram, STUN or data, is preceded by its length in 16 bits.
"""

import struct
from collections import deque
from collections.abc import Iterable

from icefloe.text import PrintableError

MAX_FRAME = 65535
"""Maximum size of a datagram in bytes: the length has 16 bits."""

MAX_QUEUED_BYTES = 256 * 1024
"""Maximum size of what waits for a connection, in bytes; further datagrams are dropped, as a router
does it with UDP. TCP itself drops nothing, and what it queues is delay for media."""

MAX_QUEUED_CHECKS = 64
"""Maximum number of STUN messages that wait for a connection; further ones are dropped."""

LONGEST_WAIT = 0.5
"""Maximum time in seconds that a datagram waits; an older one is dropped, since what it carries has
been repaired or has become useless."""

_BATCH = 64 * 1024
"""Bytes that :meth:`SendQueue.take` returns at most, unless one frame is longer."""

_LENGTH = struct.Struct("!H")


class FrameTooLong(PrintableError, ValueError):
    """A frame exceeds the limit.

    Args:
        size: Its size in bytes.
        limit: The limit in bytes.
    """

    def __init__(self, size: int, limit: int) -> None:
        self.size, self.limit = size, limit
        super().__init__(f"a frame of {size} bytes, the limit is {limit}")


def frame(datagram: bytes) -> bytes:
    """Return a datagram with its length.

    Raises:
        FrameTooLong: It has more than :data:`MAX_FRAME` bytes.
    """
    if len(datagram) > MAX_FRAME:
        raise FrameTooLong(len(datagram), MAX_FRAME)
    return _LENGTH.pack(len(datagram)) + datagram


class Deframer:
    """Splits a byte stream into datagrams.

    It holds what was fed and not taken: less than one frame once :meth:`next` has returned
    ``None``.

    Attributes:
        limit: Maximum size of a frame in bytes; may be changed between two frames.
    """

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self.limit = limit
        self._buffer = bytearray()
        self._at = 0

    def __len__(self) -> int:
        """Return the number of bytes that were not taken."""
        return len(self._buffer) - self._at

    def feed(self, data: bytes) -> None:
        """Append received bytes."""
        if self._at:
            del self._buffer[: self._at]
            self._at = 0
        self._buffer += data

    def next(self) -> bytes | None:
        """Return the next datagram, which may be empty; ``None`` if it is not complete.

        Raises:
            FrameTooLong: It is longer than :attr:`limit`, by its length; the stream is of no use.
        """
        begin = self._at + _LENGTH.size
        if len(self._buffer) < begin:
            return None
        (size,) = _LENGTH.unpack_from(self._buffer, self._at)
        if size > self.limit:
            raise FrameTooLong(size, self.limit)
        if len(self._buffer) < begin + size:
            return None
        self._at = begin + size
        return bytes(self._buffer[begin : self._at])


class SendQueue:
    """Datagrams that wait until a connection takes more, framed.

    STUN messages overtake data: a check that waits behind it would make the path look slow or dead.

    Attributes:
        dropped: Number of datagrams that were dropped because the queue was full or they were old.
    """

    def __init__(self) -> None:
        self._checks: deque[bytes] = deque()
        self._data: deque[tuple[float, bytes]] = deque()
        self._queued_bytes = 0
        self.dropped: int = 0

    def __bool__(self) -> bool:
        """Return whether something waits."""
        return bool(self._checks or self._data)

    def put_check(self, message: bytes) -> None:
        """Append a STUN message; drop it if too many wait."""
        if len(self._checks) < MAX_QUEUED_CHECKS:
            self._checks.append(frame(message))
        else:
            self.dropped += 1

    def put(self, datagrams: Iterable[bytes], now: float) -> None:
        """Append datagrams in order; drop those that do not fit.

        Args:
            datagrams: The datagrams.
            now: The time, in seconds.
        """
        for datagram in datagrams:
            size = len(datagram)
            if size > MAX_FRAME or self._queued_bytes + size > MAX_QUEUED_BYTES:
                self.dropped += 1
                continue
            self._queued_bytes += size
            self._data.append((now, _LENGTH.pack(size) + datagram))

    def take(self, now: float) -> bytes:
        """Return frames to write, about 64 KiB at most; nothing if nothing waits.

        Args:
            now: The time, in seconds; data that waits for longer than :data:`LONGEST_WAIT` is
                dropped.
        """
        taken, size = list(self._checks), sum(map(len, self._checks))
        self._checks.clear()
        waiting = self._data
        while waiting:
            since, data = waiting[0]
            if size and size + len(data) > _BATCH:
                break
            waiting.popleft()
            self._queued_bytes -= len(data) - _LENGTH.size
            if now - since > LONGEST_WAIT:
                self.dropped += 1
                continue
            taken.append(data)
            size += len(data)
        return b"".join(taken)
