"""Broken sockets: what was sent arrives in order, once, or the program is told."""

import asyncio
import itertools
from contextlib import suppress
from typing import Any

import pytest

from icefloe.signaling import (
    Admission,
    Bye,
    Event,
    IceServer,
    Join,
    JoinRefused,
    Limits,
    Message,
    PeerAway,
    PeerBack,
    PeerGone,
    PeerInfo,
    PeerJoined,
    PeerMessage,
    Rejoined,
    Renewed,
    SendQueueFull,
    ServerConfiguration,
    SignalingClient,
    SignalingLost,
    SignalingServer,
    connect,
)
from icefloe.signaling.sockets import is_own_address
from tests.signaling import shells
from tests.signaling.shells import serve

pytestmark = pytest.mark.shells(shells.OWN, "uvicorn", "hypercorn")


async def until(client: SignalingClient, kind: type[Event]) -> list[Event]:
    """Take events up to and with the first of a kind."""
    events: list[Event] = []
    while not events or not isinstance(events[-1], kind):
        events.append(await anext(client))
    return events


async def data(client: SignalingClient, count: int) -> list[Any]:
    """Take events until there were so many messages; return their data."""
    got: list[Any] = []
    while len(got) < count:
        event = await anext(client)
        if isinstance(event, PeerMessage):
            got.append(event.data)
    return got


async def test_what_is_sent_in_both_directions_while_the_socket_is_broken_arrives(
    server: SignalingServer, proxy: Any
) -> None:
    async with (
        connect(server.url, room="lobby", name="alice") as alice,
        connect(proxy.url, room="lobby", name="bob") as bob,
    ):
        id = bob.id
        proxy.refuses = True
        proxy.cut()
        await until(alice, PeerAway)
        assert alice.peers == [PeerInfo(id, "bob", away=True)]
        for number in range(3):
            await alice.send(Message(id, f"to bob {number}"))
            await bob.send(Message(alice.id, f"to alice {number}"))
        proxy.refuses = False
        assert await data(bob, 3) == [f"to bob {number}" for number in range(3)]
        assert await until(alice, PeerBack) == [PeerBack(id)]
        assert await data(alice, 3) == [f"to alice {number}" for number in range(3)]
        assert bob.id == id
        assert alice.peers == [PeerInfo(id, "bob")]


async def test_what_a_dead_socket_swallowed_arrives_once(
    server: SignalingServer, proxy: Any
) -> None:
    async with (
        connect(server.url, room="lobby", name="alice") as alice,
        connect(proxy.url, room="lobby", name="bob") as bob,
    ):
        await alice.send(Message(bob.id, "before"))
        await bob.send(Message(alice.id, "before"))
        assert await data(alice, 1) + await data(bob, 1) == ["before", "before"]
        proxy.swallows = True
        for number in range(20):
            await alice.send(Message(bob.id, number))
            await bob.send(Message(alice.id, number))
        # The server has written all of alice's to bob's socket once it answers her.
        await alice.send(Bye("nobody"))
        while isinstance(await anext(alice), PeerMessage | PeerJoined):
            pass
        proxy.swallows = False
        proxy.cut()
        await alice.send(Message(bob.id, "after"))
        await bob.send(Message(alice.id, "after"))
        assert await data(alice, 21) == [*range(20), "after"]
        assert await data(bob, 21) == [*range(20), "after"]


async def test_many_breaks_lose_nothing_and_repeat_nothing(
    server: SignalingServer, proxy: Any
) -> None:
    over = asyncio.Event()
    got: tuple[list[int], list[int]] = ([], [])

    async def send(client: SignalingClient, to: str) -> int:
        count = 0
        while not over.is_set():
            with suppress(SendQueueFull):
                await client.send(Message(to, count))
                count += 1
            await asyncio.sleep(0.005)
        await client.send(Message(to, "end"))
        return count

    async def receive(client: SignalingClient, to: list[int]) -> None:
        while (message := (await data(client, 1))[0]) != "end":
            to.append(message)

    async def disturb() -> None:
        for _ in range(4):
            proxy.swallowed = asyncio.Semaphore(0)
            proxy.swallows = True
            for _ in range(10):
                await proxy.swallowed.acquire()
            proxy.cut()
            proxy.swallows = False
            for numbers in got:
                wanted = len(numbers) + 50
                while len(numbers) < wanted:
                    await asyncio.sleep(0.005)
        over.set()

    async with (
        connect(proxy.url, room="lobby", name="alice") as alice,
        connect(proxy.url, room="lobby", name="bob") as bob,
        asyncio.TaskGroup() as group,
    ):
        sent = group.create_task(send(bob, alice.id)), group.create_task(send(alice, bob.id))
        for client, numbers in zip((alice, bob), got, strict=True):
            group.create_task(receive(client, numbers))
        await disturb()
    assert got == tuple(list(range(count.result())) for count in sent)


