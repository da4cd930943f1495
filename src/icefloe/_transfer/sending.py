"""``icefloe send``."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast
from urllib.parse import urlsplit

from icefloe._serving import _lan_addresses
from icefloe._streams import say, was_closed
from icefloe.peer import RemotePeer
from icefloe.peer.files.errors import CodeUsedUp, Failure, NoPlaceFree, TransferFailed
from icefloe.peer.files.file_names import Source, gather
from icefloe.peer.files.protocol import PROTOCOL, Entry
from icefloe.peer.files.send_session import send_sources
from icefloe.peer.pairing.key_exchange import Code, Side
from icefloe.peer.pairing.rendezvous import Meeting, meet
from icefloe.signaling import ListenFailed, ServerConfiguration, SignalingServer, serve
from icefloe.signaling.address import server_url

from .memory import Memory
from .reporter import Reporter
from .running import run, until_done
from .stdin import StandardInput

_PLACES_TRIED = 20
"""New codes before it is given up to find a place where there is no other sender."""

_STDIN = "stdin"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendSettings:
    """What the flags of ``icefloe send`` say.

    Attributes:
        paths: What to send; ``-`` is standard input.
        server: The signaling server as it was given; ``None`` serves in this program.
        wait: Seconds to wait for the other side, at first and after a break.
        json: Whether a program reads the output.
        qr: Whether the command for the other side is shown as a QR code.
    """

    paths: tuple[str, ...]
    server: str | None
    wait: float
    json: bool
    qr: bool


def send(settings: SendSettings) -> int:
    """Send until it is done; return the exit code.

    Raises:
        CommandError: It could not be done.
    """
    reporter = Reporter(as_json=settings.json)
    stdin = StandardInput(sys.stdin.buffer) if "-" in settings.paths else None
    return run(lambda: _send(settings, reporter, stdin), reporter, stdin)


async def _send(settings: SendSettings, reporter: Reporter, stdin: StandardInput | None) -> None:
    server_given = None if settings.server is None else server_url(settings.server)
    if stdin is not None and was_closed("stdin"):
        raise TransferFailed(Failure.UNREADABLE, "", "standard input is closed", advice="")
    paths = [path for path in settings.paths if path != "-"]
    sources, left_out = await asyncio.to_thread(gather, paths)
    if stdin is not None:
        sources.append(Source(None, Entry(_STDIN)))
    for path in left_out:
        say(f"left out: {path} is a link, or no file")
    memory = Memory(server_given, settings.paths) if stdin is None else None
    known, port = (memory.recall() if memory else None) or (None, 0)
    async with AsyncExitStack() as stack:
        if server_given is not None:
            url = outside = server_given
        else:
            server = await _own_server(stack, port)
            known = known if server.port == port else None
            port, url = server.port, f"ws://127.0.0.1:{server.port}/ws"
            host = next((a for a in _lan_addresses("0.0.0.0")), "127.0.0.1")
            outside = f"ws://{host}:{port}/ws"
        meeting, code = await stack.enter_async_context(_meet(url, known))
        if memory is not None:
            memory.keep(code, port)
        command = f"icefloe receive {code} --server {outside}"
        page = _page(outside, code)
        reporter.tell(
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

        async def serve_one(peer: RemotePeer) -> int:
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
            sent = await until_done(
                meeting, serve_one, settings.wait, reporter, again=stdin is None
            )
        except CodeUsedUp:
            if memory is not None:
                memory.forget()
            raise
    if memory is not None:
        memory.forget()
    reporter.stop()
    reporter.tell(f"Sent {sent} bytes.", "done", sent=sent)


@asynccontextmanager
async def _meet(url: str, known: Code | None) -> "AsyncIterator[tuple[Meeting, Code]]":
    """Be at the place of a code: a known one, or a new one whose place no other sender has."""
    for _ in range(_PLACES_TRIED):
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
        # Another program has the port by now, or the same command runs a second time.
        return await stack.enter_async_context(serve("0.0.0.0", 0, configuration=limits))


def _page(server: str, code: Code) -> str:
    """Return the address at which the page of a server receives with a code."""
    parts = urlsplit(server)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    path = parts.path.removesuffix("/ws") + "/files"
    return parts._replace(scheme=scheme, path=path, fragment=str(code)).geturl()
