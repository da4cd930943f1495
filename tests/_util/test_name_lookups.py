"""Names that are looked up while no name server answers: how many threads that takes."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from icefloe._util import name_lookups
from icefloe._util.name_lookups import MAX_LOOKUPS, MAX_LOOKUPS_PER_NAME, shared


class Resolver:
    """A resolver that answers when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self._answers = threading.Event()

    def look_up(self) -> int:
        self.asked += 1
        self._answers.wait()
        return self.asked

    def answer(self) -> None:
        self._answers.set()
        for thread in threads():
            thread.join()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "icefloe-resolve"]


@pytest.fixture
def dead() -> Iterator[Resolver]:
    resolver = Resolver()
    yield resolver
    resolver.answer()


async def given_up(key: str, resolver: Resolver) -> None:
    """Look a name up, as somebody does who has no time to wait."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await shared(key, resolver.look_up)


async def test_those_who_look_up_a_name_at_the_same_time_share_one_thread(dead: Resolver) -> None:
    for _ in range(500):
        await given_up("turn.example", dead)
    waiting = [asyncio.create_task(shared("turn.example", dead.look_up)) for _ in range(500)]
    await asyncio.sleep(0)
    assert len(threads()) == 1
    waiting[0].cancel()
    await asyncio.sleep(0)
    dead.answer()
    assert await asyncio.gather(*waiting[1:]) == [1] * 499
    # What was answered is looked up anew: it may be another address by now.
    assert await shared("turn.example", dead.look_up) == 2


async def test_one_that_is_old_is_not_waited_for_but_a_few_are_the_limit(
    dead: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_lookups, "SHARE_SECONDS", 0.0)
    for number in range(20):
        await given_up("turn.example", dead)
        assert len(threads()) == min(number + 1, MAX_LOOKUPS_PER_NAME)


async def test_names_without_end_are_refused(dead: Resolver) -> None:
    for number in range(MAX_LOOKUPS):
        await given_up(f"{number}.example", dead)
    for number in range(1000):
        with pytest.raises(OSError, match="64 names"):
            await shared(f"more-{number}.example", dead.look_up)
    assert len(threads()) == MAX_LOOKUPS
    await given_up("0.example", dead)  # one that is looked up already can be waited for
    dead.answer()
    assert await shared("more.example", dead.look_up) == MAX_LOOKUPS + 1


@pytest.mark.parametrize("error", [OSError("no such name"), ValueError("no name"), KeyError("x")])
async def test_all_who_wait_get_the_error(error: Exception) -> None:
    begun, ends = threading.Event(), threading.Event()

    def fail() -> None:
        begun.set()
        ends.wait()
        raise error

    waiting = [asyncio.create_task(shared("x", fail)) for _ in range(3)]
    await asyncio.sleep(0)
    begun.wait()
    ends.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert outcomes == [error] * 3


def test_an_event_loop_that_ended_meanwhile_does_no_harm(dead: Resolver) -> None:
    asyncio.run(given_up("turn.example", dead))
    assert len(threads()) == 1
    dead.answer()


def test_threads_that_cannot_be_had_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    for _ in range(2):
        with pytest.raises(OSError, match="no further thread"):
            asyncio.run(shared("x", lambda: None))
