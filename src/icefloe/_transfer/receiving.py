"""``icefloe receive``."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from icefloe.peer import RemotePeer
from icefloe.peer.transfer.errors import TransferBroken, TransferDeclined
from icefloe.peer.transfer.meeting import meet
from icefloe.peer.transfer.pairing import Code, Side
from icefloe.peer.transfer.paths import safe_name
from icefloe.peer.transfer.session import FileOffer

from .reporter import Reporter
from .running import run, until_done
from .stdin import StandardInput


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveSettings:
    """What the flags of ``icefloe receive`` say.

    Attributes:
        code: The code.
        server: The signaling server.
        out: The folder; ``-`` is standard output.
        yes: Whether nobody is asked.
        overwrite: Whether files that are there are replaced.
        wait: Seconds to wait for the other side, at first and after a break.
        json: Whether a program reads the output.
    """

    code: str
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
    return run(lambda: _receive(settings, reporter), reporter, None)


async def _receive(settings: ReceiveSettings, reporter: Reporter) -> None:
    code = Code.parse(settings.code)
    stream = sys.stdout.buffer if settings.out == "-" else None
    asked = False

    async def accept(peer: RemotePeer) -> list[Path]:
        nonlocal asked
        await peer.connected()
        async for offer in peer.files():
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
            )
        raise TransferBroken(0, "the sender left")

    try:
        async with meet(settings.server, code, Side.RECEIVER) as meeting:
            places = await until_done(meeting, accept, settings.wait, again=stream is None)
    finally:
        reporter.stop()
    names = ", ".join(map(str, places))
    reporter.tell(f"Received {names or 'all'}.", "done", files=[str(path) for path in places])


async def _ask(offer: FileOffer, reporter: Reporter) -> bool:
    names = [safe_name(name) for name in offer.names]
    size = "an unknown number of" if offer.size is None else f"{offer.size:,}"
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    reporter.stop()
    sys.stderr.write(f"{shown}: {len(offer.entries)} files and folders, {size} bytes.\n")
    sys.stderr.write("Receive? [y/N] ")
    sys.stderr.flush()
    terminal = StandardInput(sys.stdin.buffer)
    try:
        answer = await asyncio.to_thread(terminal.read, 1024)  # a terminal gives a line
    finally:
        terminal.stop()
    return answer.strip().lower() in (b"y", b"yes")


def server_url(text: str) -> str:
    """Return the WebSocket of a signaling server that somebody wrote in short.

    Args:
        text: ``host``, ``host:port``, ``https://host/`` or a whole URL.
    """
    if "://" not in text:
        text = f"ws://{text}"
    parts = urlsplit(text)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    path = parts.path if parts.path not in ("", "/") else "/ws"
    return parts._replace(scheme=scheme, path=path).geturl()
