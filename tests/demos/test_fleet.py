"""Many processes: the assignment of rooms, and a fleet whose workers end and come back."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from hypothesis import given, strategies as st

from icefloe.demos.fleet import Assignment, Fleet, FleetSettings, assignment, owner
from icefloe.demos.fleet.assignment import Order
from icefloe.peer import DataChannel, Room, join
from tests.documents.blocks import ROOT
from tests.helpers.calls import eventually
from tests.helpers.turn import free_port

WORKERS = st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=6)


# --- assignment


@given(WORKERS, st.text(max_size=64), st.text(min_size=1, max_size=8))
def test_a_room_moves_only_to_a_worker_that_comes(
    workers: set[str], room: str, newcomer: str
) -> None:
    before = owner(room, workers)
    assert before in workers
    assert owner(room, workers | {newcomer}) in {before, newcomer}
    assert owner(room, sorted(workers, reverse=True)) == before


def test_the_rooms_of_a_worker_that_goes_spread_over_all_others() -> None:
    workers = [f"worker-{number}" for number in range(4)]
    rooms = [f"room {number}" for number in range(1000)]
    counts = dict.fromkeys(workers, 0)
    taken_over = set()
    for room in rooms:
        chosen = owner(room, workers)
        assert chosen is not None
        counts[chosen] += 1
        if chosen == "worker-0":
            taken_over.add(owner(room, workers[1:]))
        else:
            assert owner(room, workers[1:]) == chosen
    assert min(counts.values()) > 150
    assert taken_over == set(workers[1:])
    assert owner("room", []) is None


def started(*workers: str) -> Assignment:
    fleet = Assignment()
    for worker in workers:
        assert fleet.add(worker) == []
    return fleet


def test_a_room_waits_for_a_worker() -> None:
    fleet = Assignment()
    assert fleet.wanted("room") == []
    assert fleet.rooms == {"room": None}
    assert [order.room for order in fleet.add("one")] == ["room"]
    assert fleet.rooms == {"room": "one"}


def test_a_room_stays_with_its_worker_until_it_is_empty() -> None:
    fleet = started("one")
    (first,) = fleet.wanted("room")
    fleet.add("two")
    (second,) = fleet.wanted("room")
    assert (second.worker, second.number > first.number) == ("one", True)
    # The bot left before it heard of the second participant: the room is still the worker's.
    assert fleet.left("one", "room", first.number, is_empty=True) == []
    assert fleet.rooms == {"room": "one"}
    assert fleet.left("one", "room", second.number, is_empty=True) == []
    assert fleet.rooms == {}
    assert fleet.left("one", "room", second.number, is_empty=True) == []


def test_a_worker_that_drains_gets_no_rooms_and_hands_over_those_with_somebody_in_them() -> None:
    fleet = started("one", "two")
    orders = [order for number in range(20) for order in fleet.wanted(f"room {number}")]
    own = [order for order in orders if order.worker == "one"]
    assert own
    fleet.drain("one")
    assert all(
        order.worker == "two" for number in range(20, 40) for order in fleet.wanted(f"{number}")
    )
    (handed,) = fleet.left("one", own[0].room, own[0].number, is_empty=False)
    assert (handed.worker, handed.room) == ("two", own[0].room)
    rest = fleet.remove("one")
    assert {order.room for order in rest} == {order.room for order in own[1:]}
    assert {order.worker for order in rest} == {"two"}
    assert set(fleet.rooms.values()) == {"two"}


def test_somebody_who_comes_while_a_worker_drains_is_not_forgotten() -> None:
    fleet = started("one")
    (first,) = fleet.wanted("room")
    fleet.drain("one")
    fleet.add("two")
    fleet.wanted("room")  # goes to "one", which has just left
    (order,) = fleet.left("one", "room", first.number, is_empty=True)
    assert order.worker == "two"
    assert fleet.left("one", "room", order.number - 1, is_empty=False) == []
    assert fleet.rooms == {"room": "two"}


def test_without_another_worker_the_room_waits() -> None:
    fleet = started("one")
    fleet.wanted("room")
    assert fleet.remove("one") == []
    assert fleet.rooms == {"room": None}
    assert fleet.add("two") == [Order("two", "room", 3)]


def test_the_number_of_rooms_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assignment, "MOST_ROOMS", 2)
    fleet = started("one")
    assert [len(fleet.wanted(f"room {number}")) for number in range(4)] == [1, 1, 0, 0]
    assert len(fleet.wanted("room 0")) == 1


# --- processes


@asynccontextmanager
async def visiting(url: str, room: str) -> AsyncIterator[Room]:
    async with join(url, room=room, name="guest") as joined:
        yield joined


async def ask(room: Room) -> int:
    """Return the process of the bot that answers in a room now."""
    peer = room.peers[0] if room.peers else await anext(aiter(room))
    channel: DataChannel = await peer.open_channel("chat")
    await channel.send("pid")
    answer = await channel.receive()
    assert isinstance(answer, str)
    assert answer.startswith("pid ")
    return int(answer.removeprefix("pid "))


async def asked_of_another(room: Room, pid: int) -> int:
    """Return the process of the bot that comes after that of another process has gone."""
    async for peer in room:
        channel = await peer.open_channel("chat")
        await channel.send("pid")
        answer = str(await channel.receive())
        if int(answer.removeprefix("pid ")) != pid:
            return int(answer.removeprefix("pid "))
    raise AssertionError("the room is left")


@asynccontextmanager
async def fleet(monkeypatch: pytest.MonkeyPatch, **settings: object) -> AsyncIterator[Fleet]:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{os.environ.get('PYTHONPATH', '')}")
    chosen = FleetSettings(
        port=0,
        bot="tests.demos.answering:answer",
        idle=0.5,
        **settings,  # type: ignore[arg-type]
    )
    async with Fleet(chosen) as running:
        yield running


async def test_rooms_of_a_worker_that_is_ended_are_drained_and_taken_by_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = free_port("127.0.0.1")
    async with (
        fleet(monkeypatch, drain=1.0, udp_port=port) as running,
        AsyncExitStack() as stack,
    ):
        rooms: dict[str, Room] = {}
        pids: dict[str, int] = {}
        while len(set(pids.values())) < 2:  # until both workers have one
            name = f"room {len(rooms)}"
            rooms[name] = await stack.enter_async_context(visiting(running.server.url, name))
            pids[name] = await ask(rooms[name])
        assert {running.rooms[name] for name in rooms} == {"worker-0", "worker-1"}
        assert {name: running.pids[str(running.rooms[name])] for name in rooms} == pids
        ended = str(running.rooms["room 0"])
        other = next(worker for worker in running.pids if worker != ended)
        own = [name for name in rooms if running.rooms[name] == ended]
        kept = [name for name in rooms if running.rooms[name] == other]
        os.kill(running.pids[ended], signal.SIGTERM)
        # The calls of the worker go on until it is drained; then the other one has its rooms.
        assert await ask(rooms[own[0]]) == pids[own[0]]
        for name in own:
            assert await asked_of_another(rooms[name], pids[name]) == running.pids[other]
        assert {running.rooms[name] for name in rooms} == {other}
        assert [await ask(rooms[name]) for name in kept] == [pids[name] for name in kept]
        # Another process takes its place, on its port.
        await eventually(lambda: running.pids.get(ended, pids[own[0]]) != pids[own[0]])
        await stack.aclose()
        await eventually(lambda: running.rooms == {})


async def test_a_worker_that_is_killed_loses_its_calls_and_not_its_rooms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with (
        fleet(monkeypatch, drain=0.2) as running,
        visiting(running.server.url, "room") as room,
    ):
        pid = await ask(room)
        os.kill(pid, signal.SIGKILL)
        assert await asked_of_another(room, pid) != pid


async def test_a_room_without_anybody_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    async with fleet(monkeypatch, workers=1, drain=0.2) as running:
        for _ in range(2):
            async with visiting(running.server.url, "room") as room:
                await ask(room)
                assert running.rooms == {"room": "worker-0"}
            await eventually(lambda: running.rooms == {})
    assert running.pids == {}


async def test_calls_go_on_while_the_fleet_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async with AsyncExitStack() as ending:
        running = await ending.enter_async_context(fleet(monkeypatch, drain=250.0))
        async with visiting(running.server.url, "room") as room:
            pid = await ask(room)
            ended = asyncio.create_task(ending.aclose())
            await asyncio.sleep(0)  # the workers are told
            assert await ask(room) == pid
            assert not ended.done()
        await ended  # since nobody is there any more, and long before the time is over
        assert running.pids == {}
