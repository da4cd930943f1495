"""The pump between a connection, the negotiation table and signaling."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from sys import getsizeof
from typing import Any, Protocol, runtime_checkable

from aiortc import InvalidStateError, RTCSessionDescription
from aiortc.exceptions import InternalError, OperationError

from icefloe._util.bounded_queue import BoundedQueue
from icefloe.logs import get_logger

from ..errors import PeerError
from .candidates import RTCIceCandidate, RTCIceCandidateInit
from .connection import PeerConnection
from .perfect_negotiation import Action, Event, Negotiation

logger = get_logger(__name__)

INBOX = 256
"""Descriptions, candidates and changes that may wait; beyond it whoever brings them waits."""

INBOX_BYTES = 4 * 1024 * 1024
"""Bytes of memory that these may take, or one of any size."""

OUTBOX = 1024
"""Messages that may wait for signaling; candidates beyond it are dropped, and logged."""

OUTBOX_BYTES = 4 * 1024 * 1024
"""Bytes of memory that these may take, or one of any size; each offer of the other side has an
answer that waits."""


class Signaler(Protocol):
    """How messages reach the other side. Calls are made one at a time, in order, and may wait."""

    async def description(self, description: RTCSessionDescription) -> None:
        """Send an offer or an answer."""

    async def candidate(self, candidate: RTCIceCandidateInit | None) -> None:
        """Send a candidate, or with ``None`` the end of them."""


@runtime_checkable
class LimitedSignaler(Protocol):
    """A signaler that does not carry descriptions of any size."""

    def check(self, description: RTCSessionDescription) -> None:
        """Check that a description can be sent.

        Raises:
            PeerError: It cannot, such as :class:`~icefloe.peer.errors.DescriptionTooLarge`.
        """


class _Wake(Enum):
    UP = "up"
    """There may be something to negotiate."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    init: Mapping[str, Any] | None


_Item = RTCSessionDescription | _Candidate


def weight(item: RTCSessionDescription | Mapping[str, Any] | None) -> int:
    """Return the bytes of memory that a description or a candidate takes, about."""
    if isinstance(item, RTCSessionDescription):
        return getsizeof(item.sdp)
    return sum(map(getsizeof, item.values())) if item is not None else 0


class Negotiator:
    """Keeps two ends of a connection in agreement: one operation at a time, in order.

    Args:
        connection: The connection; its ``negotiationneeded`` and ``icecandidate`` are listened to.
        polite: Whether this side takes its offer back when two cross.
        signaler: How the other side is reached.
        on_error: Called with what made an operation fail.
    """

    def __init__(
        self,
        connection: PeerConnection,
        *,
        polite: bool,
        signaler: Signaler,
        on_error: Callable[[Exception], None],
    ) -> None:
        self._connection = connection
        self._polite = polite
        self._signaler = signaler
        self._on_error = on_error
        self._negotiation = Negotiation(polite=polite)
        self._inbox: BoundedQueue[_Item | _Wake] = BoundedQueue(INBOX, INBOX_BYTES)
        self._outbox: BoundedQueue[_Item] = BoundedQueue(OUTBOX, OUTBOX_BYTES)
        self._needed = False
        self._refused: object = None
        """What was wanted by an offer that could not be sent, or got an answer that is none."""
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
        connection.on("negotiationneeded", self._on_negotiation_needed)
        connection.on("icecandidate", self._on_ice_candidate)

    async def receive_description(self, description: RTCSessionDescription) -> None:
        """Take a description of the other side; waits while too much waits already."""
        await self._inbox.put(description, weight(description))

    async def receive_candidate(self, candidate: Mapping[str, Any] | None) -> None:
        """Take a candidate of the other side, or the end of them; waits likewise."""
        await self._inbox.put(_Candidate(candidate), weight(candidate))

    def take_description(self, description: RTCSessionDescription) -> bool:
        """Take a description of the other side; return ``False`` if too much waits already."""
        return self._inbox.put_nowait(description, weight(description)) or not self._running

    def take_candidate(self, candidate: Mapping[str, Any] | None) -> bool:
        """Take a candidate of the other side, or the end of them, likewise."""
        return self._inbox.put_nowait(_Candidate(candidate), weight(candidate)) or not self._running

    @property
    def is_flooded(self) -> bool:
        """Whether whoever brings a description or a candidate now has to wait."""
        return self._running and self._inbox.is_full

    async def settled(self) -> None:
        """Wait until the other side has agreed to everything that this side has changed.

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

    def close(self) -> None:
        """Take nothing more; whoever waits to bring something, or for an agreement, goes on."""
        self._running = False
        self._looked.set()
        self._inbox.end()

    async def _work(self) -> None:
        while True:
            item = await self._inbox.get()
            if isinstance(item, _Candidate):
                await self._add_candidate(item)
            elif isinstance(item, RTCSessionDescription):
                await self._operate(Event(item.type), item)
            if self._needed and self._inbox.is_empty:
                self._needed = False
                if self._refused is not None and self._refused == self._connection.wanted():
                    self._connection.await_change()
                # The newcomer makes the first offer; after it is asked again whether more is due.
                elif not self._polite or self._connection.remoteDescription is not None:
                    await self._operate(Event.NEGOTIATION_NEEDED, None)
            self._looked.set()

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

    async def _add_candidate(self, item: _Candidate) -> None:
        try:
            await self._connection.addIceCandidate(item.init)
        except ValueError as error:
            logger.warning("ignored a candidate that cannot be read")
            logger.debug("%s", error)

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
            if isinstance(item, _Candidate):
                await self._signaler.candidate(item.init)  # type: ignore[arg-type]
            else:
                await self._signaler.description(item)

    def _on_negotiation_needed(self) -> None:
        self._needed = True
        if self._inbox.is_empty:
            self._inbox.put_nowait(_Wake.UP)

    def _on_ice_candidate(self, candidate: RTCIceCandidate | None) -> None:
        init = candidate.toJSON() if candidate else None
        if not self._outbox.put_nowait(_Candidate(init), weight(init)):
            logger.warning("dropped a local candidate: signaling does not keep up")
