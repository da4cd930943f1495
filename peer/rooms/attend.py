"""Runs a task for each participant of a room, and ends a program in order on a signal."""

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from logging import Logger
from typing import Any, TypeVar

from icefloe.logs import get_logger
from icefloe.signaling import SignalingError

from ..errors import ChannelClosed, ClosedBy, PeerError, PeerLeft
from .remote_peer import RemotePeer

logger: Logger = get_logger(__name__)

T = TypeVar("T")

Hold = Callable[[RemotePeer], Awaitable[object]]
"""The coroutine function that runs for each participant."""

LEAVE_TIMEOUT = 1.0
"""Seconds that the task for a participant has to end by itself when the participant has left.

What it waits for raises or returns then: a file that has just been saved is not lost to it."""


async def attend(peers: AsyncIterable[RemotePeer], hold: Hold) -> None:
    """Run a task for each peer that comes; see :meth:`icefloe.peer.Room.attend`."""
    lost: SignalingError | None = None
    async with asyncio.TaskGroup() as calls:
        try:
            async for peer in peers:
                calls.create_task(_until_gone(peer, hold), name=f"attend {peer.name}")
        except SignalingError as error:
            lost = error  # calls do not depend on it: they are held to their end
    if lost is not None:
        raise lost


async def _until_gone(peer: RemotePeer, hold: Hold) -> None:
    async def held() -> None:
        try:
            await hold(peer)
        except Exception as error:
            _log_failure(peer.name, error)

    async with asyncio.TaskGroup() as group:
        holding = group.create_task(held(), name=f"hold {peer.name}")
        await peer.ended()
        await asyncio.wait((holding,), timeout=LEAVE_TIMEOUT)
        holding.cancel()


def _log_failure(name: str, error: Exception) -> None:
    """Log what a task for a participant raised, if the participant's leaving does not explain it.

    Errors of ``icefloe.peer`` come in an exception group where the task has a task group of its
    own; a line each is logged for them.
    """
    group = error if isinstance(error, ExceptionGroup) else ExceptionGroup("", (error,))
    expected, unexpected = group.split(PeerError)
    for each in _leaves(expected) if expected is not None else ():
        # Its channels are closed a moment before signaling says that the peer has left.
        is_left = isinstance(each, PeerLeft) or (
            isinstance(each, ChannelClosed) and each.by is ClosedBy.CONNECTION
        )
        if not is_left:
            logger.warning("%s: %s", name, each)
    if unexpected is not None:
        shown = unexpected if isinstance(error, ExceptionGroup) else error
        logger.error("%s: the call broke off", name, exc_info=shown)


def _leaves(group: ExceptionGroup[PeerError]) -> Iterator[PeerError]:
    """Yield the exceptions of a group and of the groups in it."""
    for each in group.exceptions:
        if isinstance(each, ExceptionGroup):
            yield from _leaves(each)
        else:
            yield each


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a program to its end, and let SIGTERM and Ctrl-C end it in order.

    ``asyncio.run()`` with three differences. SIGTERM, with which service managers and containers
    end a program, cancels ``main``, so that every ``async with`` is left and the others in a room
    are told at once; a second one kills. The program ends without a traceback where it was told to.
    And what was loaded before is left out of garbage collection meanwhile (``gc.freeze()``): to go
    through all of it holds up the loop for some tens of milliseconds, and who sends much decides
    when.

    Args:
        main: The program, as ``main()``.

    Returns:
        What it returns.

    Raises:
        SystemExit: It was ended, with code 0 by SIGTERM and 130 by Ctrl-C.
        RuntimeError: There is an event loop in this thread already.
    """
    told = False

    async def until_told() -> T:
        nonlocal told
        loop = asyncio.get_running_loop()
        running = asyncio.ensure_future(main)

        def end() -> None:
            nonlocal told
            told = True
            running.cancel()
            loop.remove_signal_handler(signal.SIGTERM)

        # Windows has no such handlers, nor has any thread but the main one.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(signal.SIGTERM, end)
        try:
            return await running
        finally:
            running.cancel()
            await asyncio.wait((running,))
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.remove_signal_handler(signal.SIGTERM)

    gc.freeze()
    try:
        return asyncio.run(until_told())
    except asyncio.CancelledError:
        if told:
            sys.exit(0)
        raise
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        gc.unfreeze()
