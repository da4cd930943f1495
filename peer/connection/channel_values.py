"""Values over a channel of messages: JSON, and requests with their replies."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from icefloe._util.foreign_json import decode

from ..errors import ChannelClosed, InvalidMessage
from .request_reply import ANYTHING, CONCURRENT, UNREADABLE, Requests

_Type = TypeVar("_Type")


class ChannelValues(ABC):
    """Values over a channel: the part of it that makes messages of them, and reads them."""

    @property
    @abstractmethod
    def label(self) -> str:
        """The label, in any language."""

    @abstractmethod
    async def send(self, message: str | bytes | bytearray | memoryview) -> None:
        """Send a message."""

    @abstractmethod
    async def receive(self) -> str | bytes:
        """Return the next message."""

    @abstractmethod
    def _exchange(self) -> Requests:
        """Return the requests and replies of this channel, which carries nothing else then."""

    # --- JSON

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
            raise half_a_pair(self.label, error) from error
        await self.send(text)

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


def half_a_pair(label: str, error: UnicodeEncodeError) -> InvalidMessage:
    """Return the error for a text that has half a surrogate pair."""
    reason = f"half a surrogate pair at {error.start} is no character"
    return InvalidMessage(label, error.object, reason)
