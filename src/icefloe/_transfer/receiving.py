"""``icefloe receive``."""

import asyncio
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from icefloe._streams import finish, was_closed, write_line
from icefloe.peer import RemotePeer
from icefloe.peer.files.errors import Failure, TransferDeclined, TransferFailed
from icefloe.peer.files.file_names import safe_name
from icefloe.peer.files.receive_session import FileOffer
from icefloe.peer.pairing.key_exchange import Code, Side
from icefloe.peer.pairing.rendezvous import meet
from icefloe.signaling.address import server_url
from icefloe.text import printable

from .reporter import Reporter
from .running import run, until_done
from .stdin import StandardInput


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveSettings:
    """What the flags of ``icefloe receive`` say.

    Attributes:
        code: The code.
        server: The signaling server as it was given.
        out: The folder; ``-`` is standard output.
        yes: Whether nobody is asked.
        overwrite: Whether files that are there are replaced.
        wait: Seconds to wait for the other side, at first and after a break.
        json: Whether a program reads the output.
    """

    code: str = field(repr=False)
    server: str
    out: str
    yes: bool
    overwrite: bool
    wait: float
    json: bool


def receive(settings: ReceiveSettings) -> int:
    """Receive until it is done; return the exit code.

    Raises:
        CommandError: It could not be done.
    """
    reporter = Reporter(as_json=settings.json, data_on_stdout=settings.out == "-")
    return run(lambda: _receive(settings, reporter), reporter)


async def _receive(settings: ReceiveSettings, reporter: Reporter) -> None:
    code = Code.parse(settings.code)
    url = server_url(settings.server)
    stream = await asyncio.to_thread(_stream_to, settings.out)
    asked = False

    async def accept(peer: RemotePeer) -> list[Path]:
        nonlocal asked
        await peer.connected()
        offer = await peer.next_files()
        if not (settings.yes or asked):
            asked = await _ask(offer, reporter)
            if not asked:
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
        async with meet(url, code, Side.RECEIVER) as meeting:
            again = stream is None
            places = await until_done(meeting, accept, settings.wait, reporter, again=again)
    finally:
        reporter.stop()
        if stream is not None:
            finish(sys.stdout)
    names = ", ".join(printable(path, 1000) for path in places)
    reporter.tell(f"Received {names or 'all'}.", "done", files=[str(path) for path in places])


def _stream_to(out: str) -> BinaryIO | None:
    """Return standard output if the file goes there, and ``None`` if there is a folder for it.

    Raises:
        TransferFailed: It cannot go there, whatever it is.
    """
    if out == "-":
        if was_closed("stdout"):
            raise TransferFailed(Failure.UNWRITABLE, "", "standard output is closed", advice="")
        return sys.stdout.buffer
    if os.path.lexists(out) and not os.path.isdir(out):
        raise TransferFailed(
            Failure.UNWRITABLE,
            out,
            "it is there and is no folder",
            advice="Give a folder to --out.",
        )
    return None


async def _ask(offer: FileOffer, reporter: Reporter) -> bool:
    names = [printable(safe_name(name), 100) for name in offer.names]
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
