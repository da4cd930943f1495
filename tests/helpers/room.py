"""Room for a few tests at a time, whichever worker runs them, beside any number of others."""

import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

if sys.platform != "win32":
    import fcntl

_PAUSE = 0.05


def folder(run: int) -> Path:
    """Return where the workers of a run see of each other who has room.

    Args:
        run: The number of the process that directs them.
    """
    return Path(tempfile.gettempdir()) / f"icefloe-room-{run}"


@contextmanager
def room(run: int, count: int) -> Iterator[None]:
    """Wait until there is room, and take it until the end of the block, or of the process.

    Args:
        run: As for :func:`folder`.
        count: How many have room at a time.
    """
    folder(run).mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        places = [
            stack.enter_context((folder(run) / str(number)).open("w")) for number in range(count)
        ]
        while not any(_takes(place) for place in places):
            time.sleep(_PAUSE)
        yield


def _takes(place: IO[str]) -> bool:
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def clear(run: int) -> None:
    """Remove what was made for a run that is over."""
    shutil.rmtree(folder(run), ignore_errors=True)
