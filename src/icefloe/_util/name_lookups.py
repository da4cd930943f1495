"""Shared DNS look-ups in daemon threads: few for one name, and a bounded number in total."""

import asyncio
import concurrent.futures
import errno
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

MAX_LOOKUPS = 64
"""Look-ups that run at the same time. Each has a thread that cannot be ended before the resolver of
the system gives up, which takes 30 s or more if no name server answers."""

MAX_LOOKUPS_PER_NAME = 4
"""Look-ups of the same name that run at the same time."""

SHARE_SECONDS = 5.0
"""Seconds for which later callers share a look-up. After a change of networks a look-up of before
gets no answer, so a new one has to be started."""


@dataclass(frozen=True, slots=True, eq=False)
class _Lookup:
    started: float
    outcome: "concurrent.futures.Future[Any]"


_running: dict[Hashable, list[_Lookup]] = {}
_lock = threading.Lock()


async def shared(key: Hashable, look_up: Callable[[], T]) -> T:
    """Run a look-up in a daemon thread, or wait for one with the same key that runs already.

    Not in the loop's default executor: a name server that does not answer would occupy its threads,
    which encoders use, and the interpreter would wait for them at its exit. The number of threads
    is bounded, however often a remote peer causes look-ups.

    Args:
        key: The name and the kind of look-up; callers with equal keys share the result.
        look_up: The blocking function that does the look-up.

    Returns:
        The result of ``look_up``.

    Raises:
        OSError: :data:`MAX_LOOKUPS` look-ups are running already.
        Exception: The exception of ``look_up``.

    Cancellation: safe; the result is then ignored.
    """
    return await asyncio.wrap_future(_join(key, look_up))


def _join(key: Hashable, look_up: Callable[[], T]) -> "concurrent.futures.Future[T]":
    """Return the future of the latest look-up of a key; start a new one if necessary."""
    now = time.monotonic()
    with _lock:
        same = _running.get(key, [])
        if same and (now - same[-1].started < SHARE_SECONDS or len(same) >= MAX_LOOKUPS_PER_NAME):
            return same[-1].outcome
        if sum(map(len, _running.values())) >= MAX_LOOKUPS:
            raise OSError(
                errno.EAGAIN, f"{MAX_LOOKUPS} names are being looked up, and no name server answers"
            )
        outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
        # A caller that is cancelled can now no longer cancel it for the other callers.
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
