"""uvicorn and hypercorn as programs, started by their commands, with the application."""

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from icefloe.signaling import Candidate, IceCandidate, PeerCandidate, PeerJoined, connect
from icefloe.signaling.sockets import cut_off
from tests.documents.blocks import ROOT
from tests.helpers import complaints
from tests.signaling.test_asgi import get

pytestmark = pytest.mark.slow

OpenRaw = Callable[..., Awaitable[Any]]
_UVICORN = ("--port", "0", "--ws-max-size", "262144", "--ws-per-message-deflate", "false")
COMMANDS = {
    "uvicorn": ("uvicorn", *_UVICORN, "--timeout-graceful-shutdown", "2"),
    "hypercorn": (
        "hypercorn",
        "--workers",
        "0",
        "--bind",
        "127.0.0.1:0",
        "--graceful-timeout",
        "1",
    ),
}


@asynccontextmanager
async def running(name: str) -> AsyncIterator[tuple[Process, int]]:
    """Run the command of an ASGI server; yield the process and its port."""
    program, *options = COMMANDS[name]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", program, "tests.signaling.served:app", *options),
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=DEVNULL,
        stderr=PIPE,
    )
    assert process.stderr is not None
    printed = b""
    try:
        while (found := re.search(rb"unning on http://127.0.0.1:(\d+)", printed)) is None:
            line = await process.stderr.readline()
            assert line, printed
            printed += line
        yield process, int(found[1])
    finally:
        if process.returncode is None:
            process.kill()
        _, rest = await process.communicate()
        if name == "uvicorn":  # hypercorn prints tracebacks of what it cancels at its end
            complaints.search(name, (printed + rest).decode(errors="replace"))


def memory(process: Process) -> int:
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_program_serves_until_it_is_told_to_end(name: str, open_raw: OpenRaw) -> None:
    async with running(name) as (process, port):
        url = f"ws://127.0.0.1:{port}/ws"
        assert (await get(port, "/readyz")).body == b"ready\n"
        assert b"<!doctype html>" in (await get(port, "/")).body.lower()
        async with (
            connect(url, room="lobby", name="alice") as alice,
            connect(url, room="lobby", name="bob") as bob,
        ):
            assert isinstance(await anext(alice), PeerJoined)
            sent = [IceCandidate(f"candidate:{number}", sdpMid="0") for number in range(100)]
            for candidate in sent:
                await bob.send(Candidate(alice.id, candidate))
            for candidate in sent:
                event = await anext(alice)
                assert isinstance(event, PeerCandidate)
                assert event.candidate == candidate
        client = await open_raw(url)
        await client.join("carol")
        process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed):
            while True:
                await client.hear()
        # None of these is final for a client: it comes back to the next process.
        assert client.socket.close_code in (1001, 1006, 1011, 1012)
        await process.wait()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("kind", ["small", "large", "huge"])
async def test_a_flood_takes_a_bounded_part_of_the_memory(name: str, kind: str) -> None:
    frame = {
        "small": Frame(Opcode.TEXT, b"{}").serialize(mask=True) * 5000,
        "large": Frame(Opcode.TEXT, b"x" * 60_000).serialize(mask=True),
        "huge": Frame(Opcode.TEXT, b"x" * 1_000_000, fin=False).serialize(mask=True),
    }[kind]
    async with running(name) as (process, port):
        url = f"ws://127.0.0.1:{port}/ws"
        sockets = [await open_websocket(url, compression=None) for _ in range(10)]
        before = memory(process)

        async def flood(socket: Any) -> None:
            with suppress(OSError, ConnectionClosed):
                while not socket.transport.is_closing():
                    socket.transport.write(frame)
                    await socket.drain()
                    await asyncio.sleep(0)

        floods = [asyncio.create_task(flood(socket)) for socket in sockets]
        await asyncio.wait(floods, timeout=3)
        # What the ASGI server reads of a connection at once, as messages, and what was copied.
        assert memory(process) - before < 10 * 16 * 1024 * 1024
        async with connect(url, room="lobby", name="bystander"):
            pass
        for task in floods:
            task.cancel()
        await asyncio.wait(floods)
        for socket in sockets:
            cut_off(socket)
            with suppress(ConnectionClosed):
                await socket.recv()
