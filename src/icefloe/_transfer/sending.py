"""The command ``icefloe send``."""

import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import BinaryIO, cast
from urllib.parse import urlsplit

from icefloe._serving import lan_addresses
from icefloe._streams import show_message, was_closed
from icefloe.peer import (
    FilesToSend,
    PairingCode,
    PairingCodeUsedUp,
    PairingSide,
    RemotePeer,
    TransferErrorCode,
    TransferFailed,
    meet,
)
from icefloe.signaling import (
    Admission,
    Join,
    ListenFailed,
    ServerConfiguration,
    SignalingServer,
    serve,
    server_url,
)

from .memory import Memory
from .reporter import Reporter
from .retrying import until_done
from .running import run
from .stdin import StandardInput

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
        token: The token for the signaling server, or what gives it.
    """

    paths: tuple[str, ...]
    server: str | None
    wait: float
    json: bool
    qr: bool
    token: str | Callable[[], Awaitable[str]] | None = field(default=None, repr=False)


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
    files = await _files(settings, stdin)
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
        meeting = await stack.enter_async_context(
            meet(url, stored_code, side=PairingSide.SENDER, token=settings.token)
        )
        if memory is not None:
            memory.store(meeting.code, port)
        _report_code(settings, reporter, meeting.code, url, reachable_url)

        async def send_to(peer: RemotePeer) -> int:
            return await peer.send_files(
                files,
                on_progress=reporter.progress(peer),
                on_closed=stdin.stop if stdin is not None else None,
                stop_is_final=False,
            )

        try:
            sent = await until_done(meeting, send_to, settings.wait, reporter, again=stdin is None)
        except PairingCodeUsedUp:
            if memory is not None:
                memory.clear()
            raise
    if memory is not None:
        memory.clear()
    reporter.stop()
    reporter.report(f"Sent {sent} bytes.", "done", sent=sent)


async def _files(settings: SendSettings, stdin: StandardInput | None) -> FilesToSend:
    """Return the files to send; show a message for each path inside of folders that is left out.

    Raises:
        TransferFailed: A file cannot be sent, or standard input is closed.
    """
    if stdin is not None and was_closed("stdin"):
        raise TransferFailed(
            TransferErrorCode.UNREADABLE, "", "standard input is closed", advice=""
        )
    paths = [path for path in settings.paths if path != "-"]
    stream = cast("BinaryIO | None", stdin)
    files = await FilesToSend.find(paths, stream=stream, stream_name=_STDIN)
    for path in files.left_out:
        show_message(f"left out: {path} is a link, or no file")
    return files


def _report_code(
    settings: SendSettings, reporter: Reporter, code: PairingCode, url: str, reachable_url: str
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


async def _own_server(stack: AsyncExitStack, port: int) -> SignalingServer:
    configuration = ServerConfiguration(shutdown_timeout=0.5, admit=_admit)
    try:
        return await stack.enter_async_context(serve("0.0.0.0", port, configuration=configuration))
    except ListenFailed:
        # Another program uses the port, or the same command is running already.
        return await stack.enter_async_context(serve("0.0.0.0", 0, configuration=configuration))


def _admit(join: Join) -> Admission | None:
    """Admit to rooms of transfers alone: the whole network reaches this server."""
    return Admission() if join.room.startswith("files-") else None


def _page(server: str, code: PairingCode) -> str:
    """Return the URL of the page with which a browser receives the files of a code."""
    parts = urlsplit(server)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    path = parts.path.removesuffix("/ws") + "/files"
    return parts._replace(scheme=scheme, path=path, fragment=str(code)).geturl()
