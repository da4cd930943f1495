"""Limits on the bytes that wait in the write buffers of the server's sockets."""

from .reading import FairConnection

WRITE_LIMIT = 1024 * 1024
"""Bytes that may wait in the write buffer of a socket. A client that exceeds it is cut off."""

WRITE_LIMIT_TOTAL = 64 * 1024 * 1024
"""Bytes that may wait in the write buffers of all sockets together, approximately."""

WRITE_LIMIT_SCARCE = 64 * 1024
"""Bytes that may wait in each socket while the total is above half of its limit."""


class WriteBuffers:
    """Writes to sockets without waiting, and keeps track of the bytes that were not sent yet."""

    def __init__(self) -> None:
        self._unsent: dict[FairConnection, int] = {}
        self._total = 0
        self._held: dict[FairConnection, tuple[bytes, ...]] | None = None

    def hold(self) -> None:
        """Hold back what is written from now on, until :meth:`release`."""
        self._held = {}

    def release(self) -> None:
        """Write what was held back, to each socket at once."""
        held, self._held = self._held, None
        for socket, payloads in (held or {}).items():
            self._write(socket, payloads)

    def write(self, socket: FairConnection, payloads: tuple[bytes, ...]) -> bool:
        """Write text frames to a socket.

        Args:
            socket: The connection.
            payloads: The messages, in UTF-8.

        Returns:
            Whether they were written; if not, too many bytes already wait in the socket.
        """
        is_scarce = self._total > WRITE_LIMIT_TOTAL // 2
        limit = self._recounted_limit() if is_scarce else WRITE_LIMIT
        if socket.transport.get_write_buffer_size() > limit:
            return False
        if self._held is not None:
            self._held[socket] = self._held.get(socket, ()) + payloads
            return True
        self._write(socket, payloads)
        return True

    def _write(self, socket: FairConnection, payloads: tuple[bytes, ...]) -> None:
        # send() would wait for this one client. The limit above takes its place.
        socket.write_texts(payloads)
        waiting = socket.transport.get_write_buffer_size()
        if waiting or socket in self._unsent:
            self._total += waiting - self._unsent.pop(socket, 0)
            if waiting:
                self._unsent[socket] = waiting

    def remove(self, socket: FairConnection) -> None:
        """Stop counting the bytes of a socket that is closed."""
        self._total -= self._unsent.pop(socket, 0)

    def _recounted_limit(self) -> int:
        """Return the number of bytes that may wait in one socket, from what waits in all of them.

        The sizes date from the last write to each socket; some of the bytes may have been sent.
        """
        now = ((s, s.transport.get_write_buffer_size()) for s in self._unsent)
        self._unsent = {socket: size for socket, size in now if size}
        self._total = sum(self._unsent.values())
        return WRITE_LIMIT_SCARCE if self._total > WRITE_LIMIT_TOTAL // 2 else WRITE_LIMIT
