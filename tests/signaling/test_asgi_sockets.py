"""A WebSocket of an ASGI server: sizes, the rate, clients that do not read."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from icefloe.signaling import CloseCode, Limits, ServerConfiguration, SignalingApp
from icefloe.signaling.asgi_socket import AsgiSocket, WriteBudget
from icefloe.signaling.codec import CLIENT_LIMIT, DESCRIPTION_LIMIT
from icefloe.signaling.write_buffers import WRITE_LIMIT, WRITE_LIMIT_SCARCE, WRITE_LIMIT_TOTAL
from tests.signaling import shells

OpenRaw = Callable[..., Awaitable[Any]]


# ---- with an ASGI server -----------------------------------------------------------------------


@pytest.mark.shells(*shells.ASGI)
@pytest.mark.parametrize("joins", [False, True])
@pytest.mark.parametrize("max_size", [DESCRIPTION_LIMIT, 16 * 1024 * 1024])
async def test_a_message_that_is_too_large_closes_the_connection(
    shell: str, joins: bool, max_size: int, open_raw: OpenRaw
) -> None:
    app = SignalingApp(ServerConfiguration(shutdown_timeout=1.0))
    limit = DESCRIPTION_LIMIT if joins else CLIENT_LIMIT
    sizes = [("x", limit + 1), ("é", limit // 2 + 1), ("x", 10_000_000)]
    if shell == "hypercorn":  # it counts characters, and takes its time for its own limit
        sizes = [(character, count) for character, count in sizes if count <= max_size]
    async with shells.run(app, shell, max_size=max_size) as port:
        url = f"ws://127.0.0.1:{port}/ws"
        bystander = await open_raw(url)
        await bystander.join("bystander")
        for character, count in sizes:
            client = await open_raw(url, max_queue=None)
            if joins:
                await client.join("somebody")
            with suppress(ConnectionClosed):
                await client.say(character * count)
            with pytest.raises(ConnectionClosed):
                while True:
                    await client.hear()
            # A server that stops reading in the midst of it may have reset the connection.
            assert client.socket.close_code in (1009, 1006)
            if count < DESCRIPTION_LIMIT:
                assert client.socket.close_code == 1009
        await bystander.say({"type": "bye", "to": "nobody"})
        assert (await bystander.hear_until("error"))["code"] == "peer-unavailable"
        await app.close()


@pytest.mark.shells(*shells.ASGI)
async def test_a_flood_makes_the_sender_wait_and_loses_nothing(
    shell: str, open_raw: OpenRaw
) -> None:
    app = SignalingApp(ServerConfiguration(rate=100.0, burst=10.0, shutdown_timeout=1.0))
    async with shells.run(app, shell) as port:
        client = await open_raw(f"ws://127.0.0.1:{port}/ws")
        to = (await client.join("alice"))["id"]
        message = json.dumps({"type": "message", "to": to, "data": "x" * 30_000})
        taken = 0
        # Until nothing more goes into the buffers of the kernel and the ASGI server.
        with suppress(TimeoutError):
            while True:
                async with asyncio.timeout(0.3):
                    await client.say(message)
                    taken += len(message)
        # A read of the ASGI server, its queue, and what Linux keeps at both ends of loopback.
        assert taken < 24 * 1024 * 1024
        assert app._budget.waiting == 0
        while (await client.hear())["code"] != "rate-limited":
            pass
        client.socket.transport.abort()
        await app.close()


@pytest.mark.shells(*shells.ASGI)
async def test_who_does_not_join_is_closed(shell: str, open_raw: OpenRaw) -> None:
    limits = Limits(join_seconds=0.1)
    app = SignalingApp(ServerConfiguration(limits=limits, shutdown_timeout=0.4))
    async with shells.run(app, shell) as port:
        client = await open_raw(f"ws://127.0.0.1:{port}/ws")
        silent = await open_raw(f"ws://127.0.0.1:{port}/ws")
        silent.socket.transport.pause_reading()  # it does not answer the close either
        with pytest.raises(ConnectionClosed):
            await client.hear()
        assert client.socket.close_code == CloseCode.POLICY
        while app._sockets:
            await asyncio.sleep(0.01)
        silent.socket.transport.abort()


# ---- by its interface --------------------------------------------------------------------------


class Line:
    """The two functions that an ASGI server gives an application for a WebSocket."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[Any] = asyncio.Queue()
        self.sent: list[Any] = []
        self.may_send = asyncio.Event()
        self.may_send.set()
        self.error: Exception | None = None
        self.received = 0

    async def receive(self) -> Any:
        event = await self.incoming.get()
        self.received += 1
        return event

    async def send(self, event: Any) -> None:
        await self.may_send.wait()
        if self.error is not None:
            raise self.error
        self.sent.append(event)

    def say(self, text: str) -> None:
        self.incoming.put_nowait({"type": "websocket.receive", "text": text})

    def hang_up(self) -> None:
        self.incoming.put_nowait({"type": "websocket.disconnect", "code": 1006})


