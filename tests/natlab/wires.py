"""Wires that delay and lose packets: a process each, see :mod:`tests.natlab.wire`."""

import json
import sys
from dataclasses import asdict, dataclass

from tests.natlab.namespace import PIPE, Namespace, Process, stop
from tests.natlab.spec import Wire


@dataclass(frozen=True, slots=True)
class RunningWire:
    """A wire between two namespaces."""

    process: Process

    async def change(self, wire: Wire) -> None:
        """Let it treat packets otherwise, once this returns."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asdict(wire)).encode() + b"\n")
        await self.process.stdin.drain()
        if not await self.process.stdout.readline():
            raise ConnectionError("the wire's process has ended")

    async def close(self) -> None:
        """End the process; both devices vanish with it."""
        await stop(self.process)
        if self.process.stdin is not None:
            self.process.stdin.close()


async def start_wire(
    lower: tuple[Namespace, str], upper: tuple[Namespace, str], wire: Wire
) -> RunningWire:
    """Make a device in each of two namespaces, and carry the packets between them."""
    (lower_namespace, lower_device), (upper_namespace, upper_device) = lower, upper
    process = await lower_namespace.start(
        sys.executable,
        "-m",
        "tests.natlab.wire",
        lower_namespace.path,
        lower_device,
        upper_namespace.path,
        upper_device,
        stdin=PIPE,
        stdout=PIPE,
    )
    running = RunningWire(process)
    try:
        await running.change(wire)
    except BaseException:
        await running.close()
        raise
    return running
