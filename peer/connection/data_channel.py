# Longer than 400 lines: one public class over one queue each way, half of it docstrings.
"""Data channels with back-pressure, read with ``async for``."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import msgspec
from aiortc import RTCDataChannel

from icefloe._util.foreign_json import decode

from ..errors import (
    ChannelClosed,
    ChannelError,
    ChannelMisused,
    ClosedBy,
    InvalidMessage,
    MessageTooLarge,
    ReceiveOverflow,
)
from .request_reply import ANYTHING, CONCURRENT, UNREADABLE, Requests

SEND_BUFFER = 1024 * 1024
"""Bytes that may wait in a channel before :meth:`DataChannel.send` waits."""

RECEIVE_BUFFER = 16 * 1024 * 1024
"""Bytes that may wait to be read before a channel whose transport has no window is closed."""

LOSSY_BUFFER = 2 * 1024 * 1024
"""Bytes that may wait in a channel that may lose messages: a quarter of the window that all share,
so that one channel that nobody reads does not take it all."""

OVERHEAD = 100
"""Bytes by which a message that waits counts for more than it has: what it takes in memory. Else
tiny ones without number would fit a window."""

_HALF = "half a surrogate pair at {0.start} is no character"

_Type = TypeVar("_Type")


@runtime_checkable
class Deliverer(Protocol):
    """An ``RTCDataChannel`` that gives its messages to one reader without emitting an event."""

    reader: Callable[[str | bytes], None] | None


class Outlet(Protocol):
    """The ``outlet`` of a transport that takes a text in UTF-8, so that it is encoded once."""

    def send_encoded(self, channel: Any, data: bytes, *, is_text: bool) -> None:
        """Queue a message of an open channel."""


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


class DataChannel:
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
        self._channel = channel
        self._twin: RTCDataChannel | None = None
        self._halves = [channel]
        self._live: list[RTCDataChannel] = []  # those of the halves that are not over
        self._send_buffer = send_buffer
        self._max_message_size = max_message_size
        transport = channel.transport
        self._window = transport if isinstance(transport, ReceiveWindow) else None
        self._has_window = self._window is not None
        # Looked up once: isinstance() takes longer than all the rest of a small message.
        self._outlet: Outlet | None = getattr(transport, "outlet", None)
        self._may_lose = channel.maxRetransmits is not None or channel.maxPacketLifeTime is not None
        self._receive_buffer = (
            min(receive_buffer, LOSSY_BUFFER) if self._may_lose else receive_buffer
        )
        self._sending = asyncio.Lock()
        self._open = asyncio.Event()
        self._was_open = False
        self._closed = asyncio.Event()
        self._room = asyncio.Event()
        self._arrived = asyncio.Event()
        self._messages: deque[tuple[str | bytes, int]] = deque()
        self._waiting_bytes = 0
        self._closed_by: ClosedBy | None = None
        self._failure: ChannelError | None = None
        self._requests: Requests | None = None
        self._listen_to(channel)
        if channel.readyState == "open":
            self._on_open()
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
        """aiortc's channel underneath; of two that were joined, the one over which is sent."""
        return self._channel

    @property
    def counts(self) -> ChannelCounts:
        """The counters of this channel."""
        abandoned = (getattr(half, "messages_abandoned", 0) for half in self._halves)
        self._counts.abandoned = sum(abandoned)
        skipped = (getattr(half, "messages_skipped", 0) for half in self._halves)
        self._counts.skipped = sum(skipped)
        return self._counts

    @property
    def max_message_size(self) -> int:
        """The largest message that the remote peer takes, in bytes; 0 is no limit."""
        return self._max_message_size()

    @property
    def closed(self) -> bool:
        """True once nothing can be sent any more."""
        return self._closed.is_set()

    @property
    def closed_by(self) -> ClosedBy | None:
        """The side that closed the channel; ``None`` while it is open."""
        return self._closed_by

    # --- sending

    async def opened(self) -> None:
        """Wait until the channel is open, or was open and is closed again.

        Raises:
            ChannelClosed: It was closed instead.
            ChannelUnavailable: There turned out to be no stream for it.

        Cancellation: safe.
        """
        if not self.closed:
            await self._open.wait()
        if self.closed and not self._was_open:
            raise self._over()

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
            await self._first_of(self._open)
            self._check_size(len(payload))
            while self._channel.bufferedAmount >= self._send_buffer:
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
        self._check_open()
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
            await self._first_of(self._open)
            while self._channel.bufferedAmount:
                await self._wait_until_low(0)

    async def send_json(self, value: Any) -> None:
        """Send a value as JSON text, which a browser reads with ``JSON.parse``.

        Args:
            value: Anything ``msgspec`` makes JSON of: dictionaries, lists, structs, dataclasses,
                dates; bytes become base64.

        Raises:
            TypeError: JSON has no form for it.
            InvalidMessage: A text in it has half a surrogate pair.
            ChannelClosed: As :meth:`send`; so is MessageTooLarge.

        Cancellation: safe; the message was then not sent.
        """
        try:
            text = msgspec.json.encode(value).decode()
        except UnicodeEncodeError as error:
            raise InvalidMessage(self.label, error.object, _HALF.format(error)) from error
        await self.send(text)

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
        return self._pop()[0] if self._messages else None

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return self

    async def __anext__(self) -> str | bytes:
        try:
            return await self.receive()
        except ChannelClosed:
            raise StopAsyncIteration from None

    async def receive_json(self, type: type[_Type] = ANYTHING) -> _Type:
        """Return the next message, read as JSON.

        Args:
            type: What it is to be, as ``msgspec`` takes it: a struct, a union of tagged structs, a
                dataclass, ``dict[str, int]``; by default anything.

        Raises:
            InvalidMessage: It is not JSON, or not of this type; it is taken all the same.
            ChannelClosed: As :meth:`receive`; so is ReceiveOverflow.

        Cancellation: safe; no message is lost.
        """
        message = await self.receive()
        try:
            return decode(message, msgspec.json.Decoder(type))
        except UNREADABLE as error:
            raise InvalidMessage(self.label, message, str(error)) from error

    async def messages(self, type: type[_Type]) -> AsyncIterator[_Type]:
        """Iterate over the messages as values of a type, until the channel is closed.

        Args:
            type: As for :meth:`receive_json`.

        Raises:
            InvalidMessage: A message is not of this type. Iterating anew goes on after it.
        """
        while True:
            try:
                value = await self.receive_json(type)
            except ChannelClosed:
                return
            yield value

    # --- requests and replies

    async def request(
        self,
        value: Any,
        *,
        type: type[_Type] = ANYTHING,
        timeout: float | None = 30.0,
    ) -> _Type:
        """Ask the remote peer, and wait for its reply; many requests may run at the same time.

        From the first request on the channel carries requests and replies alone, in both
        directions; see :mod:`icefloe.peer.connection.request_reply` for their form.

        Args:
            value: Anything :meth:`send_json` takes.
            type: What the reply is to be, as for :meth:`receive_json`.
            timeout: Seconds to wait; ``None`` waits as long as the channel is open.

        Raises:
            RequestFailed: The remote peer refused, or its handler raised.
            RequestTimeout: No reply came in time.
            InvalidMessage: The reply is not of this type.
            ChannelClosed: The channel is, or becomes, closed.
            MessageTooLarge: As :meth:`send`.

        Cancellation: safe; the remote peer's handler is cancelled as well.
        """
        return await self._exchange().request(value, type, timeout)

    async def serve_requests(
        self,
        handler: Callable[[_Type], Awaitable[Any]],
        *,
        type: type[_Type] = ANYTHING,
        concurrent: int = CONCURRENT,
    ) -> None:
        """Answer the remote peer's requests until the channel is closed.

        Args:
            handler: Takes a request and returns the reply, anything :meth:`send_json` takes. It may
                raise :class:`RequestFailed`, and is cancelled when nobody waits for it any more.
            type: What a request is to be, as for :meth:`receive_json`; others are refused with the
                code ``invalid``.
            concurrent: Requests that are handled at the same time; those beyond are refused with
                the code ``overloaded``.

        Raises:
            ChannelMisused: Somebody serves the requests of this channel already.
            ReceiveOverflow: As :meth:`receive`.

        Cancellation: safe; handlers are cancelled, and whoever asked is told.
        """
        await self._exchange().serve(handler, type, concurrent)

    def _exchange(self) -> Requests:
        if self._requests is None:
            self._check_open()
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
        self._halves.append(theirs)
        self._listen_to(theirs)
        if self._counts.sent:
            self._twin = theirs
        else:
            self._channel, self._twin = theirs, self._channel
            self._on_open()

    def set_buffers(self, *, send_buffer: int, receive_buffer: int) -> None:
        """Set how many bytes may wait to be sent, and to be read."""
        self._send_buffer = send_buffer
        self._receive_buffer = (
            min(receive_buffer, LOSSY_BUFFER) if self._may_lose else receive_buffer
        )
        self._channel.bufferedAmountLowThreshold = send_buffer // 2

    def _listen_to(self, channel: RTCDataChannel) -> None:
        self._live.append(channel)
        channel.on("open", self._on_open)
        channel.on("close", lambda: self._on_end(channel))
        channel.on("closing", lambda: self._on_closing(channel))
        if isinstance(channel, Deliverer) and channel.reader is None:
            channel.reader = self._on_message
        else:
            channel.on("message", self._on_message)
        channel.on("bufferedamountlow", self._room.set)
        channel.bufferedAmountLowThreshold = self._send_buffer // 2

    # --- the end

    def close(self) -> None:
        """Close the channel once what was sent is out; closing twice does no harm."""
        if not self.closed:
            if self._closed_by is None:
                self._closed_by = ClosedBy.US
            self._channel.close()
            if self._twin is not None:
                self._twin.close()

    async def aclose(self, timeout: float = 10.0) -> None:
        """Send the queued messages, close, and wait until the remote peer has closed too.

        Messages that came can still be read. Closing twice does no harm.

        Args:
            timeout: Seconds after which it is taken as closed whatever the remote peer does.

        Cancellation: safe; the channel closes all the same.
        """
        try:
            async with asyncio.timeout(timeout):
                if not self.closed and self._open.is_set() and self._closed_by is None:
                    await self.drain()
                self.close()
                await self._closed.wait()
        except (TimeoutError, ChannelClosed):
            self.close()
            self.abandon()
        finally:
            self.close()
            if self._requests is not None:
                await self._requests.stop()

    def abandon(self) -> None:
        """Close the channel because its connection is closed; wakes all waiting calls."""
        if self._closed_by is None:
            self._closed_by = self._who_closed()
        self._closed.set()
        if self._window is not None and self._waiting_bytes:
            # What is left can still be read, but it must not hold up the other channels.
            self._window.release(self._waiting_bytes)
        self._window = None
        for event in (self._open, self._room, self._arrived):
            event.set()

    def _on_open(self) -> None:
        self._was_open = True
        self._open.set()

    def _on_closing(self, channel: RTCDataChannel) -> None:
        # The remote peer sends nothing more, and takes nothing. Until it has the answer to that,
        # which may be lost, the channel itself is not closed.
        if channel is self._channel and self._closed_by is None:
            self._closed_by = ClosedBy.THEM
        self._on_end(channel)

    def _on_end(self, channel: RTCDataChannel) -> None:
        """Record that a channel underneath is closed, or is being closed by the remote peer."""
        if channel not in self._live:
            return
        self._live.remove(channel)
        twin, self._twin = self._twin, None
        if twin is None:
            self.abandon()
        elif channel is self._channel:
            # Its other half may still have messages under way: it is read until it is closed, too.
            self._closed_by = self._closed_by or self._who_closed()
            self._channel = twin
            self._room.set()
            twin.close()

    def _who_closed(self) -> ClosedBy:
        if getattr(self._channel, "refusal", None) is not None:
            return ClosedBy.US
        over = getattr(self._channel.transport, "state", "closed") == "closed"
        there = self._channel.readyState == "closed" and not over
        return ClosedBy.THEM if there else ClosedBy.CONNECTION

    # --- below

    def _over(self) -> ChannelError:
        """Return the error for an operation on a closed channel."""
        refusal = getattr(self._channel, "refusal", None)
        if isinstance(refusal, ChannelError):
            return refusal
        return ChannelClosed(self.label, self._closed_by or ClosedBy.CONNECTION)

    def _check_open(self) -> None:
        if self.closed or self._closed_by is not None:
            raise self._over()

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
            raise InvalidMessage(self.label, message, _HALF.format(error)) from error

    def _has_room(self) -> bool:
        """Return whether a message can be sent now without overtaking one that waits."""
        return (
            self._channel.bufferedAmount < self._send_buffer
            and self._open.is_set()
            and not self._sending.locked()
        )

    def _hand_over(self, payload: bytes, *, is_text: bool) -> None:
        size = len(payload)
        self._check_open()
        self._check_size(size)
        if self._channel.readyState != "open":
            raise ChannelClosed(self.label, ClosedBy.THEM)  # it is being closed
        if self._outlet is not None:
            self._outlet.send_encoded(self._channel, payload, is_text=is_text)
        else:
            self._channel.send(payload.decode() if is_text else payload)
        self._counts.sent += 1
        self._counts.bytes_sent += size

    async def _wait_until_low(self, amount: int) -> None:
        """Wait until no more bytes than this wait to be sent; one caller at a time."""
        self._room.clear()
        self._channel.bufferedAmountLowThreshold = amount
        if self._channel.bufferedAmount > amount:
            await self._first_of(self._room)

    def _check_use(self) -> None:
        if self._requests is not None:
            raise ChannelMisused(
                self.label,
                f"channel {self.label!r} carries requests and replies; open another one for "
                "messages",
            )

    async def _take(self) -> str | bytes:
        while not self._messages:
            if self.closed:
                raise self._failure or self._over()
            self._arrived.clear()
            await self._arrived.wait()
        return self._pop()[0]

    def _on_message(self, message: str | bytes) -> None:
        if self._failure is not None:
            return
        bare = len(message) if isinstance(message, bytes) else len(message.encode())
        size = bare + OVERHEAD
        if self._may_lose:
            self._drop_oldest(size)
        elif not self._has_window and self._waiting_bytes + size > self._receive_buffer:
            self._failure = ReceiveOverflow(self.label, self._receive_buffer)
            self.close()
            self.abandon()
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
        while self._messages and self._waiting_bytes + size > self._receive_buffer:
            self._pop()
            self._counts.dropped += 1

    def _pop(self) -> tuple[str | bytes, int]:
        message, size = self._messages.popleft()
        self._waiting_bytes -= size
        if self._window is not None:
            self._window.release(size)
        return message, size

    async def _first_of(self, event: asyncio.Event) -> None:
        """Wait for an event that :meth:`abandon` sets as well."""
        await event.wait()
        if self.closed:
            raise self._over()


def check_buffers(send: int, receive: int) -> None:
    """Look whether a channel can have buffers of so many bytes.

    Raises:
        ValueError: It cannot.
    """
    for field, value in (("send_buffer", send), ("receive_buffer", receive)):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**32:
            raise ValueError(f"{field}={value!r}: give a number of bytes, 1 to 2**32 - 1")