class Served:
    """A socket on a line, and what came of it."""

    def __init__(self, line: Line, **options: Any) -> None:
        self.budget: WriteBudget = options.pop("budget", WriteBudget())
        self.handled: list[Any] = []
        self.lost = asyncio.Event()
        self.throttled = 0
        settings = {"rate": 1000.0, "burst": 1000.0, "close_timeout": 0.1, **options}
        self.socket = AsgiSocket(
            line.receive,
            line.send,
            budget=self.budget,
            on_throttled=self.count_throttled,
            **settings,
        )
        self.serving = asyncio.create_task(self.socket.serve(self.handle, self.lost.set))

    def count_throttled(self, number: int) -> None:
        self.throttled += 1

    async def handle(self, frame: str | bytes) -> None:
        self.handled.append(frame)


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_nothing_is_received_while_the_connection_is_in_debt() -> None:
    line = Line()
    served = Served(line, rate=1e-3, burst=3.0)
    for number in range(10):
        line.say(str(number))
    line.hang_up()
    while served.throttled == 0:
        await asyncio.sleep(0)
    await turns()
    # The fourth message made the debt, and was handled.
    assert (line.received, served.handled, served.throttled) == (4, ["0", "1", "2", "3"], 1)
    served.socket.abandon()
    await served.serving
    assert served.lost.is_set()


async def test_a_client_that_does_not_read_is_cut_off_and_counts_until_it_is_gone() -> None:
    line = Line()
    served = Served(line)
    await turns()
    line.may_send.clear()
    payload = b"x" * (WRITE_LIMIT // 4)
    written = 0
    while served.socket.write((payload,)):
        written += 1
        await asyncio.sleep(0)
    assert written == 5  # the one that passes the limit is the last
    assert served.budget.waiting == 5 * len(payload)
    served.socket.cut_off()
    await turns()
    assert served.lost.is_set()
    # What the ASGI server was given is there; all else was dropped.
    assert served.budget.waiting == len(payload)
    assert not served.serving.done()
    line.say("still here")
    await turns()
    assert served.handled == []
    line.may_send.set()  # it reads again, and is told
    await served.serving
    assert [event["type"] for event in line.sent] == ["websocket.send", "websocket.close"]
    assert line.sent[1]["code"] == CloseCode.POLICY
    assert served.budget.waiting == 0


async def test_less_may_wait_for_each_when_much_waits_in_all() -> None:
    budget = WriteBudget()
    assert budget.share == WRITE_LIMIT
    budget.waiting = WRITE_LIMIT_TOTAL // 2 + 1
    assert budget.share == WRITE_LIMIT_SCARCE
    line = Line()
    line.may_send.clear()
    served = Served(line, budget=budget)
    assert served.socket.write((b"x" * (WRITE_LIMIT_SCARCE + 1),))
    assert not served.socket.write((b"x",))
    served.socket.cut_off()
    line.hang_up()
    await served.serving
    assert budget.waiting == WRITE_LIMIT_TOTAL // 2 + 1


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("after websocket.close")])
async def test_a_client_that_is_gone_while_it_is_written_to(error: Exception) -> None:
    line = Line()
    served = Served(line)
    await turns()
    line.error = error
    assert served.socket.write((b"{}", b"{}"))
    await served.lost.wait()
    assert served.socket.write((b"{}",))  # to nobody
    await served.serving  # it does not wait for ever for the ASGI server to tell


async def test_a_fault_of_the_asgi_server_is_raised() -> None:
    line = Line()
    served = Served(line)
    await turns()
    line.error = ZeroDivisionError()
    served.socket.write((b"{}",))
    with pytest.raises(ZeroDivisionError):
        await served.serving


async def test_a_close_comes_after_what_was_written_and_ends_the_connection() -> None:
    line = Line()
    served = Served(line)
    served.socket.write((b"1", b"2"))
    served.socket.close_soon(CloseCode.TAKEN_OVER, "taken over")
    served.socket.close_soon(CloseCode.NORMAL, "left")
    served.socket.write((b"3",))
    line.say("too late")
    await served.serving  # although the client does not answer
    assert [event.get("text", event.get("code")) for event in line.sent] == ["1", "2", 4000]
    assert line.sent[2]["reason"] == "taken over"
    assert served.handled == []


async def test_the_end_of_a_client_is_noticed_while_its_message_is_handled() -> None:
    line = Line()

    class Deciding(Served):
        async def handle(self, frame: str | bytes) -> None:
            await super().handle(frame)
            if frame == "decide":
                await self.socket.wait_closed()
                await self.socket.wait_closed()  # it has not changed

    served = Deciding(line)
    line.say("decide")
    line.hang_up()
    await served.serving
    assert (served.handled, served.lost.is_set()) == (["decide"], True)


async def test_a_message_that_comes_while_another_is_handled_is_not_lost() -> None:
    line = Line()

    class Deciding(Served):
        async def handle(self, frame: str | bytes) -> None:
            await super().handle(frame)
            if frame == "decide":
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await self.socket.wait_closed()

    served = Deciding(line)
    for text in ("decide", "next", "last"):
        line.say(text)
    line.hang_up()
    await served.serving
    assert served.handled == ["decide", "next", "last"]


async def test_a_cancelled_server_leaves_no_task() -> None:
    line = Line()
    line.may_send.clear()
    served = Served(line)
    served.socket.write((b"{}",))
    waiting = asyncio.create_task(served.socket.wait_closed())
    await turns()
    served.serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await served.serving
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    assert served.lost.is_set()
    assert served.budget.waiting == 0
