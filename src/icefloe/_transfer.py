"""What ``icefloe send`` and ``icefloe receive`` do: meet by a code, transfer, and go on after a
break until it is done."""

import asyncio
import json
import select
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TextIO, cast
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress as Bar,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from icefloe.peer import ConnectFailed, PeerConfiguration, PeerError, RemotePeer
from icefloe.peer.transfer.errors import (
    CodeUsedUp,
    NobodyThere,
    NoPlaceFree,
    PairingError,
    TransferBroken,
    TransferDeclined,
    TransferFailed,
)
from icefloe.peer.transfer.meeting import Meeting, meet
from icefloe.peer.transfer.pairing import Code, Side
from icefloe.peer.transfer.paths import Source, gather, safe_name
from icefloe.peer.transfer.protocol import PROTOCOL, Entry
from icefloe.peer.transfer.session import FileOffer, Progress, send_sources
from icefloe.signaling import (
    ListenFailed,
    ServerConfiguration,
    SignalingError,
    SignalingServer,
    serve,
)

from ._serving import EXIT_SIGNALING, CommandError, _lan_addresses, _loop_factory, _signals
from ._tls import cache_folder

EXIT_PAIRING = 11
EXIT_CONNECTION = 12
EXIT_DECLINED = 13
EXIT_TRANSFER = 14
EXIT_BROKEN = 15

_PLACES_TRIED = 20
"""New codes before it is given up to find a place where there is no other sender."""

_PROGRESS_EVERY = 0.2
"""Seconds between two views of the progress."""

_STDIN = "stdin"
_GIVEN_UP = (PairingError, TransferDeclined, TransferFailed)
"""What trying again does not mend."""


class _Reporter:
    """Says how it goes: to a person on standard error, to a program as JSON lines.

    Args:
        as_json: Whether a program reads standard output.
    """

    def __init__(self, *, as_json: bool, data_on_stdout: bool = False) -> None:
        self._as_json = as_json and not data_on_stdout
        self._out = sys.stderr if data_on_stdout else sys.stdout
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[path]}"),
            console=Console(stderr=True),
            disable=as_json or not sys.stderr.isatty(),
        )
        self._task: Any = None
        self._last = 0.0
        self._kept = 0
        self._shown_later: asyncio.TimerHandle | None = None

    def tell(self, sentence: str, event: str, **fields: object) -> None:
        """Say something, as a sentence or as an event with its fields."""
        text = json.dumps({"event": event, **fields}) if self._as_json else sentence
        if self._bar.live.is_started and not self._as_json:
            self._bar.console.print(text, markup=False, highlight=False)
            return
        self._out.write(text + "\n")
        self._out.flush()

    def progress(self, peer: RemotePeer) -> Callable[[Progress], None]:
        """Return what shows progress over the connection with a peer."""

        def show(progress: Progress) -> None:
            loop = asyncio.get_running_loop()
            self._forget_later()
            early = self._last + _PROGRESS_EVERY - loop.time()
            if early > 0 and progress.done != progress.total:
                # What comes to a stop is shown as far as it came.
                self._shown_later = loop.call_later(early, self._show, progress, peer)
            else:
                self._show(progress, peer)

        return show

    def _show(self, progress: Progress, peer: RemotePeer) -> None:
        self._last = asyncio.get_running_loop().time()
        if self._as_json and _would_wait(self._out):
            return  # who does not read learns of the end, and does not hold up the transfer
        if self._as_json:
            self.tell(
                "",
                "progress",
                done=progress.done,
                total=progress.total,
                file=progress.path,
                path=_path(peer),
            )
        elif not self._bar.disable:
            if self._task is None:
                self._bar.start()
                self._task = self._bar.add_task("", total=None, path="")
            kept = progress.done - progress.moved
            if kept != self._kept:
                self._kept = kept
                self._bar.reset(self._task, completed=progress.done)  # no part of the rate
            last = progress.path.rpartition("/")[2]
            name = safe_name(last) if last else ""  # there is none before the first file
            self._bar.update(
                self._task,
                completed=progress.done,
                total=progress.total,
                description=name if len(name) < 30 else name[:29] + "…",
                path=_path(peer),
            )

    def stop(self) -> None:
        """Leave the bar as it is."""
        self._forget_later()
        self._bar.stop()

    def _forget_later(self) -> None:
        if self._shown_later is not None:
            self._shown_later.cancel()
            self._shown_later = None


