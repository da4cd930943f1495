# Longer than 400 lines: one public class; socket, seat and queue have modules.
"""The signaling client: joins a room, sends and receives messages, reconnects and resumes.

When the socket breaks, the client reconnects with exponential backoff and resumes its seat.
Messages sent in either direction in the meantime then arrive, in order, each once. If the seat is
gone, the client joins again with a new seat, and reports that with :class:`Rejoined`.
"""

import asyncio
import ssl
import time
from collections.abc import Callable
from logging import Logger
from types import TracebackType
from typing import Self

from msgspec import UNSET, UnsetType, structs
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import broadcast
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from icefloe._util.bounded_queue import BoundedQueue
from icefloe.logs import get_logger
from icefloe.text import public_url

from .client_socket import (
    TokenSource,
    join_room,
    leave_room,
    open_interruptibly,
    open_socket,
    socket_options,
    verify,
    with_fresh_token,
)
from .codec import encode_client, receive_server
from .errors import (
    ErrorCode,
    JoinRefused,
    RemovedFromRoom,
    RoomClosed,
    SendQueueFull,
    SignalingClosed,
    SignalingError,
    SignalingLost,
    TokenUnavailable,
    Unreachable,
)
from .membership import Event, Membership, Rejoined, Renewed, Roster
from .messages import (
    CloseCode,
    IceServer,
    Join,
    Joined,
    May,
    NewIceServers,
    PeerInfo,
    Report,
    ToModerate,
    ToPeer,
)
from .moderator_requests import ModeratorRequests
from .rights import Right
from .sockets import cut_off, is_own_address
from .timing import pauses, restart_pauses, until_renewal

logger: Logger = get_logger(__name__)

_MAX_INBOX_MESSAGES = 256
"""Messages that wait for the application; above it nothing more is read from the server."""

_MAX_INBOX_BYTES = 4 * 1024 * 1024
"""Bytes of these messages: four of the largest."""

_ANSWER_TIMEOUT = 10.0
"""Seconds that the server may take to answer a moderator."""

_NAME_RETRY_SECONDS = 95.0
"""Seconds for which the client's own lost seat may still hold the name: the time until the server
notices the loss, and the 30 s for which it keeps the seat."""


def connect(
    url: str,
    *,
    room: str,
    name: str,
    token: TokenSource | None = None,
    ssl: ssl.SSLContext | None = None,
    rename: bool = False,
) -> "SignalingClient":
    """Join a room; use it with ``async with``.

    Args:
        url: The WebSocket URL of the server, as ``ws://127.0.0.1:8080/ws``.
        room: The room, 1 to 64 characters.
        name: The name of this client, unique in the room, 1 to 64 characters.
        token: The token that admits to the room, if the server requires one; or a coroutine
            function without arguments that returns one, which is called for each connection. A
            token may expire while the client is in the room: after a break the secret of its seat
            lets it in. It needs another one if the seat is gone.
        ssl: The TLS context that verifies the certificate of a ``wss://`` server; by default the
            authorities of the system are trusted.
        rename: Whether the server may add a number to the name, as in ``bot-2``, if it is taken.

    Returns:
        The client. Entering it raises :exc:`Unreachable` if the server cannot be reached and
        :exc:`JoinRefused` if the server refuses the ``join``, and :exc:`TokenUnavailable` if the
        function that gives the token fails.

    Raises:
        InvalidUrl: The URL is not a valid WebSocket URL.
        MessageError: The room or the name is not valid.
    """
    return SignalingClient(url, room=room, name=name, token=token, ssl=ssl, rename=rename)


