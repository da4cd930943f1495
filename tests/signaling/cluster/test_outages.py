"""A Redis that is away, that starts again, and that has lost its data: no room is lost."""

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from icefloe.signaling import (
    Limits,
    Message,
    RedisConfiguration,
    ServerConfiguration,
    SignalingClient,
    SignalingServer,
    Unreachable,
    connect,
    serve,
)
from icefloe.signaling.cluster.redis_log import RedisLog
from tests.helpers.redis_server import RedisServer, redis_server
from tests.signaling.cluster.conftest import NewNode, data, page

pytestmark = pytest.mark.system("redis")

LOG = "icefloe.signaling.cluster"

# Seats are kept for less time than an outage lasts here, and it does not matter.
BRIEF = Limits(away_seconds=2.0)


@pytest.fixture
async def nodes(new_node: NewNode) -> list[SignalingServer]:
    return [await new_node(limits=BRIEF), await new_node(limits=BRIEF)]


@pytest.fixture
async def pair(
    nodes: list[SignalingServer],
) -> AsyncIterator[tuple[SignalingClient, SignalingClient]]:
    async with (
        connect(nodes[0].url, room="lobby", name="alice") as alice,
        connect(nodes[1].url, room="lobby", name="bob") as bob,
    ):
        yield alice, bob


async def turns(node: SignalingServer, is_ready: bool) -> None:
    """Wait until a node says that it is ready, or not."""
    expected = "200" if is_ready else "503"
    while expected not in (await page(node, "/readyz")).partition("\r\n")[0]:
        await asyncio.sleep(0.05)


async def check(pair: tuple[SignalingClient, SignalingClient]) -> None:
    """Look whether messages sent meanwhile and now arrive, in order."""
    alice, bob = pair
    for client in pair:
        await client.send(Message(client.peers[0].id, "after"))
    assert await data(bob, 4) == [0, 1, 2, "after"]
    assert await data(alice, 4) == [0, 1, 2, "after"]


async def say_some(pair: tuple[SignalingClient, SignalingClient]) -> None:
    for client in pair:
        for number in range(3):
            await client.send(Message(client.peers[0].id, number))


async def met(pair: tuple[SignalingClient, SignalingClient]) -> None:
    alice, _ = pair
    await anext(alice)  # bob has come


@pytest.mark.parametrize("loses_data", [False, True])
async def test_a_redis_that_is_killed_and_starts_again_costs_no_connection(
    loses_data: bool,
    redis: RedisServer,
    nodes: list[SignalingServer],
    pair: tuple[SignalingClient, SignalingClient],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, LOG)
    await met(pair)
    ids = [client.id for client in pair]
    await redis.kill()
    for node in nodes:
        await turns(node, is_ready=False)
    await say_some(pair)
    with pytest.raises(Unreachable, match="503"):
        async with connect(nodes[0].url, room="lobby", name="carol"):
            pass
    if loses_data:
        redis.forget_all()
    await redis.start()
    for node in nodes:
        await turns(node, is_ready=True)
    await check(pair)
    assert [client.id for client in pair] == ids
    async with connect(nodes[0].url, room="lobby", name="carol") as carol:
        assert len(carol.peers) == 2
    said = [record.getMessage() for record in caplog.records]
    assert len([line for line in said if line.startswith("Redis is away")]) == 2
    assert len([line for line in said if line.startswith("Redis is back")]) == 2
    begun = [line for line in said if line.startswith("the log in Redis begins")]
    assert len(begun) == loses_data
    metrics = await page(nodes[0], "/metrics")
    assert "icefloe_signaling_redis_outages_total 1" in metrics
    assert "icefloe_signaling_redis_up 1" in metrics


async def test_a_redis_that_comes_back_with_older_data_is_brought_up_to_date(
    redis: RedisServer,
    nodes: list[SignalingServer],
    pair: tuple[SignalingClient, SignalingClient],
    tmp_path: Path,
) -> None:
    await met(pair)
    older = tmp_path / "older"
    shutil.copytree(redis.folder, older, ignore=shutil.ignore_patterns("*.sock"))
    async with connect(nodes[0].url, room="later", name="carol") as carol:
        await redis.kill()
        redis.forget_all()
        shutil.copytree(older, redis.folder, dirs_exist_ok=True)
        await say_some(pair)
        await redis.start()
        await check(pair)
        async with connect(nodes[1].url, room="later", name="dave") as dave:
            assert [peer.id for peer in dave.peers] == [carol.id]


