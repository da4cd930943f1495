"""``icefloe serve --redis`` as processes that are killed and stopped, behind a load balancer."""

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from icefloe.peer import DataChannel, RemotePeer, Room, join
from icefloe.signaling import (
    Message,
    PeerGone,
    PeerInfo,
    PeerMessage,
    SignalingClient,
    connect,
)
from tests.helpers import system
from tests.helpers.balancer import Balancer, balancer
from tests.helpers.command import Command, icefloe
from tests.helpers.redis_server import RedisServer
from tests.signaling.cluster.conftest import data

pytestmark = pytest.mark.system("redis")

CALLS = 200
"""Calls of two real peer connections each."""

PAIRS = 50
"""Pairs of signaling clients beside them, which look whether a message is lost."""


@pytest.fixture
def new_process(redis: RedisServer, stack: AsyncExitStack) -> Callable[..., Any]:
    async def start(*more: str) -> Command:
        arguments = ("serve", "--redis", redis.url, "--no-address-limits", *more)
        return await stack.enter_async_context(icefloe(*arguments))

    return start


def port_of(command: Command) -> int:
    found = re.search(r":(\d+)/", command.url)
    assert found
    return int(found[1])


def url_of(command: Command) -> str:
    return f"ws://127.0.0.1:{port_of(command)}/ws"


async def kill(command: Command) -> None:
    command.process.kill()
    await command.process.wait()


class Caller:
    """A signaling client that notes what it is sent."""

    def __init__(self, client: SignalingClient) -> None:
        self.client = client
        self.got: list[Any] = []
        self.came = asyncio.Event()
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for event in self.client:
            if isinstance(event, PeerMessage):
                self.got.append(event.data)
                self.came.set()

    async def wait_for(self, count: int) -> None:
        while len(self.got) < count:
            self.came.clear()
            await self.came.wait()


@asynccontextmanager
async def calls(url: str, count: int) -> AsyncIterator[list[tuple[Caller, Caller]]]:
    async with AsyncExitStack() as stack:
        pairs: list[tuple[Caller, Caller]] = []
        for number in range(count):
            entering = (connect(url, room=f"room {number}", name=name) for name in ("a", "b"))
            ends = [Caller(await stack.enter_async_context(client)) for client in entering]
            pairs.append((ends[0], ends[1]))
        yield pairs
        for end in (end for pair in pairs for end in pair):
            assert not end.reading.done()
            end.reading.cancel()
            await asyncio.wait((end.reading,))


@asynccontextmanager
async def real_calls(
    url: str, count: int
) -> AsyncIterator[list[tuple[list[Room], RemotePeer, DataChannel, DataChannel]]]:
    async with AsyncExitStack() as stack:
        made = []
        for number in range(count):
            rooms = [
                await stack.enter_async_context(join(url, room=f"call {number}", name=name))
                for name in ("a", "b")
            ]
            bob, alice = await rooms[0].peer("b"), await rooms[1].peer("a")
            channel = await bob.open_channel("chat")
            await channel.send("hello")
            other = await anext(aiter(alice.channels()))
            assert await other.receive() == "hello"
            made.append((rooms, bob, channel, other))
        yield made


async def say(pairs: list[tuple[Caller, Caller]], what: Any) -> None:
    for pair in pairs:
        for caller, callee in (pair, reversed(pair)):
            await caller.client.send(Message(callee.client.id, what))


@pytest.mark.slow
async def test_a_node_that_is_killed_among_calls_drops_none_and_all_are_soon_on_the_other(
    new_process: Callable[..., Any],
) -> None:
    nodes: list[Command] = [await new_process(), await new_process()]
    async with (
        balancer(*map(port_of, nodes)) as way,
        calls(way.url, PAIRS) as pairs,
        real_calls(way.url, CALLS) as real,
    ):
        ends = [end for pair in pairs for end in pair]
        ids = [end.client.id for end in ends]
        await say(pairs, 0)
        await asyncio.gather(*(end.wait_for(1) for end in ends))
        way.targets = [port_of(nodes[1])]
        killed_at = time.monotonic()
        await kill(nodes[0])
        await say(pairs, 1)
        await asyncio.gather(*(end.wait_for(2) for end in ends))
        clients = [room._client for rooms, *_ in real for room in rooms]
        # The balancer has lost its connections to the node that was killed; each is replaced.
        while way.forwarded != 2 * (PAIRS + CALLS) or not all(
            client is not None and client.is_connected for client in clients
        ):
            await asyncio.sleep(0.05)
        print(f"all were back after {time.monotonic() - killed_at:.2f} s")  # noqa: T201
        assert all(end.client.is_connected for end in ends)
        assert [end.client.id for end in ends] == ids
        assert all(end.got == [0, 1] for end in ends)
        for _, bob, channel, other in real:
            assert bob.connection.connectionState == "connected"
            await channel.send("still there?")
            assert await other.receive() == "still there?"


