"""A Redis of its own for a test, which is killed, stopped and started again on demand."""

import asyncio
import os
import signal
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError

from tests.helpers import system


class RedisServer:
    """A redis-server at a socket in a folder of its own, which writes everything to the disk.

    Args:
        folder: Where its socket and its data are.
        options: Further options of its command line.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options
        self.process: Process | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/redis.sock"

    def client(self) -> Redis:
        return Redis.from_url(self.url, protocol=2)

    async def start(self) -> None:
        """Start it, with the data that it has, and wait until it answers."""
        program = system.find("redis-server")
        assert program is not None
        self.process = await asyncio.create_subprocess_exec(
            program,
            *(
                "--port",
                "0",
                "--unixsocket",
                f"{self.folder}/redis.sock",
                "--dir",
                str(self.folder),
            ),
            *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
            *self.options,
            stdout=DEVNULL,
            stderr=DEVNULL,
        )
        async with self.client() as client:
            while True:
                try:
                    await client.ping()
                except AuthenticationError:
                    pass
                except (RedisError, OSError):
                    await asyncio.sleep(0.02)
                    continue
                return

    async def kill(self) -> None:
        """Kill it."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    def forget_all(self) -> None:
        """Remove its data, while it does not run."""
        for file in sorted(self.folder.rglob("*"), reverse=True):
            if file.is_dir():
                file.rmdir()
            else:
                file.unlink()

    def stop(self) -> None:
        """Have the kernel stop it: its connections stay open and nothing is answered."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)


@asynccontextmanager
async def redis_server(*options: str) -> AsyncIterator[RedisServer]:
    """Run a Redis until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        server = RedisServer(Path(folder), *options)
        await server.start()
        try:
            yield server
        finally:
            await server.kill()
