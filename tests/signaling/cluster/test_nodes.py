"""Two servers with one Redis act as one."""

import asyncio
import logging
from contextlib import AsyncExitStack

import pytest

from icefloe.signaling import (
    AddressLimits,
    Event,
    JoinRefused,
    Limits,
    Lock,
    Message,
    PeerAway,
    PeerBack,
    PeerGone,
    PeerInfo,
    PeerJoined,
    Remove,
    RemovedFromRoom,
    Right,
    SignalingClient,
    SignalingServer,
    TokenKeys,
    connect,
    make_token,
)
from tests.helpers.redis_server import RedisServer
from tests.signaling.cluster.conftest import NewBalancer, NewNode, data, page

pytestmark = pytest.mark.system("redis")

SECRET = "0123456789abcdef0123456789abcdef"


async def until(client: SignalingClient, kind: type[Event]) -> Event:
    """Return the next event of a kind."""
    while not isinstance(event := await anext(client), kind):
        pass
    return event


@pytest.fixture
async def nodes(new_node: NewNode) -> list[SignalingServer]:
    return [await new_node(), await new_node()]


async def test_members_on_two_nodes_see_each_other_and_messages_come_in_order_both_ways(
    nodes: list[SignalingServer],
) -> None:
    async with (
        connect(nodes[0].url, room="lobby", name="alice") as alice,
        connect(nodes[1].url, room="lobby", name="bob") as bob,
    ):
        assert bob.peers == [PeerInfo(alice.id, "alice")]
        assert await until(alice, PeerJoined) == PeerJoined(PeerInfo(bob.id, "bob"))
        for number in range(100):
            await alice.send(Message(bob.id, number))
            await bob.send(Message(alice.id, -number))
        assert await data(bob, 100) == list(range(100))
        assert await data(alice, 100) == [-number for number in range(100)]
    assert 'icefloe_signaling_messages_total{type="message"} 200' in await page(
        nodes[0], "/metrics"
    )


async def test_a_seat_is_resumed_on_another_node_without_loss(
    nodes: list[SignalingServer], new_balancer: NewBalancer
) -> None:
    balancer = await new_balancer(nodes[0])
    async with (
        connect(nodes[0].url, room="lobby", name="alice") as alice,
        connect(balancer.url, room="lobby", name="bob") as bob,
    ):
        id = bob.id
        balancer.swallows = True
        for number in range(20):
            await alice.send(Message(bob.id, number))
            await bob.send(Message(alice.id, number))
        await asyncio.wait_for(balancer.swallowed.acquire(), 30)
        balancer.refuses = True
        balancer.swallows = False
        balancer.cut()
        await until(alice, PeerAway)
        for number in range(20, 40):
            await alice.send(Message(bob.id, number))
            await bob.send(Message(alice.id, number))
        balancer.target = nodes[1].port
        balancer.refuses = False
        assert await data(bob, 40) == list(range(40))
        assert bob.id == id
        assert await data(alice, 40) == list(range(40))
        assert alice.peers == [PeerInfo(id, "bob")]


async def test_a_moderator_removes_a_participant_of_another_node_whose_token_is_then_refused(
    new_node: NewNode,
) -> None:
    keys = TokenKeys(SECRET)
    nodes = [await new_node(token_keys=keys), await new_node(token_keys=keys)]
    rights = {Right.JOIN, Right.SEND, Right.MODERATE}
    host = make_token(keys, room="lobby", rights=rights)
    guest = make_token(keys, room="lobby")
    async with (
        connect(nodes[0].url, room="lobby", name="alice", token=host) as alice,
        connect(nodes[1].url, room="lobby", name="bob", token=guest) as bob,
    ):
        await alice.moderate(Remove(bob.id))
        with pytest.raises(RemovedFromRoom):
            await until(bob, PeerGone)
        for node in nodes:
            with pytest.raises(JoinRefused) as refused:
                async with connect(node.url, room="lobby", name="bob", token=guest):
                    pass
            assert refused.value.code == "removed"


