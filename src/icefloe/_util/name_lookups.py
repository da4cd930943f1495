"""Names of hosts that are being looked up: each once at a time, and not too many of them."""

import asyncio
import concurrent.futures
import errno
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

MOST = 64
"""Look-ups that run at a time. Each has a thread that nothing can end before the system's resolver
gives up, which takes 30 s and more without a name server that answers."""

MOST_OF_ONE = 4
"""Look-ups of the same name that run at a time."""

FRESH = 5.0
"""Seconds for which one is shared by who comes later: one that was begun in a network that is gone
gets no answer in the next one."""


@dataclass(frozen=True, slots=True, eq=False)
class _Lookup:
    started: float
    outcome: "concurrent.futures.Future[Any]"


_running: dict[Hashable, list[_Lookup]] = {}
_lock = threading.Lock()


async def shared(key: Hashable, look_up: Callable[[], T]) -> T:
    """Look something up in a daemon thread, or wait for one that does so already.

    The loop's default executor is left to those who encode in it: a name server that does not
    answer occupies none of its threads, and the end of the program waits for nothing. How often the
    other side of a connection has names looked up does not decide how many threads there are.

    Args:
        key: What is looked up, and how; equal keys share an outcome.
        look_up: Looks it up.

    Raises:
        OSError: There are :data:`MOST` already. What ``look_up`` raises is raised here.

    Cancellation: safe; the outcome is then ignored.
    """
    return await asyncio.wrap_future(_join(key, look_up))


def _join(key: Hashable, look_up: Callable[[], T]) -> "concurrent.futures.Future[T]":
    """Return the outcome of the youngest look-up of a key, begun now if that is due."""
    now = time.monotonic()
    with _lock:
        same = _running.get(key, [])
        if same and (now - same[-1].started < FRESH or len(same) >= MOST_OF_ONE):
            return same[-1].outcome
        if sum(map(len, _running.values())) >= MOST:
            raise OSError(
                errno.EAGAIN, f"{MOST} names are being looked up, and no name server answers"
            )
        outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
        # From now on who waits for it cannot cancel it for the others.
        outcome.set_running_or_notify_cancel()
        lookup = _Lookup(now, outcome)
        _running[key] = [*same, lookup]
    thread = threading.Thread(
        target=_run, args=(key, lookup, look_up), name="icefloe-resolve", daemon=True
    )
    try:
        thread.start()
    except RuntimeError as error:
        _forget(key, lookup)
        raise OSError(errno.EAGAIN, "there can be no further thread to look up a name") from error
    return outcome


def _run(key: Hashable, lookup: _Lookup, look_up: Callable[[], object]) -> None:
    result, failure = None, None
    try:
        result = look_up()
    except Exception as error:
        failure = error  # for those who wait
    finally:
        _forget(key, lookup)
    if failure is not None:
        lookup.outcome.set_exception(failure)
    else:
        lookup.outcome.set_result(result)


def _forget(key: Hashable, lookup: _Lookup) -> None:
    with _lock:
        left = [other for other in _running[key] if other is not lookup]
        if left:
            _running[key] = left
        else:
            del _running[key]