async def test_what_happened_in_the_room_meanwhile_is_told(
    server: SignalingServer, proxy: Any
) -> None:
    async with (
        connect(server.url, room="lobby", name="watcher") as watcher,
        connect(server.url, room="lobby", name="alice") as alice,
        connect(proxy.url, room="lobby", name="bob") as bob,
    ):
        proxy.refuses = True
        proxy.cut()
        await until(watcher, PeerAway)
        await alice.close()
        async with connect(server.url, room="lobby", name="carol") as carol:
            await carol.send(Message(bob.id, "hello"))
            proxy.refuses = False
            events = await until(bob, PeerMessage)
            assert events == [
                PeerGone(alice.id, "left"),
                PeerJoined(PeerInfo(carol.id, "carol")),
                PeerMessage(carol.id, "hello", 1),
            ]
            assert [peer.name for peer in bob.peers] == ["watcher", "carol"]


async def test_more_than_can_wait_is_told(server: SignalingServer, proxy: Any) -> None:
    async with (
        connect(server.url, room="lobby", name="alice") as alice,
        connect(proxy.url, room="lobby", name="bob") as bob,
    ):
        proxy.refuses = True
        proxy.cut()
        await until(alice, PeerAway)
        for number in range(256):
            await bob.send(Message(alice.id, number))
        with pytest.raises(SendQueueFull) as caught:
            await bob.send(Message(alice.id, "too much"))
        assert caught.value.waiting == 256
        proxy.refuses = False
        assert await data(alice, 256) == list(range(256))
        await bob.send(Message(alice.id, "again"))
        assert await data(alice, 1) == ["again"]


async def test_a_seat_that_was_lost_is_taken_anew_and_that_is_told(proxy_to: Any) -> None:
    configuration = ServerConfiguration(limits=Limits(away_seconds=0.05))
    async with serve(port=0, configuration=configuration) as hasty:
        proxy = await proxy_to(hasty)
        async with (
            connect(hasty.url, room="lobby", name="alice") as alice,
            connect(proxy.url, room="lobby", name="bob") as bob,
        ):
            id = bob.id
            proxy.refuses = True
            proxy.cut()
            await until(alice, PeerGone)
            await bob.send(Message(alice.id, "in vain"))
            proxy.refuses = False
            [rejoined] = await until(bob, Rejoined)
            assert isinstance(rejoined, Rejoined)
            assert rejoined.dropped == 1
            assert rejoined.joined.id == bob.id != id
            assert bob.peers == rejoined.joined.peers == [PeerInfo(alice.id, "alice")]
            assert (await until(alice, PeerJoined))[-1] == PeerJoined(PeerInfo(bob.id, "bob"))
            await bob.send(Message(alice.id, "to the point"))
            assert await data(alice, 1) == ["to the point"]


async def test_a_restarted_server_is_joined_anew() -> None:
    async with serve(port=0) as first:
        bob = await connect(first.url, room="lobby", name="bob").__aenter__()
    try:
        async with serve(port=first.port):
            assert isinstance((await until(bob, Rejoined))[-1], Rejoined)
            assert bob.is_connected
            await bob.close()
    finally:
        await bob.close()


async def test_a_restarted_server_that_refuses_is_told() -> None:
    admitted = True

    def admit(join: Join) -> Admission | None:
        return Admission() if admitted else None

    configuration = ServerConfiguration(admit=admit)
    async with serve(port=0, configuration=configuration) as first:
        bob = await connect(first.url, room="lobby", name="bob").__aenter__()
        admitted = False
    async with serve(port=first.port, configuration=configuration):
        with pytest.raises(JoinRefused) as caught:
            await until(bob, Rejoined)
        assert caught.value.code == "unauthorized"
        await bob.close()


async def test_a_seat_that_runs_out_does_not_keep_the_client_from_its_name(
    proxy_to: Any, open_raw: Any
) -> None:
    configuration = ServerConfiguration(limits=Limits(away_seconds=0.5))
    async with serve(port=0, configuration=configuration) as server:
        proxy = await proxy_to(server)
        async with connect(proxy.url, room="lobby", name="bob") as bob:
            proxy.refuses = True
            proxy.cut()
            other = await open_raw(server.url)
            await other.join("bob", resume=bob._seat.joined.resume)
            await other.say({"type": "bye", "to": "nobody"})  # with which bob's secret is void
            await other.hear()
            other.socket.transport.abort()
            proxy.refuses = False
            assert isinstance((await until(bob, Rejoined))[-1], Rejoined)