def _would_wait(out: TextIO) -> bool:
    """Tell whether writing a line waits for somebody to read."""
    if sys.platform == "win32":
        return False
    return not select.select([], [out], [], 0)[1]


def _path(peer: RemotePeer) -> str:
    """Return the path in short, as ``direct, host/udp``, or ``relay, turn/tls``."""
    pair = peer.connection.selectedCandidatePair
    if pair is None:
        return ""
    local = pair.local
    way = f"{local.type}/{local.protocol}"
    if local.type == "relay":
        way = f"turn/{local.relayProtocol or local.protocol}"
    return f"{'relay' if pair.relayed else 'direct'}, {way}"


# --- sending ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SendSettings:
    """What the flags of ``icefloe send`` say.

    Attributes:
        paths: What to send; ``-`` is standard input.
        server: The signaling server; ``None`` serves in this program.
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
    reporter = _Reporter(as_json=settings.json)
    stdin = _Stdin(sys.stdin.buffer) if "-" in settings.paths else None
    return _run(lambda: _send(settings, reporter, stdin), reporter, stdin)


async def _send(settings: SendSettings, reporter: _Reporter, stdin: "_Stdin | None") -> None:
    paths = [Path(path) for path in settings.paths if path != "-"]
    sources, left_out = await asyncio.to_thread(gather, paths)
    if stdin is not None:
        sources.append(Source(None, Entry(_STDIN)))
    for path in left_out:
        sys.stderr.write(f"left out: {path} is a link, or no file\n")
    memory = _Memory(settings) if stdin is None else None
    known, port = (memory.recall() if memory else None) or (None, 0)
    async with AsyncExitStack() as stack:
        if settings.server is not None:
            url = outside = settings.server
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
            )

        try:
            sent = await _until_done(meeting, serve_one, settings.wait, again=stdin is None)
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
        async with meet(url, code, Side.SENDER, configuration=_configuration()) as meeting:
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


class _Memory:
    """The code and port of a transfer that is not done, for the same command given again."""

    def __init__(self, settings: SendSettings) -> None:
        told = [str(Path(path).resolve()) for path in settings.paths]
        name = sha256(json.dumps([settings.server, told]).encode()).hexdigest()[:32]
        self._path = cache_folder() / "sends" / f"{name}.json"

    def recall(self) -> tuple[Code, int] | None:
        """Return them, if there are any."""
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            return Code.parse(kept["code"]), int(kept["port"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, code: Code, port: int) -> None:
        """Note them, for this user alone; where that is not possible there is no memory."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
            self._path.write_text(json.dumps({"code": str(code), "port": port}), encoding="utf-8")
        except OSError as error:
            sys.stderr.write(f"this transfer cannot be gone on with later: {error}\n")

    def forget(self) -> None:
        """Forget them: a code is good for one transfer."""
        self._path.unlink(missing_ok=True)


