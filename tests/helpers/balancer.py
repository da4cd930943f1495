"""A load balancer for TCP: connections go to its targets in turn, and past those that refuse."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager


class Balancer:
    """Forwards connections.

    Args:
        targets: Ports of this machine.
    """

    def __init__(self, targets: Sequence[int]) -> None:
        self.targets = list(targets)
        self.port = 0
        self._turn = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def forwarded(self) -> int:
        """The number of connections that it forwards now."""
        return len(self._tasks)

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def join(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        back: asyncio.StreamReader,
        onward: asyncio.StreamWriter,
    ) -> None:
        """Join two connections until one of them ends."""
        self._keep(asyncio.create_task(_connect(reader, writer, back, onward)))

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._keep(asyncio.create_task(self._forward(reader, writer)))

    def _keep(self, task: "asyncio.Task[None]") -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for _ in self.targets:
                self._turn += 1
                target = self.targets[self._turn % len(self.targets)]
                try:
                    back, onward = await asyncio.open_connection("127.0.0.1", target)
                except OSError:
                    continue
                await _connect(reader, writer, back, onward)
                return
        finally:
            writer.transport.abort()


async def _connect(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    back: asyncio.StreamReader,
    onward: asyncio.StreamWriter,
) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(reader, onward, writer))
            group.create_task(_pump(back, writer, onward))
    finally:
        onward.transport.abort()
        writer.transport.abort()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, other: asyncio.StreamWriter
) -> None:
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        other.transport.abort()
    finally:
        if not writer.transport.is_closing():
            writer.close()


@asynccontextmanager
async def balancer(*targets: int) -> AsyncIterator[Balancer]:
    """Run a load balancer until the end of the block."""
    forwarder = Balancer(targets)
    server = await forwarder.start()
    try:
        yield forwarder
    finally:
        server.close()
        await forwarder.end()
