"""Timing of the client: exponential backoff of reconnects, renewal of ICE servers. No I/O."""

import itertools
import random
from collections.abc import Callable, Iterator

_INITIAL_PAUSE = 0.3
"""Seconds before the first attempt to reconnect, at most."""

_MAX_PAUSE = 7.0
"""Seconds before any attempt to reconnect, at most."""

_MAX_RESTART_PAUSE = 1.0
"""Seconds before each of the first attempts after the server said that it restarts, at most."""

_RESTART_ATTEMPTS = 20
"""The number of these attempts; later ones have the usual pauses."""

_RENEW_AHEAD = 60.0
"""Seconds before the ICE servers expire at which they are renewed."""

_MIN_RENEW_PAUSE = 1.0
"""Seconds between two renewals, at least."""

_LONGEST_RENEW_PAUSE = 2_592_000.0
"""Seconds until ICE servers are renewed, at most: the server says when they expire."""


def pauses(rng: Callable[[], float] = random.random) -> Iterator[float]:
    """Return the seconds to wait before each attempt to reconnect, without end.

    Half of each pause is random, so that the clients of a restarted server do not all reconnect at
    the same time.

    Args:
        rng: Returns random numbers from 0 to 1.
    """
    longest = _INITIAL_PAUSE
    while True:
        yield longest / 2 + rng() * longest / 2
        longest = min(longest * 2, _MAX_PAUSE)


def restart_pauses(rng: Callable[[], float] = random.random) -> Iterator[float]:
    """Return the pauses as :func:`pauses`, for a server that said that it is about to restart.

    It has spread its clients over time, and another one is there in a moment.

    Args:
        rng: Returns random numbers from 0 to 1.
    """
    for pause in itertools.islice(pauses(rng), _RESTART_ATTEMPTS):
        yield min(pause, _MAX_RESTART_PAUSE * (1 + rng()) / 2)
    yield from pauses(rng)


def until_renewal(left: int | float) -> float:
    """Return the seconds after which ICE servers are to be renewed.

    They are renewed a minute before they expire, or after half of the remaining time if that is
    later. If they seem to have expired already, the clock of this machine is wrong, and they are
    renewed after a minute.

    Args:
        left: Seconds until the credentials of the ICE servers expire.
    """
    if left <= 0:
        return _RENEW_AHEAD
    left = min(left, 2 * _LONGEST_RENEW_PAUSE)  # an integer may be too large for a float
    return min(max(left - _RENEW_AHEAD, left / 2, _MIN_RENEW_PAUSE), _LONGEST_RENEW_PAUSE)
