"""Requests and replies over a data channel, in both directions at the same time.

Each is a text message with one JSON object, so that a page can take part with ``JSON.parse``::

    {"request": 1, "data": …}                     asks
    {"reply": 1, "data": …}                       answers
    {"failure": 1, "code": "…", "reason": "…"}    answers that it cannot be done
    {"cancel": 1}                                 takes request 1 back

A number is the asker's: each side counts its own requests, from 1. An answer to a request that was
taken back, or is not known, is dropped.
"""

import asyncio
from collections.abc import Awaitable, Callable
from logging import Logger
from typing import Annotated, Any, TypeVar, cast

import msgspec
from msgspec import Meta, Raw, Struct

from icefloe._util.foreign_json import decode
from icefloe.logs import get_logger

from ..errors import (
    ChannelClosed,
    ChannelError,
    ChannelMisused,
    InvalidMessage,
    MessageTooLarge,
    RequestFailed,
    RequestTimeout,
)

logger: Logger = get_logger(__name__)

CONCURRENT = 64
"""Requests of the remote peer that are handled at the same time."""

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Errors of reading JSON of the remote peer: invalid, not UTF-8, or nested too deeply."""

ANYTHING = cast("type[Any]", Any)
"""The type of a message that may be anything that JSON can express."""

_Type = TypeVar("_Type")
_Number = Annotated[int, Meta(ge=1, le=2**53)]
_REASON = 500  # characters of a sentence that goes to the remote peer


class _Envelope(Struct, omit_defaults=True):
    request: _Number | None = None
    reply: _Number | None = None
    failure: _Number | None = None
    cancel: _Number | None = None
    data: Raw = Raw(b"null")
    code: str = "error"
    reason: str = ""


_decoder = msgspec.json.Decoder(_Envelope)


def _encode(**fields: Any) -> str:
    return msgspec.json.encode(fields).decode()


def _refusal(number: int, code: str, reason: str) -> str:
    """Write why a request failed, whatever the handler gave for a text."""
    code, reason = (text.encode(errors="replace").decode() for text in (code, reason[:_REASON]))
    return _encode(failure=number, code=code, reason=reason)


class Requests:
    """Both directions of requests on one channel.

    Args:
        label: The channel's label, for errors.
        send: Sends a message, and waits for room.
        receive: Gives the next message; raises ``ChannelClosed`` at the end.
    """

    def __init__(
        self,
        label: str,
        send: Callable[[str], Awaitable[None]],
        receive: Callable[[], Awaitable[str | bytes]],
    ) -> None:
        self._label = label
        self._send = send
        self._receive = receive
        self._last = 0
        self._waiting: dict[int, asyncio.Future[Raw]] = {}
        self._handling: dict[int, asyncio.Task[None]] = {}
        self._errands: set[asyncio.Task[None]] = set()
        self._handler: Callable[[Raw], Awaitable[Any]] | None = None
        self._concurrent = 0
        self._failure: ChannelError | None = None
        self._pumping = asyncio.create_task(self._pump(), name=f"requests of {label!r}")

    async def request(self, value: Any, type: type[_Type], timeout: float | None) -> _Type:
        """Ask, and return the reply; see ``DataChannel.request``."""
        if self._failure is not None:
            raise self._failure
        self._last += 1
        number = self._last
        try:
            text = _encode(request=number, data=value)
        except UnicodeEncodeError as error:
            reason = "half a surrogate pair in it is no character"
            raise InvalidMessage(self._label, error.object, reason) from error
        reply: asyncio.Future[Raw] = asyncio.get_running_loop().create_future()
        self._waiting[number] = reply
        is_out = False
        try:
            async with asyncio.timeout(timeout):
                await self._send(text)
                is_out = True
                data = await reply
        except TimeoutError as error:
            raise RequestTimeout(self._label, cast("float", timeout)) from error
        finally:
            del self._waiting[number]
            answered = reply.done() and not reply.cancelled()
            if answered:
                reply.exception()  # it may have come when nobody waited any more
            elif is_out and self._failure is None:
                self._run(self._tell(_encode(cancel=number)), "cancel")
        try:
            return decode(bytes(data), msgspec.json.Decoder(type))
        except UNREADABLE as error:
            raise InvalidMessage(self._label, bytes(data), str(error)) from error

    async def serve(
        self, handler: Callable[[_Type], Awaitable[Any]], type: type[_Type], concurrent: int
    ) -> None:
        """Answer requests until the channel is closed; see ``DataChannel.serve_requests``."""
        if self._handler is not None:
            raise ChannelMisused(
                self._label, f"the requests of channel {self._label!r} are served already"
            )

        async def handle(data: Raw) -> Any:
            try:
                value = decode(bytes(data), msgspec.json.Decoder(type))
            except UNREADABLE as error:
                raise RequestFailed("invalid", str(error)) from error
            return await handler(value)

        self._handler, self._concurrent = handle, concurrent
        try:
            await asyncio.wait((self._pumping,))
        finally:
            self._handler = None
            await _end(self._handling.values())
        if self._failure is not None and not isinstance(self._failure, ChannelClosed):
            raise self._failure

    async def stop(self) -> None:
        """End everything that runs; whoever waits gets ``ChannelClosed``."""
        await _end((self._pumping, *self._handling.values(), *self._errands))

    # --- what comes

    async def _pump(self) -> None:
        failure: ChannelError = ChannelClosed(self._label)
        try:
            while True:
                self._take(await self._receive())
        except ChannelError as error:
            failure = error
        finally:
            self._failure = failure
            for reply in self._waiting.values():
                if not reply.done():
                    reply.set_exception(failure)
            for task in self._handling.values():
                task.cancel()

    def _take(self, message: str | bytes) -> None:
        try:
            envelope = _decoder.decode(message)
        except UNREADABLE as error:
            logger.warning("dropped a message on %r that is no request: %s", self._label, error)
            return
        if envelope.request is not None:
            self._on_request(envelope.request, envelope.data)
        elif envelope.cancel is not None:
            if task := self._handling.get(envelope.cancel):
                task.cancel()
        else:
            self._on_answer(envelope)

    def _on_answer(self, envelope: _Envelope) -> None:
        reply = self._waiting.get(envelope.reply or envelope.failure or 0)
        if reply is None or reply.done():
            return
        if envelope.reply is not None:
            reply.set_result(Raw(bytes(envelope.data)))
        else:
            reply.set_exception(RequestFailed(envelope.code, envelope.reason, self._label))

    def _on_request(self, number: int, data: Raw) -> None:
        if number in self._handling:
            return  # its number is taken: the answer could not be told from the other one's
        if self._handler is None:
            self._refuse(number, "unserved", "nobody serves requests here")
        elif len(self._handling) >= self._concurrent:
            self._refuse(number, "overloaded", f"{self._concurrent} requests run already")
        else:
            handling = self._handle(number, self._handler, Raw(bytes(data)))
            task = asyncio.create_task(handling, name=f"request {number} of {self._label!r}")
            self._handling[number] = task
            task.add_done_callback(lambda _: self._handling.pop(number, None))

    async def _handle(
        self, number: int, handler: Callable[[Raw], Awaitable[Any]], data: Raw
    ) -> None:
        try:
            text = _encode(reply=number, data=await handler(data))
        except RequestFailed as error:
            text = _refusal(number, error.code, error.reason)
        except asyncio.CancelledError:
            self._refuse(number, "cancelled", "the handler was cancelled")
            raise
        except Exception as error:
            # What a handler raises is its own affair; the remote peer gets no more than its name.
            logger.exception("a handler of requests on %r failed", self._label)
            text = _encode(failure=number, code="error", reason=type(error).__name__)
        try:
            await self._send(text)
        except MessageTooLarge as error:
            await self._tell(_encode(failure=number, code="too-large", reason=str(error)))
        except ChannelError as error:
            logger.debug("a reply on %r was not sent: %s", self._label, error)

    def _refuse(self, number: int, code: str, reason: str) -> None:
        if self._failure is None:
            self._run(self._tell(_encode(failure=number, code=code, reason=reason)), code)

    async def _tell(self, text: str) -> None:
        try:
            await self._send(text)
        except ChannelError as error:
            logger.debug("not told on %r: %s", self._label, error)

    def _run(self, errand: Any, name: str) -> None:
        if len(self._errands) >= 4 * CONCURRENT:
            errand.close()  # the remote peer floods us, and does not read what we answer
            return
        task = asyncio.create_task(errand, name=f"{name} on {self._label!r}")
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)


async def _end(tasks: Any) -> None:
    tasks = [task for task in tasks if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
