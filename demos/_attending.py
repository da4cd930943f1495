"""What the smaller demos have in common: their flags, and a task for each participant.

It is no demo itself: they are to show what they are about and nothing else.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Annotated, Any, NoReturn

import typer

from icefloe.peer import ConnectFailed, PeerLeft, RemotePeer, Room
from icefloe.signaling import SignalingError

logger = logging.getLogger(__name__)

LOCAL = "ws://127.0.0.1:8080/ws"
"""Where ``icefloe serve`` is unless it is told otherwise."""

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


async def attend(room: Room, hold: Callable[[RemotePeer], Awaitable[None]]) -> None:
    """Run a task for each participant of a room that was entered, until cancelled.

    A call with one that breaks off is logged, and those with the others go on.

    Args:
        room: The room.
        hold: What to do with a participant; it is cancelled when that is gone.

    Raises:
        SignalingError: The server is lost for good, and the calls are over.

    Cancellation: safe; every task is cancelled and waited for.
    """
    lost: SignalingError | None = None
    async with asyncio.TaskGroup() as calls:
        try:
            async for peer in room:
                calls.create_task(_until_gone(peer, hold), name=f"call with {peer.name}")
        except SignalingError as error:
            lost = error  # calls do not depend on it: they are held to their end
    if lost is not None:
        raise lost


async def _until_gone(peer: RemotePeer, hold: Callable[[RemotePeer], Awaitable[None]]) -> None:
    async def held() -> None:
        try:
            await hold(peer)
        except (ConnectFailed, PeerLeft) as error:
            logger.info("%s", error)
        except Exception:
            logger.exception("the call with %s broke off", peer.name)

    async with asyncio.TaskGroup() as group:
        holding = group.create_task(held(), name=f"hold {peer.name}")
        logger.info("the call with %s is over: %s", peer.name, await peer.ended())
        holding.cancel()


def run(demo: Coroutine[Any, Any, None], *told: type[Exception]) -> NoReturn:
    """Run a demo until Ctrl-C or SIGTERM, and end the program.

    Args:
        demo: What the demo does.
        told: Errors that are told by their sentence alone, beside those of signaling.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for library in ("aioice", "aiortc", "websockets"):
        logging.getLogger(library).setLevel(logging.WARNING)
    expected: tuple[type[Exception], ...] = (SignalingError, *told)
    try:
        asyncio.run(_until_told(demo))
    except KeyboardInterrupt:
        sys.exit(130)
    except expected as error:
        sys.exit(str(error))
    sys.exit(0)


async def _until_told(demo: Coroutine[Any, Any, None]) -> None:
    running = asyncio.ensure_future(demo)
    # Windows has no such handlers, and ends programs otherwise.
    with suppress(NotImplementedError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    try:
        await asyncio.wait((running,))
    finally:
        running.cancel()
        await asyncio.wait((running,))
    if not running.cancelled():
        running.result()
