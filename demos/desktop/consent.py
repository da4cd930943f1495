"""Asking the user of this machine before somebody may control it.

What is given is given to one connection: a name proves nothing, and is free again as soon as who
had it has left.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from icefloe.logs import get_logger
from icefloe.text import printable

logger = get_logger(__name__)

ANSWERING = 60.0
"""Seconds in which a question has to be answered; no answer is a no."""

QUIET = 10.0
"""Seconds after a no in which nobody is asked about, so that nobody is worn down by questions."""

NAME_MOST = 64
"""Characters of a name that a question shows."""

Consent: TypeAlias = Callable[[str], Awaitable[bool]]
"""Asks whether somebody of this name may control this machine, once for each connection.

It is cancelled when the connection ends before there is an answer.
"""


async def everybody(name: str) -> bool:
    """Give control to whoever wants it, unasked."""
    return True


async def ask_on_terminal(name: str) -> bool:
    """Ask the person at the terminal; where there is none, the answer is no.

    Args:
        name: Who wants control.

    Cancellation: safe; the question is withdrawn.
    """
    stdin = sys.stdin
    if stdin is None or stdin.closed or not stdin.isatty():
        logger.warning(
            "%s is not given control: there is no terminal to ask at. --allow-control gives it "
            "to whoever wants it",
            printable(name, NAME_MOST),
        )
        return False
    forget_typed(stdin.fileno())
    sys.stderr.write(
        f"{printable(name, NAME_MOST)} wants to control this machine, "
        "and could then do all that you can. Allow it? [y/N] "
    )
    sys.stderr.flush()
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(stdin.fileno(), ready.set)
    try:
        async with asyncio.timeout(ANSWERING):
            await ready.wait()
    except TimeoutError:
        sys.stderr.write("no answer, so no\n")
        return False
    except asyncio.CancelledError:
        sys.stderr.write("(gone)\n")
        raise
    finally:
        loop.remove_reader(stdin.fileno())
    # A terminal gives a line at once.
    answer = os.read(stdin.fileno(), 1024).decode(errors="replace")
    return answer.strip().lower() in ("y", "yes")


def forget_typed(terminal: int) -> None:
    """Throw away what was typed before there was a question, which is no answer to it."""
    try:
        import termios
    except ImportError:
        return
    termios.tcflush(terminal, termios.TCIFLUSH)
