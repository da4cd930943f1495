"""Retries a transfer over each new connection with the remote peer until it has succeeded once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Protocol

from icefloe.peer import (
    Meeting,
    PairingError,
    PairingSide,
    PeerError,
    PeerLeft,
    RemotePeer,
    TransferBroken,
    TransferDeclined,
    TransferFailed,
)

from .errors import NobodyThere, SenderBusy
from .reporter import Reporter

_FINAL_ERRORS = (PairingError, TransferDeclined, TransferFailed)
"""Errors after which trying again does not help."""


class _Transfer(Protocol):
    def __call__(self, peer: RemotePeer, /) -> Awaitable[Any]: ...


async def until_done(
    meeting: Meeting, transfer: _Transfer, wait: float, reporter: Reporter, *, again: bool
) -> Any:
    """Run a transfer over each connection of a meeting, the newest only, until one succeeds.

    Args:
        meeting: The rendezvous with the remote peer.
        transfer: Transfers the files over one connection.
        wait: Seconds to wait for a connection, at first and after a broken one.
        reporter: Shows the user what the command waits for.
        again: Whether the transfer can be resumed over a new connection.

    Returns:
        The result of the transfer.

    Raises:
        NobodyThere: No connection was made in time.
        PeerError: The transfer failed, or no new connection was made in time after it broke.
        SignalingError: The signaling server is lost for good.

    Cancellation: safe; the transfer is cancelled.
    """
    return await _Retries(meeting, transfer, wait, reporter, again).run()


class _Retries:
    def __init__(
        self, meeting: Meeting, transfer: _Transfer, wait: float, reporter: Reporter, again: bool
    ) -> None:
        self._meeting, self._transfer, self._reporter = meeting, transfer, reporter
        self._wait, self._again = wait, again
        self._deadline = 0.0
        self._last_error: Exception | None = None
        self._arriving: asyncio.Task[RemotePeer] | None = None
        self._transferring: asyncio.Task[Any] | None = None
        self._watching: asyncio.Task[None] | None = None

    async def run(self) -> Any:
        self._set_deadline()
        self._meeting.on_busy = self._on_busy
        peers = aiter(self._meeting)
        try:
            while True:
                self._arriving = self._arriving or asyncio.ensure_future(_next(peers))
                done = await self._wait_for_any()
                if not done:
                    is_sender = self._meeting.side is PairingSide.SENDER
                    raise self._last_error or NobodyThere(self._wait, is_sender=is_sender)
                if self._transferring in done:
                    finished, self._transferring = self._transferring, None
                    await self._stop_watching()
                    try:
                        return finished.result()
                    except PeerError as error:
                        self._on_error(error)
                    finally:
                        self._meeting.is_busy = False
                elif self._arriving in done:
                    peer, self._arriving = self._arriving.result(), None
                    await self._start(peer)
                else:
                    reason = f"the other side was out of reach for {self._wait:g} s"
                    raise TransferBroken(0, reason)
        finally:
            for task in (self._arriving, self._transferring, self._watching):
                if task is not None:
                    await cancel(task)

    async def _wait_for_any(self) -> set["asyncio.Task[Any]"]:
        """Return the tasks that are done; none if no connection came before the deadline."""
        tasks = (self._arriving, self._transferring, self._watching)
        left = max(self._deadline - asyncio.get_running_loop().time(), 0)
        done, _ = await asyncio.wait(
            {task for task in tasks if task is not None},
            timeout=left if self._transferring is None else None,
            return_when=asyncio.FIRST_COMPLETED,
        )
        return done

    async def _start(self, peer: RemotePeer) -> None:
        """Run the transfer over a new connection, in place of that over the old one."""
        if self._transferring is not None:
            await cancel(self._transferring)
        await self._stop_watching()
        self._transferring = asyncio.ensure_future(self._transfer(peer))
        self._watching = asyncio.ensure_future(_until_lost(peer, self._wait))
        self._meeting.is_busy = True

    async def _stop_watching(self) -> None:
        if self._watching is not None:
            await cancel(self._watching)
            self._watching = None

    def _on_error(self, error: PeerError) -> None:
        """Prepare for a new connection; raise the error if another one does not help."""
        if isinstance(error, _FINAL_ERRORS):
            raise error
        if isinstance(error, PeerLeft) and error.reason == "busy":
            return  # reported by _on_busy; the deadline stays
        if not self._again:
            raise error
        self._last_error = error
        self._set_deadline()
        self._reporter.waiting(f"{error}. Waiting for the other side…")

    def _on_busy(self) -> None:
        if not isinstance(self._last_error, SenderBusy):  # the sender is asked repeatedly
            self._last_error = SenderBusy()
            self._reporter.waiting(
                "The sender is sending to another receiver with this code. Waiting for it to be "
                "free…"
            )

    def _set_deadline(self) -> None:
        self._deadline = asyncio.get_running_loop().time() + self._wait


async def _until_lost(peer: RemotePeer, seconds: float) -> None:
    """Return once the connection has been disconnected or failed for a number of seconds."""
    changed = asyncio.Event()
    connection = peer.connection
    connection.on("connectionstatechange", changed.set)
    while True:
        changed.clear()
        is_lost = connection.connectionState in ("disconnected", "failed")
        try:
            async with asyncio.timeout(seconds if is_lost else None):
                await changed.wait()
        except TimeoutError:
            return


async def _next(peers: AsyncIterator[RemotePeer]) -> RemotePeer:
    async for peer in peers:
        return peer
    raise TransferBroken(0, "the meeting is over")


async def cancel(task: "asyncio.Task[Any]") -> None:
    """Cancel a task, wait for its end, and discard its exception."""
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.exception()
