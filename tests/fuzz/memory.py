"""The memory of the process, and what inputs leave of it behind."""

import gc
import tracemalloc
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from .target import Run

MIB = 1024 * 1024

GROWTH = 32.0
"""MiB by which the process may grow in a run, once it is warm: what a fragmented heap takes."""

PEAK = 64.0
"""MiB that one input may take for a while."""

_STATUS = Path("/proc/self/status")
_ROUNDS = 3


def resident() -> float:
    """Return the MiB of memory that the process has now; 0 where the system does not tell."""
    return _status("VmRSS:")


def peak() -> float:
    """Return the MiB that the process had at most; 0 where the system does not tell."""
    return _status("VmHWM:")


def _status(field: str) -> float:
    if not _STATUS.exists():
        return 0.0
    lines = _STATUS.read_text().splitlines()
    found = next((line for line in lines if line.startswith(field)), f"{field} 0 kB")
    return int(found.split()[1]) / 1024


def settled() -> float:
    """Collect garbage, and return the MiB that the process has then."""
    gc.collect()
    return resident()


def most(run: Run, inputs: Iterable[bytes]) -> tuple[float, bytes]:
    """Return the most MiB that one of some inputs allocates, and that input."""
    worst, who = 0.0, b""
    tracemalloc.start()
    try:
        for data in inputs:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            _quietly(run, data)
            _, high = tracemalloc.get_traced_memory()
            if (high - before) / MIB >= worst:
                worst, who = (high - before) / MIB, data
    finally:
        tracemalloc.stop()
    return worst, who


def left_behind(run: Run, inputs: Sequence[bytes]) -> float:
    """Return the bytes that an input leaves behind, of a round of them that leaves the least.

    What leaks does so in each round; a cache that fills does not.
    """
    started = not tracemalloc.is_tracing()
    if started:
        tracemalloc.start()
    try:
        marks = []
        for _ in range(_ROUNDS + 1):
            for data in inputs:
                _quietly(run, data)
            gc.collect()
            marks.append(tracemalloc.get_traced_memory()[0])
    finally:
        if started:
            tracemalloc.stop()
    # The first round warms up.
    rounds = [after - before for before, after in pairwise(marks)]
    return max(0, min(rounds[1:])) / max(1, len(inputs))


def _quietly(run: Run, data: bytes) -> None:
    with suppress(Exception):  # the oracle's matter
        run(data)
