"""Tasks, threads, sockets and files that a test left behind."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import complaints

_SETTLE = 2.0
"""Seconds that something which is on its way out may take to be gone."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a process holds that must be given back."""

    tasks: frozenset["asyncio.Task[Any] | None"]
    threads: frozenset[threading.Thread]
    files: frozenset[str]

    @classmethod
    def take(cls) -> "Snapshot":
        """Look at this process, from inside the running event loop."""
        return cls(
            tasks=frozenset(asyncio.all_tasks() - {asyncio.current_task()}),
            threads=frozenset(t for t in threading.enumerate() if not _is_executors(t)),
            files=frozenset(open_files()),
        )

    def since(self, before: "Snapshot") -> list[str]:
        """Describe what is here now and was not before."""
        return [
            *(f"task {task!r}" for task in self.tasks - before.tasks),
            *(f"thread {thread!r}" for thread in self.threads - before.threads),
            *(f"open file {name}" for name in self.files - before.files),
        ]


def _is_executors(thread: threading.Thread) -> bool:
    # The loop's own executor keeps its threads until the loop is closed.
    return thread.name.startswith("asyncio_")


def open_files() -> set[str]:
    """Name every open descriptor of the process; sockets by inode, so that a reuse is seen."""
    folder = Path("/proc/self/fd")
    if not folder.exists():
        return set()
    names = set()
    for entry in folder.iterdir():
        try:
            target = os.readlink(entry)
        except OSError:
            continue  # the descriptor of the folder itself, gone by now
        if not target.startswith(("/dev/", "/proc/", "anon_inode:")):
            names.add(f"{entry.name} -> {target}")
    return names


async def left_behind(before: Snapshot) -> list[str]:
    """Return what is left since the snapshot, once what is on its way out is gone."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _SETTLE
    while (left := Snapshot.take().since(before)) and loop.time() < deadline:
        await asyncio.sleep(0.01)
    return left


@asynccontextmanager
async def nothing_left(name: str) -> AsyncIterator[None]:
    """Fail a test if something is left at the end of the block, or an error that nobody read.

    Args:
        name: The test's.
    """
    before = Snapshot.take()
    complaints.taken()
    with complaints.logged():
        yield
        left = await left_behind(before)
        left += complaints.unread()
    if left := left + complaints.taken():
        pytest.fail(f"{name} left behind:\n  " + "\n  ".join(left))
