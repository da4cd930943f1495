"""What the smaller demos have in common: their flags, what they say, and how they end.

It is no demo itself: they are to show what they are about and nothing else.
"""

import logging
import sys
from collections.abc import Coroutine
from typing import Annotated, Any, NoReturn
from urllib.parse import urlencode, urlsplit

import typer

from icefloe.logs import get_logger, make_printable
from icefloe.peer import Room, run as run_to_its_end
from icefloe.signaling import SignalingError

logger = get_logger(__name__)

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


def tell(url: str, room: str, joined: Room, hint: str) -> None:
    """Say where the demo waits, and for what.

    Args:
        url: The signaling server.
        room: The name of the room.
        joined: The room, which was entered.
        hint: What to do; ``{page}`` is the address of the page.
    """
    page = urlsplit(url)
    secure = "s" if page.scheme == "wss" else ""
    query = "" if room == "lobby" else f"?{urlencode({'room': room})}"
    logger.info("%s waits in the room %r of %s.", joined.name, room, url)
    logger.info("%s", hint.replace("{page}", f"http{secure}://{page.netloc}/{query}"))


def run(demo: Coroutine[Any, Any, None], *told: type[Exception]) -> NoReturn:
    """Run a demo until Ctrl-C or SIGTERM, and end the program.

    Args:
        demo: What the demo does.
        told: Errors that are told by their sentence alone, beside those of signaling.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(make_printable)
    for library in ("aioice", "aiortc", "websockets"):
        logging.getLogger(library).setLevel(logging.WARNING)
    expected: tuple[type[Exception], ...] = (SignalingError, *told)
    try:
        run_to_its_end(demo)
    except expected as error:
        sys.exit(str(error))
    sys.exit(0)
