"""What both commands do: go on after a break until it is done, and say how it ended."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from icefloe._serving import (
    EXIT_INTERRUPTED,
    EXIT_SIGNALING,
    EXIT_USAGE,
    CommandError,
    _loop_factory,
    _signals,
)
from icefloe.peer import ConnectFailed, PeerError, PeerLeft, RemotePeer
from icefloe.peer.files.errors import (
    Failure,
    InvalidCode,
    NobodyThere,
    PairingError,
    SenderBusy,
    TransferBroken,
    TransferDeclined,
    TransferFailed,
)
from icefloe.peer.pairing.key_exchange import Side
from icefloe.peer.pairing.rendezvous import Meeting
from icefloe.signaling import SignalingError

from .reporter import Reporter
from .stdin import StandardInput

EXIT_PAIRING = 11
EXIT_CONNECTION = 12
EXIT_DECLINED = 13
EXIT_TRANSFER = 14
EXIT_BROKEN = 15
EXIT_TERMINATED = 143

_EXIT_CODES = {signal.SIGINT: EXIT_INTERRUPTED, signal.SIGTERM: EXIT_TERMINATED}

_GIVEN_UP = (PairingError, TransferDeclined, TransferFailed)
"""What trying again does not mend."""


class _Work(Protocol):
    def __call__(self, peer: RemotePeer, /) -> Awaitable[Any]: ...


async def until_done(
    meeting: Meeting, work: _Work, wait: float, reporter: Reporter, *, again: bool
) -> Any:
    """Do the work with the other side as it comes, the newest first, until it succeeds once.

    Args:
        meeting: Where it comes.
        work: What to do with it.
        wait: Seconds to wait for it.
        reporter: Tells what is waited for.
        again: Whether the work can be gone on with after a break.
    """
    loop = asyncio.get_running_loop()
    arriving = aiter(meeting)
    broken: Exception | None = None
    coming: asyncio.Task[RemotePeer] | None = None
    doing: asyncio.Task[Any] | None = None
    losing: asyncio.Task[None] | None = None
    deadline = loop.time() + wait

    def busy_with_another() -> None:
        nonlocal broken
        if not isinstance(broken, SenderBusy):  # it is asked again and again
            broken = SenderBusy()
            reporter.waiting(
                "The sender is sending to another receiver with this code. Waiting for it to be "
                "free…"
            )

    meeting.on_busy = busy_with_another
    try:
        while True:
            coming = coming or asyncio.ensure_future(_next(arriving))
            busy = {task for task in (coming, doing, losing) if task is not None}
            done, _ = await asyncio.wait(
                busy,
                timeout=max(deadline - loop.time(), 0) if doing is None else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not done:
                raise broken or NobodyThere(wait, is_sender=meeting.side is Side.SENDER)
            if doing in done:
                finished, doing = doing, None
                if losing is not None:
                    await _cancel(losing)
                    losing = None
                try:
                    return finished.result()
                except _GIVEN_UP:
                    raise
                except PeerError as error:
                    if isinstance(error, PeerLeft) and error.reason == "busy":
                        continue  # which was told already, and costs no more time
                    if not again:
                        raise
                    broken = error
                    deadline = loop.time() + wait
                    reporter.waiting(f"{error}. Waiting for the other side…")
                finally:
                    meeting.is_busy = False
            elif coming in done:
                peer, coming = coming.result(), None
                for task in (doing, losing):
                    if task is not None:
                        await _cancel(task)
                doing = asyncio.ensure_future(work(peer))
                losing = asyncio.ensure_future(_lost(peer, wait))
                meeting.is_busy = True
            else:
                raise TransferBroken(0, f"the other side was out of reach for {wait:g} s")
    finally:
        for task in (coming, doing, losing):
            if task is not None:
                await _cancel(task)


async def _lost(peer: RemotePeer, wait: float) -> None:
    """Return once a connection that was there is not for so many seconds."""
    changed = asyncio.Event()
    connection = peer.connection
    connection.on("connectionstatechange", changed.set)
    while True:
        changed.clear()
        is_lost = connection.connectionState in ("disconnected", "failed")
        try:
            async with asyncio.timeout(wait if is_lost else None):
                await changed.wait()
        except TimeoutError:
            return


async def _next(arriving: AsyncIterator[RemotePeer]) -> RemotePeer:
    async for peer in arriving:
        return peer
    raise TransferBroken(0, "the meeting is over")


async def _cancel(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.exception()


def run(
    work: Callable[[], Awaitable[None]], reporter: Reporter, stdin: StandardInput | None = None
) -> int:
    """Run a command to its end, or until a signal ends it; return the exit code.

    Raises:
        CommandError: It could not be done.
    """

    async def main() -> int:
        with _signals(_EXIT_CODES) as stopped:
            working = asyncio.ensure_future(work())
            try:
                await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
                if not working.done():
                    if stdin is not None:
                        stdin.stop()
                    await _cancel(working)
                    reporter.stop()
                    reporter.failed(stopped.result(), "Stopped", "it was stopped by a signal")
                    return stopped.result()
                working.result()
                return 0
            finally:
                reporter.stop()

    with asyncio.Runner(loop_factory=_loop_factory()) as runner, _as_command_errors(reporter):
        return runner.run(main())


@contextmanager
def _as_command_errors(reporter: Reporter) -> Iterator[None]:
    try:
        yield
    except (PeerError, SignalingError) as error:
        code = _exit_code(error)
        reporter.failed(code, type(error).__name__, str(error))
        raise CommandError(str(error), code) from error


def _exit_code(error: Exception) -> int:
    match error:
        case InvalidCode():
            return EXIT_USAGE
        case SignalingError():
            return EXIT_SIGNALING
        case PairingError():
            return EXIT_PAIRING
        case TransferDeclined() | TransferFailed(code=Failure.CANCELLED):
            return EXIT_DECLINED
        case TransferFailed():
            return EXIT_TRANSFER
        case ConnectFailed():
            return EXIT_CONNECTION
    return EXIT_BROKEN
