"""The command ``icefloe receive``."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from icefloe._streams import finish, was_closed, write_line
from icefloe.peer import (
    FileOffer,
    PairingCode,
    RemotePeer,
    TransferDeclined,
    TransferErrorCode,
    TransferFailed,
    meet,
)
from icefloe.signaling import server_url
from icefloe.text import file_name, printable

from .reporter import Reporter
from .retrying import until_done
from .running import run
from .stdin import StandardInput


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveSettings:
    """The options of ``icefloe receive``.

    Attributes:
        code: The code.
        server: The signaling server, as the user gave it.
        out: The folder to write to; ``-`` is standard output.
        yes: Whether the files are accepted without asking the user.
        overwrite: Whether existing files are replaced.
        wait: Seconds to wait for the sender, at first and after a broken connection.
        json: Whether events are printed as JSON.
        token: The token for the signaling server, or what gives it.
    """

    code: str = field(repr=False)
    server: str
    out: str
    yes: bool
    overwrite: bool
    wait: float
    json: bool
    token: str | Callable[[], Awaitable[str]] | None = field(default=None, repr=False)


def receive(settings: ReceiveSettings) -> int:
    """Receive the files, retrying after broken connections; return the exit code.

    Raises:
        CommandError: The transfer failed.
    """
    reporter = Reporter(as_json=settings.json, data_on_stdout=settings.out == "-")
    return run(lambda: _receive(settings, reporter), reporter)


async def _receive(settings: ReceiveSettings, reporter: Reporter) -> None:
    code = PairingCode.parse(settings.code)
    url = server_url(settings.server)
    stream = await asyncio.to_thread(_stream_to, settings.out)
    is_accepted = settings.yes

    async def accept(peer: RemotePeer) -> list[Path]:
        nonlocal is_accepted
        await peer.connected()
        offer = await peer.next_files()
        if not is_accepted:
            is_accepted = await _ask(offer, reporter)
            if not is_accepted:
                await offer.decline("the person there said no")
                raise TransferDeclined("by this side")
        return await offer.accept(
            None if stream else settings.out,
            overwrite=settings.overwrite,
            stream=stream,
            on_progress=reporter.progress(peer),
            stop_is_final=False,
        )

    try:
        async with meet(url, code, token=settings.token) as meeting:
            again = stream is None
            places = await until_done(meeting, accept, settings.wait, reporter, again=again)
    finally:
        reporter.stop()
        if stream is not None:
            finish(sys.stdout)
    names = ", ".join(printable(path, 1000) for path in places)
    reporter.report(f"Received {names or 'all'}.", "done", files=[str(path) for path in places])


def _stream_to(out: str) -> BinaryIO | None:
    """Return standard output if it is the destination, or ``None`` if the destination is a folder.

    Raises:
        TransferFailed: The destination cannot be used.
    """
    if out == "-":
        if was_closed("stdout"):
            raise TransferFailed(
                TransferErrorCode.UNWRITABLE, "", "standard output is closed", advice=""
            )
        return sys.stdout.buffer
    if os.path.lexists(out) and not os.path.isdir(out):
        raise TransferFailed(
            TransferErrorCode.UNWRITABLE,
            out,
            "it is there and is no folder",
            advice="Give a folder to --out.",
        )
    return None


async def _ask(offer: FileOffer, reporter: Reporter) -> bool:
    names = [printable(file_name(name), 100) for name in offer.names]
    size = "an unknown number of" if offer.size is None else f"{offer.size:,}"
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    reporter.stop()
    write_line(sys.stderr, f"{shown}: {len(offer.entries)} files and folders, {size} bytes.")
    write_line(sys.stderr, "Receive? [y/N] ", end="")
    terminal = StandardInput(sys.stdin.buffer)
    try:
        answer = await asyncio.to_thread(terminal.read, 1024)  # a terminal gives a line
    finally:
        terminal.stop()
    return answer.strip().lower() in (b"y", b"yes")
