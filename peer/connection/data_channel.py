"""Data channels with back-pressure, read with ``async for``."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

from aiortc import RTCDataChannel

from ..errors import (
    ChannelClosed,
    ChannelError,
    ChannelMisused,
    ClosedBy,
    MessageTooLarge,
    ReceiveOverflow,
)
from .channel_halves import ChannelHalves
from .channel_values import ChannelValues, half_a_pair
from .receive_buffer import RECEIVE_BUFFER, ChannelCounts, ReceiveBuffer
from .request_reply import Requests

SEND_BUFFER = 1024 * 1024
"""Bytes that may wait in a channel before :meth:`DataChannel.send` waits."""


class Outlet(Protocol):
    """The ``outlet`` of a transport that takes a text in UTF-8, so that it is encoded once."""

    def send_encoded(self, channel: Any, data: bytes, *, is_text: bool) -> None:
        """Queue a message of an open channel."""


class DataChannel(ChannelValues):
    """A data channel with back-pressure, over an ``RTCDataChannel``.

    Iterating gives the messages in the order in which they come, ``str`` or ``bytes`` as they were
    sent, and ends when the channel is closed.

    Args:
        channel: The channel; messages are kept from now on.
        send_buffer: Bytes that may wait to be sent before :meth:`send` waits.
        receive_buffer: Bytes that may wait to be read, with 100 more for each message. What waits
            in a reliable channel stops the sender, see :class:`ReceiveWindow`; only over a
            transport without a window it is closed beyond them, and reading ends with
            :class:`ReceiveOverflow` after what was kept. Where messages may be lost
            (``maxRetransmits`` or ``maxPacketLifeTime``) the oldest are dropped beyond them, or
            beyond 2 MiB, and counted.
        max_message_size: Tells the largest message that the remote peer takes, in bytes; 0 is no
            limit.

    Raises:
        ValueError: A buffer is no number of bytes.
    """

    def __init__(
        self,
        channel: RTCDataChannel,
        *,
        send_buffer: int = SEND_BUFFER,
        receive_buffer: int = RECEIVE_BUFFER,
        max_message_size: Callable[[], int] = lambda: 0,
    ) -> None:
        check_buffers(send_buffer, receive_buffer)
        self._counts = ChannelCounts()
        self._send_buffer = send_buffer
        self._max_message_size = max_message_size
        # Looked up once: isinstance() takes longer than all the rest of a small message.
        self._outlet: Outlet | None = getattr(channel.transport, "outlet", None)
        self._sending = asyncio.Lock()
        self._failure: ChannelError | None = None
        self._requests: Requests | None = None
        self._received = ReceiveBuffer(channel, receive_buffer, self._counts, self._on_overflow)
        self._halves = ChannelHalves(
            channel, send_buffer // 2, self._received.put, self._received.end
        )
        self._halves.begin()

    @property
    def label(self) -> str:
        """The label, in any language."""
        return self._halves.current.label

    @property
    def protocol(self) -> str:
        """The subprotocol."""
        return self._halves.current.protocol

    @property
    def channel(self) -> RTCDataChannel:
        """aiortc's channel underneath; of two that were joined, the one over which is sent."""
        return self._halves.current

    @property
    def counts(self) -> ChannelCounts:
        """The counters of this channel."""
        abandoned = (getattr(half, "messages_abandoned", 0) for half in self._halves.all)
        self._counts.abandoned = sum(abandoned)
        skipped = (getattr(half, "messages_skipped", 0) for half in self._halves.all)
        self._counts.skipped = sum(skipped)
        return self._counts

    @property
    def max_message_size(self) -> int:
        """The largest message that the remote peer takes, in bytes; 0 is no limit."""
        return self._max_message_size()

    @property
    def closed(self) -> bool:
        """True once nothing can be sent any more."""
        return self._halves.closed.is_set()

    @property
    def closed_by(self) -> ClosedBy | None:
        """The side that closed the channel; ``None`` while it is open."""
        return self._halves.closed_by

    # --- sending

    async def opened(self) -> None:
        """Wait until the channel is open, or was open and is closed again.

        Raises:
            ChannelClosed: It was closed instead.
            ChannelUnavailable: There turned out to be no stream for it.

        Cancellation: safe.
        """
        await self._halves.opened()

    async def send(self, message: str | bytes | bytearray | memoryview) -> None:
        """Send a message, as soon as there is room for it.

        Messages of several callers go out in the order in which they called.

        Args:
            message: ``str`` arrives as ``str``, anything else as ``bytes``.

        Raises:
            ChannelClosed: The channel is, or becomes, closed.
            MessageTooLarge: The remote peer does not take messages of this size.
            InvalidMessage: The text has half a surrogate pair, which UTF-8 has no bytes for.
            TypeError: The message is neither ``str`` nor bytes-like.

        Cancellation: safe; the message was then not sent.
        """
        payload, is_text = self._payload(message)
        if self._has_room():
            self._hand_over(payload, is_text=is_text)
            return
        async with self._sending:
            await self._halves.until(self._halves.open)
            self._check_size(len(payload))
            while self._halves.current.bufferedAmount >= self._send_buffer:
                await self._wait_until_low(self._send_buffer // 2)
            self._hand_over(payload, is_text=is_text)

    def try_send(self, message: str | bytes | bytearray | memoryview) -> bool:
        """Send a message if there is room for it now, and nobody waits in :meth:`send`.

        For what is better dropped than late: the newest position of a game, a meter.

        Returns:
            Whether it was sent; ``False`` is counted in :attr:`counts`.

        Raises:
            ChannelClosed: The channel is closed.
            MessageTooLarge: The remote peer does not take messages of this size.
            InvalidMessage: The text has half a surrogate pair, which UTF-8 has no bytes for.
            TypeError: The message is neither ``str`` nor bytes-like.
        """
        payload, is_text = self._payload(message)
        self._halves.check()
        self._check_size(len(payload))
        if not self._has_room():
            self._counts.refused += 1
            return False
        self._hand_over(payload, is_text=is_text)
        return True

    async def drain(self) -> None:
        """Wait until the transport has sent everything that was handed to it.

        The remote peer may not have all of it yet; only its answer tells that.

        Raises:
            ChannelClosed: The channel was closed before.

        Cancellation: safe.
        """
        async with self._sending:
            await self._halves.until(self._halves.open)
            while self._halves.current.bufferedAmount:
                await self._wait_until_low(0)

    # --- receiving

    async def receive(self) -> str | bytes:
        """Return the next message.

        Raises:
            ChannelClosed: The channel is closed and all messages were read.
            ReceiveOverflow: The same, because messages came faster than they were read.
            ChannelMisused: Requests and replies are taken from this channel.

        Cancellation: safe; no message is lost.
        """
        self._check_use()
        return await self._take()

    def try_receive(self) -> str | bytes | None:
        """Return the next message if it is here already, and ``None`` if it is not.

        For who works on many small messages at once.

        Raises:
            ChannelMisused: Requests and replies are taken from this channel.
        """
        self._check_use()
        return self._received.pop()

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return self

    async def __anext__(self) -> str | bytes:
        try:
            return await self.receive()
        except ChannelClosed:
            raise StopAsyncIteration from None

    # --- requests and replies

    def _exchange(self) -> Requests:
        if self._requests is None:
            self._halves.check()
            self._requests = Requests(self.label, self.send, self._take)
        return self._requests

    # --- two that are one

    def join(self, theirs: RTCDataChannel) -> None:
        """Take in the channel that the remote peer opened for the same purpose at the same time.

        From now on the messages of both arrive here. What is sent goes over theirs if nothing was
        sent so far, and otherwise over the local one, so that it stays in order. This one is closed
        when the one over which is sent is.

        Args:
            theirs: It has just been announced, with the same reliability.
        """
        self._halves.join(theirs, switch=not self._counts.sent)

    def set_buffers(self, *, send_buffer: int, receive_buffer: int) -> None:
        """Set how many bytes may wait to be sent, and to be read."""
        self._send_buffer = send_buffer
        self._received.limit(receive_buffer)
        self._halves.set_low(send_buffer // 2)

    # --- the end

    def close(self) -> None:
        """Close the channel once what was sent is out; closing twice does no harm."""
        self._halves.close()

    async def aclose(self, timeout: float = 10.0) -> None:
        """Send the queued messages, close, and wait until the remote peer has closed too.

        Messages that came can still be read. Closing twice does no harm.

        Args:
            timeout: Seconds after which it is taken as closed whatever the remote peer does.

        Cancellation: safe; the channel closes all the same.
        """
        try:
            async with asyncio.timeout(timeout):
                if not self.closed and self._halves.open.is_set() and self.closed_by is None:
                    await self.drain()
                self.close()
                await self._halves.closed.wait()
        except (TimeoutError, ChannelClosed):
            self.close()
            self.abandon()
        finally:
            self.close()
            if self._requests is not None:
                await self._requests.stop()

    def abandon(self) -> None:
        """Close the channel because its connection is closed; wakes all waiting calls."""
        self._halves.abandon()

    # --- below

    def _check_size(self, size: int) -> None:
        limit = self._max_message_size()
        if limit and size > limit:
            raise MessageTooLarge(self.label, size, limit)

    def _payload(self, message: str | bytes | bytearray | memoryview) -> tuple[bytes, bool]:
        """Return a message as bytes, and whether it is a text."""
        if not isinstance(message, str):
            return message if isinstance(message, bytes) else bytes(memoryview(message)), False
        try:
            return message.encode(), True
        except UnicodeEncodeError as error:
            raise half_a_pair(self.label, error) from error

    def _has_room(self) -> bool:
        """Return whether a message can be sent now without overtaking one that waits."""
        return (
            self._halves.current.bufferedAmount < self._send_buffer
            and self._halves.open.is_set()
            and not self._sending.locked()
        )

    def _hand_over(self, payload: bytes, *, is_text: bool) -> None:
        size = len(payload)
        self._halves.check()
        self._check_size(size)
        channel = self._halves.current
        if channel.readyState != "open":
            raise ChannelClosed(self.label, ClosedBy.THEM)  # it is being closed
        if self._outlet is not None:
            self._outlet.send_encoded(channel, payload, is_text=is_text)
        else:
            channel.send(payload.decode() if is_text else payload)
        self._counts.sent += 1
        self._counts.bytes_sent += size

    async def _wait_until_low(self, amount: int) -> None:
        """Wait until no more bytes than this wait to be sent; one caller at a time."""
        halves = self._halves
        halves.room.clear()
        halves.current.bufferedAmountLowThreshold = amount
        if halves.current.bufferedAmount > amount:
            await halves.until(halves.room)

    def _check_use(self) -> None:
        if self._requests is not None:
            raise ChannelMisused(
                self.label,
                f"channel {self.label!r} carries requests and replies; open another one for "
                "messages",
            )

    async def _take(self) -> str | bytes:
        while (message := self._received.pop()) is None:
            if self.closed:
                raise self._failure or self._halves.error()
            await self._received.arrival()
        return message

    def _on_overflow(self) -> None:
        self._failure = ReceiveOverflow(self.label, self._received.size)
        self.close()
        self.abandon()


def check_buffers(send: int, receive: int) -> None:
    """Look whether a channel can have buffers of so many bytes.

    Raises:
        ValueError: It cannot.
    """
    for field, value in (("send_buffer", send), ("receive_buffer", receive)):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**32:
            raise ValueError(f"{field}={value!r}: give a number of bytes, 1 to 2**32 - 1")
