"""An X server that draws into memory, in the place of a screen."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.helpers import system


@asynccontextmanager
async def x_server(*options: str) -> AsyncIterator[str]:
    """An X server that draws into memory; give its name."""
    program = system.find("Xvfb")
    assert program is not None
    reading, writing = os.pipe()
    server = await asyncio.create_subprocess_exec(
        program,
        "-displayfd",
        str(writing),
        "-screen",
        "0",
        "320x240x24",
        "-nolisten",
        "tcp",
        *options,
        pass_fds=[writing],
        stderr=asyncio.subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as told:
            number = await asyncio.to_thread(told.readline)
        yield f":{number.strip()}"
    finally:
        if server.returncode is None:
            server.terminate()
        await server.wait()
