"""A wire for packets by the hundred thousand a second: ``fast_wire.c``, compiled when it is needed.

It does what :mod:`tests.natlab.wire` does, which is too slow for more than some 20,000 packets a
second, and counts what becomes of the packets.
"""

import asyncio
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.natlab.namespace import PIPE, CommandFailed, Namespace, Process, stop
from tests.natlab.spec import Wire

_SOURCE = Path(__file__).with_name("fast_wire.c")


def compiler() -> str | None:
    """Return the C compiler of this machine, if it has one."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


async def build(folder: Path) -> Path:
    """Compile the wire into a folder; return the program.

    Raises:
        CommandFailed: The compiler did not like it.
        FileNotFoundError: There is none.
    """
    cc = compiler()
    if cc is None:
        raise FileNotFoundError("no C compiler: neither cc, gcc nor clang is in PATH")
    program = folder / "fast_wire"
    command = (cc, "-std=gnu11", "-O2", "-o", str(program), str(_SOURCE))
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    out, err = await process.communicate()
    if process.returncode:
        raise CommandFailed(command, process.returncode, (out + err).decode())
    return program


@dataclass(frozen=True, slots=True)
class Counts:
    """The fate of the packets of a wire, from the lower and from the upper end.

    Attributes:
        read: Those that came.
        written: Those that were handed on.
        lost: Those that chance lost.
        queue_full: Those for which the queue of a limited rate had no room.
        wire_full: Those that the program had no room for; it should be none.
        not_taken: Those that the other end did not take.
        worst_lateness_ns: Nanoseconds by which the latest was late, as the machine was busy.
    """

    read: tuple[int, int]
    written: tuple[int, int]
    lost: tuple[int, int]
    queue_full: tuple[int, int]
    wire_full: tuple[int, int]
    not_taken: tuple[int, int]
    worst_lateness_ns: tuple[int, int]


@dataclass(frozen=True, slots=True)
class FastWire:
    """A wire between two namespaces."""

    process: Process

    async def change(self, wire: Wire) -> None:
        """Let it treat packets otherwise, once this returns; those under way are not changed."""
        words = (wire.delay, wire.jitter, wire.loss, wire.rate, wire.queue)
        await self._ask(" ".join(f"{word:.9g}" for word in words) + f" {wire.seed}")

    async def counts(self) -> Counts:
        """Return what has become of the packets so far."""
        told = json.loads(await self._ask("?"))
        return Counts(**{key: tuple(value) for key, value in told.items()})

    async def _ask(self, line: str) -> bytes:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line.encode() + b"\n")
        await self.process.stdin.drain()
        answer = await self.process.stdout.readline()
        if not answer:
            raise ConnectionError("the wire's process has ended")
        return answer

    async def close(self) -> None:
        """End the process; both devices vanish with it."""
        await stop(self.process)
        if self.process.stdin is not None:
            self.process.stdin.close()


async def start_fast_wire(
    program: Path, lower: tuple[Namespace, str], upper: tuple[Namespace, str], wire: Wire
) -> FastWire:
    """Make a device in each of two namespaces, and carry the packets between them.

    Args:
        program: What :func:`build` returned.
        lower: A namespace and the name of the device to make there.
        upper: The other end.
        wire: What it does to packets at first.
    """
    (lower_namespace, lower_device), (upper_namespace, upper_device) = lower, upper
    process = await lower_namespace.start(
        str(program),
        lower_namespace.path,
        lower_device,
        upper_namespace.path,
        upper_device,
        stdin=PIPE,
        stdout=PIPE,
    )
    running = FastWire(process)
    try:
        await running.change(wire)
    except BaseException:
        await running.close()
        raise
    return running
