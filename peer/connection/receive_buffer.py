"""Messages of a data channel that have arrived and wait to be read, and what limits them."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from aiortc import RTCDataChannel

RECEIVE_BUFFER = 16 * 1024 * 1024
"""Bytes that may wait to be read before a channel whose transport has no window is closed."""

LOSSY_BUFFER = 2 * 1024 * 1024
"""Bytes that may wait in a channel that may lose messages: a quarter of the window that all share,
so that one channel that nobody reads does not take it all."""

OVERHEAD = 100
"""Bytes by which a message that waits counts for more than it has: what it takes in memory. Else
tiny ones without number would fit a window."""


@runtime_checkable
class ReceiveWindow(Protocol):
    """A transport that takes less from the remote peer while messages wait to be read.

    A channel calls it on ``RTCDataChannel.transport`` if that has both methods. What is held counts
    against the receive window of the association (RFC 9260 section 3.3.4, ``a_rwnd``), so that a
    program that stops reading stops the sender.

    SCTP has one window for all streams. A reliable channel that nobody reads therefore takes it all
    in the end, and then the other channels of the connection stand still as well, until it is read
    or closed: nothing of it may be dropped, and nothing can tell the remote peer to stop on one
    stream alone. Channels that may lose messages take no more than their ``receive_buffer``.

    Every byte that is held is released once: when the
    message is read, or when its channel is closed.
    """

    def hold(self, size: int) -> None:
        """Count so many bytes, which were delivered, as still in the receive buffer."""

    def release(self, size: int) -> None:
        """Take back so many bytes that were held; the window may open, and the sender be told."""


@dataclass(slots=True)
class ChannelCounts:
    """Counters of a channel; ``getStats()`` has those of its transport.

    Attributes:
        sent: Messages handed to the transport.
        bytes_sent: Their bytes.
        refused: Messages that :meth:`DataChannel.try_send` did not take.
        abandoned: Messages sent that were given up, because their retransmissions or their lifetime
            were over: some of them may have arrived.
        received: Messages that arrived.
        bytes_received: Their bytes.
        skipped: Messages that the remote peer gave up before they arrived, as far as it tells: it
            does for ordered channels (RFC 3758 section 3.2), once a later message arrives.
        dropped: Messages that arrived and were dropped, because nobody had read what came before.
    """

    sent: int = 0
    bytes_sent: int = 0
    refused: int = 0
    abandoned: int = 0
    received: int = 0
    bytes_received: int = 0
    skipped: int = 0
    dropped: int = 0


class ReceiveBuffer:
    """The messages of a channel that wait to be read.

    Args:
        channel: The channel; its transport may have a :class:`ReceiveWindow`.
        size: Bytes that may wait, as :class:`DataChannel` takes them.
        counts: What arrives, and what is dropped, is counted there.
        on_overflow: Called once, with a message that does not fit where none may be lost and no
            window stops the sender.

    Attributes:
        size: Bytes that may wait.
    """

    def __init__(
        self,
        channel: RTCDataChannel,
        size: int,
        counts: ChannelCounts,
        on_overflow: Callable[[], None],
    ) -> None:
        self._may_lose = channel.maxRetransmits is not None or channel.maxPacketLifeTime is not None
        self.limit(size)
        self._counts = counts
        self._on_overflow = on_overflow
        transport = channel.transport
        self._window = transport if isinstance(transport, ReceiveWindow) else None
        self._has_window = self._window is not None
        self._arrived = asyncio.Event()
        self._messages: deque[tuple[str | bytes, int]] = deque()
        self._waiting_bytes = 0
        self._has_overflowed = False

    def limit(self, size: int) -> None:
        """Set how many bytes may wait."""
        self.size: int = min(size, LOSSY_BUFFER) if self._may_lose else size

    def put(self, message: str | bytes) -> None:
        """Add a message that has arrived."""
        if self._has_overflowed:
            return
        bare = len(message) if isinstance(message, bytes) else len(message.encode())
        size = bare + OVERHEAD
        if self._may_lose:
            self._drop_oldest(size)
        elif not self._has_window and self._waiting_bytes + size > self.size:
            self._has_overflowed = True
            self._on_overflow()
            return
        if self._window is not None:
            self._window.hold(size)
        self._messages.append((message, size))
        self._waiting_bytes += size
        self._counts.received += 1
        self._counts.bytes_received += bare
        self._arrived.set()

    def _drop_oldest(self, size: int) -> None:
        """Make room for a message where there is too little."""
        while self._messages and self._waiting_bytes + size > self.size:
            self.pop()
            self._counts.dropped += 1

    def pop(self) -> str | bytes | None:
        """Take the next message; ``None`` if none waits."""
        if not self._messages:
            return None
        message, size = self._messages.popleft()
        self._waiting_bytes -= size
        if self._window is not None:
            self._window.release(size)
        return message

    async def arrival(self) -> None:
        """Wait until a message arrives, or :meth:`end` is called.

        Cancellation: safe.
        """
        self._arrived.clear()
        await self._arrived.wait()

    def end(self) -> None:
        """Wake whoever waits, and hold nothing any more: the channel is closed.

        What is left can still be read, but it must not hold up the other channels.
        """
        if self._window is not None and self._waiting_bytes:
            self._window.release(self._waiting_bytes)
        self._window = None
        self._arrived.set()
