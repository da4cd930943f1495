"""Draining: clients are sent to the next server, spread over time, and come back there."""

import asyncio
import random
import socket
from contextlib import AsyncExitStack
from itertools import islice
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from icefloe.signaling import (
    Message,
    PeerMessage,
    Rejoined,
    ServerConfiguration,
    SignalingServer,
    connect,
    serve,
)
from icefloe.signaling.timing import pauses, restart_pauses
from tests.helpers.command import icefloe
from tests.signaling.test_http import request

SETTINGS = ServerConfiguration(shutdown_timeout=2.0)


async def closed(client: Any) -> int:
    with pytest.raises(ConnectionClosed):
        while True:
            await client.hear()
    assert isinstance(client.socket.close_code, int)
    return client.socket.close_code


async def test_nobody_gets_in_and_all_are_told_to_come_back(
    server: SignalingServer, open_raw: Any
) -> None:
    clients = [await open_raw() for _ in range(5)]
    for number, client in enumerate(clients):
        await client.join(f"client-{number}")
    draining = asyncio.create_task(server.drain(60.0))
    assert await closed(await first_closed(clients)) == 1012
    # It waits for the others, whose turn comes later, and takes in nobody.
    assert (await request(server, "/healthz")).status == 200
    ready = await request(server, "/readyz")
    assert (ready.status, ready.headers["retry-after"]) == (503, "1")
    with pytest.raises(InvalidStatus) as refused:
        await open_raw()
    assert refused.value.response.status_code == 503
    assert refused.value.response.headers["Retry-After"] == "1"
    assert b"draining 1.0" in (await request(server, "/metrics")).body
    assert [client.socket.close_code for client in clients].count(None) == 4
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await draining
    await server.drain(0)
    for client in clients:
        assert await closed(client) == 1012
        assert client.socket.close_reason == "the server restarts"


async def first_closed(clients: list[Any]) -> Any:
    waiting = {asyncio.create_task(each.socket.wait_closed()): each for each in clients}
    done, left = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    await asyncio.wait(left)
    return waiting[done.pop()]


async def test_who_has_not_joined_yet_is_sent_away_at_once(
    server: SignalingServer, open_raw: Any
) -> None:
    late = await open_raw()
    server._hub.drain()
    await late.say({"type": "join", "version": 1, "room": "lobby", "name": "late"})
    assert await closed(late) == 1012
    assert server._hub.rooms.seats == 0


async def test_what_was_received_is_handed_on_before(open_raw: Any) -> None:
    server = serve(port=0, configuration=SETTINGS)
    async with server:
        alice, bob = await open_raw(server.url, max_queue=None), await open_raw(server.url)
        to = (await alice.join("alice"))["id"]
        await bob.join("bob")
        for number in range(50):
            await bob.say({"type": "message", "to": to, "data": number})
        await (await bob.socket.ping())
        await server.drain(0.05)
        heard = []
        with pytest.raises(ConnectionClosed):
            while True:
                heard.append(await alice.hear())
        # Those that came after the socket of the receiver was closed wait for its return.
        numbers = [message["data"] for message in heard if message["type"] == "message"]
        assert numbers == list(range(len(numbers)))
        received = server._hub._received
        assert sum(count for kind, count in received.items() if kind is Message) == 50


async def test_draining_is_bounded_whatever_the_clients_do(open_raw: Any) -> None:
    loop = asyncio.get_running_loop()
    server = serve(port=0, configuration=ServerConfiguration(shutdown_timeout=0.3, rate=1, burst=1))
    async with server:
        silent, busy = [await open_raw(server.url) for _ in range(2)]
        await silent.join("silent")
        silent.socket.transport.pause_reading()
        await busy.join("busy")
        for _ in range(500):
            await busy.say("nonsense")
        begun = loop.time()
        await server.drain(0.1)
        took = loop.time() - begun
    assert took < 3.0  # many times what it is told, so that a busy machine does not fail this


async def test_a_server_that_does_not_run_has_nobody_to_send_away() -> None:
    server = serve(port=0)
    await server.drain()
    async with server:
        await server.drain()
        await server.drain()
    await server.drain()


async def test_a_client_comes_back_to_the_next_server_on_the_port() -> None:
    server = await serve(port=0, configuration=SETTINGS).__aenter__()
    async with (
        connect(server.url, room="lobby", name="alice") as alice,
        connect(server.url, room="lobby", name="bob") as bob,
    ):
        await server.drain(0.2)
        await server.close()
        async with serve(port=server.port, configuration=SETTINGS):
            for client in (alice, bob):
                async for event in client:
                    if isinstance(event, Rejoined):
                        break
            await alice.send(Message(to=bob.id, data="hello"))
            async for event in bob:
                if isinstance(event, PeerMessage):
                    assert event.data == "hello"
                    break


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="the system has no SO_REUSEPORT")
async def test_the_next_server_listens_on_the_port_while_the_first_drains(
    stack: AsyncExitStack, open_raw: Any
) -> None:
    configuration = ServerConfiguration(shutdown_timeout=2.0, reuse_port=True)
    first = await stack.enter_async_context(serve(port=0, configuration=configuration))
    client = await stack.enter_async_context(connect(first.url, room="lobby", name="alice"))
    second = await stack.enter_async_context(serve(port=first.port, configuration=configuration))
    draining = asyncio.create_task(first.drain(0.2))
    async for event in client:
        if isinstance(event, Rejoined):
            break
    await draining
    for number in range(20):  # none of them gets to the first one
        await (await open_raw(second.url)).join(f"client-{number}")
    assert second._hub.rooms.seats == 21
    assert first._hub.rooms.rooms <= 1  # the seat of alice, who is away there


def test_pauses_after_a_restart_are_short_random_and_bounded() -> None:
    for number in (0.0, 0.999):
        some = list(islice(restart_pauses(lambda: number), 40))  # noqa: B023
        assert max(some[:20]) <= 1.0
        assert min(some) > 0.1
        assert some[20:] == list(islice(pauses(lambda: number), 20))  # noqa: B023
    rng = random.Random(1)
    assert len(set(islice(restart_pauses(rng.random), 20))) == 20


# ---- the command -------------------------------------------------------------------------------


async def test_sigterm_sends_the_clients_to_the_next_process() -> None:
    async with icefloe("serve", "--drain-seconds", "0.5") as running:
        url = running.url.replace("http", "ws") + "ws"
        port = running.url.rstrip("/").rpartition(":")[2]
        async with connect(url, room="lobby", name="alice") as alice:
            code, logged = await running.end()
            assert code == 0
            assert "draining connections=1" in logged
            async with icefloe("serve", "--port", port):
                async for event in alice:
                    if isinstance(event, Rejoined):
                        break


async def test_a_second_signal_ends_the_drain_at_once(open_raw: Any) -> None:
    async with icefloe("serve", "--drain-seconds", "600") as running:
        url = running.url.replace("http", "ws") + "ws"
        clients = [await open_raw(url) for _ in range(2)]
        for number, client in enumerate(clients):
            await client.join(f"client-{number}")
        running.process.terminate()
        await first_closed(clients)
        running.process.terminate()
        assert await running.process.wait() == -15
