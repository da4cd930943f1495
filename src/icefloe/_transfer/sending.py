"""The command ``icefloe send``."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast
from urllib.parse import urlsplit

from icefloe._serving import lan_addresses
from icefloe._streams import show_message, was_closed
from icefloe.peer import RemotePeer
from icefloe.peer.files.errors import CodeUsedUp, NoPlaceFree, TransferErrorCode, TransferFailed
from icefloe.peer.files.file_names import Source, gather
from icefloe.peer.files.protocol import PROTOCOL, Entry
from icefloe.peer.files.send_session import send_sources
from icefloe.peer.pairing.key_exchange import Code, Side
from icefloe.peer.pairing.rendezvous import Meeting, meet
from icefloe.signaling import ListenFailed, ServerConfiguration, SignalingServer, serve
from icefloe.signaling.address import server_url

from .memory import Memory
from .reporter import Reporter
from .retrying import until_done
from .running import run
from .stdin import StandardInput

_MAX_CODES_TRIED = 20
"""New codes that are tried to find a room without another sender."""

_STDIN = "stdin"
"""The name of standard input for the receiver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendSettings:
    """The options of ``icefloe send``.

    Attributes:
        paths: Files and folders to send; ``-`` is standard input.
        server: The signaling server, as the user gave it; ``None`` runs one in this program.
        wait: Seconds to wait for a receiver, at first and after a broken connection.
        json: Whether events are printed as JSON.
        qr: Whether the command for the receiver is shown as a QR code.
    """

    paths: tuple[str, ...]
    server: str | None
    wait: float
    json: bool
    qr: bool


def send(settings: SendSettings) -> int:
    """Send the files, retrying after broken connections; return the exit code.

    Raises:
        CommandError: The transfer failed.
    """
    reporter = Reporter(as_json=settings.json)
    stdin = StandardInput(sys.stdin.buffer) if "-" in settings.paths else None
    return run(lambda: _send(settings, reporter, stdin), reporter, stdin)


async def _send(settings: SendSettings, reporter: Reporter, stdin: StandardInput | None) -> None:
    given_url = None if settings.server is None else server_url(settings.server)
    sources = await _sources(settings, stdin)
    memory = Memory(given_url, settings.paths) if stdin is None else None
    stored_code, port = (memory.load() if memory else None) or (None, 0)
    async with AsyncExitStack() as stack:
        if given_url is not None:
            url = reachable_url = given_url
        else:
            server = await _own_server(stack, port)
            stored_code = stored_code if server.port == port else None
            port, url = server.port, f"ws://127.0.0.1:{server.port}/ws"
            host = next((a for a in lan_addresses("0.0.0.0")), "127.0.0.1")
            reachable_url = f"ws://{host}:{port}/ws"
        meeting, code = await stack.enter_async_context(_meet(url, stored_code))
        if memory is not None:
            memory.store(code, port)
        _report_code(settings, reporter, code, url, reachable_url)

        async def send_to(peer: RemotePeer) -> int:
            channel = await peer.open_channel("files", protocol=PROTOCOL)
            return await send_sources(
                channel,
                sources,
                stream=cast("BinaryIO | None", stdin),
                on_progress=reporter.progress(peer),
                on_closed=stdin.stop if stdin is not None else None,
                stop_is_final=False,
            )

        try:
            sent = await until_done(meeting, send_to, settings.wait, reporter, again=stdin is None)
        except CodeUsedUp:
            if memory is not None:
                memory.clear()
            raise
    if memory is not None:
        memory.clear()
    reporter.stop()
    reporter.report(f"Sent {sent} bytes.", "done", sent=sent)


async def _sources(settings: SendSettings, stdin: StandardInput | None) -> list[Source]:
    """Return the files to send; show a message for each path inside of folders that is left out.

    Raises:
        TransferFailed: A file cannot be sent, or standard input is closed.
    """
    if stdin is not None and was_closed("stdin"):
        raise TransferFailed(
            TransferErrorCode.UNREADABLE, "", "standard input is closed", advice=""
        )
    paths = [path for path in settings.paths if path != "-"]
    sources, left_out = await asyncio.to_thread(gather, paths)
    if stdin is not None:
        sources.append(Source(None, Entry(_STDIN)))
    for path in left_out:
        show_message(f"left out: {path} is a link, or no file")
    return sources


def _report_code(
    settings: SendSettings, reporter: Reporter, code: Code, url: str, reachable_url: str
) -> None:
    """Show the code, and how to receive with it on another machine."""
    command = f"icefloe receive {code} --server {reachable_url}"
    page = _page(reachable_url, code)
    reporter.report(
        f"Code: {code}\nOn the other machine: {command}\nOr in its browser: {page}",
        "code",
        code=str(code),
        server=url,
        command=command,
        page=page,
    )
    if settings.qr and not settings.json:
        import segno

        segno.make(command, error="l").terminal(out=sys.stderr, compact=True)


@asynccontextmanager
async def _meet(url: str, known: Code | None) -> "AsyncIterator[tuple[Meeting, Code]]":
    """Join the room of a code: the known code, or a new one whose room has no other sender.

    Raises:
        NoPlaceFree: All codes that were tried have another sender in their room.
    """
    for _ in range(_MAX_CODES_TRIED):
        code = known or Code.make()
        async with meet(url, code, Side.SENDER) as meeting:
            if known is not None or not meeting.is_shared:
                yield meeting, code
                return
    raise NoPlaceFree


async def _own_server(stack: AsyncExitStack, port: int) -> SignalingServer:
    limits = ServerConfiguration(shutdown_timeout=0.5)
    try:
        return await stack.enter_async_context(serve("0.0.0.0", port, configuration=limits))
    except ListenFailed:
        # Another program uses the port, or the same command is running already.
        return await stack.enter_async_context(serve("0.0.0.0", 0, configuration=limits))


def _page(server: str, code: Code) -> str:
    """Return the URL of the page with which a browser receives the files of a code."""
    parts = urlsplit(server)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    path = parts.path.removesuffix("/ws") + "/files"
    return parts._replace(scheme=scheme, path=path, fragment=str(code)).geturl()
