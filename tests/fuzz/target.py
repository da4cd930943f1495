"""A fuzz target: one parser or state machine that reads bytes of another machine.

A module of ``tests/fuzz/targets`` has one as ``TARGET``; that is all there is to adding one.
"""

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKETS = 32
"""Packets that one input has at most."""

TARGETS = Path(__file__).parent / "targets"

Run = Callable[[bytes], object]
"""Takes one input."""


@dataclass(frozen=True, slots=True)
class Target:
    """One parser or state machine that reads foreign bytes.

    Attributes:
        name: The word for it on the command line; also the folder of its corpus.
        seeds: Gives valid inputs, made by the product's own encoders or by hand.
        tokens: What a mutation puts in or over: magic values of the format.
        documented: What it may raise, as its documentation says.
        start: Sets it up, once for all inputs, and gives what takes one of them. An input leaves
            nothing behind that makes the next one slower, and no input changes the meaning of the
            next: what has a state is made anew, or put back.
    """

    name: str
    seeds: Callable[[], Sequence[bytes]]
    tokens: tuple[bytes, ...]
    documented: tuple[type[Exception], ...]
    start: Callable[[], AbstractContextManager[Run]]


def split(data: bytes) -> list[bytes]:
    """Split an input into packets: 2 bytes of length, big-endian, before each of them.

    Any bytes are such a sequence: the last packet is cut short where there is less, and what
    follows the 32nd is left out.
    """
    packets: list[bytes] = []
    at = 0
    while at + 2 <= len(data) and len(packets) < PACKETS:
        size = int.from_bytes(data[at : at + 2])
        packets.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return packets


def join(packets: Iterable[bytes]) -> bytes:
    """Make an input of packets: the reverse of :func:`split`."""
    return b"".join(len(packet).to_bytes(2) + packet for packet in packets)


@contextmanager
def stateless(run: Run) -> Iterator[Run]:
    """Set up nothing, for what has no state: ``start=lambda: stateless(parse)``."""
    yield run


@contextmanager
def event_loop() -> Iterator[Callable[[Coroutine[Any, Any, object]], object]]:
    """Give what runs a coroutine in one event loop, which is closed in the end.

    What asyncio tells the loop's exception handler is logged by asyncio as an error, which the
    oracle sees.
    """
    with asyncio.Runner() as runner:
        yield runner.run


async def settled(done: Awaitable[object] | None = None) -> None:
    """Let the tasks that are ready run, until those that are left wait for something else."""
    if done is not None:
        await done
    for _ in range(8):
        await asyncio.sleep(0)


def names() -> list[str]:
    """Return the names of all targets, as the files of the folder have them."""
    return sorted(path.stem.replace("_", "-") for path in TARGETS.glob("[!_]*.py"))


def load(name: str) -> Target:
    """Import the module of a target, and return the target.

    Raises:
        ModuleNotFoundError: There is none of that name.
    """
    module = importlib.import_module(f"tests.fuzz.targets.{name.replace('-', '_')}")
    target: Target = module.TARGET
    return target
