"""The signaling client: join a room, send, receive, and stay in the room across broken sockets.

When the socket breaks, the client connects again with growing pauses and resumes its seat: what was
sent in either direction meanwhile arrives then, in order, once. If the seat is gone, it joins anew
and says so with :class:`Rejoined`.
"""

import asyncio
import random
import ssl
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

from msgspec import UNSET, UnsetType, structs
from websockets.asyncio.client import ClientConnection, connect as open_websocket
from websockets.asyncio.server import broadcast
from websockets.exceptions import ConnectionClosed, InvalidURI, WebSocketException
from websockets.protocol import State

from icefloe._util.bounded_queue import BoundedQueue
from icefloe.logs import get_logger
from icefloe.text import public_url

from .address import check_url
from .codec import SERVER_LIMIT, decode_server, encode_client, is_of_unknown_type
from .errors import (
    ErrorCode,
    InvalidUrl,
    JoinRefused,
    MessageError,
    SendQueueFull,
    SignalingClosed,
    SignalingError,
    SignalingLost,
    Unreachable,
)
from .membership import Event, Membership, Rejoined, Renewed, Roster
from .messages import (
    CloseCode,
    Error,
    IceServer,
    Join,
    Joined,
    Leave,
    PeerInfo,
    ServerMessage,
    ToPeer,
)
from .sockets import QuietLogger, cut_off, is_own_address, wait_for_name

logger = get_logger(__name__)

_FIRST_PAUSE = 0.3  # seconds
_LONGEST_PAUSE = 7.0
_JOIN_TIMEOUT = 10.0
_CLOSE_TIMEOUT = 0.5
_NAME_TIMEOUT = 10.0
_PING_INTERVAL = 20.0
_PING_TIMEOUT = 40.0
_INBOX = 256  # messages
_INBOX_BYTES = 4 * 1024 * 1024  # four of the largest
_VERIFY_TIMEOUT = 1.0
_RENEW_AHEAD = 60.0  # seconds before the ICE servers lapse
_RENEW_PAUSE = 1.0  # seconds, at least between two renewals

_SEAT_KEPT = 95.0
"""Seconds for which a lost seat may hold the name: until the server notices, and 30 s more."""


def connect(
    url: str,
    *,
    room: str,
    name: str,
    token: str | None = None,
    ssl: ssl.SSLContext | None = None,
    rename: bool = False,
) -> "SignalingClient":
    """Join a room; use it with ``async with``.

    Args:
        url: The WebSocket of the server, as ``ws://127.0.0.1:8080/ws``.
        room: The room, 1 to 64 characters.
        name: The own name, unique in the room, 1 to 64 characters.
        token: What admits to the room, if the server asks for it.
        ssl: How the certificate of a ``wss://`` server is verified.
        rename: Whether another name will do if this one is taken: it gets a number, ``bot-2``.
    Returns:
        The client. Entering it raises :exc:`Unreachable` if there is no server and
        :exc:`JoinRefused` if the server says no.
    Raises:
        InvalidUrl: The URL is none of a WebSocket.
        MessageError: The room or the name is not valid.
    """
    return SignalingClient(url, room=room, name=name, token=token, ssl=ssl, rename=rename)


def pauses(rng: Callable[[], float] = random.random) -> Iterator[float]:
    """Return how long to wait before each attempt to connect again, in seconds, without end.

    Half of each pause is random, so that a restarted server is not met by everybody at once.

    Args:
        rng: Gives numbers from 0 to 1.
    """
    most = _FIRST_PAUSE
    while True:
        yield most / 2 + rng() * most / 2
        most = min(most * 2, _LONGEST_PAUSE)


def until_renewal(left: float) -> float:
    """Return after how many seconds ICE servers are renewed.

    A minute before they lapse, or after half of their time if that is later. Where they seem to
    have lapsed already it is this machine's clock that is wrong, and there is no hurry.

    Args:
        left: Seconds until they lapse.
    """
    if left <= 0:
        return _RENEW_AHEAD
    return max(left - _RENEW_AHEAD, left / 2, _RENEW_PAUSE)


