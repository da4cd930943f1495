"""The commands ``icefloe serve`` and ``icefloe demo``: run the server until a signal stops it."""

import asyncio
import errno
import ipaddress
import logging
import signal
import socket
import ssl
import webbrowser
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from urllib.parse import urlencode

from icefloe._streams import output, write_line
from icefloe.logs import make_printable
from icefloe.signaling import (
    AddressLimits,
    IceServer,
    Limits,
    ListenFailed,
    ServerConfiguration,
    SignalingError,
    SignalingServer,
    TurnServers,
    serve,
)
from icefloe.text import PrintableError

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_SIGNALING = 10
EXIT_INTERRUPTED = 130

_SHUTDOWN_SECONDS = 1.0
"""Seconds that the server has to close its connections."""

_EXIT_CODES = {signal.SIGINT: EXIT_INTERRUPTED, signal.SIGTERM: EXIT_OK}

_LIBRARY_LOG_LEVEL = logging.WARNING
"""aiortc and aioice log their internals at INFO."""

Guest = Callable[[str, ssl.SSLContext | None], Awaitable[None]]
"""A participant that runs in this program: takes the URL of the server and the TLS context."""


class CommandError(PrintableError):
    """An error that is shown to the user without a traceback.

    Attributes:
        exit_code: The exit code of the command.
    """

    def __init__(self, sentence: str, exit_code: int = EXIT_ERROR) -> None:
        self.exit_code = exit_code
        super().__init__(sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options of the commands that run a server.

    Attributes:
        host: The address to listen on.
        port: The TCP port; 0 lets the system choose one.
        certificate: The PEM file with the certificate; ``None`` for a server without TLS.
        key: The PEM file with the private key, if it is not in the same file.
        self_signed: Whether a self-signed certificate is made.
        ice_servers: The STUN and TURN servers for all clients.
        turn: TURN servers for which each participant gets credentials that expire.
        origins: Origins whose pages may connect, in addition to the pages of this server.
        hosts: Host names of the server, in addition to the name of this machine.
        limits_addresses: Whether each client address has limits.
        room: The room of the guest, for the URL of the page; ``None`` without a guest.
        open: Whether the page is opened in a browser.
    """

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    self_signed: bool = False
    ice_servers: tuple[IceServer, ...] = ()
    turn: tuple[TurnServers, ...] = ()
    origins: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    limits_addresses: bool = True
    room: str | None = None
    open: bool = False


def set_up_logging(level: str) -> None:
    """Log to standard error.

    Args:
        level: The lowest level that is logged, in lower case.
    """
    logging.basicConfig(
        level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for handler in logging.getLogger().handlers:
        handler.addFilter(make_printable)  # libraries log received text without escaping it
    if level != "debug":
        for library in ("aioice", "aiortc", "websockets"):
            logging.getLogger(library).setLevel(max(_LIBRARY_LOG_LEVEL, logging.getLogger().level))


def run(settings: Settings, guest: Guest | None = None) -> int:
    """Serve until a signal arrives or the guest leaves.

    Returns:
        The exit code.

    Raises:
        CommandError: The server could not be started, or the guest failed.
    """
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_run(settings, guest))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return the factory of uvloop's event loop; ``None``, asyncio's own, if it is missing."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _run(settings: Settings, guest: Guest | None) -> int:
    certificate = _certificate(settings)
    configuration = ServerConfiguration(
        ice_servers=settings.ice_servers,
        turn=settings.turn,
        origins=settings.origins,
        hosts=settings.hosts,
        limits=Limits() if settings.limits_addresses else Limits(address=AddressLimits.unlimited()),
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )
    with exit_signals() as stopped:
        try:
            async with serve(
                settings.host,
                settings.port,
                configuration=configuration,
                ssl=_server_context(certificate, settings.key) if certificate else None,
            ) as server:
                _announce(settings, server, certificate)
                return await _run_guest(settings, server, certificate, guest, stopped)
        except ListenFailed as error:
            raise CommandError(_listen_error(error), EXIT_SIGNALING) from error


async def _run_guest(
    settings: Settings,
    server: SignalingServer,
    certificate: Path | None,
    guest: Guest | None,
    stopped: "asyncio.Future[int]",
) -> int:
    """Run the guest until it leaves or a signal arrives; return the exit code."""
    if guest is None:
        return await stopped
    context = None
    if certificate is not None:
        from icefloe._tls import client_context

        context = client_context(certificate)
    url = f"{'wss' if certificate else 'ws'}://{_own_host(settings.host)}:{server.port}/ws"
    running = asyncio.ensure_future(guest(url, context))
    try:
        await asyncio.wait((running, stopped), return_when=asyncio.FIRST_COMPLETED)
    finally:
        running.cancel()
        await asyncio.wait((running,))
    if running.cancelled():
        return stopped.result()
    error = running.exception()
    if isinstance(error, SignalingError):
        raise CommandError(str(error), EXIT_SIGNALING) from error
    if error is not None:
        raise error
    return stopped.result() if stopped.done() else EXIT_OK


@contextmanager
def exit_signals(
    codes: Mapping[signal.Signals, int] = _EXIT_CODES,
) -> "Iterator[asyncio.Future[int]]":
    """Yield a future that the first signal sets to its exit code; a second signal ends the process.

    Args:
        codes: The exit codes by signal.
    """
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[int] = loop.create_future()
    before = {number: signal.getsignal(number) for number in codes}

    def stop(code: int) -> None:
        if not stopped.done():
            stopped.set_result(code)

    def handle(number: int, _: FrameType | None) -> None:
        for each in codes:
            signal.signal(each, signal.SIG_DFL)
        loop.call_soon_threadsafe(stop, codes[signal.Signals(number)])

    for number in codes:
        signal.signal(number, handle)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- addresses ----------------------------------------------------------------------------------


_LOOPBACK_OF_ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
"""The loopback address for each host that stands for all addresses."""


def _own_host(host: str) -> str:
    """Return the host that a client on this machine connects to, in the form of URLs."""
    return _bracketed(_LOOPBACK_OF_ANY.get(host, host))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def lan_addresses(host: str = "") -> list[str]:
    """Return the addresses of this machine, other than loopback, that a host stands for.

    Args:
        host: ``"0.0.0.0"`` for all IPv4 addresses, ``"::"`` for all IPv6 addresses, ``""`` for
            both.
    """
    # Importing aioice is slow, and most commands do not need it.
    from aioice.ice import get_host_addresses

    return get_host_addresses(use_ipv4=host != "::", use_ipv6=host != "0.0.0.0")


def _page_urls(settings: Settings, server: SignalingServer, secure: bool) -> list[str]:
    hosts = [_own_host(settings.host)]
    if settings.host in _LOOPBACK_OF_ANY:
        hosts += map(_bracketed, lan_addresses(settings.host))
    query = f"?{urlencode({'room': settings.room})}" if settings.room not in (None, "lobby") else ""
    return [f"http{'s' if secure else ''}://{host}:{server.port}/{query}" for host in hosts]


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# --- certificates -------------------------------------------------------------------------------


def _certificate(settings: Settings) -> Path | None:
    if not settings.self_signed:
        return settings.certificate
    from icefloe._tls import self_signed

    try:
        return self_signed(lan_addresses())
    except OSError as error:
        raise CommandError(
            f"The certificate cannot be kept: {error}. Set XDG_CACHE_HOME to a folder that can be "
            "written to, or give a certificate with --tls-cert."
        ) from error


def _server_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    from icefloe._tls import server_context

    try:
        return server_context(certificate, key)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        files = f"{certificate} and {key}" if key else str(certificate)
        raise CommandError(
            f"{files}: {reason}. Give a certificate as a PEM file with --tls-cert, and its private "
            "key with --tls-key unless it is in the same file."
        ) from error


# --- messages for the user ----------------------------------------------------------------------


def _announce(settings: Settings, server: SignalingServer, certificate: Path | None) -> None:
    urls = _page_urls(settings, server, certificate is not None)
    lines = [f"Open {urls[0]}", *(f"  or {url}" for url in urls[1:])]
    if settings.self_signed and certificate is not None:
        from icefloe._tls import fingerprint

        lines += [
            "Browsers warn of a certificate that no authority signed. Its SHA-256 fingerprint:",
            fingerprint(certificate),
        ]
    if certificate is None and not _is_local(settings.host):
        lines.append(
            "Browsers give camera and microphone to pages from localhost or https alone; for "
            "other machines add --tls-self-signed."
        )
    lines.append("Press Ctrl-C to stop.")
    write_line(output(), "\n".join(lines))
    if settings.open:
        # It may block until the browser has started.
        asyncio.get_running_loop().run_in_executor(None, webbrowser.open, urls[0])


def _listen_error(error: ListenFailed) -> str:
    cause = error.__cause__
    number = cause.errno if isinstance(cause, OSError) else None
    host = error.host or "this machine"
    if isinstance(cause, socket.gaierror | UnicodeError):
        return f"The host {host!r} was not found. Take an address of this machine with --host."
    if number == errno.EADDRINUSE:
        return (
            f"Port {error.port} of {host} is in use by another program. Stop that one, or take "
            "another port with --port; 0 takes any free one."
        )
    if number in (errno.EACCES, errno.EPERM):
        return f"Port {error.port} is reserved for the system. Take one above 1023 with --port."
    if number == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine. Take one that is with --host."
    return str(error)