async def test_a_seat_that_was_taken_over_is_lost(server: SignalingServer, open_raw: Any) -> None:
    async with connect(server.url, room="lobby", name="bob") as bob:
        other = await open_raw()
        await other.join("bob", resume=bob._seat.joined.resume)
        with pytest.raises(SignalingLost, match="another connection"):
            await anext(bob)


async def test_closing_while_the_socket_is_broken_is_quick(
    server: SignalingServer, proxy: Any
) -> None:
    async with connect(server.url, room="lobby", name="alice") as alice:
        async with connect(proxy.url, room="lobby", name="bob") as bob:
            proxy.refuses = True
            proxy.cut()
            await until(alice, PeerAway)
        assert not bob.is_connected
        assert alice.peers[0].away


async def test_the_servers_are_renewed_by_a_resume(proxy_to: Any) -> None:
    numbers = itertools.count()

    def admit(join: Join) -> Admission:
        return Admission(ice_servers=(IceServer(f"stun:s{next(numbers)}"),))

    async with serve(port=0, configuration=ServerConfiguration(admit=admit)) as server:
        proxy = await proxy_to(server)
        async with (
            connect(server.url, room="lobby", name="alice") as alice,
            connect(proxy.url, room="lobby", name="bob") as bob,
        ):
            assert bob.ice_servers == [IceServer("stun:s1")]
            proxy.cut()
            await until(alice, PeerBack)
            await alice.send(Message(bob.id, "hello"))
            assert (await until(bob, Renewed))[-1] == Renewed((IceServer("stun:s2"),))
            assert await data(bob, 1) == ["hello"]
            assert bob.ice_servers == [IceServer("stun:s2")]


async def test_a_server_that_went_silent_is_left_at_once_when_told_to_look(
    server: SignalingServer, proxy: Any
) -> None:
    async with (
        connect(server.url, room="lobby", name="alice") as alice,
        connect(proxy.url, room="lobby", name="bob") as bob,
    ):
        await until(alice, PeerJoined)
        bob.suspect()
        await alice.send(Message(bob.id, "still the same socket"))
        assert await data(bob, 1) == ["still the same socket"]
        proxy.swallows = True
        bob.suspect()
        bob.suspect()
        while bob.is_connected:
            await asyncio.sleep(0.01)
        proxy.swallows = False
        await until(alice, PeerBack)
        await alice.send(Message(bob.id, "another socket"))
        assert await data(bob, 1) == ["another socket"]


async def test_a_client_that_waits_to_connect_goes_on_when_told_to_look(
    monkeypatch: pytest.MonkeyPatch, server: SignalingServer, proxy: Any
) -> None:
    monkeypatch.setattr("icefloe.signaling.client.pauses", lambda: iter([3600.0] * 9))
    async with (
        connect(server.url, room="lobby", name="alice") as alice,
        connect(proxy.url, room="lobby", name="bob") as bob,
    ):
        await until(alice, PeerJoined)
        proxy.cut()
        await until(alice, PeerAway)
        bob.suspect()
        await until(alice, PeerBack)
        await alice.send(Message(bob.id, "back"))
        assert await data(bob, 1) == ["back"]


async def test_an_attempt_that_gets_no_answer_is_given_up_when_told_to_look(
    monkeypatch: pytest.MonkeyPatch, server: SignalingServer, proxy: Any
) -> None:
    monkeypatch.setattr("icefloe.signaling.client.pauses", lambda: iter([0.0] + [3600.0] * 9))
    async with (
        connect(server.url, room="lobby", name="alice") as alice,
        connect(proxy.url, room="lobby", name="bob") as bob,
    ):
        await until(alice, PeerJoined)
        proxy.swallows = True
        proxy.cut()
        await proxy.swallowed.acquire()
        proxy.swallows = False
        bob.suspect()
        await until(alice, PeerBack)
        await alice.send(Message(bob.id, "back"))
        assert await data(bob, 1) == ["back"]


@pytest.mark.parametrize("address", [("127.0.0.1", 80), ("::1", 80, 0, 0)])
def test_whether_the_machine_has_an_address(address: tuple[Any, ...]) -> None:
    assert is_own_address(address)
    foreign = "203.0.113.77" if len(address) == 2 else "2001:db8::77"
    assert not is_own_address((foreign, *address[1:]))