class SignalingClient:
    """A seat in a room; made by :func:`connect`.

    Iterating gives what the server says, in order, from the moment of joining: messages of
    :data:`ServerMessage`, and :class:`Rejoined` if the seat had to be taken anew. What happened in
    the room while the socket was broken comes as the messages that were missed. At most 256
    messages, of 4 MiB together, wait to be taken; then nothing more is read, and a program that
    takes none for longer than a minute loses its seat. The iteration ends when the client is
    closed, and raises :exc:`SignalingLost` or :exc:`JoinRefused` when the seat is lost and cannot
    be had again.
    """

    def __init__(
        self,
        url: str,
        *,
        room: str,
        name: str,
        token: str | None,
        ssl: ssl.SSLContext | None,
        rename: bool,
    ) -> None:
        self._url = url
        self._options = _socket_options(url, ssl)
        self._join = Join(
            room=room,
            name=name,
            token=UNSET if token is None else token,
            rename=True if rename else UNSET,
        )
        encode_client(self._join)
        self._inbox: BoundedQueue[Event] = BoundedQueue(_INBOX, _INBOX_BYTES)
        self._roster = Roster()
        self._membership: Membership | None = None
        self._socket: ClientConnection | None = None
        self._running: asyncio.Task[None] | None = None
        self._verifying: asyncio.Task[None] | None = None
        self._closing = asyncio.Lock()
        self._hurry = asyncio.Event()
        self._renew_at: float | None = None

    # ---- for users -----------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The own id in the room.

        Raises:
            SignalingClosed: The client was not entered; so do the other properties of the seat.
        """
        return self._seat.joined.id

    @property
    def name(self) -> str:
        """The own name in the room: the one that was asked for, unless another one will do."""
        return self._join.name

    @property
    def peers(self) -> list[PeerInfo]:
        """Who else is in the room, in the order of arrival, as of the last message taken."""
        return self._roster.peers

    @property
    def ice_servers(self) -> list[IceServer]:
        """The STUN and TURN servers to use. They are renewed before they lapse."""
        return list(self._seat.joined.iceServers)

    @property
    def expires(self) -> int | None:
        """When :attr:`ice_servers` lapse, in seconds since the epoch; ``None`` for never."""
        expires = self._seat.joined.expires
        return None if isinstance(expires, UnsetType) else expires

    @property
    def is_connected(self) -> bool:
        """Whether there is a socket to the server at the moment."""
        return self._socket is not None and self._socket.state is State.OPEN

    async def send(self, message: ToPeer) -> None:
        """Send a message to a peer.

        While the socket is broken it waits, at most 256 messages and 1 MiB, and is sent when the
        seat is resumed. What the server cannot do with a message comes as an :class:`Error`, which
        carries its ``ref``.

        Args:
            message: The message; its ``seq`` is set here.
        Raises:
            MessageError: The message is not valid, or larger than 64 KiB; a description may have
                256 KiB.
            SendQueueFull: The socket is broken, and no more messages can wait.
            SignalingClosed: The client is not open any more, or was never entered.

        Cancellation: safe; the message may have been sent.
        """
        if self._running is None or self._running.done():
            raise SignalingClosed
        outbox = self._seat.outbox
        payload = encode_client(structs.replace(message, seq=outbox.next_seq))
        socket = self._socket
        if socket is None or socket.state is not State.OPEN:
            if not outbox.wait(payload):
                raise SendQueueFull(outbox.waiting)
            return
        outbox.sent(payload, asyncio.get_running_loop().time())
        try:
            await socket.send(payload.decode())
        except ConnectionClosed:
            logger.debug("signaling: the socket broke; message %s is sent again", message.seq)

    def suspect(self) -> None:
        """Look at once whether the server still answers: something about the network has changed.

        If it does not within a second, or the machine has lost the address of the socket, the
        client connects again; if it is about to, it does so now, and an attempt that has taken
        longer than a second begins anew. Otherwise a dead socket is noticed by its pings alone,
        which takes up to a minute.
        """
        socket = self._socket
        if socket is None or socket.state is not State.OPEN:
            self._hurry.set()
        elif not is_own_address(socket.local_address):
            logger.info("signaling: the address of the socket is gone; connecting again")
            self._hurry.set()
            cut_off(socket)
        else:
            if self._verifying is not None:
                self._verifying.cancel()  # what it learns is of the time before
            self._verifying = asyncio.create_task(_verify(socket), name="signaling verify")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self._inbox.get()
        self._roster.apply(event)
        return event

    async def __aenter__(self) -> Self:
        if self._membership is not None:
            raise SignalingClosed
        socket = await self._open()
        try:
            joined = await self._ask_to_join(socket, self._join)
        except BaseException:
            cut_off(socket)
            raise
        self._begin(socket, joined)
        self._roster = Roster(joined.peers)
        self._running = asyncio.create_task(self._run(socket), name=f"signaling {joined.id}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Leave the room. It takes at most half a second. Calling it again is harmless.

        Cancellation: safe; the socket is cut off at once.
        """
        async with self._closing:
            running, self._running = self._running, None
            if running is None:
                return
            tasks = [task for task in (running, self._verifying) if task is not None]
            try:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                if self._socket is not None:
                    await self._leave(self._socket)
            finally:
                socket, self._socket = self._socket, None
                if socket is not None:
                    cut_off(socket)
                self._inbox.end()

    # ---- the life of the seat ------------------------------------------------------------------

    @property
    def _seat(self) -> Membership:
        if self._membership is None:
            raise SignalingClosed
        return self._membership

    async def _run(self, socket: ClientConnection) -> None:
        try:
            while True:
                await self._listen(socket)
                self._socket = None
                socket, missed = await self._return()
                for event in missed:
                    await self._inbox.put(event)
        except SignalingError as error:
            self._inbox.end(error)
        except Exception as error:
            lost = SignalingLost(f"an error in the client: {error!r}")
            lost.__cause__ = error
            self._inbox.end(lost)

    async def _listen(self, socket: ClientConnection) -> None:
        """Take in what comes until the socket breaks, or the ICE servers are to be renewed."""
        seat = self._seat
        while True:
            try:
                async with asyncio.timeout_at(self._renew_at):
                    frame = await socket.recv()
            except TimeoutError:
                await socket.close(CloseCode.NORMAL, "renewing the ICE servers")
                return
            except ConnectionClosed as closed:
                if closed.rcvd is not None and closed.rcvd.code == CloseCode.TAKEN_OVER:
                    raise SignalingLost("another connection took it up") from closed
                logger.info(
                    "signaling: the connection to %s broke: %s", public_url(self._url), closed
                )
                return
            message = _decode(frame)
            if message is not None and seat.receive(message):
                await self._inbox.put(message, len(frame))

    async def _return(self) -> tuple[ClientConnection, list[Event]]:
        """Take up the seat again, or a new one; try until it works.

        Returns:
            The new socket, and what was missed.
        """
        now = asyncio.get_running_loop().time
        lost_at = now()
        pause = pauses()
        while True:
            if await self._hurried(next(pause)):
                pause = pauses()
            socket = None
            try:
                socket = await self._open_unless_hurried()
                missed = await self._take_seat(socket)
                if missed is not None:
                    return socket, missed
            except Unreachable as error:
                logger.debug("signaling: %s", error)
            except JoinRefused as refusal:
                # The seat that holds the name is the own one, and its time runs out.
                is_own = refusal.code == ErrorCode.NAME_TAKEN and now() - lost_at < _SEAT_KEPT
                if not is_own:
                    raise
            finally:
                if socket is not None and socket is not self._socket:
                    cut_off(socket)

    async def _hurried(self, seconds: float) -> bool:
        """Wait for so long, or until :meth:`suspect`; return whether that was it."""
        try:
            async with asyncio.timeout(seconds):
                return await self._hurry.wait()
        except TimeoutError:
            return False
        finally:
            self._hurry.clear()

    async def _take_seat(self, socket: ClientConnection) -> list[Event] | None:
        """Resume the seat, or join anew if it is gone; return what was missed.

        Returns:
            What was missed; ``None`` if the seat had to be given up, so that the next attempt joins
            anew.
        """
        seat = self._seat
        resume = structs.replace(self._join, resume=seat.joined.resume, ack=seat.received)
        try:
            joined = await self._ask_to_join(socket, resume)
        except JoinRefused as refusal:
            if refusal.code != ErrorCode.RESUME_FAILED:
                raise
            joined = await self._ask_to_join(socket, self._join)
            self._begin(socket, joined)
            logger.info("signaling: joined %s anew", public_url(self._url))
            return [Rejoined(joined, seat.outbox.waiting)]
        before = seat.joined.iceServers
        resumed = seat.resume(joined, asyncio.get_running_loop().time())
        if resumed is None:
            # Something is lost on the way to the server: only a new seat is a clean one.
            await self._leave(socket)
            return None
        changes: list[Event] = list(resumed[0])
        payloads = resumed[1]
        for payload in payloads:
            broadcast((socket,), payload.decode())
        self._use(socket, joined)
        logger.info("signaling: resumed at %s", public_url(self._url))
        if joined.iceServers != before:
            changes.append(Renewed(tuple(joined.iceServers)))
        return changes

    def _begin(self, socket: ClientConnection, joined: Joined) -> None:
        if isinstance(joined.name, str):
            logger.info("signaling: the name %r is taken; %r it is", self.name, joined.name)
            self._join = structs.replace(self._join, name=joined.name)
        self._membership = Membership(joined)
        self._use(socket, joined)

    def _use(self, socket: ClientConnection, joined: Joined) -> None:
        self._socket = socket
        self._renew_at = None
        if isinstance(joined.expires, int):
            seconds = until_renewal(joined.expires - time.time())
            self._renew_at = asyncio.get_running_loop().time() + seconds

    # ---- one socket ----------------------------------------------------------------------------

    async def _open(self) -> ClientConnection:
        try:
            await wait_for_name(self._url, _NAME_TIMEOUT)
            return await open_websocket(self._url, **self._options)
        except InvalidURI as error:
            raise InvalidUrl(self._url, str(error)) from error
        except (OSError, WebSocketException) as error:
            raise Unreachable(self._url, str(error) or type(error).__name__) from error

    async def _open_unless_hurried(self) -> ClientConnection:
        """Open a socket; give up at :meth:`suspect`, for the way may be another one by now.

        Raises:
            Unreachable: There is no server, or it has not answered so far.
        """
        opening = asyncio.create_task(self._open(), name="signaling open")
        hurried = asyncio.create_task(self._hurry.wait(), name="signaling hurry")
        try:
            await asyncio.wait((opening,), timeout=_VERIFY_TIMEOUT)
            await asyncio.wait((opening, hurried), return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                raise Unreachable(self._url, "it does not answer, and another attempt is due")
            return opening.result()
        except asyncio.CancelledError:
            if opening.done() and not opening.cancelled() and opening.exception() is None:
                cut_off(opening.result())
            raise
        finally:
            for task in (opening, hurried):
                task.cancel()
            await asyncio.wait((opening, hurried))

    async def _ask_to_join(self, socket: ClientConnection, join: Join) -> Joined:
        try:
            await socket.send(encode_client(join).decode())
            async with asyncio.timeout(_JOIN_TIMEOUT):
                while True:
                    match _decode(await socket.recv()):
                        case Joined() as joined:
                            return joined
                        case Error(code=code, message=sentence) if code != ErrorCode.RATE_LIMITED:
                            raise JoinRefused(code, sentence)
        except TimeoutError as error:
            reason = f"it did not answer within {_JOIN_TIMEOUT:g} seconds"
            raise Unreachable(self._url, reason) from error
        except ConnectionClosed as error:
            raise Unreachable(self._url, f"it closed the connection: {error}") from error

    async def _leave(self, socket: ClientConnection) -> None:
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await socket.send(encode_client(Leave()).decode())
                await socket.wait_closed()
        except (TimeoutError, ConnectionClosed) as error:
            logger.debug("signaling: the server was not told of leaving: %r", error)


async def _verify(socket: ClientConnection) -> None:
    try:
        async with asyncio.timeout(_VERIFY_TIMEOUT):
            await (await socket.ping())
    except TimeoutError:
        logger.info("signaling: the server does not answer; connecting again")
        cut_off(socket)
    except ConnectionClosed:
        return


def _socket_options(url: str, ssl: ssl.SSLContext | None) -> dict[str, Any]:
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


def _decode(frame: str | bytes) -> ServerMessage | None:
    """Read a message; ``None`` if it is of a type that only newer clients know."""
    try:
        return decode_server(frame)
    except MessageError as error:
        if is_of_unknown_type(frame):
            return None
        raise SignalingLost(f"the server does not keep to the protocol: {error}") from error