async def test_seats_of_a_node_that_is_killed_are_freed_within_a_minute(
    new_process: Callable[..., Any],
) -> None:
    nodes: list[Command] = [await new_process(), await new_process()]
    async with AsyncExitStack() as stack:
        client = connect(url_of(nodes[0]), room="lobby", name="bob")
        async with connect(url_of(nodes[1]), room="lobby", name="alice") as alice:
            bob = await stack.enter_async_context(client)
            id = bob.id
            killed_at = time.monotonic()
            await kill(nodes[0])
            while True:
                event = await asyncio.wait_for(anext(alice), 90)
                if isinstance(event, PeerGone):
                    break
            assert (event.id, event.reason) == (id, "timeout")
            print(f"the seat was free after {time.monotonic() - killed_at:.1f} s")  # noqa: T201
            # The name is free, and so is the place of the address.
            async with connect(url_of(nodes[1]), room="lobby", name="bob") as other:
                assert other.peers == [PeerInfo(alice.id, "alice")]


async def test_the_participants_of_a_node_that_was_paused_go_on_when_it_is_back(
    new_process: Callable[..., Any],
) -> None:
    nodes: list[Command] = [await new_process(), await new_process()]
    async with (
        connect(url_of(nodes[1]), room="lobby", name="alice") as alice,
        connect(url_of(nodes[0]), room="lobby", name="bob") as bob,
    ):
        nodes[0].process.send_signal(signal.SIGSTOP)
        await bob.send(Message(alice.id, "from a node that is stopped"))
        while not alice.peers or not alice.peers[0].away:
            await anext(alice)
        for number in range(5):
            await alice.send(Message(bob.id, number))
        nodes[0].process.send_signal(signal.SIGCONT)
        assert await data(bob, 5) == list(range(5))
        assert await data(alice, 1) == ["from a node that is stopped"]


@pytest.mark.system("haproxy")
async def test_two_nodes_behind_haproxy_are_one_server(
    new_process: Callable[..., Any], tmp_path: Path
) -> None:
    nodes: list[Command] = [await new_process(), await new_process()]
    program = system.find("haproxy")
    assert program is not None
    socket = tmp_path / "haproxy.sock"
    servers = "\n".join(
        f"  server node{port_of(node)} 127.0.0.1:{port_of(node)} check inter 100ms"
        for node in nodes
    )
    file = tmp_path / "haproxy.cfg"
    file.write_text(CONFIGURATION.format(socket=socket, servers=servers))
    process = await asyncio.create_subprocess_exec(program, "-db", "-f", str(file))
    try:
        while not socket.exists():
            await asyncio.sleep(0.02)
        async with way_to(socket) as way, calls(way.url, 4) as pairs:
            ends = [end for pair in pairs for end in pair]
            await say(pairs, 0)
            await asyncio.gather(*(end.wait_for(1) for end in ends))
            await kill(nodes[0])
            await say(pairs, 1)
            await asyncio.gather(*(end.wait_for(2) for end in ends))
            assert all(end.got == [0, 1] for end in ends)
    finally:
        process.terminate()
        await process.wait()


CONFIGURATION = """\
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
  option redispatch
frontend all
  bind {socket}
  default_backend nodes
backend nodes
  balance roundrobin
  option httpchk GET /readyz
  http-check send hdr Host localhost
{servers}
"""
"""As in docs/scale.md, at a socket of the file system: no port has to be free."""


@asynccontextmanager
async def way_to(socket: Path) -> AsyncIterator[Balancer]:
    """Lead a port to haproxy's socket."""
    way = Balancer([])

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, onward = await asyncio.open_unix_connection(str(socket))
        way.join(reader, writer, back, onward)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    way.port = server.sockets[0].getsockname()[1]
    try:
        yield way
    finally:
        server.close()
        await way.end()
