"""A program under ``run()`` ends in order, however it is ended."""

import asyncio
import signal
import sys

import pytest

PROGRAM = """
import asyncio, sys
from icefloe.peer import run

async def main():
    try:
        print("runs", flush=True)
        await asyncio.Event().wait()
    finally:
        {last}
        print("left", flush=True)

run(main())
"""

RETURNS = """
import gc
from icefloe.peer import run

async def main():
    assert gc.get_freeze_count() > 10_000  # no collection goes through what was loaded
    return 42

assert run(main()) == 42
assert gc.get_freeze_count() == 0
"""

RAISES = """
from icefloe.peer import run

async def main():
    raise LookupError("a fault of the program")

run(main())
"""


async def start(program: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=pipe, stderr=pipe
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_signal_cancels_it(number: signal.Signals, code: int) -> None:
    process = await start(PROGRAM.format(last="await asyncio.sleep(0)"))
    assert process.stdout is not None
    assert await process.stdout.readline() == b"runs\n"
    process.send_signal(number)
    assert await process.communicate() == (b"left\n", b"")
    assert process.returncode == code


async def test_a_second_one_kills_what_hangs() -> None:
    process = await start(
        PROGRAM.format(last="print('hangs', flush=True); await asyncio.Event().wait()")
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"runs\n"
    process.send_signal(signal.SIGTERM)
    assert await process.stdout.readline() == b"hangs\n"
    process.send_signal(signal.SIGTERM)
    assert await process.communicate() == (b"", b"")
    assert process.returncode == -signal.SIGTERM


@pytest.mark.parametrize(("program", "code", "told"), [(RETURNS, 0, b""), (RAISES, 1, b"a fault")])
async def test_what_it_returns_and_raises_is_kept(program: str, code: int, told: bytes) -> None:
    process = await start(program)
    _, complaints = await process.communicate()
    assert process.returncode == code, complaints
    assert told in complaints
