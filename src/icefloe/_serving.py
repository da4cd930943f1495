# Longer than 400 lines: the run of a server, and its messages for the user.
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
from dataclasses import dataclass, field
from logging import Logger
from pathlib import Path
from types import FrameType
from typing import Any, Protocol
from urllib.parse import urlencode

from icefloe._secrets import KEYS_VARIABLE, read_keys
from icefloe._server_limits import FLAGS as LIMIT_FLAGS
from icefloe._streams import output, write_line
from icefloe.logs import LogFormat, get_logger, set_up
from icefloe.signaling import (
    AddressLimits,
    IceServer,
    InvalidTokenKeys,
    Limits,
    ListenFailed,
    MetricsAccess,
    Proxies,
    RedisConfiguration,
    ServerConfiguration,
    SignalingError,
    SignalingServer,
    TokenKeys,
    TurnServers,
    Webhooks,
    make_token,
    serve,
)
from icefloe.text import PrintableError

logger: Logger = get_logger(__name__)

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_SIGNALING = 10
EXIT_INTERRUPTED = 130

_EXIT_CODES = {signal.SIGINT: EXIT_INTERRUPTED, signal.SIGTERM: EXIT_OK}

_LIBRARY_LOG_LEVEL = logging.WARNING
"""aiortc and aioice log their internals at INFO."""

TokenMaker = Callable[[], Awaitable[str]]
"""A function that makes a join token."""


class Guest(Protocol):
    """A participant that runs in this program."""

    def __call__(
        self, url: str, *, token: TokenMaker | None, ssl: ssl.SSLContext | None
    ) -> Awaitable[None]: ...


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
        limits: The values of other limits by their names, as in ``icefloe._server_limits``.
        token_secret_file: The file with the keys of join tokens.
        audience: The audience that tokens have to be for.
        is_open: Whether everybody is admitted without a token.
        first_moderates: Whether the first participant of a room moderates it.
        proxies: The reverse proxies whose header is believed.
        redis: The Redis through which several servers act as one.
        metrics: Who may read the metrics.
        client_reports: Whether clients are asked how connecting with their peers went.
        reuse_port: Whether the next server may listen on the port while this one drains.
        webhooks: Where joins and leaves are posted to.
        room: The room of the guest, for the URL of the page; ``None`` without a guest.
        browser: Whether the page is opened in a browser.
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
    limits: Mapping[str, float] = field(default_factory=dict)
    token_secret_file: Path | None = None
    audience: str | None = None
    is_open: bool = False
    first_moderates: bool = False
    proxies: Proxies | None = None
    redis: RedisConfiguration | None = None
    metrics: MetricsAccess = field(default_factory=MetricsAccess)
    client_reports: bool = True
    reuse_port: bool = False
    webhooks: Webhooks | None = None
    room: str | None = None
    browser: bool = False


def set_up_logging(level: str, format: LogFormat = LogFormat.TEXT) -> None:
    """Log to standard error.

    Args:
        level: The lowest level that is logged, in lower case.
        format: Text or JSON.
    """
    set_up(level, format)
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
    keys = token_keys(settings.token_secret_file)
    if keys is None and not settings.is_open and not _is_local(settings.host):
        raise CommandError(
            f"Without tokens --host {settings.host} would admit everybody who reaches this "
            "machine: give --token-secret-file, or --open if that is what you want.",
            EXIT_USAGE,
        )
    certificate = _certificate(settings)
    configuration = ServerConfiguration(
        ice_servers=settings.ice_servers,
        turn=settings.turn,
        origins=settings.origins,
        hosts=settings.hosts,
        token_keys=keys,
        audience=settings.audience,
        first_moderates=settings.first_moderates,
        proxies=settings.proxies,
        redis=settings.redis,
        metrics=settings.metrics,
        client_reports=settings.client_reports,
        reuse_port=settings.reuse_port,
        **configured(settings.limits, by_address=settings.limits_addresses),
        webhooks=settings.webhooks,
    )
    with exit_signals() as stopped:
        try:
            async with serve(
                settings.host,
                settings.port,
                configuration=configuration,
                ssl=_server_context(certificate, settings.key) if certificate else None,
            ) as server:
                with _reloading(settings, server, certificate is not None, keys is not None):
                    _announce(settings, server, certificate)
                    code = await _run_guest(settings, server, certificate, guest, keys, stopped)
                if stopped.done() and code == EXIT_OK:  # SIGTERM: a deployment replaces this one
                    await server.drain()
                return code
        except ListenFailed as error:
            raise CommandError(_listen_error(error), EXIT_SIGNALING) from error


def configured(values: Mapping[str, float], *, by_address: bool) -> dict[str, Any]:
    """Return the fields of a ``ServerConfiguration`` that limits decide.

    Args:
        values: The values of flags by the name of the limit; the others have their defaults.
        by_address: Whether each client address has limits.
    """
    parts: dict[str, dict[str, Any]] = {"": {}, "limits": {}, "limits.address": {}}
    for limit in LIMIT_FLAGS:
        part, _, field = limit.field.rpartition(".")
        value = values.get(limit.name, limit.default)
        parts[part][field] = None if limit.may_be_off and value == 0 else value
    address = AddressLimits(**parts["limits.address"]) if by_address else AddressLimits.unlimited()
    return {**parts[""], "limits": Limits(**parts["limits"], address=address)}


async def _run_guest(
    settings: Settings,
    server: SignalingServer,
    certificate: Path | None,
    guest: Guest | None,
    keys: TokenKeys | None,
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
    running = asyncio.ensure_future(guest(url, token=_guest_token(settings, keys), ssl=context))
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
def _reloading(
    settings: Settings, server: SignalingServer, has_tls: bool, has_keys: bool
) -> Iterator[None]:
    """Read certificate and token keys again on SIGHUP; what cannot be used leaves the old ones."""
    number = getattr(signal, "SIGHUP", None)
    if number is None or not (has_tls or has_keys):
        yield
        return
    loop = asyncio.get_running_loop()

    def reload() -> None:
        try:
            if has_tls and (certificate := _certificate(settings)) is not None:
                server.use_certificate(_server_context(certificate, settings.key))
                logger.info("the certificate was read again, for new connections")
            if has_keys and (keys := token_keys(settings.token_secret_file)) is not None:
                server.use_token_keys(keys)
                logger.info("the keys of join tokens were read again")
        except CommandError as error:
            logger.error("what was there before stays in use: %s", error)

    before = signal.signal(number, lambda *_: loop.call_soon_threadsafe(reload))
    try:
        yield
    finally:
        signal.signal(number, before)


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


# --- join tokens --------------------------------------------------------------------------------


def token_keys(file: Path | None) -> TokenKeys | None:
    """Return the keys of join tokens; ``None`` if there are none.

    Raises:
        CommandError: They cannot be used.
    """
    try:
        return read_keys(file)
    except (OSError, InvalidTokenKeys) as error:
        where = str(file) if file is not None else KEYS_VARIABLE
        raise CommandError(f"{where}: {error}.", EXIT_USAGE) from error


def _guest_token(settings: Settings, keys: TokenKeys | None) -> TokenMaker | None:
    if keys is None:
        return None
    if not keys.can_sign:
        raise CommandError(
            "The participant needs a token, and public keys make none: give a private key.",
            EXIT_USAGE,
        )

    async def make() -> str:
        return make_token(keys, room=settings.room, audience=settings.audience)

    return make


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
    if settings.token_secret_file is not None:
        lines.append("Only who has a token may enter; `icefloe token` makes them.")
    lines.append("Press Ctrl-C to stop.")
    write_line(output(), "\n".join(lines))
    if settings.browser:
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