@pytest.mark.slow
async def test_a_redis_that_does_not_answer_for_half_a_minute_costs_no_connection(
    redis: RedisServer,
    nodes: list[SignalingServer],
    pair: tuple[SignalingClient, SignalingClient],
) -> None:
    await met(pair)
    redis.stop()
    for node in nodes:
        await turns(node, is_ready=False)
    await say_some(pair)
    await asyncio.sleep(30)
    redis.go_on()
    for node in nodes:
        await turns(node, is_ready=True)
    await check(pair)
    # Nobody was away, although seats are kept for two seconds here.
    assert "icefloe_signaling_seats_away 0" in await page(nodes[0], "/metrics")


async def test_the_most_advanced_node_decides_and_participants_of_others_resume(
    redis: RedisServer,
    nodes: list[SignalingServer],
    pair: tuple[SignalingClient, SignalingClient],
) -> None:
    await met(pair)
    _, bob = pair
    await redis.kill()
    redis.forget_all()
    # As if Redis had ended before the second node could read the last entry.
    behind = nodes[1]._hub._log
    assert isinstance(behind, RedisLog)
    behind._replica.position -= 1
    await redis.start()
    await say_some(pair)
    await check(pair)
    assert behind._counts.restores == 1
    assert bob.is_connected


async def test_a_client_is_cut_off_when_too_much_waits_for_redis_and_loses_nothing(
    redis: RedisServer,
    nodes: list[SignalingServer],
    pair: tuple[SignalingClient, SignalingClient],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await met(pair)
    alice, bob = pair
    monkeypatch.setattr("icefloe.signaling.cluster.pending_commands.MAX_PENDING", 20)
    await redis.kill()
    await turns(nodes[0], is_ready=False)
    for number in range(60):
        await alice.send(Message(alice.peers[0].id, number))
    while alice.is_connected:
        await asyncio.sleep(0.01)
    await redis.start()
    assert await data(bob, 60) == list(range(60))
    assert "icefloe_signaling_redis_cut_off_total 0" not in await page(nodes[0], "/metrics")


async def test_the_stream_is_kept_short_by_snapshots(
    redis: RedisServer, new_node: NewNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icefloe.signaling.cluster.redis_log.SNAPSHOT_BYTES", 2000)
    node = await new_node()
    async with (
        connect(node.url, room="lobby", name="alice") as alice,
        connect(node.url, room="lobby", name="bob") as bob,
    ):
        for number in range(200):
            await alice.send(Message(bob.id, f"{number} {'x' * 300}"))
            await data(bob, 1)
        log = node._hub._log
        assert isinstance(log, RedisLog)
        async with redis.client() as client:
            length = await client.xlen(f"icefloe:1:log:{log._epoch}")
        assert log._counts.snapshots > 10
        assert length < log._replica.position / 2
        # Another one starts from there.
        async with connect((await new_node()).url, room="lobby", name="carol") as carol:
            assert len(carol.peers) == 2


async def test_an_entry_that_no_node_wrote_stops_nobody_for_long(
    redis: RedisServer,
    nodes: list[SignalingServer],
    pair: tuple[SignalingClient, SignalingClient],
    caplog: pytest.LogCaptureFixture,
) -> None:
    await met(pair)
    log = nodes[0]._hub._log
    assert isinstance(log, RedisLog)
    async with redis.client() as client:
        await client.xadd(f"icefloe:1:log:{log._epoch}", {"text": "hello"})
    await say_some(pair)
    await check(pair)


async def test_a_password_is_needed_and_shown_nowhere(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icefloe.signaling.server._READY_SECONDS", 0.3)
    caplog.set_level(logging.DEBUG)
    async with redis_server("--requirepass", "open-sesame") as redis:
        for password, is_ready in (("wr0ng-Secret", False), ("open-sesame", True)):
            url = f"{redis.url}?password={password}"
            configuration = ServerConfiguration(redis=RedisConfiguration(url=url))
            assert password not in repr(configuration)
            async with serve(port=0, configuration=configuration) as server:
                assert server._hub.is_ready == is_ready
            assert password not in caplog.text
    assert "invalid username-password pair" in caplog.text


@pytest.mark.parametrize(
    ("url", "prefix"),
    [("http://localhost", "a"), ("redis://localhost", ""), ("redis://localhost", "a b")],
)
def test_what_is_no_redis_is_refused(url: str, prefix: str) -> None:
    with pytest.raises(ValueError, match="Redis"):
        RedisConfiguration(url=url, prefix=prefix)
