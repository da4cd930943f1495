"""The channel underneath a data channel, or two that both sides opened at the same time."""

import asyncio
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from aiortc import RTCDataChannel

from ..errors import ChannelClosed, ChannelError, ClosedBy


@runtime_checkable
class Deliverer(Protocol):
    """An ``RTCDataChannel`` that gives its messages to one reader without emitting an event."""

    reader: Callable[[str | bytes], None] | None


class ChannelHalves:
    """One ``RTCDataChannel``, or two that are one: it is open when one is, and over with both.

    Args:
        channel: The channel.
        low: The ``bufferedAmountLowThreshold`` of it, in bytes.
        on_message: Takes each message.
        on_end: Called when nothing can be sent any more.

    Attributes:
        current: The one over which is sent.
        all: Both, also when they are closed.
        open: Set once it is open, or over.
        room: Set when less than the threshold waits to be sent, or it is over.
        closed: Set once it is over.
        closed_by: The side that closed it; ``None`` while it is open.
    """

    def __init__(
        self,
        channel: RTCDataChannel,
        low: int,
        on_message: Callable[[str | bytes], None],
        on_end: Callable[[], None],
    ) -> None:
        self.current: RTCDataChannel = channel
        self.all: list[RTCDataChannel] = [channel]
        self._twin: RTCDataChannel | None = None
        self._live: list[RTCDataChannel] = []  # those that are not over
        self._low = low
        self._on_message, self._ended = on_message, on_end
        self._was_open = False
        self.open: asyncio.Event = asyncio.Event()
        self.room: asyncio.Event = asyncio.Event()
        self.closed: asyncio.Event = asyncio.Event()
        self.closed_by: ClosedBy | None = None

    def begin(self) -> None:
        """Listen to the channel, which may be open, or closed, already."""
        self._listen_to(self.current)
        if self.current.readyState == "open":
            self._on_open()
        elif self.current.readyState == "closed":
            self.abandon()

    def join(self, theirs: RTCDataChannel, *, switch: bool) -> None:
        """Take in the channel that the remote peer opened for the same purpose at the same time.

        Args:
            theirs: It has just been announced, with the same reliability.
            switch: Whether to send over that one.
        """
        self.all.append(theirs)
        self._listen_to(theirs)
        if switch:
            self.current, self._twin = theirs, self.current
            self._on_open()
        else:
            self._twin = theirs

    def set_low(self, low: int) -> None:
        """Set the threshold of :attr:`room`, in bytes."""
        self._low = low
        self.current.bufferedAmountLowThreshold = low

    def _listen_to(self, channel: RTCDataChannel) -> None:
        self._live.append(channel)
        channel.on("open", self._on_open)
        channel.on("close", lambda: self._on_end(channel))
        channel.on("closing", lambda: self._on_closing(channel))
        if isinstance(channel, Deliverer) and channel.reader is None:
            channel.reader = self._on_message
        else:
            channel.on("message", self._on_message)
        channel.on("bufferedamountlow", self.room.set)
        channel.bufferedAmountLowThreshold = self._low

    async def opened(self) -> None:
        """Wait until it is open, or was open and is closed again.

        Raises:
            ChannelClosed: It was closed instead.
            ChannelUnavailable: There turned out to be no stream for it.

        Cancellation: safe.
        """
        if not self.closed.is_set():
            await self.open.wait()
        if self.closed.is_set() and not self._was_open:
            raise self.error()

    # --- the end

    def close(self) -> None:
        """Close both once what was sent is out; closing twice does no harm."""
        if not self.closed.is_set():
            if self.closed_by is None:
                self.closed_by = ClosedBy.US
            self.current.close()
            if self._twin is not None:
                self._twin.close()

    def abandon(self) -> None:
        """Take it as over; wakes all waiting calls."""
        if self.closed_by is None:
            self.closed_by = self._who_closed()
        self.closed.set()
        self._ended()
        for event in (self.open, self.room):
            event.set()

    def _on_open(self) -> None:
        self._was_open = True
        self.open.set()

    def _on_closing(self, channel: RTCDataChannel) -> None:
        # The remote peer sends nothing more, and takes nothing. Until it has the answer to that,
        # which may be lost, the channel itself is not closed.
        if channel is self.current and self.closed_by is None:
            self.closed_by = ClosedBy.THEM
        self._on_end(channel)

    def _on_end(self, channel: RTCDataChannel) -> None:
        """Record that a channel is closed, or is being closed by the remote peer."""
        if channel not in self._live:
            return
        self._live.remove(channel)
        twin, self._twin = self._twin, None
        if twin is None:
            self.abandon()
        elif channel is self.current:
            # Its other half may still have messages under way: it is read until it is closed, too.
            self.closed_by = self.closed_by or self._who_closed()
            self.current = twin
            self.room.set()
            twin.close()

    def _who_closed(self) -> ClosedBy:
        if getattr(self.current, "refusal", None) is not None:
            return ClosedBy.US
        over = getattr(self.current.transport, "state", "closed") == "closed"
        there = self.current.readyState == "closed" and not over
        return ClosedBy.THEM if there else ClosedBy.CONNECTION

    # --- errors

    def error(self) -> ChannelError:
        """Return the error for an operation on a closed channel."""
        refusal = getattr(self.current, "refusal", None)
        if isinstance(refusal, ChannelError):
            return refusal
        return ChannelClosed(self.current.label, self.closed_by or ClosedBy.CONNECTION)

    def check(self) -> None:
        """Make sure that nobody has closed it.

        Raises:
            ChannelError: Somebody has.
        """
        if self.closed.is_set() or self.closed_by is not None:
            raise self.error()

    async def until(self, event: asyncio.Event) -> None:
        """Wait for one of the events above.

        Raises:
            ChannelError: It is over instead.

        Cancellation: safe.
        """
        await event.wait()
        if self.closed.is_set():
            raise self.error()