class _Stdin:
    """Standard input that can be told to stop while nothing comes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.stopped = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def stop(self) -> None:
        """Take no more from it, and wait no longer."""
        self.stopped = True

    def read(self, size: int) -> bytes:
        """Return what comes; nothing at the end."""
        if sys.platform != "win32":
            while not self.stopped and not select.select([self._stream], [], [], 0.1)[0]:
                pass
        return b"" if self.stopped else self._stream.read1(size)  # type: ignore[attr-defined]


# --- receiving ----------------------------------------------------------------------------------


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
    reporter = _Reporter(as_json=settings.json, data_on_stdout=settings.out == "-")
    return _run(lambda: _receive(settings, reporter), reporter, None)


async def _receive(settings: ReceiveSettings, reporter: _Reporter) -> None:
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
        async with meet(
            settings.server, code, Side.RECEIVER, configuration=_configuration()
        ) as meeting:
            places = await _until_done(meeting, accept, settings.wait, again=stream is None)
    finally:
        reporter.stop()
    names = ", ".join(map(str, places))
    reporter.tell(f"Received {names or 'all'}.", "done", files=[str(path) for path in places])


async def _ask(offer: FileOffer, reporter: _Reporter) -> bool:
    names = [safe_name(name) for name in offer.names]
    size = "an unknown number of" if offer.size is None else f"{offer.size:,}"
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    reporter.stop()
    sys.stderr.write(f"{shown}: {len(offer.entries)} files and folders, {size} bytes.\n")
    sys.stderr.write("Receive? [y/N] ")
    sys.stderr.flush()
    terminal = _Stdin(sys.stdin.buffer)
    try:
        answer = await asyncio.to_thread(terminal.read, 1024)  # a terminal gives a line
    finally:
        terminal.stop()
    return answer.strip().lower() in (b"y", b"yes")


# --- both ---------------------------------------------------------------------------------------


def _configuration() -> PeerConfiguration:
    return PeerConfiguration(closeTimeout=0.5)


class _Work(Protocol):
    def __call__(self, peer: RemotePeer, /) -> Awaitable[Any]: ...


async def _until_done(meeting: Meeting, work: _Work, wait: float, *, again: bool) -> Any:
    """Do the work with the other side as it comes, the newest first, until it succeeds once.

    Args:
        meeting: Where it comes.
        work: What to do with it.
        wait: Seconds to wait for it.
        again: Whether the work can be gone on with after a break.
    """
    arriving = aiter(meeting)
    broken: Exception | None = None
    coming: asyncio.Task[RemotePeer] | None = None
    doing: asyncio.Task[Any] | None = None
    losing: asyncio.Task[None] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(_next(arriving))
            busy = {task for task in (coming, doing, losing) if task is not None}
            done, _ = await asyncio.wait(
                busy,
                timeout=wait if doing is None else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not done:
                raise broken or NobodyThere(wait)
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
                    if not again:
                        raise
                    broken = error
                    sys.stderr.write(f"icefloe: {error}\nWaiting for the other side…\n")
            elif coming in done:
                peer, coming = coming.result(), None
                for task in (doing, losing):
                    if task is not None:
                        await _cancel(task)
                doing = asyncio.ensure_future(work(peer))
                losing = asyncio.ensure_future(_lost(peer, wait))
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


def _run(work: Callable[[], Awaitable[None]], reporter: _Reporter, stdin: _Stdin | None) -> int:
    async def main() -> int:
        with _signals() as stopped:
            working = asyncio.ensure_future(work())
            try:
                await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
                if not working.done():
                    if stdin is not None:
                        stdin.stop()
                    await _cancel(working)
                    return stopped.result()
                working.result()
                return 0
            finally:
                reporter.stop()

    with asyncio.Runner(loop_factory=_loop_factory()) as runner, _as_command_errors(reporter):
        return runner.run(main())


@contextmanager
def _as_command_errors(reporter: _Reporter) -> Any:
    try:
        yield
    except (PeerError, SignalingError) as error:
        code = _exit_code(error)
        if reporter._as_json:
            reporter.tell("", "error", code=code, kind=type(error).__name__, message=str(error))
        raise CommandError(str(error), code) from error


def _exit_code(error: Exception) -> int:
    match error:
        case SignalingError():
            return EXIT_SIGNALING
        case PairingError():
            return EXIT_PAIRING
        case TransferDeclined():
            return EXIT_DECLINED
        case TransferFailed():
            return EXIT_TRANSFER
        case ConnectFailed():
            return EXIT_CONNECTION
    return EXIT_BROKEN


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
