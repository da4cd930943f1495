"""A bounded queue with an end."""

import asyncio

import pytest

from icefloe._util.bounded_queue import BoundedQueue


async def test_items_come_in_order() -> None:
    inbox: BoundedQueue[int] = BoundedQueue(3)
    for item in (1, 2, 3):
        await inbox.put(item)
    assert [await inbox.get() for _ in range(3)] == [1, 2, 3]


async def test_putting_waits_for_room() -> None:
    inbox: BoundedQueue[int] = BoundedQueue(1)
    await inbox.put(1)
    async with asyncio.TaskGroup() as group:
        putting = group.create_task(inbox.put(2))
        await asyncio.sleep(0)
        assert not putting.done()
        assert await inbox.get() == 1
        assert await inbox.get() == 2


async def test_putting_waits_for_what_weighs_too_much_together() -> None:
    inbox: BoundedQueue[str] = BoundedQueue(10, 100)
    await inbox.put("of any weight", 1000)
    async with asyncio.TaskGroup() as group:
        putting = group.create_task(inbox.put("light", 1))
        await asyncio.sleep(0)
        assert not putting.done()
        assert await inbox.get() == "of any weight"
    await inbox.put("the rest", 99)
    async with asyncio.TaskGroup() as group:
        putting = group.create_task(inbox.put("one more", 1))
        await asyncio.sleep(0)
        assert not putting.done()
        assert await inbox.get() == "light"
    assert [await inbox.get() for _ in range(2)] == ["the rest", "one more"]


async def test_without_waiting_an_item_is_refused_where_there_is_no_room() -> None:
    inbox: BoundedQueue[str] = BoundedQueue(2, 100)
    assert inbox.is_empty and not inbox.is_full
    assert inbox.put_nowait("of any weight", 1000)
    assert not inbox.is_empty and inbox.is_full
    assert not inbox.put_nowait("light")
    assert await inbox.get() == "of any weight"
    assert inbox.put_nowait("light", 1) and not inbox.is_full
    assert not inbox.put_nowait("heavy", 100)
    assert inbox.put_nowait("the rest", 99) and inbox.is_full
    assert not inbox.put_nowait("one too many")
    assert [await inbox.get() for _ in range(2)] == ["light", "the rest"]
    inbox.end()
    assert not inbox.put_nowait("late")
    assert inbox.is_empty


async def test_getting_waits_for_an_item() -> None:
    inbox: BoundedQueue[int] = BoundedQueue(1)
    async with asyncio.TaskGroup() as group:
        getting = group.create_task(inbox.get())
        await asyncio.sleep(0)
        await inbox.put(1)
    assert getting.result() == 1


async def test_the_end_comes_after_the_items() -> None:
    inbox: BoundedQueue[int] = BoundedQueue(2)
    await inbox.put(1)
    inbox.end()
    await inbox.put(2)  # dropped
    assert await inbox.get() == 1
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await inbox.get()


async def test_the_first_end_is_the_end() -> None:
    inbox: BoundedQueue[int] = BoundedQueue(2)
    inbox.end(ValueError("first"))
    inbox.end()
    for _ in range(2):
        with pytest.raises(ValueError, match="first"):
            await inbox.get()


async def test_the_end_wakes_who_waits() -> None:
    inbox: BoundedQueue[int] = BoundedQueue(1)
    await inbox.put(1)
    async with asyncio.TaskGroup() as group:
        group.create_task(inbox.put(2))
        await asyncio.sleep(0)
        inbox.end()
    empty: BoundedQueue[int] = BoundedQueue(1)
    getting = asyncio.create_task(empty.get())
    await asyncio.sleep(0)
    empty.end(ValueError("over"))
    with pytest.raises(ValueError, match="over"):
        await getting


async def test_cancelling_loses_no_item() -> None:
    inbox: BoundedQueue[int] = BoundedQueue(1)
    getting = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    await inbox.put(1)
    getting.cancel()
    await asyncio.wait((getting,))
    assert await inbox.get() == 1
    await inbox.put(2)
    putting = asyncio.create_task(inbox.put(3))
    await asyncio.sleep(0)
    putting.cancel()
    await asyncio.wait((putting,))
    assert await inbox.get() == 2
    inbox.end()
    with pytest.raises(StopAsyncIteration):
        await inbox.get()


async def test_who_takes_many_lets_others_have_their_turn() -> None:
    inbox: BoundedQueue[int] = BoundedQueue(100)
    for number in range(100):
        await inbox.put(number)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(others())
    assert [await inbox.get() for _ in range(100)] == list(range(100))
    assert turns >= 99
    counting.cancel()