class SignalingClient:
    """A client with a seat in a room; made by :func:`connect`.

    Iterating gives the messages of the server (:data:`ServerMessage`) in order, from the moment of
    joining. It also gives :class:`Rejoined` when the client got a new seat, and :class:`Renewed`
    when there are new ICE servers. After a resume, events in the room that the client missed are
    given as the messages that the server would have sent. At most 256 messages, of 4 MiB together,
    wait to be taken; then the client stops reading, and loses its seat if the application takes
    none for longer than a minute. The iteration ends when the client is closed. It raises
    :exc:`SignalingLost` or :exc:`JoinRefused` when the seat is lost for good.
    """

    def __init__(
        self,
        url: str,
        *,
        room: str,
        name: str,
        token: TokenSource | None,
        ssl: ssl.SSLContext | None,
        rename: bool,
    ) -> None:
        self._url = url
        self._options = socket_options(url, ssl)
        self._join = Join(
            room=room,
            name=name,
            token=token if isinstance(token, str) else UNSET,
            rename=True if rename else UNSET,
        )
        encode_client(self._join)  # validates the room and the name
        self._token = token
        self._requests = ModeratorRequests()
        self._inbox: BoundedQueue[Event] = BoundedQueue(_MAX_INBOX_MESSAGES, _MAX_INBOX_BYTES)
        self._roster = Roster()
        self._membership: Membership | None = None
        self._socket: ClientConnection | None = None
        self._running: asyncio.Task[None] | None = None
        self._verifying: asyncio.Task[None] | None = None
        self._close_lock = asyncio.Lock()
        self._retry_requested = asyncio.Event()
        self._renew_at: float | None = None
        self._pauses = pauses

    # ---- public interface ----------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The id of this client in the room.

        Raises:
            SignalingClosed: The client was not entered. ``ice_servers`` and ``expires`` raise it
                too.
        """
        return self._seat.joined.id

    @property
    def name(self) -> str:
        """The name of this client in the room, with a number if the server has added one."""
        return self._join.name

    @property
    def peers(self) -> list[PeerInfo]:
        """The other participants, in the order of arrival, as of the last message taken."""
        return self._roster.peers

    @property
    def ice_servers(self) -> list[IceServer]:
        """The STUN and TURN servers to use. They are renewed before they expire."""
        return list(self._seat.joined.iceServers)

    @property
    def expires(self) -> int | None:
        """The time at which :attr:`ice_servers` expire, in seconds since the epoch, if they do."""
        expires = self._seat.joined.expires
        return None if isinstance(expires, UnsetType) else expires

    @property
    def rights(self) -> frozenset[Right]:
        """The rights of this client in the room; they change when a moderator hands over."""
        may = self._seat.joined.may
        return frozenset(right for right in Right if right == Right.JOIN or right in _shown(may))

    @property
    def is_connected(self) -> bool:
        """True if the WebSocket to the server is open."""
        return self._socket is not None and self._socket.state is State.OPEN

    async def send(self, message: ToPeer) -> None:
        """Send a message to a peer.

        While the socket is broken messages are queued, at most 256 of 1 MiB together, and are sent
        when the seat is resumed. If the server refuses the message, an :class:`Error` with its
        ``ref`` arrives.

        Args:
            message: The message; its ``seq`` is set here.

        Raises:
            MessageError: The message is invalid, or larger than 64 KiB (256 KiB for a description).
            SendQueueFull: The socket is broken and the queue is full.
            SignalingClosed: The client is closed, or was never entered.

        Cancellation: safe; the message may have been sent.
        """
        if self._running is None or self._running.done():
            raise SignalingClosed
        outbox = self._seat.outbox
        payload = encode_client(structs.replace(message, seq=outbox.next_seq))
        socket = self._socket
        if socket is None or socket.state is not State.OPEN:
            if not outbox.enqueue(payload):
                raise SendQueueFull(outbox.waiting)
            return
        outbox.record_sent(payload, asyncio.get_running_loop().time())
        try:
            await socket.send(payload.decode())
        except ConnectionClosed:
            logger.debug("signaling: the socket broke; a message will be sent again after a resume")

    async def moderate(self, message: ToModerate) -> None:
        """Ask the server to remove somebody, to lock or close the room, or to hand the right over.

        Args:
            message: A :class:`Remove`, :class:`Lock`, :class:`CloseRoom` or :class:`HandOver`; its
                ``ref`` is set here.

        Raises:
            MessageError: The message is invalid.
            ModerationRefused: The server refused; ``code`` says why.
            SignalingClosed: The client is closed, or was never entered.
            Unreachable: The connection is broken, or breaks before the answer is there.

        Cancellation: safe; the server may have done it.
        """
        if self._running is None or self._running.done():
            raise SignalingClosed
        socket = self._socket
        if socket is None or socket.state is not State.OPEN:
            raise Unreachable(self._url, "the connection is lost and not back yet")
        ref, answered = self._requests.add()
        try:
            await socket.send(encode_client(structs.replace(message, ref=ref)).decode())
            async with asyncio.timeout(_ANSWER_TIMEOUT):
                await answered
        except TimeoutError as error:
            reason = f"it did not answer within {_ANSWER_TIMEOUT:g} seconds"
            raise Unreachable(self._url, reason) from error
        except ConnectionClosed as error:
            raise Unreachable(self._url, f"it closed the connection: {error}") from error
        finally:
            self._requests.forget(ref)

    def report(self, report: Report) -> bool:
        """Tell the server how connecting with a peer went, if it wants to know; never waits.

        Args:
            report: The report. It is not sent again if the connection is lost.

        Returns:
            Whether it was sent: the server takes reports, and the connection is open.

        Raises:
            SignalingClosed: The client was not entered.
        """
        socket, is_wanted = self._socket, self._seat.joined.reports is True
        if not is_wanted or socket is None or socket.state is not State.OPEN:
            return False
        broadcast((socket,), encode_client(report).decode())
        return True

    def suspect(self) -> None:
        """Check at once whether the server answers; call this when the network has changed.

        The client reconnects if the server does not answer within a second, or if this machine no
        longer has the local address of the socket. If the client is already reconnecting, it makes
        the next attempt now, and gives up an attempt that has taken longer than a second. Without
        this call a dead socket is detected only by its pings, after up to a minute.
        """
        socket = self._socket
        if socket is None or socket.state is not State.OPEN:
            self._retry_requested.set()
        elif not is_own_address(socket.local_address):
            logger.info("signaling: the address of the socket is gone; connecting again")
            self._retry_requested.set()
            cut_off(socket)
        else:
            if self._verifying is not None:
                self._verifying.cancel()  # it may have been answered before the change
            self._verifying = asyncio.create_task(verify(socket), name="signaling verify")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self._inbox.get()
        self._roster.apply(event)
        return event

    async def __aenter__(self) -> Self:
        if self._membership is not None:
            raise SignalingClosed
        socket = await open_socket(self._url, self._options)
        try:
            self._join = await with_fresh_token(self._join, self._token)
            joined = await join_room(self._url, socket, self._join)
        except BaseException:
            cut_off(socket)
            raise
        self._start_seat(socket, joined)
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
        """Leave the room. It takes at most half a second. Further calls have no effect.

        Cancellation: safe; the socket is cut off at once.
        """
        async with self._close_lock:
            running, self._running = self._running, None
            if running is None:
                return
            tasks = [task for task in (running, self._verifying) if task is not None]
            try:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                if self._socket is not None:
                    await leave_room(self._socket)
            finally:
                socket, self._socket = self._socket, None
                if socket is not None:
                    cut_off(socket)
                self._inbox.end()
                self._requests.fail(SignalingClosed())

    # ---- receiving and reconnecting ------------------------------------------------------------

    @property
    def _seat(self) -> Membership:
        if self._membership is None:
            raise SignalingClosed
        return self._membership

    async def _run(self, socket: ClientConnection) -> None:
        try:
            while True:
                try:
                    await self._receive(socket)
                finally:
                    self._requests.fail(Unreachable(self._url, "the connection broke"))
                self._socket = None
                socket, missed = await self._reconnect()
                for event in missed:
                    await self._inbox.put(event)
        except SignalingError as error:
            self._inbox.end(error)
        except Exception as error:
            lost = SignalingLost(f"an error in the client: {error!r}")
            lost.__cause__ = error
            self._inbox.end(lost)

    async def _receive(self, socket: ClientConnection) -> None:
        """Receive messages until the socket breaks, or the ICE servers have to be renewed."""
        seat = self._seat
        while True:
            try:
                async with asyncio.timeout_at(self._renew_at):
                    frame = await socket.recv()
            except TimeoutError:
                await socket.close(CloseCode.NORMAL, "renewing the ICE servers")
                return
            except ConnectionClosed as closed:
                if closed.rcvd is not None and closed.rcvd.code in _FINAL:
                    raise _FINAL[closed.rcvd.code]() from closed
                logger.info(
                    "signaling: the connection to %s broke: %s", public_url(self._url), closed
                )
                restarts = closed.rcvd is not None and closed.rcvd.code in _RESTARTING
                self._pauses = restart_pauses if restarts else pauses
                return
            message = receive_server(frame)
            if message is None or self._requests.answer(message):
                continue
            if isinstance(message, NewIceServers):
                await self._renew(message, len(frame))
            elif seat.receive(message):
                await self._inbox.put(message, len(frame))

    async def _renew(self, message: NewIceServers, size: int) -> None:
        seat = self._seat
        before = seat.joined.iceServers
        seat.renew(message)
        self._set_renewal(seat.joined)
        if message.iceServers != before:
            await self._inbox.put(Renewed(tuple(message.iceServers)), size)

    async def _reconnect(self) -> tuple[ClientConnection, list[Event]]:
        """Reconnect, and resume the seat or take a new one; retry until that succeeds.

        Returns:
            The new socket, and the events that were missed.

        Raises:
            JoinRefused: The server refused the client for good.
            SignalingLost: The server sent an invalid message.
        """
        now = asyncio.get_running_loop().time
        lost_at = now()
        pause = self._pauses()
        while True:
            if await self._wait_to_retry(next(pause)):
                pause = self._pauses()
            socket = None
            try:
                socket = await open_interruptibly(self._url, self._options, self._retry_requested)
                missed = await self._rejoin(socket)
                if missed is not None:
                    return socket, missed
            except Unreachable as error:
                logger.debug("signaling: %s", error)
            except TokenUnavailable as error:
                logger.warning("signaling: %s; trying again", error)
            except JoinRefused as refusal:
                # This client's own lost seat may still hold the name. The server will remove it.
                is_name_taken = refusal.code == ErrorCode.NAME_TAKEN
                may_retry = is_name_taken and now() - lost_at < _NAME_RETRY_SECONDS
                if not may_retry and refusal.code != ErrorCode.ADMISSION_FAILED:
                    raise
            finally:
                if socket is not None and socket is not self._socket:
                    cut_off(socket)

    async def _wait_to_retry(self, seconds: float) -> bool:
        """Wait until the time is over or :meth:`suspect` is called; return whether it was called.

        Args:
            seconds: The longest time to wait.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._retry_requested.wait()
        except TimeoutError:
            return False
        finally:
            self._retry_requested.clear()

    async def _rejoin(self, socket: ClientConnection) -> list[Event] | None:
        """Resume the seat, or join with a new seat if it is gone.

        Returns:
            The events that were missed. ``None`` if the client had to give up its seat; the next
            attempt then joins with a new one.
        """
        seat = self._seat
        unavailable = None
        try:
            self._join = await with_fresh_token(self._join, self._token)
        except TokenUnavailable as error:
            unavailable = error  # the secret of the seat is enough
        resume = structs.replace(self._join, resume=seat.joined.resume, ack=seat.received)
        try:
            joined = await join_room(self._url, socket, resume)
        except JoinRefused as refusal:
            if refusal.code != ErrorCode.RESUME_FAILED:
                raise
            if unavailable is not None:
                raise unavailable from refusal
            joined = await join_room(self._url, socket, self._join)
            self._start_seat(socket, joined)
            logger.info("signaling: joined again at %s with a new seat", public_url(self._url))
            return [Rejoined(joined, seat.outbox.waiting)]
        before = seat.joined.iceServers
        resumed = seat.resume(joined, asyncio.get_running_loop().time())
        if resumed is None:
            # Messages to the server are lost. Giving up the seat tells the application about it.
            await leave_room(socket)
            return None
        changes: list[Event] = list(resumed[0])
        payloads = resumed[1]
        for payload in payloads:
            broadcast((socket,), payload.decode())
        self._set_socket(socket, joined)
        logger.info("signaling: resumed the seat at %s", public_url(self._url))
        if joined.iceServers != before:
            changes.append(Renewed(tuple(joined.iceServers)))
        return changes

    def _start_seat(self, socket: ClientConnection, joined: Joined) -> None:
        if isinstance(joined.name, str):
            logger.info("signaling: the name %r is taken; joined as %r", self.name, joined.name)
            self._join = structs.replace(self._join, name=joined.name)
        self._membership = Membership(joined)
        self._set_socket(socket, joined)

    def _set_socket(self, socket: ClientConnection, joined: Joined) -> None:
        self._socket = socket
        self._set_renewal(joined)

    def _set_renewal(self, joined: Joined) -> None:
        """Set the time at which this client asks for new ICE servers if the server sends none."""
        self._renew_at = None
        if isinstance(joined.expires, int):
            seconds = until_renewal(joined.expires - int(time.time()))
            self._renew_at = asyncio.get_running_loop().time() + seconds


def _shown(may: May) -> tuple[str, ...]:
    return (Right.SEND,) if isinstance(may, UnsetType) else may


_RESTARTING = frozenset({CloseCode.GOING_AWAY, CloseCode.SERVICE_RESTART})
"""The codes by which a server says that it, or another one, is there again in a moment."""

_FINAL: dict[int, Callable[[], SignalingLost]] = {
    CloseCode.TAKEN_OVER: lambda: SignalingLost("another connection took it up"),
    CloseCode.REMOVED: RemovedFromRoom,
    CloseCode.ROOM_CLOSED: RoomClosed,
}
"""The errors after which the client does not connect again, by the code of the closed socket."""
