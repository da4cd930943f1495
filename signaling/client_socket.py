"""One WebSocket of the client: opening it, the join handshake, a liveness check, leaving."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from logging import Logger
from typing import Any

from msgspec import structs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidURI, WebSocketException

from icefloe.logs import get_logger

from .address import check_url
from .codec import SERVER_LIMIT, encode_client, receive_server
from .errors import (
    ErrorCode,
    InvalidUrl,
    JoinRefused,
    MessageError,
    TokenUnavailable,
    Unreachable,
)
from .messages import Error, Join, Joined, Leave
from .sockets import QuietLogger, cut_off, wait_for_name

logger: Logger = get_logger(__name__)

VERIFY_TIMEOUT = 1.0
"""Seconds within which the server must answer when the client checks whether it is alive."""

TokenSource = str | Callable[[], Awaitable[str]]
"""A token, or a coroutine function that returns one that has not expired."""

_TOKEN_TIMEOUT = 8.0
"""Seconds that this function may take; the server waits for 10 s until a connection joins."""

_JOIN_TIMEOUT = 10.0  # seconds
_CLOSE_TIMEOUT = 0.5
_NAME_TIMEOUT = 10.0
_PING_INTERVAL = 20.0
_PING_TIMEOUT = 40.0


def socket_options(url: str, ssl: ssl.SSLContext | None) -> dict[str, Any]:
    """Return the options with which :func:`open_socket` opens the WebSocket.

    Args:
        url: The URL of the server.
        ssl: The TLS context that verifies the server; only used for ``wss://``.

    Raises:
        InvalidUrl: The URL is not a valid WebSocket URL.
    """
    scheme = check_url(url).scheme
    options: dict[str, Any] = {
        "compression": None,
        "max_size": SERVER_LIMIT,
        "ping_interval": _PING_INTERVAL,
        "ping_timeout": _PING_TIMEOUT,
        "close_timeout": _CLOSE_TIMEOUT,
        "logger": QuietLogger(f"{__name__}.websockets"),
    }
    if scheme == "wss" and ssl is not None:
        options["ssl"] = ssl
    return options


async def open_socket(url: str, options: dict[str, Any]) -> ClientConnection:
    """Open a WebSocket to the server.

    Raises:
        InvalidUrl: The URL is not valid.
        Unreachable: The host name, the TCP connection, TLS or the WebSocket handshake failed.

    Cancellation: safe.
    """
    try:
        await wait_for_name(url, _NAME_TIMEOUT)
        return await connect(url, **options)
    except InvalidURI as error:
        raise InvalidUrl(url, str(error)) from error
    except (OSError, WebSocketException) as error:
        raise Unreachable(url, str(error) or type(error).__name__) from error


async def open_interruptibly(
    url: str, options: dict[str, Any], interrupt: asyncio.Event
) -> ClientConnection:
    """Open a WebSocket; give up on ``interrupt`` once the attempt has taken longer than a second.

    Args:
        url: The URL of the server.
        options: Those of :func:`socket_options`.
        interrupt: Set when the network has changed, so that a new attempt may use another path.

    Raises:
        InvalidUrl: The URL is not valid.
        Unreachable: The server cannot be reached, or the attempt was given up.

    Cancellation: safe.
    """
    opening = asyncio.create_task(open_socket(url, options), name="signaling open")
    interrupted = asyncio.create_task(interrupt.wait(), name="signaling retry")
    try:
        await asyncio.wait((opening,), timeout=VERIFY_TIMEOUT)
        await asyncio.wait((opening, interrupted), return_when=asyncio.FIRST_COMPLETED)
        if not opening.done():
            raise Unreachable(url, "it does not answer, and another attempt is due")
        return opening.result()
    except asyncio.CancelledError:
        if opening.done() and not opening.cancelled() and opening.exception() is None:
            cut_off(opening.result())
        raise
    finally:
        for task in (opening, interrupted):
            task.cancel()
        await asyncio.wait((opening, interrupted))


async def join_room(url: str, socket: ClientConnection, join: Join) -> Joined:
    """Send a ``join`` and return the answer.

    Args:
        url: The URL of the server, for errors.
        socket: The WebSocket, on which nothing was received yet.
        join: The message to send.

    Raises:
        JoinRefused: The server refused.
        Unreachable: The server did not answer in time, or closed the connection.
        SignalingLost: The server sent an invalid message.
    """
    try:
        await socket.send(encode_client(join).decode())
        async with asyncio.timeout(_JOIN_TIMEOUT):
            while True:
                match receive_server(await socket.recv()):
                    case Joined() as joined:
                        return joined
                    case Error(code=code, message=sentence) if code != ErrorCode.RATE_LIMITED:
                        raise JoinRefused(code, sentence)
    except TimeoutError as error:
        reason = f"it did not answer within {_JOIN_TIMEOUT:g} seconds"
        raise Unreachable(url, reason) from error
    except ConnectionClosed as error:
        raise Unreachable(url, f"it closed the connection: {error}") from error


async def with_fresh_token(join: Join, source: TokenSource | None) -> Join:
    """Return a ``join`` with a new token, if the source makes them.

    Raises:
        TokenUnavailable: The source has failed, took too long, or gave what cannot be sent.

    Cancellation: safe.
    """
    if source is None or isinstance(source, str):
        return join
    try:
        async with asyncio.timeout(_TOKEN_TIMEOUT):
            token = await source()
    except TimeoutError as error:
        raise TokenUnavailable(f"it did not come within {_TOKEN_TIMEOUT:g} s") from error
    except Exception as error:
        raise TokenUnavailable(str(error) or type(error).__name__) from error
    if not isinstance(token, str):
        raise TokenUnavailable(f"what was given is no text, but {type(token).__name__}")
    fresh = structs.replace(join, token=token)
    try:
        encode_client(fresh)
    except MessageError as error:
        raise TokenUnavailable("it is too long, or no text that can be sent") from error
    return fresh


async def leave_room(socket: ClientConnection) -> None:
    """Send ``leave`` and wait, at most half a second, until the server closes the WebSocket."""
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT):
            await socket.send(encode_client(Leave()).decode())
            await socket.wait_closed()
    except (TimeoutError, ConnectionClosed) as error:
        logger.debug("signaling: `leave` was not delivered or not answered: %r", error)


async def verify(socket: ClientConnection) -> None:
    """Ping the server, and cut the socket off if it does not answer within a second."""
    try:
        async with asyncio.timeout(VERIFY_TIMEOUT):
            await (await socket.ping())
    except TimeoutError:
        logger.info("signaling: the server does not answer; connecting again")
        cut_off(socket)
    except ConnectionClosed:
        return
