"""Consent: asks the user of this machine before a viewer may control it.

Consent is given for one connection. A name proves nothing: anyone may use it after its holder has
left.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from logging import Logger
from typing import TypeAlias

from icefloe.logs import get_logger
from icefloe.text import printable

logger: Logger = get_logger(__name__)

ANSWER_TIMEOUT = 60.0
"""Seconds in which a question has to be answered; no answer counts as a refusal."""

REFUSAL_PAUSE = 10.0
"""Seconds after a refusal without further questions, so that viewers cannot wear the user down."""

MAX_NAME = 64
"""Characters of a name that a question shows."""

Consent: TypeAlias = Callable[[str], Awaitable[bool]]
"""Asks whether the viewer with this name may control this machine, once for each connection.

It is cancelled when the connection ends before there is an answer.
"""


async def everybody(name: str) -> bool:
    """Allow every viewer to take control, without a question."""
    return True


async def ask_on_terminal(name: str) -> bool:
    """Ask the user on the terminal; without a terminal the answer is no.

    Args:
        name: The name of the viewer.

    Returns:
        Whether the user has agreed.

    Cancellation: safe; the question is withdrawn.
    """
    stdin = sys.stdin
    if stdin is None or stdin.closed or not stdin.isatty():
        logger.warning(
            "%s is not given control: there is no terminal to ask at. --allow-control gives it "
            "to whoever wants it",
            printable(name, MAX_NAME),
        )
        return False
    discard_typed_input(stdin.fileno())
    sys.stderr.write(
        f"{printable(name, MAX_NAME)} wants to control this machine, "
        "and could then do all that you can. Allow it? [y/N] "
    )
    sys.stderr.flush()
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(stdin.fileno(), ready.set)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            await ready.wait()
    except TimeoutError:
        sys.stderr.write("no answer, so no\n")
        return False
    except asyncio.CancelledError:
        sys.stderr.write("(gone)\n")
        raise
    finally:
        loop.remove_reader(stdin.fileno())
    # A terminal returns a whole line.
    answer = os.read(stdin.fileno(), 1024).decode(errors="replace")
    return answer.strip().lower() in ("y", "yes")


def discard_typed_input(terminal: int) -> None:
    """Discard input typed before the question, which must not count as an answer to it."""
    try:
        import termios
    except ImportError:
        return
    termios.tcflush(terminal, termios.TCIFLUSH)
