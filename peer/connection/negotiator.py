"""Perfect negotiation and trickle ICE over any signaling (W3C webrtc-pc 10.7).

:class:`Negotiator` runs the operations that :mod:`~.perfect_negotiation` decides on, one at a time,
and sends descriptions and candidates through a :class:`Signaler`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from logging import Logger
from sys import getsizeof
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from aiortc import InvalidStateError, RTCSessionDescription
from aiortc.exceptions import InternalError, OperationError

from icefloe._util.bounded_queue import BoundedQueue
from icefloe.logs import get_logger

from ..errors import InvalidCandidate, InvalidDescription, PeerError
from .candidates import RTCIceCandidate, RTCIceCandidateInit
from .connection import PeerConnection
from .perfect_negotiation import Action, Event, Negotiation
from .remote_candidates import RemoteCandidate, parse_remote

logger: Logger = get_logger(__name__)

INBOX = 256
"""Descriptions and candidates that may wait to be applied; ``receive()`` waits beyond it."""

INBOX_BYTES = 4 * 1024 * 1024
"""Bytes of memory that these may take, or one of any size."""

OUTBOX = 1024
"""Messages that may wait for signaling; candidates beyond it are dropped, and logged."""

OUTBOX_BYTES = 4 * 1024 * 1024
"""Bytes of memory that these may take, or one of any size: each offer of the remote peer makes an
answer that waits."""


class Signaler(Protocol):
    """Sends descriptions and candidates to the remote peer, by whatever the application has.

    The negotiator makes one call at a time, in the order in which the remote peer must get them. A
    call may wait for the network. What it raises ends the negotiator.
    """

    async def description(self, description: RTCSessionDescription) -> None:
        """Send an offer or an answer: its ``type`` and its ``sdp``."""

    async def candidate(self, candidate: RTCIceCandidateInit | None) -> None:
        """Send a candidate, as a dictionary for JSON, or with ``None`` the end of candidates."""


@runtime_checkable
class LimitedSignaler(Protocol):
    """A signaler that limits the size of descriptions."""

    def check(self, description: RTCSessionDescription) -> None:
        """Check that a description can be sent.

        Raises:
            PeerError: It cannot, such as :class:`~icefloe.peer.errors.DescriptionTooLarge`.
        """


class _Wake(Enum):
    UP = "up"
    """Wakes the loop to look whether negotiation is needed."""


@dataclass(frozen=True, slots=True)
class _LocalCandidate:
    init: RTCIceCandidateInit | None


def weight(item: RTCSessionDescription | Mapping[str, Any] | None) -> int:
    """Return the bytes of memory that a description or a local candidate takes, about."""
    if isinstance(item, RTCSessionDescription):
        return getsizeof(item.sdp)
    return sum(map(getsizeof, item.values())) if item is not None else 0


def _log_error(error: Exception) -> None:
    logger.warning("negotiation failed: %s", error)


def _description(given: object) -> RTCSessionDescription:
    """Read a description that came out of JSON."""
    if not isinstance(given, Mapping):
        raise InvalidDescription("it is not a dictionary")
    kind, text = given.get("type"), given.get("sdp")
    if kind not in ("offer", "answer"):
        raise InvalidDescription("its type is neither 'offer' nor 'answer'")
    if not isinstance(text, str):
        raise InvalidDescription("its sdp is not a string")
    return RTCSessionDescription(text, kind)


class Negotiator:
    """Perfect negotiation for a connection whose signaling the application brings itself.

    It makes an offer whenever one is needed, answers the offers of the remote peer, resolves the
    collision of two offers, and trickles candidates both ways::

        async with Negotiator(connection, polite=True, signaler=signaler) as negotiator:
            async for message in messages_from_the_remote_peer:
                await negotiator.receive(message)

    An error of the signaler cancels the block; it leaves the block in an ``ExceptionGroup``, as an
    error of the block itself does. The end of the block ends the negotiation, and not the
    connection.

    Args:
        connection: The connection. The negotiator listens to its events ``negotiationneeded`` and
            ``icecandidate``; make it before adding tracks or channels.
        polite: Whether this side takes its own offer back when two offers collide. Exactly one of
            the two sides is polite. The polite side waits for the first offer of the other.
        signaler: Sends to the remote peer.
        on_error: Called with the error that made an operation fail; by default it is logged. The
            connection is back in ``stable`` then.
    """

    def __init__(
        self,
        connection: PeerConnection,
        *,
        polite: bool,
        signaler: Signaler,
        on_error: Callable[[Exception], None] | None = None,
    ) -> None:
        self._connection = connection
        self._polite = polite
        self._signaler = signaler
        self._on_error = on_error or _log_error
        self._negotiation = Negotiation(polite=polite)
        self._inbox: BoundedQueue[RTCSessionDescription | RemoteCandidate | _Wake]
        self._inbox = BoundedQueue(INBOX, INBOX_BYTES)
        self._outbox: BoundedQueue[RTCSessionDescription | _LocalCandidate]
        self._outbox = BoundedQueue(OUTBOX, OUTBOX_BYTES)
        self._needed = False
        self._is_to_repeat = False
        self._refused: object = None
        """Value of ``wanted()`` when an offer could not be sent, or its answer was invalid."""
        self._failure: Exception | None = None
        self._looked = asyncio.Event()
        self._running = True
        self._operations: dict[Action, Callable[[Any], Awaitable[None]]] = {
            Action.MAKE_OFFER: self._offer,
            Action.ANSWER_OFFER: self._answer,
            Action.ROLL_BACK_AND_ANSWER: self._answer,
            Action.APPLY_ANSWER: connection.setRemoteDescription,
            Action.IGNORE: self._ignore,
            Action.WAIT: self._ignore,
        }
        self._group: asyncio.TaskGroup | None = None
        self._run: asyncio.Task[None] | None = None
        connection.on("negotiationneeded", self._on_negotiation_needed)
        connection.on("icecandidate", self._on_ice_candidate)

    async def __aenter__(self) -> Self:
        """Begin to negotiate, in a task that the end of the block ends."""
        self._group = await asyncio.TaskGroup().__aenter__()
        self._run = self._group.create_task(self.run(), name="Negotiator.run")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._group is not None
        assert self._run is not None
        self._run.cancel()
        await self._group.__aexit__(kind, error, traceback)

    async def receive(self, message: Mapping[str, Any]) -> None:
        """Take a message of the remote peer, as browsers send it in the example of W3C.

        Args:
            message: ``{"description": {"type": …, "sdp": …}}`` or ``{"candidate": …}``, where the
                candidate is a dictionary, or ``None`` for the end of candidates. It may come
                unchecked out of JSON.

        Raises:
            InvalidDescription: The description is none; a ``ValueError``.
            InvalidCandidate: There is neither a description nor a candidate; a ``ValueError``.

        Waits while too many messages wait already. Cancellation: safe; the message is not taken.
        """
        if not isinstance(message, Mapping):
            raise InvalidCandidate(message, "the message is not a dictionary")
        if (given := message.get("description")) is not None:
            await self.receive_description(_description(given))
            return
        candidate = message.get("candidate", message)
        if candidate is not None and not isinstance(candidate, Mapping):
            raise InvalidCandidate(candidate, "give a dictionary or None")
        if candidate is message:
            raise InvalidCandidate(message, "it has neither a description nor a candidate")
        await self.receive_candidate(candidate)

    async def receive_description(self, description: RTCSessionDescription) -> None:
        """Take an offer or an answer of the remote peer; waits while too much waits already.

        Raises:
            InvalidDescription: It is neither an offer nor an answer.
        """
        if description.type not in ("offer", "answer"):
            raise InvalidDescription("only offers and answers are negotiated")
        await self._inbox.put(description, weight(description))

    async def receive_candidate(self, candidate: Mapping[str, Any] | None) -> None:
        """Take a candidate of the remote peer, or the end of them; waits likewise.

        One that cannot be read is logged and ignored.
        """
        try:
            remote = parse_remote(candidate)
        except InvalidCandidate as error:
            logger.warning("ignored a candidate that cannot be read")
            logger.debug("%s", error)
        else:
            await self._inbox.put(remote, remote.weight)

    def take_description(self, description: RTCSessionDescription) -> bool:
        """Take a description of the remote peer; return ``False`` if too much waits already."""
        return self._inbox.put_nowait(description, weight(description)) or not self._running

    def take_candidate(self, candidate: RemoteCandidate) -> bool:
        """Take a candidate of the remote peer that was read already, likewise."""
        return self._inbox.put_nowait(candidate, candidate.weight) or not self._running

    @property
    def is_flooded(self) -> bool:
        """True if :meth:`receive` would wait now."""
        return self._running and self._inbox.is_full

    async def settled(self) -> None:
        """Wait until the remote peer has agreed to everything that this side has changed.

        Raises:
            DescriptionTooLarge: The offer that asks for it cannot be sent.
            PeerError, ValueError, InternalError, InvalidStateError, OperationError: The offer
                cannot be made, or its answer not be applied.

        Cancellation: safe.
        """
        while self._running:
            # What was changed before this call is noticed in the loop's next turn.
            await asyncio.sleep(0)
            self._looked.clear()
            if self._failure is not None and self._refused == self._connection.wanted():
                raise self._failure
            if not self._needed and self._inbox.is_empty and self._connection.is_settled:
                return
            await self._looked.wait()

    async def run(self) -> None:
        """Negotiate until cancelled.

        Raises:
            ExceptionGroup: The signaler raised.
        """
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._work(), name="negotiate")
                group.create_task(self._send(), name="signal")
        finally:
            self.close()

    def go_on(self, signaler: Signaler) -> None:
        """Send by another signaler, since what was sent by the last one may be lost.

        An offer that was not answered is made anew.

        Args:
            signaler: Sends to the remote peer from now on.
        """
        self._signaler = signaler
        self._inbox.put_nowait(_Wake.UP)  # no room: what waits there wakes the loop
        self._is_to_repeat = True

    def close(self) -> None:
        """Take nothing more; whoever waits to bring something, or for an agreement, goes on."""
        self._running = False
        self._looked.set()
        self._inbox.end()

    async def _work(self) -> None:
        while True:
            item = await self._inbox.get()
            if isinstance(item, RemoteCandidate):
                self._connection.remote_candidates.add(item)
            elif isinstance(item, RTCSessionDescription):
                await self._operate(Event(item.type), item)
            if self._is_to_repeat:
                await self._take_offer_back()
            if self._needed and self._inbox.is_empty:
                self._needed = False
                if self._refused is not None and self._refused == self._connection.wanted():
                    self._connection.await_change()
                # The newcomer makes the first offer; after it is asked again whether more is due.
                elif not self._polite or self._connection.remoteDescription is not None:
                    await self._operate(Event.NEGOTIATION_NEEDED, None)
            self._looked.set()

    async def _take_offer_back(self) -> None:
        """Take back an offer whose answer does not come any more, so that it is made anew."""
        self._is_to_repeat = False
        if self._connection.signalingState == "have-local-offer":
            await self._back_to_stable()
            self._negotiation.failed()
            self._needed = True

    async def _operate(self, event: Event, description: RTCSessionDescription | None) -> None:
        action = self._negotiation.handle(event)
        logger.debug("%s in %s: %s", event, self._negotiation.state, action)
        try:
            await self._operations[action](description)
        except (PeerError, ValueError, InternalError, InvalidStateError, OperationError) as error:
            if event is not Event.OFFER:
                self._failure = error
                # To ask for the same again would end in the same: until something is changed.
                self._refused = self._connection.wanted()
            await self._back_to_stable()
            self._negotiation.failed()
            self._on_error(error)

    async def _back_to_stable(self) -> None:
        rollback = RTCSessionDescription("", "rollback")
        match self._connection.signalingState:
            case "have-local-offer":
                await self._connection.setLocalDescription(rollback)
            case "have-remote-offer":
                await self._connection.setRemoteDescription(rollback)

    async def _offer(self, _: None) -> None:
        self._failure = self._refused = None
        await self._connection.setLocalDescription()
        await self._deliver(self._connection.localDescription)

    async def _deliver(self, description: RTCSessionDescription) -> None:
        if isinstance(self._signaler, LimitedSignaler):
            self._signaler.check(description)
        await self._outbox.put(description, weight(description))

    async def _answer(self, offer: RTCSessionDescription) -> None:
        await self._connection.setRemoteDescription(offer)
        await self._connection.setLocalDescription()
        await self._deliver(self._connection.localDescription)

    async def _ignore(self, _: object) -> None:
        pass

    async def _send(self) -> None:
        while True:
            item = await self._outbox.get()
            if isinstance(item, _LocalCandidate):
                await self._signaler.candidate(item.init)
            else:
                await self._signaler.description(item)

    def _on_negotiation_needed(self) -> None:
        self._needed = True
        if self._inbox.is_empty:
            self._inbox.put_nowait(_Wake.UP)

    def _on_ice_candidate(self, candidate: RTCIceCandidate | None) -> None:
        init = candidate.toJSON() if candidate else None
        if not self._outbox.put_nowait(_LocalCandidate(init), weight(init)):
            logger.warning("dropped a local candidate: signaling does not keep up")
