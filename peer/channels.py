"""Data channels that wait for room before they send, and are read with ``async for``."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from aiortc import RTCDataChannel

from .errors import ChannelClosed, ChannelError, MessageTooLarge, ReceiveOverflow

SEND_BUFFER = 1024 * 1024
"""Bytes that may wait in a channel before :meth:`DataChannel.send` waits."""

RECEIVE_BUFFER = 16 * 1024 * 1024
"""Bytes that may wait to be read before a channel is closed over it."""


class DataChannel:
    """A data channel with back-pressure, over an ``RTCDataChannel``.

    Iterating gives the messages in the order in which they come, ``str`` or ``bytes`` as they were
    sent, and ends when the channel is closed.

    Args:
        channel: The channel; messages are kept from now on.
        send_buffer: Bytes that may wait to be sent before :meth:`send` waits.
        receive_buffer: Bytes that may wait to be read. Beyond them the channel is closed, and
            reading ends with :class:`ReceiveOverflow` after what was kept.
        max_message_size: Tells the largest message that the other side takes, in bytes; 0 is no
            limit.
    """

    def __init__(
        self,
        channel: RTCDataChannel,
        *,
        send_buffer: int = SEND_BUFFER,
        receive_buffer: int = RECEIVE_BUFFER,
        max_message_size: Callable[[], int] = lambda: 0,
    ) -> None:
        self._channel = channel
        self._send_buffer = send_buffer
        self._receive_buffer = receive_buffer
        self._max_message_size = max_message_size
        self._sending = asyncio.Lock()
        self._open = asyncio.Event()
        self._closed = asyncio.Event()
        self._room = asyncio.Event()
        self._arrived = asyncio.Event()
        self._messages: deque[str | bytes] = deque()
        self._waiting_bytes = 0
        self._failure: ChannelError | None = None
        channel.on("open", self._open.set)
        channel.on("close", self.abandon)
        channel.on("message", self._on_message)
        channel.on("bufferedamountlow", self._room.set)
        channel.bufferedAmountLowThreshold = send_buffer // 2
        if channel.readyState == "open":
            self._open.set()
        elif channel.readyState == "closed":
            self.abandon()

    @property
    def label(self) -> str:
        """The label, in any language."""
        return self._channel.label

    @property
    def protocol(self) -> str:
        """The subprotocol."""
        return self._channel.protocol

    @property
    def channel(self) -> RTCDataChannel:
        """aiortc's channel underneath."""
        return self._channel

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._closed.is_set()

    async def opened(self) -> None:
        """Wait until the channel is open.

        Raises:
            ChannelClosed: It was closed instead.

        Cancellation: safe.
        """
        await self._first_of(self._open)

    async def send(self, message: str | bytes | bytearray | memoryview) -> None:
        """Send a message, as soon as there is room for it.

        Messages of several callers go out in the order in which they called.

        Args:
            message: ``str`` arrives as ``str``, anything else as ``bytes``.

        Raises:
            ChannelClosed: The channel is, or becomes, closed.
            MessageTooLarge: The other side does not take messages of this size.
            TypeError: The message is neither ``str`` nor bytes-like.

        Cancellation: safe; the message was then not sent.
        """
        payload = message if isinstance(message, str | bytes) else bytes(memoryview(message))
        size = len(payload.encode()) if isinstance(payload, str) else len(payload)
        async with self._sending:
            await self._first_of(self._open)
            limit = self._max_message_size()
            if limit and size > limit:
                raise MessageTooLarge(self.label, size, limit)
            while self._channel.bufferedAmount >= self._send_buffer:
                self._room.clear()
                await self._first_of(self._room)
            if self.closed:
                raise ChannelClosed(self.label)
            self._channel.send(payload)

    async def receive(self) -> str | bytes:
        """Return the next message.

        Raises:
            ChannelClosed: The channel is closed and all messages were read.
            ReceiveOverflow: The same, because messages came faster than they were read.

        Cancellation: safe; no message is lost.
        """
        while not self._messages:
            if self.closed:
                raise self._failure or ChannelClosed(self.label)
            self._arrived.clear()
            await self._arrived.wait()
        message = self._messages.popleft()
        self._waiting_bytes -= len(message)
        return message

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return self

    async def __anext__(self) -> str | bytes:
        try:
            return await self.receive()
        except ChannelClosed:
            raise StopAsyncIteration from None

    def close(self) -> None:
        """Close the channel once what was sent is out; closing twice does no harm."""
        if not self.closed:
            self._channel.close()

    def abandon(self) -> None:
        """Take the channel as closed, because its connection is; wakes everyone who waits."""
        self._closed.set()
        for event in (self._open, self._room, self._arrived):
            event.set()

    def _on_message(self, message: str | bytes) -> None:
        if self._failure is not None:
            return
        if self._waiting_bytes + len(message) > self._receive_buffer:
            self._failure = ReceiveOverflow(self.label, self._receive_buffer)
            self._channel.close()
            self.abandon()
            return
        self._messages.append(message)
        self._waiting_bytes += len(message)
        self._arrived.set()

    async def _first_of(self, event: asyncio.Event) -> None:
        """Wait for an event that :meth:`abandon` sets as well."""
        await event.wait()
        if self.closed:
            raise ChannelClosed(self.label)
