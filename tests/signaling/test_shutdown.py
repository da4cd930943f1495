"""Stopping the server: what was received goes out, clients are told, and it ends in time."""

import asyncio
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from icefloe.signaling import ServerConfiguration, SignalingServer, serve


async def test_what_was_received_goes_out_before_the_goodbye(open_raw: Any) -> None:
    server = serve(port=0, configuration=ServerConfiguration(shutdown_timeout=2.0))
    async with server:
        # Without a limit to its queue, it hears the goodbye while the messages wait to be taken.
        alice, bob = await open_raw(server.url, max_queue=None), await open_raw(server.url)
        to = (await alice.join("alice"))["id"]
        await bob.join("bob")
        await alice.hear_until("peer-joined")
        for number in range(50):
            await bob.say({"type": "message", "to": to, "data": number})
        await (await bob.socket.ping())  # the server has read all of them, and not handled them
        await server.close()
    assert [(await alice.hear())["data"] for _ in range(50)] == list(range(50))
    for client in (alice, bob):
        with pytest.raises(ConnectionClosed):
            await client.hear()
        assert client.socket.close_code == 1001
        assert client.socket.close_reason == "the server shuts down"


async def test_closing_is_bounded_whatever_the_clients_do(open_raw: Any) -> None:
    loop = asyncio.get_running_loop()
    server = serve(port=0, configuration=ServerConfiguration(shutdown_timeout=0.3, rate=1, burst=1))
    async with server:
        silent, busy, half = [await open_raw(server.url) for _ in range(3)]
        await silent.join("silent")
        silent.socket.transport.pause_reading()
        await busy.join("busy")
        for _ in range(500):
            await busy.say("nonsense")  # of which the server handles few in time
        half.socket.transport.write(b"\x81\xfe\xff")
        _, connecting = await asyncio.open_connection("127.0.0.1", server.port)
        begun = loop.time()
        await server.close()
        took = loop.time() - begun
        connecting.transport.abort()
    # Ten times what it is told, so that a busy machine does not fail this.
    assert took < 3.0


async def test_closing_twice_and_at_once_is_harmless(server: SignalingServer) -> None:
    port = server.port
    await asyncio.gather(server.close(), server.close())
    await server.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_server_that_was_never_started_can_be_closed() -> None:
    server = serve(port=0)
    await server.close()
    async with server:  # and be started all the same
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.close()


async def test_cancelling_the_close_cuts_the_clients_off(open_raw: Any) -> None:
    server = await serve(port=0).__aenter__()
    client = await open_raw(server.url)
    await client.join("silent")
    client.socket.transport.pause_reading()
    closing = asyncio.create_task(server.close())
    while server._hub.is_ready:
        await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    client.socket.transport.resume_reading()
    await client.socket.wait_closed()
    await server.close()


async def test_the_port_is_free_again(server: SignalingServer) -> None:
    await server.close()
    async with serve(port=server.port) as again:
        assert again.port == server.port
