"""Work that is done to its end although its caller is cancelled."""

import asyncio

import pytest

from icefloe.peer._util.uninterrupted import cancelled_at_the_end, to_the_end


async def steps(done: list[str], name: str, gate: asyncio.Event) -> str:
    await gate.wait()
    done.append(name)
    return name


async def test_all_of_a_block_is_done_and_the_cancellation_comes_after_it() -> None:
    done: list[str] = []
    gate = asyncio.Event()

    async def work() -> None:
        async with cancelled_at_the_end():
            assert await to_the_end(steps(done, "one", gate)) == "one"
            assert await to_the_end(steps(done, "two", gate)) == "two"
        done.append("after")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    task.cancel()  # who is in a hurry changes nothing
    await asyncio.sleep(0)
    assert not task.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["one", "two"]


async def test_without_a_cancellation_nothing_is_raised() -> None:
    gate = asyncio.Event()
    gate.set()
    async with cancelled_at_the_end():
        assert await to_the_end(steps([], "one", gate)) == "one"


async def test_an_error_is_raised_at_once() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        async with cancelled_at_the_end():
            await to_the_end(fail())


async def test_a_timeout_around_it_is_told_as_one() -> None:
    done: list[str] = []
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit, cancelled_at_the_end():
            loop.call_soon(limit.reschedule, loop.time())
            loop.call_later(0.05, gate.set)
            await to_the_end(steps(done, "one", gate))
    assert done == ["one"]
    await asyncio.sleep(0)  # and nothing is left of it