async def test_a_lock_and_a_name_hold_on_all_nodes(new_node: NewNode) -> None:
    nodes = [await new_node(first_moderates=True), await new_node(first_moderates=True)]
    async with connect(nodes[0].url, room="lobby", name="alice") as alice:
        with pytest.raises(JoinRefused) as refused:
            async with connect(nodes[1].url, room="lobby", name="alice"):
                pass
        assert refused.value.code == "name-taken"
        await alice.moderate(Lock(True))
        with pytest.raises(JoinRefused) as refused:
            async with connect(nodes[1].url, room="lobby", name="bob"):
                pass
        assert refused.value.code == "room-locked"


async def test_limits_by_address_hold_over_all_nodes(new_node: NewNode) -> None:
    limits = Limits(address=AddressLimits(seats=3, rooms=2))
    nodes = [await new_node(limits=limits), await new_node(limits=limits)]
    async with AsyncExitStack() as stack:

        async def enter(node: int, room: str) -> str:
            client = connect(nodes[node].url, room=room, name=f"n{node}")
            try:
                await stack.enter_async_context(client)
            except JoinRefused as refused:
                return refused.reason
            return "in"

        assert [await enter(0, "a"), await enter(1, "b")] == ["in", "in"]
        assert "limit of rooms" in await enter(1, "c")
        assert await enter(1, "a") == "in"
        assert "limit of participants" in await enter(0, "b")


async def test_a_node_that_ends_tells_the_others_and_its_participants_go_on_elsewhere(
    nodes: list[SignalingServer], new_node: NewNode, new_balancer: NewBalancer
) -> None:
    balancer = await new_balancer(nodes[1])
    async with (
        connect(nodes[0].url, room="lobby", name="alice") as alice,
        connect(balancer.url, room="lobby", name="bob") as bob,
    ):
        balancer.target = nodes[0].port
        await nodes[1].close()
        await until(alice, PeerBack)
        await alice.send(Message(bob.id, "still there?"))
        assert await data(bob, 1) == ["still there?"]
    assert "icefloe_signaling_redis_nodes 1" in await page(nodes[0], "/metrics")


async def test_a_node_that_starts_knows_the_rooms_that_there_are(
    new_node: NewNode, new_balancer: NewBalancer, redis: RedisServer
) -> None:
    first = await new_node()
    balancer = await new_balancer(first)
    async with connect(balancer.url, room="lobby", name="alice") as alice:
        second = await new_node()
        async with connect(second.url, room="lobby", name="bob") as bob:
            assert [peer.name for peer in bob.peers] == ["alice"]
            balancer.target = second.port
            balancer.cut()
            await first.close()
            await alice.send(Message(bob.id, "hello"))
            assert await data(bob, 1) == ["hello"]


async def test_two_prefixes_in_one_redis_have_nothing_in_common(new_node: NewNode) -> None:
    first, second = await new_node(), await new_node(prefix="other")
    async with (
        connect(first.url, room="lobby", name="alice"),
        connect(second.url, room="lobby", name="alice") as other,
    ):
        assert other.peers == []


async def test_a_node_with_other_limits_does_not_take_part(
    new_node: NewNode, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icefloe.signaling.server._READY_SECONDS", 0.1)
    monkeypatch.setattr("icefloe.signaling.cluster.redis_log.MAX_RETRY_PAUSE", 0.01)
    await new_node()
    with caplog.at_level(logging.ERROR, "icefloe"):
        second = await new_node(limits=Limits(members=3))
    assert not second._hub.is_ready
    [record] = caplog.records
    assert "other limits" in record.getMessage()


@pytest.mark.parametrize("kept", [True, False])
async def test_a_room_outlives_all_nodes_for_a_while(
    kept: bool, new_node: NewNode, new_balancer: NewBalancer, redis: RedisServer
) -> None:
    first = await new_node(shutdown_timeout=0.2)
    balancer = await new_balancer(first)
    async with connect(balancer.url, room="lobby", name="alice") as alice:
        id = alice.id
        await first.close()
        async with redis.client() as client:
            if not kept:
                await client.flushall()
        balancer.target = (await new_node()).port
        async with connect(balancer.url, room="lobby", name="bob") as bob:
            if not kept:
                await until(bob, PeerJoined)  # with a new seat
            await bob.send(Message(bob.peers[0].id, "hello"))
            assert await data(alice, 1) == ["hello"]
        assert (alice.id == id) == kept
