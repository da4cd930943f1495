"""Shared parts of the smaller demos: command-line options, messages, running until a signal.

This module is not a demo. It keeps everything out of the demos that is not their subject.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import urlencode, urlsplit

import typer

from icefloe.logs import get_logger, make_printable
from icefloe.peer import (
    InvalidConfiguration,
    PeerConfiguration,
    Room,
    TcpMux,
    TcpPortUnavailable,
    UdpMux,
    UdpPortUnavailable,
    run as run_until_signal,
)
from icefloe.signaling import SignalingError

logger = get_logger(__name__)

LOCAL = "ws://127.0.0.1:8080/ws"
"""The default URL of ``icefloe serve``."""

Server = Annotated[
    str,
    typer.Option(
        "--server", envvar="ICEFLOE_SERVER", metavar="URL", help="WebSocket of the server."
    ),
]
RoomName = Annotated[
    str, typer.Option("--room", envvar="ICEFLOE_ROOM", metavar="ROOM", help="Room to join.")
]
Name = Annotated[
    str, typer.Option("--name", envvar="ICEFLOE_NAME", metavar="NAME", help="Name in the room.")
]
UdpPort = Annotated[
    int | None,
    typer.Option(
        "--udp-port",
        envvar="ICEFLOE_UDP_PORT",
        metavar="PORT",
        min=0,
        max=65535,
        help="One UDP port for all connections, for a container or a firewall; 0 takes a free one.",
    ),
]
TcpPort = Annotated[
    int | None,
    typer.Option(
        "--tcp-port",
        envvar="ICEFLOE_TCP_PORT",
        metavar="PORT",
        min=0,
        max=65535,
        help="A TCP port for peers whose networks block UDP; 0 takes a free one.",
    ),
]
ExternalAddresses = Annotated[
    list[str],
    typer.Option(
        "--external-address",
        envvar="ICEFLOE_EXTERNAL_ADDRESS",
        metavar="ADDRESS",
        show_default=False,
        help="What others see as the address of this machine; one for IPv4 and one for IPv6.",
    ),
]


async def over_ports(
    udp_port: int | None,
    tcp_port: int | None,
    external_addresses: Sequence[str],
    demo: Callable[[PeerConfiguration], Awaitable[None]],
) -> None:
    """Run a demo whose connections share ports.

    Args:
        udp_port: The UDP port, 0 for any; ``None`` for one for each connection.
        tcp_port: The TCP port for peers whose networks block UDP, 0 for any; ``None`` for none.
        external_addresses: See :attr:`PeerConfiguration.external_addresses`.
        demo: Takes the configuration of the connections.

    Raises:
        UdpPortUnavailable: The UDP port is not available.
        TcpPortUnavailable: The TCP port is not available.

    Cancellation: safe; the ports are closed.
    """
    configuration = PeerConfiguration(external_addresses=tuple(external_addresses))
    async with AsyncExitStack() as ports:
        if udp_port is not None:
            configuration.udp_mux = await ports.enter_async_context(await UdpMux.open(udp_port))
        if tcp_port is not None:
            configuration.tcp_mux = await ports.enter_async_context(await TcpMux.open(tcp_port))
        await demo(configuration)


def own_token() -> str | Callable[[], Awaitable[str]] | None:
    """Return where the token of the demo comes from: ``ICEFLOE_TOKEN_FILE`` or ``ICEFLOE_TOKEN``.

    The file is read again for each connection, so that the token in it can be replaced.
    """
    file = os.environ.get("ICEFLOE_TOKEN_FILE")
    if not file:
        return os.environ.get("ICEFLOE_TOKEN") or None

    async def read() -> str:
        return (await asyncio.to_thread(Path(file).read_text, encoding="utf-8")).strip()

    return read


def announce(url: str, room: str, joined: Room, hint: str) -> None:
    """Log where the demo waits, and what the user has to do.

    Args:
        url: The URL of the signaling server.
        room: The name of the room.
        joined: The room that the demo has joined.
        hint: An instruction for the user; ``{page}`` is replaced by the URL of the page.
    """
    page = urlsplit(url)
    secure = "s" if page.scheme == "wss" else ""
    query = "" if room == "lobby" else f"?{urlencode({'room': room})}"
    logger.info("%s waits in the room %r of %s.", joined.name, room, url)
    logger.info("%s", hint.replace("{page}", f"http{secure}://{page.netloc}/{query}"))


def run(demo: Coroutine[Any, Any, None], *expected: type[Exception]) -> NoReturn:
    """Run a demo until Ctrl-C or SIGTERM, and exit.

    Args:
        demo: The coroutine of the demo.
        expected: Errors that are shown without a traceback, in addition to those of signaling.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(make_printable)
    for library in ("aioice", "aiortc", "websockets"):
        logging.getLogger(library).setLevel(logging.WARNING)
    errors: tuple[type[Exception], ...] = (
        SignalingError,
        TcpPortUnavailable,
        UdpPortUnavailable,
        InvalidConfiguration,
        *expected,
    )
    try:
        run_until_signal(demo)
    except errors as error:
        sys.exit(str(error))
    sys.exit(0)
